//! Networks with random weights, for tests and for checking a device without a model.

use super::{
    Family, Form, Variant,
    position::{KERNEL, Kind, Scheme},
    staged::Staged,
};
use crate::{
    Checkpoint,
    checkpoint::{Metadata, Strides},
    weights::Weights,
};

/// What a random network is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Channels of the input.
    pub channels: usize,
    /// Channels of the stem.
    pub stem: usize,
    /// Channels that each stage writes.
    pub widths: Vec<usize>,
    /// Blocks of each stage.
    pub blocks: Vec<usize>,
    /// Convolution branches of each position but the stem, which has one, in train form.
    pub branches: usize,
    /// Blocks with squeeze-excite at the end of each stage.
    pub squeezed: Vec<usize>,
    /// Classes; no classifier if `None`.
    pub classes: Option<usize>,
    /// Strides, when they are not the usual ones. They go to the metadata.
    pub strides: Option<Strides>,
    /// With branches, or fused.
    pub form: Form,
}

impl Recipe {
    /// The recipe of a variant, fused.
    pub fn of(variant: &Variant, classes: usize) -> Recipe {
        Recipe {
            channels: 3,
            stem: variant.stem,
            widths: variant.widths.to_vec(),
            blocks: variant.blocks.to_vec(),
            branches: variant.branches,
            squeezed: variant.squeezed.to_vec(),
            classes: Some(classes),
            strides: None,
            form: Form::Fused,
        }
    }
}

/// A network of `family`, whose networks are `staged`, after `recipe`: random but the same for the same `seed`, with
/// activations of order 1 from the stem to the features.
pub(super) fn random(recipe: &Recipe, seed: u64, staged: &Staged, family: &Family) -> Checkpoint {
    let mut draw = Draw { to: Weights::new(), state: seed, scheme: staged.scheme };
    let form = recipe.form;
    let unit = |stride: Option<usize>, src_c: usize, dst_c| stride == Some(1) && src_c == dst_c;
    let stem_stride = recipe.strides.as_ref().map(|strides| strides.stem);
    let channels = recipe.channels;
    draw.position("stem", [recipe.stem, channels, KERNEL], form, 1, unit(stem_stride, channels, recipe.stem));

    let per_block = staged.block.len();
    let mut src_c = recipe.stem;
    let mut last = String::new();
    for (stage, (&width, &blocks)) in recipe.widths.iter().zip(&recipe.blocks).enumerate() {
        for block in 0..blocks {
            let squeezed = block + recipe.squeezed[stage] >= blocks;
            for (at, &kind) in staged.block.iter().enumerate() {
                let stride = match (block, at, &recipe.strides) {
                    (0, 0, strides) => strides.as_ref().map(|strides| strides.stages[stage]),
                    _ => Some(1),
                };
                let (dst_c, depth) = match kind {
                    Kind::Depthwise => (src_c, 1),
                    Kind::Stem | Kind::Pointwise | Kind::Dense => (width, src_c),
                };
                last = format!("stages.{stage}.{}", per_block * block + at);
                let identity = unit(stride, src_c, dst_c);
                draw.position(&last, [dst_c, depth, kind.kernel()], form, recipe.branches, identity);
                draw.squeeze(&last, dst_c, squeezed);
                src_c = dst_c;
            }
        }
    }
    // The last ReLU lets nearly all channels pass, so that no two features are alike
    let bias = match form {
        Form::Fused => format!("{last}.reparam_conv.bias"),
        Form::Train => format!("{}.bn.bias", staged.scheme.conv(&last, 0)),
    };
    draw.normal(&bias, &[src_c], 2.0, 0.3);
    if let Some(classes) = recipe.classes {
        draw.normal("head.fc.weight", &[classes, src_c], 0.0, (1.0 / src_c as f32).sqrt());
        draw.normal("head.fc.bias", &[classes], 0.0, 0.2);
    }
    let variant = family.variants.iter().find(|variant| {
        let other = Recipe { branches: recipe.branches, form, ..Recipe::of(variant, 0) };
        other == Recipe { classes: Some(0), ..recipe.clone() }
    });
    let metadata = Metadata {
        variant: variant.map(|variant| variant.id.into()),
        strides: recipe.strides.clone().map(Into::into),
        ..Metadata::default()
    };
    Checkpoint { weights: draw.to, metadata, ..Checkpoint::default() }
}

