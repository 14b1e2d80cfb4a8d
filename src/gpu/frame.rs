//! One inference in flight: its upload and read-back buffers, and the commands that go between them.

use std::{
    sync::{Arc, Mutex, MutexGuard, atomic::Ordering},
    task::Waker,
};

use super::{
    Engine, Ticket,
    front::{Front, GRAIN},
    layout::pad,
    source::Source,
};
use crate::{
    error::{Error, Result},
    preprocess::{Passes, Pixels},
};

/// The buffers of one inference. It is free while it lies in [`Engine::frames`].
pub struct Frame {
    upload: wgpu::Buffer,
    pub(super) readback: wgpu::Buffer,
    /// A tensor as it was sent, for whoever asks whether its values were sound; empty for a picture, which is finite always.
    pub(super) staging: Vec<u8>,
    /// Stands behind what is staged, and comes back behind the outputs where the commands ran; no two runs share one.
    pub(super) stamp: u32,
    mapping: Arc<Mutex<Mapping>>,
}

/// What the device still has to give back to the host.
#[derive(Default)]
pub(super) struct Mapping {
    /// Buffers that have not come back.
    pub pending: u32,
    /// Whether one came back broken.
    pub failed: bool,
    /// Whether the commands went nowhere: their encoder was dropped.
    pub dropped: bool,
    readable: bool,
    /// Whoever waits for the answer.
    pub waker: Option<Waker>,
}

/// Called when a buffer comes back, or dropped when it will not.
struct Settle {
    mapping: Arc<Mutex<Mapping>>,
    came: bool,
}

impl Settle {
    fn call(mut self, mode: wgpu::MapMode, sound: bool) {
        let mut mapping = self.mapping.lock().expect("no panic while mapping");
        mapping.failed |= !sound;
        mapping.readable |= sound && mode == wgpu::MapMode::Read;
        drop(mapping);
        self.came = true;
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        let mut mapping = self.mapping.lock().expect("no panic while mapping");
        mapping.pending -= 1;
        mapping.dropped |= !self.came;
        let waker = if mapping.pending == 0 { mapping.waker.take() } else { None };
        drop(mapping);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// What goes to the device.
enum Upload<'a> {
    /// The tensor that is staged.
    Staged,
    /// A picture's passes, and its bytes where the host has them; written where they go.
    Picture(&'a Passes, &'a [u8]),
}

/// Bytes of a stamp.
pub(super) const STAMP: usize = 4;

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
        let input = engine.plan.place(0).bytes() * engine.batch + STAMP;
        let outputs = engine.readback_bytes(engine.batch) + STAMP;
        engine.gpu.scoped("frame buffers", || Frame {
            upload: buffer("upload", input, up, true),
            readback: buffer("read-back", outputs, down, false),
            staging: Vec::with_capacity(input),
            stamp: 0,
            mapping: Arc::default(),
        })
    }

    /// Bytes of its buffers.
    pub fn bytes(&self) -> u64 {
        self.upload.size() + self.readback.size()
    }

    /// Makes the upload buffer large enough for so many bytes and the stamp.
    fn reserve(&mut self, engine: &Engine, bytes: usize) -> Result<()> {
        let needed = (bytes + STAMP) as u64;
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

    pub(super) fn mapping(&self) -> MutexGuard<'_, Mapping> {
        self.mapping.lock().expect("no panic while mapping")
    }

    /// Whether the device has given back all that it had.
    fn settled(&self) -> bool {
        self.mapping().pending == 0
    }

    /// Asks for the buffers back: now, or when the encoder's commands are submitted.
    fn map(&self, buffers: &[(&wgpu::Buffer, wgpu::MapMode)], encoder: Option<&wgpu::CommandEncoder>) {
        *self.mapping() = Mapping { pending: buffers.len() as u32, ..Mapping::default() };
        for &(buffer, mode) in buffers {
            let settle = Settle { mapping: self.mapping.clone(), came: false };
            let settle = move |result: Result<(), _>| settle.call(mode, result.is_ok());
            match encoder {
                Some(encoder) => encoder.map_buffer_on_submit(buffer, mode, .., settle),
                None => buffer.map_async(mode, .., settle),
            }
        }
    }

    /// Both buffers, as they are mapped.
    fn both(&self) -> [(&wgpu::Buffer, wgpu::MapMode); 2] {
        [(&self.upload, wgpu::MapMode::Write), (&self.readback, wgpu::MapMode::Read)]
    }
}

