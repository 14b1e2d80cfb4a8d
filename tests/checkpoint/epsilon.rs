//! ε of batch normalization, which no tensor shows.

use mobileone::{
    Checkpoint, DType, Form, Model, Weights,
    checkpoint::{Metadata, Reading, Setting, Strides},
    models::mobileone::{Recipe, VARIANTS, random},
};

use super::{assert_refused, golden, golden_bytes};
use crate::models::small;

const NETWORK: &str = "odd.timm.train.safetensors";

/// The fused weights with this ε, from the definition: with 1e-5 and variances that are higher by the rest.
fn by_variances(epsilon: f64) -> Weights {
    let mut checkpoint = Checkpoint::open(golden(NETWORK)).unwrap();
    let mut weights = Weights::new();
    for (name, array) in checkpoint.weights.iter() {
        let more = if name.ends_with(".running_var") { epsilon - 1e-5 } else { 0.0 };
        let values = array.data.iter().map(|&value| (f64::from(value) + more) as f32).collect();
        weights.insert(name, &array.shape, values);
    }
    checkpoint.weights = weights;
    Model::new(checkpoint, Form::Fused).unwrap().weights
}

fn assert_close(found: &Model, expected: &Weights, case: &str) {
    for (name, expected) in expected.iter() {
        let found = found.weights.get(name).unwrap();
        for (a, b) in found.data.iter().zip(&expected.data) {
            assert!((a - b).abs() <= 1e-6 + 1e-5 * b.abs(), "{case}: {name}: {a}, expected {b}");
        }
    }
}

fn model(bytes: &[u8], config: Option<&str>, bn_eps: Option<f64>) -> Model {
    let reading = Reading { bn_eps, ..Reading::default() };
    let checkpoint = Checkpoint::from_bytes_with(bytes, config, &reading).unwrap();
    Model::new(checkpoint, Form::Fused).unwrap()
}

