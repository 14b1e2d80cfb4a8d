//! Models: found, fetched and planned on a thread of their own.

use crate::{engine::Engine, gpu::Gpu};
use mobileone::{DType, Device, Form, Model, Options, Session, labels::Labels, named};
use std::{
    num::NonZero,
    sync::{Arc, Mutex},
};

/// A model and the names of its classes.
pub struct Loaded {
    /// What it was asked for as.
    pub name: String,
    /// The model.
    pub model: Model,
    /// Its classes.
    pub labels: Arc<Labels>,
}

/// Where a load stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What is done.
    pub text: String,
    /// How much of it, 0 to 1, where that is known.
    pub share: Option<f32>,
}

/// Loads the model called `name`: `digits`, a file, a folder, a short name, or a hub id.
///
/// # Errors
/// A line that names what is wrong.
pub fn model(name: &str, progress: &dyn Fn(Progress)) -> Result<Loaded, String> {
    let say = |text: String, share| progress(Progress { text, share });
    let checkpoint = named::open(name, &mut |fetch| {
        let text =
            format!("fetching {}: {} of {} MB", fetch.id, fetch.come / 1_000_000, fetch.all / 1_000_000);
        say(text, Some(fetch.come as f32 / fetch.all.max(1) as f32));
    });
    let model = checkpoint.and_then(|checkpoint| Model::new(checkpoint, Form::Fused));
    let model = model.map_err(|error| error.to_string())?;
    if model.graph.logits.is_none() {
        return Err(format!("{name} has no classifier: there is nothing to show"));
    }
    let labels = Labels::choose(None, model.labels.as_deref(), model.graph.classes().unwrap_or(0));
    let labels = Arc::new(labels.map_err(|error| error.to_string())?);
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

/// Plans and compiles a model for the load of this number: on the window's device, or on the CPU.
///
/// # Errors
/// A line that names what is wrong.
pub fn engine(loaded: &Loaded, gpu: &Gpu, wanted: &str, half: bool, load: u64) -> Result<Engine, String> {
    let cpu = on_cpu(wanted, gpu);
    let make = || -> mobileone::Result<Engine> {
        let device = match cpu {
            true => cpu_device()?,
            false => gpu.network.clone(),
        };
        let mut options = Options::of(&loaded.model);
        options.frames = FRAMES;
        if half {
            options.dtype = DType::F16;
        }
        let session = Session::new(&device, &loaded.model, &options)?;
        Ok(Engine {
            session,
            cpu,
            labels: loaded.labels.clone(),
            name: loaded.name.as_str().into(),
            device: device.info().to_string().into(),
            wanted: wanted.into(),
            half,
            load,
            preprocess: options.preprocess,
        })
    };
    make().map_err(|error| error.to_string())
}
