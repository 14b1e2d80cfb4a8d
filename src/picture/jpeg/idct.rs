//! Blocks of coefficients to samples: libjpeg's slow integer transform, whose results are what PyTorch's and
//! Pillow's users see, and one of the low half of the frequencies that gives half as many samples per side.

use std::num::Wrapping;

/// Damaged data may overflow: it wraps.
type Number = Wrapping<i32>;

/// Binary places of the constants, and of what lies between the columns' transform and the rows'.
const PLACES: usize = 13;
const BETWEEN: usize = 2;

/// `value * 2^PLACES`, rounded, as constants of libjpeg's algorithm (Loeffler, Ligtenberg and Moschytz).
const fn fixed(value: f64) -> Number {
    Wrapping((value * (1 << PLACES) as f64 + 0.5) as i32)
}

/// Eight samples, times `2^PLACES` and √8.
#[inline(always)]
fn eight(x: [Number; 8]) -> [Number; 8] {
    let z = (x[2] + x[6]) * fixed(0.541196100);
    let (low, high) = (z - x[6] * fixed(1.847759065), z + x[2] * fixed(0.765366865));
    let (sum, difference) = ((x[0] + x[4]) << PLACES, (x[0] - x[4]) << PLACES);
    let even = [sum + high, difference + low, difference - low, sum - high];
    let (z1, z2, z3, z4) = (x[7] + x[1], x[5] + x[3], x[7] + x[3], x[5] + x[1]);
    let z5 = (z3 + z4) * fixed(1.175875602);
    let (z1, z2) = (z1 * fixed(0.899976223), z2 * fixed(2.562915447));
    let (z3, z4) = (z5 - z3 * fixed(1.961570560), z5 - z4 * fixed(0.390180644));
    let odd = [
        x[1] * fixed(1.501321110) - z1 + z4,
        x[3] * fixed(3.072711026) - z2 + z3,
        x[5] * fixed(2.053119869) - z2 + z4,
        x[7] * fixed(0.298631336) - z1 + z3,
    ];
    [
        even[0] + odd[0],
        even[1] + odd[1],
        even[2] + odd[2],
        even[3] + odd[3],
        even[3] - odd[3],
        even[2] - odd[2],
        even[1] - odd[1],
        even[0] - odd[0],
    ]
}

/// Four samples of half the resolution, to the same scale.
#[inline(always)]
fn four(x: [Number; 4]) -> [Number; 4] {
    let (sum, difference) = ((x[0] + x[2]) << PLACES, (x[0] - x[2]) << PLACES);
    let z = (x[1] + x[3]) * fixed(0.541196100);
    let (near, far) = (z + x[1] * fixed(0.765366865), z - x[3] * fixed(1.847759065));
    [sum + near, difference + far, difference - far, sum - near]
}

#[inline(always)]
fn rounded(value: Number, places: usize) -> Number {
    (value + Wrapping(1 << (places - 1))) >> places
}

/// Samples by their values around 0, of which the last 10 bits count, as in libjpeg: looked up, because compilers
/// clamp eight values at once no faster and with the rest of the transform slower.
const SAMPLES: [u8; 1024] = {
    let mut samples = [0; 1024];
    let mut at = 0;
    while at < 1024 {
        samples[at] = match at {
            0..128 => at as u8 + 128,
            128..512 => 255,
            512..896 => 0,
            _ => (at - 896) as u8,
        };
        at += 1;
    }
    samples
};

#[inline(always)]
fn sample(value: Number) -> u8 {
    SAMPLES[rounded(value, PLACES + BETWEEN + 3).0 as usize & 1023]
}

/// Writes the samples of a block, whose coefficients lie row by row, to `plane` from `at` on: 8 by 8 of them, or
/// 4 by 4 for `HALF`. `last` is the zigzag index of the last coefficient that may be other than 0.
#[inline(always)]
pub fn block<const HALF: bool>(block: &[i32; 64], last: usize, plane: &mut [u8], at: usize, stride: usize) {
    let side = if HALF { 4 } else { 8 };
    if last == 0 {
        let value = ((block[0].saturating_add(4) >> 3).saturating_add(128)).clamp(0, 255) as u8;
        for row in 0..side {
            plane[at + row * stride..][..side].fill(value);
        }
    } else if HALF {
        half(block, plane, at, stride);
    } else if last < 10 {
        full::<4>(block, plane, at, stride);
    } else {
        full::<8>(block, plane, at, stride);
    }
}

/// Only the first `SIDE` coefficients of the first `SIDE` rows are other than 0: for 4, those before zigzag's 10th.
#[inline(always)]
fn full<const SIDE: usize>(block: &[i32; 64], plane: &mut [u8], at: usize, stride: usize) {
    let mut between = [[Wrapping(0); 8]; 8];
    for column in 0..SIDE {
        let x = std::array::from_fn(|row| Wrapping(if row < SIDE { block[row * 8 + column] } else { 0 }));
        for (row, value) in between.iter_mut().zip(eight(x)) {
            row[column] = rounded(value, PLACES - BETWEEN);
        }
    }
    for (row, x) in between.into_iter().enumerate() {
        let line: &mut [u8; 8] = plane[at + row * stride..].first_chunk_mut().expect("a padded plane");
        let x = std::array::from_fn(|column| if column < SIDE { x[column] } else { Wrapping(0) });
        *line = eight(x).map(sample);
    }
}

fn half(block: &[i32; 64], plane: &mut [u8], at: usize, stride: usize) {
    let mut between = [[Wrapping(0); 4]; 4];
    for column in 0..4 {
        let x = std::array::from_fn(|row| Wrapping(block[row * 8 + column]));
        for (row, value) in between.iter_mut().zip(four(x)) {
            row[column] = rounded(value, PLACES - BETWEEN);
        }
    }
    for (row, x) in between.into_iter().enumerate() {
        let line: &mut [u8; 4] = plane[at + row * stride..].first_chunk_mut().expect("a padded plane");
        *line = four(x).map(sample);
    }
}
