//! The names that files give to parameters, and the canonical ones: timm's.

/// Where the parts of the network stand in a naming.
struct Naming {
    stem: &'static str,
    /// Before a stage's number, which is `first` for the first stage.
    stage: &'static str,
    first: usize,
    head: &'static str,
}

/// timm; Apple and segmentation_models_pytorch; mmpretrain; cvnets and corenet.
const NAMINGS: [Naming; 4] = [
    Naming { stem: "stem", stage: "stages.", first: 0, head: "head.fc" },
    Naming { stem: "stage0", stage: "stage", first: 1, head: "linear" },
    Naming { stem: "stage0", stage: "stage", first: 1, head: "head.fc" },
    Naming { stem: "conv_1", stage: "layer_", first: 2, head: "classifier.classifier_fc" },
];

const CONV: &[&str] = &["weight"];
const LINEAR: &[&str] = &["weight", "bias"];
const NORM: &[&str] = &["weight", "bias", "running_mean", "running_var"];

/// What may stand at one position of the network: its parameters, and its name in each of [`NAMINGS`], where
/// `#` is a branch's number.
#[rustfmt::skip]
const MODULES: [(&[&str], [&str; 4]); 8] = [
    (CONV, ["conv_kxk.#.conv", "rbr_conv.#.conv", "branch_conv_list.#.conv", "rbr_conv.#.block.conv"]),
    (NORM, ["conv_kxk.#.bn", "rbr_conv.#.bn", "branch_conv_list.#.norm", "rbr_conv.#.block.norm"]),
    (CONV, ["conv_scale.conv", "rbr_scale.conv", "branch_scale.conv", "rbr_scale.block.conv"]),
    (NORM, ["conv_scale.bn", "rbr_scale.bn", "branch_scale.norm", "rbr_scale.block.norm"]),
    (NORM, ["identity", "rbr_skip", "branch_norm", "rbr_skip"]),
    (LINEAR, ["attn.fc1", "se.reduce", "se.conv1.conv", "se.se_layer.fc1.block.conv"]),
    (LINEAR, ["attn.fc2", "se.expand", "se.conv2.conv", "se.se_layer.fc2.block.conv"]),
    (LINEAR, ["reparam_conv", "reparam_conv", "branch_reparam", "reparam_conv"]),
];

/// What wrappers of networks put before every name, in any order and number.
const PREFIXES: [&str; 7] =
    ["module.", "model.", "encoder.", "backbone.", "state_dict.", "_orig_mod.", "timm_model."];

/// What stands before a second copy of the network: averaged weights.
const EMA: [&str; 4] = ["model_ema.", "ema_model.", "module_ema.", "ema."];

/// What stands before, or ends, tensors that only training needs.
const TRAINING: [&str; 4] = ["optimizer.", "lr_scheduler.", "scheduler.", "data_preprocessor."];
const COUNTER: &str = "num_batches_tracked";

/// What a name in a file stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A parameter, by its canonical name.
    Parameter(String),
    /// The same in an averaged copy of the network.
    Averaged(String),
    /// Something that only training needs.
    Training,
    /// Nothing of a MobileOne.
    Unknown,
}

/// What `name` stands for, whichever of the four namings it is in and whatever wraps it.
pub(super) fn role(name: &str) -> Role {
    let plain = strip(name, &PREFIXES);
    let last = plain.rsplit('.').next();
    if last == Some(COUNTER) || TRAINING.iter().any(|prefix| plain.starts_with(prefix)) {
        return Role::Training;
    }
    let inner = strip(plain, &EMA);
    let found = (0..NAMINGS.len()).find_map(|naming| canonical(strip(inner, &PREFIXES), naming));
    match found {
        Some(name) if inner == plain => Role::Parameter(name),
        Some(name) => Role::Averaged(name),
        None => Role::Unknown,
    }
}

/// `name` without all of `prefixes` that it begins with.
fn strip<'a>(mut name: &'a str, prefixes: &[&str]) -> &'a str {
    while let Some(rest) = prefixes.iter().find_map(|&prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name
}

/// The canonical name of `name` in [`NAMINGS`]`[column]`.
fn canonical(name: &str, column: usize) -> Option<String> {
    let naming = &NAMINGS[column];
    if let Some(field) = name.strip_prefix(naming.head).and_then(|rest| rest.strip_prefix('.')) {
        return LINEAR.contains(&field).then(|| format!("head.fc.{field}"));
    }
    let (position, rest) = match name.strip_prefix(naming.stem).and_then(|rest| rest.strip_prefix('.')) {
        Some(rest) => ("stem".to_string(), rest),
        None => {
            let (stage, rest) = name.strip_prefix(naming.stage)?.split_once('.')?;
            let (index, rest) = rest.split_once('.')?;
            (format!("stages.{}.{}", number(stage)?.checked_sub(naming.first)?, number(index)?), rest)
        }
    };
    let (module, field) = rest.rsplit_once('.')?;
    MODULES.iter().filter(|(fields, _)| fields.contains(&field)).find_map(|(_, names)| {
        let branch = branch(names[column], module)?;
        Some(format!("{position}.{}.{field}", names[0].replace('#', branch)))
    })
}

/// What stands for `#` when `name` is of `pattern`; empty when the pattern has none.
fn branch<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    let Some((before, after)) = pattern.split_once('#') else {
        return (name == pattern).then_some("");
    };
    let digits = name.strip_prefix(before)?.strip_suffix(after)?;
    number(digits).map(|_| digits)
}

/// A number as Python writes it: "07" would be a second name for 7.
fn number(digits: &str) -> Option<usize> {
    let number: usize = digits.parse().ok()?;
    (number < 1000 && number.to_string() == digits).then_some(number)
}
