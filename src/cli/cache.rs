//! What is kept between runs, in the usual folder for such files.

use std::path::PathBuf;

use mobileone::{Device, DeviceInfo, Options, plan::Tuning, tune};

use super::out::{note, plain};

/// The folder: `MOBILEONE_CACHE`, else the system's; `None` where there is none.
fn folder() -> Option<PathBuf> {
    let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = path("MOBILEONE_CACHE") {
        return Some(folder);
    }
    let system = match std::env::consts::OS {
        "windows" => path("LOCALAPPDATA"),
        "macos" => path("HOME").map(|home| home.join("Library/Caches")),
        _ => path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache"))),
    };
    system.map(|system| system.join("mobileone"))
}

/// A device's file in it.
fn file(info: &DeviceInfo, ending: &str) -> Option<PathBuf> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = format!("{} {}", info.backend, info.name).chars().map(plain).collect();
    Some(folder()?.join(format!("{name}.{ending}")))
}

/// Where the choices are that were measured on a device.
pub fn table(info: &DeviceInfo) -> Option<PathBuf> {
    file(info, "json")
}

/// `options` with what is kept for `device`: its choices, and where its pipelines are.
pub fn keep(device: &Device, options: Options) -> Options {
    if device.limits().is_none() {
        return options;
    }
    let info = device.info();
    let measured = table(info).map(|path| tune::read(&path, info)).unwrap_or(Ok(None));
    let measured = measured.unwrap_or_else(|reason| {
        note(&plain(&reason));
        None
    });
    let layers = measured.unwrap_or_default().layers;
    let cache = file(info, "pipelines").filter(|_| info.features.contains(&"pipeline cache"));
    if let Some(folder) = cache.as_ref().and_then(|path| path.parent()) {
        // Where it cannot be made, nothing is kept.
        let _ = std::fs::create_dir_all(folder);
    }
    Options { tuning: Tuning { layers, ..options.tuning }, cache, ..options }
}
