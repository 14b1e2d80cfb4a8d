//! The thread on which frames become labels: take the newest frame, upload it once, preprocess and run the
//! network from that texture, and collect the answers of the frames in flight.

use crate::{
    convert,
    figures::{Figures, Sample},
    frame::{Caption, Format, Frame, Slot, Truth},
    gpu::Gpu,
    load::{Engine, FRAMES},
    plain::plain,
    plate::{Plate, Plates},
};
use mobileone::{
    Input, PixelTexture, Pixels, Preprocess, Ticket, Top,
    labels::Labels,
    preprocess::{PixelFormat, Rotation},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A frame, and its labels where there is a model.
#[derive(Clone)]
pub struct Shown {
    /// The frame's id.
    pub id: u64,
    /// Its texture.
    pub plate: Arc<Plate>,
    /// What it shows, if that is known.
    pub truth: Option<Truth>,
    /// What people read beside it.
    pub caption: Option<Arc<Caption>>,
    /// What the network says.
    pub answer: Option<Answer>,
}

/// What the network says of a frame.
#[derive(Clone)]
pub struct Answer {
    /// The best classes, best first.
    pub top: Vec<Top>,
    /// The names of all classes.
    pub labels: Arc<Labels>,
    /// The part of the frame that the network saw: left, top, right and bottom, as shares of the frame.
    pub crop: [f32; 4],
    /// When it came.
    pub answered: Instant,
}

/// What the thread and the others share.
pub struct Shared {
    next: Mutex<Option<Engine>>,
    shown: Mutex<Option<Shown>>,
    /// What is measured.
    pub figures: Mutex<Figures>,
    /// Whether frames are left alone.
    pub frozen: AtomicBool,
    /// Whether the model is left alone: frames are shown without labels.
    pub paused: AtomicBool,
    stop: AtomicBool,
}

/// The thread. Dropped, it ends, and is waited for.
pub struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread works with.
pub struct Place {
    /// The device.
    pub gpu: Arc<Gpu>,
    /// Where frames come from.
    pub slot: Arc<Slot>,
    /// Told of every frame that can be shown.
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// Lines for people.
    pub tell: Arc<dyn Fn(String) + Send + Sync>,
    /// Told when the model of a load is given up, and why.
    pub give_up: Arc<dyn Fn(u64, String) + Send + Sync>,
}

impl Worker {
    /// Starts the thread, with figures that go on.
    pub fn start(place: Place, figures: Figures, frozen: bool) -> Worker {
        let shared = Arc::new(Shared {
            next: Mutex::default(),
            shown: Mutex::default(),
            figures: Mutex::new(figures),
            frozen: AtomicBool::new(frozen),
            paused: AtomicBool::default(),
            stop: AtomicBool::default(),
        });
        let own = shared.clone();
        let thread = thread::Builder::new().name("engine".into()).spawn(move || work(&place, &own)).ok();
        Worker { shared, thread }
    }

    /// Has it end, and gives it to whoever waits for that: it may have to wait for the device.
    pub fn retire(mut self) -> Option<JoinHandle<()>> {
        self.shared.stop.store(true, Ordering::Release);
        self.thread.take()
    }

    /// What is shared with it.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Gives it another model to run.
    pub fn run(&self, engine: Engine) {
        *self.shared.next.lock().expect("no panic while a model changes hands") = Some(engine);
    }

    /// The newest frame that can be shown.
    pub fn shown(&self) -> Option<Shown> {
        self.shared.shown.lock().expect("no panic while a frame is shown").clone()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// A frame whose label has not come.
struct Flight {
    ticket: Ticket,
    plate: Arc<Plate>,
    id: u64,
    truth: Option<Truth>,
    caption: Option<Arc<Caption>>,
    captured: Instant,
    submitted: Instant,
    host: Duration,
}

/// Frames in a row that may fail before the model is given up.
const FAILURES: usize = 30;

/// What went wrong since a label came.
#[derive(Default)]
struct Trouble {
    count: usize,
    reason: String,
    last: Option<Instant>,
    /// What people were told of last: the same is not told again.
    told: String,
}

impl Trouble {
    /// Keeps a failure. It is told of once the device works again, for a loss is told of by others.
    fn keep(&mut self, reason: String) {
        self.count += 1;
        self.reason = reason;
        self.last = Some(Instant::now());
    }

    /// A label has come of a frame that was submitted then: if after the failures, they are over.
    fn end(&mut self, submitted: Instant, place: &Place) {
        if self.last.is_some_and(|last| submitted > last) {
            (self.count, self.last) = (0, None);
            self.tell(format!("A frame has no label: {}.", self.reason), place);
        }
    }

    fn tell(&mut self, line: String, place: &Place) {
        if self.told != line {
            (place.tell)(line.clone());
            self.told = line;
        }
    }
}

/// What became of a frame that was sent.
enum Sent {
    /// Its label will come.
    Flight(Flight),
    /// It has none, for no model runs, or for a reason.
    Plain(Arc<Plate>, Option<String>),
    /// It was dropped, for everything is in use.
    Full,
}

fn work(place: &Place, shared: &Shared) {
    let mut plates = Plates::new(&place.gpu.device);
    let mut engine: Option<Engine> = None;
    let mut flights: VecDeque<Flight> = VecDeque::with_capacity(FRAMES);
    let mut trouble = Trouble::default();
    let (mut rgba, mut before) = (Vec::new(), Instant::now());
    while !shared.stop.load(Ordering::Acquire) && !place.gpu.is_lost() {
        if let Some(next) = shared.next.lock().expect("no panic while a model changes hands").take() {
            // Frames in flight are given up; newer ones follow at once.
            flights.clear();
            engine = Some(next);
            trouble = Trouble::default();
        }
        place.gpu.device.poll(wgpu::PollType::Poll).ok();
        if let Some(running) = &engine {
            collect(&mut flights, running, place, shared, &mut trouble, &mut before);
            if trouble.count >= FAILURES {
                if !place.gpu.turns_out_lost(&shared.stop) {
                    (place.give_up)(running.load, trouble.reason.clone());
                }
                flights.clear();
                engine = None;
                trouble = Trouble::default();
            }
        }
        let running = engine.as_ref().filter(|_| !shared.paused.load(Ordering::Acquire));
        let frozen = shared.frozen.load(Ordering::Acquire) && settled(shared, running.is_some());
        if flights.len() == FRAMES || frozen {
            let idle = flights.is_empty();
            thread::sleep(if idle { Duration::from_millis(10) } else { Duration::from_micros(200) });
            continue;
        }
        let patience =
            if flights.is_empty() { Duration::from_millis(10) } else { Duration::from_micros(200) };
        let Some(frame) = place.slot.take(patience) else { continue };
        match send(&frame, running, place, &mut plates, &mut rgba) {
            Ok(Sent::Flight(flight)) => flights.push_back(flight),
            Ok(Sent::Plain(plate, reason)) => {
                reason.into_iter().for_each(|reason| trouble.keep(reason));
                let Frame { id, truth, ref caption, .. } = frame;
                show(Shown { id, plate, truth, caption: caption.clone(), answer: None }, place, shared);
            }
            Ok(Sent::Full) => shared.figures.lock().expect("no panic while figures are kept").dropped += 1,
            Err(reason) => trouble.tell(reason, place),
        }
        place.slot.give_back(frame.bytes);
    }
}

/// Whether what is shown can stand still: it is there, and has its label where a model runs.
fn settled(shared: &Shared, runs: bool) -> bool {
    let shown = shared.shown.lock().expect("no panic while a frame is shown");
    shown.as_ref().is_some_and(|shown| shown.answer.is_some() || !runs)
}

/// Uploads a frame and submits it; `rgba` is room for its pixels where the CPU executor wants them otherwise.
///
/// # Errors
/// A line when it is no frame that this device can show.
fn send(
    frame: &Frame,
    engine: Option<&Engine>,
    place: &Place,
    plates: &mut Plates,
    rgba: &mut Vec<u8>,
) -> Result<Sent, String> {
    let (width, height) = frame.size;
    let most = place.gpu.device.limits().max_texture_dimension_2d as usize;
    let (found, needed) = (frame.bytes.len(), frame.format.bytes(frame.size));
    if !(1..=most).contains(&width) || !(1..=most).contains(&height) || found != needed {
        return Err(format!(
            "A frame of {width}x{height} was dropped: the device takes 1 to {most} pixels per side, and this \
             layout {needed} bytes (found {found})."
        ));
    }
    let begun = Instant::now();
    let Some(plate) = plates.take(&place.gpu.queue, frame.size, frame.format) else { return Ok(Sent::Full) };
    let mut encoder = place.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    if let Err(reason) = plates.record(&mut encoder, &plate, frame) {
        // Nothing reads this plate: the next frame takes another, if the device is there at all.
        return Ok(Sent::Plain(plate, Some(reason)));
    }
    let mut submitted = Instant::now();
    let ticket = match engine {
        Some(engine) if engine.cpu => {
            // From before the CPU executor came in: the source does this from now on.
            let bytes = if frame.format == Format::Rgba {
                &frame.bytes
            } else {
                convert::to_rgba(&frame.bytes, frame.size, frame.format, rgba);
                rgba
            };
            Some(engine.session.submit(Input::Pixels(Pixels {
                bytes,
                size: frame.size,
                stride: 4 * width,
                format: PixelFormat::Rgba8,
                crop: None,
                rotation: Rotation::None,
            })))
        }
        Some(engine) => {
            let texture = PixelTexture { texture: &plate.texture, crop: None, rotation: Rotation::None };
            Some(engine.session.encode(&mut encoder, Input::Texture(texture)))
        }
        None => None,
    };
    place.gpu.queue.submit([encoder.finish()]);
    plate.submitted();
    if engine.is_some_and(|engine| !engine.cpu) {
        submitted = Instant::now();
    }
    match ticket {
        None => Ok(Sent::Plain(plate, None)),
        Some(Ok(ticket)) => {
            let Frame { id, truth, captured, ref caption, .. } = *frame;
            let (caption, host) = (caption.clone(), begun.elapsed());
            Ok(Sent::Flight(Flight { ticket, plate, id, truth, caption, captured, submitted, host }))
        }
        Some(Err(mobileone::Error::Busy)) => Ok(Sent::Full),
        Some(Err(error)) => Ok(Sent::Plain(plate, Some(plain(error)))),
    }
}

/// Takes the answers that have come, in the order of their frames; `before` is when the last one came.
fn collect(
    flights: &mut VecDeque<Flight>,
    engine: &Engine,
    place: &Place,
    shared: &Shared,
    trouble: &mut Trouble,
    before: &mut Instant,
) {
    while let Some(first) = flights.front_mut() {
        let taken = match first.ticket.try_take() {
            Ok(None) => break,
            Ok(Some(answer)) => Ok(answer),
            Err(error) => Err(plain(error)),
        };
        let (answered, Some(flight)) = (Instant::now(), flights.pop_front()) else { break };
        let Flight { id, plate, truth, caption, .. } = flight;
        let mut answer = match taken {
            Ok(answer) => answer,
            Err(reason) => {
                trouble.keep(reason);
                show(Shown { id, plate, truth, caption, answer: None }, place, shared);
                continue;
            }
        };
        trouble.end(flight.submitted, place);
        let top = answer.top.pop().unwrap_or_default();
        let judged = truth.map(|truth| {
            let right = top.first().is_some_and(|best| truth.accepts(engine.labels.name(best.index)));
            (right, truth.ink > 0.1 && truth.ink < 0.5)
        });
        // A frame behind another one waits for it first.
        let began = flight.submitted.max(std::mem::replace(before, answered));
        let sample = Sample {
            answered,
            latency: answered.duration_since(flight.captured).as_secs_f32(),
            engine: answered.duration_since(began).as_secs_f32(),
            host: flight.host.as_secs_f32(),
        };
        shared.figures.lock().expect("no panic while figures are kept").add(id, sample, judged);
        let crop = crop(&engine.preprocess, plate.size);
        let answer = Some(Answer { top, labels: engine.labels.clone(), crop, answered });
        show(Shown { id, plate, truth, caption, answer }, place, shared);
    }
}

fn show(new: Shown, place: &Place, shared: &Shared) {
    let old = shared.shown.lock().expect("no panic while a frame is shown").replace(new);
    drop(old);
    (place.wake)();
}

/// The part of a frame that the network sees, as shares of its width and height.
fn crop(preprocess: &Preprocess, size: (usize, usize)) -> [f32; 4] {
    let Ok(geometry) = preprocess.geometry(size) else { return [0.0, 0.0, 1.0, 1.0] };
    let (w, h) = (geometry.resized.0 as f32, geometry.resized.1 as f32);
    let (left, top) = (geometry.offset.0 as f32, geometry.offset.1 as f32);
    let (right, bottom) = (left + preprocess.size.1 as f32, top + preprocess.size.0 as f32);
    [left / w, top / h, right / w, bottom / h].map(|share| share.clamp(0.0, 1.0))
}
