//! Everything between the source and the picture on the screen, the same with a window and without.

mod device;
mod loads;

use crate::{
    engine::{Place, Shown, Worker},
    figures::Figures,
    frame::{Colour, Slot},
    gpu::Gpu,
    load::{Engine, Loaded, Progress, Tables},
    paint::Painter,
    source::{Capture, Source, Stage},
};
use mobileone::{DeviceInfo, checkpoint::Reading, tune::Tuned};
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What can be switched.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The model: `digits`, a file, or a hub id.
    pub model: String,
    /// How a file of weights is read where it leaves that open, and the model that is meant.
    pub reading: (String, Reading),
    /// The device: `auto`, `cpu`, `software`, a backend, or a part of a name.
    pub device: String,
    /// Whether to compute in f16.
    pub half: bool,
    /// What to look at.
    pub source: Source,
    /// Frames per second of what has no pace of its own; 0 for as many as are taken.
    pub rate: f64,
    /// Whether that rate is the scene's time only, and frames come as they are taken.
    pub unpaced: bool,
    /// How cameras and videos made their luma and chroma, whatever they say.
    pub yuv: Option<Colour>,
    /// Frames whose figures are kept.
    pub keep: usize,
    /// How long a model may be tuned.
    pub tuning: Duration,
    /// Where is kept what was tuned on a device, if anywhere.
    pub place: Option<fn(&DeviceInfo) -> Option<PathBuf>>,
    /// Where a test wants to see what happens meanwhile: the file for which each opening of a device and each load of a
    /// model waits, and which it takes away.
    pub gate: Option<PathBuf>,
}

/// Waits at a test's gate, if there is one, unless what comes after is not wanted any more.
pub fn wait_at(gate: Option<&Path>, unwanted: impl Fn() -> bool) {
    let Some(gate) = gate else { return };
    while !unwanted() && std::fs::remove_file(gate).is_err() {
        thread::sleep(Duration::from_millis(5));
    }
}

/// How long a line for people stays.
const LINE_STAYS: Duration = Duration::from_secs(8);
/// Lines kept, the newest last.
const LINES: usize = 4;

/// What runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// The model, as it was asked for.
    pub model: Arc<str>,
    /// The device, for people.
    pub on: Arc<str>,
    /// Whether in f16.
    pub half: bool,
    /// Whether it rests, for it is tuned.
    pub tuning: bool,
    /// The device, as it was asked for.
    device: String,
    loaded: Arc<Loaded>,
    load: u64,
}

enum Event {
    Line(String),
    Opened(u64, Box<device::Opened>),
    GivenUp(u64, String),
    Progress(u64, Progress),
    Model(Arc<Loaded>),
    Engine(u64, Box<Engine>),
    Failed(u64, String),
    Tuned(u64, Result<(Tuned, Option<String>), String>),
}

/// The running whole.
pub struct Live {
    /// The device that draws.
    pub gpu: Arc<Gpu>,
    /// What is set.
    pub settings: Settings,
    /// What runs, once something does.
    pub running: Option<Running>,
    /// Where the load stands that is under way.
    pub progress: Option<Progress>,
    /// Lines for people, and when they came.
    pub lines: VecDeque<(Instant, String)>,
    /// How often a lost device was opened anew.
    pub recovered: u64,
    /// The names of the adapters that can be chosen, each once.
    pub adapters: Vec<String>,
    /// What draws the window on a device that was opened since, until the window takes it.
    pub painter: Option<Painter>,
    /// What is drawn to, if there is a window.
    pub surface: Option<Arc<wgpu::Surface<'static>>>,
    instance: wgpu::Instance,
    /// Which opening of a device is under way; its number, and how many began.
    opening: Option<u64>,
    openings: u64,
    opened: Instant,
    /// How long to wait before a device is opened that was lost as soon as it was there.
    pause: Duration,
    /// Threads that work on a device, and end by themselves.
    threads: Vec<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
    slot: Arc<Slot>,
    rgba: Arc<AtomicBool>,
    capture: Option<Capture>,
    worker: Option<Worker>,
    figures: Figures,
    loaded: Option<Arc<Loaded>>,
    tables: Arc<Tables>,
    load: u64,
    /// Held by every load under way.
    loads: Arc<()>,
    /// The number of the newest load, for those that it replaces.
    newest: Arc<AtomicU64>,
    /// Held while a load works on the device; what it guards is whether none may begin any more.
    compiling: Arc<Mutex<bool>>,
    wake: Arc<dyn Fn() + Send + Sync>,
    events: Receiver<Event>,
    sender: Sender<Event>,
}

