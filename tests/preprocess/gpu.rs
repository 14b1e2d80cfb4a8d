//! The shaders on a device against the host.

use super::{odd_pictures, parse, picture, preprocess, whole};
use mobileone::preprocess::{Colour, Passes, Pixels, Preprocess};
use wgpu::util::DeviceExt;

/// What stands in buffers before a dispatch writes them; as f32 a NaN.
const JUNK: u32 = 0xffff_abcd;
/// Words behind a buffer's end that nothing may write.
const GUARD: usize = 64;

/// A device with the pipelines; they serve every picture.
struct Bench {
    device: wgpu::Device,
    queue: wgpu::Queue,
    resize: wgpu::ComputePipeline,
    normalize: wgpu::ComputePipeline,
    /// The same at once.
    prepare: wgpu::ComputePipeline,
}

impl Bench {
    /// `None`, said aloud, when there is no adapter; a failure where `REQUIRE_GPU=1`.
    fn open() -> Option<Bench> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()));
        let Ok(adapter) = adapter else {
            assert_ne!(std::env::var("REQUIRE_GPU").as_deref(), Ok("1"), "REQUIRE_GPU=1, and no adapter");
            crate::skipped("no adapter; install mesa-vulkan-drivers for a software one");
            return None;
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
        let pipeline = |label, text: &str| {
            let source = wgpu::ShaderSource::Wgsl(text.into());
            let module =
                device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(label), source });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(label),
                layout: None,
                module: &module,
                entry_point: None,
                compilation_options: Default::default(),
                cache: None,
            })
        };
        let resize = pipeline("resize", include_str!("../../shaders/resize.wgsl"));
        let normalize = pipeline("normalize", include_str!("../../shaders/normalize.wgsl"));
        let prepare = pipeline("prepare", include_str!("../../shaders/prepare.wgsl"));
        Some(Bench { device, queue, resize, normalize, prepare })
    }

    fn buffer(&self, bytes: &[u8]) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_SRC;
        self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: bytes,
            usage,
        })
    }

    fn junk(&self, words: usize) -> wgpu::Buffer {
        self.buffer(bytemuck::cast_slice(&vec![JUNK; words + GUARD]))
    }

    /// The inputs `[h, w]` of four channels that the shaders write at picture `place` of a batch: step by step,
    /// and all at once.
    fn run(&self, preprocess: &Preprocess, pixels: &Pixels, place: usize) -> Vec<Vec<f32>> {
        let view = pixels.view().unwrap();
        let mut passes = Passes::new(preprocess, &view).unwrap();
        let [intermediate, crop, input] = passes.invocations();
        passes.normalize.start = (place * input) as u32;
        let (src, middle, last) =
            (self.buffer(view.of(pixels.bytes)), self.junk(intermediate), self.junk(crop));
        let dst = self.junk((place + 1) * input * 4);
        let uniforms = [
            self.buffer(bytemuck::bytes_of(&passes.first)),
            self.buffer(bytemuck::bytes_of(&passes.second)),
            self.buffer(bytemuck::bytes_of(&passes.normalize)),
        ];
        let steps = [
            (&self.resize, &src, &middle, intermediate),
            (&self.resize, &middle, &last, crop),
            (&self.normalize, &last, &dst, input),
        ];
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for (((pipeline, src, dst, _), uniform), [x, y, z]) in
            steps.into_iter().zip(&uniforms).zip(passes.grids(65_535))
        {
            let entries = [src, dst, uniform].into_iter().enumerate();
            let entries: Vec<_> = entries
                .map(|(i, buffer)| wgpu::BindGroupEntry {
                    binding: [0, 3, 4][i],
                    resource: buffer.as_entire_binding(),
                })
                .collect();
            let layout = &pipeline.get_bind_group_layout(0);
            let group = wgpu::BindGroupDescriptor { label: None, layout, entries: &entries };
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, &self.device.create_bind_group(&group), &[]);
            pass.dispatch_workgroups(x, y, z);
        }
        drop(pass);
        self.queue.submit([encoder.finish()]);

        for (buffer, words) in [(&middle, intermediate), (&last, crop)] {
            let read = self.read(buffer);
            assert!(read[words..].iter().all(|&word| word == JUNK), "written behind the end");
        }
        let read = self.read(&dst);
        let (begin, end) = (place * input * 4, (place + 1) * input * 4);
        assert!(
            read[..begin].iter().chain(&read[end..]).all(|&word| word == JUNK),
            "written outside the picture"
        );
        let steps = read[begin..end].iter().map(|&word| f32::from_bits(word)).collect();
        if !passes.at_once() {
            return vec![steps];
        }
        let dst = self.junk((place + 1) * input * 4);
        let read = self.at_once(&src, &uniforms, passes.grids(65_535)[2], &dst);
        let outside = read[..begin].iter().chain(&read[end..]).all(|&word| word == JUNK);
        assert!(outside, "written outside the picture, all at once");
        vec![steps, read[begin..end].iter().map(|&word| f32::from_bits(word)).collect()]
    }

    /// What the shader that takes all steps at once writes to `dst`.
    fn at_once(
        &self,
        src: &wgpu::Buffer,
        uniforms: &[wgpu::Buffer; 3],
        [x, y, z]: [u32; 3],
        dst: &wgpu::Buffer,
    ) -> Vec<u32> {
        let [first, second, normalize] = uniforms;
        let buffers = [(0, src), (3, dst), (4, first), (5, second), (6, normalize)];
        let entries = buffers
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() });
        let layout = &self.prepare.get_bind_group_layout(0);
        let group = wgpu::BindGroupDescriptor { label: None, layout, entries: &entries };
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&self.prepare);
        pass.set_bind_group(0, &self.device.create_bind_group(&group), &[]);
        pass.dispatch_workgroups(x, y, z);
        drop(pass);
        self.queue.submit([encoder.finish()]);
        self.read(dst)
    }

    fn read(&self, buffer: &wgpu::Buffer) -> Vec<u32> {
        let mapped = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &mapped, 0, buffer.size());
        self.queue.submit([encoder.finish()]);
        mapped.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
        self.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        bytemuck::pod_collect_to_vec(&mapped.get_mapped_range(..).unwrap())
    }
}

