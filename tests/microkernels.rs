//! Every instruction set's loops against sums in f64: all remainders of a tile, NaN wherever nothing may be
//! read, and a guard band around all that is written.

use crate::cpu::distinct;
use mobileone::cpu::{
    Isa,
    microkernels::{BLOCK, Depthwise, Product, depthwise, product},
};

/// What stands before and behind what a kernel may write.
const GUARD: f32 = 12345.0;

/// Asserts that `found` is `expected` with a guard band of a block on each side.
fn agree(found: &[f32], expected: &[f64], what: &str) {
    let (before, rest) = found.split_at(BLOCK);
    let (found, behind) = rest.split_at(expected.len());
    assert!(before.iter().chain(behind).all(|&guard| guard == GUARD), "{what}: writes past its end");
    for (at, (&a, &b)) in found.iter().zip(expected).enumerate() {
        assert!((a as f64 - b).abs() <= 1e-5 + 2e-6 * b.abs(), "{what} at {at}: {a}, expected {b}");
    }
}

fn relu(x: f64, wanted: bool) -> f64 {
    if wanted && x < 0.0 { 0.0 } else { x }
}

#[test]
fn products() {
    for (isa, panel) in Isa::all().into_iter().flat_map(|isa| [1, 2, 3].map(|panel| (isa, panel))) {
        // Panels that the instruction set asks for, of few blocks or of many
        if ![isa.panels(panel), isa.panels(17)].concat().contains(&panel) {
            continue;
        }
        for (runs, run) in [(1, 1), (1, 16), (1, 17), (2, 9), (3, 31), (1, 96)] {
            let width = panel * BLOCK;
            let (weight, bias) = (distinct(runs * run * width), distinct(width));
            let mut alone: Option<Vec<f32>> = None;
            // One pixel at a time, then together
            for pixels in 1..=60 {
                let (first, relu_wanted) = (pixels % 3, pixels % 2 == 1);
                let src_pixels = first + pixels + 2;
                let values = distinct(runs * run * 61);
                let value = |pixel: usize, k: usize| values[pixel * runs * run + k];
                let mut src = vec![f32::NAN; runs * run.div_ceil(BLOCK) * src_pixels * BLOCK];
                for (pixel, k) in (0..pixels).flat_map(|pixel| (0..runs * run).map(move |k| (pixel, k))) {
                    let block = k / run * run.div_ceil(BLOCK) + k % run / BLOCK;
                    src[(block * src_pixels + first + pixel) * BLOCK + k % run % BLOCK] = value(pixel, k);
                }
                let mut dst = vec![vec![GUARD; (pixels + 2) * BLOCK]; panel];
                dst.iter_mut().for_each(|dst| dst[BLOCK..(pixels + 1) * BLOCK].fill(f32::NAN));
                let mut inner: Vec<&mut [f32]> =
                    dst.iter_mut().map(|dst| &mut dst[BLOCK..(pixels + 1) * BLOCK]).collect();
                let (src, weight, bias) = (&src[..], &weight[..], &bias[..]);
                let what = Product { src, src_pixels, first, runs, run, weight, bias, relu: relu_wanted };
                product(isa, &what, &mut inner);
                let name = format!("{} {runs}x{run} to {panel} blocks of {pixels} pixels", isa.name());
                for (block, dst) in dst.iter().enumerate() {
                    let sum = |pixel: usize, lane: usize| {
                        let channel = block * BLOCK + lane;
                        let products = (0..runs * run)
                            .map(|k| value(pixel, k) as f64 * weight[k * width + channel] as f64);
                        relu(bias[channel] as f64 + products.sum::<f64>(), relu_wanted)
                    };
                    let all = (0..pixels).flat_map(|pixel| (0..BLOCK).map(move |lane| (pixel, lane)));
                    let expected: Vec<f64> = all.map(|(pixel, lane)| sum(pixel, lane)).collect();
                    agree(dst, &expected, &name);
                }
                // The first pixel's bits do not depend on how many are computed with it.
                let first = dst.iter().flat_map(|dst| &dst[BLOCK..2 * BLOCK]);
                let bits: Vec<f32> = first.map(|&x| if x < 0.0 { 0.0 } else { x }).collect();
                assert!(*alone.get_or_insert(bits.clone()) == bits, "{name}: the tile matters");
            }
        }
    }
}

