//! RepVGG: 3x3 convolutions one after another, each a sum of a 3x3, a 1x1 and an identity branch in training.
//! Source: <https://arxiv.org/abs/2101.03697>.
//!
//! ```
//! use mobileone::{Form, Model, models::repvgg::{VARIANTS, synthetic}};
//!
//! // RepVGG-A0 with random weights and ten classes.
//! let model = Model::new(synthetic(&VARIANTS[0], 10, 0), Form::Fused)?;
//! assert_eq!((model.name.as_str(), model.architecture.widths[3]), ("RepVGG-A0", 1280));
//! # Ok::<(), mobileone::Error>(())
//! ```

use super::{
    Family, Picture, Variant,
    draw::{self, Recipe},
    position::{Kind, Scheme},
    staged::Staged,
};
use crate::checkpoint::{CONV, Checkpoint, Claim, LINEAR, Module, NORM, Names, Naming, Shapes};

/// The family.
pub static FAMILY: Family = Family {
    names: Names {
        family: "RepVGG",
        id: "repvgg",
        namings: &NAMINGS,
        modules: &MODULES,
        claims,
        free: &["stem_pool", "downsample"],
        fixed: &[("stem_type", &["rep"])],
    },
    epsilon: 1e-5,
    picture: Picture::imagenet(0.875),
    variants: &VARIANTS,
    read: |tensors, metadata, form| STAGED.read(tensors, metadata, form, &FAMILY),
    random: synthetic,
};

/// The paper's networks without groups.
#[rustfmt::skip]
pub static VARIANTS: [Variant; 6] = [
    variant("RepVGG-A0", "repvgg_a0", 48, &[48, 96, 192, 1280], &[2, 4, 14, 1], 72.41),
    variant("RepVGG-A1", "repvgg_a1", 64, &[64, 128, 256, 1280], &[2, 4, 14, 1], 74.46),
    variant("RepVGG-A2", "repvgg_a2", 64, &[96, 192, 384, 1408], &[2, 4, 14, 1], 76.48),
    variant("RepVGG-B0", "repvgg_b0", 64, &[64, 128, 256, 1280], &[4, 6, 16, 1], 75.14),
    variant("RepVGG-B1", "repvgg_b1", 64, &[128, 256, 512, 2048], &[4, 6, 16, 1], 78.37),
    variant("RepVGG-B2", "repvgg_b2", 64, &[160, 320, 640, 2560], &[4, 6, 16, 1], 78.78),
];

const fn variant(
    name: &'static str,
    id: &'static str,
    stem: usize,
    widths: &'static [usize],
    blocks: &'static [usize],
    top1: f64,
) -> Variant {
    let picture = Picture::imagenet(0.875);
    Variant { name, id, stem, widths, blocks, branches: 1, squeezed: &[0; 4], picture, top1 }
}

static STAGED: Staged = Staged {
    scheme: Scheme { conv: "conv_kxk", scale: "conv_1x1" },
    stem: Kind::Dense,
    block: &[Kind::Dense],
};

/// timm; timm's `features_only`; the authors; mmpretrain.
#[rustfmt::skip]
static NAMINGS: [Naming; 4] = [
    Naming { places: &[("stem", "stem"), ("stages.#.#", "stages.#.#")], first: 0, column: 0 },
    Naming { places: &[("stem", "stem"), ("stages_#.#", "stages.#.#")], first: 0, column: 0 },
    Naming { places: &[("stage0", "stem"), ("stage#.#", "stages.#.#")], first: 1, column: 1 },
    Naming { places: &[("stem", "stem"), ("stage_#.#", "stages.#.#")], first: 1, column: 2 },
];

/// What stands at a position.
#[rustfmt::skip]
static MODULES: [Module; 8] = [
    (CONV, &["conv_kxk.conv", "rbr_dense.conv", "branch_3x3.conv"]),
    (NORM, &["conv_kxk.bn", "rbr_dense.bn", "branch_3x3.norm"]),
    (CONV, &["conv_1x1.conv", "rbr_1x1.conv", "branch_1x1.conv"]),
    (NORM, &["conv_1x1.bn", "rbr_1x1.bn", "branch_1x1.norm"]),
    (NORM, &["identity", "rbr_identity", "branch_norm"]),
    (LINEAR, &["attn.fc1", "se.down", "se_layer.conv1.conv"]),
    (LINEAR, &["attn.fc2", "se.up", "se_layer.conv2.conv"]),
    (LINEAR, &["reparam_conv", "rbr_reparam", "branch_reparam"]),
];

/// A fused network of other blocks has the same names, but not all of its convolutions are over several channels.
fn claims(shapes: &Shapes) -> Claim {
    let has = |place: &str| shapes.keys().any(|name| name.starts_with(place));
    let mains = shapes.iter().filter(|(name, _)| {
        let main = ["conv_kxk.conv.weight", "reparam_conv.weight"].iter().any(|end| name.ends_with(end));
        main && name.starts_with("stages.")
    });
    let mut mains = mains.peekable();
    let some = mains.peek().is_some();
    if !mains.all(|(_, shape)| shape.iter().skip(1).all(|&side| side > 1)) {
        return Claim::None;
    }
    match some && has("stem.") && has("stages.0.0.") {
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
