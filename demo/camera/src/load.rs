//! Models: found, fetched, planned and made ready on a thread of their own.

use crate::{gpu::Gpu, plain::plain};
use mobileone::{
    DType, Device, DeviceInfo, Form, Model, Options, Preprocess, Session,
    checkpoint::Reading,
    labels::Labels,
    named,
    plan::Tuning,
    tune::{self, Kept, Tuned},
};
use std::{
    num::NonZero,
    ops::ControlFlow,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

/// A model and the names of its classes.
#[derive(Debug)]
pub struct Loaded {
    /// What it was asked for as.
    pub name: String,
    /// The model.
    pub model: Model,
    /// Its classes.
    pub labels: Arc<Labels>,
}

/// A model ready to run.
pub struct Engine {
    /// The session.
    pub session: Session,
    /// Whether it runs on the CPU executor, from the frame's bytes.
    pub cpu: bool,
    /// The model.
    pub loaded: Arc<Loaded>,
    /// The names of its classes.
    pub labels: Arc<Labels>,
    /// What the model was asked for as.
    pub name: Arc<str>,
    /// The device, for people.
    pub device: Arc<str>,
    /// The device, as it was asked for.
    pub wanted: String,
    /// Whether it computes in f16.
    pub half: bool,
    /// Which load of this program made it.
    pub load: u64,
    /// How pictures become inputs.
    pub preprocess: Preprocess,
}

/// Where a load stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What is done.
    pub text: String,
    /// How much of it, 0 to 1, where that is known.
    pub share: Option<f32>,
}

/// Loads the model called `name`: `digits`, a file, a folder, a short name, or a hub id, read as `reading` wants it.
///
/// # Errors
/// A line that names what is wrong.
pub fn model(name: &str, reading: &Reading, progress: &dyn Fn(Progress)) -> Result<Loaded, String> {
    let say = |text: String, share| progress(Progress { text, share });
    let checkpoint = named::open_with(name, reading, &mut |fetch| {
        let text =
            format!("fetching {}: {} of {} MB", fetch.id, fetch.come / 1_000_000, fetch.all / 1_000_000);
        say(text, Some(fetch.come as f32 / fetch.all.max(1) as f32));
    });
    let model = checkpoint.and_then(|checkpoint| Model::new(checkpoint, Form::Fused));
    let model = model.map_err(plain)?;
    if model.graph.output("logits").is_none() {
        return Err(format!("{name} has no classifier: there is nothing to show"));
    }
    let labels = Labels::choose(None, model.labels.as_deref(), model.graph.classes().unwrap_or(0));
    let labels = Arc::new(labels.map_err(plain)?);
    Ok(Loaded { name: name.into(), model, labels })
}

/// Frames in flight: one computes while the next is sent.
pub const FRAMES: usize = 2;

/// Whether the CPU executor runs the network where `wanted` is asked for: where it is named, and where the choice
/// is free and the window's device is software, which is slower than the CPU itself.
pub fn on_cpu(wanted: &str, gpu: &Gpu) -> bool {
    wanted == "cpu" || wanted == "auto" && gpu.is_software()
}

/// The CPU, whose threads serve one model after the other. One core is left to the source and the window: threads that
/// wait for each other at every layer lose more to a third one than they gain.
fn cpu_device() -> mobileone::Result<Device> {
    static OPENED: Mutex<Option<Device>> = Mutex::new(None);
    let mut opened = OPENED.lock().expect("no panic while threads are started");
    if let Some(device) = &*opened {
        return Ok(device.clone());
    }
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let device =
        Device::open("cpu")?.with_threads(NonZero::new(cores - 1).unwrap_or(NonZero::<usize>::MIN))?;
    Ok(opened.insert(device).clone())
}

/// What was tuned on devices: here, and by other programs before.
pub struct Tables {
    place: Option<fn(&DeviceInfo) -> Option<PathBuf>>,
    /// What was tuned by this program.
    own: Mutex<Vec<(DeviceInfo, Tuning)>>,
}

