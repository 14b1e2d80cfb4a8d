//! The channels of several inputs, one after the other.

use std::fmt::Write;

use super::{Kernel, Port, Shader, Site, map_workgroups, shader};
use crate::tensor::DType;

/// The shader.
pub const SHADER: Shader = shader!("concat");

/// The binding of input `at`: those of the file are 0 and 4.
fn binding(at: usize) -> u32 {
    if at == 0 { 0 } else { 3 + at as u32 }
}

/// The kernel of any number of inputs, each of them bound.
pub(super) fn kernel(site: &Site) -> Result<Kernel, String> {
    let (ids, dst) = (site.inputs(site.last()), site.dst());
    let inputs: Vec<(usize, DType)> = ids.iter().map(|&id| (site.shape(id).c, site.stored[id])).collect();
    let of = |at: usize| inputs.get(at).map_or(DType::F32, |(_, dtype)| *dtype);
    let mut ports: Vec<(u32, Port)> =
        ids.iter().enumerate().map(|(at, &id)| (binding(at), Port::Read(id))).collect();
    ports.insert(1, (3, site.write()));
    Ok(Kernel {
        shader: &SHADER,
        head: vec![
            ("Scalar", site.scalar().into()),
            ("Src0", of(0).into()),
            ("Src1", of(1).into()),
            ("PIXELS", dst.pixels().into()),
            ("C4", dst.c4().into()),
        ],
        functions: vec![("read_src", read_src(&inputs))],
        workgroups: map_workgroups(dst),
        ports,
    })
}

/// `fn read_src`, and the bindings of what the file has none for.
fn read_src(inputs: &[(usize, DType)]) -> String {
    let mut text = String::new();
    for (at, (_, dtype)) in inputs.iter().enumerate().skip(2) {
        let binding = binding(at);
        writeln!(text, "@group(0) @binding({binding}) var<storage, read> src{at}: array<vec4<{dtype}>>;")
            .expect("a string takes all");
    }
    // Groups of four channels stay whole where all but the last input have whole ones.
    let whole = inputs.split_last().is_none_or(|(_, rest)| rest.iter().all(|(c, _)| c.is_multiple_of(4)));
    let (value, unit) = if whole { ("vec4<f32>", 4) } else { ("f32", 1) };
    let name = if whole { "read_src" } else { "channel" };
    let mut begin = 0;
    let mut body = String::new();
    for (at, (c, _)) in inputs.iter().enumerate() {
        let (end, c4) = (begin + c.div_ceil(unit), c.div_ceil(4));
        let place = match whole {
            true => format!("src{at}[pixel * {c4}u + c - {begin}u]"),
            false => format!("src{at}[pixel * {c4}u + (c - {begin}u) / 4u][(c - {begin}u) % 4u]"),
        };
        writeln!(body, "    if c < {end}u {{\n        return {value}({place});\n    }}")
            .expect("a string takes all");
        begin = end;
    }
    write!(text, "fn {name}(pixel: u32, c: u32) -> {value} {{\n{body}    return {value}();\n}}\n")
        .expect("a string takes all");
    if !whole {
        text.push_str(
            "\nfn read_src(pixel: u32, c: u32) -> vec4<f32> {
    let first = 4u * c;
    return vec4<f32>(
        channel(pixel, first),
        channel(pixel, first + 1u),
        channel(pixel, first + 2u),
        channel(pixel, first + 3u),
    );
}
",
        );
    }
    text
}
