//! Global average pool.

use super::{Kernel, Shader, Site, shader};

/// The shader.
pub const SHADER: Shader = shader!("pool");

/// The kernel that takes a map to one f32 vector per picture.
pub(super) fn kernel(site: &Site) -> Result<Kernel, String> {
    let src = site.src();
    Ok(Kernel {
        shader: &SHADER,
        head: vec![
            ("Scalar", site.scalar().into()),
            ("PIXELS", src.pixels().into()),
            ("C4", src.c4().into()),
        ],
        functions: Vec::new(),
        workgroups: src.c4().div_ceil(16),
        ports: vec![(0, site.read(0)), (3, site.write())],
    })
}
