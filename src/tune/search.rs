//! The search: each layer by itself first, then what seems faster on the whole net.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Bench, GAIN, Over, Progress, Tuned, faster, turns, values};
use crate::{
    error::{Error, Result},
    gpu::Engine,
    kernels::{Choice, Kind, choices, ways},
    plan::{Layer, Limits, Tuning},
};

/// Runs that time a dispatch.
const RUNS: usize = 5;
/// The most choices that are tried on the whole net.
const MOST_TRIALS: usize = 24;

/// The least time of each layer with each choice.
type Times = BTreeMap<Layer, Vec<(Choice, f64)>>;

/// Choices to try on the whole net, with the seconds that they save by themselves.
type Wanted = Vec<(Vec<(Layer, Choice)>, f64)>;

/// The times of layers, and whether there was time for all choices.
pub struct Sweep {
    times: Times,
    complete: bool,
}

impl Bench<'_> {
    /// Times all choices.
    pub fn sweep(&self, over: Over, progress: Progress) -> Result<Sweep> {
        let fast = self.options.tuning.fast;
        sweep(self.gpu.limits(), fast, over, progress, |tuning| self.profile(tuning))
    }

    /// The seconds of each layer that `tuning` runs.
    fn profile(&self, tuning: &Tuning) -> Result<Vec<(Layer, Choice, f64)>> {
        let engine = self.engine(tuning)?;
        self.run(&engine)?; // compiles where the driver does so late
        let profile = engine.profile(&self.input, RUNS)?;
        let dispatches = engine.plan().dispatches.iter().zip(profile);
        Ok(dispatches
            .filter_map(|(one, profiled)| Some((one.layer?, one.choice?, profiled.seconds)))
            .collect())
    }

    /// Takes the fastest choice of each layer where the whole net is faster with it and still gives `answer`, the
    /// largest gain first. `trials` ends the trials, and `over` what proves that all of them gain together.
    pub fn keep(
        &self,
        first: Arc<Engine>,
        answer: &[f32],
        sweep: Sweep,
        [trials, over]: [Over; 2],
        progress: Progress,
    ) -> Result<Tuned> {
        let Sweep { times, mut complete } = sweep;
        let whole = match turns(trials, |_| self.time(&first))? {
            Some([whole, _]) => whole,
            None => self.run(&first)?.0, // to say what it takes, where there is no time for more
        };
        let mut wanted = gains(&times, &first, whole);
        wanted.truncate(MOST_TRIALS);
        // Pool and classifier have no times of their own: only the whole net tells.
        wanted.extend(head(&first));
        // Layers whose choice is proven: no other was faster by itself, or the whole net was judged with the other.
        let untried =
            |layer: &Layer| wanted.iter().flat_map(|(changes, _)| changes).all(|(other, _)| other != layer);
        let mut proven: Vec<Layer> = match complete {
            true => times.keys().copied().filter(untried).collect(),
            false => Vec::new(),
        };
        let mut tuning = self.options.tuning.clone();
        let mut engine = first.clone();
        let mut taken: Vec<Layer> = Vec::new();
        let (all, mut tried) = (wanted.len(), 0);
        for (changes, _) in &wanted {
            go_on(progress, all + tried, 2 * all)?;
            if trials() {
                complete = false;
                break;
            }
            tried += 1;
            let mut next = tuning.clone();
            next.layers.extend(changes.iter().copied());
            let layers = changes.iter().map(|(layer, _)| *layer);
            match self.better(&engine, &next, answer, trials) {
                Ok(Some((true, better))) => {
                    (tuning, engine) = (next, better);
                    taken.extend(layers);
                }
                // A choice that the device fails at is judged too.
                Ok(Some((false, _))) | Err(_) => proven.extend(layers),
                Ok(None) => complete = false,
            }
        }
        // Each step was measured by itself: only the first against the last tells what all of them gain.
        let (mut before, mut after) = (whole, whole);
        if !taken.is_empty() {
            match faster(over, |at| self.time([&first, &engine][at]))? {
                Some((gained, pair)) => {
                    (before, after) = if gained { (pair[0], pair[1]) } else { (pair[0], pair[0]) };
                    proven.extend(taken);
                    tuning = if gained { tuning } else { self.options.tuning.clone() };
                }
                None => {
                    complete = false;
                    tuning = self.options.tuning.clone();
                }
            }
        }
        match if over() { Ok(None) } else { self.front(&tuning, over) } {
            Ok(Some(choice)) => {
                tried += 1;
                let front = first.plan().prepared;
                tuning.layers.extend(choice.map(|choice| (front, choice)));
                proven.push(front);
            }
            Ok(None) => complete = false,
            Err(_) => {}
        }
        // What stays as it was is told too, for an earlier measurement may have had it otherwise.
        let limits = self.gpu.limits();
        let chosen: Vec<_> = proven.iter().map(|layer| (*layer, tuning.choice(layer, &limits))).collect();
        tuning.layers.extend(chosen);
        let other =
            |layer: &&Layer| tuning.choice(layer, &limits) != self.options.tuning.choice(layer, &limits);
        let changed: BTreeSet<Layer> = proven.iter().filter(other).copied().collect();
        go_on(progress, 1, 1)?;
        Ok(Tuned { tuning, changed: changed.into_iter().collect(), before, after, tried, complete })
    }

    /// The engine of `tuning`, and whether it gives `answer` faster than `engine`; `None` where the time was over first.
    fn better(
        &self,
        engine: &Arc<Engine>,
        tuning: &Tuning,
        answer: &[f32],
        over: Over,
    ) -> Result<Option<(bool, Arc<Engine>)>> {
        let candidate = self.engine(tuning)?;
        if !self.agrees(&values(&self.run(&candidate)?.1), answer) {
            return Ok(Some((false, candidate)));
        }
        let judged = faster(over, |at| self.time([engine, &candidate][at]))?;
        Ok(judged.map(|(better, _)| (better, candidate)))
    }

    /// The other way from a picture's bytes to the input, where whole runs from bytes are faster with it: whether they
    /// are, unless the time was over first.
    fn front(&self, tuning: &Tuning, over: Over) -> Result<Option<Option<Choice>>> {
        let one = self.engine(tuning)?;
        let passes = one.plan().front.is(&ways::PASSES);
        let choice = if passes { &ways::PREPARE } else { &ways::PASSES }.of(&[]);
        let mut next = tuning.clone();
        next.layers.insert(one.plan().prepared, choice);
        let pair = [&one, &self.engine(&next)?];
        if !self.prepares(pair)? {
            return Ok(Some(None));
        }
        let judged = faster(over, |at| self.run_pixels(pair[at]))?;
        Ok(judged.map(|(better, _)| better.then_some(choice)))
    }
}

