//! Batch normalization as it runs, for the train form.

use super::{Kernel, Shader, over_maps, shader};
use crate::{
    graph::Activation,
    tensor::{DType, Shape},
};

/// The shader.
pub const SHADER: Shader = shader!("affine");

/// The kernel for maps of `shape`.
pub fn kernel(shape: Shape, activation: Activation, dtype: DType) -> Kernel {
    over_maps(&SHADER, shape, activation, dtype)
}
