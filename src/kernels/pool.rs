//! Global average pool.

use super::{Kernel, Shader, shader};
use crate::tensor::{DType, Shape};

/// The shader.
pub const SHADER: Shader = shader!("pool");

/// The kernel that takes a map `src` to one f32 vector per picture.
pub fn kernel(src: Shape, dtype: DType) -> Kernel {
    Kernel {
        shader: &SHADER,
        head: vec![("Scalar", dtype.into()), ("PIXELS", src.pixels().into()), ("C4", src.c4().into())],
        functions: Vec::new(),
        workgroups: src.c4().div_ceil(16),
    }
}
