//! The classifier of a network: one matrix over the features, under one of many names.

use std::collections::BTreeMap;

use super::{Opened, candidate::Candidate, fault, names, naming::LINEAR, raw::Content};
use crate::error::Result;

/// The classifier of a network, if it has one.
#[derive(Default)]
pub(super) struct Head {
    /// Canonical names, and places among the file's entries.
    pub parameters: Vec<(String, usize)>,
    /// What stands before its name: the network's prefix, or a beginning of it where another module holds both.
    pub level: Option<String>,
}

/// Finds the classifier of `chosen` among `rest`, the entries that are no parameters of the stem and the stages.
///
/// # Errors
/// [`Error::Tensor`](crate::Error::Tensor) when the head has more than one layer, or there are two heads.
pub(super) fn find(
    file: &mut Opened,
    rest: &[(usize, &str)],
    candidates: &[Candidate],
    chosen: &Candidate,
) -> Result<Head> {
    let mut head = Head::default();
    let mut inner: Option<&str> = None;
    for level in levels(&chosen.prefix) {
        // Beyond this, another network's classifier may stand
        let shared = |other: &&Candidate| {
            other.prefix != chosen.prefix
                && other.prefix.starts_with(level)
                && !inner.is_some_and(|inner| other.prefix.starts_with(inner))
        };
        if head.level.is_some() && candidates.iter().any(|other| shared(&other)) {
            break;
        }
        let mut modules: BTreeMap<&str, Vec<(&str, usize)>> = BTreeMap::new();
        for &(at, path) in rest {
            let Some(name) = path.strip_prefix(level) else { continue };
            if inner.is_some_and(|inner| path.starts_with(inner)) {
                continue;
            }
            let Some((module, field)) = name.rsplit_once('.') else { continue };
            let root = module.split('.').next().unwrap_or("");
            if names::is_head(root)
                && !names::is_training(name)
                && (LINEAR.contains(&field) || is_weight(&file.content(at)?))
            {
                modules.entry(module).or_default().push((field, at));
            }
        }
        inner = Some(level);
        let Some((module, fields)) = modules.first_key_value() else { continue };
        let name = |at: usize| file.entries[at].name().to_string();
        if let Some(&(_, other)) = head.parameters.first() {
            let reason = format!("is the same parameter as \"{}\", or a layer after it: {ONE}", name(other));
            return Err(fault(&name(fields[0].1), reason));
        }
        let root = |module: &str| module.split('.').next().map(String::from);
        if let Some((other, others)) = modules.iter().nth(1) {
            let at = others[0].1;
            let all: Vec<String> =
                modules.values().map(|fields| format!("\"{}\"", name(fields[0].1))).collect();
            let reason = match root(module) == root(other) {
                true => format!("is one of several layers of the head, {}: {ONE}", all.join(", ")),
                false => {
                    let first = fields.iter().find(|(field, _)| *field == others[0].0).unwrap_or(&fields[0]);
                    format!("is the same parameter as \"{}\", or a layer after it: {ONE}", name(first.1))
                }
            };
            return Err(fault(&name(at), reason));
        }
        for &(field, at) in fields {
            if !LINEAR.contains(&field) {
                return Err(fault(
                    &name(at),
                    format!("is no part of a classifier, which has a weight and a bias: {ONE}"),
                ));
            }
            head.parameters.push((format!("head.fc.{field}"), at));
        }
        head.level = Some(level.into());
    }
    Ok(head)
}

const ONE: &str = "a head of one linear layer is run here";

/// The prefix, and beginnings of it that end a component, the longest first; the last is empty.
fn levels(prefix: &str) -> impl Iterator<Item = &str> {
    /// More than any module holds modules.
    const DEEPEST: usize = 16;
    let ends = prefix.rmatch_indices('.').map(|(at, _)| &prefix[..=at]).take(DEEPEST);
    ends.chain(std::iter::once(""))
}

/// Whether an entry may be a parameter; counts and what only looks like a tensor are not.
fn is_weight(content: &Content) -> bool {
    match content {
        Content::Array(view) => view.is_float() && !view.shape().is_empty(),
        Content::Other(_) => true,
    }
}
