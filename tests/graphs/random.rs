//! Random graphs from a seed: those that fit, and the same with one thing broken.
//!
//! `MOBILEONE_TEST_GRAPHS=500` makes so many, of a seed that is printed and may be given as `MOBILEONE_TEST_SEED`.

use super::*;

/// Splitmix64.
pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Once in `of` times.
    fn once_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// How many graphs, and their seed.
fn wanted() -> (usize, u64) {
    let number = |name: &str| Some(std::env::var(name).ok()?.parse::<u64>().expect("a number"));
    let Some(count) = number("MOBILEONE_TEST_GRAPHS") else { return (60, 14) };
    let now = || std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_nanos() as u64;
    let seed = number("MOBILEONE_TEST_SEED").unwrap_or_else(now);
    eprintln!("{count} graphs, MOBILEONE_TEST_SEED={seed}");
    (count as usize, seed)
}

/// The cases, each with what names it where it fails.
fn cases() -> impl Iterator<Item = (String, Random, Case)> {
    let (count, seed) = wanted();
    (0..count).map(move |at| {
        let mut random = Random(seed ^ (at as u64) << 32);
        let case = valid(&mut random);
        (format!("graph {at} of MOBILEONE_TEST_SEED={seed}"), random, case)
    })
}

const CHANNELS: [usize; 9] = [1, 2, 3, 4, 5, 8, 16, 17, 33];

/// A graph of 1 to 12 nodes that fits its parameters and its input.
fn valid(random: &mut Random) -> Case {
    let channels = random.one(&CHANNELS);
    let mut input = Shape::new(1 + random.below(3), 1 + random.below(17), 1 + random.below(17), channels);
    if random.once_in(20) {
        input = Shape { h: 1, w: 1, ..input };
        let mut case = Case::new(input);
        case.graph.give("same", 0);
        return case;
    }
    let mut case = Case::new(input);
    for _ in 0..random.below(7) {
        let shapes = case.graph.check(&case.weights, input).unwrap().shapes().to_vec();
        let last = shapes.len() - 1;
        let src = if random.once_in(4) { random.below(shapes.len()) } else { last };
        one_more(&mut case, random, &shapes, src);
    }
    let shapes = case.graph.check(&case.weights, input).unwrap().shapes().to_vec();
    let last = shapes.len() - 1;
    case.graph.give("map", last);
    if random.once_in(3) {
        return case;
    }
    // Features of distance from 0: what is compared is relative.
    case.affine(Activation::None, last);
    case.end(random.one(&[0, 1, 7, 10]))
}

/// Another node, of any operation, that reads `src`.
fn one_more(case: &mut Case, random: &mut Random, shapes: &[Shape], src: NodeId) {
    let (shape, activation) = (shapes[src], random.one(&Activation::ALL));
    let some = |random: &mut Random, fits: &dyn Fn(Shape) -> bool| {
        let ids: Vec<NodeId> = (0..shapes.len()).filter(|&id| fits(shapes[id])).collect();
        random.one(&ids)
    };
    match random.below(17) {
        0 | 1 => window(case, random, src, shape, 1),
        2 | 3 if shape.c > 1 => window(case, random, src, shape, shape.c),
        4 if shape.c.is_multiple_of(4) => window(case, random, src, shape, 4),
        5 if shape.c.is_multiple_of(3) => window(case, random, src, shape, shape.c / 3),
        6 | 7 => {
            case.conv([shape.c, random.one(&CHANNELS), 1, 1, 0, 1], activation, src);
        }
        8 => {
            case.affine(activation, src);
        }
        9 => {
            // Not divided: what is near 0 says nothing.
            let with = random.one(&Arithmetic::ALL[..3]);
            let other = some(random, &|other| other == shape || other == Shape { h: 1, w: 1, ..shape });
            case.push(Op::Binary { with, activation }, &[src, other]);
        }
        10 => {
            let mut gate = case.push(Op::MEAN, &[src]);
            for c in [random.one(&CHANNELS), shape.c].into_iter().skip(2 * random.below(2)) {
                gate = case.linear(c, random.one(&Activation::ALL), gate);
            }
            case.push(Op::Binary { with: Arithmetic::Mul, activation }, &[src, gate]);
        }
        11 => {
            let mut inputs = vec![src];
            for _ in 0..1 + random.below(3) {
                inputs.push(some(random, &|other| Shape { c: 0, ..other } == Shape { c: 0, ..shape }));
            }
            case.push(Op::Concat, &inputs);
        }
        12 => {
            let filter = random.one(&[Filter::Nearest, Filter::Bilinear, Filter::BilinearCorners]);
            let exact = Size::Exact([1 + random.below(20), 1 + random.below(20)]);
            let times = Size::Times([1 + random.below(2), 1 + random.below(3)]);
            match random.below(3) {
                0 => case.push(Op::Resize { filter, to: exact }, &[src]),
                1 if shape.pixels() < 400 => case.push(Op::Resize { filter, to: times }, &[src]),
                _ => case.push(Op::Resize { filter, to: Size::Like }, &[src, some(random, &|_| true)]),
            };
        }
        13 | 14 => {
            let pooling = random.one(&[Pooling::Average, Pooling::PaddedAverage, Pooling::Max]);
            let kernel = 1 + random.below(shape.h.min(shape.w).min(4));
            let padding = random.below(kernel.div_ceil(2));
            let window = Window::square(kernel, 1 + random.below(3), padding);
            let window = (!random.once_in(3)).then_some(window);
            case.push(Op::Pool { pooling, window }, &[src]);
        }
        15 => {
            case.push(Op::Softmax, &[src]);
        }
        _ if shape.pixels() == 1 => {
            case.linear(random.one(&CHANNELS), activation, src);
        }
        _ => {
            case.push(Op::Activate(activation), &[src]);
        }
    }
}

