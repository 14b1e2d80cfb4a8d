use std::path::PathBuf;

use clap::ValueEnum;
use mobileone::{
    DType, Options, Outputs,
    export::{Target, export},
    plan::{Limits, Tuning},
    tasks::classify::PROBABILITIES,
};
use serde::Serialize;

use crate::{
    Verdict,
    args::{PictureArgs, Precision, ReadArgs},
    opened::Opened,
    out::{self, Stop, bytes, check_parent, count, detail, plain, say},
    pictures,
};

const EXAMPLES: &str = "\
Examples:
  mobileone export --target spirv out/ s0
  mobileone export --target msl --dtype f16 --batch 4 out/ my.safetensors
  mobileone export --target spirv --device \"RTX 4070\" out/ digits
                                     with that GPU's limits and tuned choices";

/// Write plan, weights and shaders for an engine without wgpu
///
/// The folder gets plan.json (what to run on which buffers), weights.bin, and each shader once, specialised, in the
/// target's language. The plan needs no more than WebGPU promises everywhere, unless --device names a GPU. The fields of
/// plan.json, and how to run it, are described in the documentation of the Rust module mobileone::export (src/export.rs,
/// `cargo doc --open`); examples/vulkan runs it on Vulkan itself.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The folder to make
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// A file, a folder, a hub id, s0 to s4, digits, or random:s0 to random:s4
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    read: ReadArgs,
    /// The language of the shaders
    #[arg(long, value_name = "L", value_enum)]
    target: Language,
    /// Storage of weights and maps
    #[arg(long, value_name = "T", value_enum, default_value = "f32")]
    dtype: Stored,
    /// The most pictures of one run
    #[arg(long, value_name = "N", default_value = "1")]
    batch: usize,
    /// The best classes that the last shader finds
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u8).range(..=64))]
    top: u8,
    /// A GPU of this machine, whose limits and tuned choices the plan takes
    #[arg(long, value_name = "D")]
    device: Option<String>,
    #[command(flatten)]
    picture: PictureArgs,
    /// Replace an older export
    #[arg(long)]
    force: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Language {
    Wgsl,
    Msl,
    Hlsl,
    Spirv,
}

#[derive(Clone, Copy, ValueEnum)]
enum Stored {
    F32,
    F16,
}

#[derive(Serialize)]
struct Report {
    model: String,
    requested: String,
    folder: String,
    target: &'static str,
    dtype: String,
    size: [usize; 2],
    batch: usize,
    kernels: usize,
    dispatches: usize,
    /// Whose limits and choices it has, where one was named.
    device: Option<String>,
    /// Of a batch of one.
    slot_bytes: usize,
    weight_bytes: usize,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    let target = match args.target {
        Language::Wgsl => Target::Wgsl,
        Language::Msl => Target::Msl,
        Language::Hlsl => Target::Hlsl,
        Language::Spirv => Target::Spirv,
    };
    let dtype = match args.dtype {
        Stored::F32 => DType::F32,
        Stored::F16 => DType::F16,
    };
    check_parent(&args.folder)?;
    let mut model = pictures::load(&args.picture, &args.model, &args.read)?;
    if let Some(classes) = model.graph.classes() {
        let labels = pictures::labels(&args.picture, &model)?;
        model.labels = Some((0..classes).map(|class| labels.name(class).into()).collect());
    }
    let (limits, tuning, name) = limits(args.device.as_deref())?;
    let classes = model.graph.classes().unwrap_or(0);
    let top_k = usize::from(args.top).min(classes);
    let own = model.graph.outputs.iter().map(|output| output.name.as_str());
    let outputs = Outputs::named(own.chain((classes > 0).then_some(PROBABILITIES))).and_best(top_k);
    let preprocess = pictures::preprocess(&args.picture, &model)?;
    let options = Options { preprocess, batch: args.batch, dtype, outputs, tuning, ..Options::of(&model) };
    let files = export(&model, &options, limits, target)?;
    files.write(&args.folder, args.force)?;
    let manifest = &files.manifest;
    let report = Report {
        model: manifest.model.clone(),
        requested: args.model.display().to_string(),
        folder: args.folder.display().to_string(),
        target: target.name(),
        dtype: manifest.dtype.clone(),
        size: manifest.preprocess.size,
        batch: manifest.batch,
        kernels: manifest.kernels.len(),
        dispatches: manifest.dispatches.len(),
        device: name,
        slot_bytes: manifest.slots.iter().map(|slot| slot.bytes).sum(),
        weight_bytes: manifest.weights.bytes,
    };
    if args.json {
        out::json(&report, true)?;
        return Ok(Verdict::Good);
    }
    let Report { model, folder, target, dtype, size: [h, w], kernels, dispatches, .. } = &report;
    let device = report.device.as_ref().map_or(String::new(), |device| format!(" for {}", plain(device)));
    say(&format!(
        "{folder}: {model} at {h}x{w} in {dtype}{device}, {} of {}, {} of weights",
        count(*dispatches, "dispatch"),
        count(*kernels, &format!("{target} kernel")),
        bytes(report.weight_bytes as u64)
    ))?;
    Ok(Verdict::Good)
}

/// The limits and choices of the GPU that `device` names, and its name; else the least that all have.
fn limits(device: Option<&str>) -> Result<(Limits, Tuning, Option<String>), Stop> {
    let Some(wanted) = device else { return Ok((Limits::LEAST, Tuning::default(), None)) };
    let (on, said) = Opened::new(wanted, None)?.settle(None, Precision::Auto, false)?;
    detail(&said);
    match on.device.limits() {
        Some(limits) => Ok((limits, on.tuning().clone(), Some(on.device.info().to_string()))),
        None => Err(Stop::Error(format!(
            "{wanted}: shaders run on GPUs; name one that `mobileone devices` lists"
        ))),
    }
}
