//! `~` and variables in paths that no shell has seen: those of unit files, `.env` files and `--option=~/x`.

use std::path::{Path, PathBuf};

/// `path` with the home folder in place of a `~` at its beginning; as it is where there is no home.
pub(crate) fn expand(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        // Joining nothing would leave a slash at the end.
        (Ok(rest), Some(home)) if rest.as_os_str().is_empty() => home,
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}

/// The same, after `$NAME` and `${NAME}` were replaced by what `variable` says; one that it does not know stays.
#[cfg(feature = "hub")]
pub(crate) fn expand_text(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let (mut path, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        path += &rest[..at];
        let after = &rest[at + 1..];
        let (name, end) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        match variable(name) {
            Some(value) => path += &value,
            None => path += &rest[at..=at + end],
        }
        rest = &after[end..];
    }
    expand(Path::new(&(path + rest)))
}

#[cfg(all(test, feature = "hub"))]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        let variable = |name: &str| (name == "DATA").then(|| "/data".to_string());
        for (text, expected) in [
            ("/a/b", "/a/b"),
            ("$DATA/hf", "/data/hf"),
            ("${DATA}/hf", "/data/hf"),
            ("/x$DATA", "/x/data"),
            ("$OTHER/hf", "$OTHER/hf"),
            ("${OTHER}/hf", "${OTHER}/hf"),
            ("${DATA", "${DATA"),
            ("a$", "a$"),
            ("a~", "a~"),
            ("~someone/hf", "~someone/hf"),
        ] {
            assert_eq!(expand_text(text, &variable), Path::new(expected), "{text}");
        }
        let home = std::env::home_dir().unwrap();
        assert_eq!(expand(Path::new("~/hf")), home.join("hf"));
        assert_eq!(expand(Path::new("~")), home);
    }
}
