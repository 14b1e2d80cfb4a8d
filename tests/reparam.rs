//! Branches and their merged convolution compute the same, by sums written out here.

use mobileone::{
    graph::{Conv, Window},
    reparam::{Branch, Norm, affine, merge},
};

const EPSILON: f64 = 1e-5;

/// Numbers in [-1, 1), different each time.
struct Draw(u64);

impl Draw {
    fn value(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / (1u64 << 23) as f64 - 1.0
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value() as f32).collect()
    }

    /// γ of either sign, β, μ, and σ² from almost nothing up.
    fn norm(&mut self, channels: usize) -> [Vec<f32>; 4] {
        let variance = self.values(channels).iter().map(|value| value * value + 1e-4).collect();
        [self.values(channels), self.values(channels), self.values(channels), variance]
    }
}

fn norm([weight, bias, mean, variance]: &[Vec<f32>; 4]) -> Norm<'_> {
    Norm { weight, bias, mean, variance, epsilon: EPSILON }
}

/// `γ (x − μ) / sqrt(σ² + ε) + β`, as PyTorch writes it.
fn normalize([weight, bias, mean, variance]: &[Vec<f32>; 4], channel: usize, x: f64) -> f64 {
    let [weight, bias, mean, variance] = [weight, bias, mean, variance].map(|array| array[channel] as f64);
    (x - mean) / (variance + EPSILON).sqrt() * weight + bias
}

/// One output of a convolution without bias over `x`, a map of `side` x `side` in planes; zeros around it.
fn convolve(conv: &Conv, weight: &[f32], x: &[f64], side: usize, [c, row, column]: [usize; 3]) -> f64 {
    let [k, stride, padding] = conv.window.as_square().unwrap();
    let (depth, group) = (conv.src_c / conv.groups, conv.dst_c / conv.groups);
    let mut sum = 0.0;
    for d in 0..depth {
        for (ky, kx) in (0..k * k).map(|tap| (tap / k, tap % k)) {
            let [y, x_at] =
                [(row, ky), (column, kx)].map(|(at, tap)| (at * stride + tap) as isize - padding as isize);
            let inside = 0..side as isize;
            if inside.contains(&y) && inside.contains(&x_at) {
                let plane = c / group * depth + d;
                sum += weight[((c * depth + d) * k + ky) * k + kx] as f64
                    * x[(plane * side + y as usize) * side + x_at as usize];
            }
        }
    }
    sum
}

/// A position of `convs` convolutions, with or without a scale and an identity branch.
fn check(conv: &Conv, convs: usize, scale: bool, identity: bool) {
    let case = format!("{conv:?} convs {convs} scale {scale} identity {identity}");
    let mut draw = Draw(convs as u64 * 4 + scale as u64 * 2 + identity as u64 + 8 * conv.src_c as u64);
    let (side, depth) = (5, conv.src_c / conv.groups);
    let x: Vec<f64> = (0..conv.src_c * side * side).map(|_| draw.value()).collect();
    let taps = conv.dst_c * depth * conv.window.area();
    let kernels: Vec<_> = (0..convs).map(|_| (draw.values(taps), draw.norm(conv.dst_c))).collect();
    let point = (draw.values(conv.dst_c * depth), draw.norm(conv.dst_c));
    let skip = draw.norm(conv.dst_c);

    let mut branches: Vec<Branch> =
        kernels.iter().map(|(kernel, statistics)| Branch::Conv(kernel, norm(statistics))).collect();
    branches.extend(scale.then(|| Branch::Scale(&point.0, norm(&point.1))));
    branches.extend(identity.then(|| Branch::Identity(norm(&skip))));
    let (weight, bias) = merge(conv, &branches);
    assert_eq!((weight.len(), bias.len()), (taps, conv.dst_c), "{case}");

    let one = Conv { window: Window::square(1, conv.window.stride[0], 0), ..conv.clone() };
    let dst = conv.window.dst_len(0, side).unwrap();
    for at in 0..conv.dst_c * dst * dst {
        let place = [at / (dst * dst), at / dst % dst, at % dst];
        let c = place[0];
        let mut sum = 0.0;
        for (kernel, statistics) in &kernels {
            sum += normalize(statistics, c, convolve(conv, kernel, &x, side, place));
        }
        if scale {
            sum += normalize(&point.1, c, convolve(&one, &point.0, &x, side, place));
        }
        if identity {
            sum += normalize(&skip, c, x[at]);
        }
        let merged = convolve(conv, &weight, &x, side, place) + bias[c] as f64;
        // γ / sqrt(ε + σ²) reaches 100; rounded to f32 once, each term is off by at most 6e-8 of itself
        assert!(
            (merged - sum).abs() <= 2e-5 + 1e-6 * sum.abs(),
            "{case} at {place:?}: {merged}, expected {sum}"
        );
    }
}

#[test]
fn train_form_is_fused_form() {
    // Source and result channels, kernel, stride, groups
    let positions = [
        (1, 1, 3, 1, 1), // dense with one channel: also the smallest depthwise
        (3, 8, 3, 2, 1), // stem
        (4, 4, 3, 1, 1), // dense at stride 1
        (5, 5, 3, 1, 5), // depthwise
        (6, 6, 3, 2, 6), // depthwise at a stage's start
        (7, 7, 1, 1, 1), // pointwise
        (4, 9, 1, 1, 1), // pointwise that widens
        (8, 8, 5, 1, 8), // a larger kernel
    ];
    for (src_c, dst_c, kernel, stride, groups) in positions {
        let conv = Conv { src_c, dst_c, groups, window: Window::square(kernel, stride, kernel / 2) };
        for (convs, scale, identity) in (0..16).map(|i| ([0, 1, 2, 4][i / 4], i % 2 == 1, i / 2 % 2 == 1)) {
            let possible = !identity || stride == 1 && src_c == dst_c;
            if possible && (scale || identity || convs > 0) {
                check(&conv, convs, scale, identity);
            }
        }
    }
}

#[test]
fn a_normalization_by_itself() {
    let statistics = Draw(5).norm(9);
    let (scale, shift) = affine(&norm(&statistics));
    for c in 0..9 {
        let found = 0.7 * scale[c] as f64 + shift[c] as f64;
        let expected = normalize(&statistics, c, 0.7);
        assert!((found - expected).abs() <= 1e-6 * (1.0 + scale[c].abs() as f64), "{c}: {found}, {expected}");
    }
}

#[test]
fn rounds_once() {
    // Each of the products has more bits than an f32, and their sum has few
    let conv = Conv { src_c: 1, dst_c: 1, groups: 1, window: Window::square(1, 1, 0) };
    let third = 1f32 / 3.0;
    let [a, b] = [vec![1.0f32], vec![0.0]];
    let variance = vec![1.0 - 1e-5f32];
    let statistics = [a.clone(), b.clone(), b.clone(), variance.clone()];
    let minus = [vec![-1.0f32], b.clone(), b, variance];
    let tiny = [1e-9f32];
    let branches = [
        Branch::Conv(std::slice::from_ref(&third), norm(&statistics)),
        Branch::Conv(&tiny, norm(&statistics)),
        Branch::Conv(std::slice::from_ref(&third), norm(&minus)),
    ];
    let (weight, _) = merge(&conv, &branches);
    assert!((weight[0] / 1e-9 - 1.0).abs() < 1e-3, "{}", weight[0]);
}
