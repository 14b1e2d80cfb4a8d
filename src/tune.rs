//! The choices that are fastest on a device, measured there and kept in a file of the caller's.

mod table;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

pub use table::{Kept, read, writable, write};

use crate::{
    device::{Device, Executor},
    error::Result,
    gpu::{Engine, Gpu},
    kernels::{CHOICES, Choice, Kind},
    models::Model,
    options::Options,
    plan::{Layer, Outputs, Tuning},
    tensor::{DType, Shape, Tensor},
};

/// What came of a measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// The choices that were kept.
    pub tuning: Tuning,
    /// What one run takes with the choices that it began with, measured at the end.
    pub before: Duration,
    /// What one run takes with those that were kept, measured in turns with the others; no more than `before`.
    pub after: Duration,
    /// Choices that were faster by themselves, kept or not.
    pub tried: usize,
}

/// Runs that time a dispatch, and turns that time a whole net against another.
const RUNS: usize = 5;
const TURNS: usize = 7;
/// A choice is tried on the whole net where it saves this share of a run, and kept where it saves half of it.
const GAIN: f64 = 0.01;

/// One model on one device.
struct Bench<'a> {
    gpu: Arc<Gpu>,
    model: &'a Model,
    options: Options,
    input: Tensor,
    /// The logits (the features, without a classifier) of the choices that it began with.
    answer: Vec<f32>,
}

