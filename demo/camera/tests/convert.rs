//! The shader that makes RGBA of what cameras send, against its twin on the host, byte for byte.

use crate::{PATIENCE, folder, gpu, has};
use camera::{
    convert::to_rgba,
    frame::{Colour, Format, Frame, Slot},
    gpu::Gpu,
    plate::Plates,
    source::{Capture, Source, Stage},
};
use std::{sync::Arc, time::Instant};

/// Every layout, with every matrix and range.
fn formats() -> Vec<Format> {
    let yuv = |(_, colour)| [Format::Yuyv(colour), Format::Nv12(colour), Format::I420(colour)];
    let plain = [Format::Rgba, Format::Rgb, Format::Bgr, Format::Gray];
    plain.into_iter().chain(Colour::ALL.into_iter().flat_map(yuv)).collect()
}

#[test]
fn the_shader_and_its_twin_agree() {
    let Some(gpu) = gpu() else { return };
    let mut plates = Plates::new(&gpu.device);
    // Odd and even sides, one pixel, rows that copies have to pad, several workgroups.
    for size in [(1, 1), (2, 2), (3, 5), (64, 4), (65, 33), (129, 7), (320, 240)] {
        for format in formats() {
            let bytes: Vec<u8> = (0..format.bytes(size) as u32)
                .map(|at| (at.wrapping_mul(2_654_435_761) >> 21) as u8)
                .collect();
            let mut expected = Vec::new();
            to_rgba(&bytes, size, format, &mut expected);
            let captured = Instant::now();
            let frame = Frame { id: 0, captured, size, format, bytes, truth: None, caption: None };
            let mut found = upload(&gpu, &mut plates, &frame);
            // Sources give an opaque fourth byte, which a texture keeps; here it is anything.
            found.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| pixel[3] = 255);
            let at = found.iter().zip(&expected).position(|(a, b)| a != b);
            assert_eq!((at, found.len()), (None, expected.len()), "{format:?} {size:?}");
        }
    }
}

/// Every colour of the one layout in which each pixel can have its own, by every matrix and range: the shader computes as
/// the library does.
#[test]
fn every_colour() {
    let Some(gpu) = gpu() else { return };
    let mut plates = Plates::new(&gpu.device);
    for y in (0..=255u8).step_by(5) {
        let size = (512, 256);
        let pair = |at: usize| [y, (at % 256) as u8, y.wrapping_add(3), (at / 256) as u8];
        let bytes: Vec<u8> = (0..65536).flat_map(pair).collect();
        for (name, colour) in Colour::ALL {
            let (format, mut expected) = (Format::Yuyv(colour), Vec::new());
            to_rgba(&bytes, size, format, &mut expected);
            let bytes = bytes.clone();
            let captured = Instant::now();
            let frame = Frame { id: 0, captured, size, format, bytes, truth: None, caption: None };
            assert!(upload(&gpu, &mut plates, &frame) == expected, "{name}, luma {y}");
        }
    }
}

/// Known colours, as the standards have them: black, white, red, green and blue by every matrix and range.
#[test]
fn known_colours() {
    let expected = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]];
    let rows = [
        ("bt601", [[16, 128, 128], [235, 128, 128], [81, 90, 240], [145, 54, 34], [41, 240, 110]]),
        ("bt601,full", [[0, 128, 128], [255, 128, 128], [76, 85, 255], [150, 44, 21], [29, 255, 107]]),
        ("bt709", [[16, 128, 128], [235, 128, 128], [63, 102, 240], [173, 42, 26], [32, 240, 118]]),
        ("bt709,full", [[0, 128, 128], [255, 128, 128], [54, 99, 255], [182, 30, 12], [18, 255, 116]]),
    ];
    for (name, colours) in rows {
        let colour: Colour = name.parse().expect("a known one");
        for ([y, u, v], rgb) in colours.into_iter().zip(expected) {
            for (format, bytes) in [
                (Format::Yuyv(colour), vec![y, u, y, v]),
                (Format::Nv12(colour), vec![y, y, u, v]),
                (Format::I420(colour), vec![y, y, u, v]),
            ] {
                let mut rgba = Vec::new();
                to_rgba(&bytes, (2, 1), format, &mut rgba);
                for (found, expected) in rgba[4..7].iter().zip(rgb) {
                    assert!(found.abs_diff(expected) <= 2, "{format:?} {y} {u} {v}: {rgba:?}, not {rgb:?}");
                }
            }
        }
    }
}

