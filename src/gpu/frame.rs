//! One inference in flight: its upload and read-back buffers, and the ticket that takes the answer.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use super::{
    Engine, Gpu,
    front::{Front, GRAIN},
    layout::{is_finite, pad},
};
use crate::{
    answer::{Answer, Top, top_k},
    error::{Error, Result},
    plan::Place,
    preprocess::{Passes, Pixels},
};

/// How long a submit may take before the device counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// The buffers of one inference. It is free while it lies in [`Engine::frames`].
pub struct Frame {
    upload: wgpu::Buffer,
    readback: wgpu::Buffer,
    staging: Vec<u8>,
    /// Whether a tensor is staged, whose values may be anything; pixels are finite always.
    tensor: bool,
    mapping: Arc<Mutex<Mapping>>,
}

/// What the device still has to give back to the host.
#[derive(Default)]
struct Mapping {
    pending: u32,
    failed: bool,
    readable: bool,
}

/// Where things stand in a read-back buffer: the answers, then the logits, then the features.
struct Parts {
    answer: usize,
    logits: usize,
    features: usize,
}

impl Parts {
    fn of(engine: &Engine, batch: usize) -> Parts {
        let plan = &engine.plan;
        let bytes = |wanted: bool, place: Option<Place>| {
            place.filter(|_| wanted).map_or(0, |place| place.bytes() * batch)
        };
        Parts {
            answer: plan.slots[plan.answer] * batch,
            logits: bytes(engine.outputs.logits, plan.logits.map(|id| plan.place(id))),
            features: bytes(engine.outputs.features, Some(plan.place(plan.features))),
        }
    }

    fn total(&self) -> usize {
        self.answer + self.logits + self.features
    }
}

impl Frame {
    /// A free frame, its upload buffer mapped.
    pub fn new(engine: &Engine) -> Result<Frame> {
        let buffer = |label, size: usize, usage, mapped_at_creation| {
            engine.gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: size.next_multiple_of(4) as u64,
                usage,
                mapped_at_creation,
            })
        };
        let up = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
        let down = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let input = engine.plan.place(0).bytes() * engine.batch;
        engine.gpu.scoped("frame buffers", || Frame {
            upload: buffer("upload", input, up, true),
            readback: buffer("read-back", Parts::of(engine, engine.batch).total(), down, false),
            staging: Vec::with_capacity(input),
            tensor: false,
            mapping: Arc::default(),
        })
    }

    /// Makes the upload buffer large enough for what is staged.
    fn reserve(&mut self, engine: &Engine) -> Result<()> {
        let needed = self.staging.len() as u64;
        if self.upload.size() < needed {
            self.upload = engine.gpu.scoped("upload", || {
                engine.gpu.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("upload"),
                    size: needed.next_multiple_of(GRAIN),
                    usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
                    mapped_at_creation: true,
                })
            })?;
        }
        Ok(())
    }

    /// Whether the device has given both buffers back.
    fn is_settled(&self) -> bool {
        self.mapping.lock().expect("no panic while mapping").pending == 0
    }
}

impl Engine {
    /// Submits pictures `[n, h, w, c]` and returns at once.
    ///
    /// # Errors
    /// [`Error::Busy`] when all frames are in flight; [`Error::DeviceFailure`].
    ///
    /// # Panics
    /// When `batch` is 0 or above [`Engine::batch`], or is not what `pictures` holds.
    pub fn submit(self: &Arc<Engine>, pictures: &[f32], batch: usize) -> Result<Ticket> {
        assert!(batch >= 1 && batch <= self.batch, "the caller cuts batches");
        let place = self.plan.place(0);
        let mut frame = self.free_frame()?;
        frame.staging.clear();
        frame.tensor = true;
        pad(pictures, place, &mut frame.staging);
        let bytes = frame.staging.len() as u64;
        self.send(frame, batch, |encoder, upload| {
            encoder.copy_buffer_to_buffer(upload, 0, &self.slots[place.slot], 0, bytes);
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime()
        })
    }

    /// Submits one picture, prepared on the device, and returns at once. A picture larger than the device's
    /// largest binding is prepared on the host.
    ///
    /// # Errors
    /// As [`Engine::submit`]; also those of [`Preprocess::run_into`](crate::Preprocess::run_into).
    pub fn submit_pixels(self: &Arc<Engine>, pixels: &Pixels) -> Result<Ticket> {
        let view = pixels.view()?;
        let passes = Passes::new(&self.preprocess, &view)?;
        let mut front = self.front.lock().expect("no panic while the front is kept");
        if !front.fits(self, &passes, view.bytes.len())? {
            drop(front);
            return self.submit(self.preprocess.run(pixels)?.data(), 1);
        }
        let mut frame = self.free_frame()?;
        frame.staging.clear();
        frame.tensor = false;
        Front::stage(&passes, view.bytes, &mut frame.staging);
        if let Err(error) = frame.reserve(self) {
            self.frames.lock().expect("no panic while frames are kept").push(frame);
            return Err(error);
        }
        self.send(frame, 1, |encoder, upload| front.record(encoder, upload, &passes, view.bytes.len()))
    }

