//! Global average pool and classifier at once.

use super::{Kernel, Packing, Port, Shader, Site, Tile, shader};
use crate::tensor::Shape;

/// The shader.
pub const SHADER: Shader = shader!("head");

/// The kernel that takes a map to its features, which it writes too, and to logits.
pub(super) fn kernel(site: &Site, _: Tile) -> Result<Kernel, String> {
    let (src, dst) = (site.src(), site.dst());
    let mut ports = site.layer(site.last(), Packing::Matrix);
    ports.push((4, Port::Write(site.first())));
    Ok(Kernel {
        shader: &SHADER,
        head: vec![
            ("Scalar", site.dtype.into()),
            ("PIXELS", src.pixels().into()),
            ("SRC_C4", src.c4().into()),
            ("DST_C4", dst.c4().into()),
            ("DST_C", dst.c.into()),
        ],
        functions: Vec::new(),
        workgroups: dst.c4().div_ceil(16),
        ports,
    })
}

/// Bytes of workgroup memory that it takes for a map of `src`.
pub(super) fn memory(src: Shape) -> usize {
    src.c4() * 16 + 256 * 16
}
