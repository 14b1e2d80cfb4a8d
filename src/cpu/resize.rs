//! Maps of another size.

use super::{
    blocks::{BLOCK, rows},
    elementwise::{each, pixel},
    workspace::Workspace,
};
use crate::{graph::Filter, tensor::Shape};

/// A resize from one size of map to another.
pub struct Resize {
    filter: Filter,
    src: Shape,
    dst: Shape,
    /// What each row is made of.
    rows: Vec<Between>,
    /// What each column is made of.
    columns: Vec<Between>,
}

/// Two rows (or columns) that are neighbours, or the last one twice.
#[derive(Clone, Copy)]
struct Between {
    first: usize,
    second: usize,
    /// The share of the first, and that of the second.
    shares: [f32; 2],
}

impl Between {
    /// What output `at` of `dst` is made of, of `src`.
    fn of(filter: Filter, at: usize, src: usize, dst: usize) -> Between {
        let place = match filter {
            Filter::Nearest => (at as u128 * src as u128 / dst as u128) as f64,
            Filter::Bilinear => ((at as f64 + 0.5) * src as f64 / dst as f64 - 0.5).max(0.0),
            Filter::BilinearCorners if dst == 1 => 0.0,
            Filter::BilinearCorners => at as f64 * (src - 1) as f64 / (dst - 1) as f64,
        };
        let first = (place as usize).min(src - 1);
        let share = place - first as f64;
        Between { first, second: (first + 1).min(src - 1), shares: [(1.0 - share) as f32, share as f32] }
    }
}

impl Resize {
    /// For pictures that go from shape `src` to `dst`.
    pub fn new(filter: Filter, [src, dst]: [Shape; 2]) -> Resize {
        let of = |src: usize, dst: usize| (0..dst).map(|at| Between::of(filter, at, src, dst)).collect();
        Resize { filter, src, dst, rows: of(src.h, dst.h), columns: of(src.w, dst.w) }
    }

    /// Computes the whole map `dst`.
    pub fn run(&self, &Workspace { isa, team, batch, .. }: &Workspace, src: &[f32], dst: &mut [f32]) {
        let Resize { src: from, dst: to, .. } = self;
        let (one, wide) = (from.pixels() * BLOCK, from.w * BLOCK);
        let pixels = batch * to.pixels();
        each(team, dst, pixels, |rect, block| {
            let (pixels, src) = (rect.pixels.clone(), &src[block * batch * one..][..batch * one]);
            let mut left = rect.block(block);
            for (row, columns) in rows(pixels, to.w) {
                let (picture, down) = (&src[row / to.h * one..][..one], self.rows[row % to.h]);
                let [top, bottom] = [down.first, down.second].map(|y| &picture[y * wide..][..wide]);
                let dst;
                (dst, left) = left.split_at_mut(columns.len() * BLOCK);
                let outputs = self.columns[columns].iter().zip(dst.chunks_exact_mut(BLOCK));
                if self.filter == Filter::Nearest {
                    for (across, dst) in outputs {
                        dst.copy_from_slice(pixel(top, across.first));
                    }
                    continue;
                }
                isa.compiled(
                    #[inline(always)]
                    || {
                        for (across, dst) in outputs {
                            let of = |row| {
                                let [a, b] = [across.first, across.second].map(|at| pixel(row, at));
                                mixed(a, b, across.shares)
                            };
                            dst.copy_from_slice(&mixed(&of(top), &of(bottom), down.shares));
                        }
                    },
                );
            }
        });
    }
}

/// `a` and `b` by their shares.
#[inline(always)]
fn mixed(a: &[f32; BLOCK], b: &[f32; BLOCK], [first, second]: [f32; 2]) -> [f32; BLOCK] {
    std::array::from_fn(
        #[inline(always)]
        |lane| a[lane] * first + b[lane] * second,
    )
}
