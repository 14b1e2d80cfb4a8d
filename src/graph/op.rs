//! Operations: what each computes, and beside one another what it writes, what it is made of and what it costs.

use std::ops::RangeInclusive;

use super::{Activation, Conv, Window};
use crate::tensor::Shape;

/// What is made of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arithmetic {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`.
    Div,
}

impl Arithmetic {
    /// Every one.
    pub const ALL: [Arithmetic; 4] = [Arithmetic::Add, Arithmetic::Sub, Arithmetic::Mul, Arithmetic::Div];

    /// What it makes of `a` and `b`.
    pub fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            Arithmetic::Add => a + b,
            Arithmetic::Sub => a - b,
            Arithmetic::Mul => a * b,
            Arithmetic::Div => a / b,
        }
    }
}

/// What is made of the values under a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pooling {
    /// Their mean; where the window hangs over the map's edge, of those inside.
    Average,
    /// Their mean, what is outside counted as zeros.
    PaddedAverage,
    /// The largest.
    Max,
}

/// How a map is made larger or smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filter {
    /// The pixel below: output `i` reads pixel `floor(i * src / dst)`.
    Nearest,
    /// Between the pixels around `(i + 0.5) * src / dst - 0.5`.
    Bilinear,
    /// Between the pixels around `i * (src - 1) / (dst - 1)`, so that corners stay corners.
    BilinearCorners,
}

/// The size that a map is resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// Rows and columns.
    Exact([usize; 2]),
    /// So many times the rows and columns.
    Times([usize; 2]),
    /// As many as the second input has.
    Like,
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
    /// `y = act(a with b)`: two inputs of one shape, or a map `[n, h, w, c]` and a vector `[n, 1, 1, c]`, which meets every
    /// pixel, as in squeeze-excite.
    Binary {
        /// What is made of them.
        with: Arithmetic,
        /// Applied last.
        activation: Activation,
    },
    /// The channels of one input after those of the other, of any number of inputs.
    Concat,
    /// A map of another size.
    Resize {
        /// How.
        filter: Filter,
        /// To what.
        to: Size,
    },
    /// One value of those under a window, per channel; without a window, of all pixels: `[n, h, w, c]` to `[n, 1, 1, c]`.
    Pool {
        /// Which.
        pooling: Pooling,
        /// What slides; every place of it meets the map.
        window: Option<Window>,
    },
    /// `exp(x) / sum of exp(x)` over the channels of each pixel.
    Softmax,
    /// `y = act(x)`, by itself.
    Activate(Activation),
    /// The largest channels of a vector, the largest first, of equals the lower: `[n, 1, 1, c]` to `[n, 1, k, 2]`, each a
    /// channel and its value.
    TopK {
        /// How many.
        k: usize,
        /// Whether its softmax stands for the value; of a single channel its sigmoid.
        softmax: bool,
    },
    /// `y = act(W x + b)` on `[n, 1, 1, src_c]`; weight `[dst_c, src_c]`, bias `[dst_c]`.
    Linear {
        /// Channels read.
        src_c: usize,
        /// Channels written.
        dst_c: usize,
        /// The weight's name.
        weight: String,
        /// The bias' name.
        bias: Option<String>,
        /// Applied last.
        activation: Activation,
    },
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

impl Op {
    /// The mean over all pixels.
    pub const MEAN: Op = Op::Pool { pooling: Pooling::Average, window: None };

    /// Whether it is the mean over all pixels of a map, which has no padding.
    pub fn is_mean(&self) -> bool {
        matches!(self, Op::Pool { pooling: Pooling::Average | Pooling::PaddedAverage, window: None })
    }

    /// How many inputs it reads; [`Op::Input`] reads the network's.
    pub fn inputs(&self) -> RangeInclusive<usize> {
        match self {
            Op::Input { .. }
            | Op::Conv { .. }
            | Op::Affine { .. }
            | Op::Linear { .. }
            | Op::Resize { to: Size::Exact(_) | Size::Times(_), .. }
            | Op::Pool { .. }
            | Op::Softmax
            | Op::Activate(_)
            | Op::TopK { .. } => 1..=1,
            Op::Binary { .. } | Op::Resize { to: Size::Like, .. } => 2..=2,
            Op::Concat => 1..=usize::MAX,
        }
    }

