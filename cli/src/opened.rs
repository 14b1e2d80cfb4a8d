//! The device that a command opens, and what was measured on it.

use std::{cell::OnceCell, num::NonZero};

use clap::ValueEnum;
use mobileone::{
    DType, Device, DeviceInfo, DeviceKind, Error, Model, Options, Session, Weights,
    plan::Tuning,
    tune::{Fastest, Kept, network},
};

use crate::{
    cache,
    out::{Stop, detail, note, plain},
};

#[derive(clap::Args)]
pub struct DeviceArgs {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, software, or a part of an adapter's name or driver
    #[arg(long, value_name = "D", env = "MOBILEONE_DEVICE", hide_env_values = true, default_value = "auto")]
    pub device: String,
    /// Storage of weights and maps; auto is f32, or f16 where `tune` found it faster with these weights; f16-fast also
    /// sums up to 32 products in f16
    #[arg(long, value_name = "T", value_enum, default_value = "auto")]
    pub dtype: Precision,
    /// Threads of the CPU executor; RAYON_NUM_THREADS or one per core when not given
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<NonZero<usize>>,
    /// Run f16 on the GPU's cooperative matrices, which first have to compute two layers correctly; an experiment
    #[arg(long)]
    pub matrices: bool,
    /// What was opened already.
    #[arg(skip)]
    opened: OnceCell<Opened>,
    /// What was measured on the device that was opened.
    #[arg(skip)]
    known: OnceCell<Known>,
}

/// What was measured of a network on a device.
#[derive(Clone, Default)]
pub struct Known {
    pub tuning: Tuning,
    /// Whether f16 is the fastest, and right with the network's weights.
    f16: bool,
    /// Whether it is the fastest, but was examined with other weights.
    unexamined: bool,
    /// Whether f16 runs on cooperative matrices.
    matrices: bool,
}

/// What `--matrices` says of storage in f32.
pub const MATRICES_IN_F16: &str = "--matrices is for storage in f16: add --dtype f16";

#[derive(Clone, Copy, ValueEnum)]
pub enum Precision {
    Auto,
    F32,
    F16,
    F16Fast,
}

impl DeviceArgs {
    /// What `load` gives, which runs while the device is searched for: both take time. An error of `load` comes first.
    pub fn beside<T>(&self, load: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
        let (wanted, threads) = (self.device.as_str(), self.threads);
        let (loaded, opened) = std::thread::scope(|scope| {
            let search = scope.spawn(move || Opened::new(wanted, threads));
            (load(), search.join())
        });
        let loaded = loaded?;
        let opened = opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        self.opened.get_or_init(|| opened);
        Ok(loaded)
    }

    /// The device asked for, to run `model` at `size`.
    pub fn open_for(&self, model: &Model, size: (usize, usize)) -> Result<Device, Stop> {
        self.take(Some((model, size)), self.dtype.on_cpu())
    }

    /// The same, to measure or judge it, which is said in a line: which is the fastest for a network has no say.
    pub fn open(&self) -> Result<Device, Stop> {
        self.take(None, false)
    }

    fn take(&self, runs: Option<(&Model, (usize, usize))>, cpu: bool) -> Result<Device, Stop> {
        let opened = match self.opened.get() {
            Some(opened) => opened.clone(),
            None => Opened::new(&self.device, self.threads)?,
        };
        let opened = if self.matrices { opened.with_matrices()? } else { opened };
        let (device, known, said) = opened.settle(runs, cpu)?;
        match runs {
            Some(_) => detail(&said),
            None => note(&said),
        }
        self.dtype.why(&known).into_iter().for_each(detail);
        self.known.get_or_init(|| known);
        if self.matrices && self.dtype() == DType::F32 {
            return Err(Stop::Error(MATRICES_IN_F16.into()));
        }
        Ok(device)
    }

    /// `options` as these arguments and what was measured on the device, which was opened, want them.
    pub fn options(&self, device: &Device, options: Options) -> Options {
        self.dtype.options(device, self.known(), options)
    }

    /// The storage, once the device is open.
    pub fn dtype(&self) -> DType {
        self.dtype.dtype(self.known())
    }

    /// As it is typed, but that `auto` says what it is.
    pub fn dtype_name(&self) -> String {
        self.dtype.name(self.known())
    }

    fn known(&self) -> &Known {
        self.known.get_or_init(Known::default)
    }
}

/// A device that was opened, and what is kept of it.
#[derive(Clone)]
pub struct Opened {
    pub wanted: String,
    threads: Option<NonZero<usize>>,
    device: Device,
    kept: Kept,
    /// Once it was taken.
    cpu: OnceCell<Device>,
}

impl Opened {
    /// The device that `wanted` and `threads` describe.
    pub fn new(wanted: &str, threads: Option<NonZero<usize>>) -> Result<Opened, Stop> {
        let device = with_threads(cache::open(wanted)?, threads)?;
        let kept = cache::read(&device);
        Ok(Opened { wanted: wanted.into(), threads, device, kept, cpu: OnceCell::new() })
    }

