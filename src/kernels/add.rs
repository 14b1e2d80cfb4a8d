//! The sum of two branches, for the train form.

use super::{Kernel, Shader, WORKGROUP, shader};
use crate::tensor::{DType, Shape};

/// The shader.
pub const SHADER: Shader = shader!("add");

/// The kernel for maps of `shape`.
pub fn kernel(shape: Shape, relu: bool, dtype: DType) -> Kernel {
    Kernel {
        shader: &SHADER,
        head: vec![
            ("Scalar", dtype.into()),
            ("PIXELS", shape.pixels().into()),
            ("C4", shape.c4().into()),
            ("RELU", relu.into()),
        ],
        workgroups: (shape.pixels() * shape.c4()).div_ceil(WORKGROUP),
    }
}
