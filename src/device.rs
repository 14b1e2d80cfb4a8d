//! Devices: what there is, and which to take.

#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
mod machine;

#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
use std::path::Path;
use std::sync::Arc;
#[cfg(any(not(feature = "gpu"), target_arch = "wasm32"))]
use std::{
    future::Future,
    task::{Context, Poll, Waker},
};

#[cfg(feature = "gpu")]
use crate::info::look::{Look, settles};
use crate::{
    error::{Error, Result},
    info::DeviceInfo,
};

/// Why `auto` takes the CPU where no driver refused.
#[cfg(feature = "gpu")]
const NO_DRIVER: &str = "this machine has no GPU driver that can be used";
#[cfg(feature = "gpu")]
const NO_GPU: &str = "this machine has no GPU; its software GPU is slower than the CPU itself";

/// An opened device; clones share it. A GPU keeps the pipelines of its sessions, the last 128 of them, so that the same
/// layers are compiled once (without [`Options::cache`](crate::Options::cache), which keeps them in a file).
///
/// ```
/// use mobileone::Device;
///
/// let cpu = Device::open("cpu")?;
/// assert_eq!(cpu.info().backend, "cpu");
/// for info in Device::list() {
///     println!("{info}: {}", info.driver);
/// }
/// let refused = Device::open("a GPU that nobody has").err().unwrap();
/// println!("{refused}"); // names what there is instead
/// # Ok::<(), mobileone::Error>(())
/// ```
#[derive(Clone)]
pub struct Device {
    pub(crate) executor: Executor,
    info: DeviceInfo,
    why: String,
}

#[derive(Clone)]
pub(crate) enum Executor {
    #[cfg(feature = "cpu")]
    Cpu(Arc<crate::cpu::Threads>),
    #[cfg(feature = "gpu")]
    Gpu(Arc<crate::gpu::Gpu>),
}