impl Engine {
    /// Runs pictures `[n, h, w, c]`; returns at once. The commands go to `encoder`, whose owner submits it, or to
    /// the queue.
    ///
    /// # Errors
    /// [`Error::Busy`] when all frames are in flight; [`Error::DeviceFailure`].
    ///
    /// # Panics
    /// When `batch` is 0 or above [`Engine::batch`], or is not what `pictures` holds.
    pub fn run(
        self: &Arc<Engine>,
        encoder: Option<&mut wgpu::CommandEncoder>,
        pictures: &[f32],
        batch: usize,
    ) -> Result<Ticket> {
        assert!(batch >= 1 && batch <= self.batch, "the caller cuts batches");
        let place = self.plan.place(0);
        let mut frame = self.free_frame()?;
        frame.staging.clear();
        pad(pictures, place, &mut frame.staging);
        let bytes = frame.staging.len() as u64;
        let send = || {
            self.send(frame, encoder, batch, Upload::Staged, |encoder, upload| {
                encoder.copy_buffer_to_buffer(upload, 0, &self.slots[place.slot], 0, bytes);
                encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime()
            })
        };
        self.gpu.guarded(send)
    }

    /// Runs one picture in the host's memory, prepared on the device; returns at once. A picture larger than the
    /// device's largest binding is prepared on the host.
    ///
    /// # Errors
    /// As [`Engine::run`]; also those of [`Preprocess::run_into`](crate::Preprocess::run_into).
    pub fn run_pixels(
        self: &Arc<Engine>,
        encoder: Option<&mut wgpu::CommandEncoder>,
        pixels: &Pixels,
    ) -> Result<Ticket> {
        let source = Source::pixels(pixels)?;
        let passes = Passes::new(&self.preprocess, &source.view)?;
        let Some(frame) = self.staged(&passes, &source)? else {
            return self.run(encoder, self.preprocess.run(pixels)?.data(), 1);
        };
        self.gpu.guarded(|| self.send_picture(frame, encoder, &passes, &source))
    }

    /// Runs one picture that lies on the device; returns at once.
    ///
    /// # Errors
    /// [`Error::Busy`] when all frames are in flight; [`Error::Input`] for a picture that is larger than the
    /// device's buffers or than 64 MiB, or that is not there any more, or of another device;
    /// [`Error::DeviceFailure`].
    pub fn run_source(
        self: &Arc<Engine>,
        encoder: Option<&mut wgpu::CommandEncoder>,
        source: &Source,
    ) -> Result<Ticket> {
        let passes = Passes::new(&self.preprocess, &source.view)?;
        let Some(frame) = self.staged(&passes, source)? else {
            let (w, h) = source.view.size;
            return Err(Error::Input(format!("a picture of {w}x{h} is too large for this device; crop it")));
        };
        self.gpu.guarded(|| {
            let (sent, fault) = self.gpu.validated(|| self.send_picture(frame, encoder, &passes, source));
            match fault {
                // What is wrong with a picture of the caller's is no failure of the device.
                Some(reason) => Err(Error::Input(format!("the picture: {reason}"))),
                None => sent,
            }
        })
    }

    /// A free frame with a picture's uniforms, and the picture where the host has it; `None` where the front has no
    /// place for the picture.
    fn staged(&self, passes: &Passes, source: &Source) -> Result<Option<Frame>> {
        // Nothing is held while a frame is looked for: the device may call back whoever waits for other work.
        let mut frame = self.free_frame()?;
        frame.staging.clear();
        let fits = self.front().fits(self, passes, source);
        if let Ok(true) = fits {
            match frame.reserve(self, Front::upload(source.upload())) {
                Ok(()) => return Ok(Some(frame)),
                Err(error) => return self.give_back(frame, Err(error)),
            }
        }
        self.give_back(frame, fits.map(|_| None))
    }

    fn give_back<T>(&self, frame: Frame, done: Result<T>) -> Result<T> {
        self.frames.lock().expect("no panic while frames are kept").push(frame);
        done
    }

