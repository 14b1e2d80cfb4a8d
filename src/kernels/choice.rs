//! The ways to compute a layer: one table for plans, tuning and tests.

use crate::{
    plan::Limits,
    tensor::{DType, Shape},
};

/// What a choice computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The dense convolution of the picture.
    Stem,
    /// A convolution of any window and groups.
    Conv,
    /// A convolution of each channel by itself.
    Depthwise,
    /// A 1x1 convolution.
    Pointwise,
    /// A depthwise convolution and the pointwise one behind it.
    Block,
    /// Pool and classifier.
    Head,
    /// The input, from a picture's bytes.
    Front,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Stem => "stem",
            Kind::Conv => "conv",
            Kind::Depthwise => "depthwise",
            Kind::Pointwise => "pointwise",
            Kind::Block => "block",
            Kind::Head => "head",
            Kind::Front => "front",
        })
    }
}

/// A way to compute a layer: a shader and its tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Choice {
    /// `stem.wgsl`: so many columns of outputs an invocation.
    Stem(usize),
    /// `conv.wgsl`: so many columns of outputs an invocation.
    Conv(usize),
    /// `depthwise.wgsl`: columns and rows of outputs an invocation.
    Depthwise(usize, usize),
    /// `pointwise.wgsl`: pixels and groups of four channels an invocation.
    Registers(usize, usize),
    /// `pointwise_fast.wgsl`: pixels an invocation; of the mode that sums in f16 only.
    Fast(usize),
    /// `pointwise_subgroup.wgsl`: pixels a subgroup, and its lanes.
    Subgroup(usize, usize),
    /// `pointwise_shared.wgsl`: pixels and groups of four channels an invocation.
    Shared(usize, usize),
    /// `pointwise_split.wgsl`: pixels a workgroup, and the parts that its inputs are split into.
    Split(usize, usize),
    /// `pointwise_matrix.wgsl`: rows and columns of a cooperative matrix, and matrices side by side.
    Matrix(usize, usize),
    /// The depthwise and the pointwise layer by themselves.
    Apart,
    /// `block.wgsl`: pixels and groups of four channels an invocation, and invocations along the channels.
    Block(usize, usize, usize),
    /// `block_direct.wgsl`: columns of outputs and groups of four channels an invocation.
    Direct(usize, usize),
    /// Pool and classifier by themselves.
    Steps,
    /// `head.wgsl`: pool and classifier at once.
    Head,
    /// `resize.wgsl` twice, then `normalize.wgsl`.
    Passes,
    /// `prepare.wgsl`: the same at once, the first pass computed again for each pixel; where a picture is
    /// [near the input's size](crate::preprocess::Passes::at_once), else as [`Choice::Passes`].
    Prepare,
}

use Choice::{
    Apart, Block, Conv, Depthwise, Direct, Fast, Head, Matrix, Passes, Prepare, Registers, Shared, Split,
    Stem, Steps, Subgroup,
};

/// The table: every choice that is tested, and worth a trial where the device allows it.
pub const CHOICES: &[Choice] = &[
    Stem(1),
    Stem(2),
    Stem(4),
    Stem(8),
    Stem(16),
    Conv(1),
    Conv(2),
    Conv(4),
    Conv(8),
    Depthwise(1, 1),
    Depthwise(2, 1),
    Depthwise(4, 1),
    Depthwise(7, 1),
    Depthwise(2, 2),
    Depthwise(4, 2),
    Depthwise(4, 4),
    Registers(1, 1),
    Registers(2, 1),
    Registers(4, 1),
    Registers(8, 1),
    Registers(2, 2),
    Registers(4, 2),
    Registers(8, 2),
    Registers(4, 4),
    Fast(2),
    Fast(4),
    Fast(8),
    Subgroup(8, 8),
    Subgroup(16, 8),
    Subgroup(24, 8),
    Subgroup(8, 16),
    Subgroup(16, 16),
    Subgroup(8, 32),
    Subgroup(16, 32),
    Subgroup(8, 64),
    Subgroup(16, 64),
    Shared(2, 1),
    Shared(4, 1),
    Shared(4, 2),
    Shared(8, 2),
    Split(1, 4),
    Split(4, 4),
    Split(2, 8),
    Split(8, 8),
    Split(7, 16),
    Matrix(8, 2),
    Matrix(8, 4),
    Matrix(16, 1),
    Matrix(16, 2),
    Apart,
    Block(2, 1, 8),
    Block(4, 1, 16),
    Block(4, 2, 8),
    Block(4, 2, 16),
    Block(4, 4, 16),
    Block(8, 2, 32),
    Direct(1, 8),
    Direct(2, 8),
    Direct(4, 8),
    Steps,
    Head,
    Passes,
    Prepare,
];

