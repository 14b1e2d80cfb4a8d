//! `mobileone profile`: where the time of a run goes, and what the device could do at most.

use std::path::PathBuf;

use mobileone::{
    DeviceKind, Form, Input, Options, Outputs, Profiled, Shape,
    bench::{Bounds, Stats, input, round_trips},
};
use serde::Serialize;

use crate::{
    Verdict,
    args::{DeviceArgs, ReadArgs, size},
    chart::{self, Bar, Bars, Chart},
    limit,
    loaded::{load, without_pictures},
    opened::{Opened, hardware},
    out::{self, Stop, WIDTH, count, note, plain, say},
    table::{Give, fit, short},
};

const EXAMPLES: &str = "\
Examples:
  mobileone profile --model s0
  mobileone profile --model random:s4 --device vulkan --plot layers.svg
  mobileone profile --json | jq '.steps | sort_by(-.us) | .[:5]'";

/// Show where the time of a run goes, step by step
///
/// First measures what the device can do at most: multiply-adds, bandwidth at working sets from 256 KiB to
/// 256 MiB, and a dispatch of nothing. From these comes a floor for each step: max(multiply-adds / peak, bytes /
/// bandwidth) + dispatch. A step that is faster than its floor shows that the floor is wrong; the exit status is
/// 1 then, but for software devices, where the floor is only shown.
///
/// On a GPU a step is a dispatch, timed by the device in a pass of its own, because not every device has
/// timestamps inside a pass; together they take longer than a run does.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, s0 to s4, random:s0 to random:s4, or digits
    #[arg(long, value_name = "M", default_value = "random:s0")]
    model: PathBuf,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Pictures in a run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Height and width of the input: 224, or 192x256; without it, the model's own
    #[arg(long, value_name = "HxW", value_parser = size)]
    size: Option<(usize, usize)>,
    /// Runs, of which each step's least time is taken
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// A chart of the steps: .svg, or .png where built with feature png
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    model: String,
    device: String,
    /// As people are shown it.
    #[serde(skip)]
    on: String,
    /// Of the CPU its name and instruction set.
    driver: String,
    dtype: String,
    /// `[n, c, h, w]`.
    input: [usize; 4],
    limit: limit::Said,
    steps: Vec<Step>,
    /// Of all steps.
    sum_ms: f64,
    floor_ms: f64,
    /// The median of whole runs, from the host's memory to the host's memory.
    round_trip_ms: f64,
}

#[derive(Serialize)]
struct Step {
    label: String,
    macs: u64,
    bytes: u64,
    us: f64,
    /// Of the sum.
    share: f64,
    /// Two for a multiply-add.
    gflops: f64,
    gb_per_s: f64,
    floor_us: f64,
    /// How many times the floor it takes.
    ratio: f64,
}

impl Step {
    fn new(step: &Profiled, sum: f64, floor: f64) -> Step {
        let Profiled { label, macs, bytes, seconds } = step.clone();
        // The clock of a device may not tell the shortest steps from nothing.
        let rate = |amount: f64| if seconds > 0.0 { amount / seconds / 1e9 } else { 0.0 };
        Step {
            label,
            macs,
            bytes,
            us: seconds * 1e6,
            share: seconds / sum,
            gflops: rate(2.0 * macs as f64),
            gb_per_s: rate(bytes as f64),
            floor_us: floor * 1e6,
            ratio: seconds / floor,
        }
    }
}

