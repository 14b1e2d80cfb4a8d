//! Pixel by pixel, each channel by itself: short loops over rectangles.

use super::{
    activation::Activated,
    blocks::{BLOCK, Buffer, small_cut},
    microkernels::{Clamp, Isa},
    team::{Grid, Rect, Team},
    workspace::Workspace,
};
use crate::graph::Arithmetic;

/// Writes `value` of each pixel, within the bounds.
#[inline(always)]
fn write(dst: &mut [f32], clamp: Clamp, value: impl Fn(usize) -> [f32; BLOCK]) {
    for (at, dst) in dst.chunks_exact_mut(BLOCK).enumerate() {
        let value = value(at);
        dst.copy_from_slice(&lanes(
            #[inline(always)]
            |lane| clamp.of(value[lane]),
        ));
    }
}

/// Sixteen scalars, each by its lane.
#[inline(always)]
fn lanes(value: impl Fn(usize) -> f32) -> [f32; BLOCK] {
    std::array::from_fn(value)
}

/// Sixteen scalars from pixel `at` on.
#[inline(always)]
pub fn pixel(from: &[f32], at: usize) -> &[f32; BLOCK] {
    from[at * BLOCK..][..BLOCK].try_into().expect("16 channels")
}

/// Has the team do `work`, which is given a rectangle and one of its blocks, for every block of every rectangle of `dst`.
pub fn each(team: &Team, dst: &mut [f32], pixels: usize, work: impl Fn(&mut Rect, usize) + Sync) {
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
pub fn same<'a>(src: &'a [f32], rect: &Rect, block: usize, pixels: usize) -> &'a [f32] {
    &src[(block * pixels + rect.pixels.start) * BLOCK..][..rect.pixels.len() * BLOCK]
}

/// `dst = act(src * scale + shift)` per channel.
pub struct Affine {
    pub scale: Buffer,
    pub shift: Buffer,
    pub activated: Activated,
}

impl Affine {
    pub fn run(&self, &Workspace { isa, team, .. }: &Workspace, src: &[f32], pixels: usize, dst: &mut [f32]) {
        each(team, dst, pixels, |rect, block| {
            let (scale, shift) = (*pixel(self.scale.all(), block), *pixel(self.shift.all(), block));
            let src = same(src, rect, block, pixels);
            let dst = rect.block(block);
            isa.compiled(
                #[inline(always)]
                || {
                    write(dst, self.activated.clamp, |at| {
                        let src = pixel(src, at);
                        lanes(|lane| src[lane] * scale[lane] + shift[lane])
                    });
                },
            );
            self.activated.finish(isa, dst);
        });
    }
}

/// `dst = act(a with b)`.
pub struct Binary {
    pub with: Arithmetic,
    /// Whether `b` is one vector per picture.
    pub vector: bool,
    pub activated: Activated,
}

impl Binary {
    pub fn run(&self, frame: &Workspace, [a, b]: [&[f32]; 2], pixels: usize, dst: &mut [f32]) {
        let &Workspace { isa, team, batch, .. } = frame;
        let one = pixels / batch;
        each(team, dst, pixels, |rect, block| {
            let from = same(a, rect, block, pixels);
            let start = rect.pixels.start;
            if !self.vector {
                let b = same(b, rect, block, pixels);
                let dst = rect.block(block);
                self.fill(isa, dst, from, |at| pixel(b, at));
                return self.activated.finish(isa, dst);
            }
            let dst = rect.block(block);
            let (mut at, end) = (0, dst.len() / BLOCK);
            while at < end {
                let picture = (start + at) / one;
                let next = ((picture + 1) * one - start).min(end);
                let b = *pixel(b, block * batch + picture);
                let part = at * BLOCK..next * BLOCK;
                self.fill(isa, &mut dst[part.clone()], &from[part], |_| &b);
                at = next;
            }
            self.activated.finish(isa, dst);
        });
    }

    /// What is made of `a` and of what `b` gives for each pixel of it.
    #[inline(always)]
    fn fill<'a>(&self, isa: Isa, dst: &mut [f32], a: &[f32], b: impl Fn(usize) -> &'a [f32; BLOCK]) {
        let clamp = self.activated.clamp;
        macro_rules! of {
            ($sign:tt) => {
                write(dst, clamp, |at| {
                    let (a, b) = (pixel(a, at), b(at));
                    lanes(|lane| a[lane] $sign b[lane])
                })
            };
        }
        isa.compiled(
            #[inline(always)]
            || match self.with {
                Arithmetic::Add => of!(+),
                Arithmetic::Sub => of!(-),
                Arithmetic::Mul => of!(*),
                Arithmetic::Div => of!(/),
            },
        );
    }
}

/// `dst = act(src)`.
pub fn activate(
    &Workspace { isa, team, .. }: &Workspace,
    activated: &Activated,
    src: &[f32],
    pixels: usize,
    dst: &mut [f32],
) {
    each(team, dst, pixels, |rect, block| {
        let src = same(src, rect, block, pixels);
        let dst = rect.block(block);
        isa.compiled(
            #[inline(always)]
            || write(dst, activated.clamp, |at| *pixel(src, at)),
        );
        activated.finish(isa, dst);
    });
}
