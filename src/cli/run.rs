use std::{path::PathBuf, time::Instant};

use mobileone::{
    Array, Form, Input, Options, Outputs, Shape, Tensor,
    checkpoint::{read_tensor, write_tensors},
};
use serde::Serialize;

use super::{
    Verdict,
    args::{LEAST, ReadArgs, keep, load, without_pictures},
    opened::{DeviceArgs, session},
    out::{self, Stop, check_output, ms, say},
};

const EXAMPLES: &str = "\
Examples:
  mobileone run --model s0 --input x.safetensors --output y.safetensors
  python -c 'from safetensors.torch import load_file; print(load_file(\"y.safetensors\")[\"logits\"])'";

/// Run a tensor through the network
///
/// The input file holds `x`, [N, 3, H, W], f32 (of a network of other channels, as many), already normalized; N is free, and H and W from 32. The output
/// file holds `logits`, [N, classes], f32; of a model without a classifier, the pooled `features`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, s0 to s4, or digits
    #[arg(long, value_name = "M")]
    model: PathBuf,
    #[command(flatten)]
    read: ReadArgs,
    /// A safetensors file with `x`
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The safetensors file to write
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
struct Report {
    model: String,
    device: String,
    dtype: String,
    form: &'static str,
    input: Vec<usize>,
    output: &'static str,
    shape: [usize; 2],
    engine_ms: f64,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    keep(&args.output, &[&args.input, &args.model])?;
    check_output(&args.output)?;
    let x = read_tensor(&args.input, "x")?;
    let (form, form_name) = if args.train_form { (Form::Train, "train") } else { (Form::Fused, "fused") };
    let model = args.device.beside(|| load(&args.model, form, &args.read, without_pictures))?;
    let channels = model.graph.input_channels();
    let input =
        check(&x, channels).map_err(|reason| Stop::Error(format!("{}: {reason}", args.input.display())))?;
    let device = args.device.open_for(&model, (input.h, input.w))?;
    let mut options = args.device.options(&device, Options::of(&model));
    options.preprocess.size = (input.h, input.w);
    options.batch = input.n;
    let classes = model.graph.classes();
    options.outputs =
        Outputs { logits: classes.is_some(), features: classes.is_none(), ..Outputs::default() };
    let session = session(&device, &model, &options)?;
    let tensor = Tensor::from_nchw(input, &x.data)?;
    drop(x.data);
    let begun = Instant::now();
    let answer = session.run(Input::Tensor(&tensor))?;
    let engine_ms = ms(begun);
    let (name, data) = match classes {
        Some(_) => ("logits", answer.logits),
        None => ("features", answer.features),
    };
    let shape = [input.n, data.len() / input.n];
    write_tensors(&args.output, [(name, &Array { shape: shape.to_vec(), data })])?;
    if args.json {
        let report = Report {
            model: model.name,
            device: device.info().to_string(),
            dtype: options.dtype.to_string(),
            form: form_name,
            input: x.shape,
            output: name,
            shape,
            engine_ms,
        };
        out::json(&report, true)?;
    } else {
        say(&format!("{}: {name} {shape:?}, {engine_ms:.1} ms", args.output.display()))?;
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