impl Live {
    /// Opens the device and starts source and model, without a window. `wake` is called, from any thread, when there
    /// is something to look at.
    ///
    /// # Errors
    /// A line when no device can be opened.
    pub fn start(
        instance: wgpu::Instance,
        settings: Settings,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Live, String> {
        let gpu = Gpu::open(&instance, None, &settings.device, wake.clone())?;
        Ok(Live::with(gpu, instance, None, settings, wake))
    }

    /// The same on a device that is open, without waiting for anything.
    pub fn with(
        gpu: Gpu,
        instance: wgpu::Instance,
        surface: Option<Arc<wgpu::Surface<'static>>>,
        settings: Settings,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Live {
        let (sender, events) = channel();
        let mut live = Live {
            adapters: device::names(&gpu),
            gpu: Arc::new(gpu),
            painter: None,
            running: None,
            progress: None,
            lines: VecDeque::new(),
            recovered: 0,
            surface,
            instance,
            opening: None,
            openings: 0,
            opened: Instant::now(),
            pause: Duration::ZERO,
            threads: Vec::new(),
            ended: Arc::default(),
            slot: Arc::default(),
            rgba: Arc::default(),
            capture: None,
            worker: None,
            figures: Figures::new(settings.keep),
            loaded: None,
            tables: Arc::new(Tables::kept(settings.place)),
            load: 0,
            loads: Arc::default(),
            newest: Arc::default(),
            compiling: Arc::default(),
            wake,
            events,
            sender,
            settings,
        };
        live.start_worker();
        live.load();
        live.set_source(live.settings.source.clone());
        live
    }

    /// Sends an event and has it looked at.
    fn teller(&self) -> impl Fn(Event) + Send + Sync + Clone + use<> {
        let (sender, wake) = (self.sender.clone(), self.wake.clone());
        move |event| {
            sender.send(event).ok();
            wake();
        }
    }

    fn start_worker(&mut self) {
        let (tell, give_up) = (self.teller(), self.teller());
        let place = Place {
            gpu: self.gpu.clone(),
            slot: self.slot.clone(),
            wake: self.wake.clone(),
            tell: Arc::new(move |line| tell(Event::Line(line))),
            give_up: Arc::new(move |load, reason| give_up(Event::GivenUp(load, reason))),
        };
        let frozen = self.is_frozen();
        if let Some(worker) = self.worker.take() {
            self.figures = worker.shared().figures.lock().expect("no panic while figures are kept").clone();
            self.threads.retain(|thread| !thread.is_finished());
            self.threads.extend(worker.retire());
        }
        self.worker = Some(Worker::start(place, self.figures.clone(), frozen));
    }

    /// Takes what the threads have to say, and opens a lost device anew. Whether the device is another one now:
    /// then all that was made on it has to be made again.
    ///
    /// # Errors
    /// A line when the device is lost and no other can be opened.
    pub fn tick(&mut self) -> Result<bool, String> {
        let mut another = false;
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Line(line) => self.say(line),
                Event::Model(loaded) => self.loaded = Some(loaded),
                Event::Progress(load, progress) if load == self.load => self.progress = Some(progress),
                Event::Engine(load, engine) if load == self.load => {
                    self.progress = None;
                    self.settings.half = engine.half;
                    self.rgba.store(engine.cpu, Ordering::Release);
                    self.running = Some(Running {
                        model: engine.name.clone(),
                        on: engine.device.clone(),
                        half: engine.half,
                        tuning: false,
                        device: engine.wanted.clone(),
                        loaded: engine.loaded.clone(),
                        load,
                    });
                    if let Some(worker) = &self.worker {
                        worker.run(*engine);
                    }
                }
                Event::Failed(load, reason) if load == self.load && !self.gpu.is_lost() => {
                    self.go_on(&reason)
                }
                Event::Tuned(load, found) if load == self.load => self.tuned(found),
                Event::GivenUp(load, reason) => {
                    if self.running.as_ref().is_some_and(|running| running.load == load) {
                        self.running = None;
                        self.say(format!("{reason}. Choose a model or a device to go on."));
                    }
                }
                Event::Opened(number, opened) if self.opening == Some(number) => {
                    self.opening = None;
                    match opened.gpu {
                        Ok((gpu, painter, refused)) => {
                            self.replace(gpu, opened.lost, refused);
                            self.painter = painter;
                            another = true;
                        }
                        Err(reason) if opened.lost => return Err(reason),
                        Err(reason) => self.go_on(&reason),
                    }
                }
                Event::Progress(..)
                | Event::Engine(..)
                | Event::Failed(..)
                | Event::Tuned(..)
                | Event::Opened(..) => {}
            }
        }
        if self.gpu.is_lost() {
            if self.opening.is_none() {
                self.open();
            }
        } else if let Some(fault) = self.gpu.take_fault() {
            self.say(format!("The device says: {}", fault.lines().next().unwrap_or_default()));
        }
        self.expire();
        Ok(another)
    }

