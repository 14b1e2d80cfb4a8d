//! The doors for a host with a GPU of its own: its device, its textures and buffers, its encoders.

use mobileone::{
    Answer, Device, Error, Form, Input, Model, Options, Outputs, PixelBuffer, PixelTexture, Pixels, Session,
    Shape, Tensor,
    models::mobileone::{VARIANTS, synthetic},
    preprocess::{PixelFormat, Rotation},
    wgpu,
};

fn model() -> Model {
    Model::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/odd.timm.fused.safetensors")).unwrap()
}

/// A device of our own, with no more than `limits`; `None` where it is [missing](crate::gpu::missing).
fn own(limits: wgpu::Limits) -> Option<(wgpu::Device, wgpu::Queue)> {
    opened(|_| (limits, wgpu::Features::empty()))
}

/// A device of our own, with what `wanted` finds in its adapter.
fn opened(
    wanted: impl FnOnce(&wgpu::Adapter) -> (wgpu::Limits, wgpu::Features),
) -> Option<(wgpu::Device, wgpu::Queue)> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))
        .map_err(|error| crate::gpu::missing(&error.to_string()))
        .ok()?;
    let (required_limits, required_features) = wanted(&adapter);
    let descriptor = wgpu::DeviceDescriptor { required_limits, required_features, ..Default::default() };
    Some(pollster::block_on(adapter.request_device(&descriptor)).unwrap())
}

/// All outputs, and three frames.
fn options(model: &Model) -> Options {
    let mut options = Options { frames: 3, batch: 2, ..Options::of(model) };
    options.outputs.names = ["logits", "probabilities", "features"].map(String::from).to_vec();
    options
}

/// A picture whose pixels all differ.
fn bytes(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

struct Host {
    device: wgpu::Device,
    queue: wgpu::Queue,
    session: Session,
}

impl Host {
    fn new(limits: wgpu::Limits) -> Option<Host> {
        let (device, queue) = own(limits)?;
        let model = model();
        let theirs = Device::from_wgpu(device.clone(), queue.clone());
        let session = Session::new(&theirs, &model, &options(&model)).unwrap();
        Some(Host { device, queue, session })
    }

    fn texture(&self, descriptor: wgpu::TextureDescriptor) -> wgpu::Texture {
        self.device.create_texture(&descriptor)
    }

    /// A texture of so many pixels that holds `bytes`.
    fn filled(&self, format: wgpu::TextureFormat, (w, h): (u32, u32), bytes: &[u8]) -> wgpu::Texture {
        let texture = self.texture(described(format, (w, h)));
        let layout =
            wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * w), rows_per_image: None };
        self.queue.write_texture(texture.as_image_copy(), bytes, layout, texture.size());
        texture
    }

    fn buffer(&self, bytes: &[u8], usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let size = bytes.len() as u64;
        let usage = usage | wgpu::BufferUsages::COPY_DST;
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        self.queue.write_buffer(&buffer, 0, bytes);
        buffer
    }

    /// The first words of a buffer on the device.
    fn words(&self, buffer: &wgpu::Buffer, count: usize) -> Vec<u32> {
        let size = 4 * count as u64;
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let back = self.device.create_buffer(&descriptor);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &back, 0, size);
        self.queue.submit([encoder.finish()]);
        back.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
        self.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        bytemuck::cast_slice(&back.get_mapped_range(..).unwrap()).to_vec()
    }
}

fn described(format: wgpu::TextureFormat, (width, height): (u32, u32)) -> wgpu::TextureDescriptor<'static> {
    wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    }
}

const ROTATIONS: [Rotation; 4] = [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters];

