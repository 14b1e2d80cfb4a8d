//! What is known of a device before it is opened.

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU inside a virtual machine.
    Virtual,
    /// Something else that calls itself a GPU.
    Other,
    /// A GPU emulated on the processor; far slower than [`DeviceKind::Cpu`].
    Software,
    /// This library's own executor.
    Cpu,
}

impl std::fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            DeviceKind::Discrete => "discrete GPU",
            DeviceKind::Integrated => "integrated GPU",
            DeviceKind::Virtual => "virtual GPU",
            DeviceKind::Other => "GPU",
            DeviceKind::Software => "software GPU",
            DeviceKind::Cpu => "CPU",
        })
    }
}

/// What is known of a device before it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The adapter's name.
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, `gl` or `cpu`.
    pub backend: &'static str,
    /// What it is.
    pub kind: DeviceKind,
    /// Driver and version, as the driver says them.
    pub driver: String,
    /// Features that matter here, such as `f16`, `subgroups`, `timestamps`.
    pub features: Vec<&'static str>,
}

impl DeviceInfo {
    /// Whether `wanted`, in lower case, describes this device.
    pub fn answers(&self, wanted: &str) -> bool {
        match wanted {
            "gpu" => !matches!(self.kind, DeviceKind::Software | DeviceKind::Cpu),
            "software" => self.kind == DeviceKind::Software,
            "metal" | "vulkan" | "dx12" | "gl" => self.backend == wanted,
            part => [&self.name, &self.driver].iter().any(|text| text.to_lowercase().contains(part)),
        }
    }
}

impl std::fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.kind {
            DeviceKind::Cpu => write!(f, "{}", self.name),
            kind => write!(f, "{} ({}, {kind})", self.name, self.backend),
        }
    }
}
