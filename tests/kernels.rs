//! Every kernel at every tile and storage against the reference, on shapes that no tile divides.

use mobileone::{
    DType, Error, Graph, Options, Outputs, Preprocess, Shape, Tensor, Weights,
    graph::{Activation, Arithmetic, Conv, NodeId, Op, Window},
    kernels::{self, Choice, Kind, Layer, ways},
    plan::Tuning,
    preprocess::{Colour, CropMode, Interpolation},
    verify,
};

use crate::gpu::{device, has_f16};

/// Distinct values of both signs, of order 1.
fn values(len: usize, seed: usize) -> Vec<f32> {
    let value = |at: usize| {
        let x = (at * 2 + seed * 7919 + 1) as f64 * 0.754_877_666;
        ((x.fract() * 2.0 - 1.0) * 1.7) as f32
    };
    (0..len).map(value).collect()
}

/// A network under construction whose parameters are made up as they are named.
struct Net {
    graph: Graph,
    weights: Weights,
}

impl Net {
    fn new(channels: usize) -> Net {
        let mut graph = Graph::default();
        graph.push("input", Op::Input { channels }, &[]);
        Net { graph, weights: Weights::new() }
    }

    fn param(&mut self, name: &str, shape: &[usize]) -> String {
        let len: usize = shape.iter().product();
        let fan = (len / shape[0]).max(1) as f32;
        let data = values(len, name.len() + len).into_iter().map(|value| value / fan.sqrt()).collect();
        self.weights.insert(name, shape, data);
        name.to_string()
    }

    fn conv(&mut self, name: &str, conv: Conv, bias: bool, activation: Activation, src: NodeId) -> NodeId {
        let weight = self.param(&format!("{name}.weight"), &conv.weight());
        let bias = bias.then(|| self.param(&format!("{name}.bias"), &[conv.dst_c]));
        self.graph.push(name, Op::Conv { conv, weight, bias, activation }, &[src])
    }

    fn linear(
        &mut self,
        name: &str,
        src_c: usize,
        dst_c: usize,
        activation: Activation,
        src: NodeId,
    ) -> NodeId {
        let weight = self.param(&format!("{name}.weight"), &[dst_c, src_c]);
        let bias = Some(self.param(&format!("{name}.bias"), &[dst_c]));
        self.graph.push(name, Op::Linear { src_c, dst_c, weight, bias, activation }, &[src])
    }

    /// Ends with pool, and a classifier if there are classes.
    fn end(mut self, channels: usize, classes: usize) -> Net {
        let last = self.graph.nodes.len() - 1;
        let features = self.graph.push("pool", Op::MEAN, &[last]);
        self.graph.give("features", features);
        if classes > 0 {
            let logits = self.linear("head", channels, classes, Activation::None, features);
            self.graph.give("logits", logits);
        }
        self
    }

    /// Runs every dispatch of `batch` pictures of `h` x `w` against the reference.
    fn check(&self, (batch, h, w): (usize, usize, usize), tuning: Tuning, outputs: Outputs) {
        let Some(device) = device() else { return };
        let shape = Shape::new(batch, h, w, self.graph.input_channels());
        let input = Tensor::new(shape, values(shape.len(), 3)).unwrap();
        for (dtype, checked) in [(DType::F32, false), (DType::F32, true), (DType::F16, false)] {
            // Each choice meets the checks on some of its maps.
            if (dtype == DType::F16 && !has_f16(&device)) || (checked && batch > 1) {
                continue;
            }
            let options = Options {
                outputs: outputs.clone(),
                tuning: tuning.clone(),
                checked,
                ..options(shape, dtype)
            };
            let lines = verify::layers(&device, &self.graph, &self.weights, &input, &options).unwrap();
            assert!(!lines.is_empty());
            for line in lines {
                assert_eq!(line.fault, None, "{shape} {dtype} {checked} {:?}: {line:?}", options.tuning);
            }
        }
    }
}

fn options(shape: Shape, dtype: DType) -> Options {
    let preprocess = Preprocess {
        size: (shape.h, shape.w),
        crop_pct: 1.0,
        crop_mode: CropMode::Center,
        interpolation: Interpolation::Bilinear,
        mean: [0.0; 3],
        std: [1.0; 3],
        colour: Colour::Rgb,
    };
    Options {
        preprocess,
        batch: shape.n,
        dtype,
        outputs: top3(),
        frames: 1,
        tuning: Tuning::default(),
        checked: false,
        cache: None,
    }
}

