//! What timm's `model_args` may say of a network, and whether it is the one that runs here.

use serde_json::Value;

use super::{json::brief, naming::Names};

/// Arguments of all networks that change nothing of inference, or that the tensors' names and shapes show by themselves.
#[rustfmt::skip]
const FREE: [&str; 37] = [
    "drop_rate", "drop_path_rate", "drop_block_rate", "drop_block_size", "drop", "drop_path", "drop_connect_rate",
    "zero_init_last", "grad_checkpointing", "bn_momentum", "bn_eps", "device", "dtype", "fuse", "inference_mode",
    "deploy", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "checkpoint_path",
    "cache_dir", "scriptable", "exportable", "no_jit", "img_size", "input_size", "fixed_input_size", "features_only",
    "out_indices", "feature_cls", "variant", "architecture", "model_name", "name", "stem_chs", "width_factor",
];

/// Arguments that change any network, and the values that give the one that runs here, as [`plain`] writes them.
const FIXED: [(&str, &[&str]); 14] = [
    ("act_layer", &["relu"]),
    ("norm_layer", &["batchnorm", "batchnorm2d", "bn"]),
    ("aa_layer", &[""]),
    ("attn_layer", &["", "se", "squeezeexcite"]),
    ("self_attn_layer", &[""]),
    ("output_stride", &["32"]),
    ("global_pool", &["avg", "fast", "fastavg", "true"]),
    ("head_type", &["", "classifier"]),
    ("head_hidden_size", &[]),
    ("dilation", &["1", "(1,1)", "[1,1]"]),
    ("block_kwargs", &[]),
    ("attn_kwargs", &[]),
    ("self_attn_kwargs", &[]),
    ("blocks", &[]),
];

/// Keys within `block_kwargs` and `attn_kwargs` that the tensors show.
const SHOWN: [&str; 6] =
    ["num_conv_branches", "inference_mode", "kernel_size", "rd_ratio", "rd_channels", "rd_divisor"];

/// Why the network of the family `names` that `key` makes with `value` is not run here, if it is not. In `model_args`
/// (`all`) every key that is not known is a reason; elsewhere only those that are.
pub(super) fn refused(key: &str, value: &Value, all: bool, names: &Names) -> Option<String> {
    let empty = match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.keys().all(|key| SHOWN.contains(&key.as_str())),
        _ => false,
    };
    if empty || FREE.contains(&key) || names.free.contains(&key) {
        return None;
    }
    let shown = value.as_str().map_or_else(|| brief(value), String::from);
    let shown = if shown.is_empty() { "\"\"".into() } else { shown };
    match names.fixed.iter().chain(&FIXED).find(|(name, _)| *name == key) {
        Some((_, values)) if values.contains(&plain(value).as_str()) => None,
        Some((_, values)) => Some(match values.iter().find(|value| !value.is_empty()) {
            Some(value) => format!("{shown} is not run here, only {value}"),
            None => format!("{shown} is not run here"),
        }),
        // As some write the number of features; in `model_args` it adds a convolution.
        None if !all => None,
        None if key == "num_features" && value == 0 || value == false => None,
        None => Some(format!(
            "{shown} is not known here, and may change the network; remove it from config.json if it does not"
        )),
    }
}

/// A value's text, as `torch.nn.BatchNorm2d` and `batch_norm` are alike written.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.rsplit('.').next().unwrap_or_default().trim().replace('_', ""),
        other => other.to_string(),
    };
    text.to_ascii_lowercase()
}
