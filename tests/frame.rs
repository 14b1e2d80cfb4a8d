//! What a frame costs the host, against a bare loop over wgpu that issues the same commands.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use mobileone::{
    Checkpoint, Form, Model, Options, Pixels, Shape, Tensor,
    gpu::{Engine, Gpu, find},
    kernels::{Kernel, normalize, resize},
    plan::{Buffer, GUARD, Limits, Plan},
    preprocess::{Passes, PixelFormat, Rotation},
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
    steps: Vec<(wgpu::ComputePipeline, wgpu::BindGroup, [u32; 3])>,
    upload: wgpu::Buffer,
    readback: wgpu::Buffer,
    bytes: Vec<u8>,
    /// From where in the upload, to what, how many bytes.
    copies: Vec<(u64, wgpu::Buffer, u64)>,
    answer: wgpu::Buffer,
}

/// How many times as long as bare commands a frame may take to be submitted: it looks for a free frame and keeps a
/// ticket besides.
const MOST: f64 = 1.5;

/// Bytes of the uniforms of a picture's dispatches in an upload.
const UNIFORMS: u64 = 768;

impl Bare {
    /// Of a plan, from a tensor, or from a picture of so many bytes.
    fn new(plan: &Plan, limits: Limits, picture: Option<(&Passes, usize)>) -> Bare {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::VULKAN;
        descriptor.flags = wgpu::InstanceFlags::from_build_config().with_env();
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
        let mut step = |kernel: &Kernel, entries: &[wgpu::BindGroupEntry], grid: [u32; 3]| {
            let pipeline = pipelines.entry(kernel.text()).or_insert_with_key(|text| {
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
            let layout = &pipeline.get_bind_group_layout(0);
            let group = device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries });
            steps.push((pipeline.clone(), group, grid));
        };
        let input = plan.place(0);
        let (mut sent, mut bytes) =
            (vec![(0, slots[input.slot].clone(), input.bytes() as u64)], input.bytes() as u64);
        if let Some((passes, picture)) = picture {
            let uniforms = buffer(UNIFORMS, wgpu::BufferUsages::UNIFORM | copies, false);
            let sizes = [picture, 4 * passes.intermediate(), 4 * passes.crop()];
            let maps = sizes.map(|bytes| buffer(bytes as u64, storage, false));
            let grids = passes.grids(limits.workgroups);
            let kernels = [resize::kernel(), resize::kernel(), normalize::kernel(input.dtype)];
            for (at, kernel) in kernels.iter().enumerate() {
                let uniform = wgpu::BufferBinding {
                    buffer: &uniforms,
                    offset: 256 * at as u64,
                    size: wgpu::BufferSize::new(64),
                };
                let dst = maps.get(at + 1).unwrap_or(&slots[input.slot]);
                let bound = [
                    (0, maps[at].as_entire_binding()),
                    (3, dst.as_entire_binding()),
                    (4, wgpu::BindingResource::Buffer(uniform)),
                ];
                let entries = bound.map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource });
                step(kernel, &entries, grids[at]);
            }
            sent = vec![(0, uniforms, UNIFORMS), (UNIFORMS, maps[0].clone(), picture as u64)];
            bytes = UNIFORMS + picture as u64;
        }
        for dispatch in &plan.dispatches {
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
            step(&dispatch.kernel, &entries, limits.grid(dispatch, 1));
        }
        let top = plan.place(plan.outputs[0].node);
        Bare {
            upload: buffer(bytes + 4, wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC, true),
            readback: buffer(
                top.bytes() as u64 + 4,
                wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                false,
            ),
            bytes: vec![0; bytes as usize + 4],
            copies: sent,
            answer: slots[top.slot].clone(),
            device,
            queue,
            steps,
        }
    }

    /// One frame; gives the first byte of the answer, and what writing, recording and submitting took.
    fn frame(&self) -> (u8, Duration) {
        self.device.poll(wgpu::PollType::Poll).unwrap();
        let begun = Instant::now();
        self.upload.get_mapped_range_mut(..).unwrap().copy_from_slice(&self.bytes);
        self.upload.unmap();
        let mut encoder = self.device.create_command_encoder(&Default::default());
        for (at, to, bytes) in &self.copies {
            encoder.copy_buffer_to_buffer(&self.upload, *at, to, 0, *bytes);
        }
        let mut pass = encoder.begin_compute_pass(&Default::default()).forget_lifetime();
        for (pipeline, group, [x, y, z]) in &self.steps {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(*x, *y, *z);
        }
        drop(pass);
        let answer = self.readback.size() - 4;
        encoder.copy_buffer_to_buffer(&self.answer, 0, &self.readback, 0, answer);
        // The stamp.
        encoder.copy_buffer_to_buffer(&self.upload, self.upload.size() - 4, &self.readback, answer, 4);
        let submission = self.queue.submit([encoder.finish()]);
        let settled = Arc::new(AtomicU32::new(0));
        for (buffer, mode) in [(&self.upload, wgpu::MapMode::Write), (&self.readback, wgpu::MapMode::Read)] {
            let settled = settled.clone();
            buffer.map_async(mode, .., move |_| {
                settled.fetch_add(1, Ordering::Relaxed);
            });
        }
        let took = begun.elapsed();
        self.device.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None }).unwrap();
        self.device.poll(wgpu::PollType::Poll).unwrap();
        assert_eq!(settled.load(Ordering::Relaxed), 2);
        let first = self.readback.get_mapped_range(..).unwrap()[0];
        self.readback.unmap();
        (first, took)
    }
}

