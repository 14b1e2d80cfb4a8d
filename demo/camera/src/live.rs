//! Everything between the source and the picture on the screen, the same with a window and without.

use crate::{
    engine::{Engine, Place, Shown, Worker},
    figures::Figures,
    frame::Slot,
    gpu::{self, Gpu},
    load::{self, Loaded, Progress},
    source::{Capture, Source, Stage},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// What can be switched.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The model: `digits`, a file, or a hub id.
    pub model: String,
    /// The device: `auto`, `cpu`, `software`, a backend, or a part of a name.
    pub device: String,
    /// Whether to compute in f16.
    pub half: bool,
    /// What to look at.
    pub source: Source,
    /// Frames per second of what has no pace of its own; 0 for as many as are taken.
    pub rate: f64,
    /// Frames whose figures are kept.
    pub keep: usize,
}

/// How long a line for people stays.
const LINE_STAYS: Duration = Duration::from_secs(8);
/// Lines kept, the newest last.
const LINES: usize = 4;

enum Event {
    Line(String),
    Progress(u64, Progress),
    Model(Arc<Loaded>),
    Engine(u64, Box<Engine>),
    Failed(u64, String),
}

/// The running whole.
pub struct Live {
    /// The device that draws.
    pub gpu: Arc<Gpu>,
    /// What is set.
    pub settings: Settings,
    /// What runs, once something does: the model, the device, and whether in f16.
    pub running: Option<(Arc<str>, Arc<str>, bool)>,
    /// Where the load stands that is under way.
    pub progress: Option<Progress>,
    /// Lines for people, and when they came.
    pub lines: VecDeque<(Instant, String)>,
    /// The adapters that can be chosen.
    pub adapters: Vec<String>,
    instance: wgpu::Instance,
    slot: Arc<Slot>,
    rgba: Arc<AtomicBool>,
    capture: Option<Capture>,
    worker: Option<Worker>,
    figures: Figures,
    loaded: Option<Arc<Loaded>>,
    load: u64,
    /// Held while a load works on the device; what it guards is whether none may begin any more.
    compiling: Arc<Mutex<bool>>,
    wake: Arc<dyn Fn() + Send + Sync>,
    events: Receiver<Event>,
    sender: Sender<Event>,
}

