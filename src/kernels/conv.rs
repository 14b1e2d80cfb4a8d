//! Convolution of any window and any groups.

use super::{Head, Kernel, Packing, Shader, Site, Tile, WORKGROUP, act, shader, sizes};
use crate::graph::Window;

/// The shader.
pub const SHADER: Shader = shader!("conv");

/// The kernel of any convolution.
pub(super) fn kernel(site: &Site, tile: Tile) -> Result<Kernel, String> {
    let [tile] = sizes(tile)?;
    let (id, src, dst) = (site.first(), site.src(), site.dst());
    let conv = site.conv(id)?;
    let mut head = maps(site);
    head.extend(window(&conv.window));
    head.extend([
        ("SRC_C4", src.c4().into()),
        ("DST_C4", dst.c4().into()),
        ("SRC_EACH", conv.depth().into()),
        ("DST_EACH", (conv.dst_c / conv.groups).into()),
        ("DEPTH", depth(conv.dst_c, conv.depth(), conv.groups).into()),
        ("TILE", tile.into()),
    ]);
    let invocations = dst.h * dst.w.div_ceil(tile) * dst.c4();
    Ok(Kernel {
        shader: &SHADER,
        head,
        functions: vec![act(site)],
        workgroups: invocations.div_ceil(WORKGROUP),
        ports: site.layer(id, Packing::Conv(conv.groups)),
    })
}

/// The head lines of what goes from one map to another.
pub(super) fn maps(site: &Site) -> Head {
    let (src, dst) = (site.src(), site.dst());
    vec![
        ("Scalar", site.scalar().into()),
        ("SRC_H", src.h.into()),
        ("SRC_W", src.w.into()),
        ("DST_H", dst.h.into()),
        ("DST_W", dst.w.into()),
    ]
}

/// The head lines of any window.
pub(super) fn window(window: &Window) -> Head {
    vec![
        ("KERNEL_H", window.kernel[0].into()),
        ("KERNEL_W", window.kernel[1].into()),
        ("STRIDE_H", window.stride[0].into()),
        ("STRIDE_W", window.stride[1].into()),
        ("DILATION_H", window.dilation[0].into()),
        ("DILATION_W", window.dilation[1].into()),
        ("TOP", window.padding[0][0].into()),
        ("LEFT", window.padding[1][0].into()),
    ]
}

/// The first group of four channels that the four outputs from `4 * o` on read: as the shader computes it.
fn first(o: usize, depth: usize, each: usize) -> usize {
    o * 4 / each * depth / 4
}

/// Groups of four channels that any four outputs read: those of all groups of the convolution that they belong to.
fn depth(dst_c: usize, depth: usize, groups: usize) -> usize {
    let each = dst_c / groups;
    let end = |o: usize| ((4 * o + 3).min(dst_c - 1) / each + 1) * depth;
    let wide = |o: usize| end(o).div_ceil(4) - first(o, depth, each);
    (0..dst_c.div_ceil(4)).map(wide).max().unwrap_or(1)
}

/// Scalars that [`pack`] makes of a weight of `shape`.
pub fn len(shape: &[usize], groups: usize) -> usize {
    shape[0].next_multiple_of(4) * depth(shape[0], shape[1], groups) * 4 * shape[2] * shape[3]
}

/// `[dst_c, src_c / groups, rows, columns]` to `[KERNEL_H, KERNEL_W, DEPTH, 4, DST_C4]` vec4s over the outputs.
pub fn pack(shape: &[usize], groups: usize, data: &[f32]) -> Vec<f32> {
    let &[dst_c, each_src, h, w] = shape else { unreachable!("a convolution's weight has four dimensions") };
    let (padded, taps, each) = (dst_c.next_multiple_of(4), h * w, dst_c / groups);
    let depth = depth(dst_c, each_src, groups);
    let mut packed = vec![0.0; len(shape, groups)];
    for o in 0..dst_c {
        let begin = o / each * each_src - 4 * first(o / 4, each_src, each);
        for i in 0..each_src {
            for tap in 0..taps {
                let at = tap * depth * 4 + begin + i;
                packed[at * padded + o] = data[(o * each_src + i) * taps + tap];
            }
        }
    }
    packed
}
