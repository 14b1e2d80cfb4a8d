//! Batch normalization as it runs, for the train form.

use super::{Kernel, Packing, Shader, Site, over_maps, shader};

/// The shader.
pub const SHADER: Shader = shader!("affine");

/// The kernel of a factor and a summand per channel.
pub(super) fn kernel(site: &Site) -> Result<Kernel, String> {
    let ports = vec![
        (0, site.read(0)),
        (1, site.weight(site.last(), Packing::Vector)),
        (2, site.bias(site.last())),
        (3, site.write()),
    ];
    Ok(over_maps(site, &SHADER, ports))
}
