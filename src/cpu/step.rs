//! One node as it runs: which loops, and its parameters in the order in which they are read.

use super::{
    activation::Activated,
    blocks::Buffer,
    concat::Concat,
    depthwise::Depthwise,
    elementwise::{self, Affine, Binary},
    matmul::{Dense, Layout, Matrix},
    microkernels::Isa,
    pool::Pool,
    resize::Resize,
    softmax,
    workspace::Workspace,
};
use crate::graph::{Checked, Conv, NodeId, Op};

/// The loops of one operation with its packed parameters.
pub enum Kernel {
    /// A product of every pixel with a matrix; of the one pixel of a vector too.
    Matrix(Matrix),
    /// A convolution of all channels or of groups: pixels under the kernel gathered, then matrix products.
    Dense(Dense),
    /// A convolution of each channel by itself.
    Depthwise(Depthwise),
    /// A factor and a summand per channel.
    Affine(Affine),
    /// What is made of two inputs.
    Binary(Binary),
    /// The channels of all inputs.
    Concat(Concat),
    /// Another size.
    Resize(Resize),
    /// One value of many.
    Pool(Pool),
    /// The softmax over so many channels.
    Softmax(usize),
    /// An activation by itself.
    Activate(Activated),
    /// Of so many channels so many largest, with their softmax or with themselves.
    TopK(usize, (usize, bool)),
}

impl Kernel {
    /// The loops of node `id` for one picture, which lies as `layout` says.
    pub fn new(isa: Isa, checked: &Checked, id: NodeId, layout: Layout) -> Kernel {
        let array = |name: &str| checked.weights().find(name).expect("a checked parameter").data.as_slice();
        let src = checked.src(id);
        let shapes @ [from, to] = [src[0], checked.shapes()[id]];
        let zeros = vec![0.0; to.c];
        let summand = |name: &Option<String>| name.as_deref().map_or(zeros.as_slice(), array);
        match &checked.graph().nodes[id].op {
            Op::Input { .. } => unreachable!("the input is not computed"),
            Op::Conv { conv, weight, bias, activation } => {
                let (weight, bias) = (array(weight), summand(bias));
                if is_depthwise(conv) {
                    Kernel::Depthwise(Depthwise::new(isa, conv, shapes, weight, bias, *activation))
                } else if conv.is_pointwise() && layout == Layout::Blocks {
                    Kernel::Matrix(Matrix::new(isa, weight, bias, (1, conv.src_c), *activation))
                } else {
                    Kernel::Dense(Dense::new(isa, conv, (shapes, layout), weight, bias, *activation))
                }
            }
            Op::Affine { scale, shift, activation } => Kernel::Affine(Affine {
                scale: Buffer::of(array(scale)),
                shift: Buffer::of(array(shift)),
                activated: Activated::by(*activation),
            }),
            Op::Binary { with, activation } => Kernel::Binary(Binary {
                with: *with,
                vector: src[1] != from,
                activated: Activated::by(*activation),
            }),
            Op::Concat => Kernel::Concat(Concat::new(src.iter().map(|src| src.c))),
            Op::Resize { filter, .. } => Kernel::Resize(Resize::new(*filter, shapes)),
            Op::Pool { pooling, window } => {
                Kernel::Pool(Pool { pooling: *pooling, window: *window, src: from, dst: to })
            }
            Op::Softmax => Kernel::Softmax(from.c),
            Op::Activate(activation) => Kernel::Activate(Activated::by(*activation)),
            Op::TopK { k, softmax } => Kernel::TopK(from.c, (*k, *softmax)),
            Op::Linear { src_c, weight, bias, activation, .. } => {
                Kernel::Matrix(Matrix::new(isa, array(weight), summand(bias), (1, *src_c), *activation))
            }
        }
    }

    /// Whether it reads its input as the network is given it.
    pub fn reads_nhwc(&self) -> bool {
        matches!(self, Kernel::Dense(dense) if dense.layout == Layout::Nhwc)
    }

    /// Computes `dst`, of `pixels`; `src` gives each input of the node.
    pub fn run<'a>(
        &self,
        frame: &Workspace,
        src: &(dyn Fn(usize) -> &'a [f32] + Sync),
        dst: &mut [f32],
        pixels: usize,
    ) {
        match self {
            Kernel::Matrix(matrix) => matrix.run(frame.team, src(0), dst, pixels),
            Kernel::Dense(dense) => dense.run(frame, src(0), dst),
            Kernel::Depthwise(depthwise) => depthwise.run(frame, src(0), dst),
            Kernel::Affine(affine) => affine.run(frame, src(0), pixels, dst),
            Kernel::Binary(binary) => binary.run(frame, [src(0), src(1)], pixels, dst),
            Kernel::Concat(concat) => concat.run(frame, src, pixels, dst),
            Kernel::Resize(resize) => resize.run(frame, src(0), dst),
            Kernel::Pool(pool) => pool.run(frame, src(0), dst),
            Kernel::Softmax(channels) => softmax::softmax(frame, src(0), *channels, pixels, dst),
            Kernel::Activate(activated) => elementwise::activate(frame, activated, src(0), pixels, dst),
            Kernel::TopK(channels, which) => softmax::best(src(0), *channels, frame.batch, *which, dst),
        }
    }
}

/// Whether each channel is convolved by itself, into one or more.
fn is_depthwise(conv: &Conv) -> bool {
    conv.groups > 1 && conv.groups == conv.src_c
}

/// Whether `op` can read the input as the network is given it.
pub fn can_read_nhwc(op: &Op) -> bool {
    matches!(op, Op::Conv { conv, .. } if conv.groups == 1)
}