impl Tables {
    /// Tables that are kept where `place` says, if anywhere.
    pub fn kept(place: Option<fn(&DeviceInfo) -> Option<PathBuf>>) -> Tables {
        Tables { place, own: Mutex::default() }
    }

    /// What is known of a device, and why its file is of no use.
    fn of(&self, info: &DeviceInfo) -> (Tuning, Option<String>) {
        let path = self.place.and_then(|place| place(info));
        let read = path.map_or(Ok(None), |path| tune::read(&path, info));
        let (kept, fault) = read.map_or_else(|fault| (None, Some(fault)), |kept| (kept, None));
        let mut tuning = kept.unwrap_or_default().tuning;
        let own = self.own.lock().expect("no panic while a table is kept");
        let of_it = own.iter().filter(|(device, _)| device == info);
        of_it.for_each(|(_, own)| tuning.layers.extend(own.layers.clone()));
        (tuning, fault)
    }

    /// Keeps what was tuned on a device.
    ///
    /// # Errors
    /// A line where it is known to this program only.
    fn keep(&self, info: &DeviceInfo, tuning: &Tuning) -> Result<(), String> {
        self.own.lock().expect("no panic while a table is kept").push((info.clone(), tuning.clone()));
        let Some(path) = self.place.and_then(|place| place(info)) else { return Ok(()) };
        let kept = Kept { tuning: tuning.clone(), ..Kept::default() };
        let written = tune::writable(&path).and_then(|()| tune::write(&path, info, &kept));
        written.map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// What a session of a model is asked for.
fn options(loaded: &Loaded, half: bool) -> Options {
    let mut options = Options::of(&loaded.model);
    options.frames = FRAMES;
    options.dtype = if half { DType::F16 } else { DType::F32 };
    options
}

/// Measures which shaders run a model the fastest on a device, and keeps them; `goes_on` takes the share that is
/// done. What came of it, and a line where it could not be written.
///
/// # Errors
/// The library's, [`mobileone::Error::Stopped`] where `goes_on` said no.
pub fn tune(
    loaded: &Loaded,
    gpu: &Gpu,
    half: bool,
    budget: Duration,
    tables: &Tables,
    goes_on: &dyn Fn(f32) -> bool,
) -> mobileone::Result<(Tuned, Option<String>)> {
    let device = &gpu.network;
    // From the choices of the device's class, not from those of an earlier measurement.
    let tuned =
        tune::tune(device, &loaded.model, &options(loaded, half), budget, &mut |done, all| match goes_on(
            done as f32 / all.max(1) as f32,
        ) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        })?;
    let unkept = tables.keep(device.info(), &tuned.tuning).err();
    Ok((tuned, unkept))
}

/// What of a load is for people, besides its progress.
pub type Say<'a> = &'a dyn Fn(String);

/// Plans and compiles a model for the load of this number: on the window's device, or on the CPU.
///
/// # Errors
/// A line that names what is wrong.
pub fn engine(
    loaded: &Arc<Loaded>,
    gpu: &Gpu,
    wanted: &str,
    half: bool,
    load: u64,
    tables: &Tables,
    say: Say,
) -> Result<Engine, String> {
    let cpu = on_cpu(wanted, gpu);
    let make = || -> mobileone::Result<Engine> {
        let device = match cpu {
            true => cpu_device()?,
            false => gpu.network.clone(),
        };
        let mut options = options(loaded, half);
        if !cpu {
            let (tuning, fault) = tables.of(device.info());
            options.tuning = tuning;
            fault.into_iter().for_each(|fault| say(format!("{fault}.")));
        }
        let session = Session::new(&device, &loaded.model, &options)?;
        Ok(Engine {
            session,
            cpu,
            loaded: loaded.clone(),
            labels: loaded.labels.clone(),
            name: loaded.name.as_str().into(),
            device: device.info().to_string().into(),
            wanted: wanted.into(),
            half,
            load,
            preprocess: options.preprocess,
        })
    };
    make().map_err(plain)
}
