//! Checkpoints' tensors to networks: what is read off them, and what comes out.

mod repvgg;

use crate::reference::{data, relative_l2};
use mobileone::{
    Checkpoint, Error, Model, Shape, Tensor, Weights,
    checkpoint::{GivenStrides, Metadata, PreprocessFields, Setting, Strides},
    graph::Op,
    models::{
        Form,
        mobileone::{Recipe, VARIANTS, random, synthetic},
    },
    preprocess::{CropMode, Interpolation},
    reference,
};

/// A small network of odd widths with every kind of branch, and squeeze-excite at the end of stage 1.
pub fn small(form: Form) -> Recipe {
    Recipe {
        channels: 3,
        stem: 6,
        widths: vec![6, 10, 18],
        blocks: vec![2, 1, 3],
        branches: 2,
        squeezed: vec![1, 0, 2],
        classes: Some(5),
        strides: None,
        form,
    }
}

pub fn strides(stem: usize, stages: &[usize]) -> Option<Strides> {
    Some(Strides { stem, stages: stages.to_vec() })
}

fn picture(shape: Shape) -> Tensor {
    let values = (0..shape.len()).map(|i| ((i as f64 * 0.618_033_988_749_895).fract() * 4.0 - 2.0) as f32);
    Tensor::new(shape, values.collect()).unwrap()
}

fn logits(model: &Model, input: &Tensor) -> Vec<f32> {
    reference::run(&model.graph, &model.weights, input).unwrap()[model.graph.output("logits").unwrap()]
        .data()
        .to_vec()
}

/// The checkpoint with some of its arrays changed.
pub fn changed(
    checkpoint: &Checkpoint,
    change: impl Fn(&str, &mut Vec<usize>, &mut Vec<f32>) -> bool,
) -> Checkpoint {
    let mut weights = Weights::new();
    for (name, array) in checkpoint.weights.iter() {
        let (mut shape, mut values) = (array.shape.clone(), array.data.clone());
        if change(name, &mut shape, &mut values) {
            weights.insert(name, &shape, values);
        }
    }
    Checkpoint { weights, ..checkpoint.clone() }
}

#[test]
fn variants_cost_what_the_paper_says() {
    // Parameters fused, parameters in train form, million multiply-adds at 224x224
    let table = [
        (2_078_504, 5_293_272, 275.1),
        (4_764_840, 4_825_192, 825.1),
        (7_808_168, 7_884_648, 1298.4),
        (10_078_312, 10_170_600, 1895.8),
        (14_838_352, 14_951_248, 2979.3),
    ];
    for (variant, (fused, train, mega)) in VARIANTS.iter().zip(table) {
        let recipe = Recipe { form: Form::Train, ..Recipe::of(variant, 1000) };
        let checkpoint = random(&recipe, 3);
        for (form, expected) in [(Form::Fused, fused), (Form::Train, train)] {
            let model = Model::new(checkpoint.clone(), form).unwrap();
            assert_eq!(model.name, variant.name);
            assert_eq!(model.architecture.branches, Some(variant.branches));
            let checked = model.graph.check(&model.weights, Shape::new(1, 224, 224, 3)).unwrap();
            let costs = checked.costs();
            assert_eq!(
                costs.iter().map(|cost| cost.params).sum::<u64>(),
                expected,
                "{} {form:?}",
                variant.name
            );
            if form == Form::Fused {
                let macs = costs.iter().map(|cost| cost.macs).sum::<u64>() as f64 / 1e6;
                assert!((macs - mega).abs() <= 0.05, "{}: {macs} million", variant.name);
                let convs = model.graph.nodes.iter().filter(|node| matches!(node.op, Op::Conv { .. }));
                assert_eq!(convs.count(), 43, "{}", variant.name);
            }
        }
    }
}

