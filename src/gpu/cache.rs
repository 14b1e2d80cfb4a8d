//! Compiled pipelines kept in a file of the caller's, where the backend can give them out.
//!
//! The file is a line of our own, the sum of what follows, and what follows: the bytes that the driver gave.

use std::path::{Path, PathBuf};

use super::Gpu;
use crate::files::{sum, write_whole};

/// How every such file begins.
const HEAD: &[u8] = b"mobileone pipelines 1\n";
/// Bytes of the sum.
const SUM: usize = 8;

/// A file's pipelines on a device.
pub struct Cache {
    cache: wgpu::PipelineCache,
    path: PathBuf,
    /// What the file held.
    held: Vec<u8>,
    /// Why it was of no use, in a line that names it.
    pub fault: Option<String>,
}

/// What a file gives to the driver; nothing where there is no file.
///
/// # Errors
/// Why it is of no use, in a line that names it.
fn body(path: &Path) -> Result<Vec<u8>, String> {
    let about = |reason: &str| format!("{}: {reason}; pipelines are compiled anew", path.display());
    let mut bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(about(&error.to_string())),
    };
    let Some((kept, body)) = bytes.strip_prefix(HEAD).and_then(|rest| rest.split_at_checked(SUM)) else {
        return Err(about("not a file of compiled pipelines"));
    };
    if *kept != sum(body.iter().copied()).to_le_bytes() {
        return Err(about("the compiled pipelines in it are damaged"));
    }
    bytes.drain(..HEAD.len() + SUM);
    Ok(bytes)
}

impl Cache {
    /// What `path` holds; nothing where it is missing, damaged, or of another driver. `None` where the backend keeps
    /// no pipelines.
    #[allow(unsafe_code)]
    pub fn open(gpu: &Gpu, path: Option<&PathBuf>) -> Option<Cache> {
        let path = path.filter(|_| gpu.device.features().contains(wgpu::Features::PIPELINE_CACHE))?.clone();
        let (held, fault) = match body(&path) {
            Ok(held) => (held, None),
            Err(fault) => (Vec::new(), Some(fault)),
        };
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some("mobileone"),
            data: (!held.is_empty()).then_some(&held),
            fallback: true,
        };
        // SAFETY: the bytes are those that `save` wrote, as their sum says, and so what a driver gave; which driver of
        // which adapter, wgpu reads off the header that it puts before them. Whoever changes a file and its sum is the
        // caller, whose file it is as its programs are.
        let cache = unsafe { gpu.device.create_pipeline_cache(&descriptor) };
        Some(Cache { cache, path, held, fault })
    }

    /// What pipelines are made with.
    pub fn get(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes the file where new pipelines were made. One that cannot be written is left out: it saves time only.
    pub fn save(&self) {
        let body = self.cache.get_data().unwrap_or_default();
        if body.is_empty() || body == self.held {
            return;
        }
        let sum = sum(body.iter().copied()).to_le_bytes();
        let _ = write_whole(&self.path, &[HEAD, &sum, &body].concat());
    }
}
