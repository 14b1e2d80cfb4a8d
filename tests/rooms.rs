//! The ground plan, read from the text: a room imports from rooms before it only, and files do not import in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The library's rooms in order.
const ROOMS: &[&str] = &[
    "error",
    "tensor",
    "files",
    "home",
    "near",
    "profile",
    "weights",
    "graph",
    "limits",
    "kernels",
    "plan",
    "reference",
    "reparam",
    "preprocess",
    "checkpoint",
    "models",
    "labels",
    "picture",
    "options",
    "tasks",
    "answer",
    "info",
    "input",
    "limit",
    "cpu",
    "gpu",
    "device",
    "ticket",
    "session",
    "verify",
    "bench",
    "tune",
    "export",
    "sample",
    "hub",
    "named",
];

/// Every file of a crate, by its path below `src` without `.rs`, `mod` left out: `graph/op`, `graph`.
fn files(of: &str) -> BTreeMap<String, String> {
    fn walk(folder: &Path, base: &Path, into: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, base, into);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(base).unwrap().with_extension("");
                let name = name.to_str().unwrap().trim_end_matches("/mod").to_string();
                into.insert(name, code(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join(of);
    let mut into = BTreeMap::new();
    walk(&base, &base, &mut into);
    into
}

/// A text without comments and tests.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n");
    let tests = code.find("\nmod tests {").map_or(&code[..], |at| &code[..at]);
    tests.to_string()
}

/// The paths that `text` uses behind `from` (`crate` or `super`), each as its segments: `use crate::{a, b::{c, d}}` gives
/// `a`, `b::c` and `b::d`.
fn paths(text: &str, from: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let start = format!("{from}::");
    for (at, _) in text.match_indices(&start) {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
            continue;
        }
        expand(&text[at + start.len()..], Vec::new(), &mut found);
    }
    found
}

/// Adds what one path, which may end in braces, stands for; gives how much of the text it is.
fn expand(text: &str, before: Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    if let Some(inside) = text.strip_prefix('{') {
        let mut at = 0;
        loop {
            at += inside[at..].len()
                - inside[at..].trim_start_matches(|c: char| c.is_whitespace() || c == ',').len();
            match inside[at..].chars().next() {
                Some('}') | None => return at + 2,
                Some(_) => at += expand(&inside[at..], before.clone(), found).max(1),
            }
        }
    }
    let len = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let mut path = before;
    path.push(text[..len].to_string());
    match text[len..].strip_prefix("::") {
        Some(rest) if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '{') => {
            len + 2 + expand(rest, path, found)
        }
        _ => {
            found.push(path);
            // A name of its own: `a as b`.
            text[len..].find([',', '}', ';', '(', ')', ' ', '\n']).map_or(text.len(), |end| len + end)
        }
    }
}

/// The room whose name each re-export of the library has.
fn exported(root: &str) -> BTreeMap<String, String> {
    let uses = root.split("pub use ").skip(1).map(|rest| rest.split(';').next().unwrap());
    let mut names = BTreeMap::new();
    for one in uses {
        let mut found = Vec::new();
        expand(one.trim_start_matches("crate::"), Vec::new(), &mut found);
        for path in found {
            names.insert(path.last().unwrap().clone(), path[0].clone());
        }
    }
    names
}

#[test]
fn rooms_import_from_rooms_before_them() {
    let files = files("src");
    let exported = exported(&files["lib"]);
    let place = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut faults = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for (file, text) in &files {
        let room = file.split('/').next().unwrap();
        if room == "lib" {
            continue;
        }
        seen.insert(room.to_string());
        let Some(own) = place(room) else {
            faults.insert(format!("{room} has no place in the list"));
            continue;
        };
        for path in paths(text, "crate") {
            let name = exported.get(&path[0]).unwrap_or(&path[0]);
            match place(name) {
                Some(other) if other <= own => {}
                Some(_) => drop(faults.insert(format!("{file} imports {name}, a room after its own"))),
                None => drop(faults.insert(format!("{file} imports {name}, which is no room"))),
            }
        }
    }
    let unknown = ROOMS.iter().filter(|room| !seen.contains(**room));
    faults.extend(unknown.map(|room| format!("there is no room {room}")));
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The files that `file` imports: those beside it, and those that it names from the crate's root. A room's own file, which
/// brings its parts together, does not count.
fn imports(file: &str, files: &BTreeMap<String, String>) -> BTreeSet<String> {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let named = |base: &str, path: &[String]| {
        (1..=path.len()).rev().map(|len| path[..len].join("/")).find_map(|path| {
            let full = if base.is_empty() { path } else { format!("{base}/{path}") };
            files.contains_key(&full).then_some(full)
        })
    };
    let text = &files[file];
    let beside = paths(text, "super").into_iter().filter_map(|path| named(folder, &path));
    let from_root = paths(text, "crate").into_iter().filter_map(|path| named("", &path));
    let holds =
        |other: &String| file.starts_with(&format!("{other}/")) || other.starts_with(&format!("{file}/"));
    beside.chain(from_root).filter(|other| other != file && !holds(other)).collect()
}

#[test]
fn files_do_not_import_in_a_circle() {
    for of in ["src", "cli/src", "demo/camera/src", "bindings/c/src", "bindings/python/src"] {
        let files = files(of);
        let graph: BTreeMap<&String, BTreeSet<String>> =
            files.keys().map(|file| (file, imports(file, &files))).collect();
        // What imports nothing that is left is taken away, until only circles are.
        let mut left: BTreeSet<&String> = graph.keys().copied().collect();
        loop {
            let free: Vec<&String> = left
                .iter()
                .copied()
                .filter(|file| graph[file].iter().all(|other| !left.contains(other)))
                .collect();
            if free.is_empty() {
                break;
            }
            left.retain(|file| !free.contains(file));
        }
        let circles: Vec<String> = left
            .iter()
            .map(|file| {
                let of: Vec<&str> =
                    graph[*file].iter().filter(|other| left.contains(other)).map(String::as_str).collect();
                format!("{file} -> {}", of.join(", "))
            })
            .collect();
        assert!(circles.is_empty(), "{of}: {circles:#?}");
    }
}