    fn front(&self) -> MutexGuard<'_, Front> {
        self.front.lock().expect("no panic while the front is kept")
    }

    fn send_picture(
        self: &Arc<Engine>,
        frame: Frame,
        encoder: Option<&mut wgpu::CommandEncoder>,
        passes: &Passes,
        source: &Source,
    ) -> Result<Ticket> {
        let what = Upload::Picture(passes, source.upload());
        self.send(frame, encoder, 1, what, |encoder, upload| {
            self.front().record(encoder, upload, passes, source)
        })
    }

    /// Writes what is to be uploaded, and records upload, passes and read-back; submits them where no encoder of the
    /// caller's takes them. `begin` records the copies from the upload buffer and opens the pass.
    fn send(
        self: &Arc<Engine>,
        mut frame: Frame,
        encoder: Option<&mut wgpu::CommandEncoder>,
        batch: usize,
        what: Upload,
        begin: impl FnOnce(&mut wgpu::CommandEncoder, &wgpu::Buffer) -> wgpu::ComputePass<'static>,
    ) -> Result<Ticket> {
        let bytes = match what {
            Upload::Staged => frame.staging.len(),
            Upload::Picture(_, picture) => Front::upload(picture),
        };
        let stamped = bytes as u64;
        frame.stamp = self.runs.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        {
            let mapped = frame.upload.get_mapped_range_mut(..stamped + STAMP as u64);
            let mut mapped = mapped.map_err(|error| self.gpu.failure(format!("upload: {error}")))?;
            match what {
                Upload::Staged => mapped.slice(..bytes).copy_from_slice(&frame.staging),
                Upload::Picture(passes, picture) => Front::write(passes, picture, &mut mapped),
            }
            mapped.slice(bytes..bytes + STAMP).copy_from_slice(&frame.stamp.to_le_bytes());
        }
        frame.upload.unmap();
        let record = |encoder: &mut wgpu::CommandEncoder| {
            let mut pass = begin(encoder, &frame.upload);
            self.record(&mut pass, batch);
            drop(pass);
            self.record_readback(encoder, &frame, (&frame.upload, stamped), batch);
        };
        let submission = match encoder {
            None => {
                let descriptor = wgpu::CommandEncoderDescriptor::default();
                let mut encoder = self.gpu.device.create_command_encoder(&descriptor);
                record(&mut encoder);
                let submission = self.gpu.queue.submit([encoder.finish()]);
                frame.map(&frame.both(), None);
                Some(submission)
            }
            Some(encoder) => {
                record(encoder);
                frame.map(&frame.both(), Some(encoder));
                None
            }
        };
        Ok(Ticket { engine: self.clone(), frame: Some(frame), batch, submission })
    }

    /// Whether all frames are in flight, on a device that has not failed.
    pub fn is_busy(&self) -> bool {
        self.gpu.check().and_then(|()| self.poll()).is_ok()
            && !self.frames.lock().expect("no panic while frames are kept").iter().any(Frame::settled)
    }

    /// Lets abandoned frames settle; does not wait.
    fn poll(&self) -> Result<wgpu::PollStatus> {
        let polled = self.gpu.device.poll(wgpu::PollType::Poll);
        polled.map_err(|error| self.gpu.failure(error.to_string()))
    }

    fn free_frame(&self) -> Result<Frame> {
        self.gpu.check()?;
        self.poll()?;
        let mut frames = self.frames.lock().expect("no panic while frames are kept");
        let at = frames.iter().position(Frame::settled).ok_or(Error::Busy)?;
        let frame = frames.swap_remove(at);
        drop(frames);
        let (readable, dropped) = {
            let mut mapping = frame.mapping();
            (std::mem::take(&mut mapping.readable), std::mem::take(&mut mapping.dropped))
        };
        if readable {
            self.gpu.guarded(|| {
                frame.readback.unmap();
                Ok(())
            })?;
        }
        if dropped {
            // No commands use it: it comes back at once, or with a later look.
            frame.map(&frame.both()[..1], None);
            self.poll()?;
            if !frame.settled() {
                self.frames.lock().expect("no panic while frames are kept").push(frame);
                return Err(Error::Busy);
            }
        }
        Ok(frame)
    }
}