    /// Writes what is staged, records upload, passes and read-back, and submits them at once. `begin` records
    /// the copies from the upload buffer and opens the pass.
    fn send(
        self: &Arc<Engine>,
        frame: Frame,
        batch: usize,
        begin: impl FnOnce(&mut wgpu::CommandEncoder, &wgpu::Buffer) -> wgpu::ComputePass<'static>,
    ) -> Result<Ticket> {
        let submission = self.gpu.guarded(|| {
            {
                let mapped = frame.upload.get_mapped_range_mut(..frame.staging.len() as u64);
                let mut mapped = mapped.map_err(|error| self.gpu.failure(format!("upload: {error}")))?;
                mapped.copy_from_slice(&frame.staging);
            }
            frame.upload.unmap();
            let mut encoder =
                self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut pass = begin(&mut encoder, &frame.upload);
            self.record(&mut pass, batch);
            drop(pass);
            self.record_readback(&mut encoder, &frame, batch);
            let submission = self.gpu.queue.submit([encoder.finish()]);
            self.map(&frame);
            Ok(submission)
        })?;
        Ok(Ticket { engine: self.clone(), frame: Some(frame), batch, submission })
    }

    fn free_frame(&self) -> Result<Frame> {
        self.gpu.check()?;
        // Lets abandoned frames settle; does not wait.
        let polled = self.gpu.device.poll(wgpu::PollType::Poll);
        polled.map_err(|error| self.gpu.failure(error.to_string()))?;
        let mut frames = self.frames.lock().expect("no panic while frames are kept");
        let at = frames.iter().position(Frame::is_settled).ok_or(Error::Busy)?;
        let frame = frames.swap_remove(at);
        drop(frames);
        let readable = std::mem::take(&mut frame.mapping.lock().expect("no panic while mapping").readable);
        if readable {
            self.gpu.guarded(|| {
                frame.readback.unmap();
                Ok(())
            })?;
        }
        Ok(frame)
    }

    fn record_readback(&self, encoder: &mut wgpu::CommandEncoder, frame: &Frame, batch: usize) {
        let parts = Parts::of(self, batch);
        let plan = &self.plan;
        let mut copy = |slot: usize, at: usize, bytes: usize| {
            if bytes > 0 {
                let (at, bytes) = (at as u64, bytes as u64);
                encoder.copy_buffer_to_buffer(&self.slots[slot], 0, &frame.readback, at, bytes);
            }
        };
        copy(plan.answer, 0, parts.answer);
        if let Some(id) = plan.logits {
            copy(plan.place(id).slot, parts.answer, parts.logits);
        }
        copy(plan.place(plan.features).slot, parts.answer + parts.logits, parts.features);
    }

    /// Asks for both buffers back.
    fn map(&self, frame: &Frame) {
        *frame.mapping.lock().expect("no panic while mapping") = Mapping { pending: 2, ..Mapping::default() };
        for (buffer, mode) in [(&frame.upload, wgpu::MapMode::Write), (&frame.readback, wgpu::MapMode::Read)]
        {
            let mapping = frame.mapping.clone();
            buffer.map_async(mode, .., move |result| {
                let mut mapping = mapping.lock().expect("no panic while mapping");
                mapping.pending -= 1;
                mapping.failed |= result.is_err();
                mapping.readable |= result.is_ok() && mode == wgpu::MapMode::Read;
            });
        }
    }

