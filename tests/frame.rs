//! What a frame costs the host, against a bare loop over wgpu that issues the same commands.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use mobileone::{
    Checkpoint, Form, Model, Options, Shape, Tensor,
    gpu::{Engine, Gpu, find},
    plan::{Buffer, GUARD, Limits, Plan},
};

/// Counts what each thread allocates.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends allocates after its counter is gone.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What `work` allocates on this thread.
fn allocations<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = COUNT.get();
    let done = work();
    (COUNT.get() - before, done)
}

/// The commands of a plan, without anything around them.
struct Bare {
    device: wgpu::Device,
    queue: wgpu::Queue,
    slots: Vec<wgpu::Buffer>,
    steps: Vec<(wgpu::ComputePipeline, wgpu::BindGroup, [u32; 3])>,
    upload: wgpu::Buffer,
    readback: wgpu::Buffer,
    bytes: Vec<u8>,
    input: usize,
    answer: usize,
}

impl Bare {
    fn new(plan: &Plan, limits: Limits) -> Bare {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::VULKAN;
        let instance = wgpu::Instance::new(descriptor);
        let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
        let adapter = adapters.into_iter().next().unwrap();
        let descriptor = wgpu::DeviceDescriptor {
            required_features: adapter.features() & wgpu::Features::SUBGROUP,
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        let buffer = |size: u64, usage, mapped_at_creation| {
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation })
        };
        let copies = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let storage = wgpu::BufferUsages::STORAGE | copies;
        let slots: Vec<_> =
            plan.slots.iter().map(|&bytes| buffer(bytes as u64 + GUARD, storage, false)).collect();
        let size = |at: usize| (plan.params[at].len * plan.params[at].dtype.size()) as u64;
        let mut offsets = vec![0u64];
        for at in 0..plan.params.len() {
            offsets.push(offsets[at] + size(at).next_multiple_of(256));
        }
        let params = buffer(offsets[plan.params.len()], wgpu::BufferUsages::STORAGE, false);
        let mut pipelines: HashMap<String, wgpu::ComputePipeline> = HashMap::new();
        let mut steps = Vec::new();
        for dispatch in &plan.dispatches {
            let text = dispatch.kernel.text();
            let pipeline = pipelines.entry(text).or_insert_with_key(|text| {
                let source = wgpu::ShaderSource::Wgsl(text.as_str().into());
                let module =
                    device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
                device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: None,
                    layout: None,
                    module: &module,
                    entry_point: None,
                    compilation_options: Default::default(),
                    cache: None,
                })
            });
            let entry = |binding: &mobileone::plan::Binding| wgpu::BindGroupEntry {
                binding: binding.index,
                resource: match binding.buffer {
                    Buffer::Slot(slot) => slots[slot].as_entire_binding(),
                    Buffer::Param(at) => wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &params,
                        offset: offsets[at],
                        size: wgpu::BufferSize::new(size(at)),
                    }),
                },
            };
            let entries: Vec<_> = dispatch.bindings.iter().map(entry).collect();
            let layout = &pipeline.get_bind_group_layout(0);
            let descriptor = wgpu::BindGroupDescriptor { label: None, layout, entries: &entries };
            let group = device.create_bind_group(&descriptor);
            steps.push((pipeline.clone(), group, limits.grid(dispatch, 1)));
        }
        let (input, answer) = (plan.place(0), plan.answer);
        Bare {
            upload: buffer(
                input.bytes() as u64,
                wgpu::BufferUsages::MAP_WRITE | copies & wgpu::BufferUsages::COPY_SRC,
                true,
            ),
            readback: buffer(
                plan.slots[answer] as u64,
                wgpu::BufferUsages::MAP_READ | copies & wgpu::BufferUsages::COPY_DST,
                false,
            ),
            bytes: vec![0; input.bytes()],
            device,
            queue,
            slots,
            steps,
            input: input.slot,
            answer,
        }
    }

    /// One frame; gives the first word of the answer.
    fn frame(&self) -> u8 {
        self.device.poll(wgpu::PollType::Poll).unwrap();
        self.upload.get_mapped_range_mut(..).unwrap().copy_from_slice(&self.bytes);
        self.upload.unmap();
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&self.upload, 0, &self.slots[self.input], 0, self.upload.size());
        let mut pass = encoder.begin_compute_pass(&Default::default()).forget_lifetime();
        for (pipeline, group, [x, y, z]) in &self.steps {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(*x, *y, *z);
        }
        drop(pass);
        encoder.copy_buffer_to_buffer(&self.slots[self.answer], 0, &self.readback, 0, self.readback.size());
        let submission = self.queue.submit([encoder.finish()]);
        let settled = Arc::new(AtomicU32::new(0));
        for (buffer, mode) in [(&self.upload, wgpu::MapMode::Write), (&self.readback, wgpu::MapMode::Read)] {
            let settled = settled.clone();
            buffer.map_async(mode, .., move |_| {
                settled.fetch_add(1, Ordering::Relaxed);
            });
        }
        self.device.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None }).unwrap();
        self.device.poll(wgpu::PollType::Poll).unwrap();
        assert_eq!(settled.load(Ordering::Relaxed), 2);
        let first = self.readback.get_mapped_range(..).unwrap()[0];
        self.readback.unmap();
        first
    }
}

/// The usual of many runs: the first ones grow what is kept, and other work disturbs some.
fn usual<T: Ord + Copy>(mut runs: Vec<T>) -> T {
    runs.sort_unstable();
    runs[runs.len() / 2]
}

#[test]
fn a_frame_allocates_no_more_than_bare_commands() {
    if crate::gpu::wanted() != "vulkan" || crate::gpu::device().is_none() {
        return;
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/se.timm.fused.safetensors");
    let model = Model::new(Checkpoint::open(path).unwrap(), Form::Fused).unwrap();
    let mut options = Options::of(&model);
    options.preprocess.size = (64, 64);
    options.outputs.top_k = 3;
    let gpu = Arc::new(pollster::block_on(Gpu::open(&pollster::block_on(find(false))[0])).unwrap());
    let shape = Shape::new(1, 64, 64, 3);
    let input = Tensor::new(shape, (0..shape.len()).map(|at| (at % 7) as f32).collect()).unwrap();
    let limits = gpu.limits();
    let engine = Arc::new(Engine::of(gpu, &model.graph, &model.weights, shape, &options).unwrap());
    let bare = Bare::new(engine.plan(), limits);
    let frame = || {
        let (made, answer) = allocations(|| engine.run(None, input.data(), 1).unwrap().wait().unwrap());
        // The answer is the caller's: what it is made of is not the frame's.
        made - allocations(|| answer.clone()).0
    };
    let ours = usual((0..40).map(|_| frame()).collect());
    let theirs = usual((0..40).map(|_| allocations(|| bare.frame()).0).collect());
    // The bare loop counts its settled buffers in an `Arc` that the engine keeps.
    assert!(ours <= theirs, "{ours} allocations a frame, {theirs} of bare commands");
    eprintln!(
        "{ours} allocations a frame, {theirs} of bare commands, {} dispatches",
        engine.plan().dispatches.len()
    );
}