/// A convolution of any window that fits.
fn window(case: &mut Case, random: &mut Random, src: NodeId, shape: Shape, groups: usize) {
    let mut kernel = || random.one(&[1, 2, 3, 3, 3, 5, 7]);
    let mut window = Window { kernel: [kernel(), kernel()], ..Window::square(1, 1, 0) };
    if !random.once_in(3) {
        window.kernel[1] = window.kernel[0];
    }
    window.stride = [1 + random.below(3), 1 + random.below(3)];
    if !random.once_in(4) {
        window.stride[1] = window.stride[0];
    }
    if random.once_in(4) {
        window.dilation = [1 + random.below(3), 1 + random.below(4)];
    }
    for (axis, len) in [shape.h, shape.w].into_iter().enumerate() {
        let extent = window.extent(axis).unwrap();
        let padding = extent.saturating_sub(len).div_ceil(2).max(random.below(extent))
            + random.once_in(12) as usize * extent;
        window.padding[axis] = [padding, if random.once_in(4) { padding + 1 } else { padding }];
    }
    if random.once_in(2) && window.kernel[0] == window.kernel[1] {
        window.padding[1] = window.padding[0].map(|padding| padding.max(window.padding[1][0]));
    }
    let dst_c = match random.once_in(4) {
        false if groups == shape.c => groups,
        _ => groups * (1 + random.below(9 / groups.min(4))),
    };
    let conv = Conv { src_c: shape.c, dst_c, groups, window };
    let activation = random.one(&Activation::ALL);
    let id = case.graph.nodes.len();
    let (weight, bias) =
        (format!("node.{id}.weight"), (!random.once_in(5)).then(|| format!("node.{id}.bias")));
    case.push(Op::Conv { conv, weight, bias, activation }, &[src]);
}

/// Runs `case` on `device` and compares what it gives.
fn compare(what: &str, case: &Case, device: &Device, expected: &[Tensor]) {
    let session = case.session(device).unwrap_or_else(|error| panic!("{what}: {error}"));
    let answer = session
        .run(mobileone::Input::Tensor(&case.tensor()))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    for output in &case.graph.outputs {
        let (found, expected) = (answer.get(&output.name).unwrap(), &expected[output.node]);
        assert_eq!(found.shape(), expected.shape(), "{what}: {}", output.name);
        let error = crate::reference::relative_l2(found.data(), expected.data());
        let all_zero = expected.data().iter().chain(found.data()).all(|&value| value == 0.0);
        assert!(
            all_zero || error <= 5e-5,
            "{what}, {}: {} is off by {error:e}: {:#?}",
            device.info(),
            output.name,
            case.graph
        );
    }
}

