//! A plan made real on one GPU: buffers, pipelines, bind groups, and the commands of a frame.

use std::sync::{Arc, Mutex, atomic::AtomicU32};

use super::{
    Gpu,
    cache::Cache,
    compile::{Compiler, texts},
    frame::Frame,
    front::Front,
};
use crate::{
    error::Result,
    graph::Graph,
    options::{Options, Outputs},
    plan::{Binding, Buffer, Dispatch, GUARD, Plan},
    preprocess::Preprocess,
    tasks::classify,
    tensor::Shape,
    weights::Weights,
};

/// A plan on a device. All that is static is made here, once; a frame only records and submits.
pub struct Engine {
    pub(super) gpu: Arc<Gpu>,
    pub(super) plan: Plan,
    /// The names of its outputs, in the plan's order.
    pub(super) names: Vec<Arc<str>>,
    pub(super) wanted: Outputs,
    pub(super) batch: usize,
    pub(super) slots: Vec<wgpu::Buffer>,
    pub(super) preprocess: Preprocess,
    pub(super) front: Mutex<Front>,
    pub(super) frames: Mutex<Vec<Frame>>,
    /// Runs so far: the last stamp.
    pub(super) runs: AtomicU32,
    steps: Vec<Step>,
    pipelines: usize,
    /// Of its buffers, but those that grow with pictures.
    bytes: u64,
    cache_fault: Option<String>,
}

/// A dispatch ready to be recorded.
struct Step {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
}