    /// What it writes for inputs of `src`.
    ///
    /// # Errors
    /// Why it cannot read them, without the node's name.
    pub fn shape(&self, src: &[Shape]) -> Result<Shape, String> {
        if !self.inputs().contains(&src.len()) {
            return Err(format!("takes {} inputs, found {}", self.inputs().start(), src.len()));
        }
        let dst = match self {
            Op::Input { channels: c } => channels(src[0], *c).map(|()| src[0])?,
            Op::Conv { conv, .. } => conv.shape(src[0])?,
            Op::Affine { .. } => src[0],
            Op::Linear { src_c, dst_c, .. } => {
                channels(src[0], *src_c)?;
                Shape { c: *dst_c, ..one_pixel(src[0])? }
            }
            Op::Binary { with, .. } => match src[1] == src[0] || src[1] == vector(src[0]) {
                true => src[0],
                false => {
                    let sign = ["+", "-", "*", "/"][*with as usize];
                    return Err(format!("{} {sign} {} do not go together", src[0], src[1]));
                }
            },
            Op::Concat => src[1..].iter().try_fold(src[0], |all, &next| {
                match (Shape { c: 0, ..all }) == (Shape { c: 0, ..next }) {
                    true => Ok(Shape { c: all.c.saturating_add(next.c), ..all }),
                    false => Err(format!("a map of {next} cannot stand beside one of {}", src[0])),
                }
            })?,
            Op::Resize { to, .. } => {
                let [h, w] = match *to {
                    Size::Exact(size) => size,
                    Size::Times([h, w]) => [src[0].h.saturating_mul(h), src[0].w.saturating_mul(w)],
                    Size::Like if src[0].n == src[1].n => [src[1].h, src[1].w],
                    Size::Like => return Err(format!("a batch of {} cannot follow {}", src[0], src[1])),
                };
                Shape { h, w, ..src[0] }
            }
            Op::Pool { window: None, .. } => vector(src[0]),
            Op::Pool { window: Some(window), .. } => pooled(window, src[0])?,
            Op::Softmax | Op::Activate(_) => src[0],
            Op::TopK { k, .. } if *k > src[0].c => {
                return Err(format!("the best {k} of {} channels", src[0].c));
            }
            Op::TopK { k, .. } => Shape { w: *k, c: 2, ..one_pixel(src[0])? },
        };
        countable(dst)?;
        Ok(dst)
    }

    /// Names and shapes of its parameters, for inputs of `src`: the weight (or factor) first, then the bias (or
    /// summand), which a convolution or linear layer may lack.
    pub fn params(&self, src: &[Shape]) -> Vec<(&str, Vec<usize>)> {
        match self {
            Op::Conv { conv, weight, bias, .. } => biased(weight, conv.weight().to_vec(), bias),
            Op::Linear { src_c, dst_c, weight, bias, .. } => biased(weight, vec![*dst_c, *src_c], bias),
            Op::Affine { scale, shift, .. } => {
                let c = src.first().map_or(0, |src| src.c);
                vec![(scale, vec![c]), (shift, vec![c])]
            }
            Op::Input { .. }
            | Op::Binary { .. }
            | Op::Concat
            | Op::Resize { .. }
            | Op::Pool { .. }
            | Op::Softmax
            | Op::Activate(_)
            | Op::TopK { .. } => Vec::new(),
        }
    }

