//! Re-parameterization: the branches of one position become one convolution. Arithmetic only, in f64,
//! rounded once to f32 at the end.
//!
//! Every branch is linear: `y = s * (K ⊛ x) + t` per channel, where `s = γ / sqrt(σ² + ε)`,
//! `t = β − μ s` and K is the branch's kernel (the identity has one too). Their sum is one convolution,
//! whose kernel is the sum of all `s K` and whose bias is the sum of all `t`.
//!
//! ```
//! use mobileone::reparam::Norm;
//!
//! let norm = Norm { weight: &[2.0], bias: &[1.0], mean: &[3.0], variance: &[4.0], epsilon: 1e-5 };
//! let (scale, shift) = norm.affine(0);
//! assert!((scale * 5.0 + shift - 3.0).abs() < 1e-5); // (5 - 3) / 2 * 2 + 1
//! ```

use std::ops::RangeInclusive;

use crate::graph::Conv;

/// What may be added to each variance before its root is taken.
pub const EPSILONS: RangeInclusive<f64> = f64::MIN_POSITIVE..=0.1;

/// Batch normalization with its statistics, each `[c]`.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// γ, the learned factor.
    pub weight: &'a [f32],
    /// β, the learned summand.
    pub bias: &'a [f32],
    /// μ.
    pub mean: &'a [f32],
    /// σ², above `-epsilon`.
    pub variance: &'a [f32],
    /// ε, above 0.
    pub epsilon: f64,
}

impl Norm<'_> {
    /// The factor `s` and the summand `t` of `channel`.
    pub fn affine(&self, channel: usize) -> (f64, f64) {
        let scale = self.weight[channel] as f64 / (self.variance[channel] as f64 + self.epsilon).sqrt();
        (scale, self.bias[channel] as f64 - self.mean[channel] as f64 * scale)
    }
}

/// One branch of a position, its normalization last.
#[derive(Clone, Copy, Debug)]
pub enum Branch<'a> {
    /// A convolution of the position's geometry; weight `[dst_c, src_c / groups, rows, columns]`.
    Conv(&'a [f32], Norm<'a>),
    /// A 1x1 convolution of the position's stride and groups; weight `[dst_c, src_c / groups, 1, 1]`.
    Scale(&'a [f32], Norm<'a>),
    /// Normalization alone, where stride is 1 and `src_c` is `dst_c`.
    Identity(Norm<'a>),
}

/// The weight `[dst_c, src_c / groups, rows, columns]` and the bias `[dst_c]` of the one convolution that computes
/// the sum of `branches`.
///
/// # Panics
/// When an array does not fit `conv`.
pub fn merge(conv: &Conv, branches: &[Branch]) -> (Vec<f32>, Vec<f32>) {
    let (depth, taps) = (conv.depth(), conv.window.area());
    let centre = taps / 2;
    let mut weight = vec![0f64; conv.dst_c * depth * taps];
    let mut bias = vec![0f64; conv.dst_c];
    for branch in branches {
        let (Branch::Conv(_, norm) | Branch::Scale(_, norm) | Branch::Identity(norm)) = branch;
        match branch {
            Branch::Conv(kernel, _) => assert_eq!(kernel.len(), weight.len()),
            Branch::Scale(kernel, _) => assert_eq!(kernel.len(), conv.dst_c * depth),
            Branch::Identity(_) => assert!(conv.src_c == conv.dst_c && conv.window.stride == [1, 1]),
        }
        for (channel, kernel) in weight.chunks_exact_mut(depth * taps).enumerate() {
            let (scale, shift) = norm.affine(channel);
            bias[channel] += shift;
            match branch {
                Branch::Conv(from, _) => {
                    for (to, &from) in kernel.iter_mut().zip(&from[channel * depth * taps..]) {
                        *to += from as f64 * scale;
                    }
                }
                Branch::Scale(from, _) => {
                    let centres = kernel.iter_mut().skip(centre).step_by(taps);
                    for (to, &from) in centres.zip(&from[channel * depth..]) {
                        *to += from as f64 * scale;
                    }
                }
                Branch::Identity(_) => kernel[channel % depth * taps + centre] += scale,
            }
        }
    }
    let round = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    (round(weight), round(bias))
}

/// A normalization by itself, as arrays `scale` and `shift` of `[c]`.
pub fn affine(norm: &Norm) -> (Vec<f32>, Vec<f32>) {
    (0..norm.weight.len()).map(|channel| norm.affine(channel)).map(|(s, t)| (s as f32, t as f32)).unzip()
}