/// The choices of a kind that the device can run, in f32 for a map of some channels.
fn choices(kind: Kind) -> Vec<Choice> {
    let Some(limits) = device().and_then(|device| device.limits()) else { return Vec::new() };
    let src = Shape::new(1, 1, 1, 300);
    let layer = Layer { kind, src, dst: src, dtype: DType::F32, fast: true, window: [1, 1], matrix: 0 };
    kernels::choices().filter(|choice| choice.fits(&layer, &limits)).collect()
}

/// One choice for every layer that it can compute.
fn only(choice: Choice) -> Tuning {
    Tuning { fast: choice.is(&ways::FAST), ..Tuning::only(choice) }
}

const BOTH: [Activation; 2] = [Activation::None, Activation::Relu];
fn top3() -> Outputs {
    Outputs::named(["logits", "probabilities", "features"]).and_best(3)
}

/// Batch, rows and columns: one pixel, odd sizes, several pictures.
const MAPS: [(usize, usize, usize); 5] = [(1, 1, 1), (1, 5, 7), (2, 4, 9), (3, 14, 13), (1, 2, 31)];

#[test]
fn pointwise() {
    for choice in choices(Kind::Pointwise) {
        for (at, (src_c, dst_c)) in [(1, 1), (3, 5), (5, 17), (16, 4), (67, 130)].into_iter().enumerate() {
            let mut net = Net::new(src_c);
            let conv = Conv { src_c, dst_c, groups: 1, window: Window::square(1, 1, 0) };
            net.conv("stages.0.1", conv, at % 2 == 0, BOTH[at / 2 % 2], 0);
            let net = net.end(dst_c, 7);
            net.check(MAPS[at], only(choice), top3());
        }
    }
}

/// On a device that has cooperative matrices, which are not a default: each of them against the reference, on maps that
/// no matrix divides. On any other, asking for them is an error that says what to do.
#[test]
fn matrices_or_a_clear_error() {
    let Some(plain) = device() else { return };
    assert_eq!(plain.limits().unwrap().matrix, 0, "they are asked for by name");
    let has = plain.info().features.contains(&"cooperative matrices");
    let device = match plain.clone().with_matrices() {
        Ok(device) => device,
        Err(Error::Option(reason)) if !has => {
            let start = format!("{} has no cooperative matrices", plain.info());
            assert!(reason.starts_with(&start) && reason.ends_with("run without --matrices"), "{reason}");
            return crate::skipped(format_args!("{reason}"));
        }
        Err(Error::Option(reason)) => {
            return crate::skipped(format_args!("not of a size that there is a shader for: {reason}"));
        }
        Err(error) => panic!("{error}"),
    };
    let limits = device.limits().unwrap();
    let ways = ways::MATRIX.choices().filter(|choice| choice.tile[0] == limits.matrix);
    let mut checked = 0;
    for choice in ways {
        for (at, (src_c, dst_c)) in [(16, 16), (48, 128), (64, 48)].into_iter().enumerate() {
            let mut net = Net::new(src_c);
            let conv = Conv { src_c, dst_c, groups: 1, window: Window::square(1, 1, 0) };
            net.conv("stages.0.1", conv, at % 2 == 0, BOTH[at % 2], 0);
            let net = net.end(dst_c, 7);
            let (batch, h, w) = [(1, 5, 7), (2, 4, 9), (3, 14, 13)][at];
            let shape = Shape::new(batch, h, w, src_c);
            let input = Tensor::new(shape, values(shape.len(), 3)).unwrap();
            let options = Options { tuning: only(choice), ..options(shape, DType::F16) };
            for line in verify::layers(&device, &net.graph, &net.weights, &input, &options).unwrap() {
                assert_eq!(line.fault, None, "{shape} {choice}: {line:?}");
            }
            checked += 1;
        }
    }
    assert!(checked > 0);
}

#[test]
fn depthwise() {
    let windows = [(3, 1, 1), (3, 2, 1), (1, 1, 0), (1, 2, 0), (5, 2, 2)];
    for choice in choices(Kind::Depthwise) {
        for (at, (kernel, stride, padding)) in windows.into_iter().enumerate() {
            for (row, c) in [6, 13].into_iter().enumerate() {
                let map = MAPS[(at + row) % 5];
                let mut net = Net::new(c);
                let conv =
                    Conv { src_c: c, dst_c: c, groups: c, window: Window::square(kernel, stride, padding) };
                net.conv("stages.0.0", conv, (at + row) % 2 == 0, BOTH[row % 2], 0);
                net.end(c, 7).check(map, only(choice), top3());
            }
        }
    }
}

