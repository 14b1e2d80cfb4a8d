//! The choices that are fastest on a device, measured there and kept in a file of the caller's.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use mobileone::{Device, Model, Options, Session, tune::tune};
//!
//! let (device, model) = (Device::open("gpu")?, Model::load("mobileone_s0.safetensors")?);
//! let mut options = Options::of(&model);
//! let tuned = tune(&device, &model, &options, Duration::from_secs(30), &mut |at, of| eprint!("\r{at} of {of}"))?;
//! println!("{:?} before, {:?} after", tuned.before, tuned.after);
//! options.tuning = tuned.tuning; // `tune::write` keeps it in a file
//! let session = Session::new(&device, &model, &options)?;
//! # Ok::<(), mobileone::Error>(())
//! ```

mod network;
mod search;
mod table;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub use network::{Fastest, Rivals, Times, compare, network};
pub use table::{Kept, read, writable, write};

use crate::{
    answer::Answer,
    device::{Device, Executor},
    error::Result,
    gpu::{Clock, Engine, Gpu},
    models::Model,
    options::Options,
    plan::{Outputs, Tuning},
    preprocess::{PixelFormat, Pixels, Rotation},
    tensor::{DType, Shape, Tensor},
};

/// What came of a measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// The choices that were kept.
    pub tuning: Tuning,
    /// What one run takes with the choices that it began with, measured at the end: by the device's own clock where it
    /// has one, else a round trip.
    pub before: Duration,
    /// What one run takes with those that were kept, measured in turns with the others; no more than `before`.
    pub after: Duration,
    /// Choices that were faster by themselves, kept or not.
    pub tried: usize,
}

/// Turns that time a whole net against another.
const TURNS: usize = 7;

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
/// and still right. `progress` is told how far it is, of what. Tries nothing new after `budget`.
///
/// # Errors
/// [`Error::Option`](crate::Error::Option) for the CPU, which has no choices, and for a device without timestamps; those
/// of [`Session::new`](crate::Session::new).
pub fn tune(
    device: &Device,
    model: &Model,
    options: &Options,
    budget: Duration,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Tuned> {
    let until = Instant::now() + budget;
    let bench = Bench::new(device, model, options)?;
    let first = bench.engine(&bench.options.tuning)?;
    let answer = logits(bench.run(&first)?.1);
    // Half of the time is for the whole net.
    let sweep = bench.sweep(Instant::now() + budget / 2, progress)?;
    bench.keep(first, &answer, sweep, until, progress)
}

/// The logits of an answer, or the features where there is no classifier.
fn logits(answer: Answer) -> Vec<f32> {
    if answer.logits.is_empty() { answer.features } else { answer.logits }
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
        let outputs = Outputs { logits: true, features: true, ..Outputs::default() };
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

    /// The least of what `time` says of each, in turns, for the device's clock and its other work change.
    fn turns(
        &self,
        engines: [&Arc<Engine>; 2],
        time: impl Fn(&Self, &Arc<Engine>) -> Result<Duration>,
    ) -> Result<[Duration; 2]> {
        let mut least = [Duration::MAX; 2];
        for _ in 0..TURNS {
            for (engine, least) in engines.into_iter().zip(&mut least) {
                *least = (*least).min(time(self, engine)?);
            }
        }
        Ok(least)
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
