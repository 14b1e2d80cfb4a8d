//! Pipelines: one per text, made together.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{Gpu, cache::Cache, kept::Key};
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
    /// Whether it checks its indices and loops as it runs, whatever the others do.
    pub checked: bool,
}

/// How texts are compiled.
pub struct Compiler<'a> {
    pub gpu: &'a Gpu,
    pub cache: Option<Cache>,
    /// Whether all shaders check their indices and loops as they run.
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
            // What is proven of a shader has to be seen on a device.
            let checked = dispatch.choice.is_some_and(|choice| !choice.seen());
            wanted.push(Wanted { label: dispatch.label.clone(), text, bindings, checked });
            wanted.len() - 1
        }));
    }
    (wanted, which)
}

impl Compiler<'_> {
    /// The pipelines of `wanted`, in its order: those that the device keeps, and the others made by as many threads
    /// as there are processors.
    ///
    /// # Errors
    /// [`Error::DeviceFailure`](crate::Error::DeviceFailure) naming the first that the device refuses.
    pub fn all(&self, wanted: &[Wanted]) -> Result<Vec<wgpu::ComputePipeline>> {
        // A caller's file has to see them all made, and a browser tells too late of one that is none.
        if self.cache.is_some() || cfg!(target_arch = "wasm32") {
            let made = self.each(&wanted.iter().collect::<Vec<_>>());
            if let Some(cache) = &self.cache {
                cache.save();
            }
            return made.into_iter().collect();
        }
        let key = |one: &Wanted| Key {
            text: one.text.clone(),
            bindings: one.bindings.clone(),
            checked: self.checked || one.checked,
        };
        let mut found: Vec<_> = wanted.iter().map(|one| self.gpu.kept.get(&key(one))).collect();
        let missing = || found.iter().zip(wanted).filter(|(found, _)| found.is_none());
        let made = self.each(&missing().map(|(_, one)| one).collect::<Vec<_>>());
        let mut made = made.into_iter();
        for (found, one) in found.iter_mut().zip(wanted).filter(|(found, _)| found.is_none()) {
            let pipeline = made.next().expect("each that is missing is made")?;
            self.gpu.kept.keep(key(one), pipeline.clone());
            *found = Some(pipeline);
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn each(&self, wanted: &[&Wanted]) -> Vec<Result<wgpu::ComputePipeline>> {
        let make = |one: &Wanted| self.gpu.scoped(&one.label, || self.one(one));
        // A browser makes them beside the page, which has no threads.
        if cfg!(target_arch = "wasm32") {
            return wanted.iter().map(|one| make(one)).collect();
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
        let module = self.module(label, &wanted.text, self.checked || wanted.checked);
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
    fn module(&self, label: Option<&str>, text: &str, checked: bool) -> wgpu::ShaderModule {
        let descriptor =
            wgpu::ShaderModuleDescriptor { label, source: wgpu::ShaderSource::Wgsl(text.into()) };
        if checked {
            return self.gpu.device.create_shader_module(descriptor);
        }
        let checks = wgpu::ShaderRuntimeChecks::unchecked();
        // SAFETY: every text is made of a file of this crate, with the sizes of a graph that `Graph::check` has seen to
        // fit its parameters; the buffers that its plan binds have those sizes, for an engine takes its plan from
        // `Plan::new` alone. Indices stay inside them, which tests see for each choice that comes here, with checks and
        // without, on shapes that no tile divides and with a guard after each output; and each loop counts up or
        // down to a bound.
        // Choices that no device at hand has run keep their checks: `Choice::seen`.
        unsafe { self.gpu.device.create_shader_module_trusted(descriptor, checks) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernels::{Kind, choices, ways},
        models::{
            Form, Model,
            mobileone::{VARIANTS, synthetic},
        },
        plan::{Limits, Tuning},
        tensor::{DType, Shape},
    };

    /// What no device at hand runs stays checked, and nothing else does.
    #[test]
    fn unseen_choices_stay_checked() {
        let model = Model::new(synthetic(&VARIANTS[0], 10, 0), Form::Fused).unwrap();
        let input = Shape::new(1, 64, 64, 3);
        for choice in choices().filter(|choice| choice.kind() == Kind::Pointwise) {
            let (subgroup, matrix) = match choice.tile {
                [_, lanes] if choice.is(&ways::SUBGROUP) => (*lanes, 0),
                [size, _] if choice.is(&ways::MATRIX) => (0, *size),
                _ => (0, 0),
            };
            let limits = Limits { subgroup, matrix, ..Limits::LEAST };
            let tuning = Tuning { fast: choice.is(&ways::FAST), ..Tuning::only(choice) };
            let plan = Plan::new(&model.graph, &model.weights, input, DType::F16, limits, &tuning);
            let plan = plan.unwrap();
            let (wanted, which) = texts(&plan);
            let checked = |at: usize| wanted[which[at]].checked;
            let unseen = matrix > 0 || subgroup > 8;
            let own = |at: &usize| plan.dispatches[*at].choice == Some(choice);
            let (own, other): (Vec<usize>, Vec<usize>) = (0..which.len()).partition(own);
            assert!(own.len() > 10 && own.into_iter().all(|at| checked(at) == unseen), "{choice}");
            assert!(matrix > 0 || !other.into_iter().any(checked), "{choice}");
        }
    }
}