/// Channels that no tile and no chunk divides, strides, both activations of both layers.
#[test]
fn block() {
    for choice in choices(Kind::Block) {
        for (at, (stride, src_c, dst_c)) in
            [(1, 5, 3), (2, 6, 37), (1, 16, 130), (2, 67, 5), (1, 70, 66)].into_iter().enumerate()
        {
            for (row, bias) in [true, false].into_iter().enumerate() {
                let mut net = Net::new(src_c);
                let window =
                    Conv { src_c, dst_c: src_c, groups: src_c, window: Window::square(3, stride, 1) };
                let middle = net.conv("stages.0.0", window, bias, BOTH[(at + row) % 2], 0);
                let conv = Conv { src_c, dst_c, groups: 1, window: Window::square(1, 1, 0) };
                net.conv("stages.0.1", conv, !bias, BOTH[at % 2], middle);
                net.end(dst_c, 7).check(MAPS[(at + row) % 5], only(choice), top3());
            }
        }
    }
}

#[test]
fn head() {
    for choice in choices(Kind::Head) {
        for (at, (c, classes)) in [(3, 7), (259, 5), (17, 131), (1030, 66)].into_iter().enumerate() {
            Net::new(c).end(c, classes).check(MAPS[at], only(choice), top3());
        }
    }
}

#[test]
fn stem() {
    for choice in choices(Kind::Stem) {
        for (at, (kernel, padding)) in [(3, 1), (1, 0), (3, 1), (3, 1), (5, 2)].into_iter().enumerate() {
            let (dst_c, activation) = ([6, 16, 5, 48, 7][at], BOTH[at % 2]);
            let src_c = [3, 4, 1, 2, 4][at];
            let mut net = Net::new(src_c);
            let conv = Conv { src_c, dst_c, groups: 1, window: Window::square(kernel, 2, padding) };
            net.conv("stem", conv, at != 1, activation, 0);
            net.end(dst_c, 7).check(MAPS[at], only(choice), top3());
        }
    }
}

#[test]
fn squeeze_excite() {
    for (at, (c, rd)) in [(5, 1), (16, 3), (66, 4)].into_iter().enumerate() {
        for activation in BOTH {
            let mut net = Net::new(c);
            let pooled = net.graph.push("stages.3.0.attn.pool", Op::MEAN, &[0]);
            let reduced = net.linear("stages.3.0.attn.fc1", c, rd, Activation::Relu, pooled);
            let gate = net.linear("stages.3.0.attn.fc2", rd, c, Activation::Sigmoid, reduced);
            net.graph.push(
                "stages.3.0.attn.scale",
                Op::Binary { with: Arithmetic::Mul, activation },
                &[0, gate],
            );
            net.end(c, 7).check(MAPS[at + 1], Tuning::default(), top3());
        }
    }
}

#[test]
fn affine_and_add() {
    for (at, c) in [3, 8, 17].into_iter().enumerate() {
        for activation in BOTH {
            let mut net = Net::new(c);
            let scale = net.param("bn.scale", &[c]);
            let shift = net.param("bn.shift", &[c]);
            let branch = net.graph.push("stages.0.0.identity", Op::Affine { scale, shift, activation }, &[0]);
            net.graph.push("stages.0.0", Op::Binary { with: Arithmetic::Add, activation }, &[branch, 0]);
            net.end(c, 7).check(MAPS[at + 1], Tuning::default(), top3());
        }
    }
}

/// Equal logits, in one invocation and across them: the lower class is the better.
#[test]
fn ties_go_to_the_lower_class() {
    let (c, classes) = (3, 700);
    let mut net = Net::new(c).end(c, classes);
    let bias = (0..classes).map(|class| if [3, 259, 300, 515, 699].contains(&class) { 2.0 } else { 1.0 });
    net.weights.insert("head.weight", &[classes, c], vec![0.0; classes * c]);
    net.weights.insert("head.bias", &[classes], bias.collect());
    net.check(MAPS[1], Tuning::default(), Outputs::default().and_best(8));
}

#[test]
fn answer() {
    let rows = [
        (1, Outputs::default().and_best(1)),
        (1, Outputs::named(["probabilities"]).and_best(1)),
        (2, Outputs::named(["probabilities"])),
        (300, Outputs::named(["probabilities"]).and_best(300)),
        (1001, Outputs::default().and_best(5)),
        (0, Outputs::named(["features"])),
    ];
    for (classes, outputs) in rows {
        for (c, map) in [(3, MAPS[1]), (259, MAPS[2])] {
            Net::new(c).end(c, classes).check(map, Tuning::default(), outputs.clone());
        }
    }
}
