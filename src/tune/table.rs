//! The file: choices by layer, of one device, its driver, and one version of the shaders.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    info::DeviceInfo,
    kernels::{Choice, SHADERS},
    plan::Tuning,
};

#[derive(Serialize, Deserialize)]
struct Table {
    device: String,
    driver: String,
    /// The texts of the shaders, summed up.
    texts: String,
    /// Choices by the keys of their layers.
    layers: BTreeMap<String, String>,
}

/// FNV-1a over every shader's text: another text, another speed.
fn texts() -> String {
    let bytes = SHADERS.iter().flat_map(|shader| shader.text.bytes());
    let sum = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{sum:016x}")
}

/// The choices that were measured on the device `info`, from the file at `path`; `None` where there is no file.
///
/// # Errors
/// Why the file is of no use, in a line that names it: it cannot be read, or is of another device, driver or
/// version.
pub fn read(path: &Path, info: &DeviceInfo) -> Result<Option<Tuning>, String> {
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
    if table.device != info.to_string() || table.driver != info.driver {
        return Err(about("measured on another device or driver (mobileone tune measures anew)"));
    }
    if table.texts != texts() {
        return Err(about("measured with other shaders (mobileone tune measures anew)"));
    }
    let mut layers = BTreeMap::new();
    for (key, name) in table.layers {
        match Choice::named(&name) {
            Some(choice) => layers.insert(key, choice),
            None => return Err(about(&format!("no choice is called {name:?}"))),
        };
    }
    Ok(Some(Tuning { layers, ..Tuning::default() }))
}

/// Writes the choices of `tuning` for the device `info` to the file at `path`, with those that it held of other
/// layers.
///
/// # Errors
/// Those of the file system.
pub fn write(path: &Path, info: &DeviceInfo, tuning: &Tuning) -> std::io::Result<()> {
    let mut layers = read(path, info).ok().flatten().unwrap_or_default().layers;
    layers.extend(tuning.layers.iter().map(|(key, choice)| (key.clone(), *choice)));
    let layers = layers.into_iter().map(|(key, choice)| (key, choice.to_string())).collect();
    let table = Table { device: info.to_string(), driver: info.driver.clone(), texts: texts(), layers };
    // Whoever reads meanwhile finds the old file or the new one, never half of one.
    let part = path.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&part, serde_json::to_vec_pretty(&table)?)?;
    std::fs::rename(&part, path)
}
