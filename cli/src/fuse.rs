use std::path::PathBuf;

use clap::ValueEnum;
use mobileone::{DType, Error, Form};
use serde::Serialize;

use crate::{
    Verdict,
    args::ReadArgs,
    loaded::{keep, load},
    out::{self, Stop, check_output, commas, count, say},
};

const EXAMPLES: &str = "\
Examples:
  mobileone fuse mobileone_s0_unfused.pth.tar s0.safetensors
  mobileone fuse timm/mobileone_s1.apple_in1k s1.safetensors --dtype f16";

/// Write the fused form of a model
///
/// Branches and normalizations are folded in f64 and rounded once. The file has timm's names, and in its
/// metadata the variant, strides, labels and preprocessing; every command takes it.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, s0 to s4, or digits
    #[arg(value_name = "IN")]
    input: PathBuf,
    #[command(flatten)]
    read: ReadArgs,
    /// The safetensors file to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Storage of the weights
    #[arg(long, value_name = "T", value_enum, default_value = "f32")]
    dtype: Stored,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
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
    output: String,
    dtype: String,
    tensors: usize,
    parameters: usize,
    bytes: u64,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    let dtype = match args.dtype {
        Stored::F32 => DType::F32,
        Stored::F16 => DType::F16,
    };
    keep(&args.output, &[&args.input])?;
    check_output(&args.output)?;
    let model = load(&args.input, Form::Fused, &args.read, |_| None)?;
    let checkpoint = model.to_checkpoint();
    checkpoint.save(&args.output, dtype)?;
    let io = |source| Stop::from(Error::Io { path: args.output.clone(), source });
    let report = Report {
        model: model.name,
        requested: args.input.display().to_string(),
        output: args.output.display().to_string(),
        dtype: dtype.to_string(),
        tensors: checkpoint.weights.len(),
        parameters: checkpoint.weights.iter().map(|(_, array)| array.data.len()).sum(),
        bytes: std::fs::metadata(&args.output).map_err(io)?.len(),
    };
    if args.json {
        out::json(&report, true)?;
    } else {
        let Report { model, output, tensors, parameters, bytes, .. } = &report;
        say(&format!(
            "{output}: {model}, {}, {} in {dtype}, {} bytes",
            count(*tensors, "tensor"),
            count(*parameters, "parameter"),
            commas(*bytes)
        ))?;
    }
    Ok(Verdict::Good)
}