    /// What it costs for inputs of `src`, of which it makes `dst`.
    pub fn cost(&self, src: &[Shape], dst: Shape) -> Cost {
        let of =
            |sizes: &[usize]| sizes.iter().fold(1u64, |product, &size| product.saturating_mul(size as u64));
        let macs = match self {
            Op::Conv { conv, .. } => of(&[dst.len(), conv.depth(), conv.window.area()]),
            Op::Affine { .. } => of(&[dst.len()]),
            Op::Linear { src_c, .. } => of(&[dst.len(), *src_c]),
            Op::Input { .. }
            | Op::Binary { .. }
            | Op::Concat
            | Op::Resize { .. }
            | Op::Pool { .. }
            | Op::Softmax
            | Op::Activate(_)
            | Op::TopK { .. } => 0,
        };
        let activations = match self {
            Op::Input { .. } => 0,
            _ => src.iter().chain([&dst]).map(|shape| shape.len() as u64).sum(),
        };
        Cost { macs, params: self.params(src).iter().map(|(_, shape)| of(shape)).sum(), activations }
    }

    /// Applied last, by operations that have one.
    pub fn activation(&self) -> Option<Activation> {
        match self {
            Op::Conv { activation, .. }
            | Op::Affine { activation, .. }
            | Op::Linear { activation, .. }
            | Op::Binary { activation, .. }
            | Op::Activate(activation) => Some(*activation),
            Op::Input { .. }
            | Op::Concat
            | Op::Resize { .. }
            | Op::Pool { .. }
            | Op::Softmax
            | Op::TopK { .. } => None,
        }
    }
}

/// A weight and the bias per output that it may have.
fn biased<'a>(weight: &'a str, shape: Vec<usize>, bias: &'a Option<String>) -> Vec<(&'a str, Vec<usize>)> {
    let outputs = shape[0];
    std::iter::once((weight, shape)).chain(bias.as_deref().map(|bias| (bias, vec![outputs]))).collect()
}

/// `src`, where it is one vector per picture.
fn one_pixel(src: Shape) -> Result<Shape, String> {
    match src == vector(src) {
        true => Ok(src),
        false => Err(format!("reads a vector, found a map of {src}")),
    }
}

/// What `window` makes of a map of `src`, none of its places in the padding alone, where there is nothing to pool.
fn pooled(window: &Window, src: Shape) -> Result<Shape, String> {
    let dst = window.shape(src)?;
    for (axis, (from, to)) in [(src.h, dst.h), (src.w, dst.w)].into_iter().enumerate() {
        let [before, after] = window.padding[axis];
        let edge = window.extent(axis).unwrap_or(usize::MAX);
        // The first tap of output `at` behind the padding before the map: is it on the map?
        let meets = |at: usize| {
            let outside = before.saturating_sub(at * window.stride[axis]);
            let tap = outside.div_ceil(window.dilation[axis]);
            tap < window.kernel[axis] && window.under(axis, at, tap, from).is_some()
        };
        // With less padding than kernel no more places than these hang over an edge.
        let mut edges = (0..to.min(edge)).chain(to.saturating_sub(edge)..to);
        if before >= edge || after >= edge || !edges.all(meets) {
            return Err(format!("{window} has places where all of it is padding"));
        }
    }
    Ok(dst)
}

/// One vector per picture, of as many channels.
fn vector(src: Shape) -> Shape {
    Shape { h: 1, w: 1, ..src }
}

/// Whether a map has so many channels.
pub(super) fn channels(src: Shape, expected: usize) -> Result<(), String> {
    match src.c == expected {
        true => Ok(()),
        false => Err(format!("reads {expected} channels, found {src}")),
    }
}

/// Whether every place in a map, of channels padded as any executor pads them, has a number: one of 32 bits within a
/// picture, as shaders count, and a byte's within memory.
pub(super) fn countable(Shape { n, h, w, c }: Shape) -> Result<(), String> {
    if [n, h, w, c].contains(&0) {
        return Err(format!("a map of {} holds nothing", Shape::new(n, h, w, c)));
    }
    let product = |sizes: &[usize]| sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let picture = c.checked_next_multiple_of(16).and_then(|c| product(&[h, w, c]));
    let picture = picture.filter(|&scalars| u32::try_from(scalars).is_ok());
    let bytes = picture.and_then(|scalars| product(&[scalars, n, size_of::<f32>()]));
    match bytes.is_some_and(|bytes| isize::try_from(bytes).is_ok()) {
        true => Ok(()),
        false => Err(format!("a map of {} is too large", Shape::new(n, h, w, c))),
    }
}
