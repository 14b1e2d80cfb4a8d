//! One node as it runs: which loops, and its parameters in the order in which they are read.

use super::{
    Scratch,
    blocks::Buffer,
    depthwise::Depthwise,
    elementwise::{self, Affine},
    matmul::{Dense, Layout, Matrix},
    microkernels::Isa,
    team::Team,
};
use crate::{
    Result,
    graph::{Activation, Conv, Op},
    tensor::Shape,
    weights::Weights,
};

/// The loops of one operation with its packed parameters.
pub enum Kernel {
    /// A product of every pixel with a matrix; of the one pixel of a vector too.
    Matrix(Matrix),
    /// A dense convolution: pixels under the kernel gathered, then a matrix product.
    Dense(Dense),
    /// A convolution of each channel by itself.
    Depthwise(Depthwise),
    /// A factor and a summand per channel.
    Affine(Affine),
    /// The sum of two inputs.
    Add(Activation),
    /// The mean over all pixels.
    Pool,
    /// A picture times a factor per channel.
    Scale(Activation),
}

/// What a step runs on, and with.
pub struct Frame<'a> {
    pub isa: Isa,
    pub team: &'a Team<'a>,
    pub scratch: &'a Scratch,
    pub batch: usize,
}

impl Kernel {
    /// The loops of `op` for one picture of shape `src`, which lies as `layout` says.
    ///
    /// # Errors
    /// [`Error::Tensor`](crate::Error::Tensor) for an array that is missing or misshapen.
    pub fn new(isa: Isa, op: &Op, weights: &Weights, (src, layout): (Shape, Layout)) -> Result<Kernel> {
        let vector = |name: &str, length| weights.expect(name, &[length]);
        Ok(match op {
            Op::Input { .. } => unreachable!("the input is not computed"),
            Op::Conv { conv, weight, bias, activation } => {
                let bias = match bias {
                    Some(name) => vector(name, conv.dst_c)?,
                    None => &vec![0.0; conv.dst_c],
                };
                let (depth, k) = (conv.src_c / conv.groups, conv.kernel);
                let weight = weights.expect(weight, &[conv.dst_c, depth, k, k])?;
                if conv.is_depthwise() {
                    Kernel::Depthwise(Depthwise::new(isa, conv, src, weight, bias, *activation))
                } else if is_matrix(conv, layout) {
                    Kernel::Matrix(Matrix::new(isa, weight, bias, (1, conv.src_c), *activation))
                } else {
                    let weight = channels_last(conv, weight);
                    Kernel::Dense(Dense::new(isa, conv, (src, layout), &weight, bias, *activation))
                }
            }
            Op::Affine { scale, shift, activation } => Kernel::Affine(Affine {
                scale: Buffer::of(vector(scale, src.c)?),
                shift: Buffer::of(vector(shift, src.c)?),
                activation: *activation,
            }),
            Op::Add { activation } => Kernel::Add(*activation),
            Op::Pool => Kernel::Pool,
            Op::Linear { src_c, dst_c, weight, bias, activation } => {
                let weight = weights.expect(weight, &[*dst_c, *src_c])?;
                Kernel::Matrix(Matrix::new(isa, weight, vector(bias, *dst_c)?, (1, *src_c), *activation))
            }
            Op::Scale { activation } => Kernel::Scale(*activation),
        })
    }

    /// Whether it reads its input as the network is given it.
    pub fn reads_nhwc(&self) -> bool {
        matches!(self, Kernel::Dense(dense) if dense.layout == Layout::Nhwc)
    }

    /// Computes `dst`, of `pixels`; `second` is the second input of those that have one.
    pub fn run(&self, frame: &Frame, src: &[f32], second: &[f32], dst: &mut [f32], pixels: usize) {
        let &Frame { isa, team, batch, .. } = frame;
        match self {
            Kernel::Matrix(matrix) => matrix.run(team, src, dst, pixels),
            Kernel::Dense(dense) => dense.run(frame, src, dst),
            Kernel::Depthwise(depthwise) => depthwise.run(team, src, dst, batch),
            Kernel::Affine(affine) => affine.run(isa, team, src, pixels, dst),
            Kernel::Add(activation) => elementwise::add(isa, team, src, second, pixels, *activation, dst),
            Kernel::Pool => elementwise::pool(isa, team, src, batch, dst),
            Kernel::Scale(activation) => {
                elementwise::scale(isa, team, (src, second), batch, pixels, *activation, dst);
            }
        }
    }
}

/// Whether `op` can read the input as the network is given it.
pub fn can_read_nhwc(op: &Op) -> bool {
    matches!(op, Op::Conv { conv, .. } if !conv.is_depthwise())
}

/// Whether `conv` is a product of every pixel as it lies; the input's are not in blocks.
fn is_matrix(conv: &Conv, layout: Layout) -> bool {
    conv.is_pointwise() && layout == Layout::Blocks
}

/// A convolution's weight `[dst_c][src_c][k][k]` as `[dst_c][k][k][src_c]`.
fn channels_last(conv: &Conv, from: &[f32]) -> Vec<f32> {
    let area = conv.kernel * conv.kernel;
    let mut to = vec![0.0; from.len()];
    for (to, from) in to.chunks_exact_mut(conv.src_c * area).zip(from.chunks_exact(conv.src_c * area)) {
        for (at, &value) in from.iter().enumerate() {
            to[at % area * conv.src_c + at / area] = value;
        }
    }
    to
}
