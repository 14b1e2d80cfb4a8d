//! A family of networks: what the rest of the crate knows of one.

use super::{Form, tensors::Tensors};
use crate::{
    Result,
    checkpoint::{Checkpoint, GivenStrides, Metadata, Names, Strides},
    graph::Graph,
    preprocess::Interpolation,
    weights::Weights,
};

/// A family of networks.
#[derive(Debug)]
pub struct Family {
    /// What files call its parameters, and whether a file holds one of its networks.
    pub names: Names,
    /// ε of its batch normalizations where nothing gives another.
    pub epsilon: f64,
    /// How pictures become inputs where nothing says so, in a network that is none of its variants.
    pub picture: Picture,
    /// Its networks that have names.
    pub variants: &'static [Variant],
    /// Reads a network off its tensors and builds its graph in the form that is wanted. A tensor that has not been asked
    /// for afterwards has no place in the network: its caller refuses that.
    pub(super) read: fn(&mut Tensors, &Metadata, Form) -> Result<Built>,
    /// A fused network of the shape of a variant with so many classes, random but the same for the same seed.
    pub random: fn(&Variant, usize, u64) -> Checkpoint,
}

/// A network that has been read.
pub(super) struct Built {
    /// The nodes, which give [`FEATURES`](crate::graph::FEATURES), and [`LOGITS`](crate::graph::LOGITS) where there is a
    /// classifier.
    pub graph: Graph,
    /// What the nodes name: in the fused form, by the canonical names of fused files.
    pub weights: Weights,
    /// What it is made of.
    pub architecture: Architecture,
    /// The strides that are given or that branches show; the others of `architecture` are a guess.
    pub strides: GivenStrides,
}

/// One network of a family that has a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variant {
    /// As the paper writes it: `MobileOne-S0`.
    pub name: &'static str,
    /// As files write it: `mobileone_s0`.
    pub id: &'static str,
    /// Channels of the stem.
    pub stem: usize,
    /// Channels of each stage.
    pub widths: &'static [usize],
    /// Blocks of each stage.
    pub blocks: &'static [usize],
    /// Convolution branches of each position in train form; the stem has one.
    pub branches: usize,
    /// Blocks with squeeze-excite at the end of each stage.
    pub squeezed: &'static [usize],
    /// How pictures become inputs.
    pub picture: Picture,
    /// Top-1 accuracy on ImageNet in per cent, as the paper reports it.
    pub top1: f64,
}

/// How pictures of three colours become inputs, after a centre crop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// Height and width of the input.
    pub size: (usize, usize),
    /// The share of the picture that the crop keeps.
    pub crop_pct: f64,
    /// The resize's filter.
    pub interpolation: Interpolation,
    /// Mean per channel.
    pub mean: [f32; 3],
    /// Standard deviation per channel.
    pub std: [f32; 3],
}

impl Picture {
    /// 224 pixels, bilinear, ImageNet's mean and std.
    pub const fn imagenet(crop_pct: f64) -> Picture {
        let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        Picture { size: (224, 224), crop_pct, interpolation: Interpolation::Bilinear, mean, std }
    }
}

/// What a network is made of, as its tensors show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Its family: `MobileOne`.
    pub family: &'static str,
    /// The variant that has these widths, blocks and squeeze-excite, whatever its classes and form.
    pub variant: Option<&'static Variant>,
    /// Channels of the stem.
    pub stem: usize,
    /// Channels that each stage writes.
    pub widths: Vec<usize>,
    /// Blocks of each stage.
    pub blocks: Vec<usize>,
    /// The most convolution branches of a position; `None` when all of them are fused already.
    pub branches: Option<usize>,
    /// Positions with squeeze-excite in each stage, counted from the stage's first.
    pub squeezed: Vec<Vec<usize>>,
    /// Classes, if there is a classifier.
    pub classes: Option<usize>,
    /// Strides of the stem and of each stage's first block.
    pub strides: Strides,
}

impl Architecture {
    /// `MobileOne-S0`, or the family and the widths when it is none of its variants.
    pub fn name(&self) -> String {
        match self.variant {
            Some(variant) => variant.name.into(),
            None => {
                let widths: Vec<String> = self.widths.iter().map(usize::to_string).collect();
                format!("{} (widths {})", self.family, widths.join("/"))
            }
        }
    }
}