/// Measures every choice of each layer of `model` on `device`, then keeps those with which the whole net is faster
/// and still right. `progress` is told how far it is, of what. Tries nothing new after `budget`.
///
/// # Errors
/// [`Error::Option`] for the CPU, which has no choices, and for a device without timestamps; those of
/// [`Session::new`](crate::Session::new).
pub fn tune(
    device: &Device,
    model: &Model,
    options: &Options,
    budget: Duration,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Tuned> {
    let gpu = match &device.executor {
        Executor::Gpu(gpu) => gpu.clone(),
        #[cfg(feature = "cpu")]
        Executor::Cpu(_) => return Err(crate::Error::Option("the CPU executor has nothing to tune".into())),
    };
    let until = Instant::now() + budget;
    let (h, w) = options.preprocess.size;
    let shape = Shape::new(1, h, w, model.graph.input_channels());
    let wave = |at: usize| ((at as f64 * 0.754_877_666).fract() * 3.4 - 1.7) as f32;
    let input = Tensor::new(shape, (0..shape.len()).map(wave).collect())?;
    let outputs = Outputs { logits: true, features: true, ..Outputs::default() };
    // The pipelines of trials are not worth a place in the caller's file.
    let options = Options { outputs, frames: 1, batch: 1, cache: None, ..options.clone() };
    let mut bench = Bench { gpu, model, options, input, answer: Vec::new() };
    let first = bench.engine(&bench.options.tuning.clone())?;
    bench.answer = bench.run(&first)?.1;
    // Half of the time is for the whole net.
    let sweep = bench.sweep(Instant::now() + budget / 2, progress)?;
    let whole = bench.least(&first, TURNS)?;
    bench.keep(first, whole, sweep, until, progress)
}

/// The least time of each layer with each choice.
type Times = BTreeMap<String, (Layer, Vec<(Choice, f64)>)>;

impl Bench<'_> {
    fn engine(&self, tuning: &Tuning) -> Result<Arc<Engine>> {
        let options = Options { tuning: tuning.clone(), ..self.options.clone() };
        let (graph, weights) = (&self.model.graph, &self.model.weights);
        Ok(Arc::new(Engine::of(self.gpu.clone(), graph, weights, self.input.shape(), &options)?))
    }

    /// The time of one run, and its logits or features.
    fn run(&self, engine: &Arc<Engine>) -> Result<(Duration, Vec<f32>)> {
        let begun = Instant::now();
        let answer = engine.run(None, self.input.data(), 1)?.wait()?;
        let logits = if answer.logits.is_empty() { answer.features } else { answer.logits };
        Ok((begun.elapsed(), logits))
    }

    fn least(&self, engine: &Arc<Engine>, runs: usize) -> Result<Duration> {
        let times: Result<Vec<Duration>> = (0..runs).map(|_| Ok(self.run(engine)?.0)).collect();
        Ok(times?.into_iter().min().unwrap_or(Duration::MAX))
    }

    /// The least time of each, in turns, for the device's clock and its other work change.
    fn compare(&self, one: &Arc<Engine>, other: &Arc<Engine>) -> Result<(Duration, Duration)> {
        let (mut a, mut b) = (Duration::MAX, Duration::MAX);
        for _ in 0..TURNS {
            a = a.min(self.run(one)?.0);
            b = b.min(self.run(other)?.0);
        }
        Ok((a, b))
    }

    /// Whether an engine computes what the first one did, as far as the storage lets it.
    fn agrees(&self, found: &[f32]) -> bool {
        let square = |pairs: &mut dyn Iterator<Item = f32>| pairs.map(|x| f64::from(x).powi(2)).sum::<f64>();
        let off = square(&mut found.iter().zip(&self.answer).map(|(a, b)| a - b));
        let norm = square(&mut self.answer.iter().copied());
        let bound = match self.options.dtype {
            DType::F32 => 5e-5,
            DType::F16 => 2e-2,
        };
        found.len() == self.answer.len() && (off / norm).sqrt() <= bound
    }

    /// Times all choices: the n-th of each kind in one plan.
    fn sweep(&self, until: Instant, progress: &mut dyn FnMut(usize, usize)) -> Result<Times> {
        let limits = self.gpu.limits();
        let kinds = [Kind::Stem, Kind::Depthwise, Kind::Pointwise, Kind::Block];
        let fast = self.options.tuning.fast;
        let of = |kind| {
            let suits = move |choice: &&Choice| {
                let runs = !matches!(choice, Choice::Subgroup(_, lanes) if *lanes != limits.subgroup);
                choice.kind() == kind && runs && (fast || !matches!(choice, Choice::Fast(_)))
            };
            CHOICES.iter().filter(suits).copied().collect::<Vec<Choice>>()
        };
        let table: Vec<Vec<Choice>> = kinds.into_iter().map(of).collect();
        let rounds = table[..3].iter().map(Vec::len).max().unwrap_or(0);
        let blocks: Vec<Choice> =
            table[3].iter().copied().filter(|choice| *choice != Choice::Apart).collect();
        let all = rounds + blocks.len();
        let mut times = Times::new();
        for round in 0..all {
            progress(round, 2 * all);
            if Instant::now() >= until {
                break;
            }
            let choices = match round < rounds {
                true => table[..3].iter().filter_map(|choices| choices.get(round)).copied().collect(),
                false => vec![blocks[round - rounds]],
            };
            let tuning = Tuning { choices, layers: BTreeMap::new(), fast };
            let engine = self.engine(&tuning)?;
            self.run(&engine)?; // compiles where the driver does so late
            let profile = engine.profile(&self.input, RUNS)?;
            for (dispatch, profiled) in engine.plan().dispatches.iter().zip(profile) {
                let (Some(layer), Some(choice)) = (dispatch.layer, dispatch.choice) else { continue };
                let measured = &mut times.entry(layer.key()).or_insert((layer, Vec::new())).1;
                match measured.iter_mut().find(|(known, _)| *known == choice) {
                    Some((_, least)) => *least = least.min(profiled.seconds),
                    None => measured.push((choice, profiled.seconds)),
                }
            }
        }
        Ok(times)
    }

    /// Takes the fastest choice of each layer where the whole net is faster with it, the largest gain first.
    fn keep(
        &self,
        first: Arc<Engine>,
        whole: Duration,
        times: Times,
        until: Instant,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Tuned> {
        let mut tuning = self.options.tuning.clone();
        let mut wanted = gains(&times, &first, whole);
        wanted.truncate(24);
        // Pool and classifier have no times of their own: only the whole net tells.
        let shapes: Vec<&Layer> =
            first.plan().dispatches.iter().filter_map(|one| one.layer.as_ref()).collect();
        let heads = head(&first, &shapes);
        wanted.extend(heads);
        let mut engine = first.clone();
        let all = wanted.len();
        for (at, (keys, _)) in wanted.iter().enumerate() {
            progress(all + at, 2 * all);
            if Instant::now() >= until {
                break;
            }
            let mut next = tuning.clone();
            next.layers.extend(keys.iter().cloned());
            let candidate = self.engine(&next)?;
            if !self.agrees(&self.run(&candidate)?.1) {
                continue;
            }
            let (old, new) = self.compare(&engine, &candidate)?;
            if new.as_secs_f64() < old.as_secs_f64() * (1.0 - GAIN / 2.0) {
                (tuning, engine) = (next, candidate);
            }
        }
        // Each step was measured by itself: only the first against the last tells what all of them gain.
        let (before, after) = self.compare(&first, &engine)?;
        progress(1, 1);
        let (tuning, after) = match tuning != self.options.tuning && after < before {
            true => (tuning, after),
            false => (self.options.tuning.clone(), before),
        };
        Ok(Tuned { tuning, before, after, tried: all })
    }
}

/// Choices to try on the whole net, with the seconds that they save by themselves.
type Wanted = Vec<(Vec<(String, Choice)>, f64)>;

/// The fastest choice of each layer, where it is another than `engine`'s and saves enough of a run of `whole`.
fn gains(times: &Times, engine: &Engine, whole: Duration) -> Wanted {
    let count = |key: &str| {
        let same = |layer: &Layer| layer.key() == key;
        engine
            .plan()
            .dispatches
            .iter()
            .filter_map(|one| one.layer.as_ref())
            .filter(|layer| same(layer))
            .count()
    };
    let best = |measured: &[(Choice, f64)]| measured.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
    let of = |key: &str, choice| {
        let measured = &times.get(key)?.1;
        measured.iter().find(|(known, _)| *known == choice).map(|(_, seconds)| *seconds)
    };
    let mut wanted = Wanted::new();
    for (key, (layer, measured)) in times {
        let Some((choice, seconds)) = best(measured) else { continue };
        if layer.kind == Kind::Block {
            // A block at once against its two layers, each at its best.
            let depthwise = times.values().find(|(other, _)| {
                other.kind == Kind::Depthwise
                    && other.src == layer.src
                    && other.dst.pixels() == layer.dst.pixels()
            });
            let Some((other, apart)) = depthwise else { continue };
            let pointwise = Layer { kind: Kind::Pointwise, src: other.dst, ..*layer }.key();
            let (Some((_, a)), Some((_, b))) =
                (best(apart), times.get(&pointwise).and_then(|(_, measured)| best(measured)))
            else {
                continue;
            };
            let saved = (a + b - seconds) * count(&pointwise) as f64;
            wanted.push((vec![(key.clone(), choice)], saved));
        } else {
            let layers =
                engine.plan().dispatches.iter().filter(|one| one.layer.is_some_and(|one| one.key() == *key));
            let Some(current) = layers.filter_map(|one| one.choice).next() else { continue };
            let Some(now) = of(key, current) else { continue };
            if choice != current {
                wanted.push((vec![(key.clone(), choice)], (now - seconds) * count(key) as f64));
            }
        }
    }
    wanted.retain(|(_, saved)| *saved > GAIN * whole.as_secs_f64());
    wanted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    wanted
}

/// The other way to compute pool and classifier.
fn head(engine: &Engine, layers: &[&Layer]) -> Wanted {
    let plan = engine.plan();
    let (Some(logits), Some(last)) =
        (plan.logits, layers.iter().rev().find(|layer| layer.kind != Kind::Head))
    else {
        return Wanted::new();
    };
    let layer = Layer { kind: Kind::Head, src: last.dst, dst: plan.place(logits).shape, ..**last };
    let joined = plan.dispatches.iter().any(|one| one.choice == Some(Choice::Head));
    vec![(vec![(layer.key(), if joined { Choice::Steps } else { Choice::Head })], 0.0)]
}
