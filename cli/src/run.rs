use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use mobileone::{
    Array, Form, Input, Options, Outputs, Shape, Tensor,
    checkpoint::{read_tensor, write_npy, write_tensors},
};
use serde::Serialize;

use crate::{
    Verdict,
    args::{DeviceArgs, LEAST, ReadArgs},
    loaded::{keep, load, model_or_digits, without_pictures},
    opened::Opened,
    out::{self, Stop, check_output, ms, say},
};

const EXAMPLES: &str = "\
Examples:
  mobileone run --model s0 --input x.safetensors --output y.safetensors
  mobileone run --model s0 --input x.npy --output y.npy
  python -c 'import numpy; print(numpy.load(\"y.npy\").argmax(1))'";

/// Run a tensor through the network
///
/// The input file holds `x`, [N, 3, H, W] (or as many channels as the network reads), already normalized; N is free, and
/// H and W from 32. Its values are float32, float64 or float16. The output file holds `logits`, [N, classes], in float32;
/// of a model without a classifier, the pooled `features`. An .npy file holds the array alone.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, s0 to s4, or digits, which is built in and the default
    #[arg(long, value_name = "M")]
    model: Option<PathBuf>,
    #[command(flatten)]
    read: ReadArgs,
    /// A safetensors file with `x`, or NumPy's .npy
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The file to write: NumPy's where its name ends in .npy, else safetensors
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
    /// Keep the branches of training; the model must have them
    #[arg(long)]
    train_form: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    model: String,
    requested: String,
    device: String,
    dtype: String,
    form: &'static str,
    input: Vec<usize>,
    /// The first of the outputs, and its shape.
    output: &'a str,
    shape: &'a [usize],
    outputs: BTreeMap<&'a str, &'a [usize]>,
    engine_ms: f64,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    let spec = model_or_digits(args.model.as_deref());
    let ends = |ending: &str| args.output.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
    if ends("npz") {
        let output = args.output.display();
        return Err(Stop::Error(format!("{output}: one array is written, as .npy or .safetensors")));
    }
    keep(&args.output, &[&args.input, spec])?;
    check_output(&args.output)?;
    let x = read_tensor(&args.input, "x")?;
    let (form, form_name) = if args.train_form { (Form::Train, "train") } else { (Form::Fused, "fused") };
    let (model, opened) = Opened::beside(&args.device, || load(spec, form, &args.read, without_pictures))?;
    let channels = model.graph.input_channels();
    let input =
        check(&x, channels).map_err(|reason| Stop::Error(format!("{}: {reason}", args.input.display())))?;
    let on = opened.to_run(&args.device, &model, (input.h, input.w))?;
    let mut options = on.options(Options::of(&model));
    options.preprocess.size = (input.h, input.w);
    options.batch = input.n;
    options.outputs = Outputs::of(&model.graph);
    let session = on.session(&model, &options)?;
    on.summary(&model.name, options.preprocess.size, None);
    let tensor = Tensor::from_nchw(input, &x.data)?;
    drop(x.data);
    let begun = Instant::now();
    let answer = session.run(Input::Tensor(&tensor))?;
    let engine_ms = ms(begun);
    let arrays: Vec<(&str, Array)> =
        answer.outputs.iter().map(|(name, tensor)| (&**name, array(tensor))).collect();
    match (ends("npy"), &arrays[..]) {
        (true, [(_, array)]) => write_npy(&args.output, array)?,
        (true, all) => {
            let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
            return Err(Stop::Error(format!("an .npy file holds one array, not {}", names.join(", "))));
        }
        (false, all) => write_tensors(&args.output, all.iter().map(|(name, array)| (*name, array)))?,
    }
    if args.json {
        let report = Report {
            model: model.name,
            requested: spec.display().to_string(),
            device: on.device.info().to_string(),
            dtype: options.dtype.to_string(),
            form: form_name,
            input: x.shape,
            output: arrays[0].0,
            shape: &arrays[0].1.shape,
            outputs: arrays.iter().map(|(name, array)| (*name, &array.shape[..])).collect(),
            engine_ms,
        };
        out::json(&report, true)?;
    } else {
        let shapes: Vec<String> =
            arrays.iter().map(|(name, array)| format!("{name} {:?}", array.shape)).collect();
        say(&format!("{}: {}, {engine_ms:.1} ms", args.output.display(), shapes.join(", ")))?;
    }
    Ok(Verdict::Good)
}

/// The shape of `x`, as the library calls it, when it is an input.
fn check(x: &Array, channels: usize) -> Result<Shape, String> {
    let (n, h, w) = match x.shape[..] {
        [n, c, h, w] if c == channels => (n, h, w),
        _ => return Err(format!("\"x\": expected [N, {channels}, H, W], found {:?}", x.shape)),
    };
    if n == 0 || h < LEAST || w < LEAST {
        return Err(format!("\"x\": expected N from 1, H and W from {LEAST}, found {:?}", x.shape));
    }
    if let Some(at) = x.data.iter().position(|value| !value.is_finite()) {
        let place = [at / (channels * h * w), at / (h * w) % channels, at / w % h, at % w];
        return Err(format!("\"x\": the value at {place:?} is {}; inputs must be finite", x.data[at]));
    }
    Ok(Shape::new(n, h, w, channels))
}

/// An output as PyTorch has it: a vector `[N, C]`, a map `[N, C, H, W]`.
fn array(tensor: &Tensor) -> Array {
    let Shape { n, h, w, c } = tensor.shape();
    let shape = if h * w == 1 { vec![n, c] } else { vec![n, c, h, w] };
    Array { shape, data: tensor.to_nchw() }
}