#[test]
fn from_the_reader_the_config_and_the_file() {
    let bytes = golden_bytes(NETWORK);
    let usual = model(&bytes, None, None);
    for epsilon in [1e-3, 1e-2] {
        let expected = by_variances(epsilon);
        assert_close(&model(&bytes, None, Some(epsilon)), &expected, "asked for");
        for config in [
            format!(r#"{{"bn_eps": {epsilon}}}"#),
            format!(r#"{{"model_args": {{"bn_eps": {epsilon}}}}}"#),
            format!(r#"{{"pretrained_cfg": {{"bn_eps": {epsilon}}}}}"#),
            format!(r#"{{"bn_eps": 0.09, "model_args": {{"bn_eps": {epsilon}}}}}"#),
        ] {
            assert_close(&model(&bytes, Some(&config), None), &expected, &config);
        }
        // Written in train form, and read again
        let mut checkpoint = Checkpoint::from_bytes(&bytes).unwrap();
        checkpoint.metadata = Metadata { bn_eps: Some(epsilon), ..Metadata::default() };
        let written = checkpoint.to_bytes(DType::F32).unwrap();
        assert_close(&model(&written, None, None), &expected, "metadata");
        let same = model(&written, Some(&format!(r#"{{"bn_eps": {epsilon}}}"#)), None);
        assert!(same.notes.iter().all(|note| !note.text.contains("epsilon")), "{:?}", same.notes);
        // Nobody has measured what the metadata say: config.json comes first, and the difference is said
        let both = model(&written, Some(r#"{"bn_eps": 0.02}"#), None);
        assert_close(&both, &by_variances(0.02), "config.json before metadata");
        let said =
            format!("batch norm's epsilon is 0.02 in config.json and {epsilon} in the file's metadata");
        assert!(both.notes.iter().any(|note| note.text.starts_with(&said)), "{:?}", both.notes);
        // What is asked for comes first
        assert_close(
            &model(&written, Some(r#"{"bn_eps": 0.09}"#), Some(1e-5)),
            &usual.weights,
            "asked for first",
        );
        let off = |model: &Model| {
            (model.weights.get("stem.reparam_conv.weight").unwrap().data[0]
                - expected.get("stem.reparam_conv.weight").unwrap().data[0])
                .abs()
        };
        assert!(off(&usual) > 1e-5, "{epsilon} makes no difference");
        // Folded, it is of no use any more
        let fused = model(&bytes, None, Some(epsilon)).to_checkpoint();
        assert_eq!(fused.metadata.bn_eps, None);
        assert_close(&Model::new(fused, Form::Fused).unwrap(), &expected, "fused");
    }
    // The train form has it too
    let reading = Reading { bn_eps: Some(1e-2), ..Reading::default() };
    let scale = |reading: &Reading| {
        let checkpoint = Checkpoint::from_bytes_with(&bytes, None, reading).unwrap();
        let model = Model::new(checkpoint, Form::Train).unwrap();
        model.weights.get("stem.conv_scale.bn.scale").unwrap().data[0]
    };
    assert_ne!(scale(&reading), scale(&Reading::default()));
}

#[test]
fn values_that_no_network_has() {
    let bytes = golden_bytes(NETWORK);
    for bn_eps in [0.0, -1e-5, 0.2, 1.0, 1e9, f64::NAN, f64::INFINITY] {
        let reading = Reading { bn_eps: Some(bn_eps), ..Reading::default() };
        assert_refused(Checkpoint::from_bytes_with(&bytes, None, &reading), "epsilon", &bn_eps.to_string());
        let mut checkpoint = Checkpoint::from_bytes(&bytes).unwrap();
        checkpoint.metadata.bn_eps = Some(bn_eps);
        assert!(Model::new(checkpoint, Form::Fused).unwrap_err().to_string().contains("epsilon"), "{bn_eps}");
    }
    for text in ["0", "-1", "1", "\"small\"", "[0.001]"] {
        for (config, key) in [
            (format!(r#"{{"bn_eps": {text}}}"#), "bn_eps"),
            (format!(r#"{{"model_args": {{"bn_eps": {text}}}}}"#), "model_args.bn_eps"),
        ] {
            let expected = format!("\"{key}\": {text} cannot be followed; expected a number above 0");
            let checkpoint = Checkpoint::from_bytes_with_config(&bytes, &config).unwrap();
            let refused = Model::new(checkpoint, Form::Fused).unwrap_err().to_string();
            assert!(refused.contains(&expected), "{config}: {refused}");
        }
    }
}

#[test]
fn a_guess_is_said() {
    let s0 = |classes| Recipe { branches: 1, form: Form::Train, ..Recipe::of(&VARIANTS[0], classes) };
    let (paper, fine_tuned) = (s0(1000), s0(10));
    let known = Some(Strides { stem: 2, stages: vec![2; 4] });
    let strides = |text: &str| Some(text.parse::<Strides>().unwrap());
    let rows = [
        // The network, config.json, strides and epsilon that are given, whether epsilon is a guess
        (&fine_tuned, "{}", None, None, true),
        (&fine_tuned, "{}", known.clone(), None, true),
        (&fine_tuned, "{}", known.clone(), Some(1e-3), false),
        (&fine_tuned, r#"{"strides": {"stem": 1, "stages": [2, 2, 2, 2]}}"#, None, None, true),
        (&fine_tuned, r#"{"bn_eps": 1e-3}"#, known.clone(), None, false),
        (&fine_tuned, r#"{"architecture": "mobileone_s0"}"#, None, None, false),
        (&fine_tuned, r#"{"architecture": "mobileone_s1"}"#, known.clone(), None, true),
        (&paper, "{}", None, None, false),
        (&paper, "{}", strides("1,2,2,2,2"), None, true),
        (&small(Form::Fused), "{}", strides("2,2,2,2"), None, false),
        (&small(Form::Train), "{}", strides("2,2,2,2"), None, true),
    ];
    for (recipe, config, strides, bn_eps, expected) in rows {
        let recipe = Recipe { strides: None, ..recipe.clone() };
        let bytes = random(&recipe, 1).to_bytes(DType::F32).unwrap();
        let case = format!("{config} {strides:?} {bn_eps:?}");
        let reading = Reading { bn_eps, strides, ..Reading::default() };
        let checkpoint = Checkpoint::from_bytes_with(&bytes, Some(config), &reading).unwrap();
        let notes = Model::new(checkpoint, Form::Fused).unwrap().notes;
        let guess = notes.iter().find(|note| note.setting == Some(Setting::Epsilon));
        assert_eq!(guess.is_some(), expected, "{case}: {notes:?}");
        assert!(guess.is_none_or(|note| note.warning && note.text.contains("is a guess: 1e-5")), "{case}");
    }
}

#[test]
fn strides_that_are_asked_for() {
    let bytes = random(&Recipe { strides: None, ..small(Form::Fused) }, 1).to_bytes(DType::F32).unwrap();
    let read = |strides: &str, config: Option<&str>| {
        let reading = Reading { strides: Some(strides.parse().unwrap()), ..Reading::default() };
        Model::new(Checkpoint::from_bytes_with(&bytes, config, &reading).unwrap(), Form::Fused)
    };
    let config = r#"{"strides": {"stem": 2, "stages": [2, 2, 2]}}"#;
    for config in [None, Some(config)] {
        let model = read("1,2,1,2", config).unwrap();
        assert_eq!(model.architecture.strides.to_string(), "1,2,1,2");
        assert!(model.notes.iter().all(|note| note.setting != Some(Setting::Strides)), "{:?}", model.notes);
        // What is asked for is known, and written
        assert_eq!(
            model.to_checkpoint().metadata.strides.unwrap().complete().unwrap().to_string(),
            "1,2,1,2"
        );
        let error = read("1,2,1", config).unwrap_err().to_string();
        assert_eq!(error, "reading \"strides\": expected 3 after the stem's, one per stage, found 2");
    }
    let model = read("1,2,1,2", Some(r#"{"strides": "none"}"#)).unwrap();
    assert!(model.notes.iter().any(|note| note.text.ends_with("passed over, as strides are given")));
    for wrong in ["", "2", "2,", "2,3", "0,1", "2 2", "a,b"] {
        assert!(wrong.parse::<Strides>().unwrap_err().to_string().starts_with("expected 1 or 2"), "{wrong}");
    }
}