impl Device {
    /// Opens the device that `wanted` describes, in any case:
    ///
    /// - `auto`: the best GPU (discrete, integrated, virtual, other), else the CPU; never a software GPU. One
    ///   whose driver refuses is passed over, which [`Device::why`] says;
    /// - `cpu`; `gpu` (never software); `software`;
    /// - a backend (`vulkan`, `metal`, `dx12`, `gl`, a browser's `webgpu`): its best adapter, software included;
    /// - a part of an adapter's name or driver.
    ///
    /// [`DeviceInfo::choose`] has the order.
    ///
    /// # Errors
    /// [`Error::Device`] when there is none, or when its driver refuses; in a browser, which cannot wait, for any GPU.
    pub fn open(wanted: &str) -> Result<Device> {
        let opened = Device::open_async(wanted);
        #[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
        return pollster::block_on(opened);
        // Only GPUs take time, and a page that waited for one would wait for ever.
        #[cfg(any(not(feature = "gpu"), target_arch = "wasm32"))]
        match std::pin::pin!(opened).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(opened) => opened,
            Poll::Pending => Err(absent(wanted, "a page cannot wait for a GPU: use Device::open_async", &[])),
        }
    }

    /// As [`Device::open`], under any executor; a browser has no other way.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub async fn open_async(wanted: &str) -> Result<Device> {
        let wanted = wanted.trim().to_lowercase();
        match wanted.as_str() {
            "cpu" => Device::cpu(&wanted, "asked for"),
            "" => Err(absent("", "empty; use auto, cpu, gpu, a backend, or part of an adapter's name", &[])),
            _ => Device::search(&wanted).await,
        }
    }

    #[cfg(feature = "gpu")]
    async fn search(wanted: &str) -> Result<Device> {
        let (mut found, mut there, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        let looks = Look::of(wanted);
        for (at, &look) in looks.iter().enumerate() {
            found.extend(crate::gpu::look(look).await);
            there = found.iter().map(|found: &crate::gpu::Found| found.info.clone()).collect();
            let takes = |info: &DeviceInfo| settles(wanted, info, &looks[at + 1..]);
            let open = async |at: usize| crate::gpu::Gpu::open(&found[at]).await;
            if let Some((at, gpu)) = open_best(wanted, &there, takes, open, &mut refused).await? {
                let why = match wanted {
                    "auto" if refused.is_empty() => "the best GPU of this machine".into(),
                    "auto" => format!("the next best GPU; {}", reasons(&refused)),
                    _ => "asked for".into(),
                };
                let executor = Executor::Gpu(Arc::new(gpu));
                return Ok(Device { executor, info: there.swap_remove(at), why });
            }
        }
        // The error names what there is instead.
        for look in Look::all().into_iter().filter(|look| !looks.contains(look)) {
            there.extend(crate::gpu::look(look).await.into_iter().map(|found| found.info));
        }
        match wanted {
            "auto" if !refused.is_empty() => Device::cpu(wanted, &reasons(&refused)),
            "auto" if there.is_empty() => Device::cpu(wanted, NO_DRIVER),
            "auto" => Device::cpu(wanted, NO_GPU),
            "gpu" if !there.is_empty() => {
                Err(absent(wanted, "only software GPUs here (use software to take one)", &there))
            }
            _ => Err(absent(wanted, "no such device", &there)),
        }
    }

    /// As [`Device::open`], but that `auto` keeps in the file `memory` that this machine has no GPU, and does not look
    /// for one again while the machine shows the same devices and drivers. Looking takes some 70 ms where there is
    /// none. Linux only; on other systems every call looks.
    ///
    /// # Errors
    /// As [`Device::open`].
    #[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
    pub fn open_remembering(wanted: &str, memory: &Path) -> Result<Device> {
        let auto = cfg!(feature = "cpu") && wanted.trim().eq_ignore_ascii_case("auto");
        let Some(machine) = auto.then(machine::shown).flatten() else { return Device::open(wanted) };
        if let Some(why) = machine::recall(memory, machine, &[NO_DRIVER, NO_GPU]) {
            return Device::cpu("auto", why);
        }
        let device = Device::open(wanted)?;
        // A driver that refused may not do so again.
        if [NO_DRIVER, NO_GPU].contains(&device.why()) {
            machine::keep(memory, machine, device.why());
        }
        Ok(device)
    }

    /// Takes a device of the caller's own wgpu: sessions submit to its queue, within the limits and features
    /// that it was opened with. Errors and the loss of the device go to the caller's handlers.
    #[cfg(feature = "gpu")]
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Device {
        let gpu = crate::gpu::Gpu::from_wgpu(device, queue);
        let info = gpu.info().clone();
        Device { executor: Executor::Gpu(Arc::new(gpu)), info, why: "the caller's own".into() }
    }

    #[cfg(not(feature = "gpu"))]
    async fn search(wanted: &str) -> Result<Device> {
        match wanted {
            "auto" => Device::cpu(wanted, "this program was built without GPU support"),
            _ => Err(absent(wanted, "this program was built without GPU support (feature gpu)", &[])),
        }
    }

    /// The least that a device must have for [`Device::from_wgpu`]. More is better: wgpu's default
    /// limits are above it, and a device with all that its adapter has holds larger batches and pictures in a submit.
    #[cfg(feature = "gpu")]
    pub fn required_limits() -> wgpu::Limits {
        wgpu::Limits::downlevel_defaults()
    }

    /// What a device for [`Device::from_wgpu`] is asked for besides, where its adapter has it: storage in f16,
    /// subgroups, timestamps, compiled pipelines that are kept.
    #[cfg(feature = "gpu")]
    pub fn optional_features() -> wgpu::Features {
        crate::gpu::optional_features()
    }

    /// The same device opened anew with its cooperative matrices, on which pointwise layers stored in f16 then run, with
    /// sums in f32. They are an experiment of wgpu's, wrong results are known of some drivers, and no device that has
    /// them has run this yet: whoever asks for them gets them only where two layers come out as the reference has them.
    /// Sessions on the device as it was go on.
    ///
    /// # Errors
    /// [`Error::Option`] for a device without them; [`Error::Device`] where they compute wrongly.
    #[cfg(feature = "gpu")]
    pub fn with_matrices(self) -> Result<Device> {
        match &self.executor {
            #[cfg(feature = "cpu")]
            Executor::Cpu(_) => Err(Error::Option(
                "the CPU executor has no cooperative matrices; run without --matrices".into(),
            )),
            Executor::Gpu(gpu) => {
                Ok(Device { executor: Executor::Gpu(Arc::new(gpu.with_matrices()?)), ..self })
            }
        }
    }

    /// The device and its queue, for textures and buffers to be given to a session; `None` for the CPU. On a device
    /// that [`Device::open`] opened, an error of wgpu's outside an error scope counts as the device's failure, whoever
    /// made it.
    #[cfg(feature = "gpu")]
    pub fn wgpu(&self) -> Option<(&wgpu::Device, &wgpu::Queue)> {
        match &self.executor {
            #[cfg(feature = "cpu")]
            Executor::Cpu(_) => None,
            Executor::Gpu(gpu) => Some(gpu.wgpu()),
        }
    }

    /// The CPU, on the threads of the caller's own pool.
    #[cfg(feature = "cpu")]
    pub fn from_rayon(pool: Arc<rayon::ThreadPool>) -> Device {
        Device::of_threads(crate::cpu::Threads::of(pool), "the caller's own pool")
    }

    /// The same device with `count` threads, where it is the CPU; any other as it is.
    ///
    /// # Errors
    /// [`Error::Device`] when the system gives no threads.
    #[cfg(feature = "cpu")]
    pub fn with_threads(self, count: std::num::NonZero<usize>) -> Result<Device> {
        match self.executor {
            Executor::Cpu(_) => Ok(Device::of_threads(crate::cpu::Threads::new(Some(count))?, &self.why)),
            #[cfg(feature = "gpu")]
            Executor::Gpu(_) => Ok(self),
        }
    }

    #[cfg(feature = "cpu")]
    fn of_threads(threads: crate::cpu::Threads, why: &str) -> Device {
        let info = cpu_info(threads.count());
        Device { executor: Executor::Cpu(Arc::new(threads)), info, why: why.into() }
    }

    #[cfg(feature = "cpu")]
    fn cpu(_wanted: &str, why: &str) -> Result<Device> {
        Ok(Device::of_threads(crate::cpu::Threads::new(None)?, why))
    }

    #[cfg(not(feature = "cpu"))]
    fn cpu(wanted: &str, why: &str) -> Result<Device> {
        let built = "this program was built without the CPU executor (feature cpu)";
        Err(absent(wanted, &format!("{built}; {why}"), &[]))
    }

    /// Every device of this machine, best first, software GPUs and then the CPU last. In a browser, which cannot wait,
    /// no GPUs.
    pub fn list() -> Vec<DeviceInfo> {
        #[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
        let gpus = found().map(|found| found.info);
        #[cfg(any(not(feature = "gpu"), target_arch = "wasm32"))]
        let gpus = std::iter::empty();
        #[cfg(feature = "cpu")]
        let cpu = Some(cpu_info(crate::cpu::Threads::default_count()));
        #[cfg(not(feature = "cpu"))]
        let cpu = None;
        let mut infos: Vec<DeviceInfo> = gpus.chain(cpu).collect();
        infos.sort_by_key(DeviceInfo::rank);
        infos
    }

    /// As [`Device::list`], after each was opened once and closed again: with the error of a driver that refuses.
    #[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
    pub fn list_opened() -> Vec<(DeviceInfo, Option<Error>)> {
        let open = |found: crate::gpu::Found| {
            let refused = pollster::block_on(crate::gpu::Gpu::open(&found)).err();
            (found.info, refused)
        };
        let mut tried: Vec<_> = found().map(open).collect();
        #[cfg(feature = "cpu")]
        tried.push((cpu_info(crate::cpu::Threads::default_count()), None));
        tried.sort_by_key(|(info, _)| info.rank());
        tried
    }

    /// What it is.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// What a plan may rely on; `None` for the CPU.
    pub fn limits(&self) -> Option<crate::plan::Limits> {
        match &self.executor {
            #[cfg(feature = "cpu")]
            Executor::Cpu(_) => None,
            #[cfg(feature = "gpu")]
            Executor::Gpu(gpu) => Some(gpu.limits()),
        }
    }

    /// Why it was chosen, for people.
    pub fn why(&self) -> &str {
        &self.why
    }
}

