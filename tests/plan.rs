//! Plans as data: what they promise before any device sees them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mobileone::{
    DType, Error, Form, Model, Outputs, Shape,
    graph::Op,
    kernels::{Choice, Kind, choices, ways},
    models::mobileone::{VARIANTS, synthetic},
    plan::{Buffer, Class, Dispatch, GUARD, Layer, Limits, Plan, Tuning},
    tasks::classify,
};

/// WebGPU's, of a slow device.
const DEFAULT: Limits = limits!(Limits::LEAST, storage_buffers: 8);
fn all() -> Outputs {
    Outputs::named(["logits", "features"]).and_best(5)
}

fn plan(model: &Model, size: (usize, usize), limits: Limits) -> Result<Plan, Error> {
    tuned(model, size, limits, &Tuning { choices: vec![ways::STEPS.of(&[])], ..Tuning::default() })
}

fn tuned(model: &Model, size: (usize, usize), limits: Limits, tuning: &Tuning) -> Result<Plan, Error> {
    let input = Shape::new(1, size.0, size.1, 3);
    Plan::new(&model.graph, &model.weights, input, DType::F32, limits, tuning)
}

fn variant(at: usize) -> Model {
    given(Model::new(synthetic(&VARIANTS[at], 1000, 1), Form::Fused).unwrap())
}

/// The network with all that a session may be asked for.
fn given(mut model: Model) -> Model {
    model.graph = classify::give(&model.graph, &all()).unwrap();
    model
}

/// Pipelines that a plan makes, with those that prepare pictures.
fn pipelines(plan: &Plan) -> usize {
    let front = if plan.front == ways::PREPARE.of(&[]) { 3 } else { 2 };
    plan.dispatches.iter().map(|dispatch| dispatch.kernel.text()).collect::<BTreeSet<_>>().len() + front
}

#[test]
fn variants_make_few_pipelines_and_dispatches() {
    for (at, limit) in [20, 20, 20, 20, 40].into_iter().enumerate() {
        let plan = plan(&variant(at), (224, 224), DEFAULT).unwrap();
        assert!(pipelines(&plan) <= limit, "S{at}: {} pipelines", pipelines(&plan));
        assert_eq!(plan.to_string().lines().count(), plan.dispatches.len());
        if at < 4 {
            assert_eq!(plan.dispatches.len(), 43 + 3, "43 convolutions, pool, linear, top");
        }
    }
}

/// A key tells apart what takes another time: windows, steps, and whether there are matrices to compute on.
#[test]
fn keys_tell_layers_apart() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/se.timm.train.safetensors");
    let train = Model::new(mobileone::Checkpoint::open(path).unwrap(), Form::Train).unwrap();
    for (model, limits) in
        [(train, DEFAULT), (variant(0), DEFAULT), (variant(0), limits!(DEFAULT, matrix: 16))]
    {
        let input = Shape::new(1, 64, 64, 3);
        for dtype in [DType::F32, DType::F16] {
            let (graph, weights) = (&model.graph, &model.weights);
            let plan = Plan::new(graph, weights, input, dtype, limits, &Tuning::default()).unwrap();
            let mut seen: HashMap<Layer, (usize, usize, u64)> = HashMap::new();
            for dispatch in &plan.dispatches {
                let Some(layer) = dispatch.layer else { continue };
                let matrices = dtype == DType::F16 && limits.matrix > 0 && layer.kind == Kind::Pointwise;
                assert_eq!(layer.to_string().ends_with(" matrix 16"), matrices, "{layer}");
                assert_eq!(layer.to_string().parse(), Ok(layer));
                let Op::Conv { conv, .. } = &graph.nodes[dispatch.nodes[0]].op else { continue };
                let work = (conv.window.kernel[0], conv.window.stride[0], dispatch.macs);
                let known = *seen.entry(layer).or_insert(work);
                assert_eq!(known, work, "{}: {layer}", dispatch.label);
            }
            let sides: BTreeSet<usize> = seen.values().map(|(side, ..)| *side).collect();
            assert_eq!(sides, BTreeSet::from([1, 3]));
        }
    }
    // What was measured without matrices does not come before them.
    let limits = limits!(DEFAULT, matrix: 16);
    let layer = |matrix| Layer {
        kind: Kind::Pointwise,
        src: Shape::new(1, 14, 14, 256),
        dst: Shape::new(1, 14, 14, 256),
        dtype: DType::F16,
        fast: false,
        window: [1, 1],
        matrix,
    };
    let without = Tuning { layers: [(layer(0), ways::SHARED.of(&[4, 1]))].into(), ..Tuning::default() };
    assert_eq!(without.choice(&layer(16), &limits), ways::MATRIX.of(&[16, 2]));
    assert_eq!(without.choice(&layer(0), &DEFAULT), ways::SHARED.of(&[4, 1]));
}

