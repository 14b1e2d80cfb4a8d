//! The table of ways, and choices that it does not have.

use std::collections::BTreeSet;

use mobileone::{
    DType, Form, Model, Shape,
    kernels::{Choice, Kind, choices, ways},
    models::mobileone::{VARIANTS, synthetic},
    plan::{Class, Layer, Limits, Plan, Tuning},
};

/// Choices that nobody offers: of tiles that shaders do not have, or are not tested with, and of no tile at all.
const ODD: [Choice; 12] = [
    ways::SPLIT.of(&[3, 5]),
    ways::SPLIT.of(&[4]),
    ways::SPLIT.of(&[]),
    ways::BLOCK.of(&[0, 0, 0]),
    ways::DIRECT.of(&[0, 0]),
    ways::SUBGROUP.of(&[8, 7]),
    ways::SUBGROUP.of(&[]),
    ways::MATRIX.of(&[0, 0]),
    ways::CONV.of(&[0]),
    ways::DEPTHWISE.of(&[1 << 40, 1, 1]),
    ways::JOINED.of(&[1]),
    ways::PREPARE.of(&[1]),
];

/// A tuning may name a choice that does not fit, of every layer or of one: it is passed over.
#[test]
fn odd_choices_are_passed_over() {
    let model = Model::new(synthetic(&VARIANTS[0], 10, 0), Form::Fused).unwrap();
    for (dtype, subgroup, matrix) in [(DType::F32, 7, 0), (DType::F16, 8, 0), (DType::F16, 0, 8)] {
        let limits = limits!(Limits::LEAST, subgroup: subgroup, matrix: matrix, storage_buffers: 8);
        let plan = |tuning: &Tuning| {
            let input = Shape::new(1, 64, 64, 3);
            Plan::new(&model.graph, &model.weights, input, dtype, limits, tuning).unwrap()
        };
        let plain = plan(&Tuning::default());
        let layers: Vec<Layer> = plain.dispatches.iter().filter_map(|one| one.layer).collect();
        for choice in ODD {
            assert_eq!(choice.needs(&plain.prepared), None, "{choice}");
            assert!(!choice.seen() && !choice.suits(&limits, true), "{choice}");
            assert_eq!(plan(&Tuning::only(choice)), plain, "{choice}");
        }
        // Nor does a choice of another kind take a layer, whatever the file says.
        for choice in choices().chain(ODD) {
            let other = |layer: &&Layer| layer.kind != choice.kind() || ODD.contains(&choice);
            let layers = layers.iter().chain([&plain.prepared]).filter(other);
            let layers = layers.map(|layer| (*layer, choice)).collect();
            assert_eq!(plan(&Tuning { layers, ..Tuning::default() }), plain, "{choice}");
        }
    }
}

#[test]
fn names_lead_back_to_choices() {
    let all: BTreeSet<Choice> = choices().collect();
    assert_eq!(all.len(), choices().count());
    let names: BTreeSet<String> = choices().map(|choice| choice.to_string()).collect();
    assert_eq!(names.len(), all.len());
    for choice in choices() {
        assert_eq!(Choice::named(&choice.to_string()), Some(choice));
        assert_eq!(choice.way.name.matches("{}").count(), choice.tile.len());
    }
    assert!(ODD.iter().all(|choice| Choice::named(&choice.to_string()) != Some(*choice)));
    for name in ["subgroup 16 of 8", "block 4x2 over 16", "tile 7x1", "joined", "strip 8"] {
        assert!(names.contains(name), "{name}");
    }
}

/// Every class of devices has a choice for each kind of layer, with the least of all limits too.
#[test]
fn something_fits_every_layer() {
    let kinds: BTreeSet<Kind> = choices().map(Choice::kind).collect();
    for class in [Class::Discrete, Class::Integrated, Class::Apple, Class::Mobile, Class::Software] {
        let limits = limits!(Limits::LEAST, class: class);
        for (&kind, fast) in kinds.iter().flat_map(|kind| [(kind, false), (kind, true)]) {
            for side in [1, 14, 112] {
                let src = Shape::new(1, side, side, 2048);
                let layer = Layer { kind, src, dst: src, dtype: DType::F32, fast, window: [1, 1], matrix: 0 };
                assert!(Tuning::default().choice(&layer, &limits).fits(&layer, &limits), "{class:?} {layer}");
            }
        }
    }
}