#[test]
fn random_graphs_agree_on_every_device() {
    let (cpu, gpu) = (Device::open("cpu").unwrap(), device());
    for (what, _, case) in cases() {
        let expected = reference::run(&case.graph, &case.weights, &case.tensor()).unwrap();
        if let Some(gpu) = &gpu {
            compare(&what, &case, gpu, &expected);
        }
        compare(&what, &case, &cpu, &expected);
    }
}

/// In f16 each dispatch is judged by itself, and all of them by what the same roundings make of the reference.
#[test]
fn random_graphs_agree_in_f16() {
    let Some(gpu) = device().filter(has_f16) else { return };
    for (what, _, case) in cases().step_by(2) {
        let (model, options) = case.options(DType::F16);
        let layers = verify::layers(&gpu, &case.graph, &case.weights, &case.tensor(), &options).unwrap();
        // Every output of a whole run too, as far off as the reference is when it rounds what is stored.
        for line in layers.into_iter().chain(verify::examine(&gpu, &model, options).unwrap()) {
            assert_eq!(line.fault, None, "{what}: {line:?} {:#?}", case.graph);
        }
    }
}

/// Ways to break a graph that fits. Each gives what the refusal must name; `None` where there is nothing to break.
const BREAKS: [fn(&mut Case, &mut Random) -> Option<String>; 14] = [
    |case, random| {
        // One channel more than there is
        let id = pick(case, random, |op| matches!(op, Op::Conv { .. } | Op::Linear { .. }))?;
        match &mut case.graph.nodes[id].op {
            Op::Conv { conv: Conv { src_c, .. }, .. } | Op::Linear { src_c, .. } => *src_c += 1,
            _ => unreachable!(),
        }
        Some(case.graph.nodes[id].name.clone())
    },
    |case, random| {
        // More channels than its arrays have
        let id = pick(case, random, |op| matches!(op, Op::Conv { .. } | Op::Linear { .. }))?;
        match &mut case.graph.nodes[id].op {
            Op::Conv { conv, .. } => conv.dst_c += conv.groups << random.below(40),
            Op::Linear { dst_c, .. } => *dst_c += 1 << random.below(60),
            _ => unreachable!(),
        }
        Some("node.".into())
    },
    |case, random| {
        let (name, _) = param(case, random)?;
        let kept = case.weights.iter().filter(|(other, _)| *other != name);
        let mut weights = Weights::new();
        kept.for_each(|(name, array)| weights.insert(name, &array.shape, array.data.clone()));
        case.weights = weights;
        Some(format!("tensor \"{name}\": missing"))
    },
    |case, random| {
        let (name, mut shape) = param(case, random)?;
        match random.below(3) {
            0 => *shape.last_mut()? += 1,
            1 => shape.push(1),
            _ => shape[0] += 1,
        }
        case.weights.insert(&name, &shape, vec![0.5; shape.iter().product()]);
        Some(format!("tensor \"{name}\": expected "))
    },
    |case, random| {
        // Itself, a later node, or none
        let id = pick(case, random, |op| !matches!(op, Op::Input { .. }))?;
        let at = random.below(case.graph.nodes[id].inputs.len());
        let ahead = [id, id + 1, case.graph.nodes.len(), usize::MAX];
        case.graph.nodes[id].inputs[at] = random.one(&ahead);
        Some(format!("{}: reads node ", case.graph.nodes[id].name))
    },
    |case, random| {
        // A concatenation takes any number.
        let id = pick(case, random, |op| !matches!(op, Op::Concat))?;
        let inputs = &mut case.graph.nodes[id].inputs;
        match random.once_in(2) || inputs.is_empty() {
            true => inputs.push(0),
            false => drop(inputs.pop()),
        }
        Some(format!("{}: ", case.graph.nodes[id].name))
    },
    |case, random| {
        let id = pick(case, random, |op| matches!(op, Op::Binary { .. }))?;
        let c = case.channels(case.graph.nodes[id].inputs[1]);
        let other = (0..id).find(|&other| case.channels(other) != c)?;
        case.graph.nodes[id].inputs[1] = other;
        Some(format!("{}: ", case.graph.nodes[id].name))
    },
    |case, random| {
        // Larger than the padded map, its weights as large
        let (id, src) = convolution(case, random)?;
        let Op::Conv { conv, weight, .. } = &mut case.graph.nodes[id].op else { unreachable!() };
        conv.window = Window::square(src.h.min(src.w) + 1 + random.below(3), 1, 0);
        let shape = conv.weight();
        case.weights.insert(weight.as_str(), &shape, vec![0.5; shape.iter().product()]);
        Some(format!("{}: a kernel of ", case.graph.nodes[id].name))
    },
    |case, random| {
        let (id, _) = convolution(case, random)?;
        let Op::Conv { conv, .. } = &mut case.graph.nodes[id].op else { unreachable!() };
        *random.one_mut([&mut conv.window.kernel[0], &mut conv.window.stride[1], &mut conv.groups]) = 0;
        Some(format!("{}: ", case.graph.nodes[id].name))
    },
    |case, random| {
        let (id, _) = convolution(case, random)?;
        let Op::Conv { conv, .. } = &mut case.graph.nodes[id].op else { unreachable!() };
        conv.groups = random.one(&[conv.src_c + 1, conv.src_c * 2, usize::MAX]);
        Some(format!("{}: ", case.graph.nodes[id].name))
    },
    |case, random| {
        // Sizes that no number holds
        let (id, _) = convolution(case, random)?;
        let Op::Conv { conv, .. } = &mut case.graph.nodes[id].op else { unreachable!() };
        *random.one_mut([
            &mut conv.window.stride[0],
            &mut conv.window.padding[1][0],
            &mut conv.window.kernel[1],
        ]) = usize::MAX >> random.below(24);
        Some(format!("{}: ", case.graph.nodes[id].name))
    },
    |case, random| {
        let id = random.below(case.graph.nodes.len());
        let channels = case.input.c;
        case.graph.nodes[id].op = match id {
            0 => Op::MEAN,
            _ => Op::Input { channels },
        };
        Some(format!("{}: ", case.graph.nodes[id].name))
    },
    |case, random| {
        let beyond = case.graph.nodes.len() + random.below(3);
        match random.once_in(2) {
            true => case.graph.give("features", beyond),
            false => case.graph.give("logits", beyond),
        }
        Some(format!("there is no node {beyond}"))
    },
    |case, random| {
        let channels = random.one(&[0, case.input.c + 1, usize::MAX]);
        case.graph.nodes[0].op = Op::Input { channels };
        case.input.c = random.one(&[case.input.c, channels]);
        (case.input.c != channels || channels == 0 || channels == usize::MAX).then(|| "input: ".into())
    },
];

