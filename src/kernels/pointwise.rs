//! 1x1 convolution: a matrix product over pixels.

use super::{Head, Kernel, Literal, Packing, Shader, Site, Tile, WORKGROUP, act, activation, shader, sizes};
use crate::tensor::DType;

/// Each invocation by itself, tiles in registers.
pub const REGISTERS: Shader = shader!("pointwise");
/// The same with short sums in the storage's type.
pub const FAST: Shader = shader!("pointwise_fast");
/// A subgroup hands its values round.
pub const SUBGROUP: Shader = shader!("pointwise_subgroup");
/// Tiles in workgroup memory.
pub const SHARED: Shader = shader!("pointwise_shared");
/// The inputs split among the rows of a workgroup.
pub const SPLIT: Shader = shader!("pointwise_split");
/// A subgroup's cooperative matrices.
pub const MATRIX: Shader = shader!("pointwise_matrix");

/// Rows of matrices that a workgroup of [`MATRIX`] computes.
const MATRIX_ROWS: usize = 4;

/// Groups of channels that [`SHARED`] reads at a time.
const CHUNK: usize = 4;

/// The kernel of a product over pixels by `shader`, `tile` of them at a time.
fn product(
    site: &Site,
    shader: &'static Shader,
    tile: usize,
    rest: Head,
    workgroups: usize,
    packing: Packing,
) -> Kernel {
    let mut head = vec![
        ("Scalar", site.scalar().into()),
        ("PIXELS", site.dst().pixels().into()),
        ("SRC_C4", site.src().c4().into()),
        ("DST_C4", site.dst().c4().into()),
    ];
    head.extend(rest);
    head.push(("TILE", tile.into()));
    Kernel { shader, head, functions: vec![act(site)], workgroups, ports: site.layer(site.first(), packing) }
}

/// Pixels and groups of four channels that are written.
fn written(site: &Site) -> (usize, usize) {
    (site.dst().pixels(), site.dst().c4())
}

/// The kernel of [`REGISTERS`].
pub(super) fn registers(site: &Site, tile: Tile) -> Result<Kernel, String> {
    let ([tile, per], (pixels, groups)) = (sizes(tile)?, written(site));
    let invocations = pixels.div_ceil(tile) * groups.div_ceil(per);
    let head = vec![("GROUPS", per.into())];
    Ok(product(site, &REGISTERS, tile, head, invocations.div_ceil(WORKGROUP), Packing::Matrix))
}

/// The kernel of [`FAST`].
pub(super) fn fast(site: &Site, tile: Tile) -> Result<Kernel, String> {
    let ([tile], (pixels, groups)) = (sizes(tile)?, written(site));
    let invocations = pixels.div_ceil(tile) * groups;
    Ok(product(site, &FAST, tile, Vec::new(), invocations.div_ceil(WORKGROUP), Packing::Matrix))
}

/// The kernel of [`SUBGROUP`].
pub(super) fn subgroup(site: &Site, tile: Tile) -> Result<Kernel, String> {
    let ([tile, lanes], (pixels, groups)) = (sizes(tile)?, written(site));
    // Those of 8 lanes are a processor's, to whom small workgroups are shared out more evenly.
    let subgroups = if lanes <= 8 { 1 } else { WORKGROUP / lanes };
    let head = vec![("LANES", lanes.into()), ("SUBGROUPS", subgroups.into())];
    let workgroups = (pixels.div_ceil(tile) * groups.div_ceil(lanes)).div_ceil(subgroups);
    Ok(product(site, &SUBGROUP, tile, head, workgroups, Packing::Panels(lanes)))
}

/// The kernel of [`SHARED`].
pub(super) fn shared(site: &Site, tile: Tile) -> Result<Kernel, String> {
    let ([tile, per], (pixels, groups)) = (sizes(tile)?, written(site));
    let head = vec![("GROUPS", per.into()), ("CHUNK", CHUNK.into())];
    let workgroups = pixels.div_ceil(8 * tile) * groups.div_ceil(8 * per);
    Ok(product(site, &SHARED, tile, head, workgroups, Packing::Matrix))
}

