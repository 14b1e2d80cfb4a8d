//! The softmax over the channels of each pixel.

use super::{Kernel, Shader, Site, shader};

/// The shader.
pub const SHADER: Shader = shader!("softmax");

/// The kernel of a softmax.
pub(super) fn kernel(site: &Site) -> Result<Kernel, String> {
    let shape = site.dst();
    // As many invocations share a pixel as there are groups of channels for.
    let rows = 256 / shape.c4().next_power_of_two().min(256);
    Ok(Kernel {
        shader: &SHADER,
        head: vec![
            ("Scalar", site.scalar().into()),
            ("PIXELS", shape.pixels().into()),
            ("C", shape.c.into()),
            ("C4", shape.c4().into()),
            ("ROWS", rows.into()),
        ],
        functions: Vec::new(),
        workgroups: shape.pixels().div_ceil(rows),
        ports: vec![(0, site.read(0)), (3, site.write())],
    })
}
