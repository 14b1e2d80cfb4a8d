//! The largest channels of a vector.

use super::{Kernel, Shader, shader};
use crate::tensor::{DType, Shape};

/// The shader.
pub const SHADER: Shader = shader!("top");

/// The largest that the kernel finds at most: a software device may end loops of many rounds before their time.
pub const MOST: usize = 64;

/// The kernel that finds the `k` largest of a vector `src`, stored as `dtype`, each with its softmax where `softmax` says so, else with
/// itself.
pub fn kernel(src: Shape, k: usize, softmax: bool, dtype: DType) -> Kernel {
    Kernel {
        shader: &SHADER,
        head: vec![
            ("Src", dtype.into()),
            ("C", src.c.into()),
            ("C4", src.c4().into()),
            ("TOP", k.into()),
            ("SOFTMAX", softmax.into()),
        ],
        functions: Vec::new(),
        workgroups: 1,
    }
}
