//! Global average pool and classifier at once.

use super::{Kernel, Shader, shader};
use crate::tensor::{DType, Shape};

/// The shader.
pub const SHADER: Shader = shader!("head");

/// The kernel that takes a map `src` to its features and to logits `dst`.
pub fn kernel(src: Shape, dst: Shape, dtype: DType) -> Kernel {
    Kernel {
        shader: &SHADER,
        head: vec![
            ("Scalar", dtype.into()),
            ("PIXELS", src.pixels().into()),
            ("SRC_C4", src.c4().into()),
            ("DST_C4", dst.c4().into()),
            ("DST_C", dst.c.into()),
        ],
        functions: Vec::new(),
        workgroups: dst.c4().div_ceil(16),
    }
}
