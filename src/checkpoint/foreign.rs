//! Other networks, recognized so that they can be refused by name.

/// A network, and parts of names that, found in one file, give it away, the most telling one first. The first
/// row that fits counts.
#[rustfmt::skip]
const NETWORKS: [(&str, &[&str]); 32] = [
    ("FastViT", &["token_mixer.", "rbr_"]),
    ("FastViT", &["token_mixer.", "conv_kxk."]),
    ("FastViT", &["token_mixer.", "reparam_conv."]),
    ("FastViT", &["token_mixer.", "convffn."]),
    ("a MetaFormer (PoolFormer, CAFormer)", &["token_mixer."]),
    ("RepVGG", &[".rbr_dense."]),
    ("RepVGG", &[".rbr_1x1."]),
    ("RepVGG", &[".rbr_reparam."]),
    ("RepVGG", &[".conv_1x1.bn."]),
    ("RepVGG", &[".branch_3x3."]),
    ("RepVGG", &[".branch_1x1."]),
    ("MobileCLIP", &["text_encoder.", "image_encoder."]),
    ("MobileViT", &[".global_rep."]),
    ("MobileViT", &["stages.", ".transformer.0."]),
    ("MobileNetV4", &["blocks.", ".dw_start."]),
    ("MobileNetV4", &["blocks.", ".dw_mid."]),
    ("MobileNetV3", &["conv_stem.weight", "conv_head.bias"]),
    ("an EfficientNet, MobileNetV2 or MNASNet", &["conv_stem.weight", "conv_head.weight"]),
    ("MobileNetV3", &["features.", ".block.0.0.weight", "classifier.3.weight"]),
    ("EfficientNet", &["features.", ".block.0.0.weight"]),
    ("EfficientNet", &["_conv_stem.weight"]),
    ("MobileNetV2", &["features.", ".conv.0.0.weight"]),
    ("MobileNetV2", &["conv_1.block.conv.weight", "exp_1x1."]),
    ("MobileNetV1", &["conv_1.block.conv.weight", "conv_1x1.block."]),
    ("Swin Transformer", &["relative_position_bias_table"]),
    ("ConvNeXt", &["stages.", ".conv_dw.weight"]),
    ("ConvNeXt", &["stages.", ".dwconv.weight"]),
    ("a vision transformer", &["patch_embed"]),
    ("ViT", &["cls_token"]),
    ("ViT", &["class_token"]),
    ("ResNet", &["layer1.0.conv1.weight"]),
    ("VGG", &["features.0.weight", "classifier.6.weight"]),
];

/// The network that the file's names betray, and one name that does; none where it is of `family`.
pub(super) fn by_names<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    family: &str,
) -> Option<(&'static str, &'a str)> {
    let found = NETWORKS.iter().find_map(|(network, parts)| {
        let found: Option<Vec<&str>> =
            parts.iter().map(|part| names.clone().find(|name| name.contains(part))).collect();
        Some((*network, *found?.first()?))
    });
    found.filter(|(network, _)| *network != family)
}