#[test]
fn reads_any_architecture() {
    for form in [Form::Fused, Form::Train] {
        let recipe = small(form);
        let architecture = Model::new(random(&recipe, 1), Form::Fused).unwrap().architecture;
        assert_eq!((architecture.stem, &architecture.widths), (6, &recipe.widths), "{form:?}");
        assert_eq!((architecture.classes, &architecture.blocks), (Some(5), &recipe.blocks), "{form:?}");
        assert_eq!(architecture.branches, (form == Form::Train).then_some(2));
        assert_eq!(architecture.squeezed, [vec![2, 3], vec![], vec![2, 3, 4, 5]]);
        assert_eq!(Some(architecture.strides), strides(2, &[2, 2, 2]));
    }
    let one =
        Recipe { widths: vec![8], blocks: vec![1], squeezed: vec![1], classes: None, ..small(Form::Train) };
    let model = Model::new(random(&one, 1), Form::Fused).unwrap();
    assert_eq!((model.name.as_str(), model.graph.output("logits")), ("MobileOne (widths 8)", None));
    let names: Vec<&str> = model.graph.nodes.iter().map(|node| node.name.as_str()).collect();
    let squeezed = |position: &str| {
        ["", ".attn.pool", ".attn.fc1", ".attn.fc2", ".attn.scale"].map(|end| format!("{position}{end}"))
    };
    let mut expected = vec!["input".to_string(), "stem".into()];
    expected.extend(squeezed("stages.0.0"));
    expected.extend(squeezed("stages.0.1"));
    expected.push("pool".into());
    assert_eq!(names, expected);

    // S4's widths without its squeeze-excite are not S4
    let s4 = Recipe { squeezed: vec![0; 4], ..Recipe::of(&VARIANTS[4], 3) };
    let name = Model::new(random(&s4, 1), Form::Fused).unwrap().name;
    assert_eq!(name, "MobileOne (widths 192/448/896/2048)");
}

#[test]
fn train_form_runs_like_fused_form() {
    let plain = Recipe { squeezed: vec![0; 3], ..small(Form::Train) };
    let recipes = [
        small(Form::Train),
        Recipe { branches: 1, ..small(Form::Train) },
        Recipe { branches: 4, ..plain.clone() },
        Recipe { strides: strides(1, &[1, 2, 1]), ..plain.clone() },
        Recipe { strides: strides(2, &[2, 1, 2]), ..plain },
    ];
    for (seed, recipe) in recipes.into_iter().enumerate() {
        let checkpoint = random(&recipe, seed as u64);
        let [fused, train] =
            [Form::Fused, Form::Train].map(|form| Model::new(checkpoint.clone(), form).unwrap());
        assert!(train.graph.nodes.len() > 2 * fused.graph.nodes.len());
        let input = picture(Shape::new(2, 21, 18, 3));
        let (a, b) = (logits(&train, &input), logits(&fused, &input));
        let error = relative_l2(&a, &b);
        assert!(error <= 2e-6, "{recipe:?}: {error:e}");
        // And the branches matter: without one of them the sum is another
        let less = changed(&checkpoint, |name, _, _| !name.starts_with("stages.2.2.conv_scale."));
        let error = relative_l2(&logits(&Model::new(less, Form::Fused).unwrap(), &input), &b);
        assert!(error > 1e-3, "{recipe:?}: {error:e}");
    }
}

#[test]
fn branches_are_kept_in_train_form() {
    let model = Model::new(random(&small(Form::Train), 1), Form::Train).unwrap();
    let of = |position: &str| -> Vec<&str> {
        let nodes = model.graph.nodes.iter().map(|node| node.name.as_str());
        nodes.filter(|name| format!("{name}.").starts_with(&format!("{position}."))).collect()
    };
    let expected = |position: &str, ends: &[&str]| -> Vec<String> {
        ends.iter().map(|end| format!("{position}{end}")).collect()
    };
    let convs = [".conv_kxk.0.conv", ".conv_kxk.0.bn", ".conv_kxk.1.conv", ".conv_kxk.1.bn"];
    let scale = [".conv_scale.conv", ".conv_scale.bn"];
    // The stem: one convolution, and no identity, for 3 channels become 6; the first pointwise keeps its 6 channels: identity
    assert_eq!(of("stem"), expected("stem", &[&convs[..2], &scale, &[""]].concat()));
    assert_eq!(
        of("stages.0.1"),
        expected("stages.0.1", &[&convs[..], &[".identity", ".add.1", ""]].concat())
    );
    let ends =
        [&convs[..], &scale, &[".identity", ".add.1", ".add.2", ""], &[".attn.pool", ".attn.fc1"]].concat();
    let ends = [&ends[..], &[".attn.fc2", ".attn.scale"]].concat();
    assert_eq!(of("stages.0.2"), expected("stages.0.2", &ends));
    // A single branch is the position itself
    let one = Recipe { branches: 1, ..small(Form::Train) };
    let model = Model::new(random(&one, 1), Form::Train).unwrap();
    let node = model.graph.nodes.iter().find(|node| node.name == "stages.1.1").unwrap();
    assert!(
        matches!(&node.op, Op::Affine { scale, .. } if scale == "stages.1.1.conv_kxk.0.bn.scale"),
        "{node:?}"
    );
}

