//! Convolution of each channel by itself.

use super::{Head, Kernel, Packing, Shader, Site, Tile, WORKGROUP, act, conv, shader, sizes};
use crate::graph::Conv;

/// The shader.
pub const SHADER: Shader = shader!("depthwise");

/// The kernel of a depthwise convolution.
pub(super) fn kernel(site: &Site, tile: Tile) -> Result<Kernel, String> {
    let [columns, rows] = sizes(tile)?;
    let (conv, dst) = (site.first(), site.dst());
    let mut head = window(site, columns)?;
    head.extend([("C4", dst.c4().into()), ("ROWS", rows.into())]);
    let invocations = dst.h.div_ceil(rows) * dst.w.div_ceil(columns) * dst.c4();
    Ok(Kernel {
        shader: &SHADER,
        head,
        functions: vec![act(site)],
        workgroups: invocations.div_ceil(WORKGROUP),
        ports: site.layer(conv, Packing::Depthwise),
    })
}

/// The largest kernel and stride: an invocation keeps all that lies under its outputs.
const MOST: usize = 32;

/// The side, step and padding of a sliding window within the shaders' `const_assert`s, whatever their tile.
///
/// # Errors
/// What is not.
pub fn takes(conv: &Conv) -> Result<[usize; 3], String> {
    let Some([kernel, stride, padding]) = conv.window.as_square() else {
        return Err(conv.window.to_string());
    };
    if padding >= kernel {
        return Err(format!("a padding of {padding} around a kernel of {kernel}x{kernel}"));
    }
    if kernel > MOST || stride > MOST {
        return Err(format!("a kernel of {kernel}x{kernel} with a stride of {stride}: {MOST} is the most"));
    }
    Ok([kernel, stride, padding])
}

/// The head lines that every sliding window has, that of the first node of `site`.
pub(super) fn window(site: &Site, tile: usize) -> Result<Head, String> {
    let [kernel, stride, padding] = takes(site.conv(site.first())?)?;
    let mut head = conv::maps(site);
    head.extend([
        ("KERNEL", kernel.into()),
        ("STRIDE", stride.into()),
        ("PADDING", padding.into()),
        ("TILE", tile.into()),
    ]);
    Ok(head)
}

/// `[c, 1, kernel, kernel]` to `[KERNEL, KERNEL, C4]` vec4s.
pub fn pack(c: usize, kernel: usize, data: &[f32]) -> Vec<f32> {
    let (padded, taps) = (c.next_multiple_of(4), kernel * kernel);
    let mut packed = vec![0.0; taps * padded];
    for channel in 0..c {
        for tap in 0..taps {
            packed[tap * padded + channel] = data[channel * taps + tap];
        }
    }
    packed
}
