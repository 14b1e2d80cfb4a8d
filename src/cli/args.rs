//! Arguments that several commands take.

use std::{
    cell::OnceCell,
    num::NonZero,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use mobileone::{
    Checkpoint, DType, Device, Form, Model, Options, Outputs, Preprocess, Session,
    labels::Labels,
    named::{self, Place, locate},
    tune::Kept,
};

use super::{
    cache,
    out::{Stop, note, plain},
};

#[derive(clap::Args)]
pub struct DeviceArgs {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, software, or a part of an adapter's name or driver
    #[arg(long, value_name = "D", env = "MOBILEONE_DEVICE", default_value = "auto")]
    pub device: String,
    /// Storage of weights and maps; auto is f32, or f16 where `tune` found it faster; f16-fast also sums up to 32
    /// products in f16
    #[arg(long, value_name = "T", value_enum, default_value = "auto")]
    pub dtype: Precision,
    /// Threads of the CPU executor; RAYON_NUM_THREADS or one per core when not given
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<NonZero<usize>>,
    /// What was measured on the device that was opened.
    #[arg(skip)]
    kept: OnceCell<Kept>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Precision {
    Auto,
    F32,
    F16,
    F16Fast,
}

impl DeviceArgs {
    /// The device asked for, which is said with the reason.
    pub fn open(&self) -> Result<Device, Stop> {
        self.open_or(self.dtype.on_cpu())
    }

    /// The same, to measure it: what was measured before has no say in which.
    pub fn open_untuned(&self) -> Result<Device, Stop> {
        self.open_or(false)
    }

    fn open_or(&self, cpu: bool) -> Result<Device, Stop> {
        let (device, kept) = open_device(&self.device, self.threads, cpu)?;
        self.kept.get_or_init(|| kept);
        Ok(device)
    }

    /// `options` as these arguments and what was measured on `device`, which was opened, want them.
    pub fn options(&self, device: &Device, options: Options) -> Options {
        self.dtype.options(device, self.kept(), options)
    }

    /// The storage, once the device is open.
    pub fn dtype(&self) -> DType {
        self.dtype.dtype(self.kept())
    }

    /// As it is typed, but that `auto` says what it is.
    pub fn dtype_name(&self) -> String {
        self.dtype.name(self.kept())
    }

    fn kept(&self) -> &Kept {
        self.kept.get_or_init(Kept::default)
    }
}

/// The device that `wanted` and `threads` describe, which is said with the reason, and what was measured on it.
/// For `auto` that is the CPU where it was found faster and `cpu` allows it.
pub fn open_device(wanted: &str, threads: Option<NonZero<usize>>, cpu: bool) -> Result<(Device, Kept), Stop> {
    let with_threads = |device: Device| match threads {
        Some(count) => device.with_threads(count),
        None => Ok(device),
    };
    let device = with_threads(Device::open(wanted)?)?;
    let kept = cache::read(&device);
    if cpu && kept.cpu && wanted.trim().eq_ignore_ascii_case("auto") {
        let cpu = with_threads(Device::open("cpu")?)?;
        let gpu = plain(&device.info().to_string());
        note(&format!("device: {} (tune found it faster than {gpu})", plain(&cpu.info().to_string())));
        return Ok((cpu, Kept::default()));
    }
    note(&format!("device: {} ({})", plain(&device.info().to_string()), plain(device.why())));
    Ok((device, kept))
}

impl Precision {
    /// Whether the CPU executor may take a GPU's place: it stores in f32 only.
    pub fn on_cpu(self) -> bool {
        matches!(self, Precision::Auto | Precision::F32)
    }

    /// `options` as this storage and what was measured on `device` want them.
    pub fn options(self, device: &Device, kept: &Kept, mut options: Options) -> Options {
        options.dtype = self.dtype(kept);
        options.tuning = kept.tuning.clone();
        options.tuning.fast = matches!(self, Precision::F16Fast);
        options.cache = cache::pipelines(device);
        options
    }

    /// As it is typed, but that `auto` says what it is.
    pub fn name(self, kept: &Kept) -> String {
        match self {
            Precision::F16Fast => "f16-fast".into(),
            _ => self.dtype(kept).to_string(),
        }
    }

    pub fn dtype(self, kept: &Kept) -> DType {
        match self {
            Precision::Auto if kept.f16 => DType::F16,
            Precision::Auto | Precision::F32 => DType::F32,
            Precision::F16 | Precision::F16Fast => DType::F16,
        }
    }
}

#[derive(clap::Args)]
pub struct PictureArgs {
    /// A line per class, or JSON: ["cat", ...] or {"0": "cat", ...}
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Height and width of the input: 224, or 192x256
    #[arg(long, value_name = "HxW", value_parser = size)]
    pub size: Option<(usize, usize)>,
    /// The share of the resized picture that the crop keeps, such as 0.9
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub crop_pct: Option<f64>,
    /// Subtracted from red, green and blue (0 to 1): 0.485,0.456,0.406
    #[arg(long, value_name = "R,G,B", value_parser = triple, allow_hyphen_values = true)]
    pub mean: Option<[f32; 3]>,
    /// Divides red, green and blue: 0.229,0.224,0.225
    #[arg(long, value_name = "R,G,B", value_parser = triple)]
    pub std: Option<[f32; 3]>,
}

impl PictureArgs {
    /// What `model` wants, with what was typed in its place; says where it came from.
    fn preprocess(&self, model: &Model) -> Result<Preprocess, Stop> {
        let of = model.preprocess.clone();
        let preprocess = Preprocess {
            size: self.size.unwrap_or(of.size),
            crop_pct: self.crop_pct.unwrap_or(of.crop_pct),
            mean: self.mean.unwrap_or(of.mean),
            std: self.std.unwrap_or(of.std),
            ..of
        };
        preprocess.check()?;
        let typed = [
            ("--size", self.size.is_some()),
            ("--crop-pct", self.crop_pct.is_some()),
            ("--mean", self.mean.is_some()),
            ("--std", self.std.is_some()),
        ];
        let typed: String =
            typed.iter().filter(|(_, typed)| *typed).map(|(name, _)| format!("{name}, ")).collect();
        let source = plain(&model.preprocess_source);
        note(&format!("preprocessing: {} ({typed}{source})", describe(&preprocess)));
        Ok(preprocess)
    }

    /// A session of `model` on `device` that brings back the `top` best classes of pictures.
    pub fn session(
        &self,
        device: &Device,
        model: &Model,
        args: &DeviceArgs,
        top: usize,
    ) -> Result<Session, Stop> {
        let outputs = Outputs { top_k: top.min(model.graph.classes().unwrap_or(0)), ..Outputs::default() };
        let options = Options { preprocess: self.preprocess(model)?, outputs, ..Options::of(model) };
        Ok(Session::new(device, model, &args.options(device, options))?)
    }

    /// The names of the classes of `model`, which must have a classifier; says where they came from.
    pub fn labels(&self, model: &Model) -> Result<Labels, Stop> {
        let Some(classes) = model.graph.classes() else {
            return Err(Stop::Error(format!(
                "{}: the model has no classifier, so there is nothing to name; `run` writes its features",
                model.name
            )));
        };
        let labels = Labels::choose(self.labels.as_deref(), model.labels.as_deref(), classes)?;
        note(&format!("labels: {}", plain(labels.source())));
        Ok(labels)
    }
}

/// `224x224, crop 0.9, bilinear`.
pub fn describe(preprocess: &Preprocess) -> String {
    let Preprocess { size: (h, w), crop_pct, crop_mode, interpolation, mean, std } = preprocess;
    let mode = format!("{crop_mode:?}").to_lowercase();
    let filter = format!("{interpolation:?}").to_lowercase();
    format!("{h}x{w}, {mode} crop {crop_pct}, {filter}, mean {mean:?}, std {std:?}")
}

/// Refuses to write over a file that is read.
pub fn keep(output: &Path, read: &[&Path]) -> Result<(), Stop> {
    let Ok(place) = output.canonicalize() else { return Ok(()) };
    for path in read {
        let file = match locate(path) {
            Ok(Place::File(file)) => file,
            _ => path.to_path_buf(),
        };
        if file.canonicalize().ok().as_ref() == Some(&place) {
            let output = output.display();
            return Err(Stop::Error(format!("{output}: this file is read: give the output another name")));
        }
    }
    Ok(())
}

/// The network that `spec` names, in a certain form.
pub fn load(spec: &Path, form: Form) -> Result<Model, Stop> {
    Model::new(open(spec)?, form).map_err(|error| Stop::about(&spec.display().to_string(), error))
}

/// The checkpoint that `spec` names; a bar shows how its download goes on.
pub fn open(spec: &Path) -> Result<Checkpoint, Stop> {
    let bar = ProgressBar::no_length();
    let style = "{bytes} of {total_bytes} {wide_bar} {bytes_per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
    let mut told = false;
    let opened = named::open(spec, &mut |fetch| {
        if !std::mem::replace(&mut told, true) {
            note(&format!("fetching {} from {} into {}", fetch.id, fetch.from, fetch.into.display()));
        }
        bar.set_length(fetch.all);
        bar.set_position(fetch.come);
    });
    bar.finish_and_clear();
    opened.map_err(|error| Stop::about(&spec.display().to_string(), error))
}

/// The least height and width of an input: below it, the last maps shrink to nothing.
pub const LEAST: usize = 32;

/// A height and a width, or both at once.
pub fn size(text: &str) -> Result<(usize, usize), String> {
    let (h, w) = text.split_once(['x', '×']).unwrap_or((text, text));
    match (h.trim().parse(), w.trim().parse()) {
        (Ok(h), Ok(w)) if h >= LEAST && w >= LEAST => Ok((h, w)),
        _ => Err(format!("expected a height and a width from {LEAST}, such as 224 or 192x256")),
    }
}

/// A count of threads that a system can give.
pub fn threads(text: &str) -> Result<NonZero<usize>, String> {
    let count = text.trim().parse().ok().filter(|count: &NonZero<usize>| count.get() <= 1024);
    count.ok_or("expected a number from 1 to 1024".into())
}

fn share(text: &str) -> Result<f64, String> {
    match text.trim().parse() {
        Ok(share) if (0.1..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from 0.1 to 1, such as 0.875".into()),
    }
}

fn triple(text: &str) -> Result<[f32; 3], String> {
    let numbers: Result<Vec<f32>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    let wrong = "expected three numbers such as 0.485,0.456,0.406";
    numbers.ok().and_then(|numbers| numbers.try_into().ok()).ok_or(wrong.into())
}
