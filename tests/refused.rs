//! Checkpoints that do not fit together: each is refused with the name of what is wrong.

use crate::models::{changed, small, strides};
use mobileone::{
    Checkpoint, DType, Error, Model,
    checkpoint::Strides,
    models::{
        Form,
        mobileone::{Recipe, random},
    },
};

#[test]
fn identity_proves_stride_1() {
    let found = |recipe: &Recipe, metadata: Option<Strides>| {
        let mut checkpoint = random(recipe, 1);
        checkpoint.metadata.strides = metadata.map(Into::into);
        Model::new(checkpoint, Form::Fused).map(|model| Some(model.architecture.strides))
    };
    let recipe = Recipe { strides: strides(2, &[1, 2, 1]), ..small(Form::Train) };
    // Nobody says it, the branches do
    assert_eq!(found(&recipe, None).unwrap(), strides(2, &[1, 2, 1]));
    assert_eq!(found(&recipe, recipe.strides.clone()).unwrap(), strides(2, &[1, 2, 1]));
    // Without an identity branch the metadata decides
    assert_eq!(found(&recipe, strides(1, &[1, 1, 1])).unwrap(), strides(1, &[1, 1, 1]));
    let error = found(&recipe, strides(2, &[1, 2, 2])).unwrap_err().to_string();
    assert!(
        error.starts_with("tensor \"stages.2.0.identity.weight\": an identity branch proves stride 1"),
        "{error}"
    );
    for (wrong, reason) in [
        (strides(2, &[1, 2]), "expected 3 after the stem's, one per stage, found 2"),
        (strides(0, &[1, 2, 1]), "a stride is 1 or 2, found 0"),
        (strides(2, &[1, 2, 1 << 40]), "a stride is 1 or 2, found 1099511627776"),
    ] {
        let error = found(&recipe, wrong).unwrap_err();
        assert!(matches!(&error, Error::Metadata { field, .. } if field == "strides"), "{error}");
        assert!(error.to_string().ends_with(reason), "{error}");
    }
}

