//! Matrix products over pixels, through the `gemm` crate: `dst[pixels][dst_c] = src[pixels][src_c] weight`.

use gemm::{Parallelism, gemm};
use pulp::Arch;
use rayon::prelude::*;

use super::elementwise::{activate, relu};
use crate::{
    graph::{Activation, Conv},
    tensor::Shape,
};

/// Scalars of `src` and `dst` that one block should hold, to stay in a core's own cache.
const BLOCK: usize = 1 << 15;
/// Blocks whose pixels are gathered before any of their memory is used again.
const BAND: usize = 64;
/// Fewer pixels than this are not cut: the product is cut by channels instead, in `gemm`.
const FEW: usize = 64;

/// A 1x1 convolution; weight `[src_c][dst_c]`, bias `[dst_c]`.
pub fn pointwise(src: &[f32], weight: &[f32], bias: &[f32], activation: Activation, dst: &mut [f32]) {
    let dst_c = bias.len();
    let (src_c, pixels) = (weight.len() / dst_c, dst.len() / dst_c);
    if pixels < FEW {
        product(src, weight, dst, dst_c, Parallelism::Rayon(0));
        finish(dst, bias, activation);
        return;
    }
    let block = block(pixels, src_c + dst_c);
    dst.par_chunks_mut(block * dst_c).zip(src.par_chunks(block * src_c)).for_each(|(dst, src)| {
        product(src, weight, dst, dst_c, Parallelism::None);
        finish(dst, bias, activation);
    });
}

/// Pixels to a block: equal blocks, a multiple of 8 pixels each.
fn block(pixels: usize, scalars_per_pixel: usize) -> usize {
    let most = (BLOCK / scalars_per_pixel).clamp(FEW, 1024);
    pixels.div_ceil(pixels.div_ceil(most)).next_multiple_of(8)
}

/// A dense convolution of any kernel, stride and padding, for one size of map.
pub struct Dense {
    conv: Conv,
    src: Shape,
    /// `[k][k][src_c][dst_c]`.
    weight: Vec<f32>,
    /// `[dst_c]`.
    bias: Vec<f32>,
    activation: Activation,
    /// What lies under the kernel at each output pixel of one band: `[pixels][k][k][src_c]`.
    patches: Vec<f32>,
    /// Output pixels that one task computes.
    block: usize,
}

impl Dense {
    /// For pictures of shape `src`; weight `[k][k][src_c][dst_c]`.
    pub fn new(conv: &Conv, src: Shape, weight: Vec<f32>, bias: Vec<f32>, activation: Activation) -> Dense {
        assert_eq!(conv.groups, 1, "no loops for {conv:?}");
        let pixels = conv.dst_len(src.h) * conv.dst_len(src.w);
        let patch = conv.kernel * conv.kernel * conv.src_c;
        let block = block(pixels, patch + conv.dst_c);
        let patches = vec![0.0; pixels.min(block * BAND) * patch];
        Dense { conv: conv.clone(), src, weight, bias, activation, patches, block }
    }

    /// Computes every picture of `dst`.
    pub fn run(&mut self, src: &[f32], dst: &mut [f32]) {
        let Dense { conv, src: from, weight, bias, activation, patches, block } = self;
        let (dst_w, dst_c, block) = (conv.dst_len(from.w), conv.dst_c, *block);
        let picture = conv.dst_len(from.h) * dst_w * dst_c;
        let patch = weight.len() / dst_c;
        for (src, dst) in src.chunks_exact(from.len()).zip(dst.chunks_exact_mut(picture)) {
            for (band, dst) in dst.chunks_mut(block * BAND * dst_c).enumerate() {
                let blocks = dst.par_chunks_mut(block * dst_c).zip(patches.par_chunks_mut(block * patch));
                blocks.enumerate().for_each(|(task, (dst, patches))| {
                    let patches = &mut patches[..dst.len() / dst_c * patch];
                    for (index, patch) in patches.chunks_exact_mut(patch).enumerate() {
                        let at = (band * BAND + task) * block + index;
                        gather(conv, *from, src, at / dst_w, at % dst_w, patch);
                    }
                    product(patches, weight, dst, dst_c, Parallelism::None);
                    finish(dst, bias, *activation);
                });
            }
        }
    }
}

/// The values under the kernel of output `y`, `x`: `[k][k][src_c]`, zeros outside of the map.
fn gather(conv: &Conv, from: Shape, src: &[f32], y: usize, x: usize, patch: &mut [f32]) {
    let row = conv.kernel * from.c;
    // The taps whose column is inside
    let left = conv.padding.saturating_sub(x * conv.stride).min(conv.kernel);
    let right = (from.w + conv.padding).saturating_sub(x * conv.stride).min(conv.kernel).max(left);
    for (ky, patch) in patch.chunks_exact_mut(row).enumerate() {
        match (y * conv.stride + ky).checked_sub(conv.padding) {
            Some(y) if y < from.h && left < right => {
                let first = (y * from.w + x * conv.stride + left - conv.padding) * from.c;
                patch[..left * from.c].fill(0.0);
                patch[left * from.c..right * from.c]
                    .copy_from_slice(&src[first..first + (right - left) * from.c]);
                patch[right * from.c..].fill(0.0);
            }
            _ => patch.fill(0.0),
        }
    }
}

/// `dst += bias`, then the activation, while `dst` is still in the cache.
fn finish(dst: &mut [f32], bias: &[f32], activation: Activation) {
    Arch::new().dispatch(|| {
        for dst in dst.chunks_exact_mut(bias.len()) {
            let pairs = dst.iter_mut().zip(bias);
            match activation {
                Activation::Relu => pairs.for_each(|(dst, bias)| *dst = relu(*dst + bias)),
                Activation::None | Activation::Sigmoid => pairs.for_each(|(dst, bias)| *dst += bias),
            }
        }
        if activation == Activation::Sigmoid {
            activate(dst, activation);
        }
    });
}

/// `dst[n][m] = src[n][k] weight[k][m]`, all row by row without gaps.
#[allow(unsafe_code)]
fn product(src: &[f32], weight: &[f32], dst: &mut [f32], m: usize, parallelism: Parallelism) {
    let (n, k) = (dst.len() / m, weight.len() / m);
    assert_eq!((dst.len(), weight.len(), src.len()), (n * m, k * m, n * k));
    let stride = |of: usize| isize::try_from(of).expect("a slice is shorter than isize::MAX");
    // The lhs of gemm is our weight and its rhs our src, both transposed, for it likes columns without gaps.
    // SAFETY: by the assertion above each pointer is valid for its rows x columns at these strides, and dst,
    // borrowed mutably, overlaps neither operand. dst is written without being read.
    unsafe {
        gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            stride(m),
            1,
            false,
            weight.as_ptr(),
            stride(m),
            1,
            src.as_ptr(),
            stride(k),
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
