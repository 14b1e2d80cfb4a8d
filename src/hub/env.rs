//! Where the environment says that the hub and its cache are: the variables of Hugging Face's Python library, in its
//! order of precedence.

use std::path::PathBuf;

use crate::{
    error::{Error, Result},
    home::expand_text,
};

/// A variable's value; an empty one is unset.
fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The first of these variables that is set, as a folder or file.
fn path(names: &[&str]) -> Option<PathBuf> {
    let value = |name: &&str| match std::env::var(name) {
        Ok(value) => (!value.is_empty()).then(|| expand_text(&value, &text)),
        // A path need not be UTF-8.
        Err(_) => std::env::var_os(name).map(PathBuf::from),
    };
    names.iter().find_map(value)
}

fn is_true(value: &str) -> bool {
    matches!(&*value.to_uppercase(), "1" | "ON" | "YES" | "TRUE")
}

/// The folder of everything from the hub: `HF_HOME`, else `huggingface` in `XDG_CACHE_HOME` or `~/.cache`.
fn home() -> Option<PathBuf> {
    path(&["HF_HOME"]).or_else(|| {
        let caches = path(&["XDG_CACHE_HOME"]).or_else(|| Some(std::env::home_dir()?.join(".cache")))?;
        Some(caches.join("huggingface"))
    })
}

/// The folder of the cache: `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, or `hub` in the home of the hub's files.
pub(super) fn cache() -> Result<PathBuf> {
    let cache = path(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"])
        .or_else(|| home().map(|home| home.join("hub")))
        .ok_or_else(|| Error::Hub("no home folder for the hub's cache: set HF_HOME".into()))?;
    // The client library compares paths of its own making, which must be absolute.
    std::path::absolute(&cache).map_err(|source| Error::Io { path: cache, source })
}

/// `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, or what the file `HF_TOKEN_PATH` holds, which is `token` in the home of the
/// hub's files.
pub(super) fn token() -> Option<String> {
    if text("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some_and(|value| is_true(&value)) {
        return None;
    }
    let file = || path(&["HF_TOKEN_PATH"]).or_else(|| Some(home()?.join("token")));
    let token = text("HF_TOKEN")
        .or_else(|| text("HUGGING_FACE_HUB_TOKEN"))
        .or_else(|| std::fs::read_to_string(file()?).ok())?;
    Some(token.trim().to_string()).filter(|token| !token.is_empty())
}

/// `HF_HUB_OFFLINE`, else `TRANSFORMERS_OFFLINE`.
pub(super) fn offline() -> bool {
    text("HF_HUB_OFFLINE").or_else(|| text("TRANSFORMERS_OFFLINE")).is_some_and(|value| is_true(&value))
}
