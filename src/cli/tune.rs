use std::{ops::ControlFlow, path::PathBuf, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use mobileone::{
    DType, Device, Form, Model, Options,
    models::mobileone::{VARIANTS, synthetic},
    tune::{self, Kept, Rivals, Times, Tuned},
};
use serde::Serialize;

use super::{
    Verdict,
    args::{ReadArgs, load, size, without_pictures},
    opened::{DeviceArgs, Precision},
    out::{self, Stop, chain, note, plain, say},
};

const EXAMPLES: &str = "\
Examples:
  mobileone tune                       random S0, on the GPU that auto takes
  mobileone tune --model s1 --dtype f16
  mobileone tune --device vulkan --seconds 300 --output here.json";

/// Measure which shaders are fastest on this device, and keep what was found
///
/// Times the choices of each layer, then keeps those with which the whole network is faster when it is measured
/// again; a batch of any size runs with what one picture was measured with. Last, f32, f16 and the CPU executor run
/// the network in turns: the fastest is what `--device auto` takes for this network from then on, and `--dtype auto`
/// with these weights, which f16 was examined with. Without `--dtype` only, for else one storage is tuned and the other
/// is not. Later runs on this device read what was kept; another driver or version makes it void.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, or s0 to s4; without it, random S0
    #[arg(long, value_name = "M")]
    model: Option<PathBuf>,
    #[command(flatten)]
    read: ReadArgs,
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
    /// The network's key in the table, where it was kept what is fastest.
    network: Option<String>,
    /// Storages whose layers were tuned, and the time of a run before and after, by the device's own clock.
    storages: Vec<Storage>,
    /// Layers that now run otherwise than a device of this class runs them.
    kept: Vec<Row>,
    /// Round trips, in turns.
    f32_ms: f64,
    f16_ms: Option<f64>,
    cpu_ms: Option<f64>,
    /// What is fastest, for `auto` to take.
    f16: bool,
    cpu: bool,
    /// The file, where it was written.
    output: Option<String>,
}

#[derive(Serialize)]
struct Storage {
    dtype: String,
    before_ms: f64,
    after_ms: f64,
    tried: usize,
}

