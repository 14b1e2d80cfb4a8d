//! The order in which backends are looked at, each of which takes time.

use super::{DeviceInfo, DeviceKind};

/// Backends that are looked at together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A system's own: Vulkan, Metal, a browser's WebGPU.
    First,
    /// Direct3D 12, which shows the GPUs that Vulkan shows, where their drivers have both.
    Dx12,
    /// GL, which shows those with old drivers.
    Gl,
}

impl Look {
    /// All that this system may have, in order.
    pub fn all() -> Vec<Look> {
        let mut all = vec![Look::First, Look::Dx12, Look::Gl];
        all.retain(|look| *look != Look::Dx12 || cfg!(windows));
        all
    }

    /// Those that may show what `wanted`, in lower case, describes.
    pub fn of(wanted: &str) -> Vec<Look> {
        match wanted {
            "vulkan" | "metal" | "webgpu" => vec![Look::First],
            "dx12" => vec![Look::Dx12],
            "gl" => vec![Look::Gl],
            _ => Look::all(),
        }
    }

    /// Whether it may show a GPU that is better than `info`.
    fn may_better(self, info: &DeviceInfo) -> bool {
        let backend = match self {
            Look::First => "metal",
            Look::Dx12 => "dx12",
            Look::Gl => "gl",
        };
        DeviceInfo { backend, kind: DeviceKind::Discrete, ..info.clone() }.rank() < info.rank()
    }
}

/// Whether `info`, which `wanted` describes, is taken while `left` is not looked at yet: somebody who wants the best
/// GPU waits for a better one, others take the first that is what they named.
pub fn settles(wanted: &str, info: &DeviceInfo, left: &[Look]) -> bool {
    let best = matches!(wanted, "auto" | "gpu");
    !best || !left.iter().any(|look| look.may_better(info))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_bettered_is_taken_at_once() {
        use DeviceKind::{Discrete, Integrated, Software};
        let both = [Look::Dx12, Look::Gl];
        for (wanted, backend, kind, left, expected) in [
            ("auto", "vulkan", Discrete, &both[..], true),
            ("auto", "vulkan", Integrated, &both, false),
            ("gpu", "vulkan", Integrated, &both, false),
            ("auto", "vulkan", Integrated, &both[1..], true),
            ("auto", "metal", Integrated, &both[1..], true),
            ("auto", "dx12", Integrated, &both[1..], true),
            ("auto", "gl", Integrated, &[], true),
            ("software", "vulkan", Software, &both, true),
            ("arc", "vulkan", Integrated, &both, true),
        ] {
            let name = "a GPU".to_string();
            let info = DeviceInfo { name, backend, kind, driver: String::new(), features: Vec::new() };
            assert_eq!(settles(wanted, &info, left), expected, "{wanted} {info} {left:?}");
        }
        assert_eq!((Look::of("gl"), Look::of("metal")), (vec![Look::Gl], vec![Look::First]));
        assert_eq!(Look::of("auto"), Look::all());
    }
}
