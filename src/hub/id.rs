//! What names a model on the hub.

use std::fmt;

use super::weights::is_weights_name;

/// A model on the hub: a repository, and what of it is meant.
///
/// ```
/// use mobileone::hub::Id;
///
/// let id = Id::parse("hf-hub:timm/mobileone_s1.apple_in1k@main")?.unwrap();
/// assert_eq!((&*id.repo, id.revision.as_deref()), ("timm/mobileone_s1.apple_in1k", Some("main")));
/// assert_eq!(Id::parse("S1")?.unwrap().repo, id.repo);
/// assert_eq!(Id::parse("weights/of/mine.pth")?, None);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id {
    /// `owner/name`.
    pub repo: String,
    /// A branch, a tag or a commit; `main` when none was named.
    pub revision: Option<String>,
    /// A file of weights in the repository, or a folder that holds them, when one was named.
    pub path: Option<String>,
}

impl Id {
    /// The model that `text` names: `s0` to `s4`, also with `mobileone_` before it (timm's, in any case), `owner/name`,
    /// `owner/name@revision`, either after `hf-hub:`, `hf_hub:` or `hf://`, `hf://owner/name@revision/file`, or the
    /// address of a page or file of the hub. `None` when it reads like none of these.
    ///
    /// # Errors
    /// A line that says why an address or a prefixed name is not a model's.
    pub fn parse(text: &str) -> Result<Option<Id>, String> {
        parse(text, &super::endpoint())
    }

    /// The branch, tag or commit that is meant.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    fn new(repo: String) -> Id {
        Id { repo, revision: None, path: None }
    }
}

/// As it can be typed.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Id { repo, revision, path } = self;
        f.write_str(if path.is_some() { "hf://" } else { "" })?;
        f.write_str(repo)?;
        revision.as_ref().map_or(Ok(()), |revision| match path {
            Some(_) if !is_special(revision) => write!(f, "@{}", revision.replace('/', "%2F")),
            _ => write!(f, "@{revision}"),
        })?;
        path.as_ref().map_or(Ok(()), |path| write!(f, "/{path}"))
    }
}

/// Servers that are the hub, whatever the endpoint.
const HOSTS: [&str; 3] = ["huggingface.co", "www.huggingface.co", "hf.co"];
/// What stands before a revision in the address of a page or file.
const PAGES: [&str; 5] = ["tree", "blob", "resolve", "raw", "blame"];

fn parse(text: &str, endpoint: &str) -> Result<Option<Id>, String> {
    if let Some(path) = path_of(text, endpoint)? {
        return page(path).map(Some);
    }
    if let Some(rest) = after(text, "hf://") {
        return location(rest).map(Some);
    }
    match after(text, "hf-hub:").or_else(|| after(text, "hf_hub:")) {
        Some(rest) => named(rest, true).ok_or_else(|| wrong(text)).map(Some),
        None => Ok(named(text, false)),
    }
}

fn wrong(text: &str) -> String {
    format!("{text}: expected the hub's owner/name, such as timm/mobileone_s1.apple_in1k")
}

/// `text` after `start`, in any case.
fn after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then_some(rest)
}

/// The path in the address of a page of the hub.
fn path_of<'a>(text: &'a str, endpoint: &str) -> Result<Option<&'a str>, String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, text),
    };
    if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("hf")) {
        return Ok(None);
    }
    let own = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let path = [own].into_iter().chain(HOSTS).find_map(|host| {
        after(rest, host).filter(|path| path.is_empty() && scheme.is_some() || path.starts_with('/'))
    });
    match path {
        None if scheme.is_some() => {
            Err(format!("{text}: not an address of the hub: download the file, and give its path"))
        }
        path => Ok(path),
    }
}

/// `/owner/name`, `/owner/name/tree/main`, `/owner/name/blob/main/model.safetensors`.
fn page(path: &str) -> Result<Id, String> {
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let parts: Vec<String> = path[..end].split('/').filter(|part| !part.is_empty()).map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (repo, rest) = split_repo(&parts, path)?;
    let (page, rest) = match rest {
        [] => return Ok(Id::new(repo)),
        [page, rest @ ..] if PAGES.contains(page) => (*page, rest),
        _ => return Err(format!("{path}: not the address of a model or of its files")),
    };
    let (revision, inner) = split_revision(rest);
    let mut inner = inner.to_vec();
    // The page of another file is read as its folder's.
    if page != "tree" && inner.last().is_some_and(|file| !is_weights_name(file)) {
        inner.pop();
    }
    checked(Id { repo, revision, path: joined(&inner) }, path)
}