impl Random {
    fn one_mut<'a, const N: usize>(&mut self, of: [&'a mut usize; N]) -> &'a mut usize {
        let at = self.below(N);
        of.into_iter().nth(at).expect("one of them")
    }
}

fn pick(case: &Case, random: &mut Random, of: fn(&Op) -> bool) -> Option<NodeId> {
    let nodes = case.graph.nodes.iter().enumerate();
    let ids: Vec<NodeId> = nodes.filter(|(_, node)| of(&node.op)).map(|(id, _)| id).collect();
    (!ids.is_empty()).then(|| random.one(&ids))
}

/// A convolution, and what it reads.
fn convolution(case: &Case, random: &mut Random) -> Option<(NodeId, Shape)> {
    let id = pick(case, random, |op| matches!(op, Op::Conv { .. }))?;
    let checked = case.graph.check(&case.weights, case.input).unwrap();
    Some((id, checked.src(id)[0]))
}

/// A parameter and its shape.
fn param(case: &Case, random: &mut Random) -> Option<(String, Vec<usize>)> {
    let arrays: Vec<(&str, &mobileone::Array)> = case.weights.iter().collect();
    let (name, array) = arrays.get(random.below(arrays.len().max(1)))?;
    Some((name.to_string(), array.shape.clone()))
}

#[test]
fn random_broken_graphs_are_refused_by_name() {
    let mut broken = [0; BREAKS.len()];
    for (what, mut random, case) in cases() {
        for (at, apply) in BREAKS.iter().enumerate() {
            let mut case = case.clone();
            let Some(named) = apply(&mut case, &mut random) else { continue };
            let reason = refused(&case);
            assert!(reason.contains(&named), "{what}, break {at}: {reason}, expected {named}");
            broken[at] += 1;
        }
    }
    assert!(broken.iter().all(|&count| count > 0), "{broken:?}");
}
