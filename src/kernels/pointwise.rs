//! 1x1 convolution: a matrix product over pixels.

use super::{Choice, Kernel, Literal, Packing, Shader, WORKGROUP, act, activation, shader};
use crate::{
    graph::Activation,
    tensor::{DType, Shape},
};

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
pub const MATRIX_ROWS: usize = 4;

/// Groups of channels that [`SHARED`] reads at a time.
pub const CHUNK: usize = 4;

/// The kernel that takes a map `src` to a map `dst` of the same pixels.
///
/// # Panics
/// When `choice` is no choice of a pointwise layer.
pub fn kernel(src: Shape, dst: Shape, activation: Activation, choice: Choice, dtype: DType) -> Kernel {
    assert_eq!(src.pixels(), dst.pixels());
    let (pixels, groups) = (src.pixels(), dst.c4());
    if let Choice::Matrix(size, tiles) = choice {
        return matrix(src, dst, activation, (size, tiles), dtype);
    }
    let mut head = vec![
        ("Scalar", dtype.into()),
        ("PIXELS", pixels.into()),
        ("SRC_C4", src.c4().into()),
        ("DST_C4", groups.into()),
    ];
    let (shader, tile, workgroups) = match choice {
        Choice::Registers(tile, per) => {
            head.push(("GROUPS", per.into()));
            (&REGISTERS, tile, (pixels.div_ceil(tile) * groups.div_ceil(per)).div_ceil(WORKGROUP))
        }
        Choice::Fast(tile) => (&FAST, tile, (pixels.div_ceil(tile) * groups).div_ceil(WORKGROUP)),
        Choice::Subgroup(tile, lanes) => {
            // Those of 8 lanes are a processor's, to whom small workgroups are shared out more evenly.
            let subgroups = if lanes <= 8 { 1 } else { WORKGROUP / lanes };
            head.extend([("LANES", lanes.into()), ("SUBGROUPS", subgroups.into())]);
            (&SUBGROUP, tile, (pixels.div_ceil(tile) * groups.div_ceil(lanes)).div_ceil(subgroups))
        }
        Choice::Shared(tile, per) => {
            head.extend([("GROUPS", per.into()), ("CHUNK", CHUNK.into())]);
            (&SHARED, tile, pixels.div_ceil(8 * tile) * groups.div_ceil(8 * per))
        }
        Choice::Split(tile, parts) => {
            head.push(("PARTS", parts.into()));
            (&SPLIT, tile, pixels.div_ceil(tile) * groups.div_ceil(WORKGROUP / parts))
        }
        other => panic!("{other} is no choice of a pointwise layer"),
    };
    head.push(("TILE", tile.into()));
    Kernel { shader, head, functions: vec![act(activation, dst)], workgroups }
}

/// How the weights lie that `choice` reads.
pub fn packing(choice: Choice) -> Packing {
    match choice {
        Choice::Subgroup(_, lanes) => Packing::Panels(lanes),
        _ => Packing::Matrix,
    }
}

/// The kernel of matrices of `size` rows and columns, `tiles` of them side by side where there are as many channels.
fn matrix(
    src: Shape,
    dst: Shape,
    activation: Activation,
    (size, tiles): (usize, usize),
    dtype: DType,
) -> Kernel {
    let (pixels, channels) = (src.pixels(), 4 * dst.c4());
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
        ("SRC_C", (4 * src.c4()).into()),
        ("DST_C", channels.into()),
        ("TILES", tiles.into()),
        ("ROWS", MATRIX_ROWS.into()),
    ];
    let workgroups = pixels.div_ceil(size * MATRIX_ROWS) * channels.div_ceil(size * tiles);
    let functions = vec![("act", activation::function("act", activation, dst.c, false))];
    Kernel { shader: &MATRIX, head, functions, workgroups }
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
