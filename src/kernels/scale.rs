//! The last step of squeeze-excite: a map times a gate per channel.

use super::{Kernel, Shader, over_maps, shader};
use crate::tensor::{DType, Shape};

/// The shader.
pub const SHADER: Shader = shader!("scale");

/// The kernel for maps of `shape`.
pub fn kernel(shape: Shape, relu: bool, dtype: DType) -> Kernel {
    over_maps(&SHADER, shape, relu, dtype)
}
