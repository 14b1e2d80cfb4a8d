use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use mobileone::{
    DType, Device, Form, Input, Model, Options, Session, Shape, Tensor,
    models::mobileone::{VARIANTS, synthetic},
    tune::{self, Kept},
    verify::examine,
};
use serde::Serialize;

use super::{
    Verdict,
    args::{DeviceArgs, Precision, load, size},
    cache,
    out::{self, Stop, note, plain, say},
};

const EXAMPLES: &str = "\
Examples:
  mobileone tune                       random S0, on the GPU that auto takes
  mobileone tune --model s1 --dtype f16
  mobileone tune --device vulkan --seconds 300 --output here.json";

/// Measure which shaders are fastest on this device, and keep what was found
///
/// Times the choices of each layer, then keeps those with which the whole network is faster when it is measured
/// again. Later runs on this device read what was kept; another driver or version makes it void.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, or s0 to s4; without it, random S0
    #[arg(long, value_name = "M")]
    model: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Height and width of the input: 224, or 192x256
    #[arg(long, value_name = "HxW", value_parser = size)]
    size: Option<(usize, usize)>,
    /// Nothing new is tried after so many seconds
    #[arg(long, value_name = "N", default_value_t = 50)]
    seconds: u64,
    /// The file to write, in place of the one that later runs read
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    model: String,
    device: String,
    dtype: String,
    before_ms: f64,
    after_ms: f64,
    tried: usize,
    kept: Vec<Row>,
    /// Whether the CPU executor is faster.
    cpu: bool,
    /// The file, where it was written.
    output: Option<String>,
}

#[derive(Serialize)]
struct Row {
    layer: String,
    choice: String,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    let model = match &args.model {
        Some(spec) => load(spec, Form::Fused)?,
        None => Model::new(synthetic(&VARIANTS[0], 1000, 0), Form::Fused)?,
    };
    let device = args.device.open_untuned()?;
    let path = args.output.clone().or_else(|| cache::table(device.info()));
    let path = path.ok_or_else(|| Stop::Error("there is no folder for caches here; use --output".into()))?;
    let about = |error: std::io::Error| Stop::Error(format!("{}: {error}", path.display()));
    tune::writable(&path).map_err(about)?;
    let mut options = args.device.options(&device, Options::of(&model));
    options.preprocess.size = args.size.unwrap_or(options.preprocess.size);
    // From the choices of the device's class, not from those of an earlier measurement.
    options.tuning.layers.clear();
    options.cache = None;
    // Where nothing was asked for, both storages are measured.
    let auto = matches!(args.device.dtype, Precision::Auto);
    let half = auto && device.info().features.contains(&"f16");
    if auto {
        options.dtype = DType::F32;
    }
    let bar = ProgressBar::new(1);
    bar.set_style(
        ProgressStyle::with_template("{wide_bar} {percent} % {elapsed}").expect("a valid template"),
    );
    let mut progress = |done: usize, all: usize| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let budget = Duration::from_secs(args.seconds) / if half { 2 } else { 1 };
    let mut tuned = tune::tune(&device, &model, &options, budget, &mut progress)?;
    let mut kept = Kept { tuning: tuned.tuning.clone(), ..Kept::default() };
    if half {
        options.dtype = DType::F16;
        let other = tune::tune(&device, &model, &options, budget, &mut progress)?;
        kept.tuning.layers.extend(other.tuning.layers.clone());
        options.tuning = other.tuning.clone();
        let faster = other.after < tuned.after;
        kept.f16 =
            faster && examine(&device, &model, options.clone())?.iter().all(|line| line.fault.is_none());
        if kept.f16 {
            tuned = other;
        } else {
            options.dtype = DType::F32;
        }
    }
    kept.cpu = cpu(&model, &options)? < tuned.after;
    bar.finish_and_clear();
    // What was measured is told even where it cannot be kept.
    let written = tune::write(&path, device.info(), &kept).map_err(about);
    if written.is_ok() {
        note(&format!("written: {}", plain(&path.display().to_string())));
    }
    let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    let layers = kept.tuning.layers.iter();
    let layers = layers.map(|(layer, choice)| Row { layer: layer.clone(), choice: choice.to_string() });
    let report = Report {
        model: model.name.clone(),
        device: device.info().to_string(),
        dtype: options.dtype.to_string(),
        before_ms: ms(tuned.before),
        after_ms: ms(tuned.after),
        tried: tuned.tried,
        cpu: kept.cpu,
        kept: layers.collect(),
        output: written.is_ok().then(|| path.display().to_string()),
    };
    if args.json {
        out::json(&report, true)?;
        return written.map(|()| Verdict::Good);
    }
    let rows: Vec<[String; 2]> =
        report.kept.iter().map(|row| [row.layer.clone(), row.choice.clone()]).collect();
    out::table(&rows).iter().try_for_each(|line| say(line))?;
    say(&format!(
        "{} of {} choices kept; {}: {:.2} ms, before {:.2} ms",
        report.kept.len(),
        report.tried,
        report.dtype,
        report.after_ms,
        report.before_ms
    ))?;
    if report.cpu {
        say("the CPU executor is faster: --device auto takes it")?;
    }
    written.map(|()| Verdict::Good)
}

/// What one run takes on the CPU executor.
fn cpu(model: &Model, options: &Options) -> Result<Duration, Stop> {
    let mut options = Options { dtype: DType::F32, ..options.clone() };
    options.outputs.top_k = 0;
    let session = Session::new(&Device::open("cpu")?, model, &options)?;
    let (h, w) = options.preprocess.size;
    let shape = Shape::new(1, h, w, model.graph.input_channels());
    let input = Tensor::new(shape, vec![0.25; shape.len()])?;
    let mut least = Duration::MAX;
    for _ in 0..7 {
        let begun = Instant::now();
        session.run(Input::Tensor(&input))?;
        least = least.min(begun.elapsed());
    }
    Ok(least)
}
