//! A `config.json` beside the file: timm's, a training script's, or one about something else.

use mobileone::{
    Checkpoint, DType, Model,
    checkpoint::{About, Metadata, Note, Setting},
    models::{
        Form,
        mobileone::{Recipe, VARIANTS, random},
    },
    preprocess::{Interpolation, units},
};

use super::{assert_refused, named};
use crate::models::small;

fn config(text: &str) -> Metadata {
    Checkpoint::from_bytes_with_config(&named(&["head.fc.bias"]), text).unwrap().metadata
}

/// A small network of five classes with `text` beside it.
fn model(text: &str) -> mobileone::Result<Model> {
    let bytes = random(&small(Form::Train), 1).to_bytes(DType::F32).unwrap();
    Model::new(Checkpoint::from_bytes_with_config(&bytes, text)?, Form::Fused)
}

fn notes(text: &str) -> String {
    let lines = model(text).unwrap_or_else(|error| panic!("{text}: {error}")).notes;
    // What is a guess, for nobody said it, is a matter of the tensors.
    let said = |note: &&Note| note.setting.is_none();
    lines.iter().filter(said).map(|note| note.text.as_str()).collect::<Vec<_>>().join("; ")
}

#[test]
fn another_network_is_refused_by_name() {
    let rows = [
        (
            r#"{"model_args": {"act_layer": "silu"}}"#,
            "model_args.act_layer\": silu is not run here, only relu",
        ),
        (r#"{"model_args": {"act_layer": "gelu"}}"#, "model_args.act_layer\": gelu"),
        (r#"{"model_args": {"act_layer": "relu6"}}"#, "model_args.act_layer\": relu6"),
        (r#"{"model_args": {"act_layer": ""}}"#, "model_args.act_layer\": \"\""),
        (
            r#"{"model_args": {"output_stride": 16}}"#,
            "model_args.output_stride\": 16 is not run here, only 32",
        ),
        (
            r#"{"model_args": {"global_pool": "max"}}"#,
            "model_args.global_pool\": max is not run here, only avg",
        ),
        (r#"{"model_args": {"global_pool": "catavgmax"}}"#, "model_args.global_pool\": catavgmax"),
        (r#"{"model_args": {"global_pool": ""}}"#, "model_args.global_pool\": \"\""),
        (r#"{"model_args": {"norm_layer": "groupnorm"}}"#, "model_args.norm_layer\": groupnorm"),
        (r#"{"model_args": {"aa_layer": "blurpool"}}"#, "model_args.aa_layer\": blurpool is not run here"),
        (r#"{"model_args": {"attn_layer": "eca"}}"#, "model_args.attn_layer\": eca"),
        (r#"{"model_args": {"stem_type": "3x3"}}"#, "model_args.stem_type\": 3x3"),
        (r#"{"model_args": {"num_features": 512}}"#, "model_args.num_features\": 512"),
        (
            r#"{"model_args": {"block_kwargs": {"dilation": 2}}}"#,
            "model_args.block_kwargs\": {\"dilation\":2}",
        ),
        (
            r#"{"model_args": {"mystery": 3}}"#,
            "model_args.mystery\": 3 is not known here, and may change the network",
        ),
        (r#"{"model_args": "act_layer=silu"}"#, "model_args\": \"act_layer=silu\" is not an object"),
        (r#"{"act_layer": "torch.nn.SiLU"}"#, "act_layer\": torch.nn.SiLU"),
        (r#"{"global_pool": "max"}"#, "config.json \"global_pool\": max"),
        (r#"{"pretrained_cfg": {"global_pool": "avgmax"}}"#, "pretrained_cfg.global_pool\": avgmax"),
        (r#"{"pretrained_cfg": {"output_stride": 8}}"#, "pretrained_cfg.output_stride\": 8"),
    ];
    for (text, expected) in rows {
        let error = model(text).expect_err(text).to_string();
        assert!(error.starts_with("config.json \"") && error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn what_does_not_change_the_network_is_taken() {
    let rows = [
        r#"{"model_args": {"drop_rate": 0.2, "drop_path_rate": 0.1, "num_classes": 5, "in_chans": 3}}"#,
        r#"{"model_args": {"act_layer": "relu", "norm_layer": "batchnorm2d", "output_stride": 32}}"#,
        r#"{"model_args": {"act_layer": "torch.nn.ReLU", "norm_layer": "torch.nn.BatchNorm2d"}}"#,
        r#"{"model_args": {"global_pool": "avg", "stem_type": "one", "head_type": "classifier"}}"#,
        r#"{"model_args": {"fuse": true, "inference_mode": true, "features_only": false, "act_layer": null}}"#,
        r#"{"model_args": {"attn_layer": "se", "attn_kwargs": {"rd_ratio": 0.0625}, "aa_layer": ""}}"#,
        r#"{"model_args": {"block_kwargs": {"num_conv_branches": 2}, "whatever": null, "flag": false}}"#,
        r#"{"model_args": {}, "global_pool": "avg", "num_features": 18, "num_classes": 5}"#,
        r#"{"pretrained_cfg": {"pool_size": [7, 7], "first_conv": ["stem.conv"], "classifier": "head.fc"}}"#,
        r#"{"best_loss": NaN, "learning_rate": Infinity, "low": -Infinity, "note": "NaN \" NaN"}"#,
        "\u{feff}{\"a\": 1}",
    ];
    for text in rows {
        assert_eq!(notes(text), "", "{text}");
    }
    // Without a classifier, pooled features are what there is.
    let bytes = random(&Recipe { classes: None, ..small(Form::Train) }, 1).to_bytes(DType::F32).unwrap();
    let unpooled = r#"{"model_args": {"global_pool": "", "num_classes": 0}}"#;
    let read = Checkpoint::from_bytes_with_config(&bytes, unpooled).unwrap();
    assert!(Model::new(read, Form::Fused).is_ok());
}

#[test]
fn what_is_about_something_else_is_passed_over_with_a_line() {
    let rows = [
        ("", "is not JSON: it is empty: passed over"),
        ("  \n", "is not JSON: it is empty: passed over"),
        ("<html>", "is not JSON: expected value at line 1 column 1: passed over"),
        ("3", "config.json is 3, not an object: passed over"),
        (r#"["resnet50"]"#, "config.json is [\"resnet50\"], not an object: passed over"),
        (r#"{"pretrained_cfg": 3}"#, "\"pretrained_cfg\": 3 is not an object: passed over"),
        (r#"{"architecture": ["a"]}"#, "\"architecture\": [\"a\"] is not a text: passed over"),
        (r#"{"license": {"id": 3}}"#, "\"license\": {\"id\":3} is not a text: passed over"),
        (r#"{"strides": [2, 2, 2, 2]}"#, "\"strides\": [2,2,2,2] is not {\"stem\": 2"),
        (r#"{"label_names": [["a"]]}"#, "\"label_names\": [[\"a\"]] is not names of classes: passed over"),
        (
            r#"{"label2id": {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 4}}"#,
            "is not names of classes, each with a number of its own: passed over",
        ),
        (r#"{"id2label": {"0": "a", "1": "b", "01": "c"}}"#, "each with a number of its own: passed over"),
        (r#"{"label2id": {"a": 0, "b": 1048576}}"#, "each with a number of its own: passed over"),
        (r#"{"label_names": ["x", "y"]}"#, "config.json has 2 labels for 5 classes: passed over"),
        (r#"{"id2label": {"0": "a", "9": "b"}}"#, "config.json has 10 labels for 5 classes: passed over"),
        (
            r#"{"label_names": {"0": "a", "3": "b"}}"#,
            "config.json names 2 of 5 classes: the others are numbered",
        ),
        (
            r#"{"num_classes": 1000}"#,
            "\"num_classes\" is 1000, the tensors have 5 classes: it may be about another",
        ),
        (r#"{"model_args": {"in_chans": 1}}"#, "\"model_args.in_chans\" is 1, the tensors have 3 channels"),
        (
            r#"{"architecture": "mobileone_s1"}"#,
            "\"architecture\" is mobileone_s1, the tensors are MobileOne (widths",
        ),
        (
            r#"{"architecture": "vit_tiny", "model_args": {"qkv_bias": true}, "act_layer": "gelu"}"#,
            "\"architecture\": \"vit_tiny\" is not a MobileOne, as the tensors are: what config.json says of the network",
        ),
    ];
    for (text, expected) in rows {
        let found = notes(text);
        assert!(found.contains(expected), "{text}: {found}");
    }
    let named = model(r#"{"label_names": {"0": "a", "3": "b"}}"#).unwrap().labels.unwrap();
    assert_eq!(named, ["a", "class 1", "class 2", "b", "class 4"]);
    assert_eq!(model(r#"{"label_names": ["x", "y"]}"#).unwrap().labels, None);
    let nested = format!("{}1", "[".repeat(200_000));
    assert!(config(&nested).notes[0].contains("is not JSON"));
    // What begins as a configuration and is cut off may have said anything.
    let cut = r#"{"model_args": {"act_layer": "silu""#;
    let read = Checkpoint::from_bytes_with_config(&super::named(&["head.fc.bias"]), cut);
    assert_refused(read, "config.json: the file is not JSON … mend or remove it", cut);
}

#[test]
fn what_is_about_pictures_and_wrong_is_refused_by_name() {
    let rows = [
        (
            r#"{"pretrained_cfg": {"input_size": [3, 0, 0]}}"#,
            About::Size,
            "pretrained_cfg.input_size\": [3,0,0]",
        ),
        (r#"{"input_size": "big"}"#, About::Size, "input_size\": \"big\" cannot be followed"),
        (
            r#"{"crop_pct": NaN}"#,
            About::CropPct,
            "crop_pct\": \"NaN\" cannot be followed; expected a number from 0.1 to 1",
        ),
        (r#"{"pretrained_cfg": {"crop_pct": "abc"}}"#, About::CropPct, "pretrained_cfg.crop_pct\": \"abc\""),
        (r#"{"crop_mode": "pad"}"#, About::CropMode, "crop_mode\": \"pad\" … center, squash, border"),
        (
            r#"{"pretrained_cfg": {"interpolation": "nearest"}}"#,
            About::Interpolation,
            "\"nearest\" … bilinear, bicubic",
        ),
        (
            r#"{"mean": "cifar"}"#,
            About::Mean,
            "mean\": \"cifar\" cannot be followed; expected 1 or 3 numbers",
        ),
        (r#"{"mean": [0.5, 0.5]}"#, About::Mean, "mean\": [0.5,0.5]"),
        (
            r#"{"std": [1, 0, 1]}"#,
            About::Std,
            "std\": [1,0,1] cannot be followed; expected 1 or 3 numbers above 0",
        ),
        (r#"{"mean": [123.7, 116.3, 103.5], "std": 0.2}"#, About::Mean, "one is for pixels of 0 to 255"),
        (
            r#"{"data_preprocessor": {"to_rgb": false}}"#,
            About::Order,
            "data_preprocessor.to_rgb\": false means blue first",
        ),
        (r#"{"channel_order": "BGR"}"#, About::Order, "channel_order\": \"BGR\" means blue first"),
        (r#"{"strides": [1, 2, 2]}"#, About::Strides, "strides\": [1,2,2] cannot be followed"),
        (
            r#"{"strides": {"stem": 3}}"#,
            About::Strides,
            "strides.stem\": 3 cannot be followed; expected 1 or 2",
        ),
    ];
    for (text, about, expected) in rows {
        let error = model(text).expect_err(text).to_string();
        for part in expected.split(" … ") {
            assert!(error.starts_with("config.json \"") && error.contains(part), "{text}: {error}");
        }
        // Unless something takes its place.
        let bytes = random(&small(Form::Train), 1).to_bytes(DType::F32).unwrap();
        let mut read = Checkpoint::from_bytes_with_config(&bytes, text).unwrap();
        assert_eq!(about.is_picture(), about != About::Strides);
        read.metadata
            .pass_over(|fault| (fault == about || fault == About::Std).then(|| "as X is given".into()));
        let model = Model::new(read, Form::Fused).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(model.notes.iter().any(|note| note.text.ends_with("passed over, as X is given")), "{text}");
    }
}

#[test]
fn pictures_as_others_write_them() {
    let of = |text: &str| {
        let found = config(text);
        assert!(found.faults.is_empty(), "{text}: {:?}", found.faults);
        found.preprocess
    };
    assert_eq!(of(r#"{"mean": 0.5, "std": [0.25]}"#).mean, Some([0.5; 3]));
    assert_eq!(of(r#"{"mean": 0.5, "std": [0.25]}"#).std, Some([0.25; 3]));
    assert_eq!(of(r#"{"mean": "imagenet", "std": "ImageNet"}"#).mean, Some([0.485, 0.456, 0.406]));
    assert_eq!(of(r#"{"std": "ImageNet"}"#).std, Some([0.229, 0.224, 0.225]));
    assert_eq!(of(r#"{"input_size": 96}"#).size, Some((96, 96)));
    assert_eq!(of(r#"{"input_size": [96, 128]}"#).size, Some((96, 128)));
    assert_eq!(of(r#"{"input_size": [1, 28, 30]}"#).size, Some((28, 30)));
    assert_eq!(of(r#"{"interpolation": "BICUBIC"}"#).interpolation, Some(Interpolation::Bicubic));
    // mmpretrain's, for pixels of 0 to 255.
    let theirs = r#"{"data_preprocessor": {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375],
                     "to_rgb": true}}"#;
    assert_eq!(of(theirs).mean, Some([0.485, 0.456, 0.406]));
    assert_eq!(of(theirs).std, Some([0.229, 0.224, 0.225]));
    let note = &config(theirs).notes[0];
    assert!(
        note.starts_with("mean and std of config.json's data_preprocessor: for pixels of 0 to 255"),
        "{note}"
    );
}

#[test]
fn units_of_mean_and_std() {
    let bytes = [127.5, 127.5, 127.5];
    let (half, one) = ([0.5f32; 3], [1.0f64; 3]);
    let scaled = |mean, std| units(mean, std).map(|units| (units.mean, units.std, units.bytes));
    assert_eq!(scaled(Some(bytes), Some(bytes)), Ok((Some(half), Some(half), true)));
    assert_eq!(scaled(Some(bytes), None), Ok((Some(half), None, true)));
    assert_eq!(scaled(None, Some(bytes)), Ok((None, Some(half), true)));
    assert_eq!(scaled(Some([0.0; 3]), Some([255.0; 3])), Ok((Some([0.0; 3]), Some([1.0; 3]), true)));
    // As Caffe's networks have it.
    assert_eq!(scaled(Some(bytes), Some(one)), Ok((Some(half), Some([1.0 / 255.0; 3]), true)));
    assert_eq!(scaled(Some([0.0; 3]), Some(one)), Ok((Some([0.0; 3]), Some([1.0; 3]), false)));
    assert_eq!(scaled(Some([0.5; 3]), Some([0.5; 3])), Ok((Some(half), Some(half), false)));
    for (mean, std) in [(bytes, [0.25; 3]), ([0.5; 3], bytes), ([1e5; 3], [1e5; 3])] {
        assert!(scaled(Some(mean), Some(std)).is_err(), "{mean:?} {std:?}");
    }
}

#[test]
fn a_guess_is_said() {
    let said = |recipe: &Recipe, text: &str| {
        let bytes = random(recipe, 1).to_bytes(DType::F32).unwrap();
        let read = Checkpoint::from_bytes_with_config(&bytes, text).unwrap();
        let model = Model::new(read, Form::Fused).unwrap();
        let note = model.notes.into_iter().find(|note| note.setting == Some(Setting::Strides));
        note.map(|note| note.text).unwrap_or_default()
    };
    let all = r#"{"strides": {"stem": 1, "stages": [2, 2, 2]}}"#;
    let (train, fused) = (small(Form::Train), small(Form::Fused));
    assert!(
        said(&train, "{}").contains("nothing in the file shows those of the stem;"),
        "{}",
        said(&train, "{}")
    );
    assert!(
        said(&fused, "{}").contains("shows those of the stem and of all stages;"),
        "{}",
        said(&fused, "{}")
    );
    assert!(said(&fused, r#"{"strides": {"stem": 1}}"#).contains("strides 1,2,2,2 "));
    assert!(
        said(&fused, r#"{"strides": {"stem": 1, "stages": [2, null, 2]}}"#).contains("those of stage 1;")
    );
    assert_eq!((said(&train, all), said(&fused, all)), (String::new(), String::new()));
    assert!(said(&fused, "{}").ends_with("; others can be given in config.json, or here"));
    // The paper's widths alone prove nothing; its classes, or timm's name for the network, do.
    let s0 = Recipe::of(&VARIANTS[0], 10);
    assert!(said(&s0, "{}").starts_with("strides 2,2,2,2,2 (stem, stages) are a guess"));
    assert_eq!(said(&s0, r#"{"architecture": "mobileone_s0"}"#), "");
    assert!(!said(&s0, r#"{"architecture": "mobileone_s1"}"#).is_empty());
    assert_eq!(said(&Recipe::of(&VARIANTS[0], 1000), "{}"), "");
    // Where a stride is not the paper's, the network is not.
    let stem = r#"{"strides": {"stem": 1}}"#;
    assert!(said(&Recipe::of(&VARIANTS[0], 1000), stem).contains("those of all stages;"));
}