#[test]
fn equal_inputs_make_equal_plans() {
    let model = variant(0);
    let [a, b] = [0; 2].map(|_| plan(&model, (192, 256), DEFAULT).unwrap());
    assert_eq!(a, b);
    assert_ne!(a, plan(&model, (256, 192), DEFAULT).unwrap());
}

#[test]
fn nothing_is_read_after_it_was_written_over() {
    let models = [Form::Fused, Form::Train].map(|form| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/se.timm.train.safetensors");
        Model::new(mobileone::Checkpoint::open(path).unwrap(), form).unwrap()
    });
    for model in models.into_iter().chain([variant(4)]) {
        let plan = plan(&model, (64, 64), DEFAULT).unwrap();
        sound(&model, &plan);
        for choice in choices().filter(|choice| matches!(choice.kind(), Kind::Block | Kind::Head)) {
            sound(&model, &tuned(&model, (64, 64), DEFAULT, &Tuning::only(choice)).unwrap());
        }
    }
}

/// Every dispatch finds what it reads, and writes nothing that it reads.
fn sound(model: &Model, plan: &Plan) {
    // The node whose output a slot holds.
    let mut held: HashMap<usize, usize> = HashMap::from([(plan.place(0).slot, 0)]);
    let mut finished: Vec<usize> = vec![0];
    for dispatch in &plan.dispatches {
        let inputs = dispatch.nodes.iter().flat_map(|&node| &model.graph.nodes[node].inputs);
        let inputs: Vec<usize> = inputs.copied().filter(|input| !dispatch.nodes.contains(input)).collect();
        let reads: Vec<usize> = slots(dispatch, false);
        assert_eq!(reads.len(), inputs.len(), "{}", dispatch.label);
        for (slot, input) in reads.iter().zip(inputs) {
            assert_eq!(held.get(slot), Some(&input), "{}", dispatch.label);
        }
        let written = slots(dispatch, true);
        let outputs: Vec<usize> =
            dispatch.nodes.iter().copied().filter(|&node| plan.places[node].is_some()).collect();
        assert_eq!(written.len(), outputs.len(), "{}", dispatch.label);
        for (slot, node) in outputs.iter().map(|&node| (plan.place(node).slot, node)) {
            assert!(written.contains(&slot), "{}", dispatch.label);
            assert!(!reads.contains(&slot) && slot != plan.place(0).slot, "{}", dispatch.label);
            held.insert(slot, node);
        }
        finished.extend(&dispatch.nodes);
    }
    finished.sort_unstable();
    assert!(finished.into_iter().eq(0..model.graph.nodes.len()), "every node once");
    for kept in plan.outputs.iter().map(|output| output.node) {
        assert_eq!(held.get(&plan.place(kept).slot), Some(&kept));
    }
    assert!(plan.slots.len() < 8, "{} slots", plan.slots.len());
}

/// Storage buffers that a choice binds at most.
fn buffers(choice: Choice) -> usize {
    let map = Shape::new(1, 1, 1, 4);
    let (kind, dtype, fast) = (choice.kind(), DType::F32, false);
    choice.needs(&Layer { kind, src: map, dst: map, dtype, fast, window: [1, 1], matrix: 0 }).unwrap().buffers
}

fn slots(dispatch: &Dispatch, written: bool) -> Vec<usize> {
    let bindings = dispatch.bindings.iter().filter(|binding| binding.written == written);
    let slot = |buffer| if let Buffer::Slot(slot) = buffer { Some(slot) } else { None };
    bindings.filter_map(|binding| slot(binding.buffer)).collect()
}

