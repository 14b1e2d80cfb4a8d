//! Pictures through a session: prepared on the device as on the host, and nothing made anew for another one.

use std::sync::Arc;

use mobileone::{
    Answer, DType, Device, Error, Form, Input, Model, Options, Outputs, Pixels, Session, Shape, Tensor,
    checkpoint::Checkpoint,
    gpu::{self, Engine, Gpu},
    kernels::ways,
    plan::Tuning,
    preprocess::{Interpolation, PixelFormat, Rotation},
};

fn outputs() -> Outputs {
    Outputs::named(["logits"]).and_best(2)
}

fn model() -> Model {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/odd.timm.fused.safetensors");
    Model::new(Checkpoint::open(path).unwrap(), Form::Fused).unwrap()
}

fn options(model: &Model) -> Options {
    let mut options = Options::of(model);
    options.preprocess.size = (64, 80);
    options.outputs = outputs();
    options.batch = 3;
    options
}

/// A picture whose rows end in bytes of no meaning.
struct Picture {
    bytes: Vec<u8>,
    size: (usize, usize),
}

impl Picture {
    fn new(w: usize, h: usize) -> Picture {
        let byte = |at: usize| ((at * 7 + at / (4 * w + 12) * 13) % 251) as u8;
        Picture { bytes: (0..(4 * w + 12) * h).map(byte).collect(), size: (w, h) }
    }

    fn pixels(&self) -> Pixels<'_> {
        Pixels {
            bytes: &self.bytes,
            size: self.size,
            stride: 4 * self.size.0 + 12,
            format: PixelFormat::Rgba8,
            crop: None,
            rotation: Rotation::None,
        }
    }
}

fn near(found: &Answer, expected: &Answer, what: &str) {
    for (a, b) in found.logits().iter().zip(expected.logits()) {
        // Some bytes of the input round the other way.
        assert!((a - b).abs() < 2e-2, "{what}: {a}, not {b}");
    }
    assert_eq!(found.logits().len(), expected.logits().len());
}

/// The input itself, as the shaders leave it in the slot: no value more than a byte's step from the host's, on
/// every backend that is here, since languages differ in what they leave open.
#[test]
fn devices_make_the_hosts_input() {
    let model = model();
    let Some(device) = crate::gpu::device() else { return };
    let mut found = pollster::block_on(gpu::find(false));
    found.extend(pollster::block_on(gpu::find(true)));
    assert!(found.iter().any(|found| found.info.name == device.info().name));
    for found in found {
        // A card that is open through one backend may refuse through another.
        let gpu = match pollster::block_on(Gpu::open(&found)) {
            Ok(gpu) => Arc::new(gpu),
            Err(error) if found.info != *device.info() => {
                crate::skipped(format_args!("{}: {error}", found.info));
                continue;
            }
            Err(error) => panic!("{}: {error}", found.info),
        };
        for dtype in [DType::F32, DType::F16].into_iter().filter(|&dtype| gpu.supports(dtype)) {
            for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
                // What shrinks too far to be read at once takes the two passes all the same.
                for way in [ways::PASSES.of(&[]), ways::PREPARE.of(&[])] {
                    let mut options = Options { dtype, tuning: Tuning::only(way), ..options(&model) };
                    options.preprocess.interpolation = interpolation;
                    let input = Shape::new(1, 64, 80, 3);
                    let engine = Engine::of(gpu.clone(), &model.graph, &model.weights, input, &options);
                    let engine = Arc::new(engine.unwrap());
                    assert_eq!(engine.plan().front, way);
                    for (w, h) in [(33, 20), (640, 480), (80, 64), (5, 3), (61, 64), (900, 61)] {
                        let name = format!("{w}x{h} {interpolation:?} {dtype} by {way} on {}", found.info);
                        check_input(&engine, &options, Picture::new(w, h), &name);
                    }
                }
            }
        }
    }
}

fn check_input(engine: &Arc<Engine>, options: &Options, picture: Picture, name: &str) {
    let found = engine.prepared(&picture.pixels()).unwrap();
    let expected = options.preprocess.run(&picture.pixels()).unwrap();
    let step = 1.0 / 255.0 / 0.224;
    let mut off = 0;
    for (at, (a, b)) in found.data().iter().zip(expected.data()).enumerate() {
        let rounding = if options.dtype == DType::F16 { b.abs() / 1024.0 } else { 1e-5 };
        assert!((a - b).abs() <= step + rounding, "{name} at {at}: {a}, not {b}");
        off += usize::from((a - b).abs() > rounding);
    }
    assert!(off * 100 <= expected.data().len(), "{name}: {off} values are a step off");
}

