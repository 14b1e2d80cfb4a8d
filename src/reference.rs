//! The oracle: runs a graph in plain loops, one function per operation, f32 in, f64 sums, each result
//! rounded once to f32. It is never optimized; everything else is judged by it.
//!
//! ```
//! use mobileone::{Model, Shape, Tensor, reference, sample};
//!
//! let model = Model::from_bytes(sample::DIGITS)?;
//! let input = Tensor::zeros(Shape::new(1, 32, 32, 3));
//! let outputs = reference::run(&model.graph, &model.weights, &input)?;
//! let logits = &outputs[model.graph.output("logits").unwrap()];
//! assert_eq!(reference::top_k(&reference::softmax(logits.data()), 3).len(), 3);
//! # Ok::<(), mobileone::Error>(())
//! ```

use crate::{
    error::Result,
    graph::{Activation, Arithmetic, Checked, Conv, Filter, Graph, NodeId, Op, Pooling, Window},
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
        Op::Linear { weight, bias, activation, .. } => {
            linear(src, dst, array(weight), bias.as_deref().map(array), *activation)
        }
        Op::Binary { with, activation } => binary(src, inputs[1], *with, *activation),
        Op::Concat => concat(inputs, dst),
        Op::Resize { filter, .. } => resize(src, dst, *filter),
        Op::Pool { pooling, window } => {
            pool(src, dst, *pooling, window.unwrap_or(Window::whole(src.shape())))
        }
        Op::Softmax => softmax_of_pixels(src),
        Op::Activate(activation) => activate(src, *activation),
        Op::TopK { k, softmax } => best(src, dst, *k, *softmax),
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
    let Conv { window, .. } = conv;
    let (area, depth, group) = (window.area(), conv.depth(), conv.dst_c / conv.groups);
    tensor(dst, |[n, y, x, c]| {
        let mut sum = bias.map_or(0.0, |bias| bias[c] as f64);
        let kernel = &weight[c * depth * area..][..depth * area];
        for ky in 0..window.kernel[0] {
            let Some(row) = window.under(0, y, ky, from.h) else { continue };
            for kx in 0..window.kernel[1] {
                let Some(column) = window.under(1, x, kx, from.w) else { continue };
                let pixel = &src.data()[offset(from, n, row, column) + c / group * depth..][..depth];
                let taps = kernel[ky * window.kernel[1] + kx..].iter().step_by(area);
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

fn linear(src: &Tensor, dst: Shape, weight: &[f32], bias: Option<&[f32]>, act: Activation) -> Tensor {
    let from = src.shape();
    tensor(dst, |[n, _, _, c]| {
        let row = &weight[c * from.c..][..from.c];
        let sum: f64 = src.pictures(n..n + 1).iter().zip(row).map(|(&a, &b)| a as f64 * b as f64).sum();
        act.apply(sum + bias.map_or(0.0, |bias| bias[c] as f64))
    })
}

fn binary(a: &Tensor, b: &Tensor, with: Arithmetic, act: Activation) -> Tensor {
    let (shape, other) = (a.shape(), b.shape());
    let each = other == shape;
    tensor(shape, |[n, y, x, c]| {
        let second = if each { offset(shape, n, y, x) } else { n * shape.c };
        let (a, b) = (a.data()[offset(shape, n, y, x) + c], b.data()[second + c]);
        act.apply(with.apply(a as f64, b as f64))
    })
}

fn concat(inputs: &[&Tensor], dst: Shape) -> Tensor {
    tensor(dst, |[n, y, x, mut c]| {
        for input in inputs {
            match c.checked_sub(input.shape().c) {
                Some(rest) => c = rest,
                None => return input.data()[offset(input.shape(), n, y, x) + c] as f64,
            }
        }
        unreachable!("channels of the inputs")
    })
}

fn resize(src: &Tensor, dst: Shape, filter: Filter) -> Tensor {
    let from = src.shape();
    let pixel = |n, y, x, c| src.data()[offset(from, n, y, x) + c] as f64;
    // The two places around output `at`, and the share of the latter.
    let around = |at: usize, src: usize, dst: usize| {
        let place = match filter {
            Filter::Nearest => (at as u128 * src as u128 / dst as u128) as f64,
            Filter::Bilinear => ((at as f64 + 0.5) * src as f64 / dst as f64 - 0.5).max(0.0),
            Filter::BilinearCorners if dst == 1 => 0.0,
            Filter::BilinearCorners => at as f64 * (src - 1) as f64 / (dst - 1) as f64,
        };
        let first = (place as usize).min(src - 1);
        (first, (first + 1).min(src - 1), place - first as f64)
    };
    tensor(dst, |[n, y, x, c]| {
        let (top, bottom, down) = around(y, from.h, dst.h);
        let (left, right, across) = around(x, from.w, dst.w);
        let row = |y| pixel(n, y, left, c) * (1.0 - across) + pixel(n, y, right, c) * across;
        row(top) * (1.0 - down) + row(bottom) * down
    })
}

fn pool(src: &Tensor, dst: Shape, pooling: Pooling, window: Window) -> Tensor {
    let from = src.shape();
    tensor(dst, |[n, y, x, c]| {
        let (mut sum, mut largest, mut count) = (0.0, f64::NEG_INFINITY, 0);
        for ky in 0..window.kernel[0] {
            let Some(row) = window.under(0, y, ky, from.h) else { continue };
            for kx in 0..window.kernel[1] {
                let Some(column) = window.under(1, x, kx, from.w) else { continue };
                let value = src.data()[offset(from, n, row, column) + c] as f64;
                sum += value;
                // NaN stays, whatever comes after it.
                largest = if value > largest || value.is_nan() { value } else { largest };
                count += 1;
            }
        }
        match pooling {
            Pooling::Average => sum / count as f64,
            Pooling::PaddedAverage => sum / window.area() as f64,
            Pooling::Max => largest,
        }
    })
}

fn softmax_of_pixels(src: &Tensor) -> Tensor {
    let shape = src.shape();
    let mut data = Vec::with_capacity(shape.len());
    for pixel in src.data().chunks_exact(shape.c) {
        let largest = pixel.iter().copied().fold(f32::NEG_INFINITY, f32::max) as f64;
        let powers: Vec<f64> = pixel.iter().map(|&value| (value as f64 - largest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        data.extend(powers.into_iter().map(|power| (power / sum) as f32));
    }
    Tensor::new(shape, data).expect("a value per place")
}

fn activate(src: &Tensor, act: Activation) -> Tensor {
    let data = src.data().iter().map(|&value| act.apply(value as f64) as f32).collect();
    Tensor::new(src.shape(), data).expect("a value per place")
}

fn best(src: &Tensor, dst: Shape, k: usize, softmax: bool) -> Tensor {
    let picture = |n| {
        let src = src.pictures(n..n + 1);
        let values = if softmax { self::softmax(src) } else { src.to_vec() };
        top_k(src, k).into_iter().flat_map(move |(c, _)| [c as f32, values[c]])
    };
    let data = (0..dst.n).flat_map(picture).collect();
    Tensor::new(dst, data).expect("a value per place")
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