#[test]
fn textures_and_buffers_give_what_the_same_bytes_give() {
    use wgpu::TextureFormat as Format;
    // The least that a device may have, and what WebGPU has without being asked.
    for limits in [Device::required_limits(), wgpu::Limits::default()] {
        let Some(host) = Host::new(limits) else { return };
        let formats = [
            (Format::Rgba8Unorm, PixelFormat::Rgba8),
            (Format::Rgba8UnormSrgb, PixelFormat::Rgba8),
            (Format::Bgra8Unorm, PixelFormat::Bgra8),
            (Format::Bgra8UnormSrgb, PixelFormat::Bgra8),
        ];
        for (at, (texture_format, format)) in formats.into_iter().enumerate() {
            for (size, crop) in
                [((65usize, 47usize), None), ((200, 90), Some([3, 5, 129, 71])), ((1, 1), None)]
            {
                let bytes = bytes(4 * size.0 * size.1);
                let rotation = ROTATIONS[at];
                let stride = 4 * size.0;
                let expected = host
                    .session
                    .run(Input::Pixels(Pixels { bytes: &bytes, size, stride, format, crop, rotation }))
                    .unwrap();
                let texture = host.filled(texture_format, (size.0 as u32, size.1 as u32), &bytes);
                let texture = PixelTexture { texture: &texture, crop, rotation };
                assert_eq!(
                    host.session.run(Input::Texture(texture)).unwrap(),
                    expected,
                    "{texture_format:?}"
                );

                // The same rows, wider apart, behind something else.
                let (offset, stride) = (20, stride + 12);
                let mut wide = vec![0xaa; offset];
                for row in bytes.chunks_exact(4 * size.0) {
                    wide.extend_from_slice(row);
                    wide.resize(wide.len() + 12, 0x55);
                }
                let buffer = host.buffer(&wide, wgpu::BufferUsages::COPY_SRC);
                let offset = offset as u64;
                let buffer = PixelBuffer { buffer: &buffer, offset, size, stride, format, crop, rotation };
                assert_eq!(host.session.run(Input::Buffer(buffer)).unwrap(), expected, "{format:?} {size:?}");
            }
        }
    }
}

/// All of S0, on devices that were given no more than what GL has, and no more than WebGPU's defaults.
#[test]
fn s0_needs_no_more_than_the_least_limits() {
    // The same adapter, with all that a session can use of it.
    let all = |adapter: &wgpu::Adapter| (adapter.limits(), adapter.features() & Device::optional_features());
    let Some((device, queue)) = opened(all) else { return };
    let ordinary = Device::from_wgpu(device, queue);
    let model = Model::new(synthetic(&VARIANTS[0], 1000, 0), Form::Fused).unwrap();
    let options = Options { outputs: Outputs::named(["logits"]), ..Options::of(&model) };
    let shape = Shape::new(1, 224, 224, 3);
    let value = |at: usize| ((at as f64 * 0.618_033_988_749_895).fract() * 4.0 - 2.0) as f32;
    let input = Tensor::new(shape, (0..shape.len()).map(value).collect()).unwrap();
    let logits = |device: &Device| {
        Session::new(device, &model, &options).unwrap().run(Input::Tensor(&input)).unwrap().logits().to_vec()
    };
    let expected = logits(&ordinary);
    let length =
        |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
    for limits in [Device::required_limits(), wgpu::Limits::default()] {
        let Some((device, queue)) = own(limits) else { return };
        let found = logits(&Device::from_wgpu(device, queue));
        assert_eq!(found.len(), 1000);
        let apart = length(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
        let relative = apart / length(&mut expected.iter().copied());
        assert!(relative <= 1e-6, "{relative:e} from {}", ordinary.info());
    }
}

#[test]
fn commands_go_into_an_encoder_of_the_hosts() {
    let Some(host) = Host::new(wgpu::Limits::default()) else { return };
    let size = (40, 30);
    let pictures = [bytes(4 * 40 * 30), bytes(4 * 40 * 30 + 4)[4..].to_vec()];
    let pixels = |bytes| Pixels {
        bytes,
        size,
        stride: 160,
        format: PixelFormat::Rgba8,
        crop: None,
        rotation: Rotation::None,
    };
    let expected: Vec<Answer> =
        pictures.iter().map(|bytes| host.session.run(Input::Pixels(pixels(bytes))).unwrap()).collect();

    // Two in one encoder, the second of a texture that the same encoder fills before.
    let texture = host.texture(described(wgpu::TextureFormat::Rgba8Unorm, (40, 30)));
    let mut padded = vec![0; 256 * 30];
    for (to, row) in padded.chunks_exact_mut(256).zip(pictures[1].chunks_exact(160)) {
        to[..160].copy_from_slice(row);
    }
    let staging = host.buffer(&padded, wgpu::BufferUsages::COPY_SRC);
    let mut encoder = host.device.create_command_encoder(&Default::default());
    let mut first = host.session.encode(&mut encoder, Input::Pixels(pixels(&pictures[0]))).unwrap();
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(256), rows_per_image: None };
    let from = wgpu::TexelCopyBufferInfo { buffer: &staging, layout };
    encoder.copy_buffer_to_texture(from, texture.as_image_copy(), texture.size());
    let texture = PixelTexture { texture: &texture, crop: None, rotation: Rotation::None };
    let second = host.session.encode(&mut encoder, Input::Texture(texture)).unwrap();
    assert_eq!(first.try_take().unwrap(), None, "nothing was submitted");
    host.queue.submit([encoder.finish()]);
    assert_eq!([first.wait().unwrap(), second.wait().unwrap()][..], expected);

    // The outputs lie where a shader of the host's finds them.
    let words = |name: &str, count: usize| host.words(host.session.output(name).unwrap().buffer, count);
    let answer = &expected[1];
    let floats = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
    let classes = answer.logits().len();
    assert_eq!(words("logits", classes), floats(answer.logits()));
    assert_eq!(words("features", answer.features().len()), floats(answer.features()));
    assert_eq!(words("probabilities", classes), floats(answer.probabilities()));
    let best = answer.top[0][0];
    assert_eq!(words("top", 2), floats(&[best.index as f32, best.probability]));
}

