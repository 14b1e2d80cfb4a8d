//! Models: loaded and made ready on a thread; the newest choice wins.

use super::{Event, Live, Settings, wait_at};
use crate::{
    load::{self, Loaded, Progress},
    plain::plain,
};
use mobileone::{checkpoint::Reading, tune::Tuned};
use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

/// How long a model has to be set before it is looked for.
const GLANCE: Duration = Duration::from_millis(150);

impl Live {
    /// Loads the model that is set and makes it ready for the device that is set, on a thread.
    pub(super) fn load(&mut self) {
        if self.opening.is_some() {
            return; // comes with the device
        }
        self.supersede();
        self.progress = Some(Progress { text: format!("loading {}", self.settings.model), share: None });
        let (tell, load, gpu) = (self.teller(), self.load, self.gpu.clone());
        let Settings { model, reading: (read, reading), device, half, gate, .. } = self.settings.clone();
        let reading = if read == model { reading } else { Reading::default() };
        let (compiling, newest, tables) = (self.compiling.clone(), self.newest.clone(), self.tables.clone());
        let known = self.loaded.clone().filter(|loaded| loaded.name == model);
        let under_way = self.loads.clone();
        let run = move || {
            let _under_way = under_way;
            let progress = |progress| tell(Event::Progress(load, progress));
            let wanted = || match newest.load(Ordering::Acquire) == load {
                true => Ok(()),
                false => Err("another one was asked for".to_string()),
            };
            let make = || {
                let is_new = known.is_none();
                let loaded = match known {
                    Some(loaded) => loaded,
                    None => {
                        // Names that are only passed by are not fetched.
                        thread::sleep(GLANCE);
                        wanted()?;
                        Arc::new(load::model(&model, &reading, &progress)?)
                    }
                };
                wanted()?;
                progress(Progress { text: format!("preparing {model}"), share: None });
                tell(Event::Model(loaded.clone()));
                if is_new {
                    let warnings = loaded.model.notes.iter().filter(|note| note.warning);
                    warnings.for_each(|note| tell(Event::Line(format!("{model}: {note}."))));
                }
                let ended = compiling.lock().expect("no panic while a model is made ready");
                if *ended {
                    return Err("the program ends".to_string());
                }
                wanted()?;
                wait_at(gate.as_deref(), || wanted().is_err());
                let say = |line| tell(Event::Line(line));
                let engine = |half| load::engine(&loaded, &gpu, &device, half, load, &tables, &say);
                match engine(half) {
                    Err(reason) if half => {
                        say(format!("{reason}. Running in f32."));
                        engine(false)
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

    /// What is loaded or tuned from now on has another number: what came before is not taken any more.
    pub(super) fn supersede(&mut self) {
        self.load += 1;
        self.newest.store(self.load, Ordering::Release);
        self.set_tuning(false);
    }

    /// Whether the model is being tuned; it rests meanwhile.
    fn set_tuning(&mut self, tuning: bool) {
        if let Some(running) = &mut self.running {
            running.tuning = tuning;
        }
        if let Some(worker) = &self.worker {
            worker.shared().paused.store(tuning, Ordering::Release);
        }
    }

    /// Measures, on a thread, which shaders run the model the fastest on its device, and runs it with these; asked for
    /// again meanwhile, it ends that, and nothing has changed.
    pub fn tune(&mut self) {
        let running = self.running.as_ref().filter(|_| !self.gpu.is_lost());
        let ready = self.opening.is_none() && self.progress.is_none();
        let line = match running {
            Some(running) if running.tuning => {
                self.supersede();
                self.progress = None;
                "Tuning was stopped; nothing has changed."
            }
            _ if !ready => "What loads comes first; tune when it runs.",
            None => "Nothing runs that could be tuned.",
            Some(_) if self.rgba.load(Ordering::Acquire) => {
                "The CPU executor has nothing to tune: choose a GPU."
            }
            Some(running) => return self.start_tuning(running.loaded.clone(), running.half),
        };
        self.say(line.into());
    }

    fn start_tuning(&mut self, loaded: Arc<Loaded>, half: bool) {
        self.supersede();
        self.set_tuning(true);
        let text = format!("tuning {}; T stops it", loaded.name);
        self.progress = Some(Progress { text: text.clone(), share: Some(0.0) });
        let (tell, load, gpu) = (self.teller(), self.load, self.gpu.clone());
        let budget = self.settings.tuning;
        let (compiling, newest, tables) = (self.compiling.clone(), self.newest.clone(), self.tables.clone());
        let run = move || {
            let goes_on = |share| {
                tell(Event::Progress(load, Progress { text: text.clone(), share: Some(share) }));
                newest.load(Ordering::Acquire) == load
            };
            let ended = compiling.lock().expect("no panic while a model is made ready");
            let tuned = match *ended {
                true => Err(mobileone::Error::Stopped),
                false => load::tune(&loaded, &gpu, half, budget, &tables, &goes_on),
            };
            tell(Event::Tuned(load, tuned.map_err(plain)));
        };
        if thread::Builder::new().name("tune".into()).spawn(run).is_err() {
            self.supersede();
            self.progress = None;
            self.say("The system gives no thread to tune on.".into());
        }
    }

    /// Runs the model with what was found, if anything was.
    pub(super) fn tuned(&mut self, found: Result<(Tuned, Option<String>), String>) {
        self.set_tuning(false);
        self.progress = None;
        match found {
            Ok((tuned, unkept)) => {
                let ms = |time: Duration| format!("{:.2} ms", 1e3 * time.as_secs_f64());
                self.say(match tuned.changed.len() {
                    0 => format!("Tuning found nothing faster than {} a run.", ms(tuned.before)),
                    count => format!(
                        "Tuned: {} a run, before {}; layers that run otherwise: {count}.",
                        ms(tuned.after),
                        ms(tuned.before)
                    ),
                });
                unkept.into_iter().for_each(|reason| self.say(format!("Not kept for later: {reason}.")));
                self.load();
            }
            Err(reason) => self.say(format!("Not tuned: {reason}.")),
        }
    }
}
