//! The only room that names wgpu: a device, and the engine that runs a plan on it.

mod adapters;
mod cache;
mod compile;
mod engine;
mod frame;
mod front;
mod kept;
mod layout;
mod limit;
mod matrices;
mod profile;
mod readback;
mod source;
mod ticket;
mod trace;

use std::sync::{Arc, Mutex};

pub(crate) use adapters::look;
pub use adapters::{Found, find};
pub use engine::Engine;
pub(crate) use profile::Clock;
pub use readback::OutputBuffer;
pub use source::Source;
pub use ticket::Ticket;
pub use trace::Traced;

use crate::{
    error::{Error, Result},
    info::{DeviceInfo, DeviceKind},
    plan::{Class, Limits},
    tensor::DType,
};

/// An opened GPU. Faults that wgpu reports outside any call are kept and told at the next one.
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: DeviceInfo,
    limits: Limits,
    /// What it was opened from; `None` for a caller's own device.
    adapter: Option<wgpu::Adapter>,
    /// Pipelines of sessions so far.
    kept: kept::Kept<wgpu::ComputePipeline>,
    fault: Arc<Mutex<Option<String>>>,
    /// Whether faults reach `fault`; else the device's handlers are its owner's.
    told: bool,
}

impl Gpu {
    /// Opens an adapter with all its limits and those of its features that are of use here.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver refuses.
    pub async fn open(found: &Found) -> Result<Gpu> {
        Gpu::request(&found.adapter, found.info.clone(), 0).await
    }

    /// Opens `adapter`; with cooperative matrices of `matrix` rows and columns, unless that is 0.
    async fn request(adapter: &wgpu::Adapter, info: DeviceInfo, matrix: usize) -> Result<Gpu> {
        let mut descriptor = wgpu::DeviceDescriptor {
            label: Some("mobileone"),
            required_features: adapter.features() & optional_features(),
            required_limits: adapter.limits(),
            ..Default::default()
        };
        if matrix > 0 {
            matrices::enable(&mut descriptor);
        }
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|error| Error::Device {
            wanted: info.name.clone(),
            reason: format!("the driver refuses to open it: {error}"),
        })?;
        let mut gpu = Gpu::new(device, queue, info);
        gpu.limits.matrix = matrix;
        gpu.adapter = Some(adapter.clone());
        gpu.keep_faults();
        Ok(gpu)
    }

    /// Takes a device that somebody else opened, with the limits and features that it was given. Its handlers
    /// of errors and of its loss stay the caller's.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Gpu {
        let info = adapters::info(device.adapter_info(), device.features());
        Gpu::new(device, queue, info)
    }

    /// Keeps what wgpu reports outside any call; without this it would end the program.
    fn keep_faults(&mut self) {
        self.told = true;
        let keep = |fault: &Arc<Mutex<Option<String>>>| {
            let fault = fault.clone();
            move |reason: String| {
                fault.lock().expect("no panic while a fault is kept").get_or_insert(reason);
            }
        };
        let on_error = keep(&self.fault);
        self.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| on_error(error.to_string())));
        let on_loss = keep(&self.fault);
        self.device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                on_loss(format!("the device is lost: {message}"));
            }
        });
    }

    fn new(device: wgpu::Device, queue: wgpu::Queue, info: DeviceInfo) -> Gpu {
        let given = device.limits();
        let limits = Limits {
            binding: given.max_storage_buffer_binding_size,
            buffer: given.max_buffer_size,
            workgroups: given.max_compute_workgroups_per_dimension,
            macs_per_second: macs_per_second(info.kind),
            shared: given.max_compute_workgroup_storage_size as usize,
            storage_buffers: given.max_storage_buffers_per_shader_stage as usize,
            subgroup: subgroup(&device),
            matrix: 0,
            class: class(&info),
        };
        Gpu {
            device,
            queue,
            info,
            limits,
            adapter: None,
            kept: kept::Kept::default(),
            fault: Arc::default(),
            told: false,
        }
    }

    /// The device and its queue.
    pub fn wgpu(&self) -> (&wgpu::Device, &wgpu::Queue) {
        (&self.device, &self.queue)
    }

    /// What it is.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// What a plan may rely on.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether maps and weights may be stored as `dtype`.
    pub fn supports(&self, dtype: DType) -> bool {
        dtype == DType::F32 || self.device.features().contains(wgpu::Features::SHADER_F16)
    }

    /// The error of a device that failed.
    fn failure(&self, reason: impl Into<String>) -> Error {
        Error::DeviceFailure { device: self.info.name.clone(), reason: reason.into() }
    }

    /// The same, kept: nothing more is submitted to a device that hangs.
    fn fail(&self, reason: impl Into<String>) -> Error {
        let reason = reason.into();
        self.fault.lock().expect("no panic while a fault is kept").get_or_insert(reason.clone());
        self.failure(reason)
    }

    /// What went wrong outside any call, if anything did. A lost device stays lost.
    fn check(&self) -> Result<()> {
        let fault = self.fault.lock().expect("no panic while a fault is kept");
        match &*fault {
            Some(reason) => Err(self.failure(reason.clone())),
            None => Ok(()),
        }
    }

    /// Runs `record`, which is on the hot path: an error scope is opened only where faults are not kept. After
    /// an error the device counts as failed, for the frame is lost.
    fn guarded<T>(&self, record: impl FnOnce() -> Result<T>) -> Result<T> {
        let done = if self.told { record() } else { self.scoped("submit", record).flatten() };
        if let Err(Error::DeviceFailure { reason, .. }) = &done {
            self.fail(reason.clone());
        }
        self.check()?;
        done
    }

    /// Runs `make`, which may be on the hot path, and what wgpu finds wrong with what it was given; in a browser that
    /// comes as a fault instead.
    fn validated<T>(&self, make: impl FnOnce() -> T) -> (T, Option<String>) {
        if cfg!(target_arch = "wasm32") {
            return (make(), None);
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let made = make();
        (made, pollster::block_on(scope.pop()).map(|error| error.to_string()))
    }

    /// Runs `make`, and gives its validation or memory error instead of losing it. A browser tells it later only,
    /// and nobody may wait there: it comes as a fault, or to the handlers of a device that is the caller's.
    fn scoped<T>(&self, what: &str, make: impl FnOnce() -> T) -> Result<T> {
        match cfg!(target_arch = "wasm32") {
            true => Ok(make()),
            false => pollster::block_on(self.watched(what, make)),
        }
    }

    /// The same, under any executor, and in a browser too.
    pub(crate) async fn watched<T>(&self, what: &str, make: impl FnOnce() -> T) -> Result<T> {
        let filters =
            [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation];
        let scopes = filters.map(|filter| self.device.push_error_scope(filter));
        let made = make();
        let mut first = None;
        // Every scope has to be popped, whatever the first one says, and before anybody waits.
        let popped = scopes.into_iter().rev().map(|scope| scope.pop()).collect::<Vec<_>>();
        for error in popped {
            first = first.or(error.await);
        }
        match first {
            Some(error) => Err(self.failure(format!("{what}: {error}"))),
            None => Ok(made),
        }
    }
}

