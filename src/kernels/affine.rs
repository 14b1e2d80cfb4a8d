//! Batch normalization as it runs, for the train form.

use super::{Kernel, Packing, Shader, Site, over_maps, shader};

/// The shader.
pub const SHADER: Shader = shader!("affine");

/// The kernel of a factor and a summand per channel.
pub(super) fn kernel(site: &Site) -> Result<Kernel, String> {
    Ok(over_maps(site, &SHADER, site.layer(site.last(), Packing::Vector)))
}
