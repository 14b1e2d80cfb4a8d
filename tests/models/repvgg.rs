//! RepVGG, the second family: its files, its graph, and PyTorch's figures.

use super::{logits, strides};
use crate::reference::{data, model, relative_l2, tensor};
use mobileone::{
    Checkpoint, DType, Form, Input, Model, Options, Outputs, Session, Shape,
    checkpoint::{Reading, Setting, Which},
    models::{
        FAMILIES, Recipe,
        mobileone::synthetic,
        repvgg::{self, VARIANTS, random},
    },
};

/// A narrow network whose stage 2 changes the channels.
fn small(form: Form) -> Recipe {
    Recipe {
        channels: 3,
        stem: 6,
        widths: vec![6, 10],
        blocks: vec![2, 2],
        branches: 1,
        squeezed: vec![0, 1],
        classes: Some(3),
        strides: None,
        form,
    }
}

#[test]
fn logits_are_pytorchs() {
    let golden = data("repvgg.golden");
    let (x, expected) = (tensor(&golden, "x"), &golden.get("logits").unwrap().data);
    for form in [Form::Train, Form::Fused] {
        let model = model("repvgg", form);
        assert_eq!(
            (model.name.as_str(), model.family.names.family),
            ("RepVGG (widths 6/10/12/20)", "RepVGG")
        );
        let error = relative_l2(&logits(&model, &x), expected);
        assert!(error <= 1e-6, "{form:?}: {error:e}");
    }
    // The fused file has the names of a fused MobileOne: shapes tell which it is
    let model = model("repvgg", Form::Fused);
    let written = model.to_checkpoint().to_bytes(DType::F32).unwrap();
    let again = Model::from_bytes(&written).unwrap();
    assert_eq!((&again.name, again.architecture.branches), (&model.name, None));
    assert_eq!(logits(&again, &x), logits(&model, &x));
}

#[cfg(feature = "cpu")]
#[test]
fn sessions_give_them_too() {
    let golden = data("repvgg.golden");
    let (x, expected) = (tensor(&golden, "x"), &golden.get("logits").unwrap().data);
    for device in crate::session::devices() {
        for form in [Form::Train, Form::Fused] {
            let model = model("repvgg", form);
            let mut options = Options::of(&model);
            (options.preprocess.size, options.batch) = ((x.shape().h, x.shape().w), x.shape().n);
            options.outputs = Outputs::named(["logits"]);
            let session = Session::new(&device, &model, &options).unwrap();
            let answer = session.run(Input::Tensor(&x)).unwrap();
            let error = relative_l2(answer.logits(), expected);
            assert!(error <= 2e-6, "{form:?} on {}: {error:e}", device.info());
        }
    }
}

#[test]
fn tensors_show_the_architecture() {
    let model = model("repvgg", Form::Fused);
    let found = &model.architecture;
    assert_eq!(
        (found.stem, &found.widths[..], &found.blocks[..]),
        (6, &[6, 10, 12, 20][..], &[2, 1, 3, 1][..])
    );
    assert_eq!((found.classes, found.branches, found.variant), (Some(5), Some(1), None));
    assert_eq!(Some(found.strides.clone()), strides(2, &[2, 2, 2, 2]));
    // Only a block that keeps its channels shows its stride, by the identity that it lacks
    assert_eq!((model.strides.stem, &model.strides.stages[..]), (None, &[Some(2), None, None, None][..]));
    let guesses: Vec<_> = model.notes.iter().filter_map(|note| note.setting).collect();
    assert_eq!(guesses, [Setting::Strides, Setting::Epsilon, Setting::Preprocess]);
    assert_eq!(model.preprocess_source, "a guess: 224 pixels, crop 0.875, ImageNet's mean and std");

    let given = Recipe { strides: strides(1, &[1, 2]), ..small(Form::Train) };
    let model = Model::new(random(&given, 1), Form::Fused).unwrap();
    assert_eq!(Some(model.architecture.strides), given.strides);
    assert_eq!(model.architecture.squeezed, [vec![], vec![1]]);
}

#[test]
fn groups_are_read_off_the_weights() {
    let mut checkpoint = random(&small(Form::Train), 4);
    for branch in ["conv_kxk", "conv_1x1"] {
        let name = format!("stages.0.1.{branch}.conv.weight");
        let mut array = checkpoint.weights.get(&name).unwrap().clone();
        array.shape[1] = 2;
        array.data.truncate(array.shape.iter().product());
        checkpoint.weights.insert(name, &array.shape, array.data);
    }
    let [train, fused] = [Form::Train, Form::Fused].map(|form| Model::new(checkpoint.clone(), form).unwrap());
    let x = super::picture(Shape::new(1, 20, 17, 3));
    let error = relative_l2(&logits(&train, &x), &logits(&fused, &x));
    assert!(error <= 2e-6, "{error:e}");
}

