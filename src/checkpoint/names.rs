//! Words in the names of a file's tensors, whatever the network: wrappers, classifiers, what only training needs.

#[cfg(feature = "pth")]
use super::naming::{LINEAR, Names};

/// What PyTorch's wrappers of a module put in the middle of names.
const WRAPPED: [&str; 3] = ["_checkpoint_wrapped_module", "_fsdp_wrapped_module", "_orig_mod"];

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

/// `name` without what PyTorch's wrappers put into it.
pub(super) fn unwrapped(name: &str) -> String {
    if !WRAPPED.iter().any(|wrapper| name.contains(wrapper)) {
        return name.into();
    }
    name.split('.').filter(|part| !WRAPPED.contains(part)).collect::<Vec<_>>().join(".")
}

/// Whether `component` is what a classifier is called.
pub(super) fn is_head(component: &str) -> bool {
    HEADS.contains(&component.to_ascii_lowercase().as_str())
}

/// Whether `name` may be a parameter's, whatever stands under it.
#[cfg(feature = "pth")]
pub(super) fn may_be(name: &str, families: &[&Names]) -> bool {
    let head = |module: &str| module.split('.').any(is_head);
    families.iter().any(|names| names.body(name).is_some())
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
