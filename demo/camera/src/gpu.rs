//! The one device that draws the window and runs the network.

use crate::plain::plain;
use mobileone::{DeviceInfo, DeviceKind};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// An opened device. Its faults are kept, where wgpu would end the program.
pub struct Gpu {
    /// The adapter it was opened from.
    pub adapter: wgpu::Adapter,
    /// The device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
    /// The same, as sessions run on it: it keeps what they compiled.
    pub network: mobileone::Device,
    /// What it is.
    pub info: DeviceInfo,
    /// All that could have been opened.
    pub found: Vec<DeviceInfo>,
    fault: Arc<Mutex<Option<String>>>,
    lost: Arc<AtomicBool>,
}

/// The instance that windows and devices come from. GL is looked at where no other backend has an adapter.
pub fn instance(display: Option<winit::event_loop::OwnedDisplayHandle>) -> wgpu::Instance {
    let mut descriptor = match display {
        Some(display) => wgpu::InstanceDescriptor::new_with_display_handle(Box::new(display)),
        None => wgpu::InstanceDescriptor::new_without_display_handle(),
    };
    descriptor.flags = wgpu::InstanceFlags::from_build_config().with_env();
    wgpu::Instance::new(descriptor)
}

/// The adapters that can compute, and draw on `surface` if there is one.
pub fn adapters(
    instance: &wgpu::Instance,
    surface: Option<&wgpu::Surface>,
) -> Vec<(DeviceInfo, wgpu::Adapter)> {
    let able = |adapter: &wgpu::Adapter| {
        let computes =
            adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS);
        let enough = mobileone::Device::required_limits().check_limits(&adapter.limits());
        computes && enough && surface.is_none_or(|surface| adapter.is_surface_supported(surface))
    };
    let find = |backends| {
        let found = pollster::block_on(instance.enumerate_adapters(backends));
        found.into_iter().filter(able).map(|adapter| (DeviceInfo::of(&adapter), adapter)).collect::<Vec<_>>()
    };
    match find(wgpu::Backends::METAL | wgpu::Backends::VULKAN | wgpu::Backends::DX12) {
        none if none.is_empty() => find(wgpu::Backends::GL),
        found => found,
    }
}

/// The places in `infos` of what `wanted` opens, best first: for `cpu` and `auto` the best there is, software last,
/// for the window has to be drawn somewhere.
pub fn order(wanted: &str, infos: &[DeviceInfo]) -> Vec<usize> {
    match wanted {
        "cpu" | "auto" => {
            ["gpu", "software"].iter().flat_map(|wanted| DeviceInfo::choose(wanted, infos)).collect()
        }
        _ => DeviceInfo::choose(wanted, infos),
    }
}

impl Gpu {
    /// Opens the first of [`order`] that can be opened. `wake` is called when the device is lost.
    ///
    /// # Errors
    /// A line when there is no such device, or none at all.
    pub fn open(
        instance: &wgpu::Instance,
        surface: Option<&wgpu::Surface>,
        wanted: &str,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Gpu, String> {
        let found = adapters(instance, surface);
        let infos: Vec<DeviceInfo> = found.iter().map(|(info, _)| info.clone()).collect();
        let order = order(wanted, &infos);
        let mut refused =
            String::from("no graphics driver here can draw and compute (on Debian: mesa-vulkan-drivers)");
        if order.is_empty() && !infos.is_empty() {
            let names: Vec<String> = infos.iter().map(DeviceInfo::to_string).collect();
            refused = format!("device \"{wanted}\": not here; there is: {}, and cpu", names.join(", "));
        }
        for at in order {
            match open(&found[at].1) {
                Ok((device, queue)) => {
                    let (adapter, info) = (found[at].1.clone(), infos[at].clone());
                    let network = mobileone::Device::from_wgpu(device.clone(), queue.clone());
                    let gpu = Gpu {
                        adapter,
                        device,
                        queue,
                        network,
                        info,
                        found: infos,
                        fault: Arc::default(),
                        lost: Arc::default(),
                    };
                    gpu.keep_faults(wake);
                    return Ok(gpu);
                }
                Err(error) => refused = format!("{}: {}", infos[at], plain(error)),
            }
        }
        Err(refused)
    }

    fn keep_faults(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        let fault = self.fault.clone();
        self.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            fault.lock().expect("no panic while a fault is kept").get_or_insert_with(|| plain(error));
        }));
        let (fault, lost) = (self.fault.clone(), self.lost.clone());
        self.device.set_device_lost_callback(move |_, message| {
            fault.lock().expect("no panic while a fault is kept").get_or_insert_with(|| plain(message));
            lost.store(true, Ordering::Release);
            wake();
        });
    }

    /// Whether it has to be opened anew.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// The same after a failure, of which the word of a loss may come a moment later; not waited for past `stop`.
    pub fn turns_out_lost(&self, stop: &AtomicBool) -> bool {
        (0..500).take_while(|_| !stop.load(Ordering::Acquire)).any(|_| {
            self.device.poll(wgpu::PollType::Poll).ok();
            self.is_lost() || {
                std::thread::sleep(Duration::from_millis(2));
                false
            }
        })
    }

    /// What wgpu said outside any call since this was last asked.
    pub fn take_fault(&self) -> Option<String> {
        self.fault.lock().expect("no panic while a fault is kept").take()
    }

    /// Whether it is emulated on the processor.
    pub fn is_software(&self) -> bool {
        self.info.kind == DeviceKind::Software
    }
}

fn open(adapter: &wgpu::Adapter) -> Result<(wgpu::Device, wgpu::Queue), wgpu::RequestDeviceError> {
    pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("camera"),
        required_features: adapter.features() & mobileone::Device::optional_features(),
        required_limits: adapter.limits(),
        ..Default::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `auto` and `cpu` are drawn on the best there is, software where there is nothing else.
    #[test]
    fn the_window_is_drawn_on_the_best() {
        let info = |name: &str, kind| DeviceInfo {
            name: name.into(),
            backend: "vulkan",
            kind,
            driver: String::new(),
            features: Vec::new(),
        };
        let infos = [info("llvmpipe", DeviceKind::Software), info("Big", DeviceKind::Discrete)];
        let rows: [(&str, &[usize]); 6] = [
            ("auto", &[1, 0]),
            ("cpu", &[1, 0]),
            ("software", &[0]),
            ("llvmpipe", &[0]),
            ("big", &[1]),
            ("none", &[]),
        ];
        for (wanted, expected) in rows {
            assert_eq!(order(wanted, &infos), expected, "{wanted}");
        }
        assert_eq!(order("auto", &infos[..1]), [0]);
    }
}
