//! `mobileone bench`: models × devices × storage × batches × sizes, a row of figures each.

mod memory;
mod picture;
mod report;
mod start;
mod work;

use std::{collections::BTreeMap, num::NonZero, path::PathBuf, time::Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use mobileone::{DeviceKind, Form, bench::Limit};

use crate::{
    Verdict,
    args::{Precision, ReadArgs, size, threads},
    chart, limit,
    loaded::{load, without_pictures},
    opened::Opened,
    out::{Stop, chain, note, plain},
};
use report::{Report, Row};
use work::{Left, Work};

const EXAMPLES: &str = "\
Examples:
  mobileone bench                    the five variants, on what auto takes
  mobileone bench --model s0 --device cpu --device gpu --dtype f32 \\
      --dtype f16 --batch 1,8,64
  mobileone bench --plot bench.svg --markdown    tables and charts, for a report
  mobileone bench --model random:s0 --sweep --plot sweep.svg
  mobileone bench --model s0 --start --device cpu --device vulkan
  mobileone bench --protocol modelbench --json   as Apple's app for phones does

A round trip is: input tensor in host memory to logits in host memory.
`random:s0` to `random:s4` have random weights, which take the time that trained
ones take.";

/// Measure how fast models are on devices
///
/// Every model on every device with every storage, batch and size that is given. A combination that a device
/// cannot do is said and left out.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, s0 to s4, random:s0 to random:s4, or digits; without it, random:s0 to random:s4
    #[arg(long, value_name = "M")]
    model: Vec<PathBuf>,
    #[command(flatten)]
    read: ReadArgs,
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, software, or a part of an adapter's name or driver
    #[arg(long, value_name = "D", env = "MOBILEONE_DEVICE", default_value = "auto")]
    device: Vec<String>,
    /// Storage of weights and maps; auto is f32, or f16 where `tune` found it faster with these weights; f16-fast also sums up to 32 products in f16
    #[arg(long, value_name = "T", value_enum, default_value = "auto")]
    dtype: Vec<Precision>,
    /// Threads of the CPU executor; RAYON_NUM_THREADS or one per core when not given
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZero<usize>>,
    /// Run f16 on the GPU's cooperative matrices, which first have to compute two layers correctly; an experiment
    #[arg(long)]
    matrices: bool,
    /// Pictures in a round trip: 1,8,64
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1",
          value_parser = clap::value_parser!(u16).range(1..))]
    batch: Vec<u16>,
    /// Height and width of the input: 224, or 192x256; without it, the model's own
    #[arg(long, value_name = "HxW,...", value_delimiter = ',', value_parser = size)]
    size: Vec<(usize, usize)>,
    /// Batches 1 to 64 at the model's size, and 96 to 512 pixels at batch 1: does the cost grow as the work does?
    #[arg(long, conflicts_with_all = ["batch", "size"])]
    sweep: bool,
    /// Start this program again and again, with empty caches and with kept ones: from its start to its first logits
    #[arg(long, conflicts_with_all = ["batch", "sweep", "protocol", "seconds", "iterations", "rounds", "inferences",
          "limit", "plot"])]
    start: bool,
    /// How round trips are taken
    #[arg(long, value_enum, default_value = "round-trips")]
    protocol: Protocol,
    /// The most seconds for a row of round trips
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds)]
    seconds: f64,
    /// The most round trips in a row
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    iterations: u32,
    /// Rounds of modelbench, each with a session of its own
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Inferences in a round of modelbench
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    inferences: u32,
    /// Also measure what the device can do at most, and put the floor of each row beside it
    #[arg(long)]
    limit: bool,
    /// One JSON object
    #[arg(long, group = "form")]
    json: bool,
    /// Lines of values between commas
    #[arg(long, group = "form")]
    csv: bool,
    /// A Markdown table
    #[arg(long, group = "form")]
    markdown: bool,
    /// A chart of the figures: .svg, or .png where built with feature png
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Protocol {
    /// One session, warmed up, until --seconds or --iterations are over
    RoundTrips,
    /// --rounds of --inferences, the model read anew, a new session and one warm-up each; the 10 least and 10 largest are dropped
    Modelbench,
}

