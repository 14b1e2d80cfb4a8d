//! Every instruction set's loops against sums in f64: all remainders of a tile, NaN wherever nothing may be
//! read, and a guard band around all that is written.

use crate::cpu::distinct;
use mobileone::{
    cpu::{
        Isa,
        microkernels::{BLOCK, Clamp, Depthwise, Product, depthwise, product},
    },
    graph::Window,
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

const RELU: Clamp = Clamp { low: 0.0, high: f32::INFINITY };

fn clamped(x: f64, clamp: Clamp) -> f64 {
    x.clamp(clamp.low.into(), clamp.high.into())
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
                let first = pixels % 3;
                let clamp = [Clamp::NONE, RELU, Clamp { low: -0.5, high: 0.25 }][pixels / 3 % 3];
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
                let what = Product { src, src_pixels, first, runs, run, weight, bias, clamp };
                product(isa, &what, &mut inner);
                let name = format!("{} {runs}x{run} to {panel} blocks of {pixels} pixels", isa.name());
                for (block, dst) in dst.iter().enumerate() {
                    let sum = |pixel: usize, lane: usize| {
                        let channel = block * BLOCK + lane;
                        let products = (0..runs * run)
                            .map(|k| value(pixel, k) as f64 * weight[k * width + channel] as f64);
                        clamped(bias[channel] as f64 + products.sum::<f64>(), clamp)
                    };
                    let all = (0..pixels).flat_map(|pixel| (0..BLOCK).map(move |lane| (pixel, lane)));
                    let expected: Vec<f64> = all.map(|(pixel, lane)| sum(pixel, lane)).collect();
                    agree(dst, &expected, &name);
                }
                // The first pixel's bits do not depend on how many are computed with it.
                let first = dst.iter().flat_map(|dst| &dst[BLOCK..2 * BLOCK]);
                let narrow = Clamp { low: 0.0, high: 0.25 };
                let bits: Vec<f32> = first.map(|&x| narrow.of(x)).collect();
                assert!(*alone.get_or_insert(bits.clone()) == bits, "{name}: the tile matters");
            }
        }
    }
}

#[test]
fn depthwise_rows() {
    let gaps = |kernel, dilation| Window { dilation, ..Window::square(kernel, 1, 2) };
    for (isa, window) in Isa::all().into_iter().flat_map(|isa| {
        [
            Window::square(1, 1, 0),
            Window::square(1, 2, 0),
            Window::square(3, 1, 1),
            Window::square(3, 2, 1),
            Window::square(3, 3, 1),
            Window::square(3, 1, 0),
            Window::square(3, 2, 0),
            Window::square(3, 1, 2),
            Window::square(5, 1, 2),
            Window::square(5, 2, 2),
            Window::square(7, 1, 3),
            Window::square(2, 2, 1),
            gaps(3, [2, 2]),
            gaps(3, [1, 4]),
            gaps(2, [6, 1]),
            Window { padding: [[0, 1], [0, 1]], ..Window::square(3, 2, 0) },
            Window { padding: [[1, 1], [1, 2]], ..Window::square(3, 1, 0) },
            Window { kernel: [1, 7], padding: [[0, 0], [3, 3]], ..Window::square(1, 1, 0) },
            Window { kernel: [4, 2], stride: [1, 3], dilation: [1, 2], padding: [[5, 0], [0, 9]] },
        ]
        .map(|window| (isa, window))
    }) {
        let [stride, dilation] = [window.stride, window.dilation];
        for (h, w) in [(1, 1), (1, 2), (2, 1), (3, 3), (4, 5), (3, 6), (7, 7), (5, 12), (2, 23)] {
            let (Some(dst_h), Some(dst_w)) = (window.dst_len(0, h), window.dst_len(1, w)) else { continue };
            let pictures = 2;
            let (src, zeros) = (distinct(pictures * h * w * BLOCK), vec![0.0; w * BLOCK]);
            let (taps, bias) = (distinct(window.area() * BLOCK), distinct(BLOCK));
            let all = pictures * dst_h * dst_w;
            let sum = |at: usize, lane: usize| {
                let (row, x) = (at / dst_w, at % dst_w);
                let (picture, y) = (row / dst_h, row % dst_h);
                let mut sum = bias[lane] as f64;
                for tap in 0..window.area() {
                    let (ky, kx) = (tap / window.kernel[1], tap % window.kernel[1]);
                    let place = (y * stride[0] + ky * dilation[0]).checked_sub(window.padding[0][0]);
                    let row = place.filter(|&y| y < h);
                    let place = (x * stride[1] + kx * dilation[1]).checked_sub(window.padding[1][0]);
                    if let (Some(y), Some(x)) = (row, place.filter(|&x| x < w)) {
                        let value = src[((picture * h + y) * w + x) * BLOCK + lane] as f64;
                        sum += value * taps[tap * BLOCK + lane] as f64;
                    }
                }
                sum
            };
            let mut whole: Vec<f32> = Vec::new();
            for (start, end) in [(0, all), (0, 1), (all - 1, all), (1.min(all - 1), all), (all / 3, all / 2)]
            {
                let clamp = if end < all { RELU } else { Clamp::NONE };
                let mut dst = vec![GUARD; (end - start + 2) * BLOCK];
                let inner = &mut dst[BLOCK..(end - start + 1) * BLOCK];
                inner.fill(f32::NAN);
                let (src, taps, bias, zeros) = (&src[..], &taps[..], &bias[..], &zeros[..]);
                let what = Depthwise { src, h, w, window, taps, bias, clamp, zeros };
                depthwise(isa, &what, start..end, inner);
                let pixels = (start..end).flat_map(|at| (0..BLOCK).map(move |lane| (at, lane)));
                let expected: Vec<f64> = pixels.map(|(at, lane)| clamped(sum(at, lane), clamp)).collect();
                let name = format!("{} {window} {h}x{w}", isa.name());
                agree(&dst, &expected, &format!("{name} {start}..{end}"));
                let inner = &dst[BLOCK..(end - start + 1) * BLOCK];
                if whole.is_empty() {
                    whole = inner.to_vec();
                }
                let same = whole[start * BLOCK..end * BLOCK].iter().map(|&x| clamp.of(x));
                assert!(same.eq(inner.iter().copied()), "{name}: the cut matters");
            }
        }
    }
}

#[test]
fn nan_passes_through_bounds() {
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
            clamp: Clamp { low: 0.0, high: 6.0 },
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
    let (ones, clamp) = ([1.0; BLOCK], Clamp::NONE);
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
            let what = Product { src, src_pixels, first, runs, run, weight, bias, clamp };
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
            let window = Window::square(kernel, 1, padding);
            let what = Depthwise { src, h, w, window, taps, bias, clamp, zeros };
            refused(&format!("{} {h}x{w} {kernel} {padding}", isa.name()), &mut || {
                depthwise(isa, &what, 0..1, &mut [0.0; BLOCK]);
            });
        }
    }
}
