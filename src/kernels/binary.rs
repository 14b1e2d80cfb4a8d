//! The sum, difference, product or quotient of two inputs.

use super::{Kernel, Shader, over_maps, shader};
use crate::{
    graph::{Activation, Arithmetic},
    tensor::{DType, Shape},
};

/// The shader.
pub const SHADER: Shader = shader!("binary");

/// The kernel for maps of `shape`; the second input is a map where `each` says so, else a vector, stored as `other`.
pub fn kernel(
    shape: Shape,
    with: Arithmetic,
    (each, other): (bool, DType),
    activation: Activation,
    dtype: DType,
) -> Kernel {
    let mut kernel = over_maps(&SHADER, shape, activation, dtype);
    kernel.head.extend([("Other", other.into()), ("EACH", each.into())]);
    kernel.functions.push(("join", join(with, shape.c)));
    kernel
}

/// `fn join` of four values, of channels from `4 * c` on.
fn join(with: Arithmetic, channels: usize) -> String {
    let result = match with {
        Arithmetic::Add => "a + b".into(),
        Arithmetic::Sub => "a - b".into(),
        Arithmetic::Mul => "a * b".into(),
        Arithmetic::Div if channels.is_multiple_of(4) => "a / b".into(),
        // Padding is 0, and stays so.
        Arithmetic::Div => format!(
            "a / select(vec4<f32>(1.0), b, vec4<u32>(c * 4u) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>({channels}u))"
        ),
    };
    format!("fn join(a: vec4<f32>, b: vec4<f32>, c: u32) -> vec4<f32> {{\n    return {result};\n}}\n")
}
