//! What is kept between runs, in the usual folder for such files.

use std::path::PathBuf;

use mobileone::{
    Device, DeviceInfo,
    tune::{self, Kept},
};

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

/// What was measured on `device`; nothing, said in a line, where the file is of no use.
pub fn read(device: &Device) -> Kept {
    let Some(path) = device.limits().and_then(|_| table(device.info())) else { return Kept::default() };
    match tune::read(&path, device.info()) {
        Ok(kept) => kept.unwrap_or_default(),
        Err(reason) => {
            note(&plain(&reason));
            Kept::default()
        }
    }
}

/// Where the compiled pipelines of `device` are kept, if its backend gives them out.
pub fn pipelines(device: &Device) -> Option<PathBuf> {
    let path = file(device.info(), "pipelines");
    let path = path.filter(|_| device.info().features.contains(&"pipeline cache"))?;
    // Where the folder cannot be made, nothing is kept.
    std::fs::create_dir_all(path.parent()?).ok()?;
    Some(path)
}
