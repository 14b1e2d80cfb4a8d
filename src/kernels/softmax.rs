//! The softmax over the channels of each pixel.

use super::{Kernel, Shader, shader};
use crate::tensor::{DType, Shape};

/// The shader.
pub const SHADER: Shader = shader!("softmax");

/// The kernel for maps of `shape`.
pub fn kernel(shape: Shape, dtype: DType) -> Kernel {
    // As many invocations share a pixel as there are groups of channels for.
    let rows = 256 / shape.c4().next_power_of_two().min(256);
    Kernel {
        shader: &SHADER,
        head: vec![
            ("Scalar", dtype.into()),
            ("PIXELS", shape.pixels().into()),
            ("C", shape.c.into()),
            ("C4", shape.c4().into()),
            ("ROWS", rows.into()),
        ],
        functions: Vec::new(),
        workgroups: shape.pixels().div_ceil(rows),
    }
}
