//! The host's way through [`Passes`]: PIL's 8-bit resampling, bit for bit.

use super::{Interpolation, Normalize, Pass, Passes};
use std::ops::Range;

/// Bits of a weight's fraction; the sum of a line of weights times 255 stays within i32.
const BITS: u32 = 22;
const HALF: i32 = 1 << (BITS - 1);

/// What the host's preprocessing keeps from one picture to the next.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    grey: Vec<[u8; 4]>,
    intermediate: Vec<[u8; 4]>,
    crop: Vec<[u8; 4]>,
    filter: Filter,
}

/// The weights of one pass.
#[derive(Clone, Debug, Default)]
struct Filter {
    /// Per output: its first tap, and where its weights lie.
    taps: Vec<(usize, Range<usize>)>,
    /// In units of 2⁻²².
    weights: Vec<i32>,
    /// One output's weights before rounding.
    exact: Vec<f64>,
    /// One row of sums of a vertical pass.
    sums: Vec<[i32; 4]>,
}

/// How much wider than one source pixel the filter stands: never narrower.
fn stretch(length: usize, resized: usize) -> f64 {
    (length as f64 / resized as f64).max(1.0)
}

/// The centre of output `i`, in source pixels.
fn centre(length: usize, resized: usize, i: usize) -> f64 {
    (i as f64 + 0.5) * (length as f64 / resized as f64)
}

/// The source pixels that output `i` is a weighted sum of.
pub(super) fn taps(length: usize, resized: usize, i: usize, interpolation: Interpolation) -> Range<usize> {
    let support = interpolation.support() * stretch(length, resized);
    let centre = centre(length, resized, i);
    let first = (centre - support + 0.5).max(0.0) as usize;
    first..((centre + support + 0.5) as usize).min(length)
}

impl Filter {
    /// The weights of `outputs` outputs of `pass`.
    fn prepare(&mut self, pass: &Pass, outputs: usize) {
        let (length, resized) = (pass.length as usize, pass.resized as usize);
        let inverse = 1.0 / stretch(length, resized);
        let interpolation = pass.interpolation();
        self.taps.clear();
        self.weights.clear();
        for i in pass.start as usize..pass.start as usize + outputs {
            let taps = taps(length, resized, i, interpolation);
            let centre = centre(length, resized, i);
            let weight = |x: usize| interpolation.weight((x as f64 - centre + 0.5) * inverse);
            self.exact.clear();
            self.exact.extend(taps.clone().map(weight));
            // Never 0: a tap lies within half a pixel of the centre.
            let sum: f64 = self.exact.iter().fold(0.0, |sum, weight| sum + weight);
            let begin = self.weights.len();
            self.weights.extend(self.exact.iter().map(|weight| {
                let scaled = weight / sum * f64::from(1 << BITS);
                (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as i32
            }));
            self.taps.push((taps.start, begin..self.weights.len()));
        }
    }
}

/// `sum += weight * pixel`, channel by channel.
fn add(sum: &mut [i32; 4], weight: i32, pixel: [u8; 4]) {
    for (sum, value) in sum.iter_mut().zip(pixel) {
        *sum += weight * i32::from(value);
    }
}

/// The 8-bit pixel of a sum.
fn round(sum: [i32; 4], swap: bool) -> [u8; 4] {
    let [r, g, b, a] = sum.map(|sum| (sum >> BITS).clamp(0, 255) as u8);
    if swap { [b, g, r, a] } else { [r, g, b, a] }
}

impl Pass {
    /// Computes the pass; every address that its taps name lies in `src`.
    fn run(&self, filter: &mut Filter, src: &[[u8; 4]], dst: &mut Vec<[u8; 4]>) {
        let (width, swap) = (self.width as usize, self.swap == 1);
        let address = |along: usize, across: usize| {
            let (along, across) = (along as i64, across as i64);
            let (step_along, step_across) = (i64::from(self.step_along), i64::from(self.step_across));
            (i64::from(self.origin) + along * step_along + across * step_across) as usize
        };
        dst.clear();
        dst.resize(self.pixels(), [0; 4]);
        if self.vertical == 0 {
            filter.prepare(self, width);
            let step = self.step_along as isize;
            for (y, row) in dst.chunks_exact_mut(width).enumerate() {
                for ((first, weights), dst) in filter.taps.iter().zip(row) {
                    let mut sum = [HALF; 4];
                    let mut at = address(*first, y);
                    for &weight in &filter.weights[weights.clone()] {
                        add(&mut sum, weight, src[at]);
                        at = at.wrapping_add_signed(step);
                    }
                    *dst = round(sum, swap);
                }
            }
        } else {
            filter.prepare(self, self.height as usize);
            let step = self.step_across as isize;
            for ((first, weights), row) in filter.taps.iter().zip(dst.chunks_exact_mut(width)) {
                let sums = &mut filter.sums;
                sums.clear();
                sums.resize(width, [HALF; 4]);
                for (tap, &weight) in filter.weights[weights.clone()].iter().enumerate() {
                    let mut at = address(first + tap, 0);
                    for sum in sums.iter_mut() {
                        add(sum, weight, src[at]);
                        at = at.wrapping_add_signed(step);
                    }
                }
                for (dst, &sum) in row.iter_mut().zip(sums.iter()) {
                    *dst = round(sum, swap);
                }
            }
        }
    }
}

impl Scratch {
    /// The crop that `passes` make of a view's bytes, `[rows, columns]`.
    pub(super) fn resample(&mut self, passes: &Passes, bytes: &[u8]) -> &[[u8; 4]] {
        let mut src: &[[u8; 4]] = bytes.as_chunks().0;
        if passes.first.grey != 0 {
            self.grey.clear();
            self.grey.extend(src.iter().map(|&pixel| passes.first.luma(pixel)));
            src = &self.grey;
        }
        passes.first.run(&mut self.filter, src, &mut self.intermediate);
        passes.second.run(&mut self.filter, &self.intermediate, &mut self.crop);
        &self.crop
    }
}

impl Normalize {
    /// Writes the input `[height, width, channels]` of a crop.
    pub(super) fn run<const CHANNELS: usize>(&self, crop: &[[u8; 4]], dst: &mut [f32]) {
        let fill = self.fill.to_le_bytes();
        for (index, dst) in dst.chunks_exact_mut(CHANNELS).enumerate() {
            let (x, y) = (index as u32 % self.width, index as u32 / self.width);
            let (column, row) = (x.wrapping_sub(self.left), y.wrapping_sub(self.top));
            let inside = column < self.columns && row < self.rows;
            let pixel = if inside { crop[(row * self.columns + column) as usize] } else { fill };
            for c in 0..CHANNELS {
                dst[c] = (f32::from(pixel[c]) / 255.0 - self.mean[c]) / self.std[c];
            }
        }
    }
}
