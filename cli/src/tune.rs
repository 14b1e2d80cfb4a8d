use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use mobileone::{
    DType, Device, DeviceInfo, Form, Model, Options,
    models::mobileone::{VARIANTS, synthetic},
    plan::Layer,
    tune::{self, Fastest, Held, Kept, Rivals, Times, Tuned},
};
use serde::Serialize;

use crate::{
    Verdict,
    args::{DeviceArgs, Precision, ReadArgs, size},
    loaded::{keep, load, without_pictures},
    opened::{Opened, hardware},
    out::{self, Stop, WIDTH, chain, check_output, count, note, plain, say},
    table::{Give, fit, short},
};

const EXAMPLES: &str = "\
Examples:
  mobileone tune                  random:s0, on the GPU that auto takes
  mobileone tune --model s1 --dtype f16
  mobileone tune --device vulkan --seconds 300 --output here.json
  mobileone tune --list           what is kept
  mobileone tune --reset          forget what is kept of the GPU that auto takes";

/// Measure which shaders are fastest on this device, and keep what was found
///
/// Times the choices of each layer, then keeps those with which the whole network is faster when it is measured
/// again; a batch of any size runs with what one picture was measured with. Last, f32, f16 and the CPU executor run
/// the network in turns: the fastest is what `--device auto` takes for this network from then on, and `--dtype auto`
/// with these weights, which f16 was examined with. Only without `--dtype`, since otherwise just one storage is tuned.
/// What there was no time to prove is not kept. Later runs on this device read what was kept; another driver or version
/// makes it void.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, s0 to s4, random:s0 to random:s4, or digits; without it, random:s0
    #[arg(long, value_name = "M")]
    model: Option<PathBuf>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Height and width of the input: 224, or 192x256
    #[arg(long, value_name = "HxW", value_parser = size)]
    size: Option<(usize, usize)>,
    /// Seconds after which nothing more is measured
    #[arg(long, value_name = "N", default_value = "50", value_parser = seconds)]
    seconds: u64,
    /// The file to write, in place of the one that later runs read
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print what is kept, of every device
    #[arg(long, conflicts_with_all = ["model", "size", "seconds", "output", "reset"])]
    list: bool,
    /// Forget what is kept of the device, or of all
    #[arg(long, value_name = "WHAT", value_enum, num_args = 0..=1, default_missing_value = "device",
          conflicts_with_all = ["model", "size", "seconds", "output"])]
    reset: Option<Reset>,
    /// Print what was found, or what is kept, as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Reset {
    /// Of the one that --device describes
    Device,
    /// Of all devices
    All,
}

fn seconds(text: &str) -> Result<u64, String> {
    match text.trim().parse() {
        Ok(0) => Err("nothing can be measured in 0 seconds, so nothing would be kept; give 1 or more \
                      (--reset forgets what is kept)"
            .into()),
        Ok(seconds) => Ok(seconds),
        Err(_) => Err("expected whole seconds, such as 50".into()),
    }
}