#[test]
fn some_positions_fused_already() {
    let checkpoint = random(&small(Form::Train), 1);
    let fused = Model::new(checkpoint.clone(), Form::Fused).unwrap();
    let mut mixed =
        changed(&checkpoint, |name, _, _| !name.starts_with("stages.2.2.") || name.contains("attn"));
    for (name, array) in fused.weights.iter().filter(|(name, _)| name.starts_with("stages.2.2.reparam")) {
        mixed.weights.insert(name, &array.shape, array.data.clone());
    }
    let model = Model::new(mixed.clone(), Form::Fused).unwrap();
    assert_eq!((&model.graph, &model.weights), (&fused.graph, &fused.weights));
    let error = Model::new(mixed, Form::Train).unwrap_err();
    assert!(error.to_string().contains("\"stages.2.2.reparam_conv.weight\": is fused already"), "{error}");
}

#[test]
fn written_and_read_again() {
    for form in [Form::Fused, Form::Train] {
        let recipe = Recipe { strides: strides(1, &[2, 1, 2]), ..small(form) };
        let mut checkpoint = random(&recipe, 1);
        checkpoint.metadata.labels = Some(["cat", "dog", "eel", "fox", "gnu"].map(String::from).to_vec());
        checkpoint.metadata.preprocess.crop_pct = Some(0.8);
        checkpoint.metadata.license = Some("as you like".into());
        let model = Model::new(checkpoint, Form::Fused).unwrap();
        let written = model.to_checkpoint();
        let known = written.metadata.strides.as_ref().and_then(GivenStrides::complete);
        assert_eq!((&known, &written.metadata.labels), (&recipe.strides, &model.labels));
        assert_eq!(written.metadata.license.as_deref(), Some("as you like"));
        let again = Model::new(written, Form::Fused).unwrap();
        assert_eq!((&again.graph, &again.weights), (&model.graph, &model.weights));
        assert_eq!((&again.labels, &again.preprocess), (&model.labels, &model.preprocess));
    }
    // timm's own names, shapes and, but for the last bit, values
    for golden in ["odd", "se"] {
        let checkpoint =
            Checkpoint { weights: data(&format!("{golden}.timm.train")), ..Checkpoint::default() };
        let ours = Model::new(checkpoint, Form::Fused).unwrap().to_checkpoint().weights;
        let theirs = data(&format!("{golden}.timm.fused"));
        assert!(ours.iter().map(|(name, _)| name).eq(theirs.iter().map(|(name, _)| name)), "{golden}");
        for ((name, ours), (_, theirs)) in ours.iter().zip(theirs.iter()) {
            assert_eq!(ours.shape, theirs.shape, "{golden} {name}");
            assert!(relative_l2(&ours.data, &theirs.data) <= 1e-7, "{golden} {name}");
        }
    }
}