/// Values, and those of them that are 1/255 off.
#[derive(Default)]
struct Tally {
    values: usize,
    off: usize,
}

impl Tally {
    /// No value of the device's is further than 1/255 from the host's.
    fn check(&mut self, bench: &Bench, what: &str, preprocess: &Preprocess, pixels: &Pixels, place: usize) {
        let host = preprocess.run(pixels).unwrap();
        for device in bench.run(preprocess, pixels, place) {
            let channels = preprocess.colour.channels();
            for (i, (host, device)) in host.data().chunks(channels).zip(device.chunks(4)).enumerate() {
                assert!(device[channels..].iter().all(|&x| x == 0.0), "{what}: padding lanes of pixel {i}");
                for c in 0..channels {
                    let levels = (host[c] - device[c]).abs() * preprocess.std[c] * 255.0;
                    assert!(
                        levels < 1.01,
                        "{what}: pixel {i} channel {c}: {} on the host, {}",
                        host[c],
                        device[c]
                    );
                    self.values += 1;
                    self.off += usize::from(levels > 0.01);
                }
            }
        }
    }

    /// Nearly all are equal: f32 weights decide a tie the other way now and then.
    fn finish(self, what: &str) {
        eprintln!("{what}: {} of {} values are 1/255 off", self.off, self.values);
        assert!(self.values > 0 && self.off * 500 <= self.values, "{what}: {} of {}", self.off, self.values);
    }
}