#[derive(Serialize)]
struct Report {
    model: String,
    device: String,
    driver: String,
    /// The network's key in the table, where it was kept what is fastest.
    network: Option<String>,
    /// Storages whose layers were tuned, and the time of a run before and after, by the device's own clock.
    storages: Vec<Storage>,
    /// Layers that now run otherwise than a device of this class runs them.
    kept: Vec<Row>,
    /// Round trips, in turns; where there was time for them.
    f32_ms: Option<f64>,
    f16_ms: Option<f64>,
    cpu_ms: Option<f64>,
    /// What is fastest, for `auto` to take.
    f16: bool,
    cpu: bool,
    /// Whether there was time to measure everything.
    complete: bool,
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

/// What the tuning of layers takes of the time; the rest is for the storages and the CPU in turns.
const LAYERS: f64 = 0.7;

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    if args.list {
        return list(args);
    }
    if let Some(what) = args.reset {
        return reset(args, what);
    }
    if let Some(path) = &args.output {
        keep(path, &args.model.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
        check_output(path)?;
    }
    let (model, opened) = Opened::beside(&args.device, || match &args.model {
        Some(spec) => load(spec, Form::Fused, &args.read, without_pictures),
        None => Ok(Model::new(synthetic(&VARIANTS[0], 1000, 0), Form::Fused)?),
    })?;
    let on = opened.to_judge(&args.device)?;
    let device = &on.device;
    let path = args.output.clone().or_else(|| tune::place(device.info()));
    let path = path.ok_or_else(|| Stop::Error("there is no folder for caches here; use --output".into()))?;
    let about = |error: std::io::Error| Stop::Error(format!("{}: {error}", path.display()));
    tune::writable(&path).map_err(about)?;
    let mut options = on.options(Options::of(&model));
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
    let (begun, budget) = (Instant::now(), Duration::from_secs(args.seconds));
    let left = |share: f64| budget.mul_f64(share).saturating_sub(begun.elapsed());
    let mut kept = Kept::default();
    let mut complete = true;
    let count_of = storages.len();
    let (mut rows, mut changed, mut refused) = (Vec::new(), Vec::new(), None);
    for (at, dtype) in storages.into_iter().enumerate() {
        options.dtype = dtype;
        let budget = left(LAYERS) / (count_of - at) as u32;
        let tuned = match tune::tune(device, &model, &options, budget, &mut progress) {
            Err(error) if half && dtype == DType::F16 => {
                refused = Some(chain(&error));
                continue;
            }
            other => other?,
        };
        let Tuned { tuning, changed: keys, before, after, tried, .. } = tuned;
        complete &= tuned.complete;
        let row = |layer: Layer| Row { choice: tuning.layers[&layer].to_string(), layer: layer.to_string() };
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
    let mut rivals = tune::compare_within(device, Some(&cpu), &model, &options, left(1.0))?;
    if let Some(rivals) = rivals.as_mut().filter(|_| refused.is_some()) {
        (rivals.f16, rivals.refused) = (None, refused);
    }
    complete &= rivals.is_some();
    // One storage that was tuned against another that was not tells nothing.
    let judged = rivals.as_ref().filter(|_| matches!(args.device.dtype, Precision::Auto));
    let fastest = rivals.as_ref().map(Rivals::fastest).unwrap_or_default();
    let (h, w) = options.preprocess.size;
    let network = judged.map(|_| {
        let matrix = device.limits().map_or(0, |limits| limits.matrix);
        tune::network(&model.graph, (h, w), matrix)
    });
    kept.networks.extend(network.clone().map(|network| (network, fastest)));
    let names: BTreeMap<String, String> =
        network.iter().map(|network| (network.clone(), format!("{} at {h}x{w}", model.name))).collect();
    bar.finish_and_clear();
    if kept.tuning.layers.is_empty() && kept.networks.is_empty() {
        let device = device.info();
        let seconds = count(args.seconds as usize, "second");
        return Err(Stop::Error(format!(
            "nothing could be proven on {device} in {seconds}: nothing is kept; give more --seconds"
        )));
    }
    // What was measured is told even where it cannot be kept.
    let written = tune::write_named(&path, device.info(), &kept, &names).map_err(about);
    if written.is_ok() {
        note(&format!("written: {}", plain(&path.display().to_string())));
    }
    if !complete {
        let seconds = count(args.seconds as usize, "second");
        note(&format!(
            "warning: not everything could be measured in {seconds}: what was not proven is not kept; give more \
             --seconds"
        ));
    }
    let report = Report {
        model: model.name.clone(),
        device: device.info().to_string(),
        driver: device.info().driver.clone(),
        network,
        storages: rows,
        kept: changed,
        f32_ms: rivals.as_ref().map(|rivals| ms(rivals.f32.round_trip)),
        f16_ms: rivals.as_ref().and_then(|rivals| rivals.f16).map(|times| ms(times.round_trip)),
        cpu_ms: rivals.as_ref().and_then(|rivals| rivals.cpu).map(|(time, _)| ms(time)),
        f16: fastest.f16.is_some(),
        cpu: fastest.cpu.is_some(),
        complete,
        output: written.is_ok().then(|| path.display().to_string()),
    };
    if args.json {
        out::json(&report, true)?;
        return written.map(|()| Verdict::Good);
    }
    report.print(rivals.as_ref(), cpu.info())?;
    written.map(|()| Verdict::Good)
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl Report {
    fn print(&self, rivals: Option<&Rivals>, cpu: &DeviceInfo) -> Result<(), Stop> {
        let lines = self.lines(rivals, &hardware(cpu));
        lines.iter().try_for_each(|line| say(line))
    }

    fn lines(&self, rivals: Option<&Rivals>, cpu: &str) -> Vec<String> {
        let columns = [("layer", Give::Shortens(30)), ("runs as", Give::Stays)];
        let cells = |row: &Row| vec![row.layer.clone(), row.choice.clone()];
        let mut lines = match self.kept.is_empty() {
            true => Vec::new(),
            false => fit(&columns, &self.kept.iter().map(cells).collect::<Vec<_>>()),
        };
        for Storage { dtype, before_ms, after_ms, tried } in &self.storages {
            let tried = count(*tried, "change");
            lines.push(format!("{dtype}: {after_ms:.2} ms, before {before_ms:.2} ms; {tried} tried"));
        }
        let Some(rivals) = rivals else {
            lines.push(
                "no time was left to compare f32, f16 and the CPU: auto takes what it took before".into(),
            );
            return lines;
        };
        let columns =
            [("in turns", Give::Shortens(20)), ("round trip ms", Give::Stays), ("device ms", Give::Stays)];
        let cell = |time: Duration| format!("{:.2}", ms(time));
        let row = |name: &str, times: &Times| {
            vec![name.to_string(), cell(times.round_trip), times.device.map(cell).unwrap_or_default()]
        };
        let mut rows = vec![row("f32", &rivals.f32)];
        rows.extend(rivals.f16.as_ref().map(|f16| row("f16", f16)));
        rows.extend(rivals.cpu.map(|(time, _)| vec![cpu.to_string(), cell(time), String::new()]));
        lines.extend(fit(&columns, &rows));
        lines.extend(rivals.refused.as_ref().map(|reason| format!("f16 cannot be used: {}", plain(reason))));
        let dtype = if self.f16 { "f16" } else { "f32" };
        lines.push(match (&self.network, self.cpu) {
            (None, _) => "what auto takes is unchanged; run tune without --dtype to update it".into(),
            (_, true) => "the CPU executor is the fastest: --device auto takes it for this network".into(),
            _ => format!("--dtype auto takes {dtype} for this network with these weights"),
        });
        lines
    }
}

/// A table that is kept, in JSON.
#[derive(Serialize)]
struct Entry {
    file: String,
    device: String,
    driver: String,
    layers: usize,
    networks: Vec<Network>,
    /// Why it is of no use to this program.
    fault: Option<String>,
}

#[derive(Serialize)]
struct Network {
    /// Its name and size, or its key where an older version wrote it.
    network: String,
    /// What `auto` takes for it.
    f16: bool,
    cpu_threads: Option<usize>,
}

#[derive(Serialize)]
struct Listed {
    tables: Vec<Entry>,
}

fn folder() -> Result<PathBuf, Stop> {
    tune::folder()
        .ok_or_else(|| Stop::Error("there is no folder for caches here: set MOBILEONE_CACHE".into()))
}

fn list(args: &Args) -> Result<Verdict, Stop> {
    let folder = folder()?;
    let held = tune::held(&folder);
    if args.json {
        let network = |(network, Fastest { f16, cpu }): &(String, Fastest)| Network {
            network: network.clone(),
            f16: f16.is_some(),
            cpu_threads: *cpu,
        };
        let entry = |held: &Held| Entry {
            file: held.path.display().to_string(),
            device: held.device.clone(),
            driver: held.driver.clone(),
            layers: held.layers,
            networks: held.networks.iter().map(network).collect(),
            fault: held.fault.clone(),
        };
        out::json(&Listed { tables: held.iter().map(entry).collect() }, true)?;
        return Ok(Verdict::Good);
    }
    note(&format!("kept in {}", plain(&folder.display().to_string())));
    if held.is_empty() {
        say("nothing is kept")?;
    }
    held.iter().flat_map(described).try_for_each(|line| say(&line))?;
    Ok(Verdict::Good)
}

/// A table in lines.
fn described(held: &Held) -> Vec<String> {
    let mut lines = vec![plain(&held.device), format!("  driver: {}", plain(&held.driver))];
    lines.push(format!("  choices of {}", count(held.layers, "layer")));
    for (network, fastest) in &held.networks {
        let storage = if fastest.f16.is_some() { "f16" } else { "f32" };
        let takes = match fastest.cpu {
            Some(threads) => format!("the CPU with {}", count(threads, "thread")),
            None => storage.into(),
        };
        lines.push(format!("  {}: auto takes {takes}", plain(network)));
    }
    lines.extend(held.fault.as_ref().map(|fault| format!("  not used: {}", plain(fault))));
    lines.iter().map(|line| short(line, WIDTH)).collect()
}

/// Removes tables: of the device, whatever lies there, or of all.
fn reset(args: &Args, what: Reset) -> Result<Verdict, Stop> {
    let (paths, whose) = match what {
        Reset::All => {
            (tune::held(&folder()?).into_iter().map(|held| held.path).collect(), "any device".into())
        }
        Reset::Device => {
            let device = Opened::of(&args.device)?.to_judge(&args.device)?.device;
            let path = tune::place(device.info()).filter(|path| path.is_file());
            (path.into_iter().collect::<Vec<_>>(), device.info().to_string())
        }
    };
    for path in &paths {
        forget(path)?;
    }
    if args.json {
        let removed: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        out::json(&serde_json::json!({ "removed": removed }), true)?;
    } else if paths.is_empty() {
        say(&short(&plain(&format!("nothing was kept of {whose}")), WIDTH))?;
    }
    Ok(Verdict::Good)
}

fn forget(path: &Path) -> Result<(), Stop> {
    std::fs::remove_file(path).map_err(|error| Stop::Error(format!("{}: {error}", path.display())))?;
    note(&format!("removed: {}", plain(&path.display().to_string())));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_fits() {
        let storage =
            |dtype: &str, tried| Storage { dtype: dtype.into(), before_ms: 1.5, after_ms: 1.0, tried };
        let layer = "depthwise 3/2 112x112x1536 56x56x1536 f16-fast matrix 16 and more of a key".to_string();
        let report = |network: Option<String>, cpu| Report {
            model: "MobileOne-S0".into(),
            device: "a GPU".into(),
            driver: "1".into(),
            network,
            storages: vec![storage("f32", 1), storage("f16", 2)],
            kept: vec![Row { layer: layer.clone(), choice: "registers 8 by 2".into() }],
            f32_ms: Some(1.0),
            f16_ms: None,
            cpu_ms: Some(2.0),
            f16: false,
            cpu,
            complete: true,
            output: None,
        };
        let times = Times { round_trip: Duration::from_millis(3), device: Some(Duration::from_millis(2)) };
        let rivals = Rivals {
            f32: times,
            f16: Some(times),
            cpu: Some((Duration::from_millis(4), 2)),
            refused: None,
            weights: 0,
        };
        let cpu = "CPU, 96 threads (Intel Xeon Platinum 8481C Processor of a long name @ 2.70GHz, AVX-512)";
        for (network, on_cpu, measured) in
            [(None, false, true), (Some("key".to_string()), true, true), (Some("key".into()), false, false)]
        {
            let lines = report(network, on_cpu).lines(Some(&rivals).filter(|_| measured), cpu);
            assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:#?}");
            assert!(lines.iter().any(|line| line.ends_with("; 1 change tried")), "{lines:#?}");
            assert!(lines.iter().any(|line| line.ends_with("; 2 changes tried")), "{lines:#?}");
            assert_eq!(lines.iter().any(|line| line.starts_with("no time was left")), !measured);
        }
    }
}
