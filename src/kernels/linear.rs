//! Linear layer on one vector per picture.

use super::{Kernel, Packing, Shader, Site, act, shader};

/// The shader.
pub const SHADER: Shader = shader!("linear");

/// The kernel that takes a vector to an f32 vector.
pub(super) fn kernel(site: &Site) -> Result<Kernel, String> {
    let (src, dst) = (site.src(), site.dst());
    Ok(Kernel {
        shader: &SHADER,
        head: vec![
            ("Scalar", site.dtype.into()),
            ("Src", site.scalar().into()),
            ("SRC_C4", src.c4().into()),
            ("DST_C4", dst.c4().into()),
        ],
        functions: vec![act(site)],
        workgroups: dst.c4().div_ceil(16),
        ports: site.layer(site.last(), Packing::Matrix),
    })
}