#[cfg(feature = "cpu")]
fn cpu_info(threads: usize) -> DeviceInfo {
    DeviceInfo {
        name: match threads {
            1 => "CPU, 1 thread".into(),
            count => format!("CPU, {count} threads"),
        },
        backend: "cpu",
        kind: crate::info::DeviceKind::Cpu,
        driver: crate::cpu::processor().into(),
        features: Vec::new(),
    }
}

/// Every GPU of this machine.
#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
fn found() -> impl Iterator<Item = crate::gpu::Found> {
    Look::all().into_iter().flat_map(|look| pollster::block_on(crate::gpu::look(look)))
}

/// A place among the devices that were found, and why the driver refused to open that one.
#[cfg(feature = "gpu")]
type Refused = (usize, String);

#[cfg(feature = "gpu")]
fn reasons(refused: &[Refused]) -> String {
    refused.iter().map(|(_, reason)| reason.as_str()).collect::<Vec<_>>().join("; ")
}

/// Opens the first of [`DeviceInfo::choose`] for `wanted`, if it is one that `takes` takes: which, and what `open` made
/// of it. For `auto` one that refuses is put down in `refused`, and the next is tried.
#[cfg(feature = "gpu")]
async fn open_best<T>(
    wanted: &str,
    infos: &[DeviceInfo],
    takes: impl Fn(&DeviceInfo) -> bool,
    open: impl AsyncFn(usize) -> Result<T>,
    refused: &mut Vec<Refused>,
) -> Result<Option<(usize, T)>> {
    for at in DeviceInfo::choose(wanted, infos) {
        if refused.iter().any(|(known, _)| *known == at) {
            continue;
        }
        if !takes(&infos[at]) {
            break;
        }
        match open(at).await {
            Ok(opened) => return Ok(Some((at, opened))),
            Err(Error::Device { reason, .. }) if wanted == "auto" => {
                refused.push((at, format!("{}: {reason}", infos[at])));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn absent(wanted: &str, reason: &str, there: &[DeviceInfo]) -> Error {
    let mut reason = reason.to_string();
    if !there.is_empty() {
        let mut names: Vec<String> = there.iter().map(|info| info.to_string()).collect();
        names.extend(cfg!(feature = "cpu").then(|| "and cpu".into()));
        reason += &format!("; there is: {}", names.join(", "));
    }
    Error::Device { wanted: wanted.into(), reason }
}

#[cfg(all(test, feature = "gpu"))]
mod tests {
    use super::*;
    use crate::info::DeviceKind;

    #[test]
    fn auto_passes_over_a_gpu_that_refuses() {
        let info = |name: &str, kind| DeviceInfo {
            name: name.into(),
            backend: "vulkan",
            kind,
            driver: String::new(),
            features: Vec::new(),
        };
        let infos = [
            info("soft", DeviceKind::Software),
            info("small", DeviceKind::Integrated),
            info("big", DeviceKind::Discrete),
        ];
        // What is asked for, how many refuse before one opens, which opens (`None`: an error), how many are told.
        let rows = [
            ("auto", 0, Some(Some(2)), 0),
            ("auto", 1, Some(Some(1)), 1),
            ("auto", 2, Some(None), 2),
            ("gpu", 0, Some(Some(2)), 0),
            ("gpu", 1, None, 0),
            ("small", 1, None, 0),
            ("nothing", 1, Some(None), 0),
        ];
        for (wanted, refusals, expected, told) in rows {
            let left = std::cell::Cell::new(refusals);
            let open = async |at: usize| match left.replace(left.get() - 1) {
                ..=0 => Ok(at),
                _ => Err(Error::Device { wanted: infos[at].name.clone(), reason: "no memory".into() }),
            };
            let mut refused = Vec::new();
            let opened = pollster::block_on(open_best(wanted, &infos, |_| true, open, &mut refused));
            let place = opened.as_ref().ok().map(|opened| opened.map(|(at, _)| at));
            assert_eq!(place, expected, "{wanted} after {refusals} refusals");
            assert_eq!(refused.len(), told, "{wanted} after {refusals} refusals: {refused:?}");
            let told = "big (vulkan, discrete GPU): no memory";
            assert!(refused.first().is_none_or(|refused| *refused == (2, told.into())), "{refused:?}");
        }
    }
}