impl Live {
    /// Opens the device and starts source and model. `wake` is called, from any thread, when there is something
    /// to look at.
    ///
    /// # Errors
    /// A line when no device can be opened.
    pub fn start(
        instance: wgpu::Instance,
        surface: Option<&wgpu::Surface>,
        settings: Settings,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Live, String> {
        let gpu = Arc::new(Gpu::open(&instance, surface, &settings.device, wake.clone())?);
        let adapters = gpu::adapters(&instance, surface).into_iter().map(|(info, _)| info.name).collect();
        let (sender, events) = channel();
        let mut live = Live {
            gpu,
            running: None,
            progress: None,
            lines: VecDeque::new(),
            adapters,
            instance,
            slot: Arc::default(),
            rgba: Arc::default(),
            capture: None,
            worker: None,
            figures: Figures::new(settings.keep),
            loaded: None,
            load: 0,
            compiling: Arc::default(),
            wake,
            events,
            sender,
            settings,
        };
        live.start_worker();
        live.load();
        live.set_source(live.settings.source.clone());
        Ok(live)
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
        let tell = self.teller();
        let place = Place {
            gpu: self.gpu.clone(),
            slot: self.slot.clone(),
            wake: self.wake.clone(),
            tell: Arc::new(move |line| tell(Event::Line(line))),
        };
        let frozen = self.is_frozen();
        if let Some(worker) = self.worker.take() {
            self.figures = worker.shared().figures.lock().expect("no panic while figures are kept").clone();
        }
        self.worker = Some(Worker::start(place, self.figures.clone(), frozen));
    }

    /// Loads the model that is set and makes it ready for the device that is set, on a thread.
    fn load(&mut self) {
        self.load += 1;
        self.progress = Some(Progress { text: format!("loading {}", self.settings.model), share: None });
        self.rgba.store(load::on_cpu(&self.settings.device, &self.gpu), Ordering::Release);
        let (tell, load, gpu) = (self.teller(), self.load, self.gpu.clone());
        let Settings { model, device, half, .. } = self.settings.clone();
        let compiling = self.compiling.clone();
        let known = self.loaded.clone().filter(|loaded| loaded.name == model);
        let run = move || {
            let progress = |progress| tell(Event::Progress(load, progress));
            let make = || {
                let loaded = match known {
                    Some(loaded) => loaded,
                    None => Arc::new(load::model(&model, &progress)?),
                };
                progress(Progress { text: format!("preparing {model}"), share: None });
                tell(Event::Model(loaded.clone()));
                let ended = compiling.lock().expect("no panic while a model is made ready");
                if *ended {
                    return Err("the program ends".to_string());
                }
                match load::engine(&loaded, &gpu, &device, half) {
                    Err(reason) if half => {
                        tell(Event::Line(format!("{reason}. Running in f32.")));
                        load::engine(&loaded, &gpu, &device, false)
                    }
                    made => made,
                }
            };
            match make() {
                Ok(engine) => tell(Event::Engine(load, Box::new(engine))),
                Err(reason) => tell(Event::Failed(load, reason)),
            }
        };
        if thread::Builder::new().name("load".into()).spawn(run).is_err() {
            self.say("The system gives no thread to load a model on.".into());
        }
    }

    /// Takes what the threads have to say.
    pub fn tick(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Line(line) => self.say(line),
                Event::Model(loaded) => self.loaded = Some(loaded),
                Event::Progress(load, progress) if load == self.load => self.progress = Some(progress),
                Event::Engine(load, engine) if load == self.load => {
                    self.progress = None;
                    self.settings.half = engine.half;
                    self.running = Some((engine.name.clone(), engine.device.clone(), engine.half));
                    if let Some(worker) = &self.worker {
                        worker.run(*engine);
                    }
                }
                Event::Failed(load, reason) if load == self.load => {
                    self.progress = None;
                    // What runs goes on, and is what is set again.
                    let running = self.running.clone();
                    let goes_on = running.map(|(name, ..)| {
                        self.settings.model = name.to_string();
                        format!(" {name} goes on.")
                    });
                    self.say(format!("{reason}.{}", goes_on.unwrap_or_default()));
                }
                Event::Progress(..) | Event::Engine(..) | Event::Failed(..) => {}
            }
        }
        if let Some(fault) = self.gpu.take_fault().filter(|_| !self.gpu.is_lost()) {
            self.say(format!("The device says: {}", fault.lines().next().unwrap_or_default()));
        }
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
        let stage = Stage::new(self.slot.clone(), self.rgba.clone(), self.settings.rate, tell);
        self.settings.source = source.clone();
        self.capture = Some(Capture::start(source, stage, self.capture.take()));
    }

    /// Runs another model, once it is loaded.
    pub fn set_model(&mut self, model: String) {
        self.settings.model = model;
        self.load();
    }

    /// Computes in f16, or in f32.
    pub fn set_half(&mut self, half: bool) {
        self.settings.half = half;
        self.load();
    }

    /// Runs on another device. Where that is another GPU, the window is drawn there too, and has to begin anew:
    /// then this is true, and [`Live::recover`] comes next.
    pub fn set_device(&mut self, device: String) -> bool {
        let name = self.gpu.info.name.to_lowercase();
        let stays = matches!(&*device, "auto" | "cpu") || name.contains(&device.to_lowercase());
        self.settings.device = device;
        if stays {
            self.load();
        }
        !stays
    }

    /// Opens the device anew and makes everything on it again, after it was lost or for another one.
    ///
    /// # Errors
    /// A line when no device can be opened; everything stays as it was.
    pub fn recover(&mut self, surface: Option<&wgpu::Surface>) -> Result<(), String> {
        if self.gpu.is_lost() {
            let reason = self.gpu.take_fault().filter(|reason| !reason.is_empty());
            self.say(format!(
                "The device was lost{}; opened anew.",
                reason.map_or(String::new(), |reason| format!(": {reason}"))
            ));
        }
        let open = |wanted: &str| Gpu::open(&self.instance, surface, wanted, self.wake.clone());
        let opened = match open(&self.settings.device) {
            // A GPU may be gone for good.
            Err(reason) => open("auto").map(|gpu| (gpu, Some(reason)))?,
            Ok(gpu) => (gpu, None),
        };
        self.gpu = Arc::new(opened.0);
        if let Some(reason) = opened.1 {
            self.settings.device = "auto".into();
            self.say(format!("{reason}. Taking what there is."));
        }
        self.start_worker();
        self.load();
        Ok(())
    }
}

impl Drop for Live {
    /// Waits for a load that works on the device: drivers do not survive the end of the program under it.
    fn drop(&mut self) {
        if let Ok(mut ended) = self.compiling.lock() {
            *ended = true;
        }
    }
}
