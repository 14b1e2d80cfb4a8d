//! What is kept between runs, in the usual folder for such files.

use std::path::PathBuf;

use mobileone::{
    Device, Error,
    tune::{self, Kept},
};

use crate::out::{note, plain};

/// The device that `wanted` describes; that this machine has no GPU is remembered from run to run.
pub fn open(wanted: &str) -> Result<Device, Error> {
    match search() {
        Some(memory) => Device::open_remembering(wanted, &memory),
        None => Device::open(wanted),
    }
}

/// Where it is remembered.
fn search() -> Option<PathBuf> {
    Some(tune::folder()?.join("no-gpu"))
}

/// Has the next search look anew.
pub fn forget_search() {
    // Where there is no such file, that is so already.
    let _ = search().map(std::fs::remove_file);
}

/// What was measured on `device`; nothing, said in a line, where the file is of no use.
pub fn read(device: &Device) -> Kept {
    let Some(path) = device.limits().and_then(|_| tune::place(device.info())) else { return Kept::default() };
    match tune::read(&path, device.info()) {
        Ok(kept) => kept.unwrap_or_default(),
        Err(reason) => {
            note(&format!("warning: {}", plain(&reason)));
            Kept::default()
        }
    }
}

/// Where the compiled pipelines of `device` are kept, if its backend gives them out.
pub fn pipelines(device: &Device) -> Option<PathBuf> {
    let path = tune::kept(device.info(), "pipelines");
    let path = path.filter(|_| device.info().features.contains(&"pipeline cache"))?;
    // Where the folder cannot be made, nothing is kept.
    std::fs::create_dir_all(path.parent()?).ok()?;
    Some(path)
}
