//! One node as it runs: which loops, and its parameters in the order in which they are read.

use super::{
    Scratch,
    blocks::Buffer,
    depthwise::Depthwise,
    elementwise::{self, Affine},
    matmul::{Dense, Layout, Matrix},
    microkernels::Isa,
    softmax,
    team::Team,
};
use crate::{
    Error, Result,
    graph::{Activation, Arithmetic, Checked, Conv, NodeId, Op, Pooling},
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
    /// The softmax over so many channels.
    Softmax(usize),
    /// Of so many channels so many largest, with their softmax or with themselves.
    TopK(usize, (usize, bool)),
}

/// What a step runs on, and with.
pub struct Frame<'a> {
    pub isa: Isa,
    pub team: &'a Team<'a>,
    pub scratch: &'a Scratch,
    pub batch: usize,
}

impl Kernel {
    /// The loops of node `id` for one picture, which lies as `layout` says.
    ///
    /// # Errors
    /// [`Error::Model`], naming the node, for what there are no loops for.
    pub fn new(isa: Isa, checked: &Checked, id: NodeId, layout: Layout) -> Result<Kernel> {
        let array = |name: &str| checked.weights().find(name).expect("a checked parameter").data.as_slice();
        let shapes = [checked.src(id)[0], checked.shapes()[id]];
        let lacks = |what: std::fmt::Arguments| {
            Error::Model(format!("{}: the CPU has no loops for {what}", checked.graph().label(id)))
        };
        let node = &checked.graph().nodes[id];
        if let Some(other) = node.op.activation()
            && !matches!(other, Activation::None | Activation::Relu | Activation::Sigmoid)
        {
            return Err(lacks(format_args!("{other:?}")));
        }
        Ok(match &node.op {
            Op::Input { .. } => unreachable!("the input is not computed"),
            Op::Conv { conv, weight, bias, activation } => {
                let bias = match bias {
                    Some(name) => array(name),
                    None => &vec![0.0; conv.dst_c],
                };
                let weight = array(weight);
                if conv.window.as_square().is_none() {
                    return Err(lacks(format_args!("the convolution {conv:?}")));
                }
                if conv.is_depthwise() {
                    Kernel::Depthwise(Depthwise::new(isa, conv, shapes, weight, bias, *activation))
                } else if is_matrix(conv, layout) {
                    Kernel::Matrix(Matrix::new(isa, weight, bias, (1, conv.src_c), *activation))
                } else if conv.groups == 1 {
                    let weight = channels_last(conv, weight);
                    Kernel::Dense(Dense::new(isa, conv, (shapes, layout), &weight, bias, *activation))
                } else {
                    return Err(lacks(format_args!("the convolution {conv:?}")));
                }
            }
            Op::Affine { scale, shift, activation } => Kernel::Affine(Affine {
                scale: Buffer::of(array(scale)),
                shift: Buffer::of(array(shift)),
                activation: *activation,
            }),
            Op::Binary { with: Arithmetic::Add, activation } if checked.src(id)[1] == shapes[0] => {
                Kernel::Add(*activation)
            }
            Op::Binary { with: Arithmetic::Mul, activation } if checked.is_vector(node.inputs[1]) => {
                Kernel::Scale(*activation)
            }
            Op::Pool { pooling: Pooling::Average, window: None } => Kernel::Pool,
            Op::Softmax => Kernel::Softmax(shapes[0].c),
            Op::TopK { k, softmax } => Kernel::TopK(shapes[0].c, (*k, *softmax)),
            Op::Binary { .. } | Op::Concat | Op::Resize { .. } | Op::Pool { .. } | Op::Activate(_) => {
                return Err(lacks(format_args!("{:?}", node.op)));
            }
            Op::Linear { src_c, weight, bias, activation, .. } => {
                let bias = match bias {
                    Some(name) => array(name),
                    None => &vec![0.0; shapes[1].c],
                };
                Kernel::Matrix(Matrix::new(isa, array(weight), bias, (1, *src_c), *activation))
            }
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
            Kernel::Softmax(channels) => softmax::softmax(team, src, *channels, pixels, dst),
            Kernel::TopK(channels, which) => softmax::best(src, *channels, batch, *which, dst),
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
    let area = conv.window.area();
    let mut to = vec![0.0; from.len()];
    for (to, from) in to.chunks_exact_mut(conv.src_c * area).zip(from.chunks_exact(conv.src_c * area)) {
        for (at, &value) in from.iter().enumerate() {
            to[at % area * conv.src_c + at / area] = value;
        }
    }
    to
}
