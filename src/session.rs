//! The one way to run a model, whatever the device.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(feature = "gpu")]
use crate::gpu::{OutputBuffer, Source};
use crate::{
    answer::Answer,
    device::{Device, Executor},
    error::{Error, Result},
    graph::Graph,
    input::Input,
    models::Model,
    options::{MOST_PIXELS, Options},
    preprocess::Colour,
    profile::Profiled,
    tensor::{Shape, Tensor},
    ticket::{Ticket, TicketOn},
};

/// How long a run waits for a frame, and how long between two looks.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_micros(100);

/// A model planned, compiled and loaded on a device.
///
/// ```
/// use mobileone::{Device, Input, Model, Options, Session, Shape, Tensor, sample};
///
/// let model = Model::from_bytes(sample::DIGITS)?;
/// let options = Options { batch: 4, ..Options::of(&model) };
/// let session = Session::new(&Device::open("cpu")?, &model, &options)?;
/// // Normalized already; `Input::Pixels` takes a picture as it is.
/// let pictures = Tensor::zeros(Shape::new(3, 80, 80, 3));
/// let answer = session.run(Input::Tensor(&pictures))?;
/// assert_eq!((answer.batch, answer.top.len()), (3, 3));
/// # Ok::<(), mobileone::Error>(())
/// ```
pub struct Session {
    engine: Engine,
    input: Shape,
    batch: usize,
    /// Channels that its preprocessing makes of pictures.
    colour: Colour,
}

enum Engine {
    #[cfg(feature = "cpu")]
    Cpu(Arc<crate::cpu::Engine>),
    #[cfg(feature = "gpu")]
    Gpu(Arc<crate::gpu::Engine>),
}

/// What commands are recorded into; none where there is no GPU.
#[cfg(feature = "gpu")]
type Encoder = wgpu::CommandEncoder;
#[cfg(not(feature = "gpu"))]
type Encoder = std::convert::Infallible;