/// Where workgroup memory is as small as WebGPU promises it.
#[test]
fn blocks_in_one_dispatch_each() {
    for at in 0..4 {
        let model = variant(at);
        for block in choices().filter(|choice| choice.kind() == Kind::Block && choice.at_once()) {
            let tuning = Tuning {
                choices: vec![block, ways::JOINED.of(&[]), ways::PREPARE.of(&[])],
                ..Tuning::default()
            };
            let plan = tuned(&model, (224, 224), DEFAULT, &tuning).unwrap();
            assert_eq!(plan.dispatches.len(), 1 + 21 + 2, "S{at} {block}: stem, blocks, head, top");
            assert_eq!(plan.front, ways::PREPARE.of(&[]), "one more from bytes to best classes: 25");
            assert!(pipelines(&plan) <= 20, "S{at}: {} pipelines", pipelines(&plan));
            let macs = |plan: &Plan| plan.dispatches.iter().map(|dispatch| dispatch.macs).sum::<u64>();
            assert_eq!(macs(&plan), macs(&self::plan(&model, (224, 224), DEFAULT).unwrap()));
        }
    }
}

/// A choice that the device cannot run is passed over; names lead back to their choices.
#[test]
fn forms_are_for_devices_that_run_them() {
    let model = variant(0);
    let used = |choice: Choice, limits: Limits| {
        let plan = tuned(&model, (224, 224), limits, &Tuning::only(choice)).unwrap();
        let mut used = plan.dispatches.iter().filter_map(|dispatch| dispatch.choice);
        match choice.kind() {
            Kind::Front => plan.front == choice,
            // What is apart shows in that nothing of the kind is at once.
            _ if !choice.at_once() => used.all(|other| other.kind() != choice.kind()),
            _ => used.any(|other| other == choice),
        }
    };
    for choice in choices() {
        assert_eq!(Choice::named(&choice.to_string()), Some(choice));
        // Which the network has no layer for.
        if choice.kind() == Kind::Conv {
            continue;
        }
        // Nor is anything computed on matrices where it is stored in f32.
        let fast = choice.is(&ways::FAST) || choice.is(&ways::MATRIX);
        for subgroup in [0, 4, 8, 16, 32, 64] {
            let fits = !choice.is(&ways::SUBGROUP) || choice.tile[1] == subgroup;
            assert_eq!(
                used(choice, limits!(DEFAULT, subgroup: subgroup)),
                fits && !fast,
                "{choice}, {subgroup} lanes"
            );
        }
        let none = limits!(DEFAULT, shared: 0);
        let shared = [&ways::SHARED, &ways::SPLIT, &ways::BLOCK, &ways::JOINED].contains(&choice.way);
        let lanes = choice.is(&ways::SUBGROUP);
        assert_eq!(used(choice, none), !shared && !lanes && !fast, "{choice} without workgroup memory");
        for storage_buffers in [4, 5, 6, 8] {
            let fits = buffers(choice) <= storage_buffers && !lanes && !fast;
            let limits = limits!(DEFAULT, storage_buffers: storage_buffers);
            assert_eq!(used(choice, limits), fits, "{choice}, {storage_buffers} storage buffers");
            let plan = tuned(&model, (224, 224), limits, &Tuning::only(choice)).unwrap();
            for dispatch in &plan.dispatches {
                let bound = dispatch.bindings.len();
                assert!(bound <= storage_buffers, "{choice}: {} binds {bound} buffers", dispatch.label);
                assert!(dispatch.choice.is_none_or(|choice| buffers(choice) == bound), "{}", dispatch.label);
            }
        }
    }
    for class in [Class::Discrete, Class::Integrated, Class::Apple, Class::Mobile, Class::Software] {
        for subgroup in [0, 8, 32] {
            let limits = limits!(DEFAULT, class: class, subgroup: subgroup);
            for (at, most) in [20, 20, 20, 20, 40].into_iter().enumerate() {
                let plan = tuned(&variant(at), (224, 224), limits, &Tuning::default()).unwrap();
                assert!(pipelines(&plan) <= most, "S{at} {class:?}: {} pipelines", pipelines(&plan));
                let front =
                    if class == Class::Discrete { ways::PREPARE.of(&[]) } else { ways::PASSES.of(&[]) };
                assert_eq!((plan.front, plan.prepared.kind), (front, Kind::Front), "{class:?}");
            }
        }
    }
}