    /// The answer in a settled frame.
    fn read(&self, frame: &Frame, batch: usize) -> Result<Answer> {
        self.gpu.check()?;
        if frame.mapping.lock().expect("no panic while mapping").failed {
            return Err(self.gpu.failure("a buffer could not be read back: the device is lost or reset"));
        }
        let parts = Parts::of(self, batch);
        let mapped = frame.readback.get_mapped_range(..parts.total() as u64);
        let mapped = mapped.map_err(|error| self.gpu.failure(format!("read-back: {error}")))?;
        let words: &[u32] = bytemuck::cast_slice(&mapped);
        let (answer, rest) = words.split_at(parts.answer / 4);
        let (logits, features) = rest.split_at(parts.logits / 4);
        self.judge(answer, frame.tensor.then_some(&frame.staging))?;
        let layout = self.plan.layout;
        let floats = |words: &[u32]| words.iter().map(|&word| f32::from_bits(word)).collect::<Vec<f32>>();
        let vectors = |words: &[u32], id: Option<usize>| {
            let Some(c) = id.map(|id| self.plan.place(id).shape.c) else { return Vec::new() };
            let rows = words.chunks_exact(c.next_multiple_of(4));
            rows.flat_map(|row| floats(&row[..c])).collect()
        };
        let mut probabilities = Vec::new();
        let mut top = Vec::new();
        for one in answer.chunks_exact(layout.words()) {
            let softmax = match layout.probabilities {
                true => floats(&one[layout.probabilities_at()..][..layout.classes]),
                false => Vec::new(),
            };
            let pairs = one[layout.top_at()..].chunks_exact(2);
            let best =
                pairs.map(|pair| Top { index: pair[0] as usize, probability: f32::from_bits(pair[1]) });
            top.push(match layout.top < self.outputs.top_k.min(layout.classes) {
                true => top_k(&softmax, &softmax, self.outputs.top_k),
                false => best.collect(),
            });
            if self.outputs.probabilities {
                probabilities.extend(softmax);
            }
        }
        Ok(Answer {
            batch,
            logits: vectors(logits, self.plan.logits),
            probabilities,
            features: vectors(features, Some(self.plan.features)),
            top,
        })
    }

    /// Reads the health words: what cannot be an answer is the device's failure, or that of a tensor put in.
    fn judge(&self, answer: &[u32], tensor: Option<&Vec<u8>>) -> Result<()> {
        let input = self.plan.place(0);
        for (picture, words) in answer.chunks_exact(self.plan.layout.words()).enumerate() {
            let (broken, largest) = (words[0], f32::from_bits(words[1]));
            if broken == 0 && largest > 0.0 {
                continue;
            }
            let one = tensor.map_or(&[][..], |tensor| &tensor[picture * input.bytes()..][..input.bytes()]);
            if !is_finite(one, input.dtype) {
                let dtype = input.dtype;
                let reason = format!("picture {picture} has values that are not finite in {dtype}");
                return Err(Error::Input(reason));
            }
            let what = match broken {
                0 => "all features are zero".to_string(),
                count => format!("{count} values of the answer are not finite"),
            };
            return Err(self.gpu.failure(format!(
                "picture {picture}: {what}, though its input is sound; \
                 try `mobileone verify`, --dtype f32, or --device cpu"
            )));
        }
        Ok(())
    }
}

/// An inference in flight on a GPU. Dropped, it gives its frame back and its answer up.
pub struct Ticket {
    engine: Arc<Engine>,
    frame: Option<Frame>,
    batch: usize,
    submission: wgpu::SubmissionIndex,
}

impl Ticket {
    /// The answer if it has come; `None` if it has not. Never waits.
    ///
    /// # Errors
    /// [`Error::DeviceFailure`], or [`Error::Input`] for values that are not finite.
    pub fn try_take(&mut self) -> Result<Option<Answer>> {
        let polled = self.gpu().device.poll(wgpu::PollType::Poll);
        polled.map_err(|error| self.gpu().failure(error.to_string()))?;
        let Some(frame) = &self.frame else {
            return Err(Error::Input("the answer of this ticket was taken already".into()));
        };
        if !frame.is_settled() {
            return self.gpu().check().map(|()| None);
        }
        let answer = self.engine.read(frame, self.batch);
        self.release();
        answer.map(Some)
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// As [`Ticket::try_take`].
    pub fn wait(mut self) -> Result<Answer> {
        let submission_index = Some(self.submission.clone());
        let poll = wgpu::PollType::Wait { submission_index, timeout: Some(PATIENCE) };
        if let Err(error) = self.gpu().device.poll(poll) {
            let reason = format!("no answer within {} s: {error}", PATIENCE.as_secs());
            return Err(self.gpu().fail(reason));
        }
        match self.try_take()? {
            Some(answer) => Ok(answer),
            None => Err(self.gpu().fail("the work ended but its buffers did not come back")),
        }
    }

    fn gpu(&self) -> &Gpu {
        &self.engine.gpu
    }

    fn release(&mut self) {
        if let Some(frame) = self.frame.take() {
            self.engine.frames.lock().expect("no panic while frames are kept").push(frame);
        }
    }
}

impl Future for Ticket {
    type Output = Result<Answer>;

    /// Polls the device itself: no executor of a certain kind and no hidden thread are needed.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<Result<Answer>> {
        match self.try_take().transpose() {
            Some(answer) => Poll::Ready(answer),
            None => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.release();
    }
}
