//! A pickle's dictionaries, walked from the top: tensors under their paths, and the few settings of use here.

use serde_json::{Map, Number, Value};

use super::{
    classes, names,
    naming::Names,
    node::{Id, Node},
    pickle::Pickle,
    raw::Entry,
};

/// Dictionaries and lists deeper than this are not looked into: no script wraps a network so often, and a cycle
/// would never end.
const DEEPEST: usize = 12;

/// The most values looked at: a dictionary may stand under many keys.
const MAX_VISITS: usize = 1 << 20;

/// The most bytes of paths kept.
const MAX_PATHS: usize = 64 << 20;

/// The most that settings cost: 8 for a value, and the bytes of texts.
const MAX_SETTINGS: usize = 4 << 20;

/// What a pickle holds.
#[derive(Default)]
pub(super) struct Tree {
    pub entries: Vec<Entry>,
    /// The value of each entry.
    pub values: Vec<Id>,
    /// Names of classes, and other settings that are read: paths and values.
    pub settings: Vec<(String, Value)>,
    /// Whether mmengine wrote it.
    pub mmengine: bool,
    /// Whole modules, which are never made here, by the keys that lead to them.
    pub modules: Vec<Vec<String>>,
    /// The first thing beside the tensors that a function would have made: key, module, name.
    pub made: Option<(String, String, String)>,
    families: Vec<&'static Names>,
    visits: usize,
    bytes: usize,
    /// What is left of [`MAX_SETTINGS`].
    budget: usize,
}

impl Tree {
    /// Walks `pickle`. What is no tensor is kept where `families` has a parameter of its name.
    ///
    /// # Errors
    /// A text that completes "file: ..." when it repeats itself without end.
    pub fn of(pickle: &Pickle, families: &[&'static Names]) -> Result<Tree, String> {
        let mut tree = Tree { budget: MAX_SETTINGS, families: families.into(), ..Tree::default() };
        tree.walk(pickle, pickle.top(), &mut Vec::new(), true)?;
        Ok(tree)
    }

    /// Looks into the value `id` under `keys`. Its tensors count only in plain containers.
    fn walk(&mut self, pickle: &Pickle, id: Id, keys: &mut Vec<String>, plain: bool) -> Result<(), String> {
        self.visits += 1;
        if self.visits > MAX_VISITS {
            return Err(format!("refers to its own values more than {MAX_VISITS} times: no checkpoint does"));
        }
        if keys.len() > DEEPEST {
            return Ok(());
        }
        match pickle.node(id) {
            Node::Sequence(items) => {
                let containers = items.iter().enumerate().filter(|(_, item)| is_container(pickle, **item));
                for (at, &item) in containers {
                    keys.push(at.to_string());
                    self.walk(pickle, item, keys, plain)?;
                    keys.pop();
                }
                Ok(())
            }
            Node::Dict(entries) => self.dict(pickle, entries, keys, plain),
            Node::Made(..) => {
                let state = match pickle.state(id).map(|state| pickle.node(state)) {
                    Some(Node::Dict(entries)) => entries.as_slice(),
                    _ => &[],
                };
                if find(pickle, state, "_modules").is_some() {
                    self.modules.push(keys.clone());
                    return Ok(());
                }
                self.dict(pickle, state, keys, false)?;
                self.dict(pickle, pickle.items(id), keys, false)
            }
            _ => Ok(()),
        }
    }

    fn dict(
        &mut self,
        pickle: &Pickle,
        entries: &[(Id, Id)],
        keys: &mut Vec<String>,
        plain: bool,
    ) -> Result<(), String> {
        let is_tensor = |id: Id| matches!(pickle.node(id), Node::Tensor { .. });
        let tensors = entries.iter().any(|(_, value)| is_tensor(*value));
        if keys.is_empty() && find(pickle, entries, "message_hub").is_some() {
            self.mmengine = true;
        }
        for &(key, value) in entries {
            let key = match *pickle.node(key) {
                Node::Text(key) => key.to_string(),
                Node::Int(key) => key.to_string(),
                _ => continue,
            };
            self.mmengine |= key == "mmengine_version";
            if classes::is_setting(&key)
                && let Some(value) = setting(pickle, value, 3, &mut self.budget)
            {
                self.keep_bytes(&key, keys)?;
                self.settings.push((keys.iter().chain([&key]).cloned().collect::<Vec<_>>().join("."), value));
            }
            if let (&Node::Made(module, name), true) = (pickle.node(value), plain) {
                self.made.get_or_insert_with(|| (key.clone(), module.into(), name.into()));
            }
            if plain && tensors && (is_tensor(value) || names::may_be(&key, &self.families)) {
                self.keep_bytes(&key, keys)?;
                let mut path: String = keys.iter().map(|key| format!("{key}.")).collect();
                let start = path.len();
                path += &key;
                self.entries.push(Entry { path, start });
                self.values.push(value);
            }
            if is_container(pickle, value) {
                keys.push(key);
                self.walk(pickle, value, keys, plain)?;
                keys.pop();
            } else {
                self.visits += 1;
            }
        }
        Ok(())
    }

    fn keep_bytes(&mut self, key: &str, keys: &[String]) -> Result<(), String> {
        self.bytes += key.len() + keys.iter().map(|key| key.len() + 1).sum::<usize>();
        match self.bytes <= MAX_PATHS {
            true => Ok(()),
            false => Err(format!("has names of more than {MAX_PATHS} bytes: too long to be a network's")),
        }
    }
}

fn is_container(pickle: &Pickle, id: Id) -> bool {
    matches!(pickle.node(id), Node::Dict(_) | Node::Sequence(_) | Node::Made(..))
}

fn find(pickle: &Pickle, entries: &[(Id, Id)], wanted: &str) -> Option<Id> {
    let is_wanted = |key: Id| matches!(pickle.node(key), Node::Text(key) if *key == wanted);
    entries.iter().find(|(key, _)| is_wanted(*key)).map(|(_, value)| *value)
}

/// The value `id` as JSON, if it is made of texts, numbers and plain containers, of at most `deep` levels.
fn setting(pickle: &Pickle, id: Id, deep: usize, budget: &mut usize) -> Option<Value> {
    let mut pay = |cost: usize| {
        *budget = budget.checked_sub(cost)?;
        Some(())
    };
    pay(8)?;
    Some(match pickle.node(id) {
        Node::Text(text) => {
            pay(text.len())?;
            Value::String((*text).into())
        }
        Node::Int(value) => Value::Number((*value).into()),
        Node::Float(value) => Value::Number(Number::from_f64(*value)?),
        Node::Sequence(items) if deep > 0 => {
            let items = items.iter().map(|&item| setting(pickle, item, deep - 1, budget));
            Value::Array(items.collect::<Option<_>>()?)
        }
        Node::Dict(entries) if deep > 0 => {
            let mut map = Map::new();
            for &(key, value) in entries {
                let key = match *pickle.node(key) {
                    Node::Text(key) => key.to_string(),
                    Node::Int(key) => key.to_string(),
                    _ => return None,
                };
                *budget = budget.checked_sub(key.len())?;
                map.insert(key, setting(pickle, value, deep - 1, budget)?);
            }
            Value::Object(map)
        }
        _ => return None,
    })
}