fn go_on(progress: Progress, done: usize, all: usize) -> Result<()> {
    if progress(done, all).is_break() { Err(Error::Stopped) } else { Ok(()) }
}

/// Times all choices that a device of `limits` may run: the n-th of each kind in one plan.
fn sweep(
    limits: Limits,
    fast: bool,
    over: Over,
    progress: Progress,
    mut profile: impl FnMut(&Tuning) -> Result<Vec<(Layer, Choice, f64)>>,
) -> Result<Sweep> {
    let kinds = [Kind::Stem, Kind::Depthwise, Kind::Pointwise, Kind::Block];
    let of = |kind| choices().filter(move |choice| choice.kind() == kind && choice.suits(&limits, fast));
    let table: Vec<Vec<Choice>> = kinds.into_iter().map(|kind| of(kind).collect()).collect();
    let rounds = table[..3].iter().map(Vec::len).max().unwrap_or(0);
    let blocks: Vec<Choice> = table[3].iter().copied().filter(|choice| choice.at_once()).collect();
    let all = rounds + blocks.len();
    let mut times = Times::new();
    for round in 0..all {
        go_on(progress, round, 2 * all)?;
        if over() {
            return Ok(Sweep { times, complete: false });
        }
        let choices = match round < rounds {
            true => table[..3].iter().filter_map(|choices| choices.get(round)).copied().collect(),
            false => vec![blocks[round - rounds]],
        };
        let tuning = Tuning { choices, layers: BTreeMap::new(), fast };
        // What fails at a choice has others; a device that is lost fails at what follows.
        let Ok(profile) = profile(&tuning) else { continue };
        for (layer, choice, seconds) in profile {
            let measured = times.entry(layer).or_default();
            match measured.iter_mut().find(|(known, _)| *known == choice) {
                Some((_, least)) => *least = least.min(seconds),
                None => measured.push((choice, seconds)),
            }
        }
    }
    Ok(Sweep { times, complete: true })
}