/// The usual of many runs: the first ones grow what is kept, and other work disturbs some.
fn usual<T: Ord + Copy>(mut runs: Vec<T>) -> T {
    runs.sort_unstable();
    runs[runs.len() / 2]
}

/// A small network on the device; `None` where there is none.
fn engine() -> Option<(Arc<Engine>, Limits)> {
    if crate::gpu::wanted() != "vulkan" || crate::gpu::device().is_none() {
        return None;
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/se.timm.fused.safetensors");
    let model = Model::new(Checkpoint::open(path).unwrap(), Form::Fused).unwrap();
    let mut options = Options::of(&model);
    options.preprocess.size = (64, 64);
    options.outputs.top_k = 3;
    let gpu = Arc::new(pollster::block_on(Gpu::open(&pollster::block_on(find(false))[0])).unwrap());
    let limits = gpu.limits();
    let shape = Shape::new(1, 64, 64, 3);
    Some((Arc::new(Engine::of(gpu, &model.graph, &model.weights, shape, &options).unwrap()), limits))
}

fn tensor() -> Tensor {
    let shape = Shape::new(1, 64, 64, 3);
    Tensor::new(shape, (0..shape.len()).map(|at| (at % 7) as f32).collect()).unwrap()
}

#[test]
fn a_frame_allocates_no_more_than_bare_commands() {
    let Some((engine, limits)) = engine() else { return };
    let input = tensor();
    let bytes: Vec<u8> = (0..4 * 100 * 80).map(|at| (at * 7 % 251) as u8).collect();
    let (format, rotation) = (PixelFormat::Rgba8, Rotation::None);
    let pixels = Pixels { bytes: &bytes, size: (100, 80), stride: 400, format, crop: None, rotation };
    let passes = Passes::new(engine.preprocess(), &pixels.view().unwrap()).unwrap();
    type Run<'a> = &'a dyn Fn() -> mobileone::Result<mobileone::gpu::Ticket>;
    let rows: [(&str, Run, Option<(&Passes, usize)>); 2] = [
        ("a tensor", &|| engine.run(None, input.data(), 1), None),
        ("a picture", &|| engine.run_pixels(None, &pixels), Some((&passes, bytes.len()))),
    ];
    for (what, run, picture) in rows {
        let bare = Bare::new(engine.plan(), limits, picture);
        let frame = || {
            let (made, answer) = allocations(|| run().unwrap().wait().unwrap());
            // The answer is the caller's: what it is made of is not the frame's.
            made - allocations(|| answer.clone()).0
        };
        let ours = usual((0..40).map(|_| frame()).collect());
        let theirs = usual((0..40).map(|_| allocations(|| bare.frame()).0).collect());
        // The bare loop counts its settled buffers in an `Arc` that the engine keeps.
        assert!(ours <= theirs, "{what}: {ours} allocations a frame, {theirs} of bare commands");
        let dispatches = bare.steps.len();
        eprintln!("{what}: {ours} allocations a frame, {theirs} of bare commands, {dispatches} dispatches");
    }
}

/// A ratio within one process: both sides write the same bytes and issue the same commands, in alternation, so that
/// a slow or busy machine slows both.
#[test]
fn a_frame_is_submitted_as_fast_as_bare_commands() {
    let Some((engine, limits)) = engine() else { return };
    let input = tensor();
    let bare = Bare::new(engine.plan(), limits, None);
    // Other work only adds to a run.
    let mut least = [Duration::MAX; 2];
    for _ in 0..300 {
        let begun = Instant::now();
        let ticket = engine.run(None, input.data(), 1).unwrap();
        least[0] = least[0].min(begun.elapsed());
        ticket.wait().unwrap();
        least[1] = least[1].min(bare.frame().1);
    }
    let [ours, theirs] = least.map(|least| least.as_secs_f64() * 1e6);
    let dispatches = engine.plan().dispatches.len();
    eprintln!("submit: {ours:.0} us, {theirs:.0} us of bare commands, {dispatches} dispatches");
    assert!(ours <= MOST * theirs, "{ours} us, bare commands {theirs} us");
}