#[test]
fn loads_from_a_file_and_from_bytes() {
    let path = format!("{}/tests/data/se.timm.train.safetensors", env!("CARGO_MANIFEST_DIR"));
    let loaded = Model::load(&path).unwrap();
    let from_bytes = Model::from_bytes(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((loaded.form, &loaded.graph), (Form::Fused, &from_bytes.graph));
    assert_eq!(loaded.weights, from_bytes.weights);
    assert!(matches!(Model::load("no/such/file"), Err(Error::Io { .. })));

    // Errors call a tensor what the file calls it
    let path = format!("{}/tests/data/se.apple.train.safetensors", env!("CARGO_MANIFEST_DIR"));
    let mut checkpoint = Checkpoint::open(&path).unwrap();
    checkpoint.weights.insert("stages.1.0.conv_scale.conv.weight", &[16, 1, 3, 3], vec![0.5; 144]);
    let error = Model::new(checkpoint, Form::Fused).unwrap_err().to_string();
    assert_eq!(
        error,
        "tensor \"stage2.0.rbr_scale.conv.weight\": expected [16, 1, 1, 1], found [16, 1, 3, 3]"
    );
}

#[test]
fn preprocessing_field_by_field() {
    let resolve = |checkpoint: Checkpoint, preprocess: PreprocessFields| {
        let source = (preprocess != PreprocessFields::default()).then_some("config.json");
        let metadata = Metadata { preprocess, preprocess_source: source, ..checkpoint.metadata };
        let model = Model::new(Checkpoint { metadata, ..checkpoint }, Form::Fused).unwrap();
        let said = model.notes.iter().filter(|note| note.setting == Some(Setting::Preprocess));
        let said: Vec<&str> = said.map(|note| note.text.as_str()).collect();
        let guess = format!("preprocessing: {}", model.preprocess_source);
        assert_eq!(said, if model.preprocess_guessed { vec![guess.as_str()] } else { Vec::new() });
        assert_eq!(model.preprocess_guessed, guess.contains("guess"), "{guess}");
        (model.preprocess, model.preprocess_source)
    };
    let s0 = synthetic(&VARIANTS[0], 5, 1);
    let (defaults, source) = resolve(s0.clone(), PreprocessFields::default());
    assert_eq!(
        (defaults.size, defaults.crop_pct, source.as_str()),
        ((224, 224), 0.875, "defaults of MobileOne-S0")
    );
    let (defaults, source) = resolve(random(&small(Form::Train), 1), PreprocessFields::default());
    assert_eq!((defaults.crop_pct, defaults.mean), (0.9, [0.485, 0.456, 0.406]));
    assert!(source.contains("guess"), "{source}");
    let fields = PreprocessFields {
        size: Some((96, 128)),
        interpolation: Some(Interpolation::Bicubic),
        std: Some([1.0; 3]),
        ..PreprocessFields::default()
    };
    let (some, source) = resolve(s0.clone(), fields);
    assert_eq!((some.size, some.crop_pct, some.std), ((96, 128), 0.875, [1.0; 3]));
    assert_eq!(
        (some.interpolation, source.as_str()),
        (Interpolation::Bicubic, "config.json, else defaults of MobileOne-S0")
    );
    // A default is no fact: it is left out of what is written, and so are strides that nothing shows.
    let written = Model::new(s0, Form::Fused).unwrap().to_checkpoint().metadata;
    assert_eq!((written.preprocess, written.strides), (PreprocessFields::default(), None));
    let fields = PreprocessFields {
        size: Some((96, 96)),
        crop_pct: Some(1.0),
        crop_mode: Some(CropMode::Squash),
        interpolation: Some(Interpolation::Bicubic),
        mean: Some([0.5; 3]),
        std: Some([0.5; 3]),
    };
    let (_, source) = resolve(random(&small(Form::Train), 1), fields);
    assert_eq!(source, "config.json");
}

#[test]
fn only_known_strides_are_written() {
    let recipe = Recipe { strides: strides(1, &[1, 2, 1]), ..small(Form::Train) };
    let mut checkpoint = random(&recipe, 1);
    checkpoint.metadata.strides = None;
    let model = Model::new(checkpoint, Form::Fused).unwrap();
    let proven = GivenStrides { stem: None, stages: vec![Some(1), Some(2), Some(1)], proven: true };
    assert_eq!((&model.strides, model.architecture.strides.stem), (&proven, 2));
    // What branches showed stays known when they are folded; the stem is still a guess, and config.json decides.
    let written = model.to_checkpoint();
    assert_eq!(written.metadata.strides, Some(proven));
    let bytes = written.to_bytes(mobileone::DType::F32).unwrap();
    let read = |config: &str| {
        let checkpoint = Checkpoint::from_bytes_with_config(&bytes, config).unwrap();
        let model = Model::new(checkpoint, Form::Fused).unwrap();
        let other = model.notes.iter().filter(|note| note.setting != Some(Setting::Preprocess));
        (model.architecture.strides.to_string(), other.count())
    };
    assert_eq!(read("{}"), ("2,1,2,1".into(), 1));
    assert_eq!(read(r#"{"strides": {"stem": 1}}"#), ("1,1,2,1".into(), 0));
    assert_eq!(read(r#"{"strides": {"stem": 1, "stages": [2, 2, 2]}}"#), ("1,1,2,1".into(), 1));
}

#[test]
fn synthetic_networks_stay_alive() {
    assert_eq!(synthetic(&VARIANTS[0], 5, 9), synthetic(&VARIANTS[0], 5, 9));
    assert_ne!(synthetic(&VARIANTS[0], 5, 9).weights, synthetic(&VARIANTS[0], 5, 10).weights);
    for variant in &VARIANTS {
        let model = Model::new(synthetic(variant, 100, 1), Form::Fused).unwrap();
        assert_eq!((model.name.as_str(), model.architecture.variant), (variant.name, Some(variant)));
        let outputs =
            reference::run(&model.graph, &model.weights, &picture(Shape::new(1, 48, 48, 3))).unwrap();
        for (node, output) in model.graph.nodes.iter().zip(&outputs) {
            let squares: f64 = output.data().iter().map(|&value| (value as f64).powi(2)).sum();
            let rms = (squares / output.data().len() as f64).sqrt();
            assert!((0.1..5.0).contains(&rms), "{} {}: {rms}", variant.name, node.name);
        }
        let features = outputs[model.graph.output("features").unwrap()].data();
        // By chance two of 2048 may be
        let distinct: std::collections::BTreeSet<u32> =
            features.iter().map(|value| value.to_bits()).collect();
        assert!(distinct.len() + 2 >= features.len(), "{}: many features are alike", variant.name);
    }
}
