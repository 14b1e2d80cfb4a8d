//! Convolution of each channel by itself.

use super::{Choice, Kernel, Literal, Shader, WORKGROUP, act, shader};
use crate::{
    graph::{Activation, Conv},
    tensor::{DType, Shape},
};

/// The shader.
pub const SHADER: Shader = shader!("depthwise");

/// The kernel that takes a map `src` to a map `dst` as `conv` says.
///
/// # Panics
/// When `choice` is no choice of a depthwise layer.
pub fn kernel(
    conv: &Conv,
    src: Shape,
    dst: Shape,
    activation: Activation,
    choice: Choice,
    dtype: DType,
) -> Kernel {
    let Choice::Depthwise(columns, rows) = choice else {
        panic!("{choice} is no choice of a depthwise layer")
    };
    let mut head = window(conv, src, dst, columns, dtype);
    head.extend([("C4", dst.c4().into()), ("ROWS", rows.into())]);
    let invocations = dst.h.div_ceil(rows) * dst.w.div_ceil(columns) * dst.c4();
    Kernel {
        shader: &SHADER,
        head,
        functions: vec![act(activation, dst)],
        workgroups: invocations.div_ceil(WORKGROUP),
    }
}

/// The largest kernel and stride: an invocation keeps all that lies under its outputs.
const MOST: usize = 32;

/// Whether sliding windows of this geometry are within the shaders' `const_assert`s, whatever their tile.
///
/// # Errors
/// What is not.
pub fn takes(conv: &Conv) -> Result<(), String> {
    let Some([kernel, stride, padding]) = conv.window.as_square() else {
        return Err(conv.window.to_string());
    };
    if padding >= kernel {
        return Err(format!("a padding of {padding} around a kernel of {kernel}x{kernel}"));
    }
    if kernel > MOST || stride > MOST {
        return Err(format!("a kernel of {kernel}x{kernel} with a stride of {stride}: {MOST} is the most"));
    }
    Ok(())
}

/// The head lines that every sliding window has.
pub(super) fn window(
    conv: &Conv,
    src: Shape,
    dst: Shape,
    tile: usize,
    dtype: DType,
) -> Vec<(&'static str, Literal)> {
    let [kernel, stride, padding] = conv.window.as_square().expect("a window that was taken");
    vec![
        ("Scalar", dtype.into()),
        ("SRC_H", src.h.into()),
        ("SRC_W", src.w.into()),
        ("DST_H", dst.h.into()),
        ("DST_W", dst.w.into()),
        ("KERNEL", kernel.into()),
        ("STRIDE", stride.into()),
        ("PADDING", padding.into()),
        ("TILE", tile.into()),
    ]
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