#[test]
fn a_frame_comes_back_from_an_encoder_that_is_dropped() {
    let Some(host) = Host::new(wgpu::Limits::default()) else { return };
    let bytes = bytes(4 * 9 * 9);
    let (format, rotation) = (PixelFormat::Rgba8, Rotation::None);
    let input =
        Input::Pixels(Pixels { bytes: &bytes, size: (9, 9), stride: 36, format, crop: None, rotation });
    let expected = host.session.run(input).unwrap();
    for round in 0..4 {
        // All three frames; the fourth is refused while the commands may yet be submitted.
        let mut encoder = host.device.create_command_encoder(&Default::default());
        let mut tickets: Vec<_> = (0..3).map(|_| host.session.encode(&mut encoder, input).unwrap()).collect();
        assert!(matches!(host.session.submit(input), Err(Error::Busy)), "round {round}");
        let unsubmitted = tickets.pop().unwrap().wait();
        assert!(
            matches!(&unsubmitted, Err(Error::Input(reason)) if reason.contains("submit")),
            "{unsubmitted:?}"
        );
        match round % 2 {
            0 => drop(encoder),
            _ => drop(encoder.finish()),
        }
        let dropped = tickets.pop().unwrap().try_take();
        assert!(matches!(&dropped, Err(Error::Input(reason)) if reason.contains("dropped")), "{dropped:?}");
        drop(tickets);
        assert_eq!(host.session.run(input).unwrap(), expected, "round {round}");
    }
}

