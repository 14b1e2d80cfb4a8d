//! The choices that are fastest on a device, measured there and kept in a file of the caller's.
//!
//! ```no_run
//! use std::{ops::ControlFlow, time::Duration};
//!
//! use mobileone::{Device, Model, Options, Session, tune::tune};
//!
//! let (device, model) = (Device::open("gpu")?, Model::load("mobileone_s0.safetensors")?);
//! let mut options = Options::of(&model);
//! let mut progress = |done, all| {
//!     eprint!("\r{done} of {all}");
//!     ControlFlow::Continue(()) // or Break, where somebody asked for it
//! };
//! let tuned = tune(&device, &model, &options, Duration::from_secs(30), &mut progress)?;
//! println!("{:?} before, {:?} after", tuned.before, tuned.after);
//! options.tuning = tuned.tuning; // `tune::write` keeps it in a file
//! let session = Session::new(&device, &model, &options)?;
//! # Ok::<(), mobileone::Error>(())
//! ```

mod network;
mod search;
mod table;

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

pub use network::{Fastest, Rivals, Times, compare, compare_within, network};
pub use table::{Held, Kept, folder, held, kept, place, read, writable, write, write_named};

use crate::{
    answer::Answer,
    device::{Device, Executor},
    error::Result,
    gpu::{Clock, Engine, Gpu},
    models::Model,
    options::{Options, Outputs},
    plan::{Layer, Tuning},
    preprocess::{PixelFormat, Pixels, Rotation},
    tensor::{DType, Shape, Tensor},
};

/// What came of a measurement.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tuned {
    /// The choices that were kept: one for each layer that was judged to the end, that which it began with included.
    pub tuning: Tuning,
    /// The layers whose choice is another than it began with.
    pub changed: Vec<Layer>,
    /// What one run takes with the choices that it began with, measured at the end where there was time for that: by the
    /// device's own clock where it has one, else a round trip.
    pub before: Duration,
    /// What one run takes with those that were kept, measured in turns with the others; no more than `before`.
    pub after: Duration,
    /// Changes that were tried on the whole net, kept or not.
    pub tried: usize,
    /// Whether there was time for all that was to be measured. What there was none for is not in `tuning`.
    pub complete: bool,
}

/// Is told how far a measurement is, of what, before each of its steps, and says whether it goes on.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>;

/// Turns that time a whole net against another.
const TURNS: usize = 7;
/// A change is tried on the whole net where it saves this share of a run, and kept where it saves half of it.
const GAIN: f64 = 0.01;

/// Asked before each measurement: whether the time for them is over.
type Over<'a> = &'a dyn Fn() -> bool;

/// Shares of the time after which no more layers are timed by themselves, and no more changes are tried on the whole
/// net: what is left is for the proof that all of them together are faster.
const SWEEP: f64 = 0.5;
const TRIALS: f64 = 0.85;

/// The least of what `time` says of the first and of the second, in turns, for the device's clock and its other work
/// change. `None` where the time was over first.
fn turns(over: Over, mut time: impl FnMut(usize) -> Result<Duration>) -> Result<Option<[Duration; 2]>> {
    let mut least = [Duration::MAX; 2];
    for _ in 0..TURNS {
        for (at, least) in least.iter_mut().enumerate() {
            if over() {
                return Ok(None);
            }
            *least = (*least).min(time(at)?);
        }
    }
    Ok(Some(least))
}

/// Whether the second takes less than the first by more than noise, twice; and what they took last. `None` where the
/// time was over first.
fn faster(
    over: Over,
    mut time: impl FnMut(usize) -> Result<Duration>,
) -> Result<Option<(bool, [Duration; 2])>> {
    let gained = |[old, new]: [Duration; 2]| new.as_secs_f64() < old.as_secs_f64() * (1.0 - GAIN / 2.0);
    let Some(once) = turns(over, &mut time)? else { return Ok(None) };
    if !gained(once) {
        return Ok(Some((false, once)));
    }
    let twice = turns(over, time)?;
    Ok(twice.map(|twice| (gained(twice), twice)))
}

