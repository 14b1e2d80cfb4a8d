//! How host values lie in a device's buffers: NHWC, channels padded to a multiple of 4, f32 or f16.

use half::f16;

use crate::{
    plan::Place,
    tensor::{DType, Tensor},
};

/// The bytes of `values` stored as `dtype`.
pub fn scalars(values: &[f32], dtype: DType) -> Vec<u8> {
    match dtype {
        DType::F32 => bytemuck::cast_slice(values).to_vec(),
        DType::F16 => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
    }
}

/// Appends `values`, dense NHWC, as they lie in `place`: channels padded with zeros to a multiple of 4.
pub fn pad(values: &[f32], place: Place, bytes: &mut Vec<u8>) {
    let (begin, c) = (bytes.len(), place.shape.c);
    let pixel = c.next_multiple_of(4) * place.dtype.size();
    bytes.resize(begin + values.len() / c * pixel, 0);
    let rows = values.chunks_exact(c).zip(bytes[begin..].chunks_exact_mut(pixel));
    match place.dtype {
        // A picture has three channels: their copy is worth a fixed length.
        DType::F32 if c == 3 => {
            for (values, bytes) in
                values.as_chunks::<3>().0.iter().zip(bytes[begin..].as_chunks_mut::<16>().0)
            {
                bytes[..12].copy_from_slice(bytemuck::bytes_of(values));
            }
        }
        DType::F32 => {
            rows.for_each(|(values, bytes)| bytes[..4 * c].copy_from_slice(bytemuck::cast_slice(values)));
        }
        DType::F16 => {
            for (values, bytes) in rows {
                for (value, bytes) in values.iter().zip(bytes.as_chunks_mut().0) {
                    *bytes = f16::from_f32(*value).to_le_bytes();
                }
            }
        }
    }
}

/// What [`pad`] stored, dense again, and the largest magnitude found in the padding.
pub fn unpad(bytes: &[u8], place: Place, batch: usize) -> (Tensor, f32) {
    let mut dense = Vec::with_capacity(place.shape.len() * batch);
    let padding = match place.dtype {
        DType::F32 => unpad_as(bytes, place.shape.c, f32::from_le_bytes, &mut dense),
        DType::F16 => unpad_as(bytes, place.shape.c, |half| f16::from_le_bytes(half).to_f32(), &mut dense),
    };
    let tensor = Tensor::new(place.shape.with_batch(batch), dense);
    (tensor.expect("a place holds its shape"), padding)
}

fn unpad_as<const N: usize>(bytes: &[u8], c: usize, value: fn([u8; N]) -> f32, dense: &mut Vec<f32>) -> f32 {
    let mut padding = 0.0f32;
    for pixel in bytes.as_chunks::<N>().0.chunks_exact(c.next_multiple_of(4)) {
        dense.extend(pixel[..c].iter().map(|&bytes| value(bytes)));
        let worst = |worst: f32, x: f32| if x.is_nan() { f32::INFINITY } else { worst.max(x.abs()) };
        padding = pixel[c..].iter().map(|&bytes| value(bytes)).fold(padding, worst);
    }
    padding
}

/// Whether all the values that [`pad`] stored are finite.
pub fn is_finite(bytes: &[u8], dtype: DType) -> bool {
    match dtype {
        DType::F32 => bytes.as_chunks().0.iter().all(|&word| f32::from_le_bytes(word).is_finite()),
        DType::F16 => bytes.as_chunks().0.iter().all(|&word| f16::from_le_bytes(word).is_finite()),
    }
}
