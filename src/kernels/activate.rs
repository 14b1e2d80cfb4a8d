//! An activation by itself.

use super::{Kernel, Shader, Site, over_maps, shader};

/// The shader.
pub const SHADER: Shader = shader!("activate");

/// The kernel of an activation.
pub(super) fn kernel(site: &Site) -> Result<Kernel, String> {
    Ok(over_maps(site, &SHADER, vec![(0, site.read(0)), (3, site.write())]))
}
