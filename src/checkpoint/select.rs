//! Which of a file's tensors are the network, and which are not needed to run it.
//!
//! Nothing that may be a part of the network is passed over: a tensor is left out only by what its name, its
//! type or its place says.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Found, Opened, Which,
    candidate::Candidate,
    fault, foreign, head,
    names::{self, COUNTER},
    naming::{Claim, LINEAR, Names, Shapes, recognize},
    raw::Content,
    refuse,
};
use crate::error::{Error, Result};

/// The keys that training scripts choose for the network, the preferred one first, as timm loads them.
const AVERAGED: [&str; 2] = ["state_dict_ema", "model_ema"];
const RAW: [&str; 2] = ["state_dict", "model"];

/// Words that averaged weights are known by.
const AVERAGES: [&str; 7] = ["ema", "swa", "avg", "averaged", "average", "averaging", "polyak"];

/// The most networks of a file.
const MAX_NETWORKS: usize = 64;

/// What was taken of a file.
pub(super) struct Selected {
    /// The network's family.
    pub names: &'static Names,
    /// Canonical names, and places among the file's entries.
    pub parameters: Vec<(String, usize)>,
    /// Names in the file of what is not needed.
    pub passed_over: Vec<String>,
    /// All networks of the file; empty when there is one.
    pub networks: Vec<Found>,
}

/// Finds the network that `which` means.
///
/// # Errors
/// [`Error::File`] when there is none, or several and nothing says which; [`Error::Tensor`] when a tensor may be a
/// part of the network but has no place in it; [`Error::Weights`] for either where a choice mends it; [`Error::Model`]
/// when it is another network.
pub(super) fn select(file: &mut Opened, which: &Which) -> Result<Selected> {
    let paths: Vec<String> = file.entries.iter().map(|entry| names::unwrapped(&entry.path)).collect();
    let mut candidates = candidates(file, &paths);
    let none = candidates.is_empty();
    if none {
        candidates.extend(classifier_alone(file, &paths)?);
    }
    let taken = choose(file, &paths, &candidates, which)?;
    let chosen = &candidates[taken];
    let others = others(&candidates, chosen);
    let around = candidates.iter().filter(|other| chosen.prefix.starts_with(&other.prefix));
    let around: Vec<&str> =
        around.map(|other| other.prefix.as_str()).filter(|other| *other != chosen.prefix).collect();
    let foreign = |path: &str| {
        let in_one_around =
            !path.starts_with(&chosen.prefix) && around.iter().any(|other| path.starts_with(other));
        in_one_around || others.iter().any(|other| path.starts_with(other))
    };
    let members: BTreeSet<usize> = chosen.members.iter().map(|(_, at)| *at).collect();
    let free = |at: usize, path: &str| !members.contains(&at) && !path.ends_with(COUNTER) && !foreign(path);

    let rest: Vec<(usize, &str)> = paths
        .iter()
        .enumerate()
        .map(|(at, path)| (at, path.as_str()))
        .filter(|&(at, path)| free(at, path))
        .collect();
    let head = head::find(file, &rest, &candidates, chosen)?;
    let mut parameters = chosen.members.clone();
    parameters.extend(head.parameters.iter().cloned());

    // What stands in the same dictionaries as the network, or beside its classifier
    let own =
        parameters.iter().map(|&(_, at)| names::unwrapped(&file.entries[at].path[..file.entries[at].start]));
    let scope = own.chain(head.level.clone()).min_by_key(String::len).unwrap_or_default();
    let taken_at: BTreeSet<usize> = parameters.iter().map(|&(_, at)| at).collect();
    let within = !none && head.level.as_ref() == Some(&chosen.prefix);
    let mut passed_over = Vec::new();
    for &(at, path) in &rest {
        if !path.starts_with(&scope) || taken_at.contains(&at) {
            continue;
        }
        let content = file.content(at)?;
        let view = match &content {
            Content::Array(view) => Some(view),
            Content::Other(_) => None,
        };
        let rank = view.map_or(0, |view| view.shape().len());
        let counts = view.is_none_or(|view| !view.is_float()) || rank == 0;
        // Whether the tensor, `place` seen from the network or from what holds both, may be a part of the way
        let on_the_way = |place: &str| {
            let first = place.split('.').next().unwrap_or("");
            !names::is_training(first) && (names::is_between(place) || !counts && !names::is_training(place))
        };
        let inner = path.strip_prefix(chosen.prefix.as_str());
        let needed = match inner {
            Some(inner) if chosen.names.is_place(inner.split('.').next().unwrap_or("")) => true,
            Some(inner) => on_the_way(inner),
            None if matches!(which, Which::Named(_)) || within => false,
            None => {
                let place = &path[scope.len()..];
                on_the_way(place) && (names::is_between(place) || head.level.is_none() && rank > 1)
            }
        };
        if needed {
            return Err(no_part(file, at, chosen.names, inner.is_none().then_some(chosen)));
        }
        passed_over.push(file.entries[at].name().to_string());
    }
    if parameters.is_empty() {
        return Err(file.nothing());
    }
    let networks = candidates.iter().enumerate().map(|(at, candidate)| Found {
        name: candidate.name().into(),
        averaged: candidate.averaged,
        taken: at == taken,
    });
    let networks: Vec<Found> = if candidates.len() > 1 { networks.collect() } else { Vec::new() };
    Ok(Selected { names: chosen.names, parameters, passed_over, networks })
}