/// The fastest choice of each layer, where it is another than `engine`'s and saves enough of a run of `whole`.
fn gains(times: &Times, engine: &Engine, whole: Duration) -> Wanted {
    let dispatches = || engine.plan().dispatches.iter();
    let count = |layer: &Layer| dispatches().filter(|one| one.layer.as_ref() == Some(layer)).count() as f64;
    let best = |measured: &[(Choice, f64)]| measured.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
    let mut wanted = Wanted::new();
    for (layer, measured) in times {
        let Some((choice, seconds)) = best(measured) else { continue };
        if layer.kind == Kind::Block {
            // A block at once against its two layers, each at its best.
            let depthwise = times.iter().find(|(other, _)| {
                other.kind == Kind::Depthwise
                    && other.src == layer.src
                    && other.window == layer.window
                    && other.dst.pixels() == layer.dst.pixels()
            });
            let Some((other, apart)) = depthwise else { continue };
            let pointwise = Layer { kind: Kind::Pointwise, src: other.dst, window: [1, 1], ..*layer };
            let (Some((_, a)), Some((_, b))) =
                (best(apart), times.get(&pointwise).and_then(|measured| best(measured)))
            else {
                continue;
            };
            wanted.push((vec![(*layer, choice)], (a + b - seconds) * count(&pointwise)));
        } else {
            let current = dispatches().find(|one| one.layer.as_ref() == Some(layer));
            let Some(current) = current.and_then(|one| one.choice) else { continue };
            let Some((_, now)) = measured.iter().find(|(known, _)| *known == current) else { continue };
            if choice != current {
                wanted.push((vec![(*layer, choice)], (now - seconds) * count(layer)));
            }
        }
    }
    wanted.retain(|(_, saved)| *saved > GAIN * whole.as_secs_f64());
    wanted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    wanted
}

/// The other way to compute the last pool and the linear layer that reads it.
fn head(engine: &Engine) -> Wanted {
    let plan = engine.plan();
    if let Some(layer) =
        plan.dispatches.iter().filter_map(|one| one.layer).find(|layer| layer.kind == Kind::Head)
    {
        return vec![(vec![(layer, ways::STEPS.of(&[]))], 0.0)];
    }
    let stem = |one: &crate::plan::Dispatch| one.kernel.shader.stem;
    let Some(at) =
        plan.dispatches.windows(2).rposition(|two| [stem(&two[0]), stem(&two[1])] == ["pool", "linear"])
    else {
        return Wanted::new();
    };
    let Some(last) = plan.dispatches[..at].iter().rev().find_map(|one| one.layer) else {
        return Wanted::new();
    };
    let dst = plan.place(plan.dispatches[at + 1].nodes[0]).shape;
    let layer = Layer { kind: Kind::Head, src: last.dst, dst, window: [1, 1], matrix: 0, ..last };
    vec![(vec![(layer, ways::JOINED.of(&[]))], 0.0)]
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::tensor::{DType, Shape};

    /// A device that fails at some choices is measured with the others.
    #[test]
    fn a_choice_that_fails_is_passed_over() {
        let map = Shape::new(1, 14, 14, 256);
        let (kind, dtype, fast) = (Kind::Pointwise, DType::F32, false);
        let layer = Layer { kind, src: map, dst: map, dtype, fast, window: [1, 1], matrix: 0 };
        let failing = |choice: &Choice| choice.is(&ways::SHARED) || *choice == ways::REGISTERS.of(&[1, 1]);
        let profile = |tuning: &Tuning| match tuning.choices.iter().any(failing) {
            true => Err(Error::Option("no".into())),
            false => Ok(vec![(layer, tuning.choice(&layer, &Limits::LEAST), 1.0)]),
        };
        let ever = || false;
        let mut goes_on = |_, _| ControlFlow::Continue(());
        let found = sweep(Limits::LEAST, false, &ever, &mut goes_on, profile).unwrap();
        assert!(found.complete);
        let measured = &found.times[&layer];
        let has = |choice| measured.iter().any(|(known, _)| *known == choice);
        assert!(has(ways::REGISTERS.of(&[8, 2])) && has(ways::SPLIT.of(&[7, 16])), "{measured:?}");
        assert!(!measured.iter().any(|(choice, _)| failing(choice)), "{measured:?}");
        // Nothing is measured after the time.
        for allowed in 0..3 {
            let made = std::cell::Cell::new(0);
            let counted = |tuning: &Tuning| {
                made.set(made.get() + 1);
                profile(tuning)
            };
            let found =
                sweep(Limits::LEAST, false, &|| made.get() >= allowed, &mut goes_on, counted).unwrap();
            assert!(!found.complete && made.get() == allowed, "{allowed}: {}", made.get());
        }
        // Whoever is told of the progress has the last word.
        let mut told = 0;
        let mut ends = |done, _| {
            told += 1;
            if done < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let stopped = sweep(Limits::LEAST, false, &ever, &mut ends, profile).map(|found| found.complete);
        assert!(matches!(stopped, Err(Error::Stopped)) && told == 3, "{told}");
    }
}