/// One model on one device.
struct Bench<'a> {
    gpu: Arc<Gpu>,
    clock: Option<Clock>,
    model: &'a Model,
    options: Options,
    input: Tensor,
    /// A picture of twice the input's height and width, as cameras give them: RGBA.
    picture: Vec<u8>,
}

/// Measures every choice of each layer of `model` on `device`, then keeps those with which the whole net is faster
/// and still right. A choice that the device fails at is passed over. Measures nothing more after `budget`, keeps
/// nothing that there was no time to prove, and ends where `progress` says so.
///
/// # Errors
/// [`Error::Option`](crate::Error::Option) for the CPU, which has no choices, and for a device without timestamps;
/// [`Error::Stopped`](crate::Error::Stopped) where `progress` had it end; those of
/// [`Session::new`](crate::Session::new).
pub fn tune(
    device: &Device,
    model: &Model,
    options: &Options,
    budget: Duration,
    progress: Progress,
) -> Result<Tuned> {
    let begun = Instant::now();
    let over = |share: f64| move || begun.elapsed() >= budget.mul_f64(share);
    let bench = Bench::new(device, model, options)?;
    let first = bench.engine(&bench.options.tuning)?;
    let answer = values(&bench.run(&first)?.1);
    let sweep = bench.sweep(&over(SWEEP), progress)?;
    bench.keep(first, &answer, sweep, [&over(TRIALS), &over(1.0)], progress)
}

/// The values by which two ways are compared: those of the network's own outputs.
fn values(answer: &Answer) -> Vec<f32> {
    answer.outputs.iter().flat_map(|(_, tensor)| tensor.data()).copied().collect()
}