#[test]
fn an_encoder_that_is_refused_gives_no_answer() {
    let Some(host) = Host::new(wgpu::Limits::default()) else { return };
    host.device.on_uncaptured_error(std::sync::Arc::new(|_| {}));
    let bytes = bytes(256);
    let texture = host.filled(wgpu::TextureFormat::Rgba8Unorm, (8, 8), &bytes);
    let input = Input::Texture(PixelTexture { texture: &texture, crop: None, rotation: Rotation::None });
    let expected = host.session.run(input).unwrap();
    for round in 0..4 {
        // The commands are sound; what lies beside them is not there any more.
        let gone = host.filled(wgpu::TextureFormat::Rgba8Unorm, (8, 8), &bytes);
        let mut encoder = host.device.create_command_encoder(&Default::default());
        let ticket = host.session.encode(&mut encoder, input).unwrap();
        encoder.copy_texture_to_texture(gone.as_image_copy(), texture.as_image_copy(), gone.size());
        gone.destroy();
        host.queue.submit([encoder.finish()]);
        let refused = ticket.wait();
        assert!(matches!(&refused, Err(Error::Input(reason)) if reason.contains("refused")), "{refused:?}");
        assert_eq!(host.session.run(input).unwrap(), expected, "round {round}");
    }
}

#[test]
fn a_callback_may_run_a_picture() {
    let Some(host) = Host::new(wgpu::Limits::default()) else { return };
    let host = std::sync::Arc::new(host);
    let bytes = bytes(4 * 300 * 200);
    let (tell, told) = std::sync::mpsc::channel();
    for size in [(30, 20), (300, 200)] {
        let pixels = Pixels { bytes: &bytes, ..pixels_of(size) };
        let (inside, own, tell) = (host.clone(), bytes.clone(), tell.clone());
        host.queue.submit([]);
        host.queue.on_submitted_work_done(move || {
            let pixels = Pixels { bytes: &own, ..pixels_of(size) };
            tell.send(inside.session.submit(Input::Pixels(pixels)).map(|_| ())).unwrap();
        });
        // Its look for a free frame is what calls back.
        host.session.run(Input::Pixels(pixels)).unwrap();
        host.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        let ran = told.recv_timeout(std::time::Duration::from_secs(300)).expect("it did not come back");
        assert!(matches!(ran, Ok(()) | Err(Error::Busy)), "{ran:?}");
    }
}

/// A picture of so many pixels, its bytes yet to be given.
fn pixels_of(size: (usize, usize)) -> Pixels<'static> {
    Pixels {
        bytes: &[],
        size,
        stride: 4 * size.0,
        format: PixelFormat::Rgba8,
        crop: None,
        rotation: Rotation::None,
    }
}

#[test]
fn what_a_session_cannot_read_is_refused_and_it_goes_on() {
    use wgpu::{TextureDescriptor, TextureFormat as Format, TextureUsages};
    let Some(host) = Host::new(wgpu::Limits::default()) else { return };
    let good = described(Format::Rgba8Unorm, (8, 8));
    let many = wgpu::Extent3d { width: 8, height: 8, depth_or_array_layers: 8 };
    let rows: [(TextureDescriptor, Option<[usize; 4]>, &str); 5] = [
        (TextureDescriptor { usage: TextureUsages::TEXTURE_BINDING, ..good.clone() }, None, "COPY_SRC"),
        (described(Format::Rgba16Float, (8, 8)), None, "Rgba16Float"),
        (
            TextureDescriptor { dimension: wgpu::TextureDimension::D3, size: many, ..good.clone() },
            None,
            "two dimensions",
        ),
        (good.clone(), Some([4, 4, 5, 4]), "crop 5x4 at (4, 4)"),
        (good.clone(), Some([0, 0, 0, 1]), "crop 0x1"),
    ];
    let refused = |input: Input, part: &str| match host.session.run(input) {
        Err(Error::Input(reason)) => assert!(reason.contains(part), "{reason:?} says nothing of {part:?}"),
        other => panic!("{part}: {other:?}"),
    };
    for (descriptor, crop, part) in rows {
        let texture = host.texture(descriptor);
        refused(Input::Texture(PixelTexture { texture: &texture, crop, rotation: Rotation::None }), part);
    }

    let (readable, silent) = (wgpu::BufferUsages::COPY_SRC, wgpu::BufferUsages::STORAGE);
    let rows = [
        (silent, 0, 32, "COPY_SRC"),
        (readable, 2, 32, "offset 2"),
        (readable, 1 << 40, 32, "offset"),
        (readable, 4, 32, "needs 256 bytes, found 252"),
        (readable, 0, 30, "stride 30"),
        (readable, 0, usize::MAX - 3, "no memory"),
    ];
    for (usage, offset, stride, part) in rows {
        let buffer = host.buffer(&[7; 256], usage);
        let (format, rotation) = (PixelFormat::Rgba8, Rotation::None);
        let size = (8, 8);
        let buffer = PixelBuffer { buffer: &buffer, offset, size, stride, format, crop: None, rotation };
        refused(Input::Buffer(buffer), part);
    }

    // One that is gone is the host's mistake, not the device's failure.
    let bytes = bytes(256);
    let texture = host.filled(Format::Rgba8Unorm, (8, 8), &bytes);
    let input = Input::Texture(PixelTexture { texture: &texture, crop: None, rotation: Rotation::None });
    let expected = host.session.run(input).unwrap();
    for _ in 0..5 {
        let gone = host.filled(Format::Rgba8Unorm, (8, 8), &bytes);
        gone.destroy();
        refused(
            Input::Texture(PixelTexture { texture: &gone, crop: None, rotation: Rotation::None }),
            "destroyed",
        );
        assert_eq!(host.session.run(input).unwrap(), expected);
    }
}

