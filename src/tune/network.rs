//! What is known of a whole network on a device: which storage is the fastest there, and whether the CPU is faster yet.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Bench, Over, TURNS};
use crate::{
    device::{Device, Executor},
    error::Result,
    files::sum,
    gpu::Engine,
    graph::{Graph, Node, Op},
    input::Input,
    models::Model,
    options::Options,
    session::Session,
    tensor::DType,
    verify::examine_while,
    weights::Weights,
};

/// How a network runs the fastest, one picture at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fastest {
    /// In f16 rather than in f32: the [sum](Weights::sum) of the weights that passed its examination.
    pub f16: Option<u64>,
    /// On the CPU executor, with so many threads, rather than on the device.
    pub cpu: Option<usize>,
}

impl Fastest {
    /// Whether `weights` are those that f16 is the fastest for, and right: others may be too large for it.
    pub fn in_f16(&self, weights: &Weights) -> bool {
        self.f16.is_some_and(|sum| sum == weights.sum())
    }

    /// Whether `cpu` was the fastest: it has as many threads as that which was measured.
    pub fn on(&self, cpu: &Device) -> bool {
        self.cpu.is_some() && self.cpu == threads(cpu)
    }
}

/// Threads of the CPU; `None` for a GPU.
fn threads(device: &Device) -> Option<usize> {
    match &device.executor {
        #[cfg(feature = "cpu")]
        Executor::Cpu(threads) => Some(threads.count()),
        Executor::Gpu(_) => None,
    }
}

/// The key of a network in a table: equal for networks of the same layers at the same `size` (height and width),
/// whatever their weights, for these take the same time. On matrices of so many rows ([`Limits::matrix`]) it takes
/// another.
///
/// [`Limits::matrix`]: crate::plan::Limits::matrix
pub fn network(graph: &Graph, size: (usize, usize), matrix: usize) -> String {
    let row = |node: &Node| {
        let op = match &node.op {
            Op::Input { channels } => format!("input {channels} {size:?}"),
            Op::Conv { conv, activation, .. } => format!("{conv:?} {activation:?}"),
            Op::Affine { activation, .. } => format!("affine {activation:?}"),
            Op::Linear { src_c, dst_c, activation, .. } => format!("linear {src_c} {dst_c} {activation:?}"),
            Op::Binary { with, activation } => format!("{with:?} {activation:?}"),
            Op::Concat
            | Op::Resize { .. }
            | Op::Pool { .. }
            | Op::Softmax
            | Op::Activate(_)
            | Op::TopK { .. } => {
                format!("{:?}", node.op)
            }
        };
        format!("{op} {:?}\n", node.inputs)
    };
    let mut rows: String = graph.nodes.iter().map(row).collect();
    if matrix > 0 {
        rows += &format!("matrix {matrix}\n");
    }
    format!("{:016x}", sum(rows.bytes()))
}

/// The least times of one way to run a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// From the host's memory to the host's memory.
    pub round_trip: Duration,
    /// Of all dispatches, by the device's own clock, where it has one.
    pub device: Option<Duration>,
}

/// The ways that `auto` chooses from, measured in turns.
#[derive(Clone, Debug, PartialEq)]
pub struct Rivals {
    /// The device in f32.
    pub f32: Times,
    /// The device in f16, where it computes in it and, if that was faster, passed its examination.
    pub f16: Option<Times>,
    /// A round trip of the CPU executor, and its threads.
    pub cpu: Option<(Duration, usize)>,
    /// Why f16 is out of the question on a device that has it: the weights are too large, or what it computes is wrong.
    pub refused: Option<String>,
    /// The sum of the weights.
    pub weights: u64,
}

/// What a rival has to be faster by than f32, which is exact, and than the device, which was tuned: above noise.
const MARGIN: f64 = 0.03;

/// Whether `new` is less than `old` by more than noise.
fn clearly(new: Duration, old: Duration) -> bool {
    new.as_secs_f64() < old.as_secs_f64() * (1.0 - MARGIN)
}

impl Rivals {
    /// The fastest of them: storages by the device's own clock where it has one, the device against the CPU by round
    /// trips.
    pub fn fastest(&self) -> Fastest {
        let faster = |f16: &Times| match (f16.device, self.f32.device) {
            (Some(f16), Some(f32)) => clearly(f16, f32),
            _ => clearly(f16.round_trip, self.f32.round_trip),
        };
        let half = self.f16.filter(faster);
        let device = half.unwrap_or(self.f32).round_trip;
        let cpu = self.cpu.filter(|(cpu, _)| clearly(*cpu, device)).map(|(_, threads)| threads);
        Fastest { f16: half.map(|_| self.weights), cpu }
    }
}

