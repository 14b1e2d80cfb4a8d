//! Dense convolution of the picture.

use super::{Kernel, Packing, Shader, Site, Tile, WORKGROUP, act, depthwise, shader, sizes};

/// The shader.
pub const SHADER: Shader = shader!("stem");

/// The kernel of a convolution whose pixels are read at once.
pub(super) fn kernel(site: &Site, tile: Tile) -> Result<Kernel, String> {
    let [columns] = sizes(tile)?;
    let (conv, src, dst) = (site.first(), site.src(), site.dst());
    if src.c > MOST {
        return Err(format!("a stem of {} channels, {MOST} at most", src.c));
    }
    let mut head = depthwise::window(site, columns)?;
    head.extend([("SRC_C", channels(src.c).into()), ("DST_C4", dst.c4().into())]);
    let invocations = dst.h * dst.w.div_ceil(columns) * dst.c4();
    Ok(Kernel {
        shader: &SHADER,
        head,
        functions: vec![act(site)],
        workgroups: invocations.div_ceil(WORKGROUP),
        ports: site.layer(conv, Packing::Stem),
    })
}

/// The most channels of a picture.
pub const MOST: usize = 4;

/// Channels that the shader reads of `src_c`: three at least.
pub fn channels(src_c: usize) -> usize {
    src_c.max(3)
}

/// `[dst_c, src_c, kernel, kernel]` to `[KERNEL, KERNEL, SRC_C, DST_C4]` vec4s over the outputs.
pub fn pack(shape: &[usize], data: &[f32]) -> Vec<f32> {
    let &[dst_c, src_c, h, w] = shape else { unreachable!("a convolution's weight has four dimensions") };
    let (padded, taps) = (dst_c.next_multiple_of(4), h * w);
    let mut packed = vec![0.0; taps * channels(src_c) * padded];
    for o in 0..dst_c {
        for i in 0..src_c {
            for tap in 0..taps {
                packed[(tap * channels(src_c) + i) * padded + o] = data[(o * src_c + i) * taps + tap];
            }
        }
    }
    packed
}