/// All networks of the file, in its order; parts of networks only if there is nothing else.
fn candidates(file: &Opened, paths: &[String]) -> Vec<Candidate> {
    // By prefix: what each family knows of what stands behind it
    let mut groups: BTreeMap<&str, Vec<Vec<(String, usize)>>> = BTreeMap::new();
    for (at, path) in paths.iter().enumerate() {
        for (family, names) in file.families.iter().enumerate() {
            if let Some((start, canonical)) = names.body(path) {
                let known =
                    groups.entry(&path[..start]).or_insert_with(|| vec![Vec::new(); file.families.len()]);
                known[family].push((canonical, at));
            }
        }
    }
    // torch.optim.swa_utils.AveragedModel counts its steps beside the network
    let counters: BTreeSet<&str> = paths.iter().filter_map(|path| path.strip_suffix("n_averaged")).collect();
    let averaged = |prefix: &str| {
        let named = prefix.split('.').flat_map(names::words).any(|word| AVERAGES.contains(&word.as_str()));
        let mut modules = prefix.rmatch_indices("module.").map(|(at, _)| &prefix[..at]).take(8);
        named || modules.any(|place| (place.is_empty() || place.ends_with('.')) && counters.contains(place))
    };
    let first = |prefix: &str| prefix.split('.').next().unwrap_or("").to_string();
    // Lightning's WeightAveraging puts the average in the network's place, and so does mmengine's EMAHook
    let kept_apart = |key: &str| groups.keys().any(|prefix| first(prefix) == key);
    let lightning = kept_apart("current_model_state");
    let mmengine = file.mmengine && kept_apart("ema_state_dict");
    let swapped = |prefix: &str| match first(prefix).as_str() {
        "state_dict" if lightning || mmengine => Some(true),
        "current_model_state" => Some(false),
        "ema_state_dict" if mmengine => Some(false),
        _ => None,
    };
    let flags: Vec<bool> =
        groups.keys().map(|prefix| swapped(prefix).unwrap_or_else(|| averaged(prefix))).collect();
    let mut all: Vec<Candidate> = groups
        .into_iter()
        .zip(flags)
        .map(|((prefix, known), averaged)| candidate(file, prefix, known, averaged))
        .collect();
    if all.iter().any(|candidate| candidate.whole) {
        all.retain(|candidate| candidate.whole);
    }
    all.sort_by_key(|candidate| candidate.members[0].1);
    all
}