/// Bytes of workgroup memory that [`SHARED`] takes: `xs` and `ws`.
pub(super) fn shared_memory(tile: Tile, dtype: DType) -> usize {
    let (tile, per) = (tile[0], tile[1]);
    CHUNK * (8 * tile + 4 * 8 * per) * 4 * dtype.size()
}

/// The kernel of [`SPLIT`].
pub(super) fn split(site: &Site, tile: Tile) -> Result<Kernel, String> {
    let ([tile, parts], (pixels, groups)) = (sizes(tile)?, written(site));
    let head = vec![("PARTS", parts.into())];
    let workgroups = pixels.div_ceil(tile) * groups.div_ceil(WORKGROUP / parts);
    Ok(product(site, &SPLIT, tile, head, workgroups, Packing::Matrix))
}

/// Bytes of workgroup memory that [`SPLIT`] takes: `partial`, of f32.
pub(super) fn split_memory(tile: Tile) -> usize {
    WORKGROUP * tile[0] * 16
}

/// The kernel of [`MATRIX`], of matrices side by side where there are as many channels.
pub(super) fn matrix(site: &Site, tile: Tile) -> Result<Kernel, String> {
    let [size, tiles] = sizes(tile)?;
    let dtype = site.scalar();
    let (pixels, channels) = (site.dst().pixels(), 4 * site.dst().c4());
    let tiles = tiles.min(channels / size);
    let of = |role| Literal::Matrix(size, dtype, role);
    // Sums are f32 always.
    let sum = Literal::Matrix(size, DType::F32, 'C');
    let head = vec![
        ("Scalar", dtype.into()),
        ("Left", of('A')),
        ("Right", of('B')),
        ("Sum", sum),
        ("SIZE", size.into()),
        ("PIXELS", pixels.into()),
        ("SRC_C", (4 * site.src().c4()).into()),
        ("DST_C", channels.into()),
        ("TILES", tiles.into()),
        ("ROWS", MATRIX_ROWS.into()),
    ];
    let act = activation::function("act", site.activation(site.last()), site.dst().c, false);
    Ok(Kernel {
        shader: &MATRIX,
        head,
        functions: vec![("act", act)],
        workgroups: pixels.div_ceil(size * MATRIX_ROWS) * channels.div_ceil(size * tiles),
        ports: site.layer(site.first(), Packing::Matrix),
    })
}

/// Bytes of workgroup memory that [`MATRIX`] takes: the sums of its matrices.
pub(super) fn matrix_memory(tile: Tile) -> usize {
    let (size, tiles) = (tile[0], tile[1]);
    MATRIX_ROWS * size * size * tiles * 4
}

/// `[dst_c, src_c]` to `[SRC_C4, 4, DST_C4]` vec4s over the outputs.
pub fn pack(dst_c: usize, src_c: usize, data: &[f32]) -> Vec<f32> {
    let padded = dst_c.next_multiple_of(4);
    let mut packed = vec![0.0; src_c.next_multiple_of(4) * padded];
    for o in 0..dst_c {
        for i in 0..src_c {
            packed[i * padded + o] = data[o * src_c + i];
        }
    }
    packed
}

/// `[dst_c, src_c]` to `[OUTS, SRC_C4, 4, LANES]` vec4s over the outputs.
pub fn pack_panels(dst_c: usize, src_c: usize, lanes: usize, data: &[f32]) -> Vec<f32> {
    let (wide, rows) = (4 * lanes, src_c.next_multiple_of(4));
    let mut packed = vec![0.0; dst_c.div_ceil(wide) * rows * wide];
    for o in 0..dst_c {
        for i in 0..src_c {
            packed[(o / wide * rows + i) * wide + o % wide] = data[o * src_c + i];
        }
    }
    packed
}
