//! The ways to compute a layer: one table for plans, tuning, export and tests.
//!
//! A way joins by its row here, beside its shader and its kernel.
//!
//! ```
//! use mobileone::kernels::{Choice, choices, ways};
//!
//! let split = ways::SPLIT.of(&[4, 4]);
//! assert_eq!(split.to_string(), "split 4 by 4");
//! assert_eq!(Choice::named("split 4 by 4"), Some(split));
//! assert!(choices().any(|choice| choice == split));
//! ```

use super::{
    Choice, Kernel, Kind, Layer, Shader, Site, block, conv, depthwise, head, pointwise, prepare, stem,
};
use crate::{
    limits::Limits,
    tensor::{DType, Shape},
};

/// The sizes that a way leaves open: pixels, columns, groups of four channels and the like, as its name has them.
pub type Tile = &'static [usize];

/// A way to compute a kind of layer.
pub struct Way {
    /// What it is called; each `{}` stands for a number of its tile.
    pub name: &'static str,
    /// What it computes.
    pub kind: Kind,
    /// What runs; `None` where the layer's nodes run by themselves, or a picture in several passes.
    pub shader: Option<&'static Shader>,
    /// The tiles that are tested, and worth a trial where the device allows them; no other is ever taken.
    pub tiles: &'static [Tile],
    /// Whether a device at hand has run a tile; the shaders of what none has run check their indices.
    pub seen: fn(Tile) -> bool,
    /// What a tile needs for a layer.
    pub needs: fn(&Layer, Tile) -> Needs,
    /// What a plan runs; `None` where the layer's nodes run by themselves, or what runs is not a plan's.
    pub kernel: Option<fn(&Site, Tile) -> Result<Kernel, String>>,
}

/// What a way needs of a device and of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Needs {
    /// Storage buffers that its shader binds; the most of them, where there are several.
    pub buffers: usize,
    /// Bytes of workgroup memory.
    pub memory: usize,
    /// Lanes of every subgroup; 0 where it uses none.
    pub lanes: usize,
    /// Rows and columns of cooperative matrices of f16, which divide the layer's channels; 0 where it uses none.
    pub matrix: usize,
    /// A layer that may sum in the type of storage.
    pub fast: bool,
}

impl Needs {
    /// Storage buffers and nothing else.
    const fn buffers(buffers: usize) -> Needs {
        Needs { buffers, memory: 0, lanes: 0, matrix: 0, fast: false }
    }

    /// Whether a device of `limits` has all of it.
    pub(super) fn met(&self, limits: &Limits) -> bool {
        self.buffers <= limits.storage_buffers
            && self.memory <= limits.shared
            && [0, limits.subgroup].contains(&self.lanes)
            && [0, limits.matrix].contains(&self.matrix)
    }

    /// Whether `layer` is of the mode, and lies in whole matrices, its pixels too.
    pub(super) fn suit(&self, layer: &Layer) -> bool {
        let whole = |map: &Shape| (4 * map.c4()).is_multiple_of(self.matrix);
        let matrices = || layer.dtype == DType::F16 && layer.src.pixels() >= self.matrix;
        (!self.fast || layer.fast)
            && (self.matrix == 0 || matrices() && [layer.src, layer.dst].iter().all(whole))
    }
}

/// `stem.wgsl`: so many columns of outputs an invocation.
pub static STEM: Way = Way {
    name: "strip {}",
    kind: Kind::Stem,
    shader: Some(&stem::SHADER),
    tiles: &[&[1], &[2], &[4], &[8], &[16]],
    seen: |_| true,
    needs: |_, _| Needs::buffers(4),
    kernel: Some(stem::kernel),
};

/// `conv.wgsl`: so many columns of outputs an invocation.
pub static CONV: Way = Way {
    name: "columns {}",
    kind: Kind::Conv,
    shader: Some(&conv::SHADER),
    tiles: &[&[1], &[2], &[4], &[8]],
    seen: |_| true,
    needs: |_, _| Needs::buffers(4),
    kernel: Some(conv::kernel),
};

/// `depthwise.wgsl`: columns and rows of outputs an invocation.
pub static DEPTHWISE: Way = Way {
    name: "tile {}x{}",
    kind: Kind::Depthwise,
    shader: Some(&depthwise::SHADER),
    tiles: &[&[1, 1], &[2, 1], &[4, 1], &[7, 1], &[2, 2], &[4, 2], &[4, 4]],
    seen: |_| true,
    needs: |_, _| Needs::buffers(4),
    kernel: Some(depthwise::kernel),
};

/// `pointwise.wgsl`: pixels and groups of four channels an invocation.
pub static REGISTERS: Way = Way {
    name: "registers {}x{}",
    kind: Kind::Pointwise,
    shader: Some(&pointwise::REGISTERS),
    tiles: &[&[1, 1], &[2, 1], &[4, 1], &[8, 1], &[2, 2], &[4, 2], &[8, 2], &[4, 4]],
    seen: |_| true,
    needs: |_, _| Needs::buffers(4),
    kernel: Some(pointwise::registers),
};

/// `pointwise_fast.wgsl`: pixels an invocation.
pub static FAST: Way = Way {
    name: "fast {}",
    kind: Kind::Pointwise,
    shader: Some(&pointwise::FAST),
    tiles: &[&[2], &[4], &[8]],
    seen: |_| true,
    needs: |_, _| Needs { fast: true, ..Needs::buffers(4) },
    kernel: Some(pointwise::fast),
};

