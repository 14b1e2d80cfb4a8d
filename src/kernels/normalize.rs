//! From a crop's 8-bit pixels to the input.

use super::{Kernel, Shader, shader};
use crate::tensor::DType;

/// The shader. Nothing of the picture is baked in: [`Normalize`](crate::preprocess::Normalize) is its uniform.
pub const SHADER: Shader = shader!("normalize");

/// The kernel for every picture; its grid is [`Passes::grids`](crate::preprocess::Passes::grids).
pub fn kernel(dtype: DType) -> Kernel {
    Kernel::by_itself(&SHADER, vec![("Scalar", dtype.into())], 0)
}
