//! The names of classes: from a file, from the checkpoint, or the built-in ones of ImageNet-1k.
//!
//! `imagenet.txt` holds one class per line, in the order of ILSVRC 2012: the WordNet 3.0 synset, then its
//! first lemma. Four synsets share their first lemma with another and carry a word more (`crane (bird)`,
//! `crane (machine)`, `maillot (tights)`, `maillot (tank suit)`), and `Cardigan Welsh corgi` stands for the
//! dog that WordNet calls `Cardigan`, so that all 1000 names differ whatever their case.
//!
//! ```
//! use mobileone::labels::Labels;
//!
//! let own = ["cat", "dog"].map(String::from);
//! let labels = Labels::choose(None, Some(&own), 2)?;
//! assert_eq!(labels.name(1), "dog");
//! assert_eq!(Labels::choose(None, None, 1000)?.name(0), "tench");
//! # Ok::<(), mobileone::Error>(())
//! ```

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

static IMAGENET: &str = include_str!("imagenet.txt");

/// The classes of ImageNet-1k.
pub const IMAGENET_CLASSES: usize = 1000;

/// No list of names is larger than this, in bytes.
const LARGEST: u64 = 16 << 20;

/// The names of a model's classes, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
    source: String,
    imagenet: bool,
}

impl Labels {
    /// The names for a model of `classes` classes: those of `file`, else those that `own` gives (the
    /// checkpoint's), else ImageNet's for 1000 classes, else `class 7`.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`] when `file` cannot be read, is no list of names, or holds another
    /// number of them.
    pub fn choose(file: Option<&Path>, own: Option<&[String]>, classes: usize) -> Result<Labels> {
        let imagenet = || IMAGENET.lines().map(|line| line.split_once(' ').map_or(line, |(_, name)| name));
        let (names, source) = match (file, own) {
            (Some(path), _) => (read(path, classes)?, path.display().to_string()),
            (None, Some(names)) if names.len() == classes => (names.to_vec(), "the model's own".into()),
            _ if classes == IMAGENET_CLASSES => {
                (imagenet().map(String::from).collect(), "ImageNet-1k, built in".into())
            }
            _ => ((0..classes).map(|i| format!("class {i}")).collect(), "none: classes by number".into()),
        };
        let imagenet = classes == IMAGENET_CLASSES && imagenet().eq(names.iter().map(String::as_str));
        Ok(Labels { names, source, imagenet })
    }

    /// The name of class `index`.
    ///
    /// # Panics
    /// When there is no such class: a broken invariant of the caller.
    pub fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// The names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Where the names came from, for people.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The class that `text` means: its name (case, `_`, `-` and spaces do not matter), its WordNet id where
    /// the names are ImageNet's, or its index.
    ///
    /// # Errors
    /// [`Error::Option`] when it means no class, or several.
    pub fn find(&self, text: &str) -> Result<usize> {
        let wanted = key(text);
        let mut named = (0..self.names.len()).filter(|&i| key(&self.names[i]) == wanted);
        match (named.next(), named.next()) {
            (Some(index), None) => return Ok(index),
            (Some(a), Some(b)) => {
                return Err(Error::Option(format!(
                    "\"{text}\" names the classes {a} and {b}: use the number instead"
                )));
            }
            _ => {}
        }
        let synset = |line: &str| line.split_once(' ').is_some_and(|(id, _)| id == text);
        if let Some(index) = IMAGENET.lines().position(synset).filter(|_| self.imagenet) {
            return Ok(index);
        }
        match text.parse::<usize>() {
            Ok(index) if index < self.names.len() => Ok(index),
            _ => Err(Error::Option(format!(
                "\"{text}\" is no class of the model: expected a name such as \"{}\"{}, or a number from 0 to {}",
                self.names.first().map_or("", String::as_str),
                if self.imagenet { ", a WordNet id such as n01440764" } else { "" },
                self.names.len().saturating_sub(1),
            ))),
        }
    }
}

/// What of a name counts when it is compared.
fn key(name: &str) -> String {
    name.chars().map(|c| if c == '_' || c == '-' { ' ' } else { c }).flat_map(char::to_lowercase).collect()
}

/// The `classes` names that the file at `path` lists: a line each, a JSON array, or a JSON object
/// `{"0": "name", ...}`.
fn read(path: &Path, classes: usize) -> Result<Vec<String>> {
    let io = |source| Error::Io { path: path.into(), source };
    let wrong = |reason: String| Error::File { path: PathBuf::from(path), reason };
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LARGEST {
        return Err(wrong("too large for a list of class names".into()));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("class names must be UTF-8 text".into()))?;
    let names = parse(text.trim_start_matches('\u{feff}')).map_err(wrong)?;
    if names.len() != classes {
        return Err(wrong(format!("{} labels for a model of {classes} classes", names.len())));
    }
    Ok(names)
}

fn parse(text: &str) -> Result<Vec<String>, String> {
    const SHAPES: &str = "expected a line per class, [\"name\", ...] or {\"0\": \"name\", ...}";
    let wrong = |reason: &dyn std::fmt::Display| format!("{reason}: {SHAPES}");
    match text.trim_start().as_bytes().first() {
        None => Err(wrong(&"no names")),
        Some(b'[') => serde_json::from_str(text).map_err(|e| wrong(&e)),
        Some(b'{') => {
            let map: std::collections::BTreeMap<usize, String> =
                serde_json::from_str(text).map_err(|e| wrong(&e))?;
            match map.keys().enumerate().find(|&(i, &index)| i != index) {
                Some((missing, _)) => Err(format!("no name for class {missing}")),
                None => Ok(map.into_values().collect()),
            }
        }
        Some(_) => {
            let lines: Vec<&str> = text.trim_end().lines().map(str::trim).collect();
            match lines.iter().position(|line| line.is_empty()) {
                Some(line) => Err(wrong(&format!("line {} is empty", line + 1))),
                None => Ok(lines.into_iter().map(String::from).collect()),
            }
        }
    }
}
