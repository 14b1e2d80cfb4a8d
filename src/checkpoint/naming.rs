//! What a reader of files knows of a family of networks: what files call its parameters, and what makes a network.

use std::collections::BTreeMap;

/// Components of the longest name of a parameter, without what stands before a network's own names.
const LONGEST: usize = 12;

/// A family of networks, as the reader of a file sees it.
#[derive(Debug)]
pub struct Names {
    /// What messages call one of its networks: `MobileOne`.
    pub family: &'static str,
    /// What a `config.json` has in the name of each of its variants, in lower case: `mobileone`.
    pub id: &'static str,
    /// What files call its parameters. The first naming is the canonical one.
    pub namings: &'static [Naming],
    /// What may stand at one place of a network: its fields, and its name in each column, the canonical one first. `#`
    /// is a number.
    pub modules: &'static [Module],
    /// Whether parameters are those of one of its networks.
    pub claims: fn(&Shapes) -> Claim,
    /// Arguments in a `config.json` that change nothing in its networks, or that the tensors show.
    pub free: &'static [&'static str],
    /// Arguments that change its networks, with the values that give those that run here, in lower case and without `_`.
    /// They come before those that all networks have in common.
    pub fixed: &'static [(&'static str, &'static [&'static str])],
}

/// The fields of a module, and its name in each column.
pub type Module = (&'static [&'static str], &'static [&'static str]);

/// The field of a convolution without bias.
pub const CONV: &[&str] = &["weight"];
/// The fields of a matrix, or of a convolution with bias.
pub const LINEAR: &[&str] = &["weight", "bias"];
/// The fields of a batch normalization.
pub const NORM: &[&str] = &["weight", "bias", "running_mean", "running_var"];

/// How one program names parameters.
#[derive(Debug)]
pub struct Naming {
    /// The places of a network where modules stand, as this program and as the canonical naming write them:
    /// `("layer_#.#", "stages.#.#")`, where `#` is a number.
    pub places: &'static [(&'static str, &'static str)],
    /// What the first number of a place is where the canonical one is 0.
    pub first: usize,
    /// The column of [`Names::modules`].
    pub column: usize,
}

/// Parameters by their canonical names: their shapes. What is no tensor has none.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// How far parameters are those of a family's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// They contradict it.
    None,
    /// They may be a part of one.
    Part,
    /// They begin and go on as a network does.
    Whole,
}

impl Names {
    /// The canonical name of the parameter that a file calls `name`, without what stands before a network's own names.
    pub(super) fn canonical(&self, name: &str) -> Option<String> {
        self.namings.iter().find_map(|naming| self.of(name, naming))
    }

    /// Whether `name` is a parameter's canonical name.
    pub(crate) fn is_canonical(&self, name: &str) -> bool {
        self.of(name, &self.namings[0]).is_some()
    }

    /// The parameter that `name` ends with, and where in `name` its network's own names begin. Whatever stands before
    /// that is a prefix.
    pub(super) fn body(&self, name: &str) -> Option<(usize, String)> {
        let ends = std::iter::once(0).chain(name.rmatch_indices('.').map(|(at, _)| at + 1).take(LONGEST));
        let mut starts: Vec<usize> = ends.collect();
        starts.sort_unstable();
        starts.dedup();
        starts
            .into_iter()
            .find_map(|start| self.canonical(&name[start..]).map(|canonical| (start, canonical)))
    }

    /// Whether `component`, the first one within a network, begins a place, whatever its number.
    pub(super) fn is_place(&self, component: &str) -> bool {
        self.namings.iter().flat_map(|naming| naming.places).any(|(place, _)| {
            let first = place.split('#').next().unwrap_or(place).trim_end_matches('.');
            let stem = first.trim_end_matches(|c: char| c.is_ascii_digit());
            let is_number = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
            match place.contains('#') || stem != first {
                true => component.strip_prefix(stem).is_some_and(is_number),
                false => component == first,
            }
        })
    }

    /// The canonical name of `name` in `naming`.
    fn of(&self, name: &str, naming: &Naming) -> Option<String> {
        naming.places.iter().find_map(|(place, canonical)| {
            let (mut numbers, rest) = matched(place, name)?;
            let place = match numbers.first_mut() {
                Some(first) => {
                    *first = first.checked_sub(naming.first)?;
                    filled(canonical, &numbers)
                }
                None => canonical.to_string(),
            };
            let (module, field) = rest.strip_prefix('.')?.rsplit_once('.')?;
            self.modules.iter().filter(|(fields, _)| fields.contains(&field)).find_map(|(_, names)| {
                let (numbers, rest) = matched(names[naming.column], module)?;
                rest.is_empty().then(|| format!("{place}.{}.{field}", filled(names[0], &numbers)))
            })
        })
    }
}

/// The numbers that stand for `#` where `name` begins as `pattern` does, and the rest of it.
fn matched<'a>(pattern: &str, name: &'a str) -> Option<(Vec<usize>, &'a str)> {
    let mut numbers = Vec::new();
    let mut pieces = pattern.split('#');
    let mut rest = name.strip_prefix(pieces.next()?)?;
    for piece in pieces {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        numbers.push(number(&rest[..digits])?);
        rest = rest[digits..].strip_prefix(piece)?;
    }
    Some((numbers, rest))
}

/// `pattern` with `numbers` in place of `#`.
fn filled(pattern: &str, numbers: &[usize]) -> String {
    let mut pieces = pattern.split('#');
    let mut filled = pieces.next().unwrap_or_default().to_string();
    for (piece, number) in pieces.zip(numbers) {
        filled += &format!("{number}{piece}");
    }
    filled
}

/// A number as Python writes it: "07" would be a second name for 7.
fn number(digits: &str) -> Option<usize> {
    let number: usize = digits.parse().ok()?;
    (number < 1000 && number.to_string() == digits).then_some(number)
}

/// The place of the family whose network these are, where `shapes` has what each of them sees: that which claims them,
/// then that which knows the most of them, then the first.
pub(crate) fn recognize<'a>(families: impl Iterator<Item = (&'static Names, &'a Shapes)>) -> usize {
    let score = |(names, shapes): (&Names, &Shapes)| match shapes.is_empty() {
        true => (Claim::None, 0),
        false => ((names.claims)(shapes), shapes.len()),
    };
    let scores: Vec<_> = families.map(score).collect();
    let best = scores.iter().max().copied();
    scores.iter().position(|score| Some(*score) == best).unwrap_or(0)
}