/// `pointwise_subgroup.wgsl`: pixels a subgroup, and its lanes.
pub static SUBGROUP: Way = Way {
    name: "subgroup {} of {}",
    kind: Kind::Pointwise,
    shader: Some(&pointwise::SUBGROUP),
    tiles: &[&[8, 8], &[16, 8], &[24, 8], &[8, 16], &[16, 16], &[8, 32], &[16, 32], &[8, 64], &[16, 64]],
    seen: |tile| tile[1] == 8,
    needs: |_, tile| Needs { lanes: tile[1], ..Needs::buffers(4) },
    kernel: Some(pointwise::subgroup),
};

/// `pointwise_shared.wgsl`: pixels and groups of four channels an invocation.
pub static SHARED: Way = Way {
    name: "shared {}x{}",
    kind: Kind::Pointwise,
    shader: Some(&pointwise::SHARED),
    tiles: &[&[2, 1], &[4, 1], &[4, 2], &[8, 2]],
    seen: |_| true,
    needs: |layer, tile| Needs { memory: pointwise::shared_memory(tile, layer.dtype), ..Needs::buffers(4) },
    kernel: Some(pointwise::shared),
};

/// `pointwise_split.wgsl`: pixels a workgroup, and the parts that its inputs are split into.
pub static SPLIT: Way = Way {
    name: "split {} by {}",
    kind: Kind::Pointwise,
    shader: Some(&pointwise::SPLIT),
    tiles: &[&[1, 4], &[4, 4], &[2, 8], &[8, 8], &[7, 16]],
    seen: |_| true,
    needs: |_, tile| Needs { memory: pointwise::split_memory(tile), ..Needs::buffers(4) },
    kernel: Some(pointwise::split),
};

/// `pointwise_matrix.wgsl`: rows and columns of a cooperative matrix, and matrices side by side.
pub static MATRIX: Way = Way {
    name: "matrix {} by {}",
    kind: Kind::Pointwise,
    shader: Some(&pointwise::MATRIX),
    tiles: &[&[8, 2], &[8, 4], &[16, 1], &[16, 2]],
    seen: |_| false,
    needs: |_, tile| Needs { memory: pointwise::matrix_memory(tile), matrix: tile[0], ..Needs::buffers(4) },
    kernel: Some(pointwise::matrix),
};

/// The depthwise and the pointwise layer by themselves.
pub static APART: Way = Way {
    name: "apart",
    kind: Kind::Block,
    shader: None,
    tiles: &[&[]],
    seen: |_| true,
    needs: |_, _| Needs::buffers(4),
    kernel: None,
};

/// `block.wgsl`: pixels and groups of four channels an invocation, and invocations along the channels.
pub static BLOCK: Way = Way {
    name: "block {}x{} over {}",
    kind: Kind::Block,
    shader: Some(&block::SHARED),
    tiles: &[&[2, 1, 8], &[4, 1, 16], &[4, 2, 8], &[4, 2, 16], &[4, 4, 16], &[8, 2, 32]],
    seen: |_| true,
    needs: |layer, tile| Needs { memory: block::memory(tile, layer.dtype), ..Needs::buffers(6) },
    kernel: Some(block::shared),
};

/// `block_direct.wgsl`: columns of outputs and groups of four channels an invocation.
pub static DIRECT: Way = Way {
    name: "direct {}x{}",
    kind: Kind::Block,
    shader: Some(&block::DIRECT),
    tiles: &[&[1, 8], &[2, 8], &[4, 8]],
    seen: |_| true,
    needs: |_, _| Needs::buffers(6),
    kernel: Some(block::direct),
};

/// Pool and classifier by themselves.
pub static STEPS: Way = Way {
    name: "steps",
    kind: Kind::Head,
    shader: None,
    tiles: &[&[]],
    seen: |_| true,
    needs: |_, _| Needs::buffers(4),
    kernel: None,
};

/// `head.wgsl`: pool and classifier at once.
pub static JOINED: Way = Way {
    name: "joined",
    kind: Kind::Head,
    shader: Some(&head::SHADER),
    tiles: &[&[]],
    seen: |_| true,
    needs: |layer, _| Needs { memory: head::memory(layer.src), ..Needs::buffers(5) },
    kernel: Some(head::kernel),
};

/// `resize.wgsl` twice, then `normalize.wgsl`.
pub static PASSES: Way = Way {
    name: "passes",
    kind: Kind::Front,
    shader: None,
    tiles: &[&[]],
    seen: |_| true,
    needs: |_, _| Needs::buffers(2),
    kernel: None,
};

/// `prepare.wgsl`: the same at once, the first pass computed again for each pixel; where a picture is
/// [near the input's size](crate::preprocess::Passes::at_once), else as [`PASSES`].
pub static PREPARE: Way = Way {
    name: "prepare",
    kind: Kind::Front,
    shader: Some(&prepare::SHADER),
    tiles: &[&[]],
    seen: |_| true,
    needs: |_, _| Needs::buffers(2),
    kernel: None,
};

/// The table.
pub static WAYS: &[&Way] = &[
    &STEM, &CONV, &DEPTHWISE, &REGISTERS, &FAST, &SUBGROUP, &SHARED, &SPLIT, &MATRIX, &APART, &BLOCK,
    &DIRECT, &STEPS, &JOINED, &PASSES, &PREPARE,
];

/// Every choice of the table.
pub fn choices() -> impl Iterator<Item = Choice> {
    WAYS.iter().flat_map(|way| way.choices())
}

impl Way {
    /// It with a tile. One that is not of its [tiles](Way::tiles) is a choice that no device runs.
    pub const fn of(&'static self, tile: Tile) -> Choice {
        Choice { way: self, tile }
    }

    /// It with each of its tiles.
    pub fn choices(&'static self) -> impl Iterator<Item = Choice> {
        self.tiles.iter().map(|tile| self.of(tile))
    }
}

impl PartialEq for Way {
    fn eq(&self, other: &Way) -> bool {
        self.name == other.name
    }
}

impl Eq for Way {}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
