//! The one way to run a model, whatever the device.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use crate::{
    answer::Answer,
    device::{Device, Executor},
    error::{Error, Result},
    graph::Graph,
    models::Model,
    options::{MOST_PIXELS, Options},
    preprocess::Pixels,
    profile::Profiled,
    tensor::{Shape, Tensor},
};

/// What is given to the network.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Normalized pictures, `[n, h, w, 3]`.
    Tensor(&'a Tensor),
    /// One picture, preprocessed on the device.
    Pixels(Pixels<'a>),
}

/// How long a run waits for a frame, and how long between two looks.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_micros(100);

/// A model planned, compiled and loaded on a device.
pub struct Session {
    engine: Engine,
    input: Shape,
    batch: usize,
}

enum Engine {
    #[cfg(feature = "cpu")]
    Cpu(Arc<crate::cpu::Engine>),
    #[cfg(feature = "gpu")]
    Gpu(Arc<crate::gpu::Engine>),
}

impl Session {
    /// Plans and loads `model` on `device`.
    ///
    /// # Errors
    /// [`Error::Option`] for a size, batch or storage that the device cannot do; [`Error::DeviceFailure`].
    pub fn new(device: &Device, model: &Model, options: &Options) -> Result<Session> {
        let (h, w) = options.preprocess.size;
        let input = Shape::new(1, h, w, model.graph.input_channels());
        check_size(&model.graph, input)?;
        if options.batch == 0 || options.frames == 0 {
            return Err(Error::Option("a session takes a batch and a number of frames of at least 1".into()));
        }
        let (engine, batch) = match &device.executor {
            #[cfg(feature = "cpu")]
            Executor::Cpu(threads) => {
                if options.dtype != crate::tensor::DType::F32 {
                    return Err(Error::Option(
                        "f16 runs on GPUs only; the CPU executor computes in f32 (use --dtype f32)".into(),
                    ));
                }
                let (graph, weights) = (&model.graph, &model.weights);
                let engine = crate::cpu::Engine::new(threads.clone(), graph, weights, input, options)?;
                let batch = engine.batch();
                (Engine::Cpu(Arc::new(engine)), batch)
            }
            #[cfg(feature = "gpu")]
            Executor::Gpu(gpu) => {
                if !gpu.supports(options.dtype) {
                    return Err(Error::Option(format!(
                        "{} has no {} shaders (feature SHADER_F16); use --dtype f32",
                        device.info(),
                        options.dtype
                    )));
                }
                let engine =
                    crate::gpu::Engine::of(gpu.clone(), &model.graph, &model.weights, input, options)?;
                let batch = engine.batch();
                (Engine::Gpu(Arc::new(engine)), batch)
            }
        };
        Ok(Session { engine, input, batch })
    }

    /// Pictures that one [`Session::submit`] takes: the batch that was asked for, or less where the device's
    /// bindings or about 200 ms of its work hold no more.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Runs one input and waits for the answer; a batch over [`Session::batch`] is run in chunks.
    ///
    /// # Errors
    /// As [`Session::submit`]; it waits up to a minute where that would be [`Error::Busy`], which it is when
    /// nobody takes the tickets that hold all frames.
    pub fn run(&self, input: Input) -> Result<Answer> {
        let tensor = match input {
            Input::Tensor(tensor) if tensor.shape().n > self.batch => tensor,
            other => return self.patiently(|| self.submit(other)?.wait()),
        };
        self.check(tensor.shape())?;
        let mut answer = Answer::default();
        for start in (0..tensor.shape().n).step_by(self.batch) {
            let end = (start + self.batch).min(tensor.shape().n);
            let chunk = tensor.pictures(start..end);
            answer.extend(self.patiently(|| self.submit_tensor(chunk, end - start)?.wait())?);
        }
        Ok(answer)
    }

    /// Starts one input and never waits.
    ///
    /// # Errors
    /// [`Error::Busy`] when all frames are in flight; [`Error::Input`] for an input that the session was not
    /// made for; [`Error::DeviceFailure`].
    pub fn submit(&self, input: Input) -> Result<Ticket> {
        match input {
            Input::Tensor(tensor) => {
                let shape = tensor.shape();
                self.check(shape)?;
                if shape.n > self.batch {
                    let batch = self.batch;
                    return Err(Error::Input(format!("{} pictures, one submit takes {batch}", shape.n)));
                }
                self.submit_tensor(tensor.data(), shape.n)
            }
            Input::Pixels(pixels) => match &self.engine {
                #[cfg(feature = "cpu")]
                Engine::Cpu(engine) => Ok(Ticket(TicketOn::Cpu(engine.submit_pixels(&pixels)?))),
                #[cfg(feature = "gpu")]
                Engine::Gpu(engine) => Ok(Ticket(TicketOn::Gpu(engine.submit_pixels(&pixels)?))),
            },
        }
    }

    fn submit_tensor(&self, pictures: &[f32], batch: usize) -> Result<Ticket> {
        match &self.engine {
            #[cfg(feature = "cpu")]
            Engine::Cpu(engine) => Ok(Ticket(TicketOn::Cpu(engine.submit(pictures, batch)?))),
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => Ok(Ticket(TicketOn::Gpu(engine.submit(pictures, batch)?))),
        }
    }

    /// Tries again while other threads hold all frames, for a minute at most.
    fn patiently(&self, mut run: impl FnMut() -> Result<Answer>) -> Result<Answer> {
        let begun = Instant::now();
        loop {
            match run() {
                Err(Error::Busy) if begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
                done => return done,
            }
        }
    }

    fn check(&self, shape: Shape) -> Result<()> {
        if shape.n == 0 || shape.with_batch(1) != self.input {
            let Shape { h, w, c, .. } = self.input;
            return Err(Error::Input(format!(
                "expected [n, {h}, {w}, {c}] with n at least 1, found {shape}"
            )));
        }
        Ok(())
    }

    /// The plan as text, a line per dispatch (per node on the CPU).
    pub fn describe(&self) -> String {
        match &self.engine {
            #[cfg(feature = "cpu")]
            Engine::Cpu(engine) => engine.describe(),
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.plan().to_string(),
        }
    }

    /// What each step of a run of `input` costs, of so many runs the least: a dispatch of a GPU by the device's
    /// own clock, each in a pass of its own, for not every device has timestamps inside a pass; a step of the
    /// CPU by the time between its beginning and its end.
    ///
    /// # Errors
    /// [`Error::Option`] when the device has no timestamps; else as [`Session::submit`].
    pub fn profile(&self, input: &Tensor, runs: usize) -> Result<Vec<Profiled>> {
        self.check(input.shape())?;
        if input.shape().n > self.batch {
            let reason = format!("{} pictures, a profile takes {}", input.shape().n, self.batch);
            return Err(Error::Input(reason));
        }
        match &self.engine {
            #[cfg(feature = "cpu")]
            Engine::Cpu(engine) => {
                let mut least = engine.profile(input.data(), input.shape().n)?;
                for _ in 1..runs {
                    let again = engine.profile(input.data(), input.shape().n)?;
                    for (least, again) in least.iter_mut().zip(again) {
                        least.seconds = least.seconds.min(again.seconds);
                    }
                }
                Ok(least)
            }
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.profile(input, runs),
        }
    }

    /// Compute pipelines made so far; 0 on the CPU.
    pub fn pipelines(&self) -> usize {
        match &self.engine {
            #[cfg(feature = "cpu")]
            Engine::Cpu(_) => 0,
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.pipelines(),
        }
    }
}

/// Refuses inputs that are empty, that shrink to nothing on the way, or that no memory could hold.
fn check_size(graph: &Graph, input: Shape) -> Result<()> {
    let Shape { h, w, .. } = input;
    if h == 0 || w == 0 || h.saturating_mul(w) > MOST_PIXELS {
        return Err(Error::Option(format!(
            "an input of {h}x{w} is not possible (1x1 to {MOST_PIXELS} pixels)"
        )));
    }
    match graph.too_small(input) {
        Some(node) => {
            Err(Error::Option(format!("an input of {h}x{w} is too small for {}", graph.nodes[node].name)))
        }
        None => Ok(()),
    }
}

/// An inference in flight. Dropped, it gives its answer up.
pub struct Ticket(TicketOn);

enum TicketOn {
    #[cfg(feature = "cpu")]
    Cpu(crate::cpu::Ticket),
    #[cfg(feature = "gpu")]
    Gpu(crate::gpu::Ticket),
}

impl Ticket {
    /// The answer if it has come, `None` if it has not; never waits. An answer is taken once.
    ///
    /// # Errors
    /// [`Error::DeviceFailure`] when the device failed or its answer cannot be one; [`Error::Input`] when the
    /// input held values that are not finite.
    pub fn try_take(&mut self) -> Result<Option<Answer>> {
        match &mut self.0 {
            #[cfg(feature = "cpu")]
            TicketOn::Cpu(ticket) => ticket.try_take(),
            #[cfg(feature = "gpu")]
            TicketOn::Gpu(ticket) => ticket.try_take(),
        }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// As [`Ticket::try_take`].
    pub fn wait(self) -> Result<Answer> {
        match self.0 {
            #[cfg(feature = "cpu")]
            TicketOn::Cpu(ticket) => ticket.wait(),
            #[cfg(feature = "gpu")]
            TicketOn::Gpu(ticket) => ticket.wait(),
        }
    }
}

impl Future for Ticket {
    type Output = Result<Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<Result<Answer>> {
        match &mut self.0 {
            #[cfg(feature = "cpu")]
            TicketOn::Cpu(ticket) => Pin::new(ticket).poll(context),
            #[cfg(feature = "gpu")]
            TicketOn::Gpu(ticket) => Pin::new(ticket).poll(context),
        }
    }
}