/// Cooperative matrices are there for what is stored in f16, where they were asked for, and where they are whole.
#[test]
fn matrices_are_for_whole_tiles_of_f16() {
    let model = variant(0);
    let of = |matrix, dtype, size: usize, tuning: &Tuning| {
        let limits = limits!(DEFAULT, matrix: matrix);
        let input = Shape::new(1, size, size, 3);
        let plan = Plan::new(&model.graph, &model.weights, input, dtype, limits, tuning).unwrap();
        let layers = plan.dispatches.iter().filter_map(|one| one.layer.zip(one.choice));
        layers.filter(|(layer, _)| layer.kind == Kind::Pointwise).collect::<Vec<_>>()
    };
    let unasked = Tuning::default();
    for (matrix, dtype) in [(0, DType::F16), (8, DType::F32), (16, DType::F32)] {
        for tuning in
            [&unasked, &Tuning::only(ways::MATRIX.of(&[8, 4])), &Tuning::only(ways::MATRIX.of(&[16, 2]))]
        {
            let layers = of(matrix, dtype, 224, tuning);
            assert!(layers.iter().all(|(_, choice)| !choice.is(&ways::MATRIX)), "{matrix} {dtype}");
        }
    }
    for (matrix, way) in [(8, ways::MATRIX.of(&[8, 4])), (16, ways::MATRIX.of(&[16, 2]))] {
        assert!(of(matrix, DType::F16, 224, &unasked).iter().all(|(_, choice)| *choice == way), "{matrix}");
        // At 64 pixels the last maps are 2x2: fewer than a matrix has rows.
        for (layer, choice) in of(matrix, DType::F16, 64, &unasked) {
            let whole = layer.src.pixels() >= matrix;
            assert_eq!(choice == way, whole, "{layer} on {matrix}x{matrix}");
        }
    }
    let odd = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/odd.timm.fused.safetensors");
    let odd = Model::new(mobileone::Checkpoint::open(odd).unwrap(), Form::Fused).unwrap();
    let limits = limits!(DEFAULT, matrix: 8);
    let input = Shape::new(1, 64, 64, 3);
    let plan = Plan::new(&odd.graph, &odd.weights, input, DType::F16, limits, &unasked).unwrap();
    let mut counts = [0, 0];
    for (layer, choice) in plan.dispatches.into_iter().filter_map(|one| one.layer.zip(one.choice)) {
        if layer.kind == Kind::Pointwise {
            // Channels come in fours: 6 of them lie as 8, 10 as 12.
            let whole = [layer.src.c, layer.dst.c].iter().all(|c| c.next_multiple_of(4) % 8 == 0);
            assert_eq!(choice.is(&ways::MATRIX), whole && layer.src.pixels() >= 8, "{layer}");
            counts[usize::from(whole)] += 1;
        }
    }
    assert!(counts[0] > 0 && counts[1] > 0, "6, 10, 18 and 34 channels: {counts:?}");
}

/// What was measured in one mode is no word on another.
#[test]
fn modes_are_tuned_apart() {
    let model = variant(0);
    let input = Shape::new(1, 224, 224, 3);
    let key = |mode| format!("pointwise 1/1 14x14x256 14x14x256 {mode}").parse::<Layer>().unwrap();
    let (plain, quick) = (ways::REGISTERS.of(&[8, 2]), ways::FAST.of(&[8]));
    let layers = BTreeMap::from([(key("f16"), plain), (key("f16-fast"), quick)]);
    for (fast, mode, choice) in [(false, "f16", plain), (true, "f16-fast", quick)] {
        let tuning = Tuning { layers: layers.clone(), fast, ..Tuning::default() };
        let plan = Plan::new(&model.graph, &model.weights, input, DType::F16, DEFAULT, &tuning).unwrap();
        let of = plan.dispatches.iter().filter(|one| one.layer == Some(key(mode)));
        let found: Vec<Option<Choice>> = of.map(|one| one.choice).collect();
        assert!(!found.is_empty() && found.iter().all(|one| *one == Some(choice)), "{mode}: {found:?}");
    }
}

