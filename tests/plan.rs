//! Plans as data: what they promise before any device sees them.

use std::collections::{BTreeSet, HashMap};

use mobileone::{
    DType, Error, Form, Model, Outputs, Shape,
    models::mobileone::{VARIANTS, synthetic},
    plan::{Buffer, DST, Dispatch, GUARD, Limits, Plan, Tiles},
};

/// WebGPU's default limits on a slow device.
const DEFAULT: Limits =
    Limits { binding: 128 << 20, buffer: 256 << 20, workgroups: 65_535, macs_per_second: 5_000_000_000 };
const ALL: Outputs = Outputs { logits: true, probabilities: true, top_k: 5, features: true };

fn plan(model: &Model, size: (usize, usize), limits: Limits) -> Result<Plan, Error> {
    let input = Shape::new(1, size.0, size.1, 3);
    Plan::new(&model.graph, &model.weights, input, DType::F32, ALL, limits, Tiles::default())
}

fn variant(at: usize) -> Model {
    Model::new(synthetic(&VARIANTS[at], 1000, 1), Form::Fused).unwrap()
}

/// Pipelines that a plan makes, with the two that prepare pictures.
fn pipelines(plan: &Plan) -> usize {
    plan.dispatches.iter().map(|dispatch| dispatch.kernel.text()).collect::<BTreeSet<_>>().len() + 2
}

#[test]
fn variants_make_few_pipelines_and_dispatches() {
    for (at, limit) in [20, 20, 20, 20, 40].into_iter().enumerate() {
        let plan = plan(&variant(at), (224, 224), DEFAULT).unwrap();
        assert!(pipelines(&plan) <= limit, "S{at}: {} pipelines", pipelines(&plan));
        assert_eq!(plan.to_string().lines().count(), plan.dispatches.len());
        if at < 4 {
            assert_eq!(plan.dispatches.len(), 43 + 3, "43 convolutions, pool, linear, answer");
        }
    }
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
        // The node whose output a slot holds.
        let mut held: HashMap<usize, usize> = HashMap::from([(plan.places[0].slot, 0)]);
        for dispatch in &plan.dispatches[..plan.dispatches.len() - 1] {
            let [node] = dispatch.nodes[..] else { panic!("{dispatch:?}") };
            let reads: Vec<usize> = slots(dispatch, false);
            let inputs = &model.graph.nodes[node].inputs;
            assert_eq!(reads.len(), inputs.len(), "{}", dispatch.label);
            for (slot, input) in reads.iter().zip(inputs) {
                assert_eq!(held.get(slot), Some(input), "{}", dispatch.label);
            }
            let written = slots(dispatch, true);
            assert!(!reads.contains(&written[0]) && written[0] != plan.places[0].slot, "{}", dispatch.label);
            held.insert(written[0], node);
        }
        for kept in [Some(plan.features), plan.logits].into_iter().flatten() {
            assert_eq!(held.get(&plan.places[kept].slot), Some(&kept));
        }
        assert!(plan.slots.len() < 8, "{} slots", plan.slots.len());
    }
}

fn slots(dispatch: &Dispatch, written: bool) -> Vec<usize> {
    let bindings = dispatch.bindings.iter().filter(|binding| (binding.index == DST) == written);
    let slot = |buffer| if let Buffer::Slot(slot) = buffer { Some(slot) } else { None };
    bindings.filter_map(|binding| slot(binding.buffer)).collect()
}

#[test]
fn limits_cut_batches_and_fold_grids() {
    let model = variant(0);
    let fast = Limits { macs_per_second: u64::MAX / 1000, ..DEFAULT };
    let most = plan(&model, (224, 224), fast).unwrap();
    let largest = *most.slots.iter().max().unwrap() as u64;
    assert_eq!(
        most.max_batch as u64,
        (DEFAULT.binding - GUARD) / largest,
        "bindings decide on a fast device"
    );
    let wide = Limits { binding: 1 << 40, buffer: 1 << 40, ..fast };
    assert_eq!(plan(&model, (96, 96), wide).unwrap().max_batch, 64, "more than 64 gains nothing");
    for (binding, batch) in [(8 * largest, 7), (8 * largest + GUARD, 8), (8 * largest + GUARD - 1, 7)] {
        let batched = plan(&model, (224, 224), Limits { binding, ..fast }).unwrap();
        assert_eq!(batched.max_batch, batch, "a slot is bound with its guard band");
    }
    let large = plan(&model, (1024, 1024), wide).unwrap();
    assert_eq!(large.max_batch, (1 << 30) / large.activation_bytes(), "a gigabyte of maps is the most");
    let slow = plan(&model, (224, 224), DEFAULT).unwrap();
    assert_eq!(slow.max_batch, 3, "200 ms at 5 GMAC/s hold 3 times 275 MMACs");
    assert_eq!(plan(&model, (1024, 1024), DEFAULT).unwrap().max_batch, 1, "one is the least");

    let tight = Limits { binding: 4 * largest - 1, ..fast };
    assert!(
        matches!(plan(&model, (448, 448), tight), Err(Error::Option(reason)) if reason.contains("largest map"))
    );
    let tighter = Limits { binding: 1000, ..fast };
    assert!(
        matches!(plan(&model, (32, 32), tighter), Err(Error::Option(reason)) if reason.contains("tensor \""))
    );

    for workgroups in [7, 65_535] {
        for dispatch in &most.dispatches {
            let [x, y, z] = Limits { workgroups, ..fast }.grid(dispatch, 5);
            let needed = dispatch.kernel.workgroups as u32;
            assert!(x * y >= needed && x * y < needed + y && x <= workgroups && z == 5, "{x} {y} {needed}");
        }
    }
}
