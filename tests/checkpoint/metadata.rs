//! Our own metadata, and a `config.json` beside the file.

use mobileone::{
    Checkpoint,
    checkpoint::{GivenStrides, Metadata, Strides},
    preprocess::{CropMode, Interpolation},
};

use super::{assert_refused, folder, named};

/// A file with this text under the metadata key `mobileone`.
fn with_own(own: &str) -> Vec<u8> {
    let metadata = [("mobileone".to_string(), own.to_string()), ("format".to_string(), "pt".to_string())];
    let tensors = [("head.fc.bias", super::Stored::ones(&[1]))];
    safetensors::serialize(tensors, Some(metadata.into_iter().collect())).unwrap()
}

fn own(text: &str) -> Metadata {
    Checkpoint::from_bytes(&with_own(text)).unwrap().metadata
}

fn config(text: &str) -> Metadata {
    Checkpoint::from_bytes_with_config(&named(&["head.fc.bias"]), text).unwrap().metadata
}

#[test]
fn ours_in_full() {
    let found = own(
        r#"{"variant": "mobileone_s9", "labels": ["cat", "dog"], "license": "MIT", "training": {"epochs": 3},
            "preprocess": {"size": [96, 128], "crop_pct": 0.875, "crop_mode": "squash",
                           "interpolation": "bicubic", "mean": [0.485, 0, 1], "std": [1, 0.229, 2], "later": 1},
            "strides": {"stem": 1, "stages": [2, 1, 2]}, "of a later version": [1]}"#,
    );
    assert_eq!(found.variant.as_deref(), Some("mobileone_s9"));
    assert_eq!(found.labels, Some(vec!["cat".into(), "dog".into()]));
    assert_eq!(found.strides, Some(Strides { stem: 1, stages: vec![2, 1, 2] }.into()));
    assert_eq!(found.license.as_deref(), Some("MIT"));
    assert_eq!(found.training, Some(serde_json::json!({"epochs": 3})));
    assert_eq!(found.preprocess.size, Some((96, 128)));
    assert_eq!(found.preprocess.crop_pct, Some(0.875));
    assert_eq!(found.preprocess.crop_mode, Some(CropMode::Squash));
    assert_eq!(found.preprocess.interpolation, Some(Interpolation::Bicubic));
    assert_eq!(found.preprocess.mean, Some([0.485, 0.0, 1.0]));
    assert_eq!(found.preprocess.std, Some([1.0, 0.229, 2.0]));
    assert_eq!(found.preprocess_source, Some("metadata"));
    assert_eq!(own(&found.to_json()), found);
    assert!(found.to_json().contains("0.485,"), "{}", found.to_json());
    assert_eq!(own("{}"), Metadata::default());
}

#[test]
fn timm_in_full() {
    let found = config(
        r#"{"architecture": "mobileone_s1", "num_classes": 2, "label_names": ["a", "b"],
            "pretrained_cfg": {"input_size": [3, 224, 256], "crop_pct": 0.9, "crop_mode": "border",
              "interpolation": "bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.5, 1.0],
              "first_conv": ["stage0.rbr_conv.0.conv"], "pool_size": [7, 7], "fixed_input_size": false}}"#,
    );
    assert_eq!(found.variant.as_deref(), Some("mobileone_s1"));
    assert_eq!(found.claims.classes, Some(("num_classes".into(), 2)));
    assert_eq!(found.labels, Some(vec!["a".into(), "b".into()]));
    assert_eq!(found.preprocess.size, Some((224, 256)));
    assert_eq!(found.preprocess.crop_pct, Some(0.9));
    assert_eq!(found.preprocess.crop_mode, Some(CropMode::Border));
    assert_eq!(found.preprocess.interpolation, Some(Interpolation::Bilinear));
    assert_eq!(found.preprocess.std, Some([0.25, 0.5, 1.0]));
    assert_eq!(found.preprocess_source, Some("config.json"));
}

