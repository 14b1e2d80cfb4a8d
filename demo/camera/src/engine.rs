//! The thread on which frames become labels: take the newest frame, upload it once, preprocess and run the
//! network from that texture, and collect the answers of the frames in flight.

use crate::{
    figures::{Figures, Sample},
    frame::{Format, Frame, Slot, Truth},
    gpu::Gpu,
    load::FRAMES,
    plate::{Plate, Plates},
};
use mobileone::{
    Input, PixelTexture, Pixels, Preprocess, Session, Ticket, Top,
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

/// A model ready to run.
pub struct Engine {
    /// The session.
    pub session: Session,
    /// Whether it runs on the CPU executor, from the frame's bytes.
    pub cpu: bool,
    /// The names of its classes.
    pub labels: Arc<Labels>,
    /// What the model was asked for as.
    pub name: Arc<str>,
    /// The device, for people.
    pub device: Arc<str>,
    /// Whether it computes in f16.
    pub half: bool,
    /// How pictures become inputs.
    pub preprocess: Preprocess,
}

/// A frame, and its labels where there is a model.
#[derive(Clone)]
pub struct Shown {
    /// The frame's id.
    pub id: u64,
    /// Its texture.
    pub plate: Arc<Plate>,
    /// What it shows, if that is known.
    pub truth: Option<Truth>,
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
}

impl Worker {
    /// Starts the thread, with figures that go on.
    pub fn start(place: Place, figures: Figures, frozen: bool) -> Worker {
        let shared = Arc::new(Shared {
            next: Mutex::default(),
            shown: Mutex::default(),
            figures: Mutex::new(figures),
            frozen: AtomicBool::new(frozen),
            stop: AtomicBool::default(),
        });
        let own = shared.clone();
        let thread = thread::Builder::new().name("engine".into()).spawn(move || work(&place, &own)).ok();
        Worker { shared, thread }
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
    captured: Instant,
    submitted: Instant,
    host: Duration,
}

fn work(place: &Place, shared: &Shared) {
    let mut plates = Plates::new(&place.gpu.device);
    let mut engine: Option<Engine> = None;
    let mut flights: VecDeque<Flight> = VecDeque::with_capacity(FRAMES);
    while !shared.stop.load(Ordering::Acquire) && !place.gpu.is_lost() {
        if let Some(next) = shared.next.lock().expect("no panic while a model changes hands").take() {
            // Frames in flight are given up; newer ones follow at once.
            flights.clear();
            engine = Some(next);
        }
        place.gpu.device.poll(wgpu::PollType::Poll).ok();
        if let Some(running) = &engine
            && let Err(reason) = collect(&mut flights, running, place, shared)
        {
            flights.clear();
            engine = None;
            if !place.gpu.turns_out_lost() {
                (place.tell)(format!("{reason}. Choose a model or a device to go on."));
            }
        }
        if flights.len() == FRAMES || shared.frozen.load(Ordering::Acquire) {
            thread::sleep(Duration::from_micros(200));
            continue;
        }
        let patience =
            if flights.is_empty() { Duration::from_millis(10) } else { Duration::from_micros(200) };
        let Some(frame) = place.slot.take(patience) else { continue };
        let begun = Instant::now();
        match send(&frame, engine.as_ref(), place, &mut plates) {
            Ok(Some((plate, ticket))) => {
                let (id, truth, captured) = (frame.id, frame.truth, frame.captured);
                match ticket {
                    Some((ticket, submitted)) => {
                        let host = begun.elapsed();
                        flights.push_back(Flight { ticket, plate, id, truth, captured, submitted, host });
                    }
                    None => show(Shown { id, plate, truth, answer: None }, place, shared),
                }
            }
            Ok(None) => shared.figures.lock().expect("no panic while figures are kept").dropped += 1,
            Err(_) if place.gpu.turns_out_lost() => {}
            Err(reason) => (place.tell)(reason),
        }
        place.slot.give_back(frame.bytes);
    }
}

/// Uploads a frame and submits it, at the moment that is given with its ticket; `None` when it has to be dropped because everything is in use.
fn send(
    frame: &Frame,
    engine: Option<&Engine>,
    place: &Place,
    plates: &mut Plates,
) -> Result<Option<(Arc<Plate>, Option<(Ticket, Instant)>)>, String> {
    let (width, height) = frame.size;
    let most = place.gpu.device.limits().max_texture_dimension_2d as usize;
    if !(1..=most).contains(&width)
        || !(1..=most).contains(&height)
        || frame.bytes.len() != frame.format.bytes(frame.size)
    {
        return Err(format!(
            "A frame of {width}x{height} was dropped: the device takes 1 to {most} pixels per side."
        ));
    }
    let Some(plate) = plates.take(&place.gpu.queue, frame.size, frame.format) else { return Ok(None) };
    let mut encoder = place.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    plates.record(&mut encoder, &plate, frame)?;
    let begun = Instant::now();
    let ticket = match engine {
        // A frame from before the CPU executor came in is not RGBA yet: it goes by without a label.
        Some(engine) if engine.cpu && frame.format != Format::Rgba => None,
        Some(engine) if engine.cpu => Some(engine.session.submit(Input::Pixels(Pixels {
            bytes: &frame.bytes,
            size: frame.size,
            stride: 4 * width,
            format: PixelFormat::Rgba8,
            crop: None,
            rotation: Rotation::None,
        }))),
        Some(engine) => {
            let texture = PixelTexture { texture: &plate.texture, crop: None, rotation: Rotation::None };
            Some(engine.session.encode(&mut encoder, Input::Texture(texture)))
        }
        None => None,
    };
    place.gpu.queue.submit([encoder.finish()]);
    plate.submitted();
    match ticket {
        None => Ok(Some((plate, None))),
        Some(Ok(ticket)) => Ok(Some((plate, Some((ticket, begun))))),
        Some(Err(mobileone::Error::Busy)) => Ok(None),
        Some(Err(error)) => Err(format!("A frame was dropped: {error}.")),
    }
}

/// Takes the answers that have come, in the order of their frames.
fn collect(
    flights: &mut VecDeque<Flight>,
    engine: &Engine,
    place: &Place,
    shared: &Shared,
) -> Result<(), String> {
    while let Some(first) = flights.front_mut() {
        let Some(mut answer) = first.ticket.try_take().map_err(|error| error.to_string())? else { break };
        let (answered, Some(flight)) = (Instant::now(), flights.pop_front()) else { break };
        let top = answer.top.pop().unwrap_or_default();
        let judged = flight.truth.map(|truth| {
            let right = top.first().is_some_and(|best| truth.accepts(engine.labels.name(best.index)));
            (right, truth.ink > 0.1 && truth.ink < 0.5)
        });
        let sample = Sample {
            answered,
            latency: answered.duration_since(flight.captured).as_secs_f32(),
            engine: answered.duration_since(flight.submitted).as_secs_f32(),
            host: flight.host.as_secs_f32(),
        };
        shared.figures.lock().expect("no panic while figures are kept").add(flight.id, sample, judged);
        let crop = crop(&engine.preprocess, flight.plate.size);
        let answer = Some(Answer { top, labels: engine.labels.clone(), crop, answered });
        show(Shown { id: flight.id, plate: flight.plate, truth: flight.truth, answer }, place, shared);
    }
    Ok(())
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
