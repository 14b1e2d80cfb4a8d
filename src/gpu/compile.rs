//! Pipelines: one per text, made together.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{Gpu, cache::Cache};
use crate::{
    error::Result,
    plan::{Binding, Plan},
};

/// A text to be compiled.
pub struct Wanted {
    /// Its name on the device and in errors.
    pub label: String,
    /// The specialised text.
    pub text: String,
    /// What is bound to it, by number.
    pub bindings: Vec<(u32, wgpu::BufferBindingType)>,
}

/// How texts are compiled.
pub struct Compiler<'a> {
    pub gpu: &'a Gpu,
    pub cache: Option<Cache>,
    /// Whether shaders check their indices and loops as they run.
    pub checked: bool,
}

/// The texts of `plan`, each once, and which of them each dispatch runs.
pub fn texts(plan: &Plan) -> (Vec<Wanted>, Vec<usize>) {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut wanted = Vec::new();
    let mut which = Vec::with_capacity(plan.dispatches.len());
    for dispatch in &plan.dispatches {
        let text = dispatch.kernel.text();
        which.push(*places.entry(text.clone()).or_insert_with(|| {
            let kind = |binding: &Binding| {
                (binding.index, wgpu::BufferBindingType::Storage { read_only: !binding.written })
            };
            let bindings = dispatch.bindings.iter().map(kind).collect();
            wanted.push(Wanted { label: dispatch.label.clone(), text, bindings });
            wanted.len() - 1
        }));
    }
    (wanted, which)
}

impl Compiler<'_> {
    /// The pipelines of `wanted`, in its order, made by as many threads as there are processors.
    ///
    /// # Errors
    /// [`Error::DeviceFailure`](crate::Error::DeviceFailure) naming the first that the device refuses.
    pub fn all(&self, wanted: &[Wanted]) -> Result<Vec<wgpu::ComputePipeline>> {
        let made = self.each(wanted);
        if let Some(cache) = &self.cache {
            cache.save();
        }
        made.into_iter().collect()
    }

    fn each(&self, wanted: &[Wanted]) -> Vec<Result<wgpu::ComputePipeline>> {
        let make = |one: &Wanted| self.gpu.scoped(&one.label, || self.one(one));
        // A browser makes them beside the page, which has no threads.
        if cfg!(target_arch = "wasm32") {
            return wanted.iter().map(make).collect();
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(wanted.len());
        let next = AtomicUsize::new(0);
        let made: Mutex<BTreeMap<usize, Result<wgpu::ComputePipeline>>> = Mutex::default();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(one) = wanted.get(at) else { break };
                        // Scopes of errors belong to the thread that opens them.
                        let pipeline = make(one);
                        made.lock().expect("no panic while pipelines are kept").insert(at, pipeline);
                    }
                });
            }
        });
        made.into_inner().expect("no panic while pipelines are kept").into_values().collect()
    }

    fn one(&self, wanted: &Wanted) -> wgpu::ComputePipeline {
        let device = &self.gpu.device;
        let label = Some(wanted.label.as_str());
        let module = self.module(label, &wanted.text);
        let entry = |&(binding, ty): &(u32, wgpu::BufferBindingType)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label,
            entries: &wanted.bindings.iter().map(entry).collect::<Vec<_>>(),
        });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&layout),
            module: &module,
            entry_point: Some("main"),
            // Every kernel writes what it reads of workgroup memory.
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: self.cache.as_ref().map(Cache::get),
        })
    }

    /// A module of one of our texts, with the runtime's checks where they are wanted.
    #[allow(unsafe_code)]
    fn module(&self, label: Option<&str>, text: &str) -> wgpu::ShaderModule {
        let descriptor =
            wgpu::ShaderModuleDescriptor { label, source: wgpu::ShaderSource::Wgsl(text.into()) };
        if self.checked {
            return self.gpu.device.create_shader_module(descriptor);
        }
        let checks = wgpu::ShaderRuntimeChecks::unchecked();
        // SAFETY: every text is made of a file of this crate whose indices stay inside the buffers that the plan
        // binds to it, which tests see for each choice, with checks and without, on shapes that no tile divides
        // and with a guard behind each output; and each of its loops counts up or down to a bound.
        unsafe { self.gpu.device.create_shader_module_trusted(descriptor, checks) }
    }
}