/// What follows `hf://`: `owner/name@revision/file`.
fn location(text: &str) -> Result<Id, String> {
    if let Some(id) = named(text, true).filter(|_| !text.contains('@')) {
        return Ok(id);
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    let [owner, name, rest @ ..] = parts.strip_prefix(&["models"]).unwrap_or(&parts) else {
        return named(text, true).ok_or_else(|| wrong(text));
    };
    let (name, revision) = name.split_once('@').map_or((*name, None), |(name, rest)| (name, Some(rest)));
    let (repo, _) = split_repo(&[owner, name], text)?;
    let whole: Vec<&str> = revision.into_iter().chain(rest.iter().copied()).collect();
    let (revision, inner) = if revision.is_some() { split_revision(&whole) } else { (None, rest) };
    let revision = revision.map(|revision| decoded(&revision));
    checked(Id { repo, revision, path: joined(inner) }, text)
}

fn split_repo<'a, 'b>(parts: &'b [&'a str], text: &str) -> Result<(String, &'b [&'a str]), String> {
    match parts {
        ["datasets" | "spaces" | "buckets" | "kernels" | "collections", ..] => {
            Err(format!("{text}: {}: not a model", parts[0]))
        }
        [owner, name, rest @ ..] if is_part(owner) && is_part(name) => Ok((format!("{owner}/{name}"), rest)),
        _ => Err(wrong(text)),
    }
}

/// A revision, and what follows it; only those of pull requests and conversions have slashes here.
fn split_revision<'a, 'b>(parts: &'b [&'a str]) -> (Option<String>, &'b [&'a str]) {
    match parts {
        ["refs", kind @ ("pr" | "convert"), name, rest @ ..] => (Some(format!("refs/{kind}/{name}")), rest),
        [revision, rest @ ..] => (Some(revision.to_string()), rest),
        [] => (None, parts),
    }
}

fn is_special(revision: &str) -> bool {
    revision.starts_with("refs/pr/") || revision.starts_with("refs/convert/")
}

fn joined(parts: &[&str]) -> Option<String> {
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Revisions and paths become names of files in the cache.
fn checked(id: Id, text: &str) -> Result<Id, String> {
    let sound =
        |path: &str| path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\\'));
    match id.revision.iter().chain(&id.path).all(|path| sound(path)) {
        true => Ok(id),
        false => Err(format!("{text}: not a revision or file of the hub")),
    }
}

/// A short name or `owner/name`, with or without `@revision`. Only where `certain` may it end like a file of weights.
fn named(text: &str, certain: bool) -> Option<Id> {
    let (name, revision) = match text.split_once('@') {
        Some((name, revision)) => (name, Some(revision.to_string())),
        None => (text, None),
    };
    let repo = short(name).or_else(|| {
        let (owner, rest) = name.split_once('/')?;
        (is_part(owner) && is_part(rest) && (certain || !is_weights_name(text))).then(|| name.into())
    })?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let sound = revision.as_ref().is_none_or(|revision| revision.chars().all(plain));
    checked(Id { revision, ..Id::new(repo) }, text).ok().filter(|_| sound)
}

/// timm's repository of `s0`, `mobileone_s0`, `MobileOne-S0`, `mobileone_s0.apple_in1k`.
fn short(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let name = name.strip_suffix(".apple_in1k").unwrap_or(&name);
    let variant = name.strip_prefix("mobileone_").unwrap_or(name);
    super::VARIANTS.contains(&variant).then(|| super::timm(variant))
}

fn is_part(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphanumeric())
        && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && !part.contains("..")
        && !part.contains("--")
}

