//! A depthwise convolution and the pointwise one behind it, at once.

use super::{
    Head, Kernel, Packing, Shader, Site, Tile, WORKGROUP, act, activation, depthwise, shader, sizes,
};
use crate::tensor::DType;

/// The depthwise layer's outputs pass through workgroup memory.
pub const SHARED: Shader = shader!("block");
/// Each invocation computes for itself what it needs of them.
pub const DIRECT: Shader = shader!("block_direct");

/// The kernel of both layers by `shader`: `tile` outputs and `per` groups of four channels an invocation.
fn kernel(
    site: &Site,
    shader: &'static Shader,
    [tile, per]: [usize; 2],
    rest: Head,
    workgroups: usize,
) -> Result<Kernel, String> {
    let (depthwise, pointwise) = (site.first(), site.last());
    let (src, dst) = (site.src(), site.dst());
    let mut head = depthwise::window(site, tile)?;
    head.extend([("SRC_C4", src.c4().into()), ("DST_C4", dst.c4().into()), ("GROUPS", per.into())]);
    head.extend(rest);
    let middle = activation::function("act_middle", site.activation(depthwise), src.c, true);
    let mut ports = site.layer(pointwise, Packing::Matrix);
    ports.extend([(4, site.weight(depthwise, Packing::Depthwise)), (5, site.bias(depthwise))]);
    Ok(Kernel { shader, head, functions: vec![("act_middle", middle), act(site)], workgroups, ports })
}

/// The kernel of [`SHARED`].
pub(super) fn shared(site: &Site, tile: Tile) -> Result<Kernel, String> {
    let [columns, per, lanes] = sizes(tile)?;
    let dst = site.dst();
    // Groups of channels that pass through workgroup memory at a time: as many as a quarter of it holds, so that
    // several workgroups fit side by side.
    let most = site.limits.shared / 4 / memory(tile, site.scalar());
    let chunk = most.clamp(1, site.src().c4().min(16));
    let head = vec![("LANES", lanes.into()), ("CHUNK", chunk.into())];
    let workgroups = dst.pixels().div_ceil(WORKGROUP / lanes * columns) * dst.c4().div_ceil(lanes * per);
    kernel(site, &SHARED, [columns, per], head, workgroups)
}

/// Bytes of workgroup memory that [`SHARED`] takes for each group of four channels that passes through it.
pub(super) fn memory(tile: Tile, dtype: DType) -> usize {
    WORKGROUP / tile[2] * tile[0] * 4 * dtype.size()
}

/// The kernel of [`DIRECT`].
pub(super) fn direct(site: &Site, tile: Tile) -> Result<Kernel, String> {
    let [columns, per] = sizes(tile)?;
    let dst = site.dst();
    let invocations = dst.h * dst.w.div_ceil(columns) * dst.c4().div_ceil(per);
    kernel(site, &DIRECT, [columns, per], Vec::new(), invocations.div_ceil(WORKGROUP))
}
