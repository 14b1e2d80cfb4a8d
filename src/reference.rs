//! The oracle: runs a graph in plain loops, one function per operation, f32 in, f64 sums, each result
//! rounded once to f32. It is never optimized; everything else is judged by it.
//!
//! ```
//! use mobileone::{Model, Shape, Tensor, reference, sample};
//!
//! let model = Model::from_bytes(sample::DIGITS)?;
//! let input = Tensor::zeros(Shape::new(1, 32, 32, 3));
//! let outputs = reference::run(&model.graph, &model.weights, &input)?;
//! let logits = &outputs[model.graph.logits.unwrap()];
//! assert_eq!(reference::top_k(&reference::softmax(logits.data()), 3).len(), 3);
//! # Ok::<(), mobileone::Error>(())
//! ```

use crate::{
    error::Result,
    graph::{Activation, Checked, Conv, Graph, NodeId, Op},
    tensor::{Shape, Tensor},
    weights::Weights,
};

/// Every node's output for `input`, in the order of the nodes; the first is `input` itself.
///
/// # Errors
/// Those of [`Graph::check`].
pub fn run(graph: &Graph, weights: &Weights, input: &Tensor) -> Result<Vec<Tensor>> {
    let checked = graph.check(weights, input.shape())?;
    let mut outputs: Vec<Tensor> = vec![input.clone()];
    for id in 1..graph.nodes.len() {
        let inputs: Vec<&Tensor> = graph.nodes[id].inputs.iter().map(|&input| &outputs[input]).collect();
        let output = node(&checked, id, &inputs);
        outputs.push(output);
    }
    Ok(outputs)
}

/// What node `id` computes from `inputs`, one tensor per input of the node. For node 0, whose input is the
/// network's, it is that input.
///
/// # Panics
/// When an input has another shape than the node was checked for.
pub fn node(checked: &Checked, id: NodeId, inputs: &[&Tensor]) -> Tensor {
    let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape()).collect();
    assert_eq!(shapes, checked.src(id), "the inputs of {}", checked.graph().label(id));
    let array = |name: &str| checked.weights().find(name).expect("a checked parameter").data.as_slice();
    let (src, dst) = (inputs[0], checked.shapes()[id]);
    match &checked.graph().nodes[id].op {
        Op::Input { .. } => src.clone(),
        Op::Conv { conv, weight, bias, activation } => {
            convolve(src, dst, conv, array(weight), bias.as_deref().map(array), *activation)
        }
        Op::Affine { scale, shift, activation } => affine(src, array(scale), array(shift), *activation),
        Op::Add { activation } => add(src, inputs[1], *activation),
        Op::Pool => pool(src),
        Op::Linear { weight, bias, activation, .. } => {
            linear(src, dst, array(weight), array(bias), *activation)
        }
        Op::Scale { activation } => scale(src, inputs[1], *activation),
    }
}

/// A tensor of `shape` whose values are computed in f64 from `[n, y, x, c]`.
fn tensor(shape: Shape, mut value: impl FnMut([usize; 4]) -> f64) -> Tensor {
    let mut data = Vec::with_capacity(shape.len());
    for n in 0..shape.n {
        for y in 0..shape.h {
            for x in 0..shape.w {
                data.extend((0..shape.c).map(|c| value([n, y, x, c]) as f32));
            }
        }
    }
    Tensor::new(shape, data).expect("a value per place")
}

/// Where `[n, y, x, 0]` stands in a tensor of `shape`.
fn offset(shape: Shape, n: usize, y: usize, x: usize) -> usize {
    ((n * shape.h + y) * shape.w + x) * shape.c
}

fn convolve(
    src: &Tensor,
    dst: Shape,
    conv: &Conv,
    weight: &[f32],
    bias: Option<&[f32]>,
    act: Activation,
) -> Tensor {
    let from = src.shape();
    let (k, depth, group) = (conv.kernel, conv.depth(), conv.dst_c / conv.groups);
    // The pixel below tap `tap` of output `at`, if it is inside
    let under = |at: usize, tap: usize, len| {
        (at * conv.stride + tap).checked_sub(conv.padding).filter(|&place| place < len)
    };
    tensor(dst, |[n, y, x, c]| {
        let mut sum = bias.map_or(0.0, |bias| bias[c] as f64);
        let kernel = &weight[c * depth * k * k..][..depth * k * k];
        for ky in 0..k {
            let Some(row) = under(y, ky, from.h) else { continue };
            for kx in 0..k {
                let Some(column) = under(x, kx, from.w) else { continue };
                let pixel = &src.data()[offset(from, n, row, column) + c / group * depth..][..depth];
                let taps = kernel[ky * k + kx..].iter().step_by(k * k);
                sum += pixel.iter().zip(taps).map(|(&a, &b)| a as f64 * b as f64).sum::<f64>();
            }
        }
        act.apply(sum)
    })
}

fn affine(src: &Tensor, scale: &[f32], shift: &[f32], act: Activation) -> Tensor {
    let shape = src.shape();
    tensor(shape, |[n, y, x, c]| {
        act.apply(src.data()[offset(shape, n, y, x) + c] as f64 * scale[c] as f64 + shift[c] as f64)
    })
}

fn add(a: &Tensor, b: &Tensor, act: Activation) -> Tensor {
    let data = a.data().iter().zip(b.data()).map(|(&a, &b)| act.apply(a as f64 + b as f64) as f32).collect();
    Tensor::new(a.shape(), data).expect("a value per place")
}

fn pool(src: &Tensor) -> Tensor {
    let from = src.shape();
    tensor(Shape::new(from.n, 1, 1, from.c), |[n, _, _, c]| {
        let picture = &src.pictures(n..n + 1)[c..];
        picture.iter().step_by(from.c).map(|&value| value as f64).sum::<f64>() / from.pixels() as f64
    })
}

fn linear(src: &Tensor, dst: Shape, weight: &[f32], bias: &[f32], act: Activation) -> Tensor {
    let from = src.shape();
    tensor(dst, |[n, _, _, c]| {
        let row = &weight[c * from.c..][..from.c];
        let sum: f64 = src.pictures(n..n + 1).iter().zip(row).map(|(&a, &b)| a as f64 * b as f64).sum();
        act.apply(sum + bias[c] as f64)
    })
}

fn scale(src: &Tensor, gate: &Tensor, act: Activation) -> Tensor {
    let shape = src.shape();
    tensor(shape, |[n, y, x, c]| {
        act.apply(src.data()[offset(shape, n, y, x) + c] as f64 * gate.data()[n * shape.c + c] as f64)
    })
}

/// The softmax of one picture's logits; of a single class, its sigmoid.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    if let &[logit] = logits {
        return vec![(1.0 / (1.0 + f64::from(-logit).exp())) as f32];
    }
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max) as f64;
    let powers: Vec<f64> = logits.iter().map(|&logit| (logit as f64 - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}

/// The `k` largest of `values` (all of them if there are fewer) with their indices: the largest first, of
/// equals the lower index first, NaN last.
pub fn top_k(values: &[f32], k: usize) -> Vec<(usize, f32)> {
    let mut order: Vec<(usize, f32)> = values.iter().copied().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| {
        a.is_nan().cmp(&b.is_nan()).then(b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal))
    });
    order.truncate(k);
    order
}
