//! The sum of two branches, for the train form.

use super::{Kernel, Shader, over_maps, shader};
use crate::tensor::{DType, Shape};

/// The shader.
pub const SHADER: Shader = shader!("add");

/// The kernel for maps of `shape`.
pub fn kernel(shape: Shape, relu: bool, dtype: DType) -> Kernel {
    over_maps(&SHADER, shape, relu, dtype)
}
