//! From a picture's bytes to the input at once.

use super::{Kernel, Shader, shader};
use crate::tensor::DType;

/// The shader. Nothing of the picture is baked in: [`Passes`](crate::preprocess::Passes) are its uniforms.
pub const SHADER: Shader = shader!("prepare");

/// The kernel for every picture; its grid is the last of [`Passes::grids`](crate::preprocess::Passes::grids).
pub fn kernel(dtype: DType) -> Kernel {
    Kernel::by_itself(&SHADER, vec![("Scalar", dtype.into())], 0)
}
