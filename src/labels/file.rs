//! Files of class names, in the forms that training leaves them.

use std::{fs::File, io::Read, path::Path};

use super::{
    flow::{self, Key, Value},
    lines,
    numbered::{List, Row, by_number, synset},
    yaml,
};
use crate::error::{Error, Result};

/// No list of names is larger than this, in bytes.
const LARGEST: u64 = 16 << 20;

const SHAPES: &str = "expected a line per class, [\"name\", ...] or {\"0\": \"name\", ...}";

/// Reads a list of names: a line per class, JSON, Python's or YAML's list or map, from numbers to names or from names to
/// numbers.
pub fn read(path: &Path) -> Result<List> {
    let io = |source| Error::Io { path: path.into(), source };
    let wrong = |reason: String| Error::File { path: path.into(), reason };
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LARGEST {
        return Err(wrong("too large for a list of class names".into()));
    }
    let text = text(bytes).ok_or_else(|| wrong("class names must be UTF-8 text".into()))?;
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let named_yaml = extension == "yaml" || extension == "yml";
    parse(text.trim_start_matches('\u{feff}'), named_yaml).map_err(wrong)
}

/// UTF-8, or UTF-16 with the mark that Windows' programs put before it.
fn text(bytes: Vec<u8>) -> Option<String> {
    let wide = |unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).ok()
    };
    match bytes.get(..2) {
        Some([0xff, 0xfe]) => wide(u16::from_le_bytes),
        Some([0xfe, 0xff]) => wide(u16::from_be_bytes),
        _ => String::from_utf8(bytes).ok(),
    }
}

fn parse(text: &str, named_yaml: bool) -> Result<List, String> {
    let wrong = |reason: String| format!("{reason}: {SHAPES}");
    match text.trim_start().as_bytes().first() {
        None => Err(wrong("no names".into())),
        Some(b'[' | b'{') if !named_yaml || text.trim_end().ends_with([']', '}']) => {
            // What is wrong with JSON, its own reader says best.
            let value = flow::parse(text.trim()).map_err(|own| {
                match serde_json::from_str::<serde_json::Value>(text) {
                    Err(error) if !text.contains('\'') => error.to_string(),
                    _ => own,
                }
            });
            let value = value.map_err(wrong)?;
            named(&value, false).map_err(wrong)
        }
        Some(b'(') if text.trim_end().ends_with(')') && flow::parse(text.trim()).is_ok() => {
            named(&flow::parse(text.trim())?, false).map_err(wrong)
        }
        Some(_) if named_yaml || yaml::is_likely(text) => named(&yaml::read(text)?, true).map_err(wrong),
        Some(_) => lines::read(text).map_err(wrong),
    }
}

/// Keys under which files keep their classes, the best first.
const HOLDERS: [&str; 18] = [
    "id2label",
    "label2id",
    "names",
    "classes",
    "CLASSES",
    "class_names",
    "label_names",
    "class_to_idx",
    "idx_to_class",
    "idx2label",
    "dataset_meta",
    "metainfo",
    "meta",
    "categories",
    "labels",
    "pretrained_cfg",
    "thing_classes",
    "data",
];

/// The names in `value`; `numbers`: whether a number may be a name, as in a YAML list of digits.
fn named(value: &Value, numbers: bool) -> Result<List, String> {
    match value {
        Value::List(items) => list(items, numbers),
        Value::Map(pairs) => map(pairs, numbers),
        Value::Text(text) | Value::Number(text) => Err(format!("\"{text}\" is not a list")),
    }
}

fn list(items: &[Value], numbers: bool) -> Result<List, String> {
    if items.is_empty() {
        return Err("no names".into());
    }
    // COCO's categories: each with its number.
    let field = |item: &Value, names: &[&str]| match item {
        Value::Map(pairs) => names.iter().find_map(|name| {
            let (_, value) = pairs.iter().find(|(key, _)| key.text == *name)?;
            match value {
                Value::Text(text) | Value::Number(text) => Some(text.clone()),
                _ => None,
            }
        }),
        _ => None,
    };
    let numbered = items.iter().map(|item| {
        let number = field(item, &["id", "index", "idx", "class_id", "label_id"])?.parse().ok()?;
        Some((number, Row { name: field(item, &["name", "label", "class", "class_name"])?, synset: None }))
    });
    if let Some(rows) = numbered.collect::<Option<Vec<_>>>() {
        return by_number(rows);
    }
    let rows = items.iter().map(|item| row(item, numbers)).collect::<Result<Vec<_>, _>>()?;
    Ok(List { rows, ..List::default() })
}