    /// The same with the device's cooperative matrices.
    pub fn with_matrices(self) -> Result<Opened, Error> {
        Ok(Opened { device: self.device.with_matrices()?, ..self })
    }

    /// What runs a model at a size, if it is one, what is known of it there, and a line that says so. For `auto` that is
    /// the CPU where it was found faster and `cpu` allows it.
    pub fn settle(
        &self,
        runs: Option<(&Model, (usize, usize))>,
        cpu: bool,
    ) -> Result<(Device, Known, String), Stop> {
        let matrix = self.device.limits().map_or(0, |limits| limits.matrix);
        let key = runs.map(|(model, size)| network(&model.graph, size, matrix));
        let fastest = key.map_or_else(Fastest::default, |key| self.kept.fastest(&key));
        self.decide(fastest, runs.map(|(model, _)| &model.weights), cpu)
    }

    fn decide(
        &self,
        fastest: Fastest,
        weights: Option<&Weights>,
        cpu: bool,
    ) -> Result<(Device, Known, String), Stop> {
        let name = plain(&self.device.info().to_string());
        if cpu && fastest.cpu.is_some() && self.wanted.trim().eq_ignore_ascii_case("auto") {
            let cpu = match self.cpu.get() {
                Some(cpu) => cpu.clone(),
                None => with_threads(Device::open("cpu")?, self.threads)?,
            };
            let cpu = self.cpu.get_or_init(|| cpu).clone();
            if fastest.on(&cpu) {
                let faster = plain(&cpu.info().to_string());
                let said = format!("device: {faster} (tune found it faster than {name} for this network)");
                return Ok((cpu, Known::default(), said));
            }
        }
        let said = format!("device: {name} ({})", plain(self.device.why()));
        let f16 = weights.is_some_and(|weights| fastest.in_f16(weights));
        let known = Known {
            tuning: self.kept.tuning.clone(),
            f16,
            unexamined: fastest.f16.is_some() && !f16,
            matrices: self.device.limits().is_some_and(|limits| limits.matrix > 0),
        };
        Ok((self.device.clone(), known, said))
    }
}

/// A device as figures name it: the CPU with its name and instruction set, which they hang on.
pub fn hardware(info: &DeviceInfo) -> String {
    match info.kind {
        DeviceKind::Cpu => format!("{info} ({})", info.driver),
        _ => info.to_string(),
    }
}

/// A count of threads that a system can give.
pub fn threads(text: &str) -> Result<NonZero<usize>, String> {
    let count = text.trim().parse().ok().filter(|count: &NonZero<usize>| count.get() <= 1024);
    count.ok_or("expected a number from 1 to 1024".into())
}

fn with_threads(device: Device, threads: Option<NonZero<usize>>) -> Result<Device, Stop> {
    match threads {
        Some(count) => Ok(device.with_threads(count)?),
        None => Ok(device),
    }
}

/// A session, and a warning where the file of its pipelines was of no use.
pub fn session(device: &Device, model: &Model, options: &Options) -> Result<Session, Error> {
    let session = Session::new(device, model, options)?;
    if let Some(fault) = session.cache_fault() {
        note(&format!("warning: {}", plain(fault)));
    }
    Ok(session)
}

/// Says in a line what runs where: `MobileOne-S1 on Apple M2 (metal), f32, 224x224`, and what was assumed.
pub fn summary(
    name: &str,
    device: &Device,
    dtype: &str,
    (h, w): (usize, usize),
    assumed: Option<&'static str>,
) {
    let info = device.info();
    let device = match info.kind {
        DeviceKind::Cpu => info.to_string(),
        _ => format!("{} ({})", info.name, info.backend),
    };
    let assumed = assumed.map_or(String::new(), |assumed| format!(", {assumed}"));
    note(&plain(&format!("{name} on {device}, {dtype}, {h}x{w}{assumed}")));
}

impl Precision {
    /// Whether the CPU executor may take a GPU's place: it stores in f32 only.
    pub fn on_cpu(self) -> bool {
        matches!(self, Precision::Auto | Precision::F32)
    }

    /// `options` as this storage and what was measured on `device` want them.
    pub fn options(self, device: &Device, known: &Known, mut options: Options) -> Options {
        options.dtype = self.dtype(known);
        options.tuning = known.tuning.clone();
        options.tuning.fast = matches!(self, Precision::F16Fast);
        options.cache = cache::pipelines(device);
        options
    }

    /// As it is typed, but that `auto` says what it is; and whether it runs on matrices.
    pub fn name(self, known: &Known) -> String {
        let matrices = known.matrices && self.dtype(known) == DType::F16;
        self.typed(known) + if matrices { "-matrices" } else { "" }
    }

    /// As it is typed, but that `auto` says what it is.
    pub fn typed(self, known: &Known) -> String {
        match self {
            Precision::F16Fast => "f16-fast".into(),
            _ => self.dtype(known).to_string(),
        }
    }

