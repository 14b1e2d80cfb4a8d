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
        return Case::new(input);
    }
    let mut case = Case::new(input);
    for _ in 0..random.below(7) {
        let shapes = case.graph.check(&case.weights, input).unwrap().shapes().to_vec();
        let last = shapes.len() - 1;
        let src = if random.once_in(4) { random.below(shapes.len()) } else { last };
        let (shape, activation) = (shapes[src], activation(random));
        let same: Vec<NodeId> = (0..shapes.len()).filter(|&id| shapes[id] == shape).collect();
        match random.below(8) {
            0 => window(&mut case, random, src, shape, 1),
            1 if shape.c > 1 => window(&mut case, random, src, shape, shape.c),
            2 if random.once_in(2) && shape.c.is_multiple_of(4) => window(&mut case, random, src, shape, 4),
            1..=3 => {
                case.conv([shape.c, random.one(&CHANNELS), 1, 1, 0, 1], activation, src);
            }
            4 => {
                case.affine(activation, src);
            }
            5 => {
                case.push(Op::Binary { with: Arithmetic::Add, activation }, &[src, random.one(&same)]);
            }
            6 => {
                let mut gate = case.push(Op::MEAN, &[src]);
                for c in [random.one(&CHANNELS), shape.c].into_iter().skip(2 * random.below(2)) {
                    gate = case.linear(c, random.one(&[Activation::Relu, Activation::Sigmoid]), gate);
                }
                case.push(Op::Binary { with: Arithmetic::Mul, activation }, &[src, gate]);
            }
            _ if shape.pixels() == 1 => {
                case.linear(random.one(&CHANNELS), activation, src);
            }
            _ => {
                case.push(Op::MEAN, &[src]);
            }
        }
    }
    // Features of distance from 0: what is compared is relative.
    case.affine(Activation::None, case.graph.nodes.len() - 1);
    case.end(random.one(&[0, 1, 7, 10]))
}

fn activation(random: &mut Random) -> Activation {
    match random.once_in(12) {
        true => Activation::Sigmoid,
        false => random.one(&[Activation::None, Activation::Relu]),
    }
}

/// A convolution of any window that fits.
fn window(case: &mut Case, random: &mut Random, src: NodeId, shape: Shape, groups: usize) {
    let kernel: usize = random.one(&[1, 2, 3, 3, 3, 5, 7]);
    let least = kernel.saturating_sub(shape.h.min(shape.w)).div_ceil(2);
    let padding = least.max(random.below(kernel)) + random.once_in(12) as usize * kernel;
    let dst_c = match groups {
        4 => 4 * (1 + random.below(5)),
        groups if groups > 1 && !random.once_in(12) => groups,
        groups => groups * (1 + random.below(9)),
    };
    let activation = activation(random);
    case.conv([shape.c, dst_c, kernel, 1 + random.below(3), padding, groups], activation, src);
}

/// Whether the CPU has no loops for a node.
fn cpu_lacks(op: &Op) -> bool {
    matches!(op, Op::Conv { conv, .. } if conv.groups > 1 && !conv.is_depthwise())
}

/// Whether there is no shader for a node.
fn gpu_lacks(op: &Op) -> bool {
    let by_op = match op {
        Op::Conv { conv, activation, .. } => {
            let dense = conv.groups == 1 && !conv.is_pointwise();
            *activation == Activation::Sigmoid
                || (dense && conv.src_c > 4)
                || (!conv.is_pointwise() && conv.window.padding[0][0] >= conv.window.kernel[0])
        }
        Op::Affine { activation, .. }
        | Op::Binary { with: Arithmetic::Add, activation }
        | Op::Binary { with: Arithmetic::Mul, activation } => *activation == Activation::Sigmoid,
        _ => false,
    };
    by_op || cpu_lacks(op)
}

