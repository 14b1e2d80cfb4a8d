//! Names of classes and other settings that training scripts leave in checkpoints.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Note;

/// Under which keys names of classes stand, in lower case and without `_`.
#[rustfmt::skip]
const CLASSES: [&str; 25] = [
    "categories", "class2idx", "classes", "classlabels", "classlist", "classmap", "classnames", "classtoidx",
    "classtoindex", "id2class", "id2label", "id2name", "idtolabel", "idx2class", "idx2label", "idxtoclass",
    "idxtolabel", "indextoclass", "label2id", "label2idx", "labelmap", "labelnames", "labels", "labeltoidx", "names",
];

/// The key of a batch norm's ε.
const EPSILON: &str = "bneps";

fn plain(key: &str) -> String {
    key.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect()
}

/// Whether what stands under `key` is read.
pub(super) fn is_setting(key: &str) -> bool {
    key.len() <= 32 && (plain(key) == EPSILON || CLASSES.contains(&plain(key).as_str()))
}

/// What settings say of a network.
#[derive(Default)]
pub(super) struct Settings {
    pub labels: Option<Vec<String>>,
    /// ε, and under which path it stands.
    pub bn_eps: Option<(f64, String)>,
    /// What was read or passed over, for people.
    pub notes: Vec<Note>,
}

impl Settings {
    /// Reads `settings`, by path, for a network of `classes` classes.
    pub fn read(settings: &[(String, Value)], classes: Option<usize>) -> Settings {
        let mut read = Settings::default();
        let mut lists: Vec<(&str, Vec<String>)> = Vec::new();
        for (path, value) in settings {
            let key = path.rsplit('.').next().unwrap_or(path);
            if plain(key) == EPSILON {
                if let (Some(value), None) = (value.as_f64(), &read.bn_eps) {
                    read.bn_eps = Some((value, path.clone()));
                }
            } else if let Some(names) = names(value) {
                lists.push((path, names));
            }
        }
        let Some(classes) = classes else { return read };
        let (fitting, other): (Vec<_>, Vec<_>) =
            lists.into_iter().partition(|(_, names)| names.len() == classes);
        match fitting.first() {
            Some((path, names)) if fitting.iter().all(|(_, other)| other == names) => {
                read.notes.push(Note::fact(format!(
                    "the classes' names are the checkpoint's own, under \"{path}\""
                )));
                read.labels = Some(names.clone());
            }
            Some((path, _)) => {
                let other = fitting.iter().find(|(_, names)| *names != fitting[0].1).expect("they differ").0;
                read.notes.push(Note::warning(format!(
                    "the checkpoint names its classes differently under \"{path}\" and \"{other}\": both are passed over"
                )));
            }
            None => {
                if let Some((path, names)) = other.first() {
                    let count = names.len();
                    read.notes.push(Note::warning(format!(
                        "the names under \"{path}\" are passed over: they are {count}, and the classes {classes}"
                    )));
                }
            }
        }
        read
    }
}

/// Names by number: `["a", "b"]`, `{"0": "a", "1": "b"}` or `{"a": 0, "b": 1}`, also as JSON in a text.
fn names(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(String::from);
    let names: Vec<String> = match value {
        Value::String(json) => match serde_json::from_str(json).ok()? {
            Value::String(_) => return None,
            value => return names(&value),
        },
        Value::Array(list) => list.iter().map(text).collect::<Option<_>>()?,
        Value::Object(map) if map.values().all(Value::is_u64) => {
            by_number(map.iter().map(|(name, at)| (at.as_u64(), name.clone())))?
        }
        Value::Object(map) => {
            let pairs = map.iter().map(|(at, name)| Some((at.parse().ok(), text(name)?)));
            by_number(pairs.collect::<Option<Vec<_>>>()?)?
        }
        _ => return None,
    };
    (!names.is_empty() && names.iter().all(|name| !name.trim().is_empty())).then_some(names)
}

/// The most classes that names are read of.
const MOST_CLASSES: u64 = 1 << 20;

/// Names in the order of their numbers; where a number is left out, its name is empty. `None` where one has two names,
/// or is none.
pub(super) fn by_number(pairs: impl IntoIterator<Item = (Option<u64>, String)>) -> Option<Vec<String>> {
    let mut names = BTreeMap::new();
    for (number, name) in pairs {
        let number = number.filter(|&number| number < MOST_CLASSES)?;
        if names.insert(number, name).is_some() {
            return None;
        }
    }
    let all = names.keys().next_back().map_or(0, |last| last + 1);
    Some((0..all).map(|number| names.remove(&number).unwrap_or_default()).collect())
}
