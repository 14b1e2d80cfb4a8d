//! One node as it runs: which loops, and its parameters in the order in which they are read.

use super::{depthwise::Depthwise, elementwise, matmul};
use crate::{
    Result,
    graph::{Activation, Conv, Op},
    tensor::Shape,
    weights::Weights,
};

/// The loops of one operation with its packed parameters.
pub enum Kernel {
    /// A matrix product over pixels; weight `[src_c][dst_c]`, bias `[dst_c]`.
    Pointwise { weight: Vec<f32>, bias: Vec<f32>, activation: Activation },
    /// A dense convolution: pixels under the kernel gathered into rows, then a matrix product.
    Dense(matmul::Dense),
    /// A convolution of each channel by itself.
    Depthwise(Depthwise),
    /// A factor and a summand per channel.
    Affine { scale: Vec<f32>, shift: Vec<f32>, activation: Activation },
    /// The sum of two inputs.
    Add { activation: Activation },
    /// The mean over `pixels`.
    Pool { pixels: usize, channels: usize },
    /// A matrix times a vector per picture; weight `[dst_c][src_c]`, bias `[dst_c]`.
    Linear { weight: Vec<f32>, bias: Vec<f32>, activation: Activation },
    /// A picture times a factor per channel.
    Scale { channels: usize, activation: Activation },
}

impl Kernel {
    /// The loops of `op` for one picture of shape `src`.
    ///
    /// # Errors
    /// [`Error::Tensor`](crate::Error::Tensor) for an array that is missing or misshapen.
    pub fn new(op: &Op, weights: &Weights, src: Shape) -> Result<Kernel> {
        let vector = |name: &str, length| weights.expect(name, &[length]).map(<[f32]>::to_vec);
        Ok(match op {
            Op::Input { .. } => unreachable!("the input is not computed"),
            Op::Conv { conv, weight, bias, activation } => {
                let bias = match bias {
                    Some(name) => vector(name, conv.dst_c)?,
                    None => vec![0.0; conv.dst_c],
                };
                let weight = taps_first(conv, weights, weight)?;
                let activation = *activation;
                if conv.is_depthwise() {
                    Kernel::Depthwise(Depthwise::new(conv, src, weight, bias, activation))
                } else if conv.is_pointwise() {
                    Kernel::Pointwise { weight, bias, activation }
                } else {
                    Kernel::Dense(matmul::Dense::new(conv, src, weight, bias, activation))
                }
            }
            Op::Affine { scale, shift, activation } => Kernel::Affine {
                scale: vector(scale, src.c)?,
                shift: vector(shift, src.c)?,
                activation: *activation,
            },
            Op::Add { activation } => Kernel::Add { activation: *activation },
            Op::Pool => Kernel::Pool { pixels: src.pixels(), channels: src.c },
            Op::Linear { src_c, dst_c, weight, bias, activation } => Kernel::Linear {
                weight: weights.expect(weight, &[*dst_c, *src_c])?.to_vec(),
                bias: vector(bias, *dst_c)?,
                activation: *activation,
            },
            Op::Scale { activation } => Kernel::Scale { channels: src.c, activation: *activation },
        })
    }

    /// Computes `dst` for `batch` pictures; `second` is the second input of those that have one.
    pub fn run(&mut self, src: &[f32], second: &[f32], dst: &mut [f32], batch: usize) {
        match self {
            Kernel::Pointwise { weight, bias, activation } => {
                matmul::pointwise(src, weight, bias, *activation, dst);
            }
            Kernel::Dense(dense) => dense.run(src, dst),
            Kernel::Depthwise(depthwise) => depthwise.run(src, dst),
            Kernel::Affine { scale, shift, activation } => {
                elementwise::affine(src, scale, shift, *activation, dst);
            }
            Kernel::Add { activation } => elementwise::add(src, second, *activation, dst),
            Kernel::Pool { pixels, channels } => elementwise::pool(src, *pixels, *channels, dst),
            Kernel::Linear { weight, bias, activation } => {
                elementwise::linear(src, weight, bias, *activation, dst, batch);
            }
            Kernel::Scale { channels, activation } => {
                elementwise::scale(src, second, *channels, *activation, dst);
            }
        }
    }
}

/// A convolution's weight `[dst_c][depth][k][k]` as `[k][k][depth][dst_c]`, the order in which NHWC meets it.
fn taps_first(conv: &Conv, weights: &Weights, name: &str) -> Result<Vec<f32>> {
    let (depth, k) = (conv.src_c / conv.groups, conv.kernel);
    let from = weights.expect(name, &[conv.dst_c, depth, k, k])?;
    let mut to = vec![0.0; from.len()];
    for (index, &value) in from.iter().enumerate() {
        let (channel, place) = (index / (depth * k * k), index % (depth * k * k));
        let (depth_at, tap) = (place / (k * k), place % (k * k));
        to[(tap * depth + depth_at) * conv.dst_c + channel] = value;
    }
    Ok(to)
}