/// The features that the engine uses where they are there.
pub fn optional_features() -> wgpu::Features {
    wgpu::Features::SHADER_F16
        | wgpu::Features::SUBGROUP
        | wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::PIPELINE_CACHE
}

/// A cautious guess of a device's speed, which only bounds how much one submit holds.
fn macs_per_second(kind: DeviceKind) -> u64 {
    match kind {
        DeviceKind::Discrete => 1_000_000_000_000,
        DeviceKind::Integrated | DeviceKind::Virtual | DeviceKind::Other => 100_000_000_000,
        DeviceKind::Software | DeviceKind::Cpu => 5_000_000_000,
    }
}

/// Lanes of every subgroup, where that is one number; none in browsers, whose WGSL wants a directive that naga refuses.
fn subgroup(device: &wgpu::Device) -> usize {
    let info = device.adapter_info();
    let there = device.features().contains(wgpu::Features::SUBGROUP);
    match there && info.backend != wgpu::Backend::BrowserWebGpu {
        true if info.subgroup_min_size == info.subgroup_max_size => info.subgroup_max_size as usize,
        _ => 0,
    }
}

/// What suits a device, by its kind and its maker.
fn class(info: &DeviceInfo) -> Class {
    let name = info.name.to_lowercase();
    let phone = ["adreno", "mali", "immortalis", "powervr", "xclipse", "videocore", "vivante"];
    match info.kind {
        DeviceKind::Software | DeviceKind::Cpu => Class::Software,
        _ if info.backend == "metal" && !name.contains("amd") && !name.contains("intel") => Class::Apple,
        _ if name.starts_with("apple") => Class::Apple,
        _ if phone.iter().any(|known| name.contains(known)) => Class::Mobile,
        DeviceKind::Discrete => Class::Discrete,
        DeviceKind::Integrated | DeviceKind::Virtual | DeviceKind::Other => Class::Integrated,
    }
}
