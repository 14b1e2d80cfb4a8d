//! MobileOne: its variants, and a checkpoint's tensors read as one, be it a variant or not.
//!
//! ```
//! use mobileone::{Form, Model, models::mobileone::{VARIANTS, synthetic}};
//!
//! // MobileOne-S0 with random weights and ten classes.
//! let model = Model::new(synthetic(&VARIANTS[0], 10, 0), Form::Fused)?;
//! assert_eq!((model.name.as_str(), model.architecture.widths[3]), ("MobileOne-S0", 1024));
//! # Ok::<(), mobileone::Error>(())
//! ```

mod graph;
mod read;
mod synthetic;

pub use synthetic::{Recipe, random, synthetic};

pub(super) use graph::{build, fused_weights};
pub(super) use read::read;

use crate::{
    checkpoint::{GivenStrides, Strides},
    graph::Conv,
};

/// One of the paper's networks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variant {
    /// As the paper writes it: `MobileOne-S0`.
    pub name: &'static str,
    /// As files write it: `mobileone_s0`.
    pub id: &'static str,
    /// Channels of the stem.
    pub stem: usize,
    /// Channels of each stage.
    pub widths: [usize; 4],
    /// Convolution branches of each position in train form; the stem has one.
    pub branches: usize,
    /// Blocks with squeeze-excite at the end of each stage.
    pub squeezed: [usize; 4],
    /// The share of the picture that the paper's crop keeps.
    pub crop_pct: f64,
    /// Top-1 accuracy on ImageNet in per cent, as the paper reports it.
    pub top1: f64,
}

/// Blocks in each stage of every variant.
pub const BLOCKS: [usize; 4] = [2, 8, 10, 1];

/// The paper's networks.
#[rustfmt::skip]
pub const VARIANTS: [Variant; 5] = [
    variant("MobileOne-S0", "mobileone_s0", 48, [48, 128, 256, 1024], 4, [0, 0, 0, 0], 0.875, 71.4),
    variant("MobileOne-S1", "mobileone_s1", 64, [96, 192, 512, 1280], 1, [0, 0, 0, 0], 0.9, 75.9),
    variant("MobileOne-S2", "mobileone_s2", 64, [96, 256, 640, 2048], 1, [0, 0, 0, 0], 0.9, 77.4),
    variant("MobileOne-S3", "mobileone_s3", 64, [128, 320, 768, 2048], 1, [0, 0, 0, 0], 0.9, 78.1),
    variant("MobileOne-S4", "mobileone_s4", 64, [192, 448, 896, 2048], 1, [0, 0, 5, 1], 0.9, 79.4),
];

#[allow(clippy::too_many_arguments)] // A row of the table above.
const fn variant(
    name: &'static str,
    id: &'static str,
    stem: usize,
    widths: [usize; 4],
    branches: usize,
    squeezed: [usize; 4],
    crop_pct: f64,
    top1: f64,
) -> Variant {
    Variant { name, id, stem, widths, branches, squeezed, crop_pct, top1 }
}

/// What a network is made of, as its tensors show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Channels of the stem.
    pub stem: usize,
    /// Channels that each stage writes.
    pub widths: Vec<usize>,
    /// Blocks of each stage: a depthwise and a pointwise position each.
    pub blocks: Vec<usize>,
    /// The most convolution branches of a position; `None` when all of them are fused already.
    pub branches: Option<usize>,
    /// Positions with squeeze-excite in each stage, counted from the stage's first depthwise.
    pub squeezed: Vec<Vec<usize>>,
    /// Classes, if there is a classifier.
    pub classes: Option<usize>,
    /// Strides of the stem and of each stage's first block.
    pub strides: Strides,
}

impl Architecture {
    /// The variant that has these widths, blocks and squeeze-excite, whatever its classes and form.
    pub fn variant(&self) -> Option<&'static Variant> {
        let squeezed = |variant: &Variant| -> Vec<Vec<usize>> {
            let last = variant.squeezed.iter().zip(BLOCKS);
            last.map(|(&squeezed, blocks)| (2 * (blocks - squeezed)..2 * blocks).collect()).collect()
        };
        VARIANTS.iter().find(|variant| {
            (variant.stem, &variant.widths[..], &BLOCKS[..]) == (self.stem, &self.widths, &self.blocks)
                && squeezed(variant) == self.squeezed
        })
    }

    /// `MobileOne-S0`, or the widths when it is none of the paper's.
    pub fn name(&self) -> String {
        match self.variant() {
            Some(variant) => variant.name.into(),
            None => {
                let widths: Vec<String> = self.widths.iter().map(usize::to_string).collect();
                format!("MobileOne (widths {})", widths.join("/"))
            }
        }
    }
}

/// A network whose tensors have all been found and fit together.
pub(super) struct Network {
    /// The stem, then each stage's positions, in running order.
    pub positions: Vec<Position>,
    /// Classes, if there is a classifier.
    pub classes: Option<usize>,
    /// The channels of the features.
    pub features: usize,
    /// What it is made of.
    pub architecture: Architecture,
    /// ε of its normalizations.
    pub epsilon: f64,
    /// The strides that are given or that branches show; the others of `architecture` are a guess.
    pub strides: GivenStrides,
}

/// One convolution of the network, with all that stands for it in the checkpoint.
pub(super) struct Position {
    /// `stem` or `stages.2.7`: the beginning of its tensors' names.
    pub name: String,
    /// The geometry of the sum of its branches.
    pub conv: Conv,
    /// How the checkpoint stores it.
    pub body: Body,
    /// Channels between the two layers of its squeeze-excite, if it has one.
    pub squeeze: Option<usize>,
}

/// How a checkpoint stores one position.
pub(super) enum Body {
    /// One convolution with bias.
    Fused,
    /// Its branches.
    Branches {
        /// Convolutions of the position's kernel.
        convs: usize,
        /// Whether there is a 1x1 branch.
        scale: bool,
        /// Whether there is a branch of normalization only.
        identity: bool,
    },
}
