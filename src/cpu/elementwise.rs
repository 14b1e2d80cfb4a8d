//! Everything that is not a convolution: short loops over rectangles.

use super::{
    blocks::{BLOCK, Buffer, small_cut},
    microkernels::Isa,
    team::{Cut, Grid, Rect, Team},
};
use crate::graph::Activation;

/// How sums are activated that leave the registers.
#[derive(Clone, Copy)]
pub struct Activated {
    /// The microkernels' own ReLU, before they store.
    pub relu: bool,
    /// What is done with the values once they are stored, in place.
    pub after: Option<fn(&mut [f32])>,
}

impl Activated {
    pub fn by(activation: Activation) -> Activated {
        match activation {
            Activation::None => Activated { relu: false, after: None },
            Activation::Relu => Activated { relu: true, after: None },
            Activation::Sigmoid => Activated { relu: false, after: Some(sigmoid) },
            other => unreachable!("{other:?} is refused"),
        }
    }
}

fn sigmoid(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
}

/// Writes `value` of each pixel, activated; a loop for each activation, so that each can be made of vectors.
#[inline(always)]
fn write(dst: &mut [f32], activation: Activation, value: impl Fn(usize) -> [f32; BLOCK]) {
    let pixels = dst.chunks_exact_mut(BLOCK).enumerate();
    match activation {
        Activation::None => pixels.for_each(|(at, dst)| dst.copy_from_slice(&value(at))),
        Activation::Relu => pixels.for_each(|(at, dst)| {
            dst.copy_from_slice(&value(at).map(|x| if x < 0.0 { 0.0 } else { x }));
        }),
        Activation::Sigmoid => pixels.for_each(|(at, dst)| {
            dst.copy_from_slice(&value(at).map(|x| 1.0 / (1.0 + (-x).exp())));
        }),
        other => unreachable!("{other:?} is refused"),
    }
}

/// Sixteen scalars from pixel `at` on.
#[inline(always)]
fn pixel(from: &[f32], at: usize) -> &[f32; BLOCK] {
    from[at * BLOCK..][..BLOCK].try_into().expect("16 channels")
}

/// Has the team do `work`, which is given a rectangle and one of its blocks, for every block of every rectangle.
fn each(team: &Team, dst: &mut [f32], pixels: usize, work: impl Fn(&mut Rect, usize) + Sync) {
    let cut = small_cut(dst.len() / (pixels * BLOCK), pixels, team.members);
    let grid = Grid::new(dst, pixels, cut, team);
    team.run(&|member| {
        while let Some(mut rect) = grid.take(member) {
            for block in rect.blocks.clone() {
                work(&mut rect, block);
            }
        }
    });
}

/// The pixels of `rect` in block `block` of another map of the same size.
fn same<'a>(src: &'a [f32], rect: &Rect, block: usize, pixels: usize) -> &'a [f32] {
    &src[(block * pixels + rect.pixels.start) * BLOCK..][..rect.pixels.len() * BLOCK]
}

/// `dst = act(src * scale + shift)` per channel.
pub struct Affine {
    pub scale: Buffer,
    pub shift: Buffer,
    pub activation: Activation,
}

impl Affine {
    pub fn run(&self, isa: Isa, team: &Team, src: &[f32], pixels: usize, dst: &mut [f32]) {
        each(team, dst, pixels, |rect, block| {
            let (scale, shift) = (*pixel(self.scale.all(), block), *pixel(self.shift.all(), block));
            let src = same(src, rect, block, pixels);
            let dst = rect.block(block);
            isa.compiled(
                #[inline(always)]
                || {
                    write(dst, self.activation, |at| {
                        let src = pixel(src, at);
                        std::array::from_fn(|lane| src[lane] * scale[lane] + shift[lane])
                    });
                },
            );
        });
    }
}

/// `dst = act(a + b)`.
pub fn add(
    isa: Isa,
    team: &Team,
    a: &[f32],
    b: &[f32],
    pixels: usize,
    activation: Activation,
    dst: &mut [f32],
) {
    each(team, dst, pixels, |rect, block| {
        let (a, b) = (same(a, rect, block, pixels), same(b, rect, block, pixels));
        let dst = rect.block(block);
        isa.compiled(
            #[inline(always)]
            || {
                write(dst, activation, |at| {
                    let (a, b) = (pixel(a, at), pixel(b, at));
                    std::array::from_fn(|lane| a[lane] + b[lane])
                });
            },
        );
    });
}

/// `dst = act(src * gate)`, the gate one per channel and picture.
pub fn scale(
    isa: Isa,
    team: &Team,
    (src, gate): (&[f32], &[f32]),
    batch: usize,
    pixels: usize,
    activation: Activation,
    dst: &mut [f32],
) {
    let one = pixels / batch;
    each(team, dst, pixels, |rect, block| {
        let src = same(src, rect, block, pixels);
        let start = rect.pixels.start;
        let dst = rect.block(block);
        isa.compiled(
            #[inline(always)]
            || {
                let (mut at, end) = (0, dst.len() / BLOCK);
                while at < end {
                    let picture = (start + at) / one;
                    let next = ((picture + 1) * one - start).min(end);
                    let gate = *pixel(gate, block * batch + picture);
                    let src = &src[at * BLOCK..next * BLOCK];
                    write(&mut dst[at * BLOCK..next * BLOCK], activation, |at| {
                        let src = pixel(src, at);
                        std::array::from_fn(|lane| src[lane] * gate[lane])
                    });
                    at = next;
                }
            },
        );
    });
}

/// The mean of each channel of each of `batch` pictures.
pub fn pool(isa: Isa, team: &Team, src: &[f32], batch: usize, dst: &mut [f32]) {
    let blocks = dst.len() / (batch * BLOCK);
    let pixels = src.len() / (blocks * BLOCK);
    let cut = Cut { blocks: blocks.div_ceil(2 * team.members).max(1), pixels: 1 };
    let grid = Grid::new(dst, batch, cut, team);
    let one = pixels / batch;
    team.run(&|member| {
        while let Some(mut rect) = grid.take(member) {
            for block in rect.blocks.clone() {
                let src = &src[(block * pixels + rect.pixels.start * one) * BLOCK..][..one * BLOCK];
                let dst = rect.block(block);
                isa.compiled(
                    #[inline(always)]
                    || mean(src, dst),
                );
            }
        }
    });
}

/// The mean of `src` `[pixels][16]`, `[16]`.
#[inline(always)]
pub fn mean(src: &[f32], dst: &mut [f32]) {
    // Of few in f32, of those in f64, because a large picture has many pixels
    const FEW: usize = 16;
    let mut sums = [0f64; BLOCK];
    for few in src.chunks(FEW * BLOCK) {
        let mut part = [0f32; BLOCK];
        for pixel in few.chunks_exact(BLOCK) {
            for lane in 0..BLOCK {
                part[lane] += pixel[lane];
            }
        }
        for lane in 0..BLOCK {
            sums[lane] += part[lane] as f64;
        }
    }
    for (dst, sum) in dst.iter_mut().zip(sums) {
        *dst = (sum / (src.len() / BLOCK) as f64) as f32;
    }
}
