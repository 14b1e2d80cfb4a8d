//! Compiled pipelines kept in a file of the caller's, where the backend can give them out.

use std::path::PathBuf;

use super::Gpu;
use crate::files::write_whole;

/// A file's pipelines on a device.
pub struct Cache {
    cache: wgpu::PipelineCache,
    path: PathBuf,
    /// What the file held.
    held: Vec<u8>,
}

impl Cache {
    /// What `path` holds; nothing where it is missing or of another driver. `None` where the backend keeps no
    /// pipelines.
    #[allow(unsafe_code)]
    pub fn open(gpu: &Gpu, path: Option<&PathBuf>) -> Option<Cache> {
        let path = path.filter(|_| gpu.device.features().contains(wgpu::Features::PIPELINE_CACHE))?.clone();
        let held = std::fs::read(&path).unwrap_or_default();
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some("mobileone"),
            data: (!held.is_empty()).then_some(&held),
            fallback: true,
        };
        // SAFETY: the bytes are what `save` wrote, whose header wgpu checks against the adapter and the driver;
        // the file is the caller's own, as its programs are.
        let cache = unsafe { gpu.device.create_pipeline_cache(&descriptor) };
        Some(Cache { cache, path, held })
    }

    /// What pipelines are made with.
    pub fn get(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes the file where new pipelines were made. One that cannot be written is left out: it saves time only.
    pub fn save(&self) {
        let data = self.cache.get_data().unwrap_or_default();
        if data.is_empty() || data == self.held {
            return;
        }
        let _ = write_whole(&self.path, &data);
    }
}