/// The weights so far, and the state of the generator (splitmix64).
struct Draw {
    to: Weights,
    state: u64,
    scheme: Scheme,
}

impl Draw {
    /// Uniform in [0, 1), in steps of 2^-24.
    fn uniform(&mut self) -> f32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    }

    /// About normal: a sum of uniforms, which rounds alike on every machine.
    fn normal(&mut self, name: &str, shape: &[usize], mean: f32, deviation: f32) {
        let mut value = || {
            let sum = self.uniform() + self.uniform() + self.uniform() + self.uniform();
            mean + deviation * (sum - 2.0) * 3f32.sqrt()
        };
        let data = (0..shape.iter().product()).map(|_| value()).collect();
        self.to.insert(name, shape, data);
    }

    /// Uniform around `mean`, half of it to either side.
    fn positive(&mut self, name: &str, channels: usize, mean: f32) {
        let data = (0..channels).map(|_| mean * (0.5 + self.uniform())).collect();
        self.to.insert(name, &[channels], data);
    }

    /// A position with weights `[dst_c, depth, k, k]`. Inputs of mean square 1 give sums of mean square
    /// about 2, of which the ReLU leaves half.
    fn position(&mut self, name: &str, shape: [usize; 3], form: Form, convs: usize, identity: bool) {
        let [dst_c, depth, kernel] = shape;
        let he = (2.0 / (depth * kernel * kernel) as f32).sqrt();
        if form == Form::Fused {
            let weight = [dst_c, depth, kernel, kernel];
            self.normal(&format!("{name}.reparam_conv.weight"), &weight, 0.0, he);
            self.normal(&format!("{name}.reparam_conv.bias"), &[dst_c], 0.0, 0.2);
            return;
        }
        let scale = kernel > 1;
        let factor = (2.0 / (convs + scale as usize + identity as usize) as f32).sqrt();
        for branch in (0..convs).map(|index| self.scheme.conv(name, index)).collect::<Vec<_>>() {
            self.normal(&format!("{branch}.conv.weight"), &[dst_c, depth, kernel, kernel], 0.0, he);
            self.norm(&format!("{branch}.bn"), dst_c, factor, 2.0);
        }
        if scale {
            let deviation = (2.0 / depth as f32).sqrt();
            let scale = self.scheme.scale(name);
            self.normal(&format!("{scale}.conv.weight"), &[dst_c, depth, 1, 1], 0.0, deviation);
            self.norm(&format!("{scale}.bn"), dst_c, factor, 2.0);
        }
        if identity {
            self.norm(&format!("{name}.identity"), dst_c, factor, 1.0);
        }
    }

    /// A normalization for inputs of mean square `variance`.
    fn norm(&mut self, name: &str, channels: usize, factor: f32, variance: f32) {
        self.positive(&format!("{name}.weight"), channels, factor);
        self.normal(&format!("{name}.bias"), &[channels], 0.0, 0.1);
        self.normal(&format!("{name}.running_mean"), &[channels], 0.0, 0.1);
        self.positive(&format!("{name}.running_var"), channels, variance);
    }

    /// A squeeze-excite whose gates are about 0.95, a sixteenth of the channels inside.
    fn squeeze(&mut self, name: &str, channels: usize, wanted: bool) {
        if wanted {
            let inner = (channels / 16).max(1);
            let deviation = (2.0 / channels as f32).sqrt();
            self.normal(&format!("{name}.attn.fc1.weight"), &[inner, channels, 1, 1], 0.0, deviation);
            self.normal(&format!("{name}.attn.fc1.bias"), &[inner], 0.0, 0.2);
            let deviation = (1.0 / inner as f32).sqrt();
            self.normal(&format!("{name}.attn.fc2.weight"), &[channels, inner, 1, 1], 0.0, 0.5 * deviation);
            self.normal(&format!("{name}.attn.fc2.bias"), &[channels], 3.0, 0.5);
        }
    }
}