/// The network behind `prefix`, of the family that claims it; `known` has what each family knows of it.
fn candidate(file: &Opened, prefix: &str, mut known: Vec<Vec<(String, usize)>>, averaged: bool) -> Candidate {
    let shape = |(name, at): &(String, usize)| (name.clone(), file.shape(*at).unwrap_or_default());
    let shapes: Vec<Shapes> = known.iter().map(|members| members.iter().map(shape).collect()).collect();
    let taken = recognize(file.families.iter().copied().zip(&shapes));
    let names = file.families[taken];
    let whole = (names.claims)(&shapes[taken]) == Claim::Whole;
    Candidate { prefix: prefix.into(), names, members: known.swap_remove(taken), whole, averaged }
}

/// Where a file holds nothing of a network but its classifier, or what is called so.
///
/// # Errors
/// What the file holds when there is not even that.
fn classifier_alone(file: &Opened, paths: &[String]) -> Result<Option<Candidate>> {
    let before = |path: &str| {
        let (module, field) = path.rsplit_once('.')?;
        let head = module.split('.').position(names::is_head).filter(|_| LINEAR.contains(&field))?;
        Some(module.split('.').take(head).map(|part| part.len() + 1).sum::<usize>())
    };
    let prefix =
        paths.iter().filter_map(|path| Some(&path[..before(path)?])).max_by_key(|prefix| prefix.len());
    let names = file.families[0];
    match prefix {
        Some(prefix) => {
            let (prefix, members) = (prefix.into(), Vec::new());
            Ok(Some(Candidate { prefix, names, members, whole: false, averaged: false }))
        }
        None => match paths.iter().position(|path| !path.ends_with(COUNTER)) {
            Some(at) => Err(no_part(file, at, names, None)),
            None => Err(file.nothing()),
        },
    }
}

/// The place of the candidate that `which` means.
fn choose(file: &mut Opened, paths: &[String], candidates: &[Candidate], which: &Which) -> Result<usize> {
    if candidates.len() > MAX_NETWORKS {
        return Err(file
            .source
            .fault(format!("holds more than {MAX_NETWORKS} networks: no checkpoint does")));
    }
    let pick = |wanted: &dyn Fn(&Candidate) -> bool| -> Vec<usize> {
        (0..candidates.len()).filter(|&at| wanted(&candidates[at])).collect()
    };
    let averaged = pick(&|candidate| candidate.averaged);
    let raw = pick(&|candidate| !candidate.averaged);
    let (mut found, wanted) = match which {
        Which::Averaged if averaged.is_empty() => (raw, String::new()),
        Which::Averaged => (averaged, String::new()),
        Which::Ema => (averaged, "averaged weights".into()),
        Which::Raw => (raw, "raw weights".into()),
        Which::Named(name) => {
            let mut named = pick(&|candidate| candidate.name() == name);
            if named.is_empty() {
                named = pick(&|candidate| candidate.is_named(name));
            }
            (named, format!("network under \"{name}\""))
        }
    };
    if found.is_empty() {
        let all: Vec<usize> = (0..candidates.len()).collect();
        return Err(file.source.fault(format!("holds no {wanted}; there is {}", listed(candidates, &all))));
    }
    if found.len() > 1 {
        found = distinct(file, paths, candidates, found)?;
    }
    if found.len() > 1 && !matches!(which, Which::Named(_)) {
        let order = if candidates[found[0]].averaged { AVERAGED } else { RAW };
        let rank = |at: usize| {
            let prefix = &candidates[at].prefix;
            order.iter().position(|key| prefix.split('.').any(|part| part == *key))
        };
        let ranks: BTreeSet<Option<usize>> = found.iter().map(|&at| rank(at)).collect();
        // All of them are known, and no two alike
        if ranks.len() == found.len() && !ranks.contains(&None) {
            found.sort_by_key(|&at| rank(at));
            found.truncate(1);
        }
    }
    match found[..] {
        [only] => Ok(only),
        _ => Err(Error::Weights {
            path: file.source.path.into(),
            reason: format!("holds several networks, {}: choose one of them", listed(candidates, &found)),
            network: None,
        }),
    }
}