/// Grids are folded where a device allows few workgroups per dimension.
#[test]
fn folded_grids_compute_the_same() {
    let model = model();
    let options = options(&model);
    let few = wgpu::Limits { max_compute_workgroups_per_dimension: 16, ..wgpu::Limits::default() };
    let Some((device, queue)) = device_with(few, wgpu::Features::empty()) else { return };
    let folded = Session::new(&Device::from_wgpu(device, queue), &model, &options).unwrap();
    let (device, queue) = default_device().unwrap();
    let session = Session::new(&Device::from_wgpu(device, queue), &model, &options).unwrap();
    let picture = Picture::new(150, 130);
    let input = Input::Pixels(picture.pixels());
    assert_eq!(folded.run(input).unwrap(), session.run(input).unwrap());
}

/// A device that binds 4 storage buffers a shader runs, whatever forms were asked for.
#[test]
fn few_storage_buffers_suffice() {
    let model = model();
    let mut options = options(&model);
    let few = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..wgpu::Limits::default() };
    let Some((device, queue)) = device_with(few, wgpu::Features::empty()) else { return };
    let device = Device::from_wgpu(device, queue);
    let picture = Picture::new(150, 130);
    let run = |options: &Options| {
        let session = Session::new(&device, &model, options).unwrap();
        session.run(Input::Pixels(picture.pixels())).unwrap()
    };
    let expected = run(&options);
    options.tuning.choices =
        vec![ways::JOINED.of(&[]), ways::BLOCK.of(&[4, 1, 16]), ways::DIRECT.of(&[2, 8])];
    assert_eq!(run(&options), expected);
}

#[test]
fn devices_prepare_pictures_as_the_host_does() {
    let model = model();
    let options = options(&model);
    let mut devices = vec![Device::open("cpu").unwrap()];
    devices.extend(crate::gpu::device());
    for device in devices {
        let session = Session::new(&device, &model, &options).unwrap();
        for (at, (w, h)) in
            [(33, 20), (640, 480), (80, 64), (5, 3), (900, 61), (200, 300)].into_iter().enumerate()
        {
            let picture = Picture::new(w, h);
            let rotations =
                [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters, Rotation::None];
            let pixels = Pixels {
                rotation: rotations[at % 5],
                crop: (at % 2 == 1).then_some([1, 1, w - 2, h - 2]),
                format: [PixelFormat::Rgba8, PixelFormat::Bgra8][at / 2 % 2],
                ..picture.pixels()
            };
            let tensor = options.preprocess.run(&pixels).unwrap();
            let expected = session.run(Input::Tensor(&tensor)).unwrap();
            let (first, second) =
                (session.submit(Input::Pixels(pixels)), session.submit(Input::Pixels(pixels)));
            let what = format!("{w}x{h} on {}", device.info());
            near(&first.unwrap().wait().unwrap(), &expected, &what);
            near(&second.unwrap().wait().unwrap(), &expected, &what);
        }
        let picture = Picture::new(8, 8);
        let short = Pixels { bytes: &picture.bytes[..100], ..picture.pixels() };
        assert!(matches!(session.run(Input::Pixels(short)), Err(Error::Input(_))));
        session.run(Input::Pixels(picture.pixels())).unwrap();
    }
}

/// A device as a program that asks for nothing gets it: WebGPU's default limits, no features.
fn default_device() -> Option<(wgpu::Device, wgpu::Queue)> {
    device_with(wgpu::Limits::default(), wgpu::Features::empty())
}

fn device_with(
    required_limits: wgpu::Limits,
    required_features: wgpu::Features,
) -> Option<(wgpu::Device, wgpu::Queue)> {
    crate::gpu::device()?;
    let backends = match crate::gpu::wanted().as_str() {
        "metal" => wgpu::Backends::METAL,
        "dx12" => wgpu::Backends::DX12,
        _ => wgpu::Backends::VULKAN,
    };
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    let instance = wgpu::Instance::new(descriptor);
    let adapter = pollster::block_on(instance.enumerate_adapters(backends)).into_iter().next();
    let descriptor = wgpu::DeviceDescriptor { required_limits, required_features, ..Default::default() };
    let device = adapter.unwrap().request_device(&descriptor);
    Some(pollster::block_on(device).unwrap())
}