/// Runs `case` on `device` and compares features and logits; refused are those that it lacks a node of.
fn compare(what: &str, case: &Case, device: &Device, lacks: fn(&Op) -> bool, expected: &[Tensor]) -> bool {
    let nodes = &case.graph.nodes;
    let lacked: Vec<&str> =
        nodes.iter().filter(|node| lacks(&node.op)).map(|node| node.name.as_str()).collect();
    let session = match case.session(device) {
        Ok(session) => session,
        error => {
            let reason = refusal(error);
            let named = |name: &&str| reason.starts_with(&format!("{name}: "));
            assert!(lacked.iter().any(named), "{what}: {reason}, which lacks {lacked:?}");
            return false;
        }
    };
    assert!(lacked.is_empty(), "{what}: {lacked:?} are not refused");
    let answer = session
        .run(mobileone::Input::Tensor(&case.tensor()))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let logits = case.graph.output("logits").map_or(&[][..], |id| expected[id].data());
    for (name, found, expected) in [
        ("features", answer.features(), expected[case.graph.output("features").unwrap()].data()),
        ("logits", answer.logits(), logits),
    ] {
        let error = crate::reference::relative_l2(found, expected);
        assert!(found.len() == expected.len(), "{what}: {} {name}", found.len());
        assert!(found.is_empty() || error <= 5e-5, "{what}, {}: {name} are off by {error:e}", device.info());
    }
    true
}

#[test]
fn random_graphs_agree_on_every_device() {
    let (cpu, gpu) = (Device::open("cpu").unwrap(), device());
    let (mut on_cpu, mut on_gpu, mut of) = (0, 0, 0);
    for (what, _, case) in cases() {
        of += 1;
        let expected = reference::run(&case.graph, &case.weights, &case.tensor()).unwrap();
        on_cpu += compare(&what, &case, &cpu, cpu_lacks, &expected) as usize;
        if let Some(gpu) = &gpu {
            on_gpu += compare(&what, &case, gpu, gpu_lacks, &expected) as usize;
        }
    }
    assert!(on_cpu * 10 >= of * 7, "the CPU ran {on_cpu} of {of}");
    assert!(gpu.is_none() || on_gpu * 10 >= of * 3, "the GPU ran {on_gpu} of {of}");
}

/// In f16 each dispatch is judged by itself: what is refused is refused by name.
#[test]
fn random_graphs_are_read_as_they_are_stored() {
    let Some(gpu) = device().filter(has_f16) else { return };
    let mut judged = 0;
    for (what, _, case) in cases().step_by(3) {
        let (_, options) = case.options(DType::F16);
        match verify::layers(&gpu, &case.graph, &case.weights, &case.tensor(), &options) {
            Ok(lines) => {
                judged += 1;
                for line in lines {
                    assert_eq!(line.fault, None, "{what}: {line:?}");
                }
            }
            error => {
                let reason = refusal(error);
                let named = |node: &mobileone::graph::Node| reason.starts_with(&format!("{}: ", node.name));
                assert!(case.graph.nodes.iter().any(named), "{what}: {reason}");
            }
        }
    }
    assert!(judged >= 3, "{judged} were judged");
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
        let id = random.below(case.graph.nodes.len());
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
        let [_, stride, padding] = conv.window.as_square().expect("a square window");
        let kernel = src.h.min(src.w) + 2 * padding + 1 + random.below(3);
        conv.window = Window::square(kernel, stride, padding);
        let shape = conv.weight();
        case.weights.insert(weight.as_str(), &shape, vec![0.5; shape.iter().product()]);
        Some(format!("{}: a kernel of ", case.graph.nodes[id].name))
    },
    |case, random| {
        let (id, _) = convolution(case, random)?;
        let Op::Conv { conv, .. } = &mut case.graph.nodes[id].op else { unreachable!() };
        *random.one_mut([&mut conv.window.kernel[0], &mut conv.window.stride[1], &mut conv.groups]) = 0;
        Some(format!("{}: kernel ", case.graph.nodes[id].name))
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
