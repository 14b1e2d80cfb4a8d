//! The sum, difference, product or quotient of two inputs.

use super::{Kernel, Shader, Site, over_maps, shader};
use crate::graph::Arithmetic;

/// The shader.
pub const SHADER: Shader = shader!("binary");

/// The kernel of a map and of another one, or of a vector that meets every pixel.
pub(super) fn kernel(site: &Site, with: Arithmetic) -> Result<Kernel, String> {
    let second = site.inputs(site.last())[1];
    let ports = vec![(0, site.read(0)), (3, site.write()), (4, site.read(1))];
    let mut kernel = over_maps(site, &SHADER, ports);
    let each = site.shape(second) == site.dst();
    kernel.head.extend([("Other", site.stored[second].into()), ("EACH", each.into())]);
    kernel.functions.push(("join", join(with, site.dst().c)));
    Ok(kernel)
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