/// `%2F` is a slash; what is no such code stays.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let hex = |at: usize| tail.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses() {
        let id = |repo: &str, revision: Option<&str>, path: Option<&str>| {
            Ok(Some(Id {
                repo: repo.into(),
                revision: revision.map(String::from),
                path: path.map(String::from),
            }))
        };
        let s1 = "timm/mobileone_s1.apple_in1k";
        let file = Some("model.safetensors");
        let rows = [
            ("s1", id(s1, None, None)),
            ("S1", id(s1, None, None)),
            ("mobileone_s1", id(s1, None, None)),
            ("MobileOne-S1", id(s1, None, None)),
            ("mobileone_s1.apple_in1k", id(s1, None, None)),
            ("s1@v1.0", id(s1, Some("v1.0"), None)),
            (s1, id(s1, None, None)),
            ("hf-hub:timm/mobileone_s1.apple_in1k", id(s1, None, None)),
            ("hf_hub:timm/mobileone_s1.apple_in1k@main", id(s1, Some("main"), None)),
            ("HF-HUB:mobileone_s1", id(s1, None, None)),
            ("hf://u/m", id("u/m", None, None)),
            ("hf://models/u/m", id("u/m", None, None)),
            ("hf://u/m@v1/model.safetensors", id("u/m", Some("v1"), file)),
            ("hf://u/m@a%2Fb/x/y.pth", id("u/m", Some("a/b"), Some("x/y.pth"))),
            ("hf://u/m@refs/pr/3", id("u/m", Some("refs/pr/3"), None)),
            ("hf://u/m/sub", id("u/m", None, Some("sub"))),
            ("hf-hub:u/m.bin", id("u/m.bin", None, None)),
            ("u/m@refs/pr/3", id("u/m", Some("refs/pr/3"), None)),
            ("u/m@0123abc", id("u/m", Some("0123abc"), None)),
            ("https://huggingface.co/u/m", id("u/m", None, None)),
            ("http://HuggingFace.co/u/m/", id("u/m", None, None)),
            ("huggingface.co/u/m", id("u/m", None, None)),
            ("https://hf.co/u/m/tree/main", id("u/m", Some("main"), None)),
            ("https://huggingface.co/u/m/tree/v1/sub/", id("u/m", Some("v1"), Some("sub"))),
            ("https://huggingface.co/u/m/blob/v1/model.safetensors", id("u/m", Some("v1"), file)),
            (
                "https://huggingface.co/u/m/resolve/v1/model.safetensors?download=true",
                id("u/m", Some("v1"), file),
            ),
            ("https://huggingface.co/u/m/blob/main/config.json", id("u/m", Some("main"), None)),
            ("https://huggingface.co/u/m/tree/refs%2Fpr%2F3", id("u/m", Some("refs/pr/3"), None)),
            ("https://huggingface.co/u/m/tree/refs/pr/3", id("u/m", Some("refs/pr/3"), None)),
            ("http://127.0.0.1:8080/hf/u/m/blob/main/a.pth", id("u/m", Some("main"), Some("a.pth"))),
            ("http://127.0.0.1:8080/u/m", Err("not an address of the hub")),
            ("https://example.org/u/m", Err("not an address of the hub")),
            ("https://huggingface.co/datasets/u/m", Err("datasets: not a model")),
            ("https://huggingface.co/u/m/discussions/3", Err("not the address of a model")),
            ("https://huggingface.co/u/m/blob/main/%2E%2E/x.pth", Err("not a revision or file")),
            ("https://huggingface.co/", Err("expected the hub's owner/name")),
            ("hf://u/m@../x", Err("not a revision or file")),
            ("hf://datasets/u/m", Err("datasets: not a model")),
            ("hf-hub:m", Err("hf-hub:m: expected the hub's owner/name")),
            ("s5", Ok(None)),
            ("u/m.pth", Ok(None)),
            ("u/m@", Ok(None)),
            ("u/m@../..", Ok(None)),
            ("u/m@a b", Ok(None)),
            ("a/b/c", Ok(None)),
            ("u/..", Ok(None)),
            ("u/a--b", Ok(None)),
            ("", Ok(None)),
        ];
        for (text, expected) in rows {
            match (parse(text, "http://127.0.0.1:8080/hf"), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
                (found, expected) => panic!("{text}: {found:?}, expected {expected:?}"),
            }
        }
        // What is shown means the same.
        for text in ["u/m", "u/m@v1", "u/m@a/b", "hf://u/m@a%2Fb/x/y.pth", "hf://u/m@refs/pr/3/sub"] {
            assert_eq!(parse(text, "").unwrap().unwrap().to_string(), text);
        }
    }
}
