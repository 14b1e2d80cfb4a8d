//! A map of another size.

use super::{Kernel, Shader, Site, conv, map_workgroups, shader};
use crate::{graph::Filter, tensor::Shape};

/// The shader.
pub const SHADER: Shader = shader!("interpolate");

/// The kernel that takes a map to one of another size.
pub(super) fn kernel(site: &Site, filter: Filter) -> Result<Kernel, String> {
    let (src, dst) = (site.src(), site.dst());
    takes(src, dst)?;
    let mut head = conv::maps(site);
    head.extend([
        ("C4", src.c4().into()),
        ("NEAREST", (filter == Filter::Nearest).into()),
        ("CORNERS", (filter == Filter::BilinearCorners).into()),
    ]);
    Ok(Kernel {
        shader: &SHADER,
        head,
        functions: Vec::new(),
        workgroups: map_workgroups(dst),
        ports: vec![(0, site.read(0)), (3, site.write())],
    })
}

/// Whether the shader's whole numbers hold the places of both maps.
///
/// # Errors
/// What they do not hold.
fn takes(src: Shape, dst: Shape) -> Result<(), String> {
    let holds = |src: usize, dst: usize| (2 * dst as u64 + 1) * src as u64 <= u64::from(u32::MAX);
    match holds(src.h, dst.h) && holds(src.w, dst.w) {
        true => Ok(()),
        false => Err(format!("a map of {src} resized to {dst}")),
    }
}
