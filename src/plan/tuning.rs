//! Which choice computes a layer: what was measured on the device, else what suits its class.

use std::collections::BTreeMap;

use super::{Class, Limits};
use crate::kernels::{
    Choice, Kind, Layer,
    ways::{
        APART, CONV, DEPTHWISE, FAST, JOINED, MATRIX, PASSES, PREPARE, REGISTERS, SHARED, SPLIT, STEM, STEPS,
        SUBGROUP,
    },
};

/// The choices that come before those of the device's class. One that does not compute a layer, or that the device cannot
/// run, is passed over.
///
/// A batch of any size runs with the same choices, which are measured, and chosen by class, for one picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    /// Choices of single layers.
    pub layers: BTreeMap<Layer, Choice>,
    /// Choices for every other layer that they can compute.
    pub choices: Vec<Choice>,
    /// Whether pointwise layers may sum runs of at most 32 products in the type of storage: the mode `f16-fast`.
    /// A software device does not, for it computes in f32 at best.
    pub fast: bool,
}

impl Tuning {
    /// One choice for every layer that it can compute.
    pub fn only(choice: Choice) -> Tuning {
        Tuning { choices: vec![choice], ..Tuning::default() }
    }

    /// The choice of a layer on a device of `limits`.
    pub fn choice(&self, layer: &Layer, limits: &Limits) -> Choice {
        let wanted = self.layers.get(layer).into_iter().chain(&self.choices).copied();
        let matrices = [MATRIX.of(&[16, 2]), MATRIX.of(&[8, 4])];
        let class = class(layer, limits);
        // The last of a class runs on every device that has the least of all limits.
        let least = class[class.len() - 1];
        let mut choices = wanted.chain(matrices).chain(class);
        choices.find(|choice| choice.fits(layer, limits)).unwrap_or(least)
    }
}

/// The choices that suit a layer on a class of devices, the best first; the last fits every device.
fn class(layer: &Layer, limits: &Limits) -> Vec<Choice> {
    let pixels = layer.dst.pixels();
    match (layer.kind, limits.class) {
        // On a processor loads are what costs: what is read once has to serve many outputs.
        (Kind::Stem, Class::Software) => vec![STEM.of(&[8])],
        (Kind::Stem, _) => vec![STEM.of(&[2])],
        (Kind::Conv, Class::Software) => vec![CONV.of(&[8])],
        (Kind::Conv, _) => vec![CONV.of(&[4])],
        (Kind::Depthwise, Class::Discrete) => vec![DEPTHWISE.of(&[2, 1])],
        (Kind::Depthwise, _) => vec![DEPTHWISE.of(&[2, 2])],
        (Kind::Pointwise, Class::Software) => vec![SUBGROUP.of(&[16, 8]), REGISTERS.of(&[8, 1])],
        // Few pixels make few tiles: the sums are split to keep all processors busy, in every mode.
        (Kind::Pointwise, Class::Discrete) if pixels <= 256 => {
            vec![SPLIT.of(&[4, 4]), FAST.of(&[4]), REGISTERS.of(&[2, 1])]
        }
        (Kind::Pointwise, Class::Apple) if pixels <= 64 => {
            vec![SPLIT.of(&[4, 4]), FAST.of(&[4]), REGISTERS.of(&[4, 1])]
        }
        (Kind::Pointwise, _) if layer.fast => vec![FAST.of(&[4])],
        (Kind::Pointwise, Class::Discrete) => vec![SHARED.of(&[4, 1]), REGISTERS.of(&[4, 1])],
        (Kind::Pointwise, Class::Apple) => vec![REGISTERS.of(&[4, 2])],
        (Kind::Pointwise, Class::Integrated | Class::Mobile) => vec![REGISTERS.of(&[4, 1])],
        (Kind::Block, _) => vec![APART.of(&[])],
        (Kind::Head, Class::Software) => vec![STEPS.of(&[])],
        (Kind::Head, _) => vec![JOINED.of(&[]), STEPS.of(&[])],
        // Where there is arithmetic to spare, two dispatches less gain more than sums that are taken twice cost.
        (Kind::Front, Class::Discrete) => vec![PREPARE.of(&[])],
        (Kind::Front, _) => vec![PASSES.of(&[])],
    }
}
