//! Classifiers, whatever they are called.

use mobileone::{Checkpoint, Form, Model};

use super::{Stored, assert_refused, safetensors, stored};

type Tensors = Vec<(String, Stored)>;

const NETWORK: &str = "odd.timm.fused.safetensors";

/// A small network's tensors, `name` in place of `head.fc` of the classifier.
fn with_head(prefix: &str, name: &str) -> Tensors {
    let renamed = |tensor: String| match tensor.strip_prefix("head.fc.") {
        Some(field) => format!("{name}.{field}"),
        None => format!("{prefix}{tensor}"),
    };
    stored(NETWORK).into_iter().map(|(name, tensor)| (renamed(name), tensor)).collect()
}

fn read(tensors: &Tensors) -> mobileone::Result<Checkpoint> {
    Checkpoint::from_bytes(&safetensors(tensors))
}

fn model(tensors: &Tensors, case: &str) -> Model {
    let checkpoint = read(tensors).unwrap_or_else(|e| panic!("{case}: {e}"));
    assert!(checkpoint.passed_over.is_empty(), "{case}: {:?}", checkpoint.passed_over);
    Model::new(checkpoint, Form::Fused).unwrap_or_else(|e| panic!("{case}: {e}"))
}

#[test]
fn a_classifier_under_many_names() {
    let expected = Model::load(super::golden(NETWORK)).unwrap();
    assert_eq!(expected.architecture.classes, Some(5));
    let rows = [
        ("", "fc"),
        ("", "classifier"),
        ("", "linear"),
        ("", "head"),
        ("", "head.fc.1"),
        ("", "head.1"),
        ("", "classifier.1"),
        ("", "classifier.classifier_fc"),
        ("", "last_linear"),
        ("model.", "model.classifier.0"),
        ("model.", "model.head.fc.module"),
        ("backbone.", "head.fc"),
        ("model.backbone.", "model.fc"),
        ("model.backbone.", "cls_head.fc"),
        ("backbone.model.", "backbone.classifier.2"),
    ];
    for (prefix, name) in rows {
        let model = model(&with_head(prefix, name), name);
        assert_eq!((&model.graph, &model.weights), (&expected.graph, &expected.weights), "{prefix} {name}");
    }
    // A convolution of 1x1 is the same
    let mut conv = with_head("", "head.fc");
    let weight = conv.iter_mut().find(|(name, _)| name == "head.fc.weight").unwrap();
    weight.1.shape.extend([1, 1]);
    let model = model(&conv, "1x1");
    assert_eq!((&model.graph, &model.weights), (&expected.graph, &expected.weights));
}

#[test]
fn a_classifier_without_summands() {
    let expected = Model::load(super::golden(NETWORK)).unwrap();
    let mut tensors = with_head("", "fc");
    tensors.retain(|(name, _)| name != "fc.bias");
    let model = model(&tensors, "no bias");
    assert_eq!(model.weights.get("head.fc.bias").unwrap().data, [0.0; 5]);
    assert_eq!(model.weights.get("head.fc.weight").unwrap(), expected.weights.get("head.fc.weight").unwrap());
    // And so it is written
    let again =
        Checkpoint::from_bytes(&model.to_checkpoint().to_bytes(mobileone::DType::F32).unwrap()).unwrap();
    assert_eq!(Model::new(again, Form::Fused).unwrap().weights, model.weights);
}

#[test]
fn heads_that_are_more_than_one_layer() {
    let beside = |name: &str, shape: &[usize], head: &str| {
        let mut tensors = with_head("", head);
        tensors.push((name.into(), Stored::ones(shape)));
        read(&tensors)
    };
    let several = "several layers of the head … \"head.fc.3.weight\"";
    assert_refused(beside("head.fc.3.weight", &[5, 5], "head.fc.0"), several, "two");
    assert_refused(
        beside("classifier.0.running_mean", &[34], "classifier.1"),
        "several layers of the head",
        "bn",
    );
    assert_refused(beside("head.norm.weight", &[34], "head.fc"), "\"head.norm.weight\"", "norm");
    assert_refused(
        beside("head.fc.weight_g", &[5, 1], "head.fc"),
        "\"head.fc.weight_g\" … no part",
        "weight norm",
    );
    assert_refused(beside("head.global_pool.p", &[1], "head.fc"), "\"head.global_pool.p\"", "pool");
    // A second one, at the same place or around the network
    assert_refused(
        beside("fc.weight", &[5, 34], "head.fc"),
        "same parameter as … or a layer after it",
        "both",
    );
    let mut tensors = with_head("backbone.", "backbone.head.fc");
    tensors.push(("fc.weight".into(), Stored::ones(&[3, 5])));
    assert_refused(read(&tensors), "\"fc.weight\" … or a layer after it", "around");
}
