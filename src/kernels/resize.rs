//! One pass of the resize of a picture.

use super::{Kernel, Shader, shader};

/// The shader. Nothing of the picture is baked in: [`Pass`](crate::preprocess::Pass) is its uniform.
pub const SHADER: Shader = shader!("resize");

/// The kernel for every picture; its grid is [`Passes::grids`](crate::preprocess::Passes::grids).
pub fn kernel() -> Kernel {
    Kernel::by_itself(&SHADER, vec![], 0)
}