#[test]
fn default_limits_are_enough_and_nothing_is_made_anew() {
    let Some((device, queue)) = default_device() else { return };
    let model = model();
    let mut options = options(&model);
    options.batch = 64;
    let counters = || device.get_internal_counters().hal.compute_pipelines.read();
    let before = counters();
    let session = Session::new(&Device::from_wgpu(device.clone(), queue), &model, &options).unwrap();
    let made = counters();
    assert_eq!(made - before, session.pipelines() as isize);

    let shape = Shape::new(130, 64, 80, 3);
    let values = (0..shape.len()).map(|at| ((at * 31 + at / 15_360) % 256) as f32 / 128.0 - 1.0).collect();
    let input = Tensor::new(shape, values).unwrap();
    let all = session.run(Input::Tensor(&input)).unwrap();
    assert_eq!((session.batch(), all.batch, all.top.len()), (64, 130, 130));
    for picture in [0, 63, 64, 129] {
        let one = Tensor::new(shape.with_batch(1), input.pictures(picture..picture + 1).to_vec()).unwrap();
        let answer = session.run(Input::Tensor(&one)).unwrap();
        assert_eq!(answer.top[0], all.top[picture]);
        assert_eq!(answer.logits(), &all.logits()[picture * 5..][..5]);
    }
    let cpu = Session::new(&Device::open("cpu").unwrap(), &model, &options).unwrap();
    // The last is larger than the largest binding, so that the host prepares it.
    for (w, h) in [(33, 20), (640, 480), (5, 3), (5900, 5900)] {
        let picture = Picture::new(w, h);
        let found = session.run(Input::Pixels(picture.pixels())).unwrap();
        near(&found, &cpu.run(Input::Pixels(picture.pixels())).unwrap(), &format!("{w}x{h}"));
    }
    assert_eq!(counters(), made, "another picture or batch compiles nothing");
    assert!(
        Session::new(
            &Device::from_wgpu(device.clone(), default_device().unwrap().1),
            &model,
            &Options { dtype: DType::F16, ..options }
        )
        .is_err_and(|error| error.to_string().contains("f16"))
    );
}

/// A device compiles a layer once, whichever session wants it; what a session has made outlives it.
#[test]
fn pipelines_are_shared_by_the_sessions_of_a_device() {
    let Some((device, queue)) = default_device() else { return };
    let model = model();
    let options = options(&model);
    let live = || device.get_internal_counters().hal.compute_pipelines.read();
    let picture = Picture::new(33, 20);
    let none = live();
    let own = Device::from_wgpu(device.clone(), queue);
    let make = |options: &Options| {
        let before = live();
        let session = Session::new(&own, &model, options).unwrap();
        (session.run(Input::Pixels(picture.pixels())).unwrap(), session.pipelines() as isize, live() - before)
    };
    let (answer, pipelines, made) = make(&options);
    assert!(pipelines > 3 && made == pipelines, "{made} of {pipelines}");
    assert_eq!(make(&options), (answer.clone(), pipelines, 0), "the same again");
    let (found, more, made) = make(&Options { batch: 1, checked: true, ..options.clone() });
    assert_eq!((found, more, made), (answer.clone(), pipelines, pipelines), "checks are another text's");
    // Of another size, whatever does not say its size is there.
    let mut larger = options.clone();
    larger.preprocess.size = (96, 96);
    let (_, more, made) = make(&larger);
    assert!(made > 0 && made < more, "{made} of {more}");
    assert_eq!(make(&options), (answer, pipelines, 0), "both are kept");
    drop(own);
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    assert_eq!(live(), none, "they go with their device");
}

#[test]
fn a_lost_device_is_an_error() {
    let Some((device, queue)) = default_device() else { return };
    let model = model();
    let options = options(&model);
    let own = Device::from_wgpu(device.clone(), queue.clone());
    let session = Session::new(&own, &model, &options).unwrap();
    let picture = Picture::new(33, 20);
    let input = Input::Pixels(picture.pixels());
    session.run(input).unwrap();
    let ticket = session.submit(input).unwrap();
    device.destroy();
    // What was submitted may still come; it never hangs or panics.
    let _ = ticket.wait();
    for _ in 0..4 {
        assert!(matches!(session.run(input), Err(Error::DeviceFailure { .. })));
    }
    for device in [own, Device::from_wgpu(device, queue)] {
        let new = Session::new(&device, &model, &options);
        assert!(matches!(new, Err(Error::DeviceFailure { .. })));
    }
}
