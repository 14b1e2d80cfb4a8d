//! The last step of squeeze-excite: a map times a gate per channel.

use super::{Kernel, Shader, WORKGROUP, shader};
use crate::tensor::{DType, Shape};

/// The shader.
pub const SHADER: Shader = shader!("scale");

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
