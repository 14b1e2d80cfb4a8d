//! MobileOne: blocks of a depthwise and a pointwise position, each a sum of branches in training.
//!
//! ```
//! use mobileone::{Form, Model, models::mobileone::{VARIANTS, synthetic}};
//!
//! // MobileOne-S0 with random weights and ten classes.
//! let model = Model::new(synthetic(&VARIANTS[0], 10, 0), Form::Fused)?;
//! assert_eq!((model.name.as_str(), model.architecture.widths[3]), ("MobileOne-S0", 1024));
//! # Ok::<(), mobileone::Error>(())
//! ```

pub use super::draw::Recipe;

use super::{
    Family, Picture, Variant, draw,
    position::{Kind, Scheme},
    staged::Staged,
};
use crate::checkpoint::{CONV, Checkpoint, Claim, LINEAR, Module, NORM, Names, Naming, Shapes};

/// The family.
pub static FAMILY: Family = Family {
    names: Names {
        family: "MobileOne",
        id: "mobileone",
        namings: &NAMINGS,
        modules: &MODULES,
        claims,
        free: &FREE,
        fixed: &[("stem_type", &["one"])],
    },
    epsilon: 1e-5,
    picture: Picture::imagenet(0.9),
    variants: &VARIANTS,
    read: |tensors, metadata, form| STAGED.read(tensors, metadata, form, &FAMILY),
    random: synthetic,
};

/// The paper's networks.
#[rustfmt::skip]
pub static VARIANTS: [Variant; 5] = [
    variant("MobileOne-S0", "mobileone_s0", 48, &[48, 128, 256, 1024], 4, &[0, 0, 0, 0], 0.875, 71.4),
    variant("MobileOne-S1", "mobileone_s1", 64, &[96, 192, 512, 1280], 1, &[0, 0, 0, 0], 0.9, 75.9),
    variant("MobileOne-S2", "mobileone_s2", 64, &[96, 256, 640, 2048], 1, &[0, 0, 0, 0], 0.9, 77.4),
    variant("MobileOne-S3", "mobileone_s3", 64, &[128, 320, 768, 2048], 1, &[0, 0, 0, 0], 0.9, 78.1),
    variant("MobileOne-S4", "mobileone_s4", 64, &[192, 448, 896, 2048], 1, &[0, 0, 5, 1], 0.9, 79.4),
];

#[allow(clippy::too_many_arguments)] // A row of the table above.
const fn variant(
    name: &'static str,
    id: &'static str,
    stem: usize,
    widths: &'static [usize],
    branches: usize,
    squeezed: &'static [usize],
    crop_pct: f64,
    top1: f64,
) -> Variant {
    let picture = Picture::imagenet(crop_pct);
    Variant { name, id, stem, widths, blocks: &[2, 8, 10, 1], branches, squeezed, picture, top1 }
}

static STAGED: Staged = Staged {
    scheme: Scheme { conv: "conv_kxk.#", scale: "conv_scale" },
    stem: Kind::Stem,
    block: &[Kind::Depthwise, Kind::Pointwise],
};

/// timm; timm's `features_only`; Apple and segmentation_models_pytorch; mmpretrain; cvnets and corenet.
#[rustfmt::skip]
static NAMINGS: [Naming; 5] = [
    Naming { places: &[("stem", "stem"), ("stages.#.#", "stages.#.#")], first: 0, column: 0 },
    Naming { places: &[("stem", "stem"), ("stages_#.#", "stages.#.#")], first: 0, column: 0 },
    Naming { places: &[("stage0", "stem"), ("stage#.#", "stages.#.#")], first: 1, column: 1 },
    Naming { places: &[("stage0", "stem"), ("stage#.#", "stages.#.#")], first: 1, column: 2 },
    Naming { places: &[("conv_1", "stem"), ("layer_#.#", "stages.#.#")], first: 2, column: 3 },
];

/// What stands at a position.
#[rustfmt::skip]
static MODULES: [Module; 8] = [
    (CONV, &["conv_kxk.#.conv", "rbr_conv.#.conv", "branch_conv_list.#.conv", "rbr_conv.#.block.conv"]),
    (NORM, &["conv_kxk.#.bn", "rbr_conv.#.bn", "branch_conv_list.#.norm", "rbr_conv.#.block.norm"]),
    (CONV, &["conv_scale.conv", "rbr_scale.conv", "branch_scale.conv", "rbr_scale.block.conv"]),
    (NORM, &["conv_scale.bn", "rbr_scale.bn", "branch_scale.norm", "rbr_scale.block.norm"]),
    (NORM, &["identity", "rbr_skip", "branch_norm", "rbr_skip"]),
    (LINEAR, &["attn.fc1", "se.reduce", "se.conv1.conv", "se.se_layer.fc1.block.conv"]),
    (LINEAR, &["attn.fc2", "se.expand", "se.conv2.conv", "se.se_layer.fc2.block.conv"]),
    (LINEAR, &["reparam_conv", "reparam_conv", "branch_reparam", "reparam_conv"]),
];

/// timm's arguments that reach neither the blocks nor the stem, and Apple's.
#[rustfmt::skip]
static FREE: [&str; 7] = [
    "stem_pool", "downsample",
    "num_conv_branches", "num_blocks_per_stage", "width_multipliers", "use_se", "num_classes_per_head",
];

/// A fused network of other blocks has the same names, but no convolutions of one channel or one pixel.
fn claims(shapes: &Shapes) -> Claim {
    let has = |place: &str| shapes.keys().any(|name| name.starts_with(place));
    let is_conv = |(name, shape): &(&String, &Vec<usize>)| {
        name.starts_with("stages.") && !name.contains(".attn.") && shape.len() == 4
    };
    let mut convs = shapes.iter().filter(is_conv).peekable();
    if convs.peek().is_some() && convs.all(|(_, shape)| shape[1..].iter().all(|&side| side > 1)) {
        return Claim::None;
    }
    match has("stem.") && has("stages.0.0.") && has("stages.0.1.") {
        true => Claim::Whole,
        false => Claim::Part,
    }
}

/// A fused network of the shape of `variant`, random but the same for the same `seed`, whose activations
/// are of order 1 from the stem to the features.
pub fn synthetic(variant: &Variant, classes: usize, seed: u64) -> Checkpoint {
    random(&Recipe::of(variant, classes), seed)
}

/// A network after `recipe`, random but the same for the same `seed`, whose activations are of order 1.
pub fn random(recipe: &Recipe, seed: u64) -> Checkpoint {
    draw::random(recipe, seed, &STAGED, &FAMILY)
}
