//! Everything that is not a convolution: short loops, cut into blocks of fixed size.

use pulp::Arch;
use rayon::prelude::*;

use crate::graph::Activation;

/// About as many scalars as one task is worth.
const BLOCK: usize = 1 << 14;

/// `values` activated, in place.
#[inline(always)]
pub fn activate(values: &mut [f32], activation: Activation) {
    match activation {
        Activation::None => {}
        Activation::Relu => values.iter_mut().for_each(|value| *value = relu(*value)),
        Activation::Sigmoid => values.iter_mut().for_each(|value| *value = 1.0 / (1.0 + (-*value).exp())),
    }
}

/// `max(x, 0)`, NaN kept.
#[inline(always)]
pub fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `dst = act(src * scale + shift)` per channel.
pub fn affine(src: &[f32], scale: &[f32], shift: &[f32], activation: Activation, dst: &mut [f32]) {
    let channels = scale.len();
    let block = BLOCK.div_ceil(channels) * channels;
    dst.par_chunks_mut(block).zip(src.par_chunks(block)).for_each(|(dst, src)| {
        Arch::new().dispatch(|| {
            for (dst, src) in dst.chunks_exact_mut(channels).zip(src.chunks_exact(channels)) {
                for (((dst, src), scale), shift) in dst.iter_mut().zip(src).zip(scale).zip(shift) {
                    *dst = src * scale + shift;
                }
            }
            activate(dst, activation);
        })
    });
}

/// `dst = act(a + b)`.
pub fn add(a: &[f32], b: &[f32], activation: Activation, dst: &mut [f32]) {
    let blocks = dst.par_chunks_mut(BLOCK).zip(a.par_chunks(BLOCK).zip(b.par_chunks(BLOCK)));
    blocks.for_each(|(dst, (a, b))| {
        Arch::new().dispatch(|| {
            for ((dst, a), b) in dst.iter_mut().zip(a).zip(b) {
                *dst = a + b;
            }
            activate(dst, activation);
        })
    });
}

/// `dst[n, c] = act(src[n, .., c] * gate[n, c])`.
pub fn scale(src: &[f32], gate: &[f32], channels: usize, activation: Activation, dst: &mut [f32]) {
    let picture = src.len() / (gate.len() / channels);
    let block = BLOCK.div_ceil(channels) * channels;
    let pictures = dst.par_chunks_mut(picture).zip(src.par_chunks(picture)).zip(gate.par_chunks(channels));
    pictures.for_each(|((dst, src), gate)| {
        dst.par_chunks_mut(block).zip(src.par_chunks(block)).for_each(|(dst, src)| {
            Arch::new().dispatch(|| {
                for (dst, src) in dst.chunks_exact_mut(channels).zip(src.chunks_exact(channels)) {
                    for ((dst, src), gate) in dst.iter_mut().zip(src).zip(gate) {
                        *dst = src * gate;
                    }
                }
                activate(dst, activation);
            })
        });
    });
}

/// The mean of each channel of each picture.
pub fn pool(src: &[f32], pixels: usize, channels: usize, dst: &mut [f32]) {
    const STRIP: usize = 64;
    let pictures = dst.par_chunks_mut(channels).zip(src.par_chunks(pixels * channels));
    pictures.for_each(|(dst, src)| {
        dst.par_chunks_mut(STRIP).enumerate().for_each(|(strip, dst)| {
            Arch::new().dispatch(|| {
                // In f64, because a large picture has many pixels
                let mut sums = [0f64; STRIP];
                for pixel in src.chunks_exact(channels) {
                    for (sum, &value) in sums.iter_mut().zip(&pixel[strip * STRIP..][..dst.len()]) {
                        *sum += value as f64;
                    }
                }
                for (dst, sum) in dst.iter_mut().zip(sums) {
                    *dst = (sum / pixels as f64) as f32;
                }
            })
        });
    });
}

/// `dst = act(W src + bias)` for each of `batch` vectors; weight `[dst_c][src_c]`.
pub fn linear(
    src: &[f32],
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
    dst: &mut [f32],
    batch: usize,
) {
    let (src_c, dst_c) = (src.len() / batch, bias.len());
    let rows = BLOCK.div_ceil(src_c);
    dst.par_chunks_mut(dst_c).zip(src.par_chunks(src_c)).for_each(|(dst, src)| {
        let blocks = dst.par_chunks_mut(rows).zip(weight.par_chunks(rows * src_c)).zip(bias.par_chunks(rows));
        blocks.for_each(|((dst, weight), bias)| {
            Arch::new().dispatch(|| {
                for ((dst, row), bias) in dst.iter_mut().zip(weight.chunks_exact(src_c)).zip(bias) {
                    *dst = dot(row, src) + bias;
                }
                activate(dst, activation);
            })
        });
    });
}

/// The sum of products, in lanes.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 32;
    let mut sums = [0f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}