#[test]
fn goldens() {
    let Some(bench) = Bench::open() else { return };
    let mut tally = Tally::default();
    let bytes = super::goldens();
    for (place, key) in safetensors::SafeTensors::deserialize(&bytes).unwrap().names().into_iter().enumerate()
    {
        let (size, preprocess) = parse(key);
        tally.check(&bench, key, &preprocess, &whole(&picture(size.0, size.1), size), place % 3);
    }
    tally.finish("goldens");
}

#[test]
fn crop_rotation_stride_and_order_of_bytes() {
    let Some(bench) = Bench::open() else { return };
    let mut tally = Tally::default();
    for (case, odd) in odd_pictures().iter().enumerate() {
        for (mode, filter) in [("center", "bilinear"), ("border", "bicubic")] {
            let preprocess = preprocess(mode, filter, (20, 31), 0.9);
            tally.check(&bench, &format!("{mode} picture {case}"), &preprocess, &odd.pixels(), 0);
            let grey = Preprocess { mean: [0.45; 3], std: [0.3; 3], colour: Colour::Grey, ..preprocess };
            tally.check(&bench, &format!("grey, {mode} picture {case}"), &grey, &odd.pixels(), 1);
        }
    }
    tally.finish("odd pictures");
}

#[test]
fn the_same_size_is_copied_exactly() {
    let Some(bench) = Bench::open() else { return };
    for (filter, size) in
        [("bilinear", (65, 33)), ("bicubic", (65, 33)), ("bicubic", (224, 224)), ("bilinear", (1, 1))]
    {
        let bytes = picture(size.1, size.0);
        let preprocess = preprocess("center", filter, size, 1.0);
        let devices = bench.run(&preprocess, &whole(&bytes, (size.1, size.0)), 0);
        for (pixel, device) in devices.iter().flat_map(|device| bytes.chunks(4).zip(device.chunks(4))) {
            for (c, &value) in pixel[..3].iter().enumerate() {
                let back = (device[c] * preprocess.std[c] + preprocess.mean[c]) * 255.0;
                assert!((back - f32::from(value)).abs() < 0.01, "{filter} {size:?}: {back}, not {value}");
            }
        }
    }
}

#[test]
fn extreme_pictures() {
    let Some(bench) = Bench::open() else { return };
    let mut tally = Tally::default();
    for (w, h) in [(1, 65_535), (65_535, 1), (65_535, 3), (4001, 3003), (1, 1), (2, 40_000)] {
        let bytes = picture(w, h);
        for (mode, filter, pct) in
            [("center", "bilinear", 0.875), ("squash", "bicubic", 1.0), ("center", "bicubic", 3.0)]
        {
            let what = format!("{w}x{h} {mode} {filter} {pct}");
            tally.check(&bench, &what, &preprocess(mode, filter, (64, 48), pct), &whole(&bytes, (w, h)), 1);
        }
    }
    tally.finish("extreme pictures");
}

#[test]
fn random_pictures() {
    let Some(bench) = Bench::open() else { return };
    let mut tally = Tally::default();
    let mut state = 7u64;
    let mut random = |least: usize, most: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        least + (state >> 33) as usize % (most - least + 1)
    };
    for case in 0..60 {
        let most = [9, 90, 900][case % 3];
        let (w, h) = (random(1, most), random(1, most));
        let mode = ["center", "squash", "border"][random(0, 2)];
        let filter = ["bilinear", "bicubic"][random(0, 1)];
        let preprocess =
            preprocess(mode, filter, (random(1, 70), random(1, 70)), random(40, 130) as f64 / 100.0);
        let bytes = picture(w, h);
        let pixels = whole(&bytes, (w, h));
        match preprocess.run(&pixels) {
            Ok(_) => tally.check(&bench, &format!("{w}x{h} {preprocess:?}"), &preprocess, &pixels, case % 2),
            Err(error) => {
                assert!(error.to_string().contains("too narrow") || preprocess.check().is_err(), "{error}")
            }
        }
    }
    tally.finish("random pictures");
}
