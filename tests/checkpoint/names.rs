//! The four namings, prefixes, copies, scalar types, and networks refused by name.

use half::{bf16, f16};
use mobileone::{Checkpoint, Weights};
use safetensors::Dtype;

use super::{Stored, assert_refused, assert_same, golden, golden_bytes, named, plain, safetensors, stored};

#[test]
fn every_naming_form_and_prefix() {
    let namings = ["timm", "apple", "mmpretrain", "cvnets"];
    let prefixes =
        ["", "module.", "model.encoder.", "_orig_mod.", "self.base.", "mobileOne.", "0.", "features.1."];
    for net in ["odd", "se"] {
        for form in ["train", "fused"] {
            let expected = plain(&format!("{net}.timm.{form}.safetensors"));
            for naming in namings {
                let file = format!("{net}.{naming}.{form}.safetensors");
                let read = Checkpoint::open(golden(&file)).unwrap();
                assert_same(&read.weights, &expected, &file);
                for prefix in prefixes {
                    let prefixed: Vec<_> =
                        stored(&file).into_iter().map(|(name, t)| (format!("{prefix}{name}"), t)).collect();
                    let read = Checkpoint::from_bytes(&safetensors(&prefixed)).unwrap();
                    assert_same(&read.weights, &expected, &format!("{prefix} + {file}"));
                }
            }
        }
    }
}

#[test]
fn an_encoder_lacks_the_classifier_alone() {
    let fused = plain("odd.timm.fused.safetensors");
    let mut expected = Weights::new();
    for (name, array) in fused.iter().filter(|(name, _)| !name.starts_with("head.")) {
        expected.insert(name, &array.shape, array.data.clone());
    }
    let read = Checkpoint::open(golden("odd.apple.encoder.safetensors")).unwrap();
    assert_same(&read.weights, &expected, "encoder");
    assert_eq!(read.weights.len() + 2, fused.len());
}

#[test]
fn every_scalar_type() {
    let exact = plain("odd.timm.train.safetensors");
    let rounded = |round: fn(f32) -> f32| {
        let mut weights = Weights::new();
        for (name, array) in exact.iter() {
            weights.insert(name, &array.shape, array.data.iter().map(|&v| round(v)).collect());
        }
        weights
    };
    let check = |bytes: &[u8], expected: &Weights, case: &str| {
        assert_same(&Checkpoint::from_bytes(bytes).unwrap().weights, expected, case);
    };
    let (half, brain) = ("odd.timm.train.f16.safetensors", "odd.timm.train.bf16.safetensors");
    check(&golden_bytes(half), &rounded(|v| f16::from_f32(v).to_f32()), half);
    check(&golden_bytes(brain), &rounded(|v| bf16::from_f32(v).to_f32()), brain);

    let double = |array: &mobileone::Array| Stored {
        dtype: Dtype::F64,
        shape: array.shape.clone(),
        bytes: array.data.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect(),
    };
    let doubles: Vec<_> = exact.iter().map(|(name, array)| (name, double(array))).collect();
    check(&safetensors(&doubles), &exact, "f64");
}

#[test]
fn other_networks_are_refused_by_name() {
    let check = |bytes: &[u8], expected: &str| {
        assert_refused(
            Checkpoint::from_bytes(bytes),
            &format!("not a MobileOne: this is {expected}"),
            expected,
        );
    };
    check(&golden_bytes("fastvit.safetensors"), "FastViT, by its tensor \"stages.");

    let rows: [(&[&str], &str); 16] = [
        // RepVGG in a naming that is not known
        (&["stage1.0.rbr_dense.conv3x3.weight"], "RepVGG"),
        (
            &["patch_embed.0.rbr_conv.0.conv.weight", "network.0.0.token_mixer.mixer.rbr_conv.0.conv.weight"],
            "FastViT",
        ),
        (&["stages.0.blocks.0.token_mixer.reparam_conv.weight", "final_conv.reparam_conv.weight"], "FastViT"),
        (
            &["conv_stem.weight", "blocks.0.0.conv_dw.weight", "conv_head.weight", "conv_head.bias"],
            "MobileNetV3",
        ),
        (
            &["conv_stem.weight", "blocks.0.0.conv_dw.weight", "conv_head.weight"],
            "an EfficientNet, MobileNetV2",
        ),
        (&["features.0.0.weight", "features.1.block.0.0.weight", "classifier.3.weight"], "MobileNetV3"),
        (&["features.1.0.block.0.0.weight", "classifier.1.weight"], "EfficientNet"),
        (&["features.1.conv.0.0.weight", "classifier.1.weight"], "MobileNetV2"),
        (&["blocks.1.0.dw_start.conv.weight", "conv_stem.weight"], "MobileNetV4"),
        (&["stages.2.1.transformer.0.attn.qkv.weight"], "MobileViT"),
        (&["conv1.weight", "layer1.0.conv1.weight", "fc.weight"], "ResNet"),
        (&["cls_token", "blocks.0.attn.qkv.weight"], "ViT"),
        (&["vit.embeddings.cls_token"], "ViT"),
        (&["layers.0.blocks.0.attn.relative_position_bias_table"], "Swin"),
        (&["stages.0.blocks.0.conv_dw.weight", "head.fc.weight"], "ConvNeXt"),
        (&["features.0.weight", "classifier.6.weight"], "VGG"),
    ];
    for (names, expected) in rows {
        check(&named(names), expected);
    }
}

#[test]
fn names_that_are_none_of_a_mobileone() {
    let rows = [
        (
            "decoder.blocks.0.conv1.0.weight",
            "tensor \"decoder.blocks.0.conv1.0.weight\" … no part of a MobileOne",
        ),
        ("x", "tensor \"x\" … no part of a MobileOne"),
        ("", "tensor \"\" … no part of a MobileOne"),
        ("stages.0.reparam_conv.weight", "stages.0.reparam_conv.weight"),
        ("stages.00.1.reparam_conv.weight", "stages.00.1.reparam_conv.weight"),
        ("stages.0.1.conv_kxk.x.conv.weight", "conv_kxk.x"),
        ("stages.0.1.conv_kxk.0.conv.bias", "conv_kxk.0.conv.bias"),
        ("stages.0.1.identity.running_std", "identity.running_std"),
        ("stages.99999999999999999999.1.reparam_conv.weight", "stages.99999999999999999999.1"),
        ("layer_1.0.reparam_conv.weight", "layer_1.0.reparam_conv.weight"),
        ("head.fc.running_var", "head.fc.running_var"),
        // A module of one naming at a position of another
        ("stages.0.1.rbr_skip.weight", "stages.0.1.rbr_skip.weight"),
    ];
    for (name, expected) in rows {
        let mut names = vec!["stem.reparam_conv.bias"];
        names.push(name);
        assert_refused(Checkpoint::from_bytes(&named(&names)), expected, name);
    }
}

#[test]
fn errors_name_the_tensor_as_the_file_does() {
    let read = Checkpoint::from_bytes(&named(&["module.stage1.3.rbr_skip.bias"])).unwrap();
    let error = read.weights.expect("stages.0.3.identity.bias", &[7]).unwrap_err();
    assert_eq!(error.to_string(), "tensor \"module.stage1.3.rbr_skip.bias\": expected [7], found [1]");
    assert_eq!(read.weights.name_in_file("stages.0.3.identity.bias"), "module.stage1.3.rbr_skip.bias");
    let error = read.weights.get("head.fc.weight").unwrap_err();
    assert_eq!(error.to_string(), "tensor \"head.fc.weight\": missing");
}
