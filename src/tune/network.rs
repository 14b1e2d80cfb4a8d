//! What is known of a whole network on a device: which storage is the fastest there, and whether the CPU is faster yet.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Bench, TURNS};
use crate::{
    device::Device,
    error::Result,
    files::sum,
    graph::{Graph, Node, Op},
    input::Input,
    models::Model,
    options::Options,
    session::Session,
    tensor::DType,
    verify::examine,
};

/// How a network runs the fastest, one picture at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fastest {
    /// In f16, which passed its examination, rather than in f32.
    pub f16: bool,
    /// On the CPU executor rather than on the device.
    pub cpu: bool,
}

/// The key of a network in a table: equal for networks of the same layers at the same `size` (height and width),
/// whatever their weights, for these take the same time.
pub fn network(graph: &Graph, size: (usize, usize)) -> String {
    let row = |node: &Node| {
        let op = match &node.op {
            Op::Input { channels } => format!("input {channels} {size:?}"),
            Op::Conv { conv, activation, .. } => format!("{conv:?} {activation:?}"),
            Op::Affine { activation, .. } => format!("affine {activation:?}"),
            Op::Add { activation } => format!("add {activation:?}"),
            Op::Pool => "pool".into(),
            Op::Linear { src_c, dst_c, activation, .. } => format!("linear {src_c} {dst_c} {activation:?}"),
            Op::Scale { activation } => format!("scale {activation:?}"),
        };
        format!("{op} {:?}\n", node.inputs)
    };
    let rows: String = graph.nodes.iter().map(row).collect();
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
    /// The device in f16, where it computes in it and passed its examination, if it was faster.
    pub f16: Option<Times>,
    /// A round trip of the CPU executor.
    pub cpu: Option<Duration>,
    /// Why f16 is out of the question though it was faster.
    pub refused: Option<String>,
}

impl Rivals {
    /// The fastest of them: storages by the device's own clock where it has one, the device against the CPU by round
    /// trips.
    pub fn fastest(&self) -> Fastest {
        let faster = |f16: &Times| match (f16.device, self.f32.device) {
            (Some(f16), Some(f32)) => f16 < f32,
            _ => f16.round_trip < self.f32.round_trip,
        };
        let half = self.f16.filter(faster);
        let device = half.unwrap_or(self.f32).round_trip;
        Fastest { f16: half.is_some(), cpu: self.cpu.is_some_and(|cpu| cpu < device) }
    }
}

/// Runs `model` on `device` in f32, in f16 where it can, and on `cpu` if one is given, in turns: what else the machine
/// does hits all alike. The choices are those of `options`, whatever its storage.
///
/// # Errors
/// Those of [`Session::new`], and of [`tune`](super::tune) for a device that has nothing to tune.
pub fn compare(device: &Device, cpu: Option<&Device>, model: &Model, options: &Options) -> Result<Rivals> {
    let stored = |dtype| Options { dtype, ..options.clone() };
    let of = |dtype| {
        let bench = Bench::new(device, model, &stored(dtype))?;
        let engine = bench.engine(&bench.options.tuning)?;
        Ok((bench, engine))
    };
    let half = device.info().features.contains(&"f16");
    let storages = [DType::F32, DType::F16].into_iter().filter(|&dtype| dtype == DType::F32 || half);
    let engines = storages.map(of).collect::<Result<Vec<_>>>()?;
    let cpu = match cpu {
        Some(cpu) => Some(Session::new(cpu, model, &engines[0].0.options)?),
        None => None,
    };
    let mut times = vec![Times { round_trip: Duration::MAX, device: None }; engines.len()];
    let mut on_cpu = Duration::MAX;
    // The first turn compiles what drivers compile late.
    for turn in 0..=TURNS {
        for ((bench, engine), times) in engines.iter().zip(&mut times) {
            let round_trip = bench.run(engine)?.0;
            let timed = bench.device_time(engine)?;
            if turn > 0 {
                times.round_trip = times.round_trip.min(round_trip);
                times.device = timed.map(|timed| times.device.map_or(timed, |least| least.min(timed)));
            }
        }
        if let Some(cpu) = &cpu {
            let begun = Instant::now();
            cpu.run(Input::Tensor(&engines[0].0.input))?;
            on_cpu = on_cpu.min(begun.elapsed());
        }
    }
    let (f32, f16, cpu) = (times[0], times.get(1).copied(), cpu.is_some().then_some(on_cpu));
    let mut rivals = Rivals { f32, f16, cpu, refused: None };
    if rivals.fastest().f16 {
        let lines = examine(device, model, stored(DType::F16))?;
        let fault = lines.into_iter().find_map(|line| Some((line.label, line.fault?)));
        if let Some((label, fault)) = fault {
            (rivals.f16, rivals.refused) = (None, Some(format!("{label}: {fault}")));
        }
    }
    Ok(rivals)
}
