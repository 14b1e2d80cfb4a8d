//! Finding GPUs: every adapter of every backend.

use crate::info::{DeviceInfo, DeviceKind, look::Look};

/// An adapter that can run compute shaders.
pub struct Found {
    /// What it is.
    pub info: DeviceInfo,
    pub(super) adapter: wgpu::Adapter,
}

/// Every adapter of GL, or of the other backends, that can run compute shaders.
pub async fn find(gl: bool) -> Vec<Found> {
    let mut found = Vec::new();
    for look_at in Look::all().into_iter().filter(|look| (*look == Look::Gl) == gl) {
        found.extend(look(look_at).await);
    }
    found
}

/// Every adapter of some backends that can run compute shaders.
pub(crate) async fn look(look: Look) -> Vec<Found> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    let (dx12, gl) = (wgpu::Backends::DX12, wgpu::Backends::GL);
    descriptor.backends = match look {
        Look::First => wgpu::Backends::all() - dx12 - gl,
        Look::Dx12 => dx12,
        Look::Gl => gl,
    };
    descriptor.flags = wgpu::InstanceFlags::from_build_config().with_env();
    let instance = wgpu::Instance::new(descriptor);
    let adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    adapters.into_iter().filter_map(computing).collect()
}

fn computing(adapter: wgpu::Adapter) -> Option<Found> {
    let flags = adapter.get_downlevel_capabilities().flags;
    let info = DeviceInfo::of(&adapter);
    let computes = flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS);
    computes.then_some(Found { info, adapter })
}

impl DeviceInfo {
    /// What a host's adapter is, in the words in which [`Device::list`](crate::Device::list) has it.
    pub fn of(adapter: &wgpu::Adapter) -> DeviceInfo {
        info(adapter.get_info(), adapter.features())
    }
}

/// What wgpu says of an adapter, in our words.
pub(super) fn info(given: wgpu::AdapterInfo, features: wgpu::Features) -> DeviceInfo {
    let backend = match given.backend {
        wgpu::Backend::Metal => "metal",
        wgpu::Backend::Vulkan => "vulkan",
        wgpu::Backend::Dx12 => "dx12",
        wgpu::Backend::Gl => "gl",
        wgpu::Backend::BrowserWebGpu => "webgpu",
        _ => "other",
    };
    // Some drivers of the GL backend do not say that they are software.
    let name = given.name.to_lowercase();
    let software = ["llvmpipe", "softpipe", "swiftshader", "basic render driver"];
    let kind = match given.device_type {
        _ if software.iter().any(|known| name.contains(known)) => DeviceKind::Software,
        wgpu::DeviceType::Cpu => DeviceKind::Software,
        wgpu::DeviceType::DiscreteGpu => DeviceKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => DeviceKind::Integrated,
        wgpu::DeviceType::VirtualGpu => DeviceKind::Virtual,
        wgpu::DeviceType::Other => DeviceKind::Other,
    };
    let known = [
        (wgpu::Features::SHADER_F16, "f16"),
        (wgpu::Features::SUBGROUP, "subgroups"),
        (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
        (wgpu::Features::PIPELINE_CACHE, "pipeline cache"),
        (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative matrices"),
    ];
    DeviceInfo {
        // Browsers keep it to themselves.
        name: if given.name.is_empty() { "the GPU".into() } else { given.name },
        backend,
        kind,
        driver: [given.driver, given.driver_info].join(" ").trim().to_string(),
        features: known.iter().filter(|(bit, _)| features.contains(*bit)).map(|(_, name)| *name).collect(),
    }
}
