//! What is known of a device before it is opened.

#[cfg(feature = "gpu")]
pub(crate) mod look;

/// What a device is, from the best to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// `vulkan`, `metal`, `dx12`, `gl`, `webgpu` or `cpu`.
    pub backend: &'static str,
    /// What it is.
    pub kind: DeviceKind,
    /// Driver and version, as the driver reports them; of the CPU its name and the instruction set that the executor
    /// takes: `AMD EPYC 9654 96-Core Processor, AVX-512`.
    pub driver: String,
    /// Features that matter here, such as `f16`, `subgroups`, `timestamps`.
    pub features: Vec<&'static str>,
}

impl DeviceInfo {
    /// The places in `infos` of those that `wanted` describes, in any case, best first:
    ///
    /// - `auto`: every GPU but software, then the CPU; `gpu`: the same without the CPU;
    /// - `cpu`; `software`; a backend (`metal`, `vulkan`, `dx12`, `gl`, `webgpu`), software included;
    /// - anything else is a part of a GPU's name or driver.
    ///
    /// Software comes last; before that what only GL shows; then discrete, integrated, virtual, other; of one
    /// kind Metal, Vulkan, DX12.
    pub fn choose(wanted: &str, infos: &[DeviceInfo]) -> Vec<usize> {
        let wanted = wanted.trim().to_lowercase();
        let mut places: Vec<usize> = (0..infos.len()).filter(|&at| infos[at].answers(&wanted)).collect();
        places.sort_by_key(|&at| infos[at].rank());
        places
    }

    /// Whether `wanted`, in lower case, describes this device.
    fn answers(&self, wanted: &str) -> bool {
        let gpu = self.kind != DeviceKind::Cpu;
        match wanted {
            "" => false,
            "auto" => self.kind != DeviceKind::Software,
            "gpu" => gpu && self.kind != DeviceKind::Software,
            "software" => self.kind == DeviceKind::Software,
            "cpu" | "metal" | "vulkan" | "dx12" | "gl" | "webgpu" => self.backend == wanted,
            part => gpu && [&self.name, &self.driver].iter().any(|text| text.to_lowercase().contains(part)),
        }
    }

    /// The less, the better. Of one GPU seen through several backends, the first backend is taken; GL stands
    /// behind all kinds of the others, so that it need be looked at only where they have no answer.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        let behind = match self.kind {
            DeviceKind::Software => 1,
            DeviceKind::Cpu => 2,
            _ => 0,
        };
        let backend = ["metal", "vulkan", "dx12", "gl"].iter().position(|known| *known == self.backend);
        (behind, self.backend == "gl", self.kind as u8, backend.unwrap_or(usize::MAX))
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
