//! Reads values out of JSON objects, with errors that name the key.

use serde_json::{Map, Value};

use super::raw::Source;
use crate::error::{Error, Result};

/// One object of a JSON text. A key that is absent or null reads as `None`; one of the wrong type is an error
/// that names it.
pub(super) struct Keys<'a> {
    source: &'a Source<'a>,
    /// "key" or "metadata key".
    kind: &'static str,
    /// The keys that lead here, joined by dots.
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Keys<'a> {
    pub fn new(source: &'a Source, kind: &'static str, path: &str, root: &'a Value) -> Result<Keys<'a>> {
        match root {
            Value::Object(map) => Ok(Keys { source, kind, path: path.into(), map }),
            _ => Err(source.fault(format!("{kind} \"{path}\": expected an object"))),
        }
    }

    /// The error that `key` is wrong.
    pub fn fault(&self, key: &str, reason: &str) -> Error {
        self.source.fault(format!("{} \"{}\" {reason}", self.kind, self.path_of(key)))
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) }
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The value that `read` makes of `key`; `expected` says what would have been right.
    pub fn read<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong = || self.fault(key, &format!("is {}; expected {expected}", brief(value)));
        read(value).map(Some).ok_or_else(wrong)
    }

    pub fn object(&self, key: &str) -> Result<Option<Keys<'a>>> {
        let inner = self.read(key, "an object", Value::as_object)?;
        Ok(inner.map(|map| Keys { source: self.source, kind: self.kind, path: self.path_of(key), map }))
    }

    pub fn text(&self, key: &str) -> Result<Option<String>> {
        self.read(key, "a text", |value| value.as_str().map(String::from))
    }

    pub fn texts(&self, key: &str) -> Result<Option<Vec<String>>> {
        let text = |value: &Value| value.as_str().map(String::from);
        self.read(key, "a list of texts", |value| value.as_array()?.iter().map(text).collect())
    }

    /// Exactly `N` values, each read by `read`.
    pub fn numbers<T, const N: usize>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<[T; N]>> {
        self.read(key, expected, |value| {
            let values: Option<Vec<T>> = value.as_array()?.iter().map(read).collect();
            values?.try_into().ok()
        })
    }

    /// The value that `key` names; a name that is not in the table is never replaced by another.
    pub fn one_of<T: Copy>(&self, key: &str, names: &[(&str, T)]) -> Result<Option<T>> {
        let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        let find = |value: &Value| names.iter().find(|(name, _)| value == name).map(|(_, value)| *value);
        self.read(key, &format!("one of {}, the modes that this program has", known.join(", ")), find)
    }
}

/// A value as it stands, cut short for people.
pub(super) fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