    /// What runs goes on, and is what is set again.
    fn go_on(&mut self, reason: &str) {
        self.progress = None;
        let goes_on = self.running.as_ref().map_or(String::new(), |running| {
            self.settings.model = running.model.to_string();
            self.settings.device = running.device.clone();
            self.settings.half = running.half;
            format!(" {} goes on.", running.model)
        });
        self.say(format!("{reason}.{goes_on}"));
    }

    /// Takes away the lines that have been there for long.
    pub fn expire(&mut self) {
        let now = Instant::now();
        self.lines.retain(|(came, _)| now.duration_since(*came) < LINE_STAYS);
    }

    /// Puts up a line for people.
    pub fn say(&mut self, line: String) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back((Instant::now(), line));
    }

    /// The newest frame that can be shown.
    pub fn shown(&self) -> Option<Shown> {
        self.worker.as_ref()?.shown()
    }

    /// What is measured.
    pub fn figures<T>(&self, read: impl FnOnce(&Figures) -> T) -> T {
        match &self.worker {
            Some(worker) => read(&worker.shared().figures.lock().expect("no panic while figures are kept")),
            None => read(&self.figures),
        }
    }

    /// Frames that sources put into the slot, and those of them that a newer one replaced.
    pub fn counts(&self) -> (u64, u64) {
        self.slot.counts()
    }

    /// Whether frames are left alone.
    pub fn is_frozen(&self) -> bool {
        self.worker.as_ref().is_some_and(|worker| worker.shared().frozen.load(Ordering::Acquire))
    }

    /// Freezes the picture, or lets it go.
    pub fn set_frozen(&mut self, frozen: bool) {
        if let Some(worker) = &self.worker {
            worker.shared().frozen.store(frozen, Ordering::Release);
        }
    }

    /// Looks at something else.
    pub fn set_source(&mut self, source: Source) {
        let tell = self.teller();
        let tell = Arc::new(move |line| tell(Event::Line(line)));
        let Settings { rate, unpaced, yuv, .. } = self.settings;
        let mut stage = Stage::new(self.slot.clone(), self.rgba.clone(), rate, yuv, tell);
        stage.unpaced = unpaced;
        self.settings.source = source.clone();
        self.capture = Some(Capture::start(source, stage, self.capture.take()));
    }

    /// Goes on by so many pictures of a folder, or back, to one that stays; a frozen picture is let go.
    pub fn leaf(&mut self, by: isize) {
        self.set_frozen(false);
        self.capture.iter().for_each(|capture| capture.leaf(by));
    }

    /// Whether a folder's pictures follow each other by themselves.
    pub fn plays(&self) -> bool {
        self.capture.as_ref().is_some_and(Capture::plays)
    }

    /// Has a folder's pictures follow each other by themselves, or the present one stay.
    pub fn set_plays(&mut self, plays: bool) {
        self.capture.iter().for_each(|capture| capture.set_plays(plays));
    }

    /// Loads under way, those that are not wanted any more included.
    pub fn loads(&self) -> usize {
        Arc::strong_count(&self.loads) - 1
    }

    /// Runs another model, once it is loaded.
    pub fn set_model(&mut self, model: String) {
        self.settings.model = model;
        self.load();
    }

    /// Drops on a thread what may have to wait for its device.
    pub fn discard(&mut self, what: impl Send + 'static) {
        self.threads.retain(|thread| !thread.is_finished());
        self.threads.extend(thread::Builder::new().name("discard".into()).spawn(|| drop(what)));
    }

    /// Computes in f16, or in f32.
    pub fn set_half(&mut self, half: bool) {
        self.settings.half = half;
        self.load();
    }
}

impl Drop for Live {
    /// Waits for what works on a device: drivers do not survive the end of the program under it.
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.supersede();
        if let Ok(mut ended) = self.compiling.lock() {
            *ended = true;
        }
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}