impl Choice {
    /// What it computes.
    pub fn kind(self) -> Kind {
        match self {
            Stem(..) => Kind::Stem,
            Conv(..) => Kind::Conv,
            Depthwise(..) => Kind::Depthwise,
            Registers(..) | Fast(..) | Subgroup(..) | Shared(..) | Split(..) | Matrix(..) => Kind::Pointwise,
            Apart | Block(..) | Direct(..) => Kind::Block,
            Steps | Head => Kind::Head,
            Passes | Prepare => Kind::Front,
        }
    }

    /// Bytes of workgroup memory that it takes for a layer that reads `src`, stored as `dtype`.
    pub fn memory(self, src: Shape, dtype: DType) -> usize {
        let vector = 4 * dtype.size();
        match self {
            Shared(pixels, groups) => super::pointwise::CHUNK * (8 * pixels + 4 * 8 * groups) * vector,
            Split(pixels, _) => 64 * pixels * 16,
            Matrix(size, tiles) => super::pointwise::MATRIX_ROWS * size * size * tiles * 4,
            Block(pixels, _, lanes) => 64 / lanes * pixels * vector,
            Head => src.c4() * 16 + 256 * 16,
            _ => 0,
        }
    }

    /// Storage buffers that its shader binds; the most of them, where there are several.
    pub fn buffers(self) -> usize {
        match self {
            Passes | Prepare => 2,
            Stem(..) | Conv(..) | Depthwise(..) | Apart | Steps => 4,
            Registers(..) | Fast(..) | Subgroup(..) | Shared(..) | Split(..) | Matrix(..) => 4,
            Head => 5,
            Block(..) | Direct(..) => 6,
        }
    }

    /// Whether a device of `limits` can run it for a layer that reads `src` and writes `dst`, stored as `dtype`.
    pub fn fits(self, src: Shape, dst: Shape, dtype: DType, limits: &Limits) -> bool {
        let lanes = match self {
            Subgroup(_, lanes) => lanes == limits.subgroup,
            // Whole matrices only, of the pixels too.
            Matrix(size, _) => {
                let whole = [src, dst].iter().all(|map| (4 * map.c4()).is_multiple_of(size));
                size == limits.matrix && dtype == DType::F16 && whole && src.pixels() >= size
            }
            _ => true,
        };
        lanes && self.memory(src, dtype) <= limits.shared && self.buffers() <= limits.storage_buffers
    }

    /// The choice that is called so, if the table has it.
    pub fn named(name: &str) -> Option<Choice> {
        CHOICES.iter().copied().find(|choice| choice.to_string() == name)
    }
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Stem(columns) => write!(f, "strip {columns}"),
            Conv(columns) => write!(f, "columns {columns}"),
            Depthwise(columns, rows) => write!(f, "tile {columns}x{rows}"),
            Registers(pixels, groups) => write!(f, "registers {pixels}x{groups}"),
            Fast(pixels) => write!(f, "fast {pixels}"),
            Subgroup(pixels, lanes) => write!(f, "subgroup {pixels} of {lanes}"),
            Shared(pixels, groups) => write!(f, "shared {pixels}x{groups}"),
            Split(pixels, parts) => write!(f, "split {pixels} by {parts}"),
            Matrix(size, tiles) => write!(f, "matrix {size} by {tiles}"),
            Apart => write!(f, "apart"),
            Block(pixels, groups, lanes) => write!(f, "block {pixels}x{groups} over {lanes}"),
            Direct(columns, groups) => write!(f, "direct {columns}x{groups}"),
            Steps => write!(f, "steps"),
            Head => write!(f, "joined"),
            Passes => write!(f, "passes"),
            Prepare => write!(f, "prepare"),
        }
    }
}
