//! Dense convolution of the picture.

use super::{Kernel, Shader, WORKGROUP, depthwise, shader};
use crate::{
    graph::Conv,
    tensor::{DType, Shape},
};

/// The shader.
pub const SHADER: Shader = shader!("stem");
/// Outputs per invocation that are worth a trial.
pub const TILES: &[usize] = &[1, 2, 4];

/// The kernel that takes a picture `src` to a map `dst` as `conv` says.
pub fn kernel(conv: &Conv, src: Shape, dst: Shape, relu: bool, tile: usize, dtype: DType) -> Kernel {
    assert!(src.c <= 3, "the stem reads a picture");
    let mut head = depthwise::window(conv, src, dst, relu, tile, dtype);
    head.push(("DST_C4", dst.c4().into()));
    Kernel { shader: &SHADER, head, workgroups: depthwise::strips(dst, tile).div_ceil(WORKGROUP) }
}

/// `[dst_c, src_c, kernel, kernel]` to `[KERNEL, KERNEL, 3, DST_C4]` vec4s over the outputs.
pub fn pack(shape: &[usize], data: &[f32]) -> Vec<f32> {
    let &[dst_c, src_c, h, w] = shape else { unreachable!("a convolution's weight has four dimensions") };
    let (padded, taps) = (dst_c.next_multiple_of(4), h * w);
    let mut packed = vec![0.0; taps * 3 * padded];
    for o in 0..dst_c {
        for i in 0..src_c {
            for tap in 0..taps {
                packed[(tap * 3 + i) * padded + o] = data[(o * src_c + i) * taps + tap];
            }
        }
    }
    packed
}
