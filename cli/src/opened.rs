//! The device that a command runs on: opened by what was typed, and settled by what was measured on it.

use std::{cell::OnceCell, num::NonZero};

use mobileone::{
    DType, Device, DeviceInfo, DeviceKind, Error, Model, Options, Session, Weights,
    plan::Tuning,
    tune::{Fastest, Kept, network},
};

use crate::{
    args::{DeviceArgs, Precision},
    cache,
    out::{Stop, detail, note, plain},
};

/// The device that was asked for, opened, and what is kept of it.
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
    /// The device that `args` describe.
    pub fn of(args: &DeviceArgs) -> Result<Opened, Stop> {
        let opened = Opened::new(&args.device, args.threads)?;
        Ok(if args.matrices { opened.with_matrices()? } else { opened })
    }

    /// The same, and what `load` gives, which runs while the device is searched for: both take time. An error of `load`
    /// comes first.
    pub fn beside<T>(args: &DeviceArgs, load: impl FnOnce() -> Result<T, Stop>) -> Result<(T, Opened), Stop> {
        let (loaded, opened) = std::thread::scope(|scope| {
            let search = scope.spawn(|| Opened::of(args));
            (load(), search.join())
        });
        let loaded = loaded?;
        let opened = opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((loaded, opened))
    }

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

    /// What is to run `model` at `size` by `args`, from which it was opened.
    pub fn to_run(&self, args: &DeviceArgs, model: &Model, size: (usize, usize)) -> Result<Settled, Stop> {
        self.settled(args, Some((model, size)), args.dtype.on_cpu())
    }

    /// What is to be measured or judged by `args`, with a line that says so; what `tune` found the fastest for a network
    /// is not asked.
    pub fn to_judge(&self, args: &DeviceArgs) -> Result<Settled, Stop> {
        self.settled(args, None, false)
    }

    fn settled(
        &self,
        args: &DeviceArgs,
        runs: Option<(&Model, (usize, usize))>,
        cpu: bool,
    ) -> Result<Settled, Stop> {
        let (settled, said) = self.settle(runs, args.dtype, cpu)?;
        match runs {
            Some(_) => detail(&said),
            None => note(&said),
        }
        settled.why().into_iter().for_each(detail);
        if args.matrices && settled.dtype() == DType::F32 {
            return Err(Stop::Error(MATRICES_IN_F16.into()));
        }
        Ok(settled)
    }

    /// What runs a model at a size, if it is one, in the storage that was typed, and a line that says so. For `auto` that
    /// is the CPU where it was found faster and `cpu` allows it.
    pub fn settle(
        &self,
        runs: Option<(&Model, (usize, usize))>,
        typed: Precision,
        cpu: bool,
    ) -> Result<(Settled, String), Stop> {
        let matrix = self.device.limits().map_or(0, |limits| limits.matrix);
        let key = runs.map(|(model, size)| network(&model.graph, size, matrix));
        let fastest = key.map_or_else(Fastest::default, |key| self.kept.fastest(&key));
        self.decide(fastest, runs.map(|(model, _)| &model.weights), typed, cpu)
    }

    fn decide(
        &self,
        fastest: Fastest,
        weights: Option<&Weights>,
        typed: Precision,
        cpu: bool,
    ) -> Result<(Settled, String), Stop> {
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
                return Ok((Settled { device: cpu, typed, known: Known::default() }, said));
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
        Ok((Settled { device: self.device.clone(), typed, known }, said))
    }
}

fn with_threads(device: Device, threads: Option<NonZero<usize>>) -> Result<Device, Stop> {
    match threads {
        Some(count) => Ok(device.with_threads(count)?),
        None => Ok(device),
    }
}

/// What `--matrices` says of storage in f32.
pub const MATRICES_IN_F16: &str = "--matrices is for storage in f16: add --dtype f16";

/// What was measured of a network on a device.
#[derive(Clone, Default)]
struct Known {
    tuning: Tuning,
    /// Whether f16 is the fastest, and right with the network's weights.
    f16: bool,
    /// Whether it is the fastest, but was examined with other weights.
    unexamined: bool,
    /// Whether f16 runs on cooperative matrices.
    matrices: bool,
}

/// The device that runs a network, and how, by what was typed and what was measured.
pub struct Settled {
    pub device: Device,
    typed: Precision,
    known: Known,
}

impl Settled {
    /// The storage.
    pub fn dtype(&self) -> DType {
        self.known.dtype(self.typed)
    }

