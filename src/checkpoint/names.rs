//! The names that files give to parameters, and the canonical ones: timm's.

/// Where the parts of the network stand in a naming.
struct Naming {
    stem: &'static str,
    /// Before a stage's number, which is `first` for the first stage.
    stage: &'static str,
    first: usize,
    /// The column of [`MODULES`].
    column: usize,
}

/// timm; timm's `features_only`; Apple and segmentation_models_pytorch; mmpretrain; cvnets and corenet.
const NAMINGS: [Naming; 5] = [
    Naming { stem: "stem", stage: "stages.", first: 0, column: 0 },
    Naming { stem: "stem", stage: "stages_", first: 0, column: 0 },
    Naming { stem: "stage0", stage: "stage", first: 1, column: 1 },
    Naming { stem: "stage0", stage: "stage", first: 1, column: 2 },
    Naming { stem: "conv_1", stage: "layer_", first: 2, column: 3 },
];

const CONV: &[&str] = &["weight"];
pub(super) const LINEAR: &[&str] = &["weight", "bias"];
const NORM: &[&str] = &["weight", "bias", "running_mean", "running_var"];

/// What may stand at one position of the network: its parameters, and its name in each naming, where `#`
/// is a branch's number.
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

/// What PyTorch's wrappers of a module put in the middle of names.
const WRAPPED: [&str; 3] = ["_checkpoint_wrapped_module", "_fsdp_wrapped_module", "_orig_mod"];

/// Components of the longest name: cvnets' `layer_2.0.se.se_layer.fc1.block.conv.weight`.
const LONGEST: usize = 8;

/// PyTorch's count of training steps of a normalization.
pub(super) const COUNTER: &str = "num_batches_tracked";

/// What modules are called that end a network in a classifier. Nothing else is taken for one.
const HEADS: [&str; 20] = [
    "head",
    "heads",
    "fc",
    "classifier",
    "linear",
    "cls_head",
    "head_cls",
    "class_head",
    "classification_head",
    "classifier_head",
    "clf",
    "cls",
    "last_linear",
    "final_fc",
    "fc_out",
    "out",
    "output",
    "output_layer",
    "logits",
    "dense",
];

/// Words in the names of what only training needs: losses, metrics, optimizers, other heads.
#[rustfmt::skip]
const TRAINING: [&str; 44] = [
    "acc", "accuracy", "auc", "aupr", "auroc", "aux", "auxiliary", "avgmeter", "centers", "confmat", "confusion",
    "criterion", "criterions", "discriminator", "dist", "distill", "distillation", "f1", "loss", "losses", "lossfn",
    "lr", "meter", "metric", "metrics", "normalize", "optim", "optimizer", "optimizers", "precision", "preprocessor",
    "projector", "prototypes", "queue", "recall", "scaler", "scheduler", "steps", "teacher", "temperature", "test",
    "train", "val", "valid",
];

/// Whole components that mean the same.
#[rustfmt::skip]
const TRAINING_COMPONENTS: [&str; 9] = [
    "n_averaged", "pos_weight", "class_weight", "class_weights", "sample_weights", "cls_weight", "pixel_mean",
    "pixel_std", "log_vars",
];

/// Words in the names of what stands between the last stage and the classifier.
const BETWEEN: [&str; 12] = [
    "pool",
    "pooling",
    "gem",
    "neck",
    "norm",
    "bn",
    "ln",
    "layernorm",
    "batchnorm",
    "bnneck",
    "attention",
    "attn",
];

/// The parameter of the stem or of a stage that `name` ends with, and where in `name` its network's own names begin.
/// Whatever stands before that is a prefix.
pub(super) fn body(name: &str) -> Option<(usize, String)> {
    let ends = std::iter::once(0).chain(name.rmatch_indices('.').map(|(at, _)| at + 1).take(LONGEST));
    let mut starts: Vec<usize> = ends.collect();
    starts.sort_unstable();
    starts.dedup();
    starts.into_iter().find_map(|start| {
        let inner = &name[start..];
        NAMINGS.iter().find_map(|naming| canonical(inner, naming)).map(|canonical| (start, canonical))
    })
}

/// `name` without what PyTorch's wrappers put into it.
pub(super) fn unwrapped(name: &str) -> String {
    if !WRAPPED.iter().any(|wrapper| name.contains(wrapper)) {
        return name.into();
    }
    name.split('.').filter(|part| !WRAPPED.contains(part)).collect::<Vec<_>>().join(".")
}

/// Whether `component`, the first one within a network, is a stem's or a stage's, in any naming.
pub(super) fn is_stage(component: &str) -> bool {
    let numbered = |stage: &str| {
        let number = component.strip_prefix(stage.trim_end_matches('.'));
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_'))
    };
    NAMINGS.iter().any(|naming| component == naming.stem || numbered(naming.stage)) || numbered("conv_")
}

/// Whether `component` is what a classifier is called.
pub(super) fn is_head(component: &str) -> bool {
    HEADS.contains(&component.to_ascii_lowercase().as_str())
}

/// Whether `name` may be a parameter's, whatever stands under it.
#[cfg(feature = "pth")]
pub(super) fn may_be(name: &str) -> bool {
    let head = |module: &str| module.split('.').any(is_head);
    body(name).is_some()
        || name.rsplit_once('.').is_some_and(|(module, field)| LINEAR.contains(&field) && head(module))
}

/// Whether the module or tensor `path` is one that only training needs, by its name.
pub(super) fn is_training(path: &str) -> bool {
    path.split('.').any(|part| {
        TRAINING_COMPONENTS.contains(&part.to_ascii_lowercase().as_str())
            || words(part)
                .any(|word| TRAINING.contains(&word.as_str()) || TRAINING.contains(&unnumbered(&word)))
    })
}

/// Whether the module `path` stands between the last stage and the classifier, by its name.
pub(super) fn is_between(path: &str) -> bool {
    path.split('.').flat_map(words).any(|word| BETWEEN.contains(&unnumbered(&word)))
}

fn unnumbered(word: &str) -> &str {
    word.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// The words of a name such as `train_acc`, `trainAcc` or `Train-Acc`, in lower case.
pub(super) fn words(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || lower && c.is_uppercase() {
            words.push(String::new());
        }
        lower = c.is_lowercase();
        if c.is_alphanumeric() {
            words.last_mut().expect("begun with one").extend(c.to_lowercase());
        }
    }
    words.into_iter().filter(|word| !word.is_empty())
}

/// The canonical name of `name` in `naming`.
fn canonical(name: &str, naming: &Naming) -> Option<String> {
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
        let branch = branch(names[naming.column], module)?;
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