#[test]
fn a_label_for_each_class() {
    let mut checkpoint = random(&small(Form::Train), 1);
    checkpoint.metadata.labels = Some(vec!["cat".into(); 4]);
    let model = Model::new(checkpoint.clone(), Form::Fused).unwrap();
    assert_eq!(model.labels, None);
    let expected = "metadata has 4 labels for 5 classes: passed over";
    assert!(model.notes.iter().any(|note| note.text == expected), "{:?}", model.notes);
    let config = r#"{"label_names": ["cat"], "strides": {"stem": 2, "stages": [2]}}"#;
    let bytes = checkpoint.to_bytes(DType::F32).unwrap();
    let read = Checkpoint::from_bytes_with_config(&bytes, config).unwrap();
    let error = Model::new(read, Form::Fused).unwrap_err().to_string();
    assert_eq!(error, "config.json \"strides\": expected 3 after the stem's, one per stage, found 1");
    checkpoint.metadata.labels = Some(vec!["cat".into(); 5]);
    let labels = checkpoint.metadata.labels.clone();
    assert_eq!(Model::new(checkpoint, Form::Fused).unwrap().labels, labels);
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
    #[rustfmt::skip]
    let rows: &[(&Checkpoint, &str, Harm, &str, &str)] = &[
        // Checkpoint, tensor harmed, harm, tensor named (the same if empty), reason
        (&train, "stem.conv_kxk.0.conv.weight", Drop, "", "missing"),
        (&train, "stem.conv_kxk.0.conv.weight", Shape(&[6, 1, 3, 3]), "stem.conv_scale.conv.weight", "expected [6, 1, 1, 1], found [6, 3, 1, 1]"),
        (&train, "stem.conv_kxk.0.conv.weight", Shape(&[6, 5, 3, 3]), "", "expected [C, 1 to 4, 3, 3], found [6, 5, 3, 3]"),
        (&train, "stem.conv_kxk.0.conv.weight", Shape(&[0, 3, 3, 3]), "", "expected [C, 3, 3, 3], found [0, 3, 3, 3]"),
        (&train, "stages.0.0.conv_kxk.1.bn.running_var", Drop, "", "missing"),
        (&train, "stages.0.0.conv_kxk.1.bn.running_var", Value(-1.0), "", "a variance is not negative, found -1 at 0"),
        (&train, "stem.conv_scale.conv.weight", Shape(&[6, 3, 3, 3]), "", "expected [6, 3, 1, 1], found [6, 3, 3, 3]"),
        (&train, "stages.0.1.identity.bias", Drop, "", "missing"),
        (&train, "stages.0.1.identity.bias", Shape(&[7]), "", "expected [6], found [7]"),
        (&train, "stages.0.1.conv_scale.conv.weight", Add(&[6, 6, 1, 1]), "", "no place for it"),
        (&train, "stages.0.1.conv_kxk.3.conv.weight", Add(&[6, 6, 1, 1]), "", "no place for it"),
        (&train, "stages.1.1.identity.weight", Add(&[10]), "", "an identity branch where 6 channels become 10"),
        (&train, "stages.2.1.reparam_conv.weight", Add(&[18, 10, 1, 1]), "stages.2.1.reparam_conv.bias", "missing"),
        (&train, "stages.2.1.conv_kxk.1.conv.weight", Value(f32::NAN), "", "holds NaN at 0"),
        (&fused, "stages.2.1.reparam_conv.bias", Value(f32::INFINITY), "", "holds inf at 0"),
        (&fused, "stages.2.2.reparam_conv.weight", Shape(&[16, 1, 3, 3]), "", "expected [18, 1, 3, 3], found [16, 1, 3, 3]"),
        (&fused, "stages.2.2.reparam_conv.weight", Shape(&[18, 18, 3, 3]), "", "expected [18, 1, 3, 3], found [18, 18, 3, 3]"),
        (&fused, "stages.2.2.reparam_conv.weight", Shape(&[18, 1, 7, 7]), "", "expected [18, 1, 3, 3], found [18, 1, 7, 7]"),
        (&fused, "stages.2.3.reparam_conv.weight", Shape(&[18, 10, 1, 1]), "", "expected [C, 18, 1, 1], found [18, 10, 1, 1]"),
        (&fused, "stages.2.3.reparam_conv.weight", Shape(&[18, 18]), "", "expected [C, 18, 1, 1], found [18, 18]"),
        (&fused, "stages.2.6.reparam_conv.weight", Add(&[18, 1, 3, 3]), "stages.2.7.reparam_conv.weight", "missing: the depthwise before it has no pointwise"),
        (&fused, "stages.2.8.reparam_conv.weight", Add(&[18, 1, 3, 3]), "stages.2.6.reparam_conv.weight", "missing"),
        (&fused, "stages.4.0.reparam_conv.weight", Add(&[18, 1, 3, 3]), "stages.3.0.reparam_conv.weight", "missing"),
        (&fused, "stages.99999999999.0.reparam_conv.weight", Add(&[1]), "stages.3.0.reparam_conv.weight", "missing"),
        (&fused, "stages.2.2.conv_kxk.0.conv.weight", Add(&[18, 1, 3, 3]), "", "no place for it"),
        (&fused, "stages.0.2.attn.fc1.weight", Shape(&[1, 5, 1, 1]), "", "expected [C/16, 6, 1, 1], found [1, 5, 1, 1]"),
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
    // A counter of PyTorch's is no parameter
    let mut counted = train.clone();
    counted.weights.insert("stem.conv_kxk.0.bn.num_batches_tracked", &[1], vec![3.0]);
    assert!(Model::new(counted, Form::Fused).is_ok());
    // Folded, this is more than an f32 holds
    let large = changed(&train, |name, _, values| {
        if name == "stages.1.0.conv_kxk.0.conv.weight" || name == "stages.1.0.conv_kxk.0.bn.weight" {
            values.fill(1e30);
        }
        true
    });
    let error = Model::new(large, Form::Fused).unwrap_err().to_string();
    assert!(error.contains("stages.1.0 overflows f32"), "{error}");
}
