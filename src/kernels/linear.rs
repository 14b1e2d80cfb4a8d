//! Linear layer on one vector per picture.

use super::{Kernel, Shader, act, shader};
use crate::{
    graph::Activation,
    tensor::{DType, Shape},
};

/// The shader.
pub const SHADER: Shader = shader!("linear");

/// The kernel that takes a vector `src`, stored as `stored`, to an f32 vector `dst`; `dtype` is the weights'.
pub fn kernel((src, stored): (Shape, DType), dst: Shape, activation: Activation, dtype: DType) -> Kernel {
    Kernel {
        shader: &SHADER,
        head: vec![
            ("Scalar", dtype.into()),
            ("Src", stored.into()),
            ("SRC_C4", src.c4().into()),
            ("DST_C4", dst.c4().into()),
        ],
        functions: vec![act(activation, dst)],
        workgroups: dst.c4().div_ceil(16),
    }
}