/// What was measured of the way from a picture to its input is found by its size and storage.
#[test]
fn the_way_to_the_input_is_tuned() {
    let model = variant(0);
    let key = plan(&model, (224, 224), DEFAULT).unwrap().prepared;
    assert_eq!(key.to_string(), "front 1/1 224x224x3 224x224x3 f32");
    let tuning = Tuning { layers: BTreeMap::from([(key, ways::PREPARE.of(&[]))]), ..Tuning::default() };
    for (size, front) in [(224, ways::PREPARE.of(&[])), (192, ways::PASSES.of(&[]))] {
        assert_eq!(tuned(&model, (size, size), DEFAULT, &tuning).unwrap().front, front, "{size}");
    }
    let passes = Tuning { layers: BTreeMap::from([(key, ways::PASSES.of(&[]))]), ..tuning };
    let discrete = limits!(DEFAULT, class: Class::Discrete);
    assert_eq!(tuned(&model, (224, 224), discrete, &passes).unwrap().front, ways::PASSES.of(&[]));
}

/// Sums in f16 do not take the place of sums that are split where maps are small.
#[test]
fn fast_sums_leave_small_maps_split() {
    let input = Shape::new(1, 224, 224, 3);
    for (class, split) in [(Class::Discrete, 256), (Class::Apple, 64), (Class::Mobile, 0)] {
        let limits = limits!(DEFAULT, class: class);
        let tuning = Tuning { fast: true, ..Tuning::default() };
        let model = variant(0);
        let plan = Plan::new(&model.graph, &model.weights, input, DType::F16, limits, &tuning).unwrap();
        let layers = plan.dispatches.iter().filter_map(|one| one.layer.zip(one.choice));
        let (mut splits, mut fast) = (0, 0);
        for (layer, choice) in layers.filter(|(layer, _)| layer.kind == Kind::Pointwise) {
            let small = layer.dst.pixels() <= split;
            assert_eq!(choice.is(&ways::SPLIT), small, "{class:?} {layer}: {choice}");
            assert_eq!(choice.is(&ways::FAST), !small, "{class:?} {layer}: {choice}");
            splits += usize::from(small);
            fast += usize::from(!small);
        }
        assert!(fast > 0 && (splits > 0) == (split > 0), "{class:?}: {splits} split, {fast} fast");
    }
}

#[test]
fn limits_cut_batches_and_fold_grids() {
    let model = variant(0);
    let fast = limits!(DEFAULT, macs_per_second: u64::MAX / 1000);
    let most = plan(&model, (224, 224), fast).unwrap();
    let largest = *most.slots.iter().max().unwrap() as u64;
    assert_eq!(
        most.max_batch as u64,
        (DEFAULT.binding - GUARD) / largest,
        "bindings decide on a fast device"
    );
    let wide = limits!(fast, binding: 1 << 40, buffer: 1 << 40);
    assert_eq!(plan(&model, (96, 96), wide).unwrap().max_batch, 64, "more than 64 gains nothing");
    for (binding, batch) in [(8 * largest, 7), (8 * largest + GUARD, 8), (8 * largest + GUARD - 1, 7)] {
        let batched = plan(&model, (224, 224), limits!(fast, binding: binding)).unwrap();
        assert_eq!(batched.max_batch, batch, "a slot is bound with its guard band");
    }
    let large = plan(&model, (1024, 1024), wide).unwrap();
    assert_eq!(large.max_batch, (1 << 30) / large.activation_bytes(), "a gigabyte of maps is the most");
    let slow = plan(&model, (224, 224), DEFAULT).unwrap();
    assert_eq!(slow.max_batch, 3, "200 ms at 5 GMAC/s hold 3 times 275 MMACs");
    assert_eq!(plan(&model, (1024, 1024), DEFAULT).unwrap().max_batch, 1, "one is the least");

    let tight = limits!(fast, binding: 4 * largest - 1);
    assert!(
        matches!(plan(&model, (448, 448), tight), Err(Error::Option(reason)) if reason.contains("largest map"))
    );
    let tighter = limits!(fast, binding: 1000);
    assert!(
        matches!(plan(&model, (32, 32), tighter), Err(Error::Option(reason)) if reason.contains("tensor \""))
    );

    for workgroups in [7, 65_535] {
        for dispatch in &most.dispatches {
            let [x, y, z] = limits!(fast, workgroups: workgroups).grid(dispatch, 5);
            let needed = dispatch.kernel.workgroups as u32;
            assert!(x * y >= needed && x * y < needed + y && x <= workgroups && z == 5, "{x} {y} {needed}");
        }
    }
}