const SWEEP_BATCHES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
const SWEEP_SIZES: [usize; 7] = [96, 128, 160, 224, 288, 384, 512];

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    if let Some(path) = &args.plot {
        chart::check(path)?;
    }
    let random = || (0..5).map(|at| PathBuf::from(format!("random:s{at}"))).collect();
    let models = if args.model.is_empty() { random() } else { args.model.clone() };
    if args.start {
        return start::run(args, &models);
    }
    let mut report = Report::default();
    let devices = args.devices(&mut report.left_out)?;
    let mut limits: BTreeMap<String, Limit> = BTreeMap::new();
    let mut told: Vec<String> = Vec::new();
    let works = args.works().len() as u64;
    let progress = Progress::new((models.len() * devices.len() * args.dtype.len()) as u64 * works);
    let on_cpu = args.dtype.iter().all(|dtype| dtype.on_cpu());
    for spec in &models {
        let begun = Instant::now();
        let model = load(spec, Form::Fused, &args.read, without_pictures)?;
        let load_ms = begun.elapsed().as_secs_f64() * 1e3;
        for opened in &devices {
            for &dtype in &args.dtype {
                for (batch, size) in args.works() {
                    let size = size.unwrap_or(model.preprocess.size);
                    let (on, said) = opened.settle(Some((&model, size)), dtype, on_cpu)?;
                    for line in [said].into_iter().chain(on.why().map(String::from)) {
                        if !told.contains(&line) {
                            progress.aside(|| note(&line));
                            told.push(line);
                        }
                    }
                    let name = on.device.info().to_string();
                    if args.limit && !limits.contains_key(&name) {
                        let limit = progress.aside(|| limit::measure(&on.device))?;
                        limits.insert(name.clone(), limit);
                    }
                    let work = Work {
                        args,
                        spec: &spec.display().to_string(),
                        model: &model,
                        on: &on,
                        limit: limits.get(&name),
                        batch,
                        size,
                    };
                    progress.begin(&work.to_string());
                    match work.measure(&progress) {
                        Ok(row) => report.results.push(Row { load_ms, ..row }),
                        Err(Left::Out(reason)) => {
                            let line = format!("{work}: {reason}");
                            progress.aside(|| note(&format!("left out: {}", plain(&line))));
                            report.left_out.push(line);
                        }
                        Err(Left::Stop(Stop::Error(line))) => {
                            return Err(Stop::Error(format!("{work}: {line}")));
                        }
                        Err(Left::Stop(stop)) => return Err(stop),
                    }
                    progress.end();
                }
            }
        }
    }
    drop(progress);
    if report.results.is_empty() {
        return Err(Stop::Error(report.left_out.join("; ")));
    }
    report.finish(args.sweep);
    report.print(args)?;
    if let Some(path) = &args.plot {
        chart::save(path, &picture::charts(&report.results, args.sweep))?;
        note(&format!("picture: {}", path.display()));
    }
    let software = |row: &Row| row.kind == DeviceKind::Software;
    // The limit knows nothing of matrices: what runs on them, which every row then does, may well be faster.
    let gated = |row: &&Row| !args.matrices && !software(row);
    let beaten = report.results.iter().filter(gated).filter(|row| row.floor_ms > Some(row.median_ms));
    Ok(limit::verdict(beaten.map(|row| format!("{} on {}", row.model, row.device)).collect()))
}

impl Args {
    /// The devices, with their matrices where these are wanted; those that have none are said and left out.
    fn devices(&self, left_out: &mut Vec<String>) -> Result<Vec<Opened>, Stop> {
        let mut devices = Vec::new();
        for wanted in &self.device {
            let opened = Opened::new(wanted, self.threads)?;
            match if self.matrices { opened.with_matrices() } else { Ok(opened) } {
                Ok(opened) => devices.push(opened),
                Err(error) => {
                    let line = format!("{wanted}: {}", chain(&error));
                    note(&format!("left out: {}", plain(&line)));
                    left_out.push(line);
                }
            }
        }
        match devices.is_empty() {
            true => Err(Stop::Error(left_out.join("; "))),
            false => Ok(devices),
        }
    }

    /// Batches and sizes; `None` is the model's own.
    fn works(&self) -> Vec<(usize, Option<(usize, usize)>)> {
        if self.sweep {
            let sizes = SWEEP_SIZES.iter().map(|&side| (1, Some((side, side))));
            return SWEEP_BATCHES.iter().map(|&batch| (batch, None)).chain(sizes).collect();
        }
        let sizes: Vec<_> = match self.size.len() {
            0 => vec![None],
            _ => self.size.iter().copied().map(Some).collect(),
        };
        let batches = self.batch.iter().map(|&batch| usize::from(batch));
        batches.flat_map(|batch| sizes.iter().map(move |&size| (batch, size))).collect()
    }
}

/// A bar over all rows, on a terminal.
struct Progress(ProgressBar);

/// Steps of the bar for each row.
const STEPS: u64 = 1000;

impl Progress {
    fn new(rows: u64) -> Progress {
        let bar = ProgressBar::new(rows * STEPS);
        bar.set_style(
            ProgressStyle::with_template("{msg}  {wide_bar} {eta} left").expect("a valid template"),
        );
        Progress(bar)
    }

    fn begin(&self, what: &str) {
        self.0.set_message(plain(what));
    }

    /// The share of the row that is done.
    fn set(&self, share: f64) {
        let rows = self.0.position() / STEPS;
        self.0.set_position(rows * STEPS + ((share * STEPS as f64) as u64).min(STEPS - 1));
    }

    fn end(&self) {
        self.0.set_position((self.0.position() / STEPS + 1) * STEPS);
    }

    fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.trim().parse() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) && seconds > 0.0 => Ok(seconds),
        _ => Err("expected seconds above 0, such as 0.5".into()),
    }
}
