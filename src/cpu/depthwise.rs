//! Each channel convolved by itself: strips of channels in registers, walking along a row.

use pulp::Arch;
use rayon::prelude::*;

use super::elementwise::{activate, relu};
use crate::{
    graph::{Activation, Conv},
    tensor::Shape,
};

/// Channels that one strip computes together.
const LANES: usize = 16;
/// About as many outputs as one task is worth.
const BLOCK: usize = 1 << 13;

/// A depthwise convolution for one size of map.
pub struct Depthwise {
    conv: Conv,
    src: Shape,
    /// `[k][k][c]`.
    weight: Vec<f32>,
    /// `[c]`.
    bias: Vec<f32>,
    activation: Activation,
    /// A row of zeros, read where the kernel hangs over the map's edge.
    zeros: Vec<f32>,
}

impl Depthwise {
    /// For pictures of shape `src`; weight `[k][k][c]`.
    pub fn new(
        conv: &Conv,
        src: Shape,
        weight: Vec<f32>,
        bias: Vec<f32>,
        activation: Activation,
    ) -> Depthwise {
        assert!([1, 3, 5].contains(&conv.kernel) && conv.dst_c == conv.src_c, "no loops for {conv:?}");
        let zeros = vec![0.0; src.w * src.c];
        Depthwise { conv: conv.clone(), src, weight, bias, activation, zeros }
    }

    /// Computes every row of `dst`, a few rows to a task.
    pub fn run(&self, src: &[f32], dst: &mut [f32]) {
        let row = self.conv.dst_len(self.src.w) * self.src.c;
        let rows = BLOCK.div_ceil(row);
        dst.par_chunks_mut(rows * row).enumerate().for_each(|(task, dst)| {
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    for (index, dst) in dst.chunks_exact_mut(row).enumerate() {
                        let at = task * rows + index;
                        match self.conv.kernel {
                            1 => self.row::<1>(src, at, dst),
                            3 => self.row::<3>(src, at, dst),
                            5 => self.row::<5>(src, at, dst),
                            kernel => unreachable!("{kernel}x{kernel} has been refused"),
                        }
                        if self.activation == Activation::Sigmoid {
                            activate(dst, self.activation);
                        }
                    }
                },
            )
        });
    }

    /// Row `at` of all pictures' rows.
    #[inline(always)]
    fn row<const K: usize>(&self, src: &[f32], at: usize, dst: &mut [f32]) {
        let (conv, from) = (&self.conv, self.src);
        let dst_h = conv.dst_len(from.h);
        let (picture, y) = (at / dst_h, at % dst_h);
        let row = from.w * from.c;
        let rows: [&[f32]; K] =
            std::array::from_fn(|tap| match (y * conv.stride + tap).checked_sub(conv.padding) {
                Some(y) if y < from.h => &src[(picture * from.h + y) * row..][..row],
                _ => &self.zeros,
            });
        let mut channel = 0;
        while channel + LANES <= from.c {
            self.strip::<K, LANES>(&rows, channel, dst);
            channel += LANES;
        }
        while channel < from.c {
            self.strip::<K, 1>(&rows, channel, dst);
            channel += 1;
        }
    }

    /// Channels `channel..channel + L` of one row.
    #[inline(always)]
    fn strip<const K: usize, const L: usize>(&self, rows: &[&[f32]; K], channel: usize, dst: &mut [f32]) {
        let (c, stride, padding) = (self.src.c, self.conv.stride, self.conv.padding);
        let load = |from: &[f32], at: usize| -> [f32; L] { from[at..at + L].try_into().expect("L lanes") };
        let bias = load(&self.bias, channel);
        let taps: [[[f32; L]; K]; K] = std::array::from_fn(|ky| {
            std::array::from_fn(|kx| load(&self.weight, (ky * K + kx) * c + channel))
        });
        let relu_wanted = self.activation == Activation::Relu;
        for (x, dst) in dst.chunks_exact_mut(c).enumerate() {
            let mut sum = bias;
            let mut tap = |pixel: &[f32], tap: &[f32; L]| {
                let pixel: &[f32; L] = pixel.try_into().expect("L lanes");
                for lane in 0..L {
                    sum[lane] += pixel[lane] * tap[lane];
                }
            };
            let left = x * stride;
            if left >= padding && left - padding + K <= self.src.w {
                let first = (left - padding) * c + channel;
                for (row, taps) in rows.iter().zip(&taps) {
                    let window = &row[first..first + (K - 1) * c + L];
                    for (kx, taps) in taps.iter().enumerate() {
                        tap(&window[kx * c..kx * c + L], taps);
                    }
                }
            } else {
                for (row, taps) in rows.iter().zip(&taps) {
                    for (kx, taps) in taps.iter().enumerate() {
                        if let Some(column) = (left + kx).checked_sub(padding)
                            && column < self.src.w
                        {
                            tap(&row[column * c + channel..][..L], taps);
                        }
                    }
                }
            }
            if relu_wanted {
                sum = sum.map(relu);
            }
            dst[channel..channel + L].copy_from_slice(&sum);
        }
    }
}
