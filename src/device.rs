//! Devices: what there is, and which to take.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    info::DeviceInfo,
};

/// An opened device; clones share it.
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
    /// - `auto`: the best GPU (discrete, integrated, virtual, other), else the CPU; never a software GPU;
    /// - `cpu`; `gpu` (never software); `software`;
    /// - a backend (`vulkan`, `metal`, `dx12`, `gl`): its best adapter, software included;
    /// - a part of an adapter's name or driver.
    ///
    /// # Errors
    /// [`Error::Device`] when there is none, or when its driver refuses.
    pub fn open(wanted: &str) -> Result<Device> {
        let wanted = wanted.trim().to_lowercase();
        match wanted.as_str() {
            "cpu" => Device::cpu("asked for"),
            "" => Err(absent("", "empty; use auto, cpu, gpu, a backend, or part of an adapter's name", &[])),
            _ => Device::search(&wanted),
        }
    }

    #[cfg(feature = "gpu")]
    fn search(wanted: &str) -> Result<Device> {
        let auto = wanted == "auto";
        let answers = |found: &crate::gpu::Found| found.info.answers(if auto { "gpu" } else { wanted });
        let mut found = crate::gpu::find(false);
        if !found.iter().any(answers) {
            found = crate::gpu::find(true);
        }
        let pick = found.iter().find(|found| answers(found));
        let infos: Vec<&DeviceInfo> = found.iter().map(|found| &found.info).collect();
        match pick {
            Some(pick) => {
                let why = if auto { "the best GPU of this machine" } else { "asked for" };
                Ok(Device {
                    executor: Executor::Gpu(Arc::new(crate::gpu::Gpu::open(pick)?)),
                    info: pick.info.clone(),
                    why: why.into(),
                })
            }
            None if auto && infos.is_empty() => {
                Device::cpu("this machine has no GPU driver that can be used")
            }
            None if auto => {
                Device::cpu("this machine has no GPU; its software GPU is slower than the CPU itself")
            }
            None if wanted == "gpu" && !infos.is_empty() => {
                Err(absent(wanted, "only software GPUs here (use software to take one)", &infos))
            }
            None => Err(absent(wanted, "no such device", &infos)),
        }
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
    fn search(wanted: &str) -> Result<Device> {
        match wanted {
            "auto" => Device::cpu("this program was built without GPU support"),
            _ => Err(absent(wanted, "this program was built without GPU support (feature gpu)", &[])),
        }
    }

    #[cfg(feature = "cpu")]
    fn cpu(why: &str) -> Result<Device> {
        let threads = Arc::new(crate::cpu::Threads::new()?);
        let info = cpu_info(threads.count());
        Ok(Device { executor: Executor::Cpu(threads), info, why: why.into() })
    }

    #[cfg(not(feature = "cpu"))]
    fn cpu(_why: &str) -> Result<Device> {
        Err(absent("cpu", "this program was built without the CPU executor (feature cpu)", &[]))
    }

    /// Every device of this machine, best first, software GPUs and then the CPU last.
    pub fn list() -> Vec<DeviceInfo> {
        #[cfg(feature = "gpu")]
        let gpus = crate::gpu::find(true).into_iter().map(|found| found.info);
        #[cfg(not(feature = "gpu"))]
        let gpus = std::iter::empty();
        #[cfg(feature = "cpu")]
        let cpu = Some(cpu_info(crate::cpu::Threads::default_count()));
        #[cfg(not(feature = "cpu"))]
        let cpu = None;
        gpus.chain(cpu).collect()
    }

    /// What it is.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
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
        driver: std::env::consts::ARCH.into(),
        features: Vec::new(),
    }
}

fn absent(wanted: &str, reason: &str, there: &[&DeviceInfo]) -> Error {
    let mut reason = reason.to_string();
    if !there.is_empty() {
        let names: Vec<String> = there.iter().map(|info| info.to_string()).collect();
        reason += &format!("; there is: {}, and cpu", names.join(", "));
    }
    Error::Device { wanted: wanted.into(), reason }
}