impl Session {
    /// Plans and loads `model` on `device`.
    ///
    /// # Errors
    /// Those of [`Graph::check`]; [`Error::Model`], naming the node, for what the device does not compute;
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
                    return Err(Error::Option("f16 runs on GPUs only: use f32 on the CPU".into()));
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
                        "{} has no {} shaders (feature SHADER_F16); use f32",
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
        Ok(Session { engine, input, batch, colour: options.preprocess.colour })
    }

    /// As [`Session::new`], under any executor. In a browser it is the one that tells at once what the device refuses;
    /// after `new` the first run does.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub async fn new_async(device: &Device, model: &Model, options: &Options) -> Result<Session> {
        match &device.executor {
            #[cfg(feature = "cpu")]
            Executor::Cpu(_) => Session::new(device, model, options),
            #[cfg(feature = "gpu")]
            Executor::Gpu(gpu) => {
                gpu.watched("session", || Session::new(device, model, options)).await.flatten()
            }
        }
    }

    /// Bytes of the buffers that it made on its GPU: weights, activations, and what goes to and fro; pictures take
    /// more, which grows with the largest. `None` for the CPU.
    pub fn device_bytes(&self) -> Option<u64> {
        match &self.engine {
            #[cfg(feature = "cpu")]
            Engine::Cpu(_) => None,
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => Some(engine.bytes()),
        }
    }

    /// Pictures that one [`Session::submit`] takes: the batch that was asked for, or less where the device's
    /// bindings or about 200 ms of its work hold no more.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Runs one input and waits for the answer; a batch over [`Session::batch`] is run in chunks, as many in flight
    /// as there are frames for.
    ///
    /// # Errors
    /// As [`Session::submit`]; it waits up to a minute where that would be [`Error::Busy`], which it is when
    /// nobody takes the tickets that hold all frames.
    pub fn run(&self, input: Input) -> Result<Answer> {
        let tensor = match input {
            Input::Tensor(tensor) if tensor.shape().n > self.batch => tensor,
            other => return self.patiently(|| self.submit(other))?.wait(),
        };
        self.check(tensor.shape())?;
        let mut answer = Answer::default();
        let mut before: Option<Ticket> = None;
        for start in (0..tensor.shape().n).step_by(self.batch) {
            let end = (start + self.batch).min(tensor.shape().n);
            let begin = || self.start(tensor.pictures(start..end), end - start, None);
            let next = match begin() {
                Err(Error::Busy) => {
                    if let Some(ticket) = before.take() {
                        answer.extend(ticket.wait()?);
                    }
                    self.patiently(begin)?
                }
                other => other?,
            };
            if let Some(ticket) = before.replace(next) {
                answer.extend(ticket.wait()?);
            }
        }
        if let Some(ticket) = before {
            answer.extend(ticket.wait()?);
        }
        Ok(answer)
    }

    /// As [`Session::run`], under any executor; never blocks.
    ///
    /// # Errors
    /// As [`Session::submit`].
    pub async fn run_async(&self, input: Input<'_>) -> Result<Answer> {
        let tensor = match input {
            Input::Tensor(tensor) if tensor.shape().n > self.batch => tensor,
            other => return self.submit(other)?.await,
        };
        self.check(tensor.shape())?;
        let mut answer = Answer::default();
        for start in (0..tensor.shape().n).step_by(self.batch) {
            let end = (start + self.batch).min(tensor.shape().n);
            let chunk = tensor.pictures(start..end);
            answer.extend(self.start(chunk, end - start, None)?.await?);
        }
        Ok(answer)
    }

    /// Starts one input and never waits; the CPU of a web page, which has one thread, runs it meanwhile.
    ///
    /// # Errors
    /// [`Error::Busy`] when all frames are in flight; [`Error::Input`] for an input that the session was not
    /// made for; [`Error::DeviceFailure`].
    pub fn submit(&self, input: Input) -> Result<Ticket> {
        self.put(input, None)
    }

    /// Whether all frames are in flight, so that [`Session::submit`] would give [`Error::Busy`] now: for those who
    /// poll, to ask before they make an input. Never waits. Another thread may be quicker; a device that failed is not
    /// busy, for `submit` says why.
    pub fn is_busy(&self) -> bool {
        match &self.engine {
            #[cfg(feature = "cpu")]
            Engine::Cpu(engine) => engine.is_busy(),
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.is_busy(),
        }
    }

    /// Records one input's upload, dispatches and read-back into an encoder of the session's device, which the
    /// caller submits: other commands before it may make the picture, others after it may read
    /// [`Session::output`]. The answer comes after the submit; an encoder that is dropped gives the frame back.
    ///
    /// # Errors
    /// As [`Session::submit`]; [`Error::Option`] on the CPU, which has no encoders. What is wrong with a texture or
    /// buffer is told by wgpu when the encoder is finished, and so is an encoder of another device.
    ///
    /// ```
    /// use mobileone::{Input, PixelTexture, Result, Session, Ticket, preprocess::Rotation, wgpu};
    ///
    /// /// A frame of the program's own, with the network in it.
    /// fn frame(device: &wgpu::Device, queue: &wgpu::Queue, texture: &wgpu::Texture, session: &Session) -> Result<Ticket> {
    ///     let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    ///     let input = Input::Texture(PixelTexture { texture, crop: None, rotation: Rotation::None });
    ///     let ticket = session.encode(&mut encoder, input)?;
    ///     queue.submit([encoder.finish()]);
    ///     Ok(ticket)
    /// }
    /// ```
    #[cfg(feature = "gpu")]
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder, input: Input) -> Result<Ticket> {
        self.put(input, Some(encoder))
    }

    /// Where an output of the last inference lies on the GPU; `None` on the CPU, and for one that was not asked for.
    #[cfg(feature = "gpu")]
    pub fn output(&self, name: &str) -> Option<OutputBuffer<'_>> {
        match &self.engine {
            #[cfg(feature = "cpu")]
            Engine::Cpu(_) => None,
            Engine::Gpu(engine) => engine.output(name),
        }
    }

    /// Starts one input: into `encoder`, or at once.
    fn put(&self, input: Input, encoder: Option<&mut Encoder>) -> Result<Ticket> {
        if !matches!(input, Input::Tensor(_)) && self.colour.channels() != self.input.c {
            let c = self.input.c;
            return Err(Error::Input(match Colour::of(c) {
                None => format!("the network reads {c} channels, which no picture has here; give tensors"),
                Some(colour) => {
                    format!("the network reads {c} channels: its preprocessing must be {colour:?}")
                }
            }));
        }
        match (input, &self.engine) {
            (Input::Tensor(tensor), _) => {
                let shape = tensor.shape();
                self.check(shape)?;
                if shape.n > self.batch {
                    let batch = self.batch;
                    return Err(Error::Input(format!("{} pictures, one submit takes {batch}", shape.n)));
                }
                self.start(tensor.data(), shape.n, encoder)
            }
            #[cfg(feature = "cpu")]
            (Input::Pixels(pixels), Engine::Cpu(engine)) => {
                no_encoder(encoder)?;
                Ok(Ticket(TicketOn::Cpu(engine.submit_pixels(&pixels)?)))
            }
            #[cfg(all(feature = "cpu", feature = "gpu"))]
            (Input::Texture(_) | Input::Buffer(_), Engine::Cpu(_)) => Err(Error::Input(
                "textures and buffers are for sessions on their own GPU; give pixels".into(),
            )),
            #[cfg(feature = "gpu")]
            (Input::Pixels(pixels), Engine::Gpu(engine)) => {
                Ok(Ticket(TicketOn::Gpu(engine.run_pixels(encoder, &pixels)?)))
            }
            #[cfg(feature = "gpu")]
            (Input::Texture(texture), Engine::Gpu(engine)) => {
                let source = Source::texture(&texture)?;
                Ok(Ticket(TicketOn::Gpu(engine.run_source(encoder, &source)?)))
            }
            #[cfg(feature = "gpu")]
            (Input::Buffer(buffer), Engine::Gpu(engine)) => {
                let source = Source::buffer(&buffer)?;
                Ok(Ticket(TicketOn::Gpu(engine.run_source(encoder, &source)?)))
            }
        }
    }

    /// Starts so many pictures, no more than a submit takes.
    fn start(&self, pictures: &[f32], batch: usize, encoder: Option<&mut Encoder>) -> Result<Ticket> {
        match &self.engine {
            #[cfg(feature = "cpu")]
            Engine::Cpu(engine) => {
                no_encoder(encoder)?;
                Ok(Ticket(TicketOn::Cpu(engine.submit(pictures, batch)?)))
            }
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => Ok(Ticket(TicketOn::Gpu(engine.run(encoder, pictures, batch)?))),
        }
    }

    /// Tries again while other threads hold all frames, for a minute at most; a page, which has neither threads nor
    /// this clock, does not.
    fn patiently(&self, mut start: impl FnMut() -> Result<Ticket>) -> Result<Ticket> {
        let mut begun = None;
        let mut in_time = || begun.get_or_insert_with(Instant::now).elapsed() < PATIENCE;
        loop {
            match start() {
                Err(Error::Busy) if !cfg!(target_arch = "wasm32") && in_time() => std::thread::sleep(PAUSE),
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

    /// Why the file of [`Options::cache`] was of no use when the session was made, in a line that names it; `None` where
    /// it was sound or missing, and where the device keeps no pipelines.
    pub fn cache_fault(&self) -> Option<&str> {
        match &self.engine {
            #[cfg(feature = "cpu")]
            Engine::Cpu(_) => None,
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.cache_fault(),
        }
    }

    /// Compute pipelines that it runs, made for it or kept by its device from sessions before; 0 on the CPU.
    pub fn pipelines(&self) -> usize {
        match &self.engine {
            #[cfg(feature = "cpu")]
            Engine::Cpu(_) => 0,
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.pipelines(),
        }
    }
}

/// Refuses what the CPU cannot record.
#[cfg(feature = "cpu")]
fn no_encoder(encoder: Option<&mut Encoder>) -> Result<()> {
    match encoder {
        None => Ok(()),
        Some(_) => Err(Error::Option("the CPU has no command encoders; use submit".into())),
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
        Some(node) => Err(Error::Option(format!("an input of {h}x{w} is too small for {}", node.name))),
        None => Ok(()),
    }
}
