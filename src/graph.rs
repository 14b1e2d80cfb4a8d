//! A network as plain data: nodes in running order, each naming its parameters.
//!
//! ```
//! use mobileone::{Model, Shape, sample};
//!
//! let graph = Model::from_bytes(sample::DIGITS)?.graph;
//! let input = Shape::new(1, 80, 80, 3);
//! for ((node, shape), cost) in graph.nodes.iter().zip(graph.shapes(input)).zip(graph.costs(input)) {
//!     println!("{:<20} {shape}  {} multiply-adds", node.name, cost.macs);
//! }
//! # Ok::<(), mobileone::Error>(())
//! ```

use crate::tensor::Shape;

/// The index of a node in [`Graph::nodes`].
pub type NodeId = usize;

/// What is applied to each value as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`, NaN kept.
    Relu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

impl Activation {
    /// The activation of one value.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Activation::None => x,
            Activation::Relu if x < 0.0 => 0.0,
            Activation::Relu => x,
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }
}

/// The geometry of a convolution; square kernels, the same stride and padding both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Channels read.
    pub src_c: usize,
    /// Channels written.
    pub dst_c: usize,
    /// Rows and columns of the kernel.
    pub kernel: usize,
    /// Step between outputs.
    pub stride: usize,
    /// Zeros around the map, on each side.
    pub padding: usize,
    /// Channel groups: 1 (dense) or `src_c` (depthwise).
    pub groups: usize,
}

impl Conv {
    /// Rows (or columns) written from `src` rows (or columns).
    pub fn dst_len(&self, src: usize) -> usize {
        (src + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Whether each channel is convolved by itself.
    pub fn is_depthwise(&self) -> bool {
        self.groups == self.src_c && self.groups > 1
    }

    /// Whether it is a matrix product over pixels.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.groups == 1
    }
}

/// One operation. Parameter fields name arrays of the graph's [`Weights`](crate::Weights).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// The network's input, of this many channels.
    Input {
        /// Channels.
        channels: usize,
    },
    /// `y = act(conv(x) + bias)`; weight `[dst_c, src_c / groups, k, k]`, bias `[dst_c]`.
    Conv {
        /// The geometry.
        conv: Conv,
        /// The weight's name.
        weight: String,
        /// The bias' name.
        bias: Option<String>,
        /// Applied last.
        activation: Activation,
    },
    /// `y = act(x * scale + shift)` per channel: batch normalization as it runs; both `[c]`.
    Affine {
        /// The factor's name.
        scale: String,
        /// The summand's name.
        shift: String,
        /// Applied last; a position with one branch has its ReLU here.
        activation: Activation,
    },
    /// `y = act(a + b)`, the two inputs of one shape.
    Add {
        /// Applied last.
        activation: Activation,
    },
    /// Mean over all pixels: `[n, h, w, c]` to `[n, 1, 1, c]`.
    Pool,
    /// `y = act(W x + b)` on `[n, 1, 1, src_c]`; weight `[dst_c, src_c]`, bias `[dst_c]`.
    Linear {
        /// Channels read.
        src_c: usize,
        /// Channels written.
        dst_c: usize,
        /// The weight's name.
        weight: String,
        /// The bias' name.
        bias: String,
        /// Applied last.
        activation: Activation,
    },
    /// `y = act(x * gate)`; inputs `[n, h, w, c]` and `[n, 1, 1, c]`: squeeze-excite's last step.
    Scale {
        /// Applied last.
        activation: Activation,
    },
}

/// One step of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands in the network, as in `stages.2.7` or `stages.2.7.attn.fc1`.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes it reads, all of them earlier.
    pub inputs: Vec<NodeId>,
}

/// A network: nodes in running order. Node 0 is its [`Op::Input`].
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Graph {
    /// The nodes; each reads earlier ones only.
    pub nodes: Vec<Node>,
    /// The pooled features `[n, 1, 1, c]`.
    pub features: NodeId,
    /// The classifier's output `[n, 1, 1, classes]`, if the network has one.
    pub logits: Option<NodeId>,
}

/// What one node costs for one picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// Multiply-adds; a multiplication or an addition alone does not count.
    pub macs: u64,
    /// Scalars of weights and biases.
    pub params: u64,
    /// Scalars read and written, weights excluded.
    pub activations: u64,
}

