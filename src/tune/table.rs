//! The file: choices by layer, of one device, its driver, and one version of the shaders.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Fastest;
use crate::{
    files::{sum, try_write, write_whole},
    graph::{Activation::Relu as RELU, Conv, Graph, Op, Window},
    info::DeviceInfo,
    kernels::{Choice, Head, choices, shaders},
    plan::{Layer, Limits, Plan, Tuning},
    tensor::{DType, Shape},
    weights::Weights,
};

/// What is known of a device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// The choices that were measured.
    pub tuning: Tuning,
    /// How whole networks run the fastest, by their [keys](super::network).
    pub networks: BTreeMap<String, Fastest>,
}

impl Kept {
    /// What is known of a network: in f32 on the device, where it was not measured.
    pub fn fastest(&self, network: &str) -> Fastest {
        self.networks.get(network).copied().unwrap_or_default()
    }
}

#[derive(Serialize, Deserialize)]
struct Table {
    device: String,
    driver: String,
    /// The texts of the shaders and what fills them in, summed up.
    texts: String,
    /// Storages and executors by the keys of their networks.
    networks: BTreeMap<String, Fastest>,
    /// What people call those networks.
    #[serde(default)]
    names: BTreeMap<String, String>,
    /// Choices by their layers, both as they are written.
    layers: BTreeMap<String, String>,
}

impl Table {
    /// Why it says nothing of `info`, or of any device if none is given, to this program.
    fn fault(&self, info: Option<&DeviceInfo>) -> Option<&'static str> {
        let other = |info: &DeviceInfo| self.device != info.to_string() || self.driver != info.driver;
        match info {
            Some(info) if other(info) => {
                Some("measured on another device or driver (mobileone tune measures anew)")
            }
            _ if self.texts != texts() => Some("measured with other shaders (mobileone tune measures anew)"),
            _ => None,
        }
    }
}

/// A table that is kept.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Held {
    /// Its file.
    pub path: PathBuf,
    /// The device that it is of, as [`DeviceInfo`] is written.
    pub device: String,
    /// The driver that it holds for.
    pub driver: String,
    /// Layers that have a choice.
    pub layers: usize,
    /// How whole networks run the fastest, with their names, or their keys where an older version wrote them.
    pub networks: Vec<(String, Fastest)>,
    /// Why it is of no use to this program.
    pub fault: Option<String>,
}

/// The tables in `folder`, by name; of other files there, none.
pub fn held(folder: &Path) -> Vec<Held> {
    let mut all = Vec::new();
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let text =
            if path.extension().is_some_and(|end| end == "json") { std::fs::read(&path).ok() } else { None };
        let Some(table) = text.and_then(|text| serde_json::from_slice::<Table>(&text).ok()) else { continue };
        let fault = table.fault(None).map(String::from);
        let Table { device, driver, networks, names, layers, .. } = table;
        let named = |(key, fastest)| (names.get(&key).cloned().unwrap_or(key), fastest);
        let networks = networks.into_iter().map(named).collect();
        all.push(Held { path, device, driver, layers: layers.len(), networks, fault });
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

/// What speeds hang on besides the device, summed up: every shader's text, how each choice fills a head and lays its
/// grid out, and the version of the rest.
fn texts() -> String {
    let texts = shaders().map(|shader| shader.text.to_string());
    let kernels = kernels().into_iter().map(|kernel| format!("{kernel:?}"));
    let rest = env!("CARGO_PKG_VERSION").to_string();
    let all: Vec<String> = texts.chain(kernels).chain([rest]).collect();
    format!("{:016x}", sum(all.iter().flat_map(|text| text.bytes())))
}

/// The head and the workgroups that each choice gives a layer of its kind; but those that leave nothing to choose.
fn kernels() -> Vec<(Choice, Head, usize)> {
    let (graph, weights) = layers();
    let of = |choice: Choice| {
        let src = Shape::new(1, 56, 56, 3);
        let layer = Layer {
            kind: choice.kind(),
            src,
            dst: src,
            dtype: DType::F16,
            fast: false,
            window: [1, 1],
            matrix: 0,
        };
        let needs = choice.needs(&layer)?;
        let limits = Limits {
            subgroup: needs.lanes,
            matrix: needs.matrix,
            shared: 32 << 10,
            storage_buffers: needs.buffers.max(Limits::LEAST.storage_buffers),
            ..Limits::LEAST
        };
        let dtype = if needs.matrix > 0 { DType::F16 } else { DType::F32 };
        let tuning = Tuning { fast: needs.fast, ..Tuning::only(choice) };
        let plan = Plan::new(&graph, &weights, src, dtype, limits, &tuning).expect("a plan of known layers");
        let kernel = plan.dispatches.into_iter().find(|one| one.choice == Some(choice))?.kernel;
        Some((choice, kernel.head, kernel.workgroups))
    };
    choices().filter_map(of).collect()
}

/// A layer of each kind.
fn layers() -> (Graph, Weights) {
    let (mut graph, mut weights) = (Graph::default(), Weights::new());
    let mut last = graph.push("input", Op::Input { channels: 3 }, &[]);
    let of = |groups, window| Conv { src_c: 256, dst_c: 256, groups, window };
    for (name, conv) in [
        ("stem", Conv { src_c: 3, ..of(1, Window::square(3, 2, 1)) }),
        ("conv", of(4, Window::square(3, 1, 1))),
        ("depthwise", Conv::depthwise(256, Window::square(3, 2, 1))),
        ("pointwise", Conv::pointwise(256, 256)),
    ] {
        let shape = conv.weight();
        weights.insert(name, &shape, vec![0.0; shape.iter().product()]);
        last =
            graph.push(name, Op::Conv { conv, weight: name.into(), bias: None, activation: RELU }, &[last]);
    }
    let pool = graph.push("pool", Op::MEAN, &[last]);
    weights.insert("head", &[16, 256], vec![0.0; 16 * 256]);
    let activation = crate::graph::Activation::None;
    let head = Op::Linear { src_c: 256, dst_c: 16, weight: "head".into(), bias: None, activation };
    let logits = graph.push("head", head, &[pool]);
    graph.give("logits", logits);
    (graph, weights)
}

/// What was measured on the device `info`, from the file at `path`; `None` where there is no file.
///
/// # Errors
/// Why the file is of no use, in a line that names it: it cannot be read, or is of another device, driver or
/// version.
pub fn read(path: &Path, info: &DeviceInfo) -> Result<Option<Kept>, String> {
    let about =
        |reason: &str| format!("{}: {reason}; the choices of the device's class are taken", path.display());
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(about(&error.to_string())),
    };
    let Ok(table) = serde_json::from_slice::<Table>(&bytes) else {
        return Err(about("not a table of choices"));
    };
    if let Some(fault) = table.fault(Some(info)) {
        return Err(about(fault));
    }
    let mut layers = BTreeMap::new();
    for (layer, name) in table.layers {
        let layer: Layer = layer.parse().map_err(|reason: String| about(&reason))?;
        let choice = Choice::named(&name).ok_or_else(|| about(&format!("no choice is called {name:?}")))?;
        layers.insert(layer, choice);
    }
    let tuning = Tuning { layers, ..Tuning::default() };
    Ok(Some(Kept { tuning, networks: table.networks }))
}