    /// The storage as it is typed, but that `auto` says what it is.
    pub fn typed_dtype(&self) -> String {
        self.known.typed(self.typed)
    }

    /// The same, and whether it runs on matrices.
    pub fn dtype_name(&self) -> String {
        self.known.name(self.typed)
    }

    /// Why `auto` is what it is, in a line, where that was measured.
    pub fn why(&self) -> Option<&'static str> {
        self.known.why(self.typed)
    }

    /// The choices that were measured to be the fastest.
    pub fn tuning(&self) -> &Tuning {
        &self.known.tuning
    }

    /// `options` as this device is to run them.
    pub fn options(&self, mut options: Options) -> Options {
        options.dtype = self.dtype();
        options.tuning = self.known.tuning.clone();
        options.tuning.fast = matches!(self.typed, Precision::F16Fast);
        options.cache = cache::pipelines(&self.device);
        options
    }

    /// A session, and a warning where the file of its pipelines was of no use.
    pub fn session(&self, model: &Model, options: &Options) -> Result<Session, Error> {
        let session = Session::new(&self.device, model, options)?;
        if let Some(fault) = session.cache_fault() {
            note(&format!("warning: {}", plain(fault)));
        }
        Ok(session)
    }

    /// Says in a line what runs where: `MobileOne-S1 on Apple M2 (metal), f32, 224x224`, and what was assumed.
    pub fn summary(&self, name: &str, (h, w): (usize, usize), assumed: Option<&'static str>) {
        let (info, dtype) = (self.device.info(), self.dtype_name());
        let device = match info.kind {
            DeviceKind::Cpu => info.to_string(),
            _ => format!("{} ({})", info.name, info.backend),
        };
        let assumed = assumed.map_or(String::new(), |assumed| format!(", {assumed}"));
        note(&plain(&format!("{name} on {device}, {dtype}, {h}x{w}{assumed}")));
    }
}

impl Known {
    fn dtype(&self, typed: Precision) -> DType {
        match typed {
            Precision::Auto if self.f16 => DType::F16,
            Precision::Auto | Precision::F32 => DType::F32,
            Precision::F16 | Precision::F16Fast => DType::F16,
        }
    }

    fn typed(&self, typed: Precision) -> String {
        match typed {
            Precision::F16Fast => "f16-fast".into(),
            _ => self.dtype(typed).to_string(),
        }
    }

    fn name(&self, typed: Precision) -> String {
        let matrices = self.matrices && self.dtype(typed) == DType::F16;
        self.typed(typed) + if matrices { "-matrices" } else { "" }
    }

    fn why(&self, typed: Precision) -> Option<&'static str> {
        match typed {
            Precision::Auto if self.f16 => {
                Some("dtype: f16 (tune found it faster than f32, and right, for this network)")
            }
            Precision::Auto if self.unexamined => Some(
                "dtype: f32 (tune found f16 faster for this network, but examined it with other weights: mobileone tune \
                 --model M examines these)",
            ),
            _ => None,
        }
    }
}

/// A device as figures name it: the CPU with its name and instruction set, which they hang on.
pub fn hardware(info: &DeviceInfo) -> String {
    match info.kind {
        DeviceKind::Cpu => format!("{info} ({})", info.driver),
        _ => info.to_string(),
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
            let settle = |weights| {
                opened(wanted, threads).decide(fastest, Some(weights), dtype, dtype.on_cpu()).unwrap()
            };
            let (settled, said) = settle(&own);
            assert_eq!(settled.device.info().backend == "cpu", cpu, "{row}: {said}");
            let reason = format!("(tune found it faster than {} for this network)", device.info());
            assert_eq!(said.ends_with(&reason), cpu, "{said}");
            assert_eq!(settled.dtype(), expected, "{row}");
            let auto = matches!(dtype, Precision::Auto);
            let said = |settled: &Settled| settled.why().map(|line| line.split(' ').nth(1).unwrap());
            assert_eq!(said(&settled), (auto && expected == DType::F16).then_some("f16"), "{row}");
            // With other weights f16 was not examined.
            let (settled, _) = settle(&others);
            if auto {
                assert_eq!(settled.dtype(), DType::F32, "{row}");
                assert_eq!(said(&settled), (fastest.f16.is_some() && !cpu).then_some("f32"), "{row}");
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
            assert_eq!(known.name(dtype), name);
            assert_eq!(name.strip_suffix("-matrices").unwrap_or(name), known.typed(dtype));
        }
    }
}