/// A video's colours come out as they went in: by what its stream says, and where it says nothing by what it is told.
#[test]
fn colours_of_videos() {
    if !has("ffmpeg", "ffmpeg") {
        return;
    }
    let (folder, rgb) = (folder("colours"), [200, 50, 80]);
    for (name, colour) in Colour::ALL {
        let (matrix, range) =
            (name.trim_end_matches(",full"), if name.ends_with("full") { "pc" } else { "tv" });
        let tag = if matrix == "bt709" { "bt709" } else { "smpte170m" };
        let made = format!("format=gbrp,scale=out_color_matrix={matrix}:out_range={range},format=yuv444p");
        for (says, given) in [
            (format!("setparams=colorspace={tag}:range={range}"), None),
            ("setparams=colorspace=unknown:range=unknown".into(), Some(colour)),
        ] {
            let video = folder.join(format!("{name} {}.mkv", given.is_some()));
            let scene = "color=c=0xC83250:size=64x48:rate=5:duration=1";
            let mut ffmpeg = std::process::Command::new("ffmpeg");
            ffmpeg.args(["-v", "error", "-y", "-f", "lavfi", "-i", scene, "-c:v", "ffv1"]);
            ffmpeg.arg("-vf").arg(format!("{made},{says}")).arg(&video);
            assert!(ffmpeg.status().expect("ffmpeg starts").success());
            let slot = Arc::<Slot>::default();
            let tell = Arc::new(|line| panic!("{line}"));
            let stage = Stage::new(slot.clone(), Arc::new(true.into()), 0.0, given, tell);
            let path = video.to_str().expect("a plain path").to_string();
            let _capture = Capture::start(Source::Video(path), stage, None);
            let frame = slot.take(PATIENCE).expect("a frame");
            assert_eq!((frame.format, frame.size), (Format::Rgba, (64, 48)));
            let found = &frame.bytes[4 * 64 * 24 + 4 * 32..][..3];
            // ffmpeg rounds twice; another matrix or range is off by 10 and more.
            let near = found.iter().zip(rgb).all(|(found, expected)| found.abs_diff(expected) <= 5);
            assert!(near, "{name}, told {given:?}: {found:?}, not {rgb:?}");
        }
    }
    std::fs::remove_dir_all(folder).ok();
}

/// Uploads a frame as the engine does, and reads its texture.
fn upload(gpu: &Gpu, plates: &mut Plates, frame: &Frame) -> Vec<u8> {
    let plate = plates.take(&gpu.queue, frame.size, frame.format).expect("no plate is in use");
    let stride = (4 * frame.size.0).next_multiple_of(256);
    let readback = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: (stride * frame.size.1) as u64,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    plates.record(&mut encoder, &plate, frame).expect("the upload buffer is mapped");
    let layout =
        wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(stride as u32), rows_per_image: None };
    encoder.copy_texture_to_buffer(
        plate.texture.as_image_copy(),
        wgpu::TexelCopyBufferInfo { buffer: &readback, layout },
        plate.texture.size(),
    );
    gpu.queue.submit([encoder.finish()]);
    plate.submitted();
    readback.map_async(wgpu::MapMode::Read, .., |result| result.expect("the device works"));
    gpu.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device works");
    assert_eq!(gpu.take_fault(), None);
    let mapped = readback.get_mapped_range(..).expect("it was mapped");
    mapped.chunks_exact(stride).flat_map(|row| &row[..4 * frame.size.0]).copied().collect()
}