#[test]
fn where_labels_and_fields_may_stand() {
    let labels = |text: &str| config(text).labels.map(|labels| labels.join(" "));
    let rows = [
        (r#"{"pretrained_cfg": {"label_names": ["a", "b"]}}"#, Some("a b")),
        (r#"{"label_names": {"1": "b", "0": "a"}}"#, Some("a b")),
        (r#"{"id2label": {"0": "a", "1": "b", "2": "c"}}"#, Some("a b c")),
        (r#"{"id2label": {"0": "x"}, "label_names": ["a"]}"#, Some("a")),
        (r#"{"label_names": ["new"], "pretrained_cfg": {"label_names": ["old"]}}"#, Some("new")),
        (r#"{"label_names": [3, "b"]}"#, Some("3 b")),
        (r#"{"label2id": {"b": 1, "a": 0}}"#, Some("a b")),
        // What has no name is empty.
        (r#"{"label_names": {"0": "a", "2": "c"}}"#, Some("a  c")),
        (r#"{"id2label": {"0": "a", "1": null}}"#, Some("a ")),
        (r#"{"label_names": null, "num_classes": 1000}"#, None),
        ("{}", None),
    ];
    for (text, expected) in rows {
        assert_eq!(labels(text).as_deref(), expected, "{text}");
    }
    assert_eq!(config(r#"{"crop_pct": 1.0}"#).preprocess.crop_pct, Some(1.0));
    // What pretrained_cfg says is what the weights were made with
    assert_eq!(
        config(r#"{"crop_pct": 1.0, "pretrained_cfg": {"crop_pct": 0.5}}"#).preprocess.crop_pct,
        Some(0.5)
    );
    let strides = config(r#"{"strides": {"stem": 2, "stages": [1, 2]}}"#).strides;
    assert_eq!(strides, Some(Strides { stem: 2, stages: vec![1, 2] }.into()));
}

#[test]
fn ours_wins_field_by_field() {
    let file = with_own(r#"{"labels": ["ours"], "preprocess": {"crop_pct": 0.5}}"#);
    let beside = r#"{"label_names": ["theirs"], "architecture": "mobileone_s2",
                     "pretrained_cfg": {"crop_pct": 0.9, "interpolation": "bicubic"}}"#;
    let folder = folder("metadata");
    std::fs::write(folder.join("m.safetensors"), &file).unwrap();
    std::fs::write(folder.join("config.json"), beside).unwrap();
    let found = Checkpoint::open(folder.join("m.safetensors")).unwrap().metadata;
    assert_eq!(found, Checkpoint::from_bytes_with_config(&file, beside).unwrap().metadata);
    assert_eq!(found.labels, Some(vec!["ours".into()]));
    assert_eq!(found.variant.as_deref(), Some("mobileone_s2"));
    assert_eq!(found.preprocess.crop_pct, Some(0.5));
    assert_eq!(found.preprocess.interpolation, Some(Interpolation::Bicubic));
    assert_eq!(found.preprocess_source, Some("metadata and config.json"));

    std::fs::write(folder.join("config.json"), r#"{"pretrained_cfg": {"crop_pct": "a lot"}}"#).unwrap();
    let found = Checkpoint::open(folder.join("m.safetensors")).unwrap().metadata;
    let expected = "config.json \"pretrained_cfg.crop_pct\": \"a lot\" cannot be followed; expected a number from 0.1 to 1";
    assert_eq!((found.preprocess.crop_pct, found.faults.len()), (Some(0.5), 0));
    assert_eq!(found.notes, [format!("{expected}: passed over, as it is given elsewhere")]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_wrong_is_named() {
    let ours = [
        ("", "\"mobileone\" is not JSON"),
        ("[1]", "\"mobileone\": expected an object"),
        (r#"{"variant": 1}"#, "metadata key \"mobileone.variant\" is 1; expected a text"),
        (r#"{"labels": "cat"}"#, "\"mobileone.labels\" is \"cat\""),
        (r#"{"labels": ["cat", 1]}"#, "mobileone.labels"),
        (r#"{"preprocess": []}"#, "mobileone.preprocess"),
        (r#"{"preprocess": {"size": [224]}}"#, "mobileone.preprocess.size"),
        (r#"{"preprocess": {"size": [0, 224]}}"#, "mobileone.preprocess.size"),
        (r#"{"preprocess": {"size": [224, 100000]}}"#, "mobileone.preprocess.size"),
        (r#"{"preprocess": {"crop_pct": 0}}"#, "mobileone.preprocess.crop_pct"),
        (r#"{"preprocess": {"crop_pct": 1e-9}}"#, "mobileone.preprocess.crop_pct"),
        (r#"{"preprocess": {"crop_pct": 1.5}}"#, "mobileone.preprocess.crop_pct"),
        (r#"{"preprocess": {"crop_mode": "random"}}"#, "crop_mode\" is \"random\" … center, squash, border"),
        (
            r#"{"preprocess": {"interpolation": "nearest"}}"#,
            "interpolation\" is \"nearest\" … bilinear, bicubic",
        ),
        (r#"{"preprocess": {"mean": [1, 2]}}"#, "mobileone.preprocess.mean"),
        (r#"{"preprocess": {"mean": [1e300, 0, 0]}}"#, "mobileone.preprocess.mean"),
        (r#"{"preprocess": {"std": [1, 0, 1]}}"#, "mobileone.preprocess.std"),
        (r#"{"strides": {"stem": 0, "stages": []}}"#, "mobileone.strides.stem"),
        (
            r#"{"preprocess": {"mean": [123.7, 116.3, 103.5], "std": [0.2, 0.2, 0.2]}}"#,
            "one is for pixels of 0 to 255",
        ),
        (r#"{"strides": {"stem": 2, "stages": [2, 1000000]}}"#, "mobileone.strides.stages"),
    ];
    for (text, expected) in ours {
        assert_refused(Checkpoint::from_bytes(&with_own(text)), expected, text);
    }
}

#[test]
fn strides_that_are_known_in_part() {
    let known = own(r#"{"strides": {"stages": [1, null, 2], "proven": true}}"#);
    let expected = GivenStrides { stem: None, stages: vec![Some(1), None, Some(2)], proven: true };
    assert_eq!(known.strides, Some(expected));
    assert_eq!(own(&known.to_json()), known);
    let beside = |file: &str, config: &str| {
        let text = format!(r#"{{"strides": {file}}}"#);
        let config = format!(r#"{{"strides": {config}}}"#);
        Checkpoint::from_bytes_with_config(&with_own(&text), &config).unwrap().metadata
    };
    let rows = [
        // The file's own may be a guess of an older `fuse`.
        (r#"{"stem": 2, "stages": [2, 2]}"#, r#"{"stem": 1, "stages": [2, 2]}"#, "1,2,2", true),
        (r#"{"stem": 2, "stages": [2, 2]}"#, r#"{"stem": 1}"#, "1,2,2", true),
        (r#"{"stem": 2, "stages": [2, 2]}"#, r#"{"stages": [1, 2]}"#, "2,1,2", true),
        (r#"{"stem": 2, "stages": [1, 2]}"#, r#"{"stem": 2, "stages": [1, 2]}"#, "2,1,2", false),
        // What branches have shown is no guess; of the stem they show nothing.
        (r#"{"stages": [1, 2], "proven": true}"#, r#"{"stem": 1, "stages": [2, 2]}"#, "1,1,2", true),
        (
            r#"{"stem": 2, "stages": [1, 2], "proven": true}"#,
            r#"{"stem": 1, "stages": [1, 2]}"#,
            "1,1,2",
            true,
        ),
    ];
    for (file, config, expected, differ) in rows {
        let found = beside(file, config);
        assert_eq!(found.strides.unwrap().complete().unwrap().to_string(), expected, "{file} {config}");
        assert_eq!(!found.notes.is_empty(), differ, "{file} {config}: {:?}", found.notes);
        assert_eq!(found.from_config, ["strides"]);
    }
}
