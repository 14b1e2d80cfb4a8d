//! Arguments that several commands take, as they are typed. What they mean is in `opened.rs`, `loaded.rs` and
//! `pictures.rs`; nothing here knows of these.

use std::{num::NonZero, path::PathBuf};

use clap::{
    ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use mobileone::{
    checkpoint::{About, Reading, Strides, Which},
    preprocess::{CropMode, Interpolation},
};

/// The device that a command is to run on, and how.
#[derive(clap::Args)]
pub struct DeviceArgs {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, software, or a part of an adapter's name or driver
    #[arg(long, value_name = "D", env = "MOBILEONE_DEVICE", hide_env_values = true, default_value = "auto")]
    pub device: String,
    /// Storage of weights and maps; auto is f32, or f16 where `tune` found it faster with these weights; f16-fast also
    /// sums up to 32 products in f16
    #[arg(long, value_name = "T", value_enum, default_value = "auto")]
    pub dtype: Precision,
    /// Threads of the CPU executor; RAYON_NUM_THREADS or one per core when not given
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<NonZero<usize>>,
    /// Run f16 on the GPU's cooperative matrices, which first have to compute two layers correctly; an experiment
    #[arg(long)]
    pub matrices: bool,
}

/// Storage of weights and maps.
#[derive(Clone, Copy, ValueEnum)]
pub enum Precision {
    Auto,
    F32,
    F16,
    F16Fast,
}

impl Precision {
    /// Whether the CPU executor may take a GPU's place: it stores in f32 only.
    pub fn on_cpu(self) -> bool {
        matches!(self, Precision::Auto | Precision::F32)
    }
}

/// How a model's file is read, where its tensors leave that open.
#[derive(clap::Args, Default)]
pub struct ReadArgs {
    /// Of a file with several networks: raw, ema (averaged, the default where there is one), or the key or prefix of
    /// the one to take
    #[arg(long, value_name = "WHICH")]
    pub weights: Option<Which>,
    /// Epsilon of batch norms in a file with branches: 1e-5, unless config.json or the file says otherwise
    #[arg(long, value_name = "EPS")]
    pub bn_eps: Option<f64>,
    /// Strides (1 or 2) of the stem and of each stage: 1,2,2,2,2
    #[arg(long, value_name = "S,S,...")]
    pub strides: Option<Strides>,
}

impl ReadArgs {
    /// The same in the library's words.
    pub fn reading(&self) -> Reading {
        Reading {
            weights: self.weights.clone().unwrap_or_default(),
            bn_eps: self.bn_eps,
            strides: self.strides.clone(),
        }
    }
}

/// How pictures become inputs, and what their classes are called.
#[derive(clap::Args)]
pub struct PictureArgs {
    /// The classes' names: a line per class, JSON or YAML; numbers in it decide the order
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Height and width of the input: 224, or 192x256
    #[arg(long, value_name = "HxW", value_parser = size)]
    pub size: Option<(usize, usize)>,
    /// The share of the resized picture that the crop keeps, such as 0.9
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub crop_pct: Option<f64>,
    /// How the picture is made to fit: its middle, both sides squeezed, or all of it with a border
    #[arg(long, value_name = "MODE", value_parser = one_of(CropMode::NAMES))]
    pub crop_mode: Option<CropMode>,
    /// The filter of the resize
    #[arg(long, value_name = "FILTER", value_parser = one_of(Interpolation::NAMES))]
    pub interpolation: Option<Interpolation>,
    /// Subtracted from red, green and blue: 0.485,0.456,0.406, or of bytes, 123.675,116.28,103.53
    #[arg(long, value_name = "R,G,B", value_parser = triple, allow_hyphen_values = true)]
    pub mean: Option<[f64; 3]>,
    /// Divides red, green and blue: 0.229,0.224,0.225, or of bytes, 58.395,57.12,57.375
    #[arg(long, value_name = "R,G,B", value_parser = triple)]
    pub std: Option<[f64; 3]>,
}

impl PictureArgs {
    /// What was typed of how pictures become inputs.
    pub fn given(&self) -> Vec<About> {
        let all = [
            (About::Size, self.size.is_some()),
            (About::CropPct, self.crop_pct.is_some()),
            (About::CropMode, self.crop_mode.is_some()),
            (About::Interpolation, self.interpolation.is_some()),
            (About::Mean, self.mean.is_some()),
            (About::Std, self.std.is_some()),
        ];
        all.into_iter().filter(|(_, typed)| *typed).map(|(about, _)| about).collect()
    }
}

/// The option that stands in for what a `config.json` says of this.
pub fn option(about: About) -> Option<&'static str> {
    Some(match about {
        About::Size => "--size",
        About::CropPct => "--crop-pct",
        About::CropMode => "--crop-mode",
        About::Interpolation => "--interpolation",
        About::Mean => "--mean",
        About::Std => "--std",
        About::Strides => "--strides",
        About::Epsilon => "--bn-eps",
        _ => return None,
    })
}

/// Reads one of `names`.
fn one_of<T: Copy + Send + Sync + 'static>(
    names: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let value = |text: String| names.iter().find(|(name, _)| *name == text).expect("a possible value").1;
    PossibleValuesParser::new(names.iter().map(|(name, _)| name)).map(value)
}

/// A count of threads that a system can give.
pub fn threads(text: &str) -> Result<NonZero<usize>, String> {
    let count = text.trim().parse().ok().filter(|count: &NonZero<usize>| count.get() <= 1024);
    count.ok_or("expected a number from 1 to 1024".into())
}

/// The least height and width of an input: below it, the last maps shrink to nothing.
pub const LEAST: usize = 32;

/// A height and a width, or both at once.
pub fn size(text: &str) -> Result<(usize, usize), String> {
    let (h, w) = text.split_once(['x', '×']).unwrap_or((text, text));
    match (h.trim().parse(), w.trim().parse()) {
        (Ok(h), Ok(w)) if h >= LEAST && w >= LEAST => Ok((h, w)),
        _ => Err(format!("expected a height and a width from {LEAST}, such as 224 or 192x256")),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.trim().parse() {
        Ok(share) if (0.1..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from 0.1 to 1, such as 0.875".into()),
    }
}

/// A probability.
pub fn probability(text: &str) -> Result<f32, String> {
    match text.trim().parse() {
        Ok(probability) if (0.0..=1.0).contains(&probability) => Ok(probability),
        _ => Err("expected a probability from 0 to 1, such as 0.5".into()),
    }
}

fn triple(text: &str) -> Result<[f64; 3], String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    match numbers.unwrap_or_default()[..] {
        [one] => Ok([one; 3]),
        [r, g, b] => Ok([r, g, b]),
        _ => Err("expected three numbers such as 0.485,0.456,0.406, or one for all".into()),
    }
}