/// A storage on the device, and its least times.
struct Storage<'a> {
    bench: Bench<'a>,
    engine: Arc<Engine>,
    times: Times,
}

impl Storage<'_> {
    fn new<'a>(device: &Device, model: &'a Model, options: &Options) -> Result<Storage<'a>> {
        let bench = Bench::new(device, model, options)?;
        let engine = bench.engine(&bench.options.tuning)?;
        // The first run compiles what drivers compile late.
        bench.run(&engine)?;
        Ok(Storage { bench, engine, times: Times { round_trip: Duration::MAX, device: None } })
    }

    fn time(&mut self) -> Result<()> {
        let round_trip = self.bench.run(&self.engine)?.0;
        let timed = self.bench.device_time(&self.engine)?;
        let Times { round_trip: least, device } = &mut self.times;
        *least = round_trip.min(*least);
        *device = timed.map(|timed| device.map_or(timed, |least| least.min(timed)));
        Ok(())
    }
}

/// Runs `model` on `device` in f32, in f16 where it can, and on `cpu` if one is given, in turns: what else the machine
/// does hits all alike. The choices are those of `options`, whatever its storage.
///
/// # Errors
/// Those of [`Session::new`], and of [`tune`](super::tune) for a device that has nothing to tune; but what f16 alone
/// fails at is told by [`Rivals::refused`].
pub fn compare(device: &Device, cpu: Option<&Device>, model: &Model, options: &Options) -> Result<Rivals> {
    Ok(compare_while(device, cpu, model, options, &|| false)?.expect("time is never over"))
}

/// The same within `budget`: `None` where there was no time to measure all and, if f16 was the fastest, to examine it.
///
/// # Errors
/// Those of [`compare`].
pub fn compare_within(
    device: &Device,
    cpu: Option<&Device>,
    model: &Model,
    options: &Options,
    budget: Duration,
) -> Result<Option<Rivals>> {
    let begun = Instant::now();
    compare_while(device, cpu, model, options, &|| begun.elapsed() >= budget)
}

fn compare_while(
    device: &Device,
    cpu: Option<&Device>,
    model: &Model,
    options: &Options,
    over: Over,
) -> Result<Option<Rivals>> {
    let stored = |dtype| Options { dtype, ..options.clone() };
    if over() {
        return Ok(None);
    }
    let mut f32 = Storage::new(device, model, &stored(DType::F32))?;
    let mut refused = None;
    let mut f16 = None;
    if device.info().features.contains(&"f16") {
        if over() {
            return Ok(None);
        }
        match Storage::new(device, model, &stored(DType::F16)) {
            Ok(storage) => f16 = Some(storage),
            Err(error) => refused = Some(error.to_string()),
        }
    }
    let session = match cpu {
        Some(cpu) => Some(Session::new(cpu, model, &f32.bench.options)?),
        None => None,
    };
    let mut on_cpu = Duration::MAX;
    for _ in 0..TURNS {
        if over() {
            return Ok(None);
        }
        f32.time()?;
        if over() {
            return Ok(None);
        }
        if let Some(Err(error)) = f16.as_mut().map(Storage::time) {
            (f16, refused) = (None, Some(error.to_string()));
        }
        if over() {
            return Ok(None);
        }
        if let Some(session) = &session {
            let begun = Instant::now();
            session.run(Input::Tensor(&f32.bench.input))?;
            on_cpu = on_cpu.min(begun.elapsed());
        }
    }
    let cpu = cpu.and_then(threads).map(|threads| (on_cpu, threads));
    let f16 = f16.map(|storage| storage.times);
    let mut rivals = Rivals { f32: f32.times, f16, cpu, refused, weights: model.weights.sum() };
    if rivals.fastest().f16.is_some() {
        let fault = match examine_while(device, model, stored(DType::F16), &|| !over()) {
            Ok(None) => return Ok(None),
            Ok(Some(lines)) => {
                lines.into_iter().find_map(|line| Some(format!("{}: {}", line.label, line.fault?)))
            }
            Err(error) => Some(error.to_string()),
        };
        if fault.is_some() {
            (rivals.f16, rivals.refused) = (None, fault);
        }
    }
    Ok(Some(rivals))
}