#[test]
fn depthwise_rows() {
    for isa in Isa::all() {
        for (kernel, stride, padding) in [
            (1, 1, 0),
            (1, 2, 0),
            (3, 1, 1),
            (3, 2, 1),
            (3, 3, 1),
            (3, 1, 0),
            (3, 2, 0),
            (3, 1, 2),
            (5, 1, 2),
            (5, 2, 2),
            (2, 2, 1),
        ] {
            for (h, w) in [(1, 1), (1, 2), (2, 1), (3, 3), (4, 5), (3, 6), (7, 7), (5, 12), (2, 23)] {
                if h.min(w) + 2 * padding < kernel {
                    continue;
                }
                let pictures = 2;
                let len = |src: usize| (src + 2 * padding - kernel) / stride + 1;
                let (src, zeros) = (distinct(pictures * h * w * BLOCK), vec![0.0; w * BLOCK]);
                let (taps, bias) = (distinct(kernel * kernel * BLOCK), distinct(BLOCK));
                let all = pictures * len(h) * len(w);
                let sum = |at: usize, lane: usize| {
                    let (row, x) = (at / len(w), at % len(w));
                    let (picture, y) = (row / len(h), row % len(h));
                    let mut sum = bias[lane] as f64;
                    for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
                        let y = (y * stride + ky).checked_sub(padding).filter(|&y| y < h);
                        let x = (x * stride + kx).checked_sub(padding).filter(|&x| x < w);
                        if let (Some(y), Some(x)) = (y, x) {
                            let value = src[((picture * h + y) * w + x) * BLOCK + lane] as f64;
                            sum += value * taps[(ky * kernel + kx) * BLOCK + lane] as f64;
                        }
                    }
                    sum
                };
                let mut whole: Vec<f32> = Vec::new();
                for (start, end) in
                    [(0, all), (0, 1), (all - 1, all), (1.min(all - 1), all), (all / 3, all / 2)]
                {
                    let relu_wanted = end < all;
                    let mut dst = vec![GUARD; (end - start + 2) * BLOCK];
                    let inner = &mut dst[BLOCK..(end - start + 1) * BLOCK];
                    inner.fill(f32::NAN);
                    let (src, taps, bias, zeros) = (&src[..], &taps[..], &bias[..], &zeros[..]);
                    let what = Depthwise {
                        src,
                        h,
                        w,
                        kernel,
                        stride,
                        padding,
                        taps,
                        bias,
                        relu: relu_wanted,
                        zeros,
                    };
                    depthwise(isa, &what, start..end, inner);
                    let pixels = (start..end).flat_map(|at| (0..BLOCK).map(move |lane| (at, lane)));
                    let expected: Vec<f64> =
                        pixels.map(|(at, lane)| relu(sum(at, lane), relu_wanted)).collect();
                    let name = format!("{} {kernel}x{kernel}/{stride}-{padding} {h}x{w}", isa.name());
                    agree(&dst, &expected, &format!("{name} {start}..{end}"));
                    let inner = &dst[BLOCK..(end - start + 1) * BLOCK];
                    if whole.is_empty() {
                        whole = inner.to_vec();
                    }
                    let same = whole[start * BLOCK..end * BLOCK]
                        .iter()
                        .map(|&x| if relu_wanted && x < 0.0 { 0.0 } else { x });
                    assert!(same.eq(inner.iter().copied()), "{name}: the cut matters");
                }
            }
        }
    }
}

#[test]
fn nan_passes_through_relu() {
    for isa in Isa::all() {
        let src = [f32::NAN; BLOCK];
        let (weight, bias) = ([1.0; BLOCK], [0.0; BLOCK]);
        let mut dst = [0.0; BLOCK];
        let what = Product {
            src: &src,
            src_pixels: 1,
            first: 0,
            runs: 1,
            run: 1,
            weight: &weight,
            bias: &bias,
            relu: true,
        };
        product(isa, &what, &mut [&mut dst]);
        assert!(dst.iter().all(|x| x.is_nan()), "{}", isa.name());
    }
}

/// Lengths that wrap around are refused before anything is computed from them.
#[test]
fn lengths_that_wrap_are_refused() {
    let refused = |name: &str, run: &mut dyn FnMut()| {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).expect_err(name);
        let text =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        assert!(text.is_some_and(|text| !text.contains("overflow")), "{name}: {text:?}");
    };
    const WRAPS: usize = usize::MAX / BLOCK + 1;
    let (ones, relu) = ([1.0; BLOCK], false);
    for isa in Isa::all() {
        let (src, weight, bias) = (&ones[..], &ones[..], &ones[..]);
        let panel = isa.panels(17)[0];
        for (src_pixels, first, runs, run) in [
            (WRAPS, 0, 1, 1),
            (WRAPS + 1, WRAPS, 1, 1),
            (1, usize::MAX, 1, 1),
            (1, 0, WRAPS + 1, 1),
            (1, 0, 1, WRAPS + 1),
            (1, 0, 0, 1),
            (WRAPS, 0, 1, 0),
        ] {
            let what = Product { src, src_pixels, first, runs, run, weight, bias, relu };
            refused(&format!("{} {src_pixels} {first} {runs} {run}", isa.name()), &mut || {
                let mut dst = vec![[0.0; BLOCK]; panel];
                product(isa, &what, &mut dst.iter_mut().map(|dst| &mut dst[..]).collect::<Vec<_>>());
            });
        }
        let (taps, zeros) = (&ones[..], &ones[..]);
        for (h, w, kernel, padding) in [
            (WRAPS, 1, 1, 0),
            (WRAPS + 1, 1, 1, 0),
            (1, WRAPS + 1, 1, 0),
            (1, 1, 3, 0),
            (1, 1, WRAPS, 0),
            (1, 1, 1, usize::MAX),
            (1, 1, 1, usize::MAX / 2),
        ] {
            let what = Depthwise { src, h, w, kernel, stride: 1, padding, taps, bias, relu, zeros };
            refused(&format!("{} {h}x{w} {kernel} {padding}", isa.name()), &mut || {
                depthwise(isa, &what, 0..1, &mut [0.0; BLOCK]);
            });
        }
    }
}