impl Engine {
    /// Makes everything that running `plan` needs, for at most the options' batch of pictures a submit (fewer
    /// where the plan says so). The plan is that of these weights, and as it was made: shaders are not checked.
    ///
    /// # Errors
    /// [`Error::DeviceFailure`](crate::Error::DeviceFailure) when the device refuses a buffer or a shader.
    fn new(gpu: Arc<Gpu>, plan: Plan, weights: &Weights, options: &Options) -> Result<Engine> {
        let batch = options.batch.clamp(1, plan.max_batch);
        let device = &gpu.device;
        let slots = gpu.scoped("activation buffers", || {
            let slot = |(at, &bytes): (usize, &usize)| {
                device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some(&format!("slot {at}")),
                    size: (bytes * batch) as u64 + GUARD,
                    usage: wgpu::BufferUsages::STORAGE
                        | wgpu::BufferUsages::COPY_DST
                        | wgpu::BufferUsages::COPY_SRC,
                    mapped_at_creation: false,
                })
            };
            plan.slots.iter().enumerate().map(slot).collect::<Vec<_>>()
        })?;
        let (params, offsets) = upload(&gpu, &plan, weights)?;
        let input = plan.place(0);
        let (mut wanted, which) = texts(&plan);
        let own = wanted.len();
        wanted.extend(Front::wanted(plan.front, input.dtype));
        let cache = Cache::open(&gpu, options.cache.as_ref());
        let cache_fault = cache.as_ref().and_then(|cache| cache.fault.clone());
        let compiler = Compiler { gpu: &gpu, cache, checked: options.checked };
        let pipelines = compiler.all(&wanted)?;
        let steps = build(&gpu, &plan, &slots, (&params, &offsets), &pipelines[..own], &which)?;
        let front = Front::new(&gpu, slots[input.slot].clone(), &pipelines[own..])?;
        let names = plan.outputs.iter().map(|output| output.name.as_str().into()).collect();
        let mut engine = Engine {
            gpu,
            plan,
            names,
            wanted: options.outputs.clone(),
            preprocess: options.preprocess.clone(),
            batch,
            slots,
            front: Mutex::new(front),
            frames: Mutex::default(),
            runs: AtomicU32::default(),
            steps,
            pipelines: pipelines.len(),
            bytes: 0,
            cache_fault,
        };
        engine.poison();
        let frames = (0..options.frames).map(|_| Frame::new(&engine)).collect::<Result<Vec<_>>>()?;
        engine.bytes = engine.slots.iter().map(wgpu::Buffer::size).sum::<u64>() + params.size();
        engine.bytes += frames.iter().map(Frame::bytes).sum::<u64>();
        engine.frames = Mutex::new(frames);
        Ok(engine)
    }

    /// Plans what is wanted of `graph` for one input of `input`, and makes the engine of that plan.
    ///
    /// # Errors
    /// Those of [`Plan::new`]; [`Error::DeviceFailure`](crate::Error::DeviceFailure) when the device refuses a buffer or a
    /// shader.
    pub fn of(
        gpu: Arc<Gpu>,
        graph: &Graph,
        weights: &Weights,
        input: Shape,
        options: &Options,
    ) -> Result<Engine> {
        let graph = &classify::give(graph, &options.outputs)?;
        let plan = Plan::new(graph, weights, input, options.dtype, gpu.limits, &options.tuning)?;
        Engine::new(gpu, plan, weights, options)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How pictures become inputs.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Pictures that one submit may hold.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Compute pipelines that it runs.
    pub fn pipelines(&self) -> usize {
        self.pipelines
    }

    /// Bytes of the buffers that were made with it.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Why the file of compiled pipelines was of no use.
    pub fn cache_fault(&self) -> Option<&str> {
        self.cache_fault.as_deref()
    }

    /// Records every dispatch of the plan, for a batch.
    pub(super) fn record(&self, pass: &mut wgpu::ComputePass, batch: usize) {
        for at in 0..self.steps.len() {
            self.record_one(pass, at, batch);
        }
    }

    /// Records the dispatch `at`.
    pub(super) fn record_one(&self, pass: &mut wgpu::ComputePass, at: usize, batch: usize) {
        let step = &self.steps[at];
        let [x, y, z] = self.gpu.limits.grid(&self.plan.dispatches[at], batch);
        pass.set_pipeline(&step.pipeline);
        pass.set_bind_group(0, &step.bindings, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

/// Packs the parameters into one buffer; gives it and where each begins.
fn upload(gpu: &Gpu, plan: &Plan, weights: &Weights) -> Result<(wgpu::Buffer, Vec<u64>)> {
    let alignment = u64::from(gpu.device.limits().min_storage_buffer_offset_alignment);
    let mut offsets = Vec::with_capacity(plan.params.len());
    let mut size = 0;
    for param in &plan.params {
        offsets.push(size);
        size += (param.size() as u64).next_multiple_of(alignment);
    }
    if size > gpu.limits.buffer {
        return Err(gpu.failure(format!(
            "the weights ({size} bytes) do not fit its largest buffer ({} bytes); use device cpu",
            gpu.limits.buffer
        )));
    }
    let buffer = gpu.scoped("weights", || {
        gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("weights"),
            size: size.max(alignment),
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: true,
        })
    })?;
    {
        let mapped = buffer.get_mapped_range_mut(..);
        let mut mapped = mapped.map_err(|error| gpu.failure(format!("weights: {error}")))?;
        for (param, &offset) in plan.params.iter().zip(&offsets) {
            let bytes = param.bytes(weights)?;
            let offset = offset as usize;
            mapped.slice(offset..offset + bytes.len()).copy_from_slice(&bytes);
        }
    }
    buffer.unmap();
    Ok((buffer, offsets))
}

/// Makes the bind groups, one per dispatch, of which each runs one of `pipelines`.
fn build(
    gpu: &Gpu,
    plan: &Plan,
    slots: &[wgpu::Buffer],
    (params, offsets): (&wgpu::Buffer, &[u64]),
    pipelines: &[wgpu::ComputePipeline],
    which: &[usize],
) -> Result<Vec<Step>> {
    let entry = |binding: &Binding| wgpu::BindGroupEntry {
        binding: binding.index,
        resource: match binding.buffer {
            Buffer::Slot(slot) => slots[slot].as_entire_binding(),
            Buffer::Param(at) => wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: params,
                offset: offsets[at],
                size: wgpu::BufferSize::new((plan.params[at].len * plan.params[at].dtype.size()) as u64),
            }),
        },
    };
    let step = |(dispatch, &at): (&Dispatch, &usize)| {
        let pipeline = pipelines[at].clone();
        let bindings = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&dispatch.label),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &dispatch.bindings.iter().map(entry).collect::<Vec<_>>(),
        });
        Step { pipeline, bindings }
    };
    gpu.scoped("bind groups", || plan.dispatches.iter().zip(which).map(step).collect())
}
