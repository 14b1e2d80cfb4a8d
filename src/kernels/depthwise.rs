//! Convolution of each channel by itself.

use super::{Kernel, Literal, Shader, WORKGROUP, shader};
use crate::{
    graph::Conv,
    tensor::{DType, Shape},
};

/// The shader.
pub const SHADER: Shader = shader!("depthwise");
/// Outputs per invocation that are worth a trial.
pub const TILES: &[usize] = &[1, 2, 4, 7];

/// The kernel that takes a map `src` to a map `dst` as `conv` says.
pub fn kernel(conv: &Conv, src: Shape, dst: Shape, relu: bool, tile: usize, dtype: DType) -> Kernel {
    let mut head = window(conv, src, dst, relu, tile, dtype);
    head.push(("C4", dst.c4().into()));
    Kernel { shader: &SHADER, head, workgroups: strips(dst, tile).div_ceil(WORKGROUP) }
}

/// The head lines that every sliding window has.
pub(super) fn window(
    conv: &Conv,
    src: Shape,
    dst: Shape,
    relu: bool,
    tile: usize,
    dtype: DType,
) -> Vec<(&'static str, Literal)> {
    vec![
        ("Scalar", dtype.into()),
        ("SRC_H", src.h.into()),
        ("SRC_W", src.w.into()),
        ("DST_H", dst.h.into()),
        ("DST_W", dst.w.into()),
        ("KERNEL", conv.kernel.into()),
        ("STRIDE", conv.stride.into()),
        ("PADDING", conv.padding.into()),
        ("TILE", tile.into()),
        ("RELU", relu.into()),
    ]
}

/// Invocations for a map `dst` in strips of `tile` outputs, four channels each.
pub(super) fn strips(dst: Shape, tile: usize) -> usize {
    dst.h * dst.w.div_ceil(tile) * dst.c4()
}

/// `[c, 1, kernel, kernel]` to `[KERNEL, KERNEL, C4]` vec4s.
pub fn pack(c: usize, kernel: usize, data: &[f32]) -> Vec<f32> {
    let (padded, taps) = (c.next_multiple_of(4), kernel * kernel);
    let mut packed = vec![0.0; taps * padded];
    for channel in 0..c {
        for tap in 0..taps {
            packed[tap * padded + channel] = data[channel * taps + tap];
        }
    }
    packed
}