/// Where the `mobileone` command keeps what it measured on the device `info`, for other programs to share: in
/// `MOBILEONE_CACHE`, else in the system's folder for such files; `None` where there is neither.
pub fn place(info: &DeviceInfo) -> Option<PathBuf> {
    kept(info, "json")
}

/// A device's file of one kind in that folder.
pub fn kept(info: &DeviceInfo, ending: &str) -> Option<PathBuf> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = format!("{} {}", info.backend, info.name).chars().map(plain).collect();
    Some(folder()?.join(format!("{name}.{ending}")))
}

/// That folder: what the command keeps from run to run.
pub fn folder() -> Option<PathBuf> {
    let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let system = || match std::env::consts::OS {
        "windows" => path("LOCALAPPDATA"),
        "macos" => path("HOME").map(|home| home.join("Library/Caches")),
        _ => path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache"))),
    };
    path("MOBILEONE_CACHE").or_else(|| system().map(|system| system.join("mobileone")))
}

/// Makes the folder of `path`, and tries whether [`write()`] can write there: better known before a measurement.
///
/// # Errors
/// Those of the file system.
pub fn writable(path: &Path) -> std::io::Result<()> {
    try_write(path)
}

/// Writes what is known of the device `info` to the file at `path`, with what it held of other layers and networks.
///
/// # Errors
/// Those of the file system.
pub fn write(path: &Path, info: &DeviceInfo, kept: &Kept) -> std::io::Result<()> {
    write_named(path, info, kept, &BTreeMap::new())
}

/// The same, with what people call the networks, by their keys: [`held`] lists them so.
///
/// # Errors
/// Those of the file system.
pub fn write_named(
    path: &Path,
    info: &DeviceInfo,
    kept: &Kept,
    names: &BTreeMap<String, String>,
) -> std::io::Result<()> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let old = serde_json::from_slice::<Table>(&bytes).ok().filter(|old| old.fault(Some(info)).is_none());
    let mut all = old.map(|old| old.names).unwrap_or_default();
    all.extend(names.clone());
    let Kept { tuning, mut networks } = read(path, info).ok().flatten().unwrap_or_default();
    networks.extend(kept.networks.iter().map(|(key, fastest)| (key.clone(), *fastest)));
    let mut layers = tuning.layers;
    layers.extend(&kept.tuning.layers);
    let layers = layers.into_iter().map(|(layer, choice)| (layer.to_string(), choice.to_string())).collect();
    let (device, driver, texts) = (info.to_string(), info.driver.clone(), texts());
    let table = Table { device, driver, texts, networks, names: all, layers };
    write_whole(path, &serde_json::to_vec_pretty(&table)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What lies in Rust and not in a shader's text is in the sum.
    #[test]
    fn heads_and_grids_are_summed_up() {
        let all = kernels();
        for (name, line) in
            [("block 4x2 over 8", "CHUNK"), ("subgroup 8 of 32", "SUBGROUPS"), ("matrix 16 by 2", "ROWS")]
        {
            let of = |(choice, head, workgroups): &(Choice, Head, usize)| {
                choice.to_string() == name && head.iter().any(|(known, _)| *known == line) && *workgroups > 0
            };
            assert!(all.iter().any(of), "{name}: {all:?}");
        }
        assert_eq!(choices().count() - all.len(), 4, "those by themselves, and those of pictures");
    }
}
