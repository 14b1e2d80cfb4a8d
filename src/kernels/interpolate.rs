//! A map of another size.

use super::{Kernel, Shader, WORKGROUP, conv, shader};
use crate::{
    graph::Filter,
    tensor::{DType, Shape},
};

/// The shader.
pub const SHADER: Shader = shader!("interpolate");

/// The kernel that takes a map `src` to a map `dst`.
pub fn kernel(filter: Filter, src: Shape, dst: Shape, dtype: DType) -> Kernel {
    let mut head = conv::maps(src, dst, dtype);
    head.extend([
        ("C4", src.c4().into()),
        ("NEAREST", (filter == Filter::Nearest).into()),
        ("CORNERS", (filter == Filter::BilinearCorners).into()),
    ]);
    Kernel {
        shader: &SHADER,
        head,
        functions: Vec::new(),
        workgroups: (dst.pixels() * dst.c4()).div_ceil(WORKGROUP),
    }
}

/// Whether the shader's whole numbers hold the places of both maps.
///
/// # Errors
/// What they do not hold.
pub fn takes(src: Shape, dst: Shape) -> Result<(), String> {
    let holds = |src: usize, dst: usize| (2 * dst as u64 + 1) * src as u64 <= u64::from(u32::MAX);
    match holds(src.h, dst.h) && holds(src.w, dst.w) {
        true => Ok(()),
        false => Err(format!("a map of {src} resized to {dst}")),
    }
}
