//! The mean or the largest under a window.

use super::{Kernel, Shader, Site, conv, map_workgroups, shader};
use crate::graph::{Pooling, Window};

/// The shader.
pub const SHADER: Shader = shader!("pool_window");

/// The kernel of a pool under `window`, or over the whole map.
pub(super) fn kernel(site: &Site, pooling: Pooling, window: Option<Window>) -> Result<Kernel, String> {
    let (src, dst) = (site.src(), site.dst());
    let window = window.unwrap_or(Window::whole(src));
    let mut head = conv::maps(site);
    head.extend(conv::window(&window));
    head.extend([
        ("C4", src.c4().into()),
        ("LARGEST", (pooling == Pooling::Max).into()),
        ("PADDED", (pooling == Pooling::PaddedAverage).into()),
    ]);
    Ok(Kernel {
        shader: &SHADER,
        head,
        functions: Vec::new(),
        workgroups: map_workgroups(dst),
        ports: vec![(0, site.read(0)), (3, site.write())],
    })
}
