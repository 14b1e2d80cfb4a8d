//! 1x1 convolution: a matrix product over pixels.

use super::{Kernel, Shader, WORKGROUP, shader};
use crate::tensor::{DType, Shape};

/// The shader.
pub const SHADER: Shader = shader!("pointwise");
/// Pixels per invocation that are worth a trial.
pub const TILES: &[usize] = &[1, 2, 4, 8];

/// The kernel that takes a map `src` to a map `dst` of the same pixels.
pub fn kernel(src: Shape, dst: Shape, relu: bool, tile: usize, dtype: DType) -> Kernel {
    assert_eq!(src.pixels(), dst.pixels());
    Kernel {
        shader: &SHADER,
        head: vec![
            ("Scalar", dtype.into()),
            ("PIXELS", src.pixels().into()),
            ("SRC_C4", src.c4().into()),
            ("DST_C4", dst.c4().into()),
            ("TILE", tile.into()),
            ("RELU", relu.into()),
        ],
        workgroups: (src.pixels().div_ceil(tile) * dst.c4()).div_ceil(WORKGROUP),
    }
}

/// `[dst_c, src_c]` to `[SRC_C4, 4, DST_C4]` vec4s over the outputs.
pub fn pack(dst_c: usize, src_c: usize, data: &[f32]) -> Vec<f32> {
    let padded = dst_c.next_multiple_of(4);
    let mut packed = vec![0.0; src_c.next_multiple_of(4) * padded];
    for o in 0..dst_c {
        for i in 0..src_c {
            packed[i * padded + o] = data[o * src_c + i];
        }
    }
    packed
}
