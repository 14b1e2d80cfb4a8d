//! Linear layer on one vector per picture.

use super::{Kernel, Shader, shader};
use crate::{
    graph::Activation,
    tensor::{DType, Shape},
};

/// The shader.
pub const SHADER: Shader = shader!("linear");

/// The kernel that takes an f32 vector `src` to an f32 vector `dst`; `dtype` is the weights'.
pub fn kernel(src: Shape, dst: Shape, activation: Activation, dtype: DType) -> Kernel {
    let activation: usize = match activation {
        Activation::None => 0,
        Activation::Relu => 1,
        Activation::Sigmoid => 2,
    };
    Kernel {
        shader: &SHADER,
        head: vec![
            ("Scalar", dtype.into()),
            ("SRC_C4", src.c4().into()),
            ("DST_C4", dst.c4().into()),
            ("DST_C", dst.c.into()),
            ("ACTIVATION", activation.into()),
        ],
        workgroups: dst.c4().div_ceil(16),
    }
}
