//! An activation by itself.

use super::{Kernel, Shader, over_maps, shader};
use crate::{
    graph::Activation,
    tensor::{DType, Shape},
};

/// The shader.
pub const SHADER: Shader = shader!("activate");

/// The kernel for maps of `shape`.
pub fn kernel(shape: Shape, activation: Activation, dtype: DType) -> Kernel {
    over_maps(&SHADER, shape, activation, dtype)
}