impl Graph {
    /// Appends a node and returns its id.
    pub fn push(&mut self, name: impl Into<String>, op: Op, inputs: &[NodeId]) -> NodeId {
        assert!(inputs.iter().all(|&i| i < self.nodes.len()), "a node reads earlier nodes only");
        self.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec() });
        self.nodes.len() - 1
    }

    /// Channels of the input.
    pub fn input_channels(&self) -> usize {
        match self.nodes[0].op {
            Op::Input { channels } => channels,
            ref op => unreachable!("node 0 is {op:?}"),
        }
    }

    /// Classes of the classifier, if there is one.
    pub fn classes(&self) -> Option<usize> {
        self.logits.map(|id| match self.nodes[id].op {
            Op::Linear { dst_c, .. } => dst_c,
            ref op => unreachable!("logits come from {op:?}"),
        })
    }

    /// [`slots`] for each node's output, of `sizes`: slot 0 is the input's alone; features and logits are kept.
    pub fn slots(&self, sizes: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let reads: Vec<Vec<usize>> = self.nodes.iter().map(|node| node.inputs.clone()).collect();
        let kept: Vec<usize> = [Some(0), Some(self.features), self.logits].into_iter().flatten().collect();
        slots(&reads, &kept, sizes)
    }

    /// The shape that each node writes for an input of `input`.
    ///
    /// # Panics
    /// When the input is [too small](Graph::too_small).
    pub fn shapes(&self, input: Shape) -> Vec<Shape> {
        self.infer(input).unwrap_or_else(|id| panic!("{input} is too small for {}", self.nodes[id].name))
    }

    /// The first node whose kernel is larger than the padded map that it would read from an input of `input`.
    pub fn too_small(&self, input: Shape) -> Option<NodeId> {
        self.infer(input).err()
    }

    fn infer(&self, input: Shape) -> Result<Vec<Shape>, NodeId> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for (id, node) in self.nodes.iter().enumerate() {
            let src = node.inputs.first().map_or(input, |&i| shapes[i]);
            shapes.push(match &node.op {
                Op::Conv { conv, .. } if src.h.min(src.w) + 2 * conv.padding < conv.kernel => return Err(id),
                Op::Conv { conv, .. } => {
                    Shape::new(src.n, conv.dst_len(src.h), conv.dst_len(src.w), conv.dst_c)
                }
                Op::Pool => Shape::new(src.n, 1, 1, src.c),
                Op::Linear { dst_c, .. } => Shape::new(src.n, 1, 1, *dst_c),
                Op::Input { .. } | Op::Affine { .. } | Op::Add { .. } | Op::Scale { .. } => src,
            });
        }
        Ok(shapes)
    }

    /// What each node costs for one picture of `input`.
    pub fn costs(&self, input: Shape) -> Vec<Cost> {
        let shapes = self.shapes(input.with_batch(1));
        let cost = |(id, node): (usize, &Node)| {
            let dst = shapes[id].len() as u64;
            let src: u64 = node.inputs.iter().map(|&i| shapes[i].len() as u64).sum();
            let (macs, params) = match &node.op {
                Op::Input { .. } | Op::Pool | Op::Add { .. } | Op::Scale { .. } => (0, 0),
                Op::Conv { conv, bias, .. } => {
                    let taps = (conv.src_c / conv.groups * conv.kernel * conv.kernel) as u64;
                    let bias = bias.as_ref().map_or(0, |_| conv.dst_c as u64);
                    (dst * taps, conv.dst_c as u64 * taps + bias)
                }
                Op::Affine { .. } => (dst, 2 * shapes[id].c as u64),
                Op::Linear { src_c, dst_c, .. } => ((src_c * dst_c) as u64, (src_c * dst_c + dst_c) as u64),
            };
            Cost { macs, params, activations: if id == 0 { 0 } else { src + dst } }
        };
        self.nodes.iter().enumerate().map(cost).collect()
    }
}

/// A slot for the output of each step, of `sizes`, such that no two outputs that are needed at once share one;
/// and each slot's size. Step `i` reads the outputs of the earlier steps `reads[i]`; those in `kept` are needed
/// to the end.
pub fn slots(reads: &[Vec<usize>], kept: &[usize], sizes: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut last: Vec<usize> = (0..reads.len()).collect();
    for (step, inputs) in reads.iter().enumerate() {
        inputs.iter().for_each(|&input| last[input] = step);
    }
    kept.iter().for_each(|&step| last[step] = usize::MAX);
    let (mut slots, mut largest): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut free: Vec<usize> = Vec::new();
    for (step, &size) in sizes.iter().enumerate() {
        // The smallest free slot that is large enough, else the largest, which grows.
        let fit = |slot: &usize| (largest[*slot] < size, largest[*slot].abs_diff(size));
        let slot = free.iter().copied().min_by_key(fit).unwrap_or(largest.len());
        match largest.get_mut(slot) {
            Some(largest) => *largest = size.max(*largest),
            None => largest.push(size),
        }
        free.retain(|&other| other != slot);
        slots.push(slot);
        free.extend((0..=step).filter(|&done| last[done] == step).map(|done| slots[done]));
    }
    (slots, largest)
}
