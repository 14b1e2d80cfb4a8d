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

mod file;
mod flow;
mod lines;
mod numbered;
mod yaml;

use std::path::Path;

use self::numbered::{List, Row, by_number};
use crate::{
    error::{Error, Result},
    home, near,
};

static IMAGENET: &str = include_str!("imagenet.txt");

/// The classes of ImageNet-1k.
pub const IMAGENET_CLASSES: usize = 1000;

/// The names of a model's classes, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
    /// One per class, or none.
    synsets: Vec<String>,
    source: String,
    note: Option<String>,
}

impl Labels {
    /// The names for a model of `classes` classes: those of `file`, else those that `own` gives (the
    /// checkpoint's), else ImageNet's for 1000 classes, else `class 7`.
    ///
    /// A file is a name per line, also with its number or WordNet id, or a table with a header; or a list, a map from
    /// numbers to names or one from names to numbers, in JSON, YAML or as Python prints it, under one of the usual keys
    /// or none. Numbers decide the order, whatever that of the lines.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::File`] when `file` cannot be read, is no list of names, has numbers with gaps or
    /// doubles, or holds another number of names.
    pub fn choose(file: Option<&Path>, own: Option<&[String]>, classes: usize) -> Result<Labels> {
        let named = |names: Vec<String>, source: &str| {
            let synsets =
                if is_imagenet(&names) { imagenet().map(|(id, _)| id.into()).collect() } else { vec![] };
            Labels { names, synsets, source: source.into(), note: None }
        };
        match (file, own) {
            (Some(path), _) => Labels::read(path, classes),
            (None, Some(names)) if names.len() == classes => Ok(named(names.to_vec(), "the model's own")),
            _ if classes == IMAGENET_CLASSES => {
                Ok(named(imagenet().map(|(_, name)| name.into()).collect(), "ImageNet-1k, built in"))
            }
            _ => Ok(named((0..classes).map(|i| format!("class {i}")).collect(), "none: classes by number")),
        }
    }

    fn read(path: &Path, classes: usize) -> Result<Labels> {
        let at_home = home::expand(path);
        let path = if path.exists() { path } else { &at_home };
        let list = file::read(path)?;
        if list.rows.len() != classes {
            let reason = format!("{} labels for a model of {classes} classes", list.rows.len());
            return Err(Error::File { path: path.into(), reason });
        }
        Ok(Labels::of(list, path.display().to_string()))
    }

    /// The names for a model of `classes` classes that stand beside their numbers, which are as in a file: in any order,
    /// from 0 or 1 on, each once.
    ///
    /// # Errors
    /// [`Error::Option`] when the numbers have gaps or doubles, or there is another number of names.
    pub fn numbered(names: impl IntoIterator<Item = (usize, String)>, classes: usize) -> Result<Labels> {
        let wrong = |reason| Error::Option(format!("labels: {reason}"));
        let rows = names.into_iter().map(|(number, name)| (number, Row { name, synset: None }));
        let list = by_number(rows.collect()).map_err(wrong)?;
        match list.rows.len() {
            count if count == classes => Ok(Labels::of(list, "given".into())),
            count => Err(wrong(format!("{count} names for a model of {classes} classes"))),
        }
    }

    /// Those of `list`, which came from `source`.
    fn of(list: List, mut source: String) -> Labels {
        if !list.how.is_empty() {
            source = format!("{source}, {}", list.how);
        }
        let synsets: Option<Vec<String>> = list.rows.iter().map(|row| row.synset.clone()).collect();
        let names: Vec<String> = list.rows.into_iter().map(|row| row.name).collect();
        let own = synsets.is_some();
        let synsets = synsets
            .or_else(|| is_imagenet(&names).then(|| imagenet().map(|(id, _)| id.into()).collect()))
            .unwrap_or_default();
        let unsorted = own && names.len() == IMAGENET_CLASSES && !synsets.is_sorted();
        let note = list.note.or_else(|| {
            unsorted
                .then(|| "its WordNet ids are not in ImageNet's order, which almost all models have".into())
        });
        Labels { names, synsets, source, note }
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

    /// What may surprise in how a file was read, for people, such as numbers that begin at 1.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The class that `text` means: its name (case, `_`, `-` and spaces do not matter), its WordNet id where
    /// the names are ImageNet's or came with ids, or its index.
    ///
    /// # Errors
    /// [`Error::Option`] when it means no class, or several.
    pub fn find(&self, text: &str) -> Result<usize> {
        match (self.find_name(text)?, text.parse::<usize>()) {
            (Some(index), _) => Ok(index),
            (None, Ok(index)) if index < self.names.len() => Ok(index),
            _ => Err(self.unknown(text)),
        }
    }

    /// The same, but that a number is an index only where it is a name; `None` when no class is called so.
    ///
    /// # Errors
    /// [`Error::Option`] when several classes are called so.
    pub fn find_name(&self, text: &str) -> Result<Option<usize>> {
        let wanted = key(text);
        let called = |is: &dyn Fn(&String) -> bool| -> Vec<usize> {
            (0..self.names.len()).filter(|&i| is(&self.names[i])).collect()
        };
        let mut found = called(&|name| key(name) == wanted);
        if found.is_empty() {
            found = self.synsets.iter().position(|id| id == text).into_iter().collect();
        }
        if found.is_empty() && !wanted.is_empty() {
            // "tench, Tinca tinca"
            found =
                called(&|name| name.contains(',') && name.split(',').any(|part| key(part.trim()) == wanted));
        }
        match found[..] {
            [] => Ok(None),
            [index] => Ok(Some(index)),
            [a, b, ..] => Err(Error::Option(format!(
                "\"{text}\" names the classes {a} and {b}: use the number instead"
            ))),
        }
    }

    /// Says that no class is called `text`, and what one is called.
    fn unknown(&self, text: &str) -> Error {
        let near = near::nearest(text, self.names.iter().map(String::as_str));
        Error::Option(format!(
            "\"{text}\" is not a class of the model{}: expected a name such as \"{}\"{}, or a number from 0 to {}",
            near.map_or(String::new(), |name| format!(" (did you mean \"{name}\"?)")),
            self.names.first().map_or("", String::as_str),
            if self.synsets.is_empty() { "" } else { ", a WordNet id such as n01440764" },
            self.names.len().saturating_sub(1),
        ))
    }
}

/// ImageNet's WordNet ids and names.
fn imagenet() -> impl Iterator<Item = (&'static str, &'static str)> {
    IMAGENET.lines().map(|line| line.split_once(' ').unwrap_or(("", line)))
}

/// Whether these are ImageNet's classes in its order: nearly all names begin as the built-in ones do, for others list
/// more of a synset's lemmas, or tell its doubles apart otherwise.
fn is_imagenet(names: &[String]) -> bool {
    let same = |(name, (_, own)): &(&String, (&str, &str))| {
        key(own.split(" (").next().unwrap_or(own))
            == key(name.split([',', '(']).next().unwrap_or(name).trim())
    };
    names.len() == IMAGENET_CLASSES
        && names.iter().zip(imagenet()).filter(same).count() * 10 >= 9 * IMAGENET_CLASSES
}

/// What of a name counts when it is compared.
fn key(name: &str) -> String {
    name.chars().map(|c| if c == '_' || c == '-' { ' ' } else { c }).flat_map(char::to_lowercase).collect()
}