/// A name, or a WordNet id and a name.
fn row(value: &Value, numbers: bool) -> Result<Row, String> {
    match value {
        Value::Text(name) => Ok(Row { name: name.clone(), synset: None }),
        Value::Number(name) if numbers => Ok(Row { name: name.clone(), synset: None }),
        Value::Number(number) => Err(format!("a number where a name was expected: put {number} in quotes")),
        Value::List(parts) => match &parts[..] {
            [Value::Text(id), Value::Text(name), ..]
                if synset(id).is_some_and(|(_, rest)| rest.is_empty()) =>
            {
                Ok(Row { name: name.clone(), synset: Some(id.clone()) })
            }
            [only] => row(only, numbers),
            _ => Err("a list where a name was expected".into()),
        },
        Value::Map(_) => Err("a map where a name was expected".into()),
    }
}

fn map(pairs: &[(Key, Value)], numbers: bool) -> Result<List, String> {
    let held = HOLDERS.iter().find_map(|holder| {
        let of_holder = |(key, value): &&(Key, Value)| {
            key.text == *holder && matches!(value, Value::List(_) | Value::Map(_))
        };
        pairs.iter().find(of_holder).map(|(_, value)| (*holder, value))
    });
    match held {
        Some(("id2label" | "idx_to_class" | "idx2label", Value::Map(pairs))) => by_key(pairs, true),
        Some(("label2id" | "class_to_idx", Value::Map(pairs))) => by_value(pairs),
        Some((_, value)) => named(value, numbers),
        None if pairs.is_empty() => Err("no names".into()),
        None => {
            let keys = pairs.iter().all(|(key, _)| is_number(&key.text));
            let counts = pairs.iter().all(|(_, value)| matches!(value, Value::Number(_)));
            let quoted = pairs.iter().any(|(key, _)| key.quoted);
            let texts = pairs.iter().all(|(_, value)| number(value).is_some());
            match (keys, counts, texts) {
                // {"0": 0, "10": 1} is torchvision's, of folders named by numbers.
                (true, true, _) if quoted => by_value(pairs),
                (true, ..) => by_key(pairs, numbers || !quoted),
                (false, _, true) => by_value(pairs),
                _ => Err(format!("\"{}\" is neither a number nor the name of one", stray(pairs))),
            }
        }
    }
}

/// A key that tells why a map is no list of names.
fn stray(pairs: &[(Key, Value)]) -> &str {
    let odd = pairs.iter().find(|(key, value)| !is_number(&key.text) && number(value).is_none());
    odd.or(pairs.first()).map_or("", |(key, _)| &key.text)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn number(value: &Value) -> Option<usize> {
    match value {
        Value::Text(text) | Value::Number(text) if is_number(text) => text.parse().ok(),
        _ => None,
    }
}

/// `{"0": "name"}`.
fn by_key(pairs: &[(Key, Value)], numbers: bool) -> Result<List, String> {
    let rows = pairs.iter().map(|(key, value)| {
        let at =
            key.text.trim().parse().map_err(|_| format!("\"{}\" is not the number of a class", key.text))?;
        Ok((at, row(value, numbers)?))
    });
    by_number(rows.collect::<Result<_, String>>()?)
}

/// `{"name": 0}`.
fn by_value(pairs: &[(Key, Value)]) -> Result<List, String> {
    let rows = pairs.iter().map(|(key, value)| {
        let at = number(value).ok_or_else(|| format!("\"{}\" has no number", key.text))?;
        let synset = synset(&key.text).filter(|(_, rest)| rest.is_empty()).map(|(id, _)| id.to_string());
        Ok((at, Row { name: key.text.clone(), synset }))
    });
    by_number(rows.collect::<Result<_, String>>()?)
}