    /// Why `auto` is what it is, in a line, where that was measured.
    pub fn why(self, known: &Known) -> Option<&'static str> {
        match self {
            Precision::Auto if known.f16 => {
                Some("dtype: f16 (tune found it faster than f32, and right, for this network)")
            }
            Precision::Auto if known.unexamined => Some(
                "dtype: f32 (tune found f16 faster for this network, but examined it with other weights: mobileone tune \
                 --model M examines these)",
            ),
            _ => None,
        }
    }

    pub fn dtype(self, known: &Known) -> DType {
        match self {
            Precision::Auto if known.f16 => DType::F16,
            Precision::Auto | Precision::F32 => DType::F32,
            Precision::F16 | Precision::F16Fast => DType::F16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of this machine's own making cannot be had without a GPU: here is one made up.
    #[test]
    fn auto_takes_the_cpu_where_a_table_says_so() {
        let Ok(device) = Device::open("software") else {
            let required = std::env::var("REQUIRE_GPU").is_ok_and(|value| value == "1");
            assert!(!required, "REQUIRE_GPU=1, but there is no software GPU; install mesa-vulkan-drivers");
            return eprintln!("SKIPPED: no software GPU; install mesa-vulkan-drivers");
        };
        let weights = |value| {
            let mut weights = Weights::new();
            weights.insert("w", &[1], vec![value]);
            weights
        };
        let (own, others) = (weights(1.0), weights(2.0));
        let cpu = Device::open("cpu").unwrap().with_threads(NonZero::new(2).unwrap()).unwrap();
        let opened = |wanted: &str, threads| Opened {
            wanted: wanted.into(),
            threads: NonZero::new(threads),
            device: device.clone(),
            kept: Kept::default(),
            cpu: OnceCell::new(),
        };
        let fastest =
            |half: bool, on_cpu: bool| Fastest { f16: half.then(|| own.sum()), cpu: on_cpu.then_some(2) };
        assert!(fastest(false, true).on(&cpu) && !fastest(false, false).on(&cpu));
        let (none, one, half, both) =
            (fastest(false, false), fastest(false, true), fastest(true, false), fastest(true, true));
        // What was typed, the threads, what was measured, the storage; whether the CPU is taken, and what `auto` stores in.
        let rows = [
            (" Auto ", 2, one, Precision::Auto, true, DType::F32),
            ("auto", 2, one, Precision::F32, true, DType::F32),
            ("auto", 2, one, Precision::F16, false, DType::F16),
            ("auto", 1, one, Precision::Auto, false, DType::F32),
            ("software", 2, one, Precision::Auto, false, DType::F32),
            ("auto", 2, half, Precision::Auto, false, DType::F16),
            ("auto", 2, half, Precision::F32, false, DType::F32),
            ("software", 2, both, Precision::Auto, false, DType::F16),
            ("auto", 2, both, Precision::Auto, true, DType::F32),
            ("auto", 1, both, Precision::Auto, false, DType::F16),
            ("auto", 2, none, Precision::Auto, false, DType::F32),
        ];
        for (wanted, threads, fastest, dtype, cpu, expected) in rows {
            let row = format!("{wanted} {threads} {fastest:?}");
            let settle = |weights| opened(wanted, threads).decide(fastest, Some(weights), dtype.on_cpu());
            let (taken, known, said) = settle(&own).unwrap();
            assert_eq!(taken.info().backend == "cpu", cpu, "{row}: {said}");
            let reason = format!("(tune found it faster than {} for this network)", device.info());
            assert_eq!(said.ends_with(&reason), cpu, "{said}");
            assert_eq!(dtype.dtype(&known), expected, "{row}");
            let auto = matches!(dtype, Precision::Auto);
            let said = |known| dtype.why(known).map(|line| line.split(' ').nth(1).unwrap());
            assert_eq!(said(&known), (auto && expected == DType::F16).then_some("f16"), "{row}");
            // With other weights f16 was not examined.
            let (_, known, _) = settle(&others).unwrap();
            if auto {
                assert_eq!(dtype.dtype(&known), DType::F32, "{row}");
                assert_eq!(said(&known), (fastest.f16.is_some() && !cpu).then_some("f32"), "{row}");
            }
        }
    }

    #[test]
    fn matrices_show_in_names() {
        let known = |f16, matrices| Known { f16, matrices, ..Known::default() };
        for (dtype, known, name) in [
            (Precision::F16, known(false, true), "f16-matrices"),
            (Precision::F16Fast, known(false, true), "f16-fast-matrices"),
            (Precision::F32, known(true, true), "f32"),
            (Precision::Auto, known(false, true), "f32"),
            (Precision::Auto, known(true, true), "f16-matrices"),
            (Precision::F16, known(false, false), "f16"),
        ] {
            assert_eq!(dtype.name(&known), name);
            assert_eq!(name.strip_suffix("-matrices").unwrap_or(name), dtype.typed(&known));
        }
    }
}
