//! The mean or the largest under a window.

use super::{Kernel, Shader, WORKGROUP, conv, shader};
use crate::{
    graph::{Pooling, Window},
    tensor::{DType, Shape},
};

/// The shader.
pub const SHADER: Shader = shader!("pool_window");

/// The kernel that takes a map `src` to a map `dst`.
pub fn kernel(pooling: Pooling, window: &Window, src: Shape, dst: Shape, dtype: DType) -> Kernel {
    let mut head = conv::maps(src, dst, dtype);
    head.extend(conv::window(window));
    head.extend([
        ("C4", src.c4().into()),
        ("LARGEST", (pooling == Pooling::Max).into()),
        ("PADDED", (pooling == Pooling::PaddedAverage).into()),
    ]);
    Kernel {
        shader: &SHADER,
        head,
        functions: Vec::new(),
        workgroups: (dst.pixels() * dst.c4()).div_ceil(WORKGROUP),
    }
}