/// `found` without those that hold the same as another one, which has the classifier if only one of them has.
fn distinct(
    file: &mut Opened,
    paths: &[String],
    candidates: &[Candidate],
    found: Vec<usize>,
) -> Result<Vec<usize>> {
    let mut budget = 2 * file.source.bytes.len();
    let mut kept: Vec<(usize, Places, Places)> = Vec::new();
    for at in found {
        let Candidate { prefix, members, .. } = &candidates[at];
        let classifier = |(at, path): (usize, &String)| {
            let name = path.strip_prefix(prefix.as_str())?;
            let is = names::is_head(name.split('.').next()?) && !names::is_training(name);
            is.then(|| (name.to_string(), at))
        };
        let network: Places = members.iter().cloned().collect();
        let head: Places = paths.iter().enumerate().filter_map(classifier).collect();
        let mut doubled = false;
        for (known, other, others) in &mut kept {
            let alone = head.is_empty() || others.is_empty();
            if same(file, &network, other, &mut budget)? && (alone || same(file, &head, others, &mut budget)?)
            {
                doubled = true;
                if others.is_empty() {
                    (*known, *others) = (at, head.clone());
                }
                break;
            }
        }
        if !doubled {
            kept.push((at, network, head));
        }
    }
    Ok(kept.into_iter().map(|(at, ..)| at).collect())
}

/// Places of parameters among a file's entries, by their names.
type Places = BTreeMap<String, usize>;

fn same(file: &mut Opened, a: &Places, b: &Places, budget: &mut usize) -> Result<bool> {
    if !a.keys().eq(b.keys()) {
        return Ok(false);
    }
    for (&a, &b) in a.values().zip(b.values()) {
        let (Content::Array(a), Content::Array(b)) = (file.content(a)?, file.content(b)?) else {
            return Ok(false);
        };
        let Some(left) = budget.checked_sub(a.bytes()) else { return Ok(false) };
        *budget = left;
        if !a.same(&b) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `"student", "teacher"`.
fn listed(candidates: &[Candidate], which: &[usize]) -> String {
    let name = |&at: &usize| {
        let kind = if candidates[at].averaged { " (averaged)" } else { "" };
        match candidates[at].name() {
            "" => format!("one at the top{kind}"),
            name => format!("\"{name}\"{kind}"),
        }
    };
    const MOST: usize = 8;
    let more = if which.len() > MOST { ", ..." } else { "" };
    which.iter().take(MOST).map(name).collect::<Vec<_>>().join(", ") + more
}

/// The beginnings of the names of all that belongs to other networks than `chosen`.
fn others(candidates: &[Candidate], chosen: &Candidate) -> Vec<String> {
    let places = candidates.iter().filter(|other| other.prefix != chosen.prefix).filter_map(|other| {
        let parts = other.prefix.split_inclusive('.');
        let common =
            parts.clone().zip(chosen.prefix.split_inclusive('.')).take_while(|(a, b)| a == b).count();
        (parts.clone().count() > common).then(|| parts.take(common + 1).collect::<String>())
    });
    places.collect()
}

/// The refusal of the entry at `at`, which has no place in the network of the family `names`; `apart` from the network it
/// stands beside.
fn no_part(file: &Opened, at: usize, names: &Names, apart: Option<&Candidate>) -> Error {
    let place = &file.entries[at].path[..file.entries[at].start];
    let beside = file.entries.iter().filter(|entry| &entry.path[..entry.start] == place);
    if let Some((network, name)) = foreign::by_names(beside.map(|entry| entry.name()), names.family) {
        return refuse(names.family, network, name);
    }
    let name = file.entries[at].name();
    let family = names.family;
    let reason = format!("is no part of a {family}, in any naming that is known here");
    match apart.map(Candidate::name) {
        Some(network) if !network.is_empty() => Error::Weights {
            path: file.source.path.into(),
            reason: format!(
                "tensor \"{name}\": {reason}; the network under \"{network}\" can be read alone: choose it"
            ),
            network: Some(network.into()),
        },
        _ => fault(
            name,
            format!("{reason}: give a {family}'s file, or remove the tensor if the network runs without it"),
        ),
    }
}
