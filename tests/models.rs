//! Checkpoints' tensors to networks: what is read off them, what is refused, and what comes out.

use crate::reference::{data, relative_l2};
use mobileone::{
    Checkpoint, Error, Model, Shape, Tensor, Weights,
    checkpoint::{Metadata, PreprocessFields, Strides},
    graph::Op,
    models::{
        Form,
        mobileone::{Recipe, VARIANTS, random, synthetic},
    },
    preprocess::Interpolation,
    reference,
};

/// A small network of odd widths with every kind of branch, and squeeze-excite at the end of stage 1.
fn small(form: Form) -> Recipe {
    Recipe {
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

fn strides(stem: usize, stages: &[usize]) -> Option<Strides> {
    Some(Strides { stem, stages: stages.to_vec() })
}

fn picture(shape: Shape) -> Tensor {
    let values = (0..shape.len()).map(|i| ((i as f64 * 0.618_033_988_749_895).fract() * 4.0 - 2.0) as f32);
    Tensor::new(shape, values.collect()).unwrap()
}

fn logits(model: &Model, input: &Tensor) -> Vec<f32> {
    reference::run(&model.graph, &model.weights, input)[model.graph.logits.unwrap()].data().to_vec()
}

/// The checkpoint with some of its arrays changed.
fn changed(
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
    Checkpoint { weights, metadata: checkpoint.metadata.clone() }
}

#[test]
fn variants_cost_what_the_paper_says() {
    // parameters fused, parameters in train form, million multiply-adds at 224x224
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
            let costs = model.graph.costs(Shape::new(1, 224, 224, 3));
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
    assert_eq!((model.name.as_str(), model.graph.logits), ("MobileOne (widths 8)", None));
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
        // and the branches matter: without one of them the sum is another
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
    // the stem: one convolution, and no identity, for 3 channels become 6; the first pointwise keeps its 6 channels: identity
    assert_eq!(of("stem"), expected("stem", &[&convs[..2], &scale, &[""]].concat()));
    assert_eq!(
        of("stages.0.1"),
        expected("stages.0.1", &[&convs[..], &[".identity", ".add.1", ""]].concat())
    );
    let ends =
        [&convs[..], &scale, &[".identity", ".add.1", ".add.2", ""], &[".attn.pool", ".attn.fc1"]].concat();
    let ends = [&ends[..], &[".attn.fc2", ".attn.scale"]].concat();
    assert_eq!(of("stages.0.2"), expected("stages.0.2", &ends));
    // a single branch is the position itself
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
fn identity_proves_stride_1() {
    let found = |recipe: &Recipe, metadata: Option<Strides>| {
        let mut checkpoint = random(recipe, 1);
        checkpoint.metadata.strides = metadata;
        Model::new(checkpoint, Form::Fused).map(|model| Some(model.architecture.strides))
    };
    let recipe = Recipe { strides: strides(2, &[1, 2, 1]), ..small(Form::Train) };
    // nobody says it, the branches do
    assert_eq!(found(&recipe, None).unwrap(), strides(2, &[1, 2, 1]));
    assert_eq!(found(&recipe, recipe.strides.clone()).unwrap(), strides(2, &[1, 2, 1]));
    // without an identity branch the metadata decides
    assert_eq!(found(&recipe, strides(1, &[1, 1, 1])).unwrap(), strides(1, &[1, 1, 1]));
    let error = found(&recipe, strides(2, &[1, 2, 2])).unwrap_err().to_string();
    assert!(
        error.starts_with("tensor \"stages.2.0.identity.weight\": an identity branch proves stride 1"),
        "{error}"
    );
    for (wrong, reason) in [
        (strides(2, &[1, 2]), "expected 3, one per stage, found 2"),
        (strides(0, &[1, 2, 1]), "a stride is 1 or 2, found 0"),
        (strides(2, &[1, 2, 1 << 40]), "a stride is 1 or 2, found 1099511627776"),
    ] {
        let error = found(&recipe, wrong).unwrap_err();
        assert!(matches!(&error, Error::Metadata { field, .. } if field == "strides"), "{error}");
        assert!(error.to_string().ends_with(reason), "{error}");
    }
}

/// What is done to one tensor.
enum Harm {
    Drop,
    /// Another shape.
    Shape(&'static [usize]),
    /// One value.
    Value(f32),
    /// An additional tensor.
    Add(&'static [usize]),
}

#[test]
fn refuses_by_name() {
    use Harm::{Add, Drop, Shape, Value};
    let train = random(&small(Form::Train), 1);
    let fused = random(&small(Form::Fused), 1);
    let rows: &[(&Checkpoint, &str, Harm, &str, &str)] = &[
        // checkpoint, tensor harmed, harm, tensor named (the same if empty), reason
        (&train, "stem.conv_kxk.0.conv.weight", Drop, "", "missing"),
        (
            &train,
            "stem.conv_kxk.0.conv.weight",
            Shape(&[6, 1, 3, 3]),
            "",
            "expected [C, 3, 3, 3], found [6, 1, 3, 3]",
        ),
        (
            &train,
            "stem.conv_kxk.0.conv.weight",
            Shape(&[0, 3, 3, 3]),
            "",
            "expected [C, 3, 3, 3], found [0, 3, 3, 3]",
        ),
        (&train, "stages.0.0.conv_kxk.1.bn.running_var", Drop, "", "missing"),
        (
            &train,
            "stages.0.0.conv_kxk.1.bn.running_var",
            Value(-1.0),
            "",
            "a variance is not negative, found -1 at 0",
        ),
        (
            &train,
            "stem.conv_scale.conv.weight",
            Shape(&[6, 3, 3, 3]),
            "",
            "expected [6, 3, 1, 1], found [6, 3, 3, 3]",
        ),
        (&train, "stages.0.1.identity.bias", Drop, "", "missing"),
        (&train, "stages.0.1.identity.bias", Shape(&[7]), "", "expected [6], found [7]"),
        (&train, "stages.0.1.conv_scale.conv.weight", Add(&[6, 6, 1, 1]), "", "no place for it"),
        (&train, "stages.0.1.conv_kxk.3.conv.weight", Add(&[6, 6, 1, 1]), "", "no place for it"),
        (
            &train,
            "stages.1.1.identity.weight",
            Add(&[10]),
            "",
            "an identity branch where 6 channels become 10",
        ),
        (
            &train,
            "stages.2.1.reparam_conv.weight",
            Add(&[18, 10, 1, 1]),
            "stages.2.1.reparam_conv.bias",
            "missing",
        ),
        (&train, "stages.2.1.conv_kxk.1.conv.weight", Value(f32::NAN), "", "holds NaN at 0"),
        (&fused, "stages.2.1.reparam_conv.bias", Value(f32::INFINITY), "", "holds inf at 0"),
        (
            &fused,
            "stages.2.2.reparam_conv.weight",
            Shape(&[16, 1, 3, 3]),
            "",
            "expected [18, 1, 3, 3], found [16, 1, 3, 3]",
        ),
        (
            &fused,
            "stages.2.2.reparam_conv.weight",
            Shape(&[18, 18, 3, 3]),
            "",
            "expected [18, 1, 3, 3], found [18, 18, 3, 3]",
        ),
        (
            &fused,
            "stages.2.2.reparam_conv.weight",
            Shape(&[18, 1, 7, 7]),
            "",
            "expected [18, 1, 3, 3], found [18, 1, 7, 7]",
        ),
        (
            &fused,
            "stages.2.3.reparam_conv.weight",
            Shape(&[18, 10, 1, 1]),
            "",
            "expected [C, 18, 1, 1], found [18, 10, 1, 1]",
        ),
        (
            &fused,
            "stages.2.3.reparam_conv.weight",
            Shape(&[18, 18]),
            "",
            "expected [C, 18, 1, 1], found [18, 18]",
        ),
        (
            &fused,
            "stages.2.6.reparam_conv.weight",
            Add(&[18, 1, 3, 3]),
            "stages.2.7.reparam_conv.weight",
            "missing: the depthwise before it has no pointwise",
        ),
        (
            &fused,
            "stages.2.8.reparam_conv.weight",
            Add(&[18, 1, 3, 3]),
            "stages.2.6.reparam_conv.weight",
            "missing",
        ),
        (
            &fused,
            "stages.4.0.reparam_conv.weight",
            Add(&[18, 1, 3, 3]),
            "stages.3.0.reparam_conv.weight",
            "missing",
        ),
        (
            &fused,
            "stages.99999999999.0.reparam_conv.weight",
            Add(&[1]),
            "stages.3.0.reparam_conv.weight",
            "missing",
        ),
        (&fused, "stages.2.2.conv_kxk.0.conv.weight", Add(&[18, 1, 3, 3]), "", "no place for it"),
        (
            &fused,
            "stages.0.2.attn.fc1.weight",
            Shape(&[1, 5, 1, 1]),
            "",
            "expected [C/16, 6, 1, 1], found [1, 5, 1, 1]",
        ),
        (&fused, "stages.0.2.attn.fc2.bias", Drop, "", "missing"),
        (&fused, "stem.attn.fc1.weight", Add(&[1, 6, 1, 1]), "", "no place for it"),
        (&fused, "head.fc.weight", Shape(&[0, 18]), "", "expected [classes, 18], found [0, 18]"),
        (&fused, "head.fc.weight", Shape(&[5, 17]), "", "expected [classes, 18], found [5, 17]"),
        (&fused, "head.fc.weight", Drop, "", "missing"),
        (&fused, "head.fc.bias", Shape(&[4]), "", "expected [5], found [4]"),
        (&fused, "final_conv.weight", Add(&[2, 2]), "", "no place for it"),
        (&fused, "stages.x.weight", Add(&[2]), "", "no place for it"),
    ];
    for (checkpoint, harmed, harm, named, reason) in rows {
        let mut checkpoint = changed(checkpoint, |name, shape, values| {
            if name == *harmed {
                match harm {
                    Drop => return false,
                    Shape(other) => {
                        *shape = other.to_vec();
                        *values = vec![0.5; shape.iter().product()];
                    }
                    Value(value) => values[0] = *value,
                    Add(_) => panic!("{name} is there already"),
                }
            }
            true
        });
        if let Add(shape) = harm {
            checkpoint.weights.insert(*harmed, shape, vec![0.5; shape.iter().product()]);
        } else {
            assert!(
                train.weights.find(harmed).or(fused.weights.find(harmed)).is_some(),
                "{harmed} is not there"
            );
        }
        let named = if named.is_empty() { harmed } else { named };
        match Model::new(checkpoint, Form::Fused) {
            Err(Error::Tensor { name, reason: found }) => {
                assert!(name == *named && found.starts_with(reason), "{harmed}: {name}: {found}");
            }
            other => panic!("{harmed}: {other:?}"),
        }
    }
    let error = Model::new(Checkpoint::default(), Form::Fused).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
    // a counter of PyTorch's is no parameter
    let mut counted = train.clone();
    counted.weights.insert("stem.conv_kxk.0.bn.num_batches_tracked", &[1], vec![3.0]);
    assert!(Model::new(counted, Form::Fused).is_ok());
    // folded, this is more than an f32 holds
    let large = changed(&train, |name, _, values| {
        if name == "stages.1.0.conv_kxk.0.conv.weight" || name == "stages.1.0.conv_kxk.0.bn.weight" {
            values.fill(1e30);
        }
        true
    });
    let error = Model::new(large, Form::Fused).unwrap_err().to_string();
    assert!(error.contains("stages.1.0 overflows f32"), "{error}");
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
        assert_eq!((&written.metadata.strides, &written.metadata.labels), (&recipe.strides, &model.labels));
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
fn preprocessing_field_by_field() {
    let resolve = |checkpoint: Checkpoint, preprocess: PreprocessFields| {
        let source = (preprocess != PreprocessFields::default()).then_some("config.json");
        let metadata = Metadata { preprocess, preprocess_source: source, ..checkpoint.metadata };
        let model = Model::new(Checkpoint { metadata, ..checkpoint }, Form::Fused).unwrap();
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
    let fields = Model::new(s0, Form::Fused).unwrap().to_checkpoint().metadata.preprocess;
    let (_, source) = resolve(random(&small(Form::Train), 1), fields);
    assert_eq!(source, "config.json");
}

#[test]
fn a_label_for_each_class() {
    let mut checkpoint = random(&small(Form::Train), 1);
    checkpoint.metadata.labels = Some(vec!["cat".into(); 4]);
    let error = Model::new(checkpoint.clone(), Form::Fused).unwrap_err().to_string();
    assert_eq!(error, "metadata \"labels\": expected 5, one per class, found 4");
    checkpoint.metadata.labels = Some(vec!["cat".into(); 5]);
    assert!(Model::new(checkpoint, Form::Fused).is_ok());
}

#[test]
fn synthetic_networks_stay_alive() {
    assert_eq!(synthetic(&VARIANTS[0], 5, 9), synthetic(&VARIANTS[0], 5, 9));
    assert_ne!(synthetic(&VARIANTS[0], 5, 9).weights, synthetic(&VARIANTS[0], 5, 10).weights);
    for variant in &VARIANTS {
        let model = Model::new(synthetic(variant, 100, 1), Form::Fused).unwrap();
        assert_eq!((model.name.as_str(), model.architecture.variant()), (variant.name, Some(variant)));
        let outputs = reference::run(&model.graph, &model.weights, &picture(Shape::new(1, 48, 48, 3)));
        for (node, output) in model.graph.nodes.iter().zip(&outputs) {
            let squares: f64 = output.data().iter().map(|&value| (value as f64).powi(2)).sum();
            let rms = (squares / output.data().len() as f64).sqrt();
            assert!((0.1..5.0).contains(&rms), "{} {}: {rms}", variant.name, node.name);
        }
        let features = outputs[model.graph.features].data();
        // by chance two of 2048 may be
        let distinct: std::collections::BTreeSet<u32> =
            features.iter().map(|value| value.to_bits()).collect();
        assert!(distinct.len() + 2 >= features.len(), "{}: many features are alike", variant.name);
    }
}
