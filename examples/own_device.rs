//! The network inside a program that has a GPU device already: its own wgpu device with nothing but default limits, a
//! texture of its own as input, its own encoder, and a shader of its own that reads the answer where it lies. One
//! submit, and no pixel or logit takes the way through the host.
//!
//! ```sh
//! cargo run --example own_device
//! ```

use mobileone::{
    Device, Input, Model, Options, Outputs, PixelTexture, Session, picture,
    preprocess::Rotation,
    sample,
    wgpu::{self, util::DeviceExt},
};

/// The host's own shader: from the probabilities of the network to a colour, as a game would tint a screen.
const TINT: &str = "
@group(0) @binding(0) var<storage, read> answer: array<f32>;
@group(0) @binding(1) var<storage, read_write> tint: vec4<f32>;

const CLASSES: u32 = COUNT;

@compute @workgroup_size(1)
fn main() {
    var best = 0u;
    for (var i = 1u; i < CLASSES; i++) {
        if answer[i] > answer[best] {
            best = i;
        }
    }
    let hue = f32(best) / f32(CLASSES);
    tint = vec4<f32>(hue, 1.0 - hue, f32(best), answer[best]);
}
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What the program has anyway. The default limits are enough; `Device::optional_features` make it faster.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: adapter.features() & Device::optional_features(),
        ..Default::default()
    }))?;

    // The network on the same device.
    let model = Model::from_bytes(sample::DIGITS)?;
    let mut options = Options::of(&model);
    options.outputs = Outputs::named(["probabilities"]).and_best(1);
    let session = Session::new(&Device::from_wgpu(device.clone(), queue.clone()), &model, &options)?;

    // A texture, which the program would have drawn.
    let (name, file) = sample::PICTURES[7];
    let picture = picture::decode(file)?;
    let pixels = picture.pixels();
    let texture = device.create_texture_with_data(
        &queue,
        &wgpu::TextureDescriptor {
            label: Some("picture"),
            size: wgpu::Extent3d {
                width: pixels.size.0 as u32,
                height: pixels.size.1 as u32,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::COPY_SRC | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        },
        wgpu::util::TextureDataOrder::LayerMajor,
        pixels.bytes,
    );

    // Its own shader, bound to the network's answer once.
    let probabilities = session.output("probabilities").expect("a session on a GPU");
    let text = TINT.replace("COUNT", &format!("{}u", probabilities.shape.c));
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("tint"),
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("tint"),
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });
    let buffer = |usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 16,
            usage,
            mapped_at_creation: false,
        })
    };
    let tint = buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let seen = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
    let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("tint"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: probabilities.buffer.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: tint.as_entire_binding() },
        ],
    });

    // One frame: the program's commands around the network's, submitted together.
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let input = Input::Texture(PixelTexture { texture: &texture, crop: None, rotation: Rotation::None });
    let ticket = session.encode(&mut encoder, input)?;
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bindings, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }
    encoder.copy_buffer_to_buffer(&tint, 0, &seen, 0, 16);
    queue.submit([encoder.finish()]);

    // The host may have the answer too, when it likes.
    let best = ticket.wait()?.top[0][0];
    seen.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("the buffer comes back"));
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let bytes = seen.get_mapped_range(..)?;
    let [red, green, class, probability]: [f32; 4] = bytemuck::pod_read_unaligned(&bytes);
    println!(
        "{name}: class {class} at {:.1}%, a tint of red {red:.2} and green {green:.2}",
        100.0 * probability
    );
    assert_eq!(class as usize, best.index, "shader and host read one answer");
    assert!((probability - best.probability).abs() < 1e-6);
    Ok(())
}
