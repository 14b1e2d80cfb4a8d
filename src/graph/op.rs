//! Operations: what each computes, and beside one another what it writes, what it is made of and what it costs.

use crate::tensor::Shape;

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
    /// Groups that `src_c` and `dst_c` are cut into, each convolved by itself: 1 is dense.
    pub groups: usize,
}

impl Conv {
    /// Rows (or columns) written from `src` rows (or columns); `None` where the kernel is longer than they are with
    /// their padding.
    pub fn dst_len(&self, src: usize) -> Option<usize> {
        let padded = self.padding.checked_mul(2)?.checked_add(src)?;
        padded.checked_sub(self.kernel)?.checked_div(self.stride)?.checked_add(1)
    }

    /// Channels that one output reads: those of its group.
    pub fn depth(&self) -> usize {
        self.src_c.checked_div(self.groups).unwrap_or(0)
    }

    /// Whether each channel is convolved by itself, into one.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.src_c && self.groups == self.dst_c
    }

    /// Whether it is a matrix product over pixels.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.padding == 0 && self.groups == 1
    }

    /// What it writes for a map of `src`.
    fn shape(&self, src: Shape) -> Result<Shape, String> {
        let Conv { src_c, dst_c, kernel, stride, padding, groups } = *self;
        channels(src, src_c)?;
        if [kernel, stride, groups].contains(&0) {
            return Err(format!(
                "kernel {kernel}, stride {stride} and {groups} groups: none of them may be 0"
            ));
        }
        if !src_c.is_multiple_of(groups) || !dst_c.is_multiple_of(groups) {
            return Err(format!("{groups} groups do not divide {src_c} and {dst_c} channels"));
        }
        let (Some(h), Some(w)) = (self.dst_len(src.h), self.dst_len(src.w)) else {
            return Err(format!(
                "a kernel of {kernel}x{kernel} is larger than {src} with a padding of {padding}"
            ));
        };
        // Places are counted from the corner of the padded map, in steps of the stride.
        let around = |len: usize| padding.saturating_mul(2).saturating_add(len);
        countable(Shape { h: around(src.h), w: around(src.w), ..src })?;
        countable(Shape { h: stride, w: 1, ..src })
            .map_err(|_| format!("a stride of {stride} is too large"))?;
        Ok(Shape::new(src.n, h, w, dst_c))
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
    /// How many inputs it reads; [`Op::Input`] reads the network's.
    pub fn inputs(&self) -> usize {
        match self {
            Op::Input { .. } | Op::Conv { .. } | Op::Affine { .. } | Op::Pool | Op::Linear { .. } => 1,
            Op::Add { .. } | Op::Scale { .. } => 2,
        }
    }

    /// What it writes for inputs of `src`.
    ///
    /// # Errors
    /// Why it cannot read them, without the node's name.
    pub fn shape(&self, src: &[Shape]) -> Result<Shape, String> {
        if src.len() != self.inputs() {
            return Err(format!("takes {} inputs, found {}", self.inputs(), src.len()));
        }
        let dst = match self {
            Op::Input { channels: c } => channels(src[0], *c).map(|()| src[0])?,
            Op::Conv { conv, .. } => conv.shape(src[0])?,
            Op::Affine { .. } => src[0],
            Op::Add { .. } if src[0] == src[1] => src[0],
            Op::Add { .. } => return Err(format!("adds inputs of two shapes, {} and {}", src[0], src[1])),
            Op::Pool => vector(src[0]),
            Op::Linear { src_c, dst_c, .. } => {
                channels(src[0], *src_c)?;
                if src[0] != vector(src[0]) {
                    return Err(format!("reads a vector, found a map of {}", src[0]));
                }
                Shape { c: *dst_c, ..src[0] }
            }
            Op::Scale { .. } if src[1] == vector(src[0]) => src[0],
            Op::Scale { .. } => {
                return Err(format!("scales {} by {}, not {}", src[0], src[1], vector(src[0])));
            }
        };
        countable(dst)?;
        Ok(dst)
    }

    /// Names and shapes of its parameters, for inputs of `src`: the weight (or factor) first, then the bias (or
    /// summand), which a convolution may lack.
    pub fn params(&self, src: &[Shape]) -> Vec<(&str, Vec<usize>)> {
        match self {
            Op::Conv { conv, weight, bias, .. } => {
                let weight = (weight.as_str(), vec![conv.dst_c, conv.depth(), conv.kernel, conv.kernel]);
                std::iter::once(weight).chain(bias.as_deref().map(|bias| (bias, vec![conv.dst_c]))).collect()
            }
            Op::Affine { scale, shift, .. } => {
                let c = src.first().map_or(0, |src| src.c);
                vec![(scale, vec![c]), (shift, vec![c])]
            }
            Op::Linear { src_c, dst_c, weight, bias, .. } => {
                vec![(weight, vec![*dst_c, *src_c]), (bias, vec![*dst_c])]
            }
            Op::Input { .. } | Op::Add { .. } | Op::Pool | Op::Scale { .. } => Vec::new(),
        }
    }

    /// What it costs for inputs of `src`, of which it makes `dst`.
    pub fn cost(&self, src: &[Shape], dst: Shape) -> Cost {
        let of =
            |sizes: &[usize]| sizes.iter().fold(1u64, |product, &size| product.saturating_mul(size as u64));
        let macs = match self {
            Op::Conv { conv, .. } => of(&[dst.len(), conv.depth(), conv.kernel, conv.kernel]),
            Op::Affine { .. } => of(&[dst.len()]),
            Op::Linear { src_c, .. } => of(&[dst.len(), *src_c]),
            Op::Input { .. } | Op::Add { .. } | Op::Pool | Op::Scale { .. } => 0,
        };
        let activations = match self {
            Op::Input { .. } => 0,
            Op::Conv { .. }
            | Op::Affine { .. }
            | Op::Add { .. }
            | Op::Pool
            | Op::Linear { .. }
            | Op::Scale { .. } => src.iter().chain([&dst]).map(|shape| shape.len() as u64).sum(),
        };
        Cost { macs, params: self.params(src).iter().map(|(_, shape)| of(shape)).sum(), activations }
    }
}

/// One vector per picture, of as many channels.
fn vector(src: Shape) -> Shape {
    Shape { h: 1, w: 1, ..src }
}

fn channels(src: Shape, expected: usize) -> Result<(), String> {
    match src.c == expected {
        true => Ok(()),
        false => Err(format!("reads {expected} channels, found {src}")),
    }
}

/// Whether every place in a map, of channels padded as any executor pads them, has a number: one of 32 bits within a
/// picture, as shaders count, and a byte's within memory.
fn countable(Shape { n, h, w, c }: Shape) -> Result<(), String> {
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
