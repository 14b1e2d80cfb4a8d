//! `mobileone bench`: models × devices × storage × batches × sizes, a row of figures each.

mod memory;
mod picture;
mod report;

use std::{collections::BTreeMap, num::NonZero, path::PathBuf, time::Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use mobileone::{
    Device, DeviceKind, Error, Form, Input, Model, Options, Outputs, Profiled, Session, Shape, Tensor,
    bench::{Bounds, Limit, Stats, input, round_trips, trim},
    tune::network,
};

use super::{
    Verdict,
    args::{Known, Opened, Precision, load, size, threads},
    chart, limit,
    out::{Stop, chain, note, plain},
};
use report::{Report, Row};

const EXAMPLES: &str = "\
Examples:
  mobileone bench                                       the five variants on the device that auto takes
  mobileone bench --model s0 --device cpu --device gpu --dtype f32 --dtype f16 --batch 1,8,64
  mobileone bench --plot bench.png --markdown           tables and pictures for a report
  mobileone bench --model random:s0 --sweep --plot sweep.svg
  mobileone bench --protocol modelbench --json          as Apple's app for phones measures

A round trip is: input tensor in host memory to logits in host memory. `random:s0` to `random:s4` have random
weights, which take the time that trained ones take.";

/// Measure how fast models are on devices
///
/// Every model on every device with every storage, batch and size that is given. A combination that a device
/// cannot do is said and left out.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, s0 to s4, or random:s0 to random:s4; without it, all five at random
    #[arg(long, value_name = "M")]
    model: Vec<PathBuf>,
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, software, or a part of an adapter's name or driver
    #[arg(long, value_name = "D", env = "MOBILEONE_DEVICE", default_value = "auto")]
    device: Vec<String>,
    /// Storage of weights and maps; auto is f32, or f16 where `tune` found it faster; f16-fast also sums up to 32 products in f16
    #[arg(long, value_name = "T", value_enum, default_value = "auto")]
    dtype: Vec<Precision>,
    /// Threads of the CPU executor; RAYON_NUM_THREADS or one per core when not given
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZero<usize>>,
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
    /// A picture of the figures, .svg or .png
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Protocol {
    /// One session, warmed up, until --seconds or --iterations are over
    RoundTrips,
    /// --rounds of --inferences, a new session and one warm-up each; the 10 least and 10 largest are dropped
    Modelbench,
}

/// Samples that modelbench drops at each end.
const DROPPED: usize = 10;
/// Runs that are profiled for the device's own time.
const PROFILED: usize = 3;
/// The most warm-ups after the first answer.
const WARM_UPS: usize = 3;
const SWEEP_BATCHES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
const SWEEP_SIZES: [usize; 7] = [96, 128, 160, 224, 288, 384, 512];

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    if let Some(path) = &args.plot {
        chart::check(path)?;
    }
    let random = || (0..5).map(|at| PathBuf::from(format!("random:s{at}"))).collect();
    let models = if args.model.is_empty() { random() } else { args.model.clone() };
    let mut devices = Vec::new();
    for wanted in &args.device {
        devices.push(Opened::new(wanted, args.threads)?);
    }
    let mut limits: BTreeMap<String, Limit> = BTreeMap::new();
    let mut told: Vec<String> = Vec::new();
    let mut report = Report::default();
    let works = args.works().len() as u64;
    let progress = Progress::new((models.len() * devices.len() * args.dtype.len()) as u64 * works);
    let on_cpu = args.dtype.iter().all(|dtype| dtype.on_cpu());
    for spec in &models {
        let begun = Instant::now();
        let model = load(spec, Form::Fused)?;
        let load_ms = begun.elapsed().as_secs_f64() * 1e3;
        for opened in &devices {
            for &dtype in &args.dtype {
                for (batch, size) in args.works() {
                    let size = size.unwrap_or(model.preprocess.size);
                    let (device, known, said) = opened.settle(&network(&model.graph, size), on_cpu)?;
                    if !told.contains(&said) {
                        progress.aside(|| note(&said));
                        told.push(said);
                    }
                    let name = device.info().to_string();
                    if args.limit && !limits.contains_key(&name) {
                        let limit = progress.aside(|| limit::measure(&device))?;
                        limits.insert(name.clone(), limit);
                    }
                    let work = Work {
                        args,
                        spec: &spec.display().to_string(),
                        model: &model,
                        device: &device,
                        known: &known,
                        limit: limits.get(&name),
                        dtype,
                        batch,
                        size,
                    };
                    progress.begin(&work.to_string());
                    match work.measure(&progress) {
                        Ok(row) => report.results.push(Row { load_ms, ..row }),
                        Err(error @ Error::Option(_)) => {
                            let line = format!("{work}: {}", chain(&error));
                            progress.aside(|| note(&format!("left out: {}", plain(&line))));
                            report.left_out.push(line);
                        }
                        Err(error) => return Err(Stop::about(&work.to_string(), error)),
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
    let software = |row: &Row| row.device.contains(&DeviceKind::Software.to_string());
    let beaten = report.results.iter().filter(|row| !software(row) && row.floor_ms > Some(row.median_ms));
    Ok(limit::verdict(beaten.map(|row| format!("{} on {}", row.model, row.device)).collect()))
}

impl Args {
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

/// One row's work.
struct Work<'a> {
    args: &'a Args,
    spec: &'a str,
    model: &'a Model,
    device: &'a Device,
    known: &'a Known,
    limit: Option<&'a Limit>,
    dtype: Precision,
    batch: usize,
    size: (usize, usize),
}

impl std::fmt::Display for Work<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Work { spec, device, batch, size: (h, w), .. } = self;
        let dtype = self.dtype.name(self.known);
        write!(f, "{spec} on {}, {dtype}, {batch}x{h}x{w}", device.info())
    }
}

impl Work<'_> {
    fn measure(&self, progress: &Progress) -> Result<Row, Error> {
        let channels = self.model.graph.input_channels();
        let shape = Shape::new(self.batch, self.size.0, self.size.1, channels);
        let x = input(shape)?;
        let counted = memory::reset_peak();
        let begun = Instant::now();
        let session = self.session()?;
        session.run(Input::Tensor(&x))?;
        let first_ms = begun.elapsed().as_secs_f64() * 1e3;
        // A batch that a session takes in chunks has no profile of its own.
        let runs = if self.device.info().kind == DeviceKind::Cpu { 1 } else { PROFILED };
        let profile = match session.profile(&x, runs) {
            Ok(profile) => Some(profile),
            Err(Error::Option(_) | Error::Input(_)) => None,
            Err(error) => return Err(error),
        };
        let sum = |profile: &Vec<Profiled>| profile.iter().map(|step| step.seconds).sum::<f64>();
        let device_ms = profile.as_ref().filter(|_| runs > 1).map(|profile| sum(profile) * 1e3);
        let floors = |limit: &Limit| {
            profile
                .as_ref()
                .map(|steps| limit.floors(steps, self.dtype.dtype(self.known)).iter().sum::<f64>())
        };
        let floor_ms = self.limit.and_then(floors).map(|seconds| seconds * 1e3);
        let samples = match self.args.protocol {
            Protocol::RoundTrips => self.round_trips(&session, &x, progress)?,
            Protocol::Modelbench => {
                drop(session);
                self.modelbench(&x, progress)?
            }
        };
        let costs = self.model.graph.costs(shape);
        let macs = costs.iter().map(|cost| cost.macs).sum::<u64>() * self.batch as u64;
        let info = self.device.info();
        let ms = |seconds: f64| (seconds * 1e6).round() / 1e3;
        let stats = Stats::of(&samples);
        let variant = self.model.architecture.variant();
        Ok(Row {
            model: self.spec.into(),
            name: self.model.name.clone(),
            device: info.to_string(),
            driver: info.driver.clone(),
            dtype: self.dtype.name(self.known),
            batch: self.batch,
            input: [self.batch, channels, self.size.0, self.size.1],
            macs,
            iterations: stats.count,
            median_ms: ms(stats.median),
            p5_ms: ms(stats.p5),
            p95_ms: ms(stats.p95),
            min_ms: ms(stats.min),
            max_ms: ms(stats.max),
            average_ms: ms(stats.mean),
            pictures_per_second: self.batch as f64 / stats.median,
            load_ms: 0.0,
            first_ms,
            device_ms,
            floor_ms,
            peak_bytes: memory::peak_bytes().filter(|_| counted),
            top1_paper: variant.filter(|_| self.model.graph.classes() == Some(1000)).map(|known| known.top1),
            samples_ms: match self.args.protocol {
                Protocol::RoundTrips => Vec::new(),
                Protocol::Modelbench => samples.iter().map(|&sample| ms(sample)).collect(),
            },
        })
    }

    fn session(&self) -> Result<Session, Error> {
        let options = Options { batch: self.batch, ..Options::of(self.model) };
        let mut options = self.dtype.options(self.device, self.known, options);
        options.preprocess.size = self.size;
        let classifies = self.model.graph.logits.is_some();
        options.outputs = Outputs { logits: classifies, features: !classifies, ..Outputs::default() };
        Session::new(self.device, self.model, &options)
    }

    fn round_trips(&self, session: &Session, x: &Tensor, progress: &Progress) -> Result<Vec<f64>, Error> {
        let Args { seconds, iterations, .. } = *self.args;
        let begun = Instant::now();
        for _ in 0..WARM_UPS {
            if begun.elapsed().as_secs_f64() < seconds / 4.0 {
                session.run(Input::Tensor(x))?;
            }
        }
        let bounds = Bounds { seconds, iterations: iterations as usize };
        round_trips(session, x, bounds, |share| progress.set(share))
    }

    fn modelbench(&self, x: &Tensor, progress: &Progress) -> Result<Vec<f64>, Error> {
        let Args { rounds, inferences, .. } = *self.args;
        let bounds = Bounds { seconds: f64::INFINITY, iterations: inferences as usize };
        let mut samples = Vec::new();
        for round in 0..rounds {
            let session = self.session()?;
            session.run(Input::Tensor(x))?;
            let done = |share| progress.set((f64::from(round) + share) / f64::from(rounds));
            samples.extend(round_trips(&session, x, bounds, done)?);
        }
        Ok(trim(&samples, DROPPED))
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
