//! The example runs exported folders on Vulkan, and gets what a session gets.

use half::f16;
use mobileone::{Device, Input, Pixels, Session, Tensor, preprocess};

use super::{vulkan::Runner, *};

/// The bytes of the input's slot: four channels a pixel, in the plan's scalars.
fn input(pictures: &[f32], dtype: &str) -> Vec<u8> {
    let pixel = |pixel: &[f32]| {
        let values = [pixel[0], pixel[1], pixel[2], 0.0];
        match dtype {
            "f16" => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect::<Vec<u8>>(),
            _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    };
    pictures.chunks_exact(3).flat_map(pixel).collect()
}

/// max |a - b| over max |b|.
fn relative(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = |values: &mut dyn Iterator<Item = f32>| values.map(f32::abs).fold(0.0, f32::max);
    let apart = largest(&mut a.iter().zip(b).map(|(a, b)| if (a - b).is_nan() { f32::MAX } else { a - b }));
    apart / largest(&mut b.iter().copied())
}

/// The plan in `folder` on the Vulkan device of the tests.
fn runner(device: &Device, folder: &std::path::Path) -> Runner {
    let runner = Runner::open(folder, &device.info().name).unwrap();
    assert!(Runner::open(folder, "a device that nobody has").is_err());
    assert_eq!(runner.gpu.name, device.info().name);
    runner
}

fn device() -> Option<Device> {
    let device = crate::gpu::device()?;
    if device.info().backend != "vulkan" {
        crate::skipped(format_args!("exported SPIR-V runs on Vulkan; the tests run on {}", device.info()));
        return None;
    }
    Some(device)
}

/// Normalized pictures whose values all differ.
fn pictures(batch: usize) -> Tensor {
    let shape = Shape::new(batch, 64, 80, 3);
    let value = |at: usize| ((at as f64 * 0.618_033_988_749_895).fract() * 4.0 - 2.0) as f32;
    Tensor::new(shape, (0..shape.len()).map(value).collect()).unwrap()
}

#[test]
fn the_files_alone_give_the_sessions_logits() {
    let Some(device) = device() else { return };
    for (name, model) in
        [("odd", data("odd.timm.fused", Form::Fused)), ("se", data("se.timm.fused", Form::Fused))]
    {
        for dtype in [DType::F32, DType::F16] {
            if dtype == DType::F16 && !crate::gpu::has_f16(&device) {
                continue;
            }
            let options = options(&model, dtype, 3);
            let here = folder(&format!("vulkan-{name}-{dtype}"));
            let files = export(&model, &options, device.limits().unwrap(), Target::Spirv).unwrap();
            files.write(&here, false).unwrap();
            let mut runner = runner(&device, &here);
            let session = Session::new(&device, &model, &options).unwrap();
            for batch in [3, 1] {
                let pictures = pictures(batch);
                let found = runner.run(&input(pictures.data(), &files.manifest.dtype), batch).unwrap();
                let answer = session.run(Input::Tensor(&pictures)).unwrap();
                let apart = relative(&found.logits.concat(), answer.logits());
                assert!(apart <= 1e-6, "{name} in {dtype}, {batch} pictures: {apart:e} apart");
                let classes: Vec<usize> = found.top.concat().iter().map(|top| top.0).collect();
                let expected: Vec<usize> = answer.top.concat().iter().map(|top| top.index).collect();
                assert_eq!(classes, expected, "{name} in {dtype}");
            }
        }
    }
}

/// The plan that every device can run may sum in another order than the one of this device.
#[test]
fn the_plan_for_all_devices_runs_too() {
    let Some(device) = device() else { return };
    let model = Model::new(synthetic(&VARIANTS[0], 1000, 0), Form::Fused).unwrap();
    let options = options(&model, DType::F32, 1);
    let here = folder("vulkan-least");
    export(&model, &options, Limits::LEAST, Target::Spirv).unwrap().write(&here, false).unwrap();
    let mut runner = runner(&device, &here);
    let pictures = pictures(1);
    let found = runner.run(&input(pictures.data(), "f32"), 1).unwrap();
    let answer = Session::new(&device, &model, &options).unwrap().run(Input::Tensor(&pictures)).unwrap();
    let apart = relative(&found.logits[0], answer.logits());
    assert!(apart <= 1e-5, "{apart:e}");
}

/// Pictures, prepared by the exported kernels from the example's own numbers.
#[test]
fn pictures_go_the_same_way() {
    let Some(device) = device() else { return };
    let model = data("odd.timm.fused", Form::Fused);
    use preprocess::{CropMode, Interpolation, PixelFormat, Rotation};
    // Upscaled and downscaled, wide and tall, each mode and filter.
    let rows = [
        ((200, 150), CropMode::Center, Interpolation::Bilinear, 0.875, (64, 80)),
        ((61, 333), CropMode::Center, Interpolation::Bicubic, 0.9, (64, 64)),
        ((30, 20), CropMode::Squash, Interpolation::Bicubic, 1.0, (64, 80)),
        ((400, 90), CropMode::Border, Interpolation::Bilinear, 1.0, (64, 64)),
        ((300, 900), CropMode::Center, Interpolation::Bilinear, 1.0, (80, 64)),
    ];
    for (at, ((width, height), crop_mode, interpolation, crop_pct, size)) in rows.into_iter().enumerate() {
        let mut options = options(&model, DType::F32, 1);
        let of = &mut options.preprocess;
        (of.crop_mode, of.interpolation, of.crop_pct, of.size) = (crop_mode, interpolation, crop_pct, size);
        let here = folder(&format!("vulkan-picture-{at}"));
        let limits = device.limits().unwrap();
        export(&model, &options, limits, Target::Spirv).unwrap().write(&here, false).unwrap();
        let mut runner = runner(&device, &here);
        let bytes: Vec<u8> =
            (0..4 * width * height).map(|at| ((at as u32).wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let pixels = Pixels {
            bytes: &bytes,
            size: (width, height),
            stride: 4 * width,
            format: PixelFormat::Rgba8,
            crop: None,
            rotation: Rotation::None,
        };
        let found = runner.run_picture(&bytes, width, height).unwrap();
        // The session's plan and kernels: its bytes, and its sums.
        let session = Session::new(&device, &model, &options).unwrap();
        let answer = session.run(Input::Pixels(pixels)).unwrap();
        let apart = relative(&found.logits[0], answer.logits());
        assert!(apart <= 1e-6, "row {at}: {apart:e}");
    }
}