impl Bench<'_> {
    fn new<'a>(device: &Device, model: &'a Model, options: &Options) -> Result<Bench<'a>> {
        let gpu = match &device.executor {
            Executor::Gpu(gpu) => gpu.clone(),
            #[cfg(feature = "cpu")]
            Executor::Cpu(_) => {
                return Err(crate::Error::Option("the CPU executor has nothing to tune".into()));
            }
        };
        let (h, w) = options.preprocess.size;
        let shape = Shape::new(1, h, w, model.graph.input_channels());
        let wave = |at: usize| ((at as f64 * 0.754_877_666).fract() * 3.4 - 1.7) as f32;
        let input = Tensor::new(shape, (0..shape.len()).map(wave).collect())?;
        let byte = |at: usize| ((at / 7) as f64 * 0.754_877_666 % 256.0) as u8;
        let picture = (0..2 * h * 2 * w * 4).map(byte).collect();
        let outputs = Outputs::of(&model.graph);
        // The pipelines of trials are not worth a place in the caller's file.
        let options = Options { outputs, frames: 1, batch: 1, cache: None, ..options.clone() };
        let clock = gpu.clock()?;
        Ok(Bench { gpu, clock, model, options, input, picture })
    }

    fn engine(&self, tuning: &Tuning) -> Result<Arc<Engine>> {
        let options = Options { tuning: tuning.clone(), ..self.options.clone() };
        let (graph, weights) = (&self.model.graph, &self.model.weights);
        Ok(Arc::new(Engine::of(self.gpu.clone(), graph, weights, self.input.shape(), &options)?))
    }

    /// A round trip from a tensor.
    fn run(&self, engine: &Arc<Engine>) -> Result<(Duration, Answer)> {
        let begun = Instant::now();
        let answer = engine.run(None, self.input.data(), 1)?.wait()?;
        Ok((begun.elapsed(), answer))
    }

    /// A round trip from a picture's bytes.
    fn run_pixels(&self, engine: &Arc<Engine>) -> Result<Duration> {
        let begun = Instant::now();
        engine.run_pixels(None, &self.pixels())?.wait()?;
        Ok(begun.elapsed())
    }

    fn pixels(&self) -> Pixels<'_> {
        let (h, w) = self.options.preprocess.size;
        Pixels {
            bytes: &self.picture,
            size: (2 * w, 2 * h),
            stride: 4 * 2 * w,
            format: PixelFormat::Rgba8,
            crop: None,
            rotation: Rotation::None,
        }
    }

    /// All dispatches by the device's own clock, for the tensor that was run last; `None` where it has none.
    fn device_time(&self, engine: &Engine) -> Result<Option<Duration>> {
        let seconds = self.clock.as_ref().map(|clock| engine.time(clock)).transpose()?;
        Ok(seconds.map(Duration::from_secs_f64))
    }

    /// A run by the device's own clock; a round trip where it has none.
    fn time(&self, engine: &Arc<Engine>) -> Result<Duration> {
        let round_trip = self.run(engine)?.0;
        Ok(self.device_time(engine)?.unwrap_or(round_trip))
    }

    /// Whether what was found is `expected`, as far as the storage lets it.
    fn agrees(&self, found: &[f32], expected: &[f32]) -> bool {
        let square = |pairs: &mut dyn Iterator<Item = f32>| pairs.map(|x| f64::from(x).powi(2)).sum::<f64>();
        let off = square(&mut found.iter().zip(expected).map(|(a, b)| a - b));
        let norm = square(&mut expected.iter().copied());
        let bound = match self.options.dtype {
            DType::F32 => 5e-5,
            DType::F16 => 2e-2,
        };
        found.len() == expected.len() && (off / norm).sqrt() <= bound
    }

    /// Whether both make the same input of the picture, but for bytes that round the other way.
    fn prepares(&self, engines: [&Arc<Engine>; 2]) -> Result<bool> {
        let [a, b] = engines.map(|engine| engine.prepared(&self.pixels()));
        let (a, b) = (a?, b?);
        let step = 1.01 / 255.0 / self.options.preprocess.std.into_iter().fold(f32::MAX, f32::min);
        let near = |(a, b): (&f32, &f32)| {
            (a - b).abs() <= step + if self.options.dtype == DType::F16 { b.abs() / 512.0 } else { 0.0 }
        };
        Ok(a.data().iter().zip(b.data()).all(near))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two engines that take the same, the second is seldom taken; one that takes more never is, and one
    /// that takes a twelfth less nearly always is.
    #[test]
    fn noise_is_no_gain() {
        let mut state = 1u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f64 / (1u64 << 24) as f64
        };
        let mut taken = |second: f64| {
            // A run takes up to a tenth more than it could.
            let mut time = |at: usize| Ok(Duration::from_secs_f64([1.0, second][at] * (1.0 + 0.1 * noise())));
            (0..1000).filter(|_| faster(&|| false, &mut time).unwrap().unwrap().0).count()
        };
        assert!(taken(1.0) < 200, "{} of 1000", taken(1.0));
        assert_eq!(taken(1.05), 0);
        assert!(taken(0.92) > 980, "{} of 1000", taken(0.92));
    }

    #[test]
    fn a_gain_is_measured_twice() {
        let ms = Duration::from_millis;
        let mut calls = 0;
        let mut slower_later = |at: usize| {
            calls += 1;
            Ok(if at == 0 { ms(100) } else { ms(if calls <= 2 * TURNS { 90 } else { 100 }) })
        };
        let ever = || false;
        assert_eq!(faster(&ever, &mut slower_later).unwrap(), Some((false, [ms(100); 2])));
        assert_eq!(calls, 4 * TURNS);
        let (gains, loses) = (|at| Ok(ms([100, 99][at])), |at| Ok(ms([1000, 996][at])));
        assert_eq!(faster(&ever, gains).unwrap(), Some((true, [ms(100), ms(99)])));
        assert_eq!(faster(&ever, loses).unwrap(), Some((false, [ms(1000), ms(996)])));
    }

    /// Whatever there is time for, nothing is measured after it, and what was measured in part says nothing.
    #[test]
    fn a_measurement_without_time_is_none() {
        let ms = Duration::from_millis;
        for allowed in 0..=4 * TURNS {
            let made = std::cell::Cell::new(0);
            let gains = |at: usize| {
                made.set(made.get() + 1);
                Ok(ms([100, 90][at]))
            };
            let found = faster(&|| made.get() >= allowed, gains).unwrap();
            assert_eq!((found.is_some(), made.get()), (allowed == 4 * TURNS, allowed));
        }
    }
}