#[test]
fn a_device_of_ours_is_lent_and_a_batch_is_run_under_any_executor() {
    let Some(device) = crate::gpu::device() else { return };
    let model = model();
    let (h, w) = model.preprocess.size;
    let shape = mobileone::Shape::new(7, h, w, 3);
    let values = (0..shape.len()).map(|at| (at % 251) as f32 / 125.0 - 1.0).collect();
    let tensor = mobileone::Tensor::new(shape, values).unwrap();
    let mut answers = Vec::new();
    for frames in [1, 2, 4] {
        let session = Session::new(&device, &model, &Options { frames, ..options(&model) }).unwrap();
        answers.push(session.run(Input::Tensor(&tensor)).unwrap());
        answers.push(pollster::block_on(session.run_async(Input::Tensor(&tensor))).unwrap());
    }
    assert_eq!(answers[0].batch, 7);
    assert!(answers.iter().all(|answer| *answer == answers[0]));

    // A texture made on the device that the library opened.
    let (own, queue) = device.wgpu().unwrap();
    let session = Session::new(&device, &model, &options(&model)).unwrap();
    let host = Host { device: own.clone(), queue: queue.clone(), session };
    let bytes = bytes(4 * 50 * 20);
    let texture = host.filled(wgpu::TextureFormat::Rgba8Unorm, (50, 20), &bytes);
    let texture = PixelTexture { texture: &texture, crop: None, rotation: Rotation::None };
    let found = host.session.run(Input::Texture(texture)).unwrap();
    let (format, rotation) = (PixelFormat::Rgba8, Rotation::None);
    let pixels = Pixels { bytes: &bytes, size: (50, 20), stride: 200, format, crop: None, rotation };
    assert_eq!(found, host.session.run(Input::Pixels(pixels)).unwrap());

    // The CPU has neither textures nor encoders.
    let cpu = Session::new(&Device::open("cpu").unwrap(), &model, &options(&model)).unwrap();
    assert!(matches!(cpu.run(Input::Texture(texture)), Err(Error::Input(_))));
    let mut encoder = host.device.create_command_encoder(&Default::default());
    assert!(matches!(cpu.encode(&mut encoder, Input::Pixels(pixels)), Err(Error::Option(_))));
    assert!(cpu.output("logits").is_none());
}

#[test]
fn what_threads_may_share() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Device>();
    shared::<Model>();
    shared::<Session>();
    shared::<Answer>();
    shared::<Error>();
    sent::<mobileone::Ticket>();
}