#[derive(Serialize)]
struct Row {
    layer: String,
    choice: String,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    let model = match &args.model {
        Some(spec) => load(spec, Form::Fused, &args.read, without_pictures)?,
        None => Model::new(synthetic(&VARIANTS[0], 1000, 0), Form::Fused)?,
    };
    let device = args.device.open()?;
    let path = args.output.clone().or_else(|| tune::place(device.info()));
    let path = path.ok_or_else(|| Stop::Error("there is no folder for caches here; use --output".into()))?;
    let about = |error: std::io::Error| Stop::Error(format!("{}: {error}", path.display()));
    tune::writable(&path).map_err(about)?;
    let mut options = args.device.options(&device, Options::of(&model));
    options.preprocess.size = args.size.unwrap_or(options.preprocess.size);
    // From the choices of the device's class, not from those of an earlier measurement.
    options.tuning.layers.clear();
    options.cache = None;
    // Where nothing was asked for, both storages are tuned.
    let half = matches!(args.device.dtype, Precision::Auto) && device.info().features.contains(&"f16");
    let storages = match args.device.dtype {
        Precision::Auto if half => vec![DType::F32, DType::F16],
        Precision::Auto => vec![DType::F32],
        _ => vec![options.dtype],
    };
    let bar = ProgressBar::new(1);
    bar.set_style(
        ProgressStyle::with_template("{wide_bar} {percent} % {elapsed}").expect("a valid template"),
    );
    let mut progress = |done: usize, all: usize| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
        ControlFlow::Continue(())
    };
    let budget = Duration::from_secs(args.seconds) / storages.len() as u32;
    let mut kept = Kept::default();
    let (mut rows, mut changed, mut refused) = (Vec::new(), Vec::new(), None);
    for dtype in storages {
        options.dtype = dtype;
        let tuned = match tune::tune(&device, &model, &options, budget, &mut progress) {
            Err(error) if half && dtype == DType::F16 => {
                refused = Some(chain(&error));
                continue;
            }
            other => other?,
        };
        let Tuned { tuning, changed: keys, before, after, tried, .. } = tuned;
        let row = |layer: String| Row { choice: tuning.layers[&layer].to_string(), layer };
        changed.extend(keys.into_iter().map(row));
        kept.tuning.layers.extend(tuning.layers);
        let dtype = if options.tuning.fast { "f16-fast".into() } else { dtype.to_string() };
        rows.push(Storage { dtype, before_ms: ms(before), after_ms: ms(after), tried });
    }
    // As `auto` will run them: with what the file holds of other layers too.
    let known = tune::read(&path, device.info()).ok().flatten().unwrap_or_default();
    options.tuning.layers = known.tuning.layers;
    options.tuning.layers.extend(kept.tuning.layers.clone());
    options.tuning.fast = false;
    let cpu = match args.device.threads {
        Some(count) => Device::open("cpu")?.with_threads(count)?,
        None => Device::open("cpu")?,
    };
    let mut rivals = tune::compare(&device, Some(&cpu), &model, &options)?;
    if refused.is_some() {
        (rivals.f16, rivals.refused) = (None, refused);
    }
    // One storage that was tuned against another that was not tells nothing.
    let network = matches!(args.device.dtype, Precision::Auto).then(|| {
        let matrix = device.limits().map_or(0, |limits| limits.matrix);
        tune::network(&model.graph, options.preprocess.size, matrix)
    });
    let fastest = rivals.fastest();
    kept.networks.extend(network.clone().map(|network| (network, fastest)));
    bar.finish_and_clear();
    // What was measured is told even where it cannot be kept.
    let written = tune::write(&path, device.info(), &kept).map_err(about);
    if written.is_ok() {
        note(&format!("written: {}", plain(&path.display().to_string())));
    }
    let report = Report {
        model: model.name.clone(),
        device: device.info().to_string(),
        network,
        storages: rows,
        kept: changed,
        f32_ms: ms(rivals.f32.round_trip),
        f16_ms: rivals.f16.map(|times| ms(times.round_trip)),
        cpu_ms: rivals.cpu.map(|(time, _)| ms(time)),
        f16: fastest.f16.is_some(),
        cpu: fastest.cpu.is_some(),
        output: written.is_ok().then(|| path.display().to_string()),
    };
    if args.json {
        out::json(&report, true)?;
        return written.map(|()| Verdict::Good);
    }
    report.print(&rivals)?;
    written.map(|()| Verdict::Good)
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl Report {
    fn print(&self, rivals: &Rivals) -> Result<(), Stop> {
        let rows: Vec<[String; 2]> =
            self.kept.iter().map(|row| [row.layer.clone(), row.choice.clone()]).collect();
        out::table(&rows).iter().try_for_each(|line| say(line))?;
        for Storage { dtype, before_ms, after_ms, tried } in &self.storages {
            say(&format!("{dtype}: {after_ms:.2} ms, before {before_ms:.2} ms; {tried} changes tried"))?;
        }
        let times = |name: &str, times: &Times| {
            let own = times.device.map_or(String::new(), |own| format!(" ({:.2} ms on the device)", ms(own)));
            format!("{name} {:.2} ms{own}", ms(times.round_trip))
        };
        let mut all = vec![times("f32", &rivals.f32)];
        all.extend(rivals.f16.as_ref().map(|f16| times("f16", f16)));
        all.extend(rivals.cpu.map(|(cpu, _)| format!("the CPU executor {:.2} ms", ms(cpu))));
        say(&format!("round trips in turns: {}", all.join(", ")))?;
        if let Some(reason) = &rivals.refused {
            say(&format!("f16 is out of the question: {}", plain(reason)))?;
        }
        let dtype = if self.f16 { "f16" } else { "f32" };
        say(&match (&self.network, self.cpu) {
            (None, _) => {
                "what --dtype auto and --device auto take stays as it was; tune without --dtype tells".into()
            }
            (_, true) => "the CPU executor is the fastest: --device auto takes it for this network".into(),
            _ => format!("--dtype auto takes {dtype} for this network with these weights"),
        })
    }
}
