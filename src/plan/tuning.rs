//! Which choice computes a layer: what was measured on the device, else what suits its class.

use std::collections::BTreeMap;

use super::{Class, Limits};
use crate::{
    kernels::{Choice, Kind},
    tensor::{DType, Shape},
};

/// The choices that come before those of the device's class. One that the device cannot run is passed over.
///
/// A batch of any size runs with the same choices, which are measured, and chosen by class, for one picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    /// Choices of single layers, by [`Layer::key`].
    pub layers: BTreeMap<String, Choice>,
    /// Choices for every other layer that they can compute.
    pub choices: Vec<Choice>,
    /// Whether pointwise layers may sum runs of at most 32 products in the type of storage: the mode `f16-fast`.
    /// A software device does not, for it computes in f32 at best.
    pub fast: bool,
}

/// A layer as far as its speed goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it computes.
    pub kind: Kind,
    /// What it reads, for one picture.
    pub src: Shape,
    /// What it writes, for one picture.
    pub dst: Shape,
    /// How maps and weights are stored.
    pub dtype: DType,
    /// Whether [`Tuning::fast`] holds: another mode, other choices.
    pub fast: bool,
    /// Side and step of its window, for a block those of its depthwise layer; 1 and 1 where there is none.
    pub window: [usize; 2],
    /// [`Limits::matrix`], where it may compute on matrices; else 0.
    pub matrix: usize,
}

impl Layer {
    /// `depthwise 3/2 28x28x128 14x14x128 f32`, or `... f16-fast matrix 16`: equal layers have one key.
    pub fn key(&self) -> String {
        let Layer { kind, src, dst, dtype, fast, window: [side, step], matrix } = self;
        let mode = if *fast { "-fast" } else { "" };
        let matrix = if *matrix > 0 { format!(" matrix {matrix}") } else { String::new() };
        let maps = format!("{}x{}x{} {}x{}x{}", src.h, src.w, src.c, dst.h, dst.w, dst.c);
        format!("{kind} {side}/{step} {maps} {dtype}{mode}{matrix}")
    }

    /// Whether `choice` computes this layer on a device of `limits`.
    pub fn allows(&self, choice: Choice, limits: &Limits) -> bool {
        choice.kind() == self.kind && choice.fits(self.src, self.dst, self.dtype, limits)
    }
}

impl Tuning {
    /// One choice for every layer that it can compute.
    pub fn only(choice: Choice) -> Tuning {
        Tuning { choices: vec![choice], ..Tuning::default() }
    }

    /// The choice of a layer on a device of `limits`.
    pub fn choice(&self, layer: &Layer, limits: &Limits) -> Choice {
        let quick = |choice: &Choice| !matches!(choice, Choice::Fast(_)) || layer.fast;
        let wanted = self.layers.get(&layer.key()).into_iter().chain(&self.choices).copied();
        let matrices = [Choice::Matrix(16, 2), Choice::Matrix(8, 4)];
        let suited = matrices.into_iter().chain(class(layer, limits));
        let mut choices = wanted.chain(suited).filter(quick);
        choices
            .find(|&choice| layer.allows(choice, limits))
            .expect("the last choice of a class fits every device")
    }
}

/// The choices that suit a layer on a class of devices, the best first; the last fits every device.
fn class(layer: &Layer, limits: &Limits) -> Vec<Choice> {
    use Choice::*;
    let pixels = layer.dst.pixels();
    match (layer.kind, limits.class) {
        // On a processor loads are what costs: what is read once has to serve many outputs.
        (Kind::Stem, Class::Software) => vec![Stem(8)],
        (Kind::Stem, _) => vec![Stem(2)],
        (Kind::Conv, Class::Software) => vec![Conv(8)],
        (Kind::Conv, _) => vec![Conv(4)],
        (Kind::Depthwise, Class::Discrete) => vec![Depthwise(2, 1)],
        (Kind::Depthwise, _) => vec![Depthwise(2, 2)],
        (Kind::Pointwise, Class::Software) => vec![Subgroup(16, 8), Registers(8, 1)],
        // Few pixels make few tiles: the sums are split to keep all processors busy, in every mode.
        (Kind::Pointwise, Class::Discrete) if pixels <= 256 => vec![Split(4, 4), Fast(4), Registers(2, 1)],
        (Kind::Pointwise, Class::Apple) if pixels <= 64 => vec![Split(4, 4), Fast(4), Registers(4, 1)],
        (Kind::Pointwise, _) if layer.fast => vec![Fast(4)],
        (Kind::Pointwise, Class::Discrete) => vec![Shared(4, 1), Registers(4, 1)],
        (Kind::Pointwise, Class::Apple) => vec![Registers(4, 2)],
        (Kind::Pointwise, Class::Integrated | Class::Mobile) => vec![Registers(4, 1)],
        (Kind::Block, _) => vec![Apart],
        (Kind::Head, Class::Software) => vec![Steps],
        (Kind::Head, _) => vec![Head, Steps],
        // Where there is arithmetic to spare, two dispatches less gain more than sums that are taken twice cost.
        (Kind::Front, Class::Discrete) => vec![Prepare],
        (Kind::Front, _) => vec![Passes],
    }
}
