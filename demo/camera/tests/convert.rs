//! The shader that makes RGBA of what cameras send, against its twin on the host, byte for byte.

use crate::gpu;
use camera::{
    convert::{FORMATS, to_rgba},
    frame::{Format, Frame},
    gpu::Gpu,
    plate::Plates,
};
use std::time::Instant;

#[test]
fn the_shader_and_its_twin_agree() {
    let Some(gpu) = gpu() else { return };
    let mut plates = Plates::new(&gpu.device);
    // Odd and even sides, one pixel, rows that copies have to pad, several workgroups.
    for size in [(1, 1), (2, 2), (3, 5), (64, 4), (65, 33), (129, 7), (320, 240)] {
        for format in FORMATS {
            let bytes: Vec<u8> = (0..format.bytes(size) as u32)
                .map(|at| (at.wrapping_mul(2_654_435_761) >> 21) as u8)
                .collect();
            let mut expected = Vec::new();
            to_rgba(&bytes, size, format, &mut expected);
            let frame = Frame { id: 0, captured: Instant::now(), size, format, bytes, truth: None };
            let mut found = upload(&gpu, &mut plates, &frame);
            // Sources give an opaque fourth byte, which a texture keeps; here it is anything.
            found.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| pixel[3] = 255);
            let at = found.iter().zip(&expected).position(|(a, b)| a != b);
            assert_eq!((at, found.len()), (None, expected.len()), "{format:?} {size:?}");
        }
    }
}

/// Every colour of the one layout in which each pixel can have its own: the shader's numbers are the library's.
#[test]
fn every_colour() {
    let Some(gpu) = gpu() else { return };
    let mut plates = Plates::new(&gpu.device);
    for y in (0..=255u8).step_by(5) {
        let size = (512, 256);
        let pair = |at: usize| [y, (at % 256) as u8, y.wrapping_add(3), (at / 256) as u8];
        let bytes: Vec<u8> = (0..65536).flat_map(pair).collect();
        let mut expected = Vec::new();
        to_rgba(&bytes, size, Format::Yuyv, &mut expected);
        let frame = Frame { id: 0, captured: Instant::now(), size, format: Format::Yuyv, bytes, truth: None };
        assert!(upload(&gpu, &mut plates, &frame) == expected, "luma {y}");
    }
}

/// Known colours: what studios agree on.
#[test]
fn known_colours() {
    let rows = [
        ([16, 128, 128], [0, 0, 0]),
        ([235, 128, 128], [255, 255, 255]),
        ([81, 90, 240], [255, 0, 0]),
        ([145, 54, 34], [0, 255, 1]),
        ([41, 240, 110], [0, 0, 255]),
    ];
    for ([y, u, v], rgb) in rows {
        for (format, bytes) in [
            (Format::Yuyv, vec![y, u, y, v]),
            (Format::Nv12, vec![y, y, u, v]),
            (Format::I420, vec![y, y, u, v]),
        ] {
            let mut rgba = Vec::new();
            to_rgba(&bytes, (2, 1), format, &mut rgba);
            for (found, expected) in rgba[4..7].iter().zip(rgb) {
                assert!(found.abs_diff(expected) <= 2, "{format:?} {y} {u} {v}: {rgba:?}, expected {rgb:?}");
            }
        }
    }
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