/// The whole runs that a profile is set beside.
const WHOLE: Bounds = Bounds { seconds: 1.0, iterations: 50 };

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    if let Some(path) = &args.plot {
        chart::check(path)?;
    }
    let (model, opened) =
        Opened::beside(&args.device, || load(&args.model, Form::Fused, &args.read, without_pictures))?;
    let (h, w) = args.size.unwrap_or(model.preprocess.size);
    let on = opened.to_run(&args.device, &model, (h, w))?;
    let batch = usize::from(args.batch);
    let channels = model.graph.input_channels();
    let mut options = on.options(Options { batch, ..Options::of(&model) });
    options.preprocess.size = (h, w);
    options.outputs = Outputs::of(&model.graph);
    let session = on.session(&model, &options)?;
    let x = input(Shape::new(batch, h, w, channels))?;
    session.run(Input::Tensor(&x))?;
    let limit = limit::measure(&on.device)?;
    let profile = session.profile(&x, args.runs as usize)?;
    let whole = Stats::of(&round_trips(&session, &x, WHOLE, |_| ())?);
    let floors = limit.floors(&profile, on.dtype());
    let sum: f64 = profile.iter().map(|step| step.seconds).sum();
    let report = Report {
        model: args.model.display().to_string(),
        device: on.device.info().to_string(),
        on: hardware(on.device.info()),
        driver: on.device.info().driver.clone(),
        dtype: on.dtype_name(),
        input: [batch, channels, h, w],
        limit: (&limit).into(),
        steps: profile.iter().zip(&floors).map(|(step, &floor)| Step::new(step, sum, floor)).collect(),
        sum_ms: sum * 1e3,
        floor_ms: floors.iter().sum::<f64>() * 1e3,
        round_trip_ms: whole.median * 1e3,
    };
    match args.json {
        true => out::json(&report, true)?,
        false => report.print()?,
    }
    if on.device.info().kind != DeviceKind::Cpu {
        note("each dispatch was timed in a pass of its own: together they take longer than in one");
    }
    if let Some(path) = &args.plot {
        chart::save(path, &[report.chart()])?;
        note(&format!("picture: {}", path.display()));
    }
    // The limit knows nothing of matrices: what runs on them may well be faster.
    let gate = on.device.info().kind != DeviceKind::Software && !args.device.matrices;
    let beaten = report.steps.iter().filter(|step| gate && step.ratio < 1.0);
    Ok(limit::verdict(beaten.map(|step| step.label.clone()).collect()))
}

impl Report {
    fn print(&self) -> Result<(), Stop> {
        let [n, _, h, w] = self.input;
        let what = format!("{}, {}, {n}x{h}x{w}", self.model, self.dtype);
        for line in [&what, &self.on] {
            say(&short(&plain(line), WIDTH))?;
        }
        let columns = [
            ("step", Give::Shortens(16)),
            ("us", Give::Stays),
            ("share", Give::Stays),
            ("GFLOP/s", Give::Goes(1)),
            ("GB/s", Give::Goes(0)),
            ("floor us", Give::Stays),
            ("times floor", Give::Stays),
        ];
        let row = |step: &Step| {
            vec![
                step.label.clone(),
                format!("{:.1}", step.us),
                format!("{:.1}%", step.share * 100.0),
                format!("{:.1}", step.gflops),
                format!("{:.1}", step.gb_per_s),
                format!("{:.1}", step.floor_us),
                format!("{:.1}", step.ratio),
            ]
        };
        let rows: Vec<_> = self.steps.iter().map(row).collect();
        fit(&columns, &rows).iter().try_for_each(|line| say(line))?;
        let Report { sum_ms, floor_ms, round_trip_ms, .. } = self;
        say(&format!(
            "{}: {sum_ms:.3} ms, {:.1} times the floor of {floor_ms:.3} ms",
            count(self.steps.len(), "step"),
            sum_ms / floor_ms
        ))?;
        say(&format!("round trip: {round_trip_ms:.3} ms"))
    }

    fn chart(&self) -> Chart {
        let bar = |step: &Step| Bar {
            label: step.label.clone(),
            value: step.us,
            mark: Some(step.floor_us),
            series: 0,
        };
        let [n, _, h, w] = self.input;
        Chart::Bars(Bars {
            title: format!("{}, {}, {n}x{h}x{w}", self.model, self.dtype),
            notes: vec![
                self.on.clone(),
                "microseconds of each step; marks: the floor by the device's limit".into(),
            ],
            series: Vec::new(),
            bars: self.steps.iter().map(bar).collect(),
        })
    }
}
