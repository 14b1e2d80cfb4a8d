//! One value of those under a window, or of all pixels.

use super::{
    blocks::{BLOCK, rows},
    elementwise::{each, pixel},
    microkernels::Isa,
    team::{Cut, Grid, Team},
    workspace::Workspace,
};
use crate::{
    graph::{Pooling, Window},
    tensor::Shape,
};

/// A pool for one size of map.
pub struct Pool {
    pub pooling: Pooling,
    /// What slides; else all pixels of a picture make one.
    pub window: Option<Window>,
    pub src: Shape,
    pub dst: Shape,
}

impl Pool {
    /// Computes the whole map `dst`.
    pub fn run(&self, &Workspace { isa, team, batch, .. }: &Workspace, src: &[f32], dst: &mut [f32]) {
        match &self.window {
            None => self.all(isa, team, src, batch, dst),
            Some(window) => self.slide(isa, team, window, src, batch, dst),
        }
    }

    /// Of all pixels of each picture.
    fn all(&self, isa: Isa, team: &Team, src: &[f32], batch: usize, dst: &mut [f32]) {
        let blocks = dst.len() / (batch * BLOCK);
        let one = self.src.pixels();
        let cut = Cut { blocks: blocks.div_ceil(2 * team.members).max(1), pixels: 1 };
        let grid = Grid::new(dst, batch, cut, team);
        team.run(&|member| {
            while let Some(mut rect) = grid.take(member) {
                for block in rect.blocks.clone() {
                    let src = &src[(block * batch + rect.pixels.start) * one * BLOCK..][..one * BLOCK];
                    let dst = rect.block(block);
                    isa.compiled(
                        #[inline(always)]
                        || match self.pooling {
                            Pooling::Average | Pooling::PaddedAverage => {
                                let mut sums = [0.0; BLOCK];
                                add(&mut sums, src);
                                divide(sums, one, dst);
                            }
                            Pooling::Max => {
                                dst.fill(f32::NEG_INFINITY);
                                raise(dst, src);
                            }
                        },
                    );
                }
            }
        });
    }

    /// Of what lies under `window` at each of its places.
    fn slide(&self, isa: Isa, team: &Team, window: &Window, src: &[f32], batch: usize, dst: &mut [f32]) {
        let Pool { pooling, src: from, dst: to, .. } = self;
        let (one, pixels) = (from.pixels() * BLOCK, batch * to.pixels());
        each(team, dst, pixels, |rect, block| {
            let (pixels, src) = (rect.pixels.clone(), &src[block * batch * one..][..batch * one]);
            let mut left = rect.block(block);
            isa.compiled(
                #[inline(always)]
                || {
                    for (row, columns) in rows(pixels, to.w) {
                        let (picture, y) = (&src[row / to.h * one..][..one], row % to.h);
                        let dst;
                        (dst, left) = std::mem::take(&mut left).split_at_mut(columns.len() * BLOCK);
                        for (x, dst) in columns.zip(dst.chunks_exact_mut(BLOCK)) {
                            match pooling {
                                Pooling::Average | Pooling::PaddedAverage => {
                                    let (mut sums, mut few, mut count) = ([0.0; BLOCK], [0.0; BLOCK], 0);
                                    under(window, *from, picture, [y, x], |pixels| {
                                        match window.area() <= FEW {
                                            true => add_few(&mut few, pixels),
                                            false => add(&mut sums, pixels),
                                        }
                                        count += pixels.len() / BLOCK;
                                    });
                                    (0..BLOCK).for_each(|lane| sums[lane] += f64::from(few[lane]));
                                    let padded = *pooling == Pooling::PaddedAverage;
                                    divide(sums, if padded { window.area() } else { count }, dst);
                                }
                                Pooling::Max => {
                                    dst.fill(f32::NEG_INFINITY);
                                    under(window, *from, picture, [y, x], |pixels| raise(dst, pixels));
                                }
                            }
                        }
                    }
                },
            );
        });
    }
}

/// Shows what lies in `picture` under `window` for the output in row `y` and column `x`, by pixels that are neighbours.
#[inline(always)]
fn under(window: &Window, src: Shape, picture: &[f32], [y, x]: [usize; 2], mut visit: impl FnMut(&[f32])) {
    for ky in 0..window.kernel[0] {
        let Some(row) = window.under(0, y, ky, src.h) else { continue };
        let row = &picture[row * src.w * BLOCK..][..src.w * BLOCK];
        if window.dilation[1] == 1 {
            let (begin, padding) = (x * window.stride[1], window.padding[1][0]);
            let end = (begin + window.kernel[1]).saturating_sub(padding).min(src.w);
            let begin = begin.saturating_sub(padding).min(end);
            visit(&row[begin * BLOCK..end * BLOCK]);
        } else {
            for kx in 0..window.kernel[1] {
                if let Some(column) = window.under(1, x, kx, src.w) {
                    visit(pixel(row, column));
                }
            }
        }
    }
}

/// Pixels that are added up in f32; their sums are in f64, because a large picture has many pixels.
const FEW: usize = 16;

/// Adds up `src` `[pixels][16]`.
#[inline(always)]
fn add(sums: &mut [f64; BLOCK], src: &[f32]) {
    for few in src.chunks(FEW * BLOCK) {
        let mut part = [0f32; BLOCK];
        add_few(&mut part, few);
        for lane in 0..BLOCK {
            sums[lane] += part[lane] as f64;
        }
    }
}

/// The same of at most [`FEW`] pixels.
#[inline(always)]
fn add_few(sums: &mut [f32; BLOCK], src: &[f32]) {
    for pixel in src.chunks_exact(BLOCK) {
        for lane in 0..BLOCK {
            sums[lane] += pixel[lane];
        }
    }
}

#[inline(always)]
fn divide(sums: [f64; BLOCK], count: usize, dst: &mut [f32]) {
    for (dst, sum) in dst.iter_mut().zip(sums) {
        *dst = (sum / count as f64) as f32;
    }
}

/// Raises `dst` `[16]` to the largest of `src` `[pixels][16]`; NaN is larger than anything.
#[inline(always)]
fn raise(dst: &mut [f32], src: &[f32]) {
    let mut most: [f32; BLOCK] = *pixel(dst, 0);
    for pixel in src.chunks_exact(BLOCK) {
        for (most, &x) in most.iter_mut().zip(pixel) {
            *most = if x > *most || x.is_nan() { x } else { *most };
        }
    }
    dst.copy_from_slice(&most);
}