#[test]
fn every_naming() {
    let rows: [(&str, &[(&str, &str)]); 3] = [
        ("", &[("stages.0.", "stages_0."), ("stages.1.", "stages_1.")]),
        (
            "module.",
            &[
                ("stem.", "stage0."),
                ("stages.0.", "stage1."),
                ("stages.1.", "stage2."),
                ("conv_kxk", "rbr_dense"),
                ("conv_1x1", "rbr_1x1"),
                ("identity", "rbr_identity"),
                ("reparam_conv", "rbr_reparam"),
                ("attn.fc1", "se.down"),
                ("attn.fc2", "se.up"),
                ("head.fc", "linear"),
            ],
        ),
        (
            "backbone.",
            &[
                ("stages.0.", "stage_1."),
                ("stages.1.", "stage_2."),
                (".bn.", ".norm."),
                ("conv_kxk", "branch_3x3"),
                ("conv_1x1", "branch_1x1"),
                ("identity", "branch_norm"),
                ("reparam_conv", "branch_reparam"),
                ("attn.fc", "se_layer.conv"),
            ],
        ),
    ];
    for form in [Form::Train, Form::Fused] {
        let expected = random(&small(form), 2);
        for (prefix, renamed) in rows {
            let mut file = Checkpoint::default();
            for (name, array) in expected.weights.iter() {
                let mut name =
                    renamed.iter().fold(name.to_string(), |name, (from, to)| name.replace(from, to));
                if name.contains("se_layer") {
                    name = name.replace(".weight", ".conv.weight").replace(".bias", ".conv.bias");
                }
                file.weights.insert(format!("{prefix}{name}"), &array.shape, array.data.clone());
            }
            let read = Checkpoint::from_bytes(&file.to_bytes(DType::F32).unwrap()).unwrap();
            assert!(read.weights == expected.weights, "{prefix} {form:?}");
        }
    }
}

#[test]
fn variants_are_timms() {
    // Parameters fused and in train form, as timm has them
    let table = [
        (8_309_384, 9_108_968),
        (12_789_864, 14_092_264),
        (25_499_944, 28_210_600),
        (14_339_048, 15_817_960),
    ];
    for (variant, (fused, train)) in VARIANTS.iter().zip(table) {
        let checkpoint = random(&Recipe { form: Form::Train, ..Recipe::of(variant, 1000) }, 3);
        for (form, expected) in [(Form::Fused, fused), (Form::Train, train)] {
            let model = Model::new(checkpoint.clone(), form).unwrap();
            assert_eq!((model.name.as_str(), model.architecture.variant), (variant.name, Some(variant)));
            assert_eq!(model.preprocess_source, format!("defaults of {}", variant.name));
            let checked = model.graph.check(&model.weights, Shape::new(1, 224, 224, 3)).unwrap();
            assert_eq!(checked.costs().iter().map(|cost| cost.params).sum::<u64>(), expected, "{form:?}");
            assert!(model.notes.is_empty(), "{:?}", model.notes);
        }
    }
    let named = mobileone::named::open("random:RepVGG_A0", &mut |_| {}).unwrap();
    assert_eq!(Model::new(named, Form::Fused).unwrap().name, "RepVGG-A0");
    let unknown = mobileone::named::open("random:repvgg_z9", &mut |_| {}).unwrap_err().to_string();
    assert!(unknown.contains("random:repvgg_a0, random:repvgg_a1"), "{unknown}");
}

#[test]
fn networks_of_two_families_in_one_file() {
    let mut file = Checkpoint::default();
    let one = &FAMILIES[0].variants[0];
    for (prefix, network) in
        [("student.", synthetic(one, 3, 1)), ("teacher.", random(&small(Form::Fused), 1))]
    {
        for (name, array) in network.weights.iter() {
            file.weights.insert(format!("{prefix}{name}"), &array.shape, array.data.clone());
        }
    }
    let bytes = file.to_bytes(DType::F32).unwrap();
    for (which, expected) in [("student", "MobileOne-S0"), ("teacher", "RepVGG (widths 6/10)")] {
        let reading = Reading { weights: Which::Named(which.into()), ..Reading::default() };
        let checkpoint = Checkpoint::from_bytes_with(&bytes, None, &reading).unwrap();
        assert_eq!(Model::new(checkpoint, Form::Fused).unwrap().name, expected);
    }
}

#[test]
fn faults_are_told_of_a_repvgg() {
    let bytes = |change: fn(&str) -> Option<String>| {
        let mut file = Checkpoint::default();
        for (name, array) in random(&small(Form::Train), 1).weights.iter() {
            if let Some(name) = change(name) {
                file.weights.insert(name, &array.shape, array.data.clone());
            }
        }
        file.to_bytes(DType::F32).unwrap()
    };
    let told = |bytes: &[u8]| match Model::from_bytes(bytes) {
        Ok(model) => panic!("{} was read", model.name),
        Err(error) => error.to_string(),
    };
    let lacks = bytes(|name| (!name.contains("stages.1.0.conv_kxk.conv")).then(|| name.into()));
    assert_eq!(told(&lacks), "tensor \"stages.1.0.conv_kxk.conv.weight\": missing");
    let no_stem = bytes(|name| (!name.starts_with("stem.")).then(|| name.into()));
    assert_eq!(told(&no_stem), "tensor \"stem.conv_kxk.conv.weight\": missing");
    let odd = bytes(|name| Some(name.replace("stages.1.1.conv_1x1.bn", "stages.1.1.conv_9x9.bn")));
    assert!(told(&odd).contains("is no part of a RepVGG, in any naming"), "{}", told(&odd));

    let sound = bytes(|name| Some(name.into()));
    let beside = |config| Checkpoint::from_bytes_with_config(&sound, config).unwrap().metadata;
    let others = beside(r#"{"architecture": "mobileone_s0", "act_layer": "gelu"}"#);
    assert!(others.notes[0].contains("is not a RepVGG, as the tensors are"), "{:?}", others.notes);
    let own =
        beside(r#"{"architecture": "repvgg_a0", "model_args": {"stem_type": "rep", "act_layer": "gelu"}}"#);
    assert_eq!((own.faults.len(), own.faults[0].field.as_str()), (1, "model_args.act_layer"));
    assert_eq!(repvgg::FAMILY.epsilon, 1e-5);
}
