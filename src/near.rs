//! Names that are near a misspelled one.

/// `; did you mean "b"?` where one of `known` is near `typed`, else nothing.
#[cfg(feature = "hub")]
pub(crate) fn hint<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(typed, known) {
        Some(name) => format!("; did you mean \"{name}\"?"),
        None => String::new(),
    }
}

/// The one of `known` that takes the fewest edits from `typed`, where that is at most a third of the letters of the
/// longer one; case does not count.
///
/// ```
/// use mobileone::named::nearest;
///
/// assert_eq!(nearest("digit", ["digits", "s0"]), Some("digits"));
/// assert_eq!(nearest("cats", ["digits", "s0"]), None);
/// ```
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |text: &str| -> Vec<char> { text.chars().flat_map(char::to_lowercase).collect() };
    let typed = letters(typed);
    let near = known.into_iter().filter_map(|name| {
        let letters = letters(name);
        let most = (letters.len().max(typed.len()) / 3).min(4);
        let edits = (letters.len().abs_diff(typed.len()) <= most).then(|| edits(&typed, &letters))?;
        (edits <= most).then_some((edits, name))
    });
    near.min_by_key(|&(edits, _)| edits).map(|(_, name)| name)
}

/// Letters put in, left out, replaced, or swapped with their neighbour.
fn edits(a: &[char], b: &[char]) -> usize {
    // Of the beginnings of `a` with two letters less, with one less, and this one: edits to each beginning of `b`.
    let (mut before, mut last) = (vec![0; b.len() + 1], (0..=b.len()).collect::<Vec<_>>());
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        (before, last) = (last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_found() {
        let known = ["digits", "Egyptian cat", "tiger cat", "s0"];
        for (typed, expected) in [
            ("digit", Some("digits")),
            ("DIGTIS", Some("digits")),
            ("egiptian cat", Some("Egyptian cat")),
            ("tigercat", Some("tiger cat")),
            ("dog", None),
            ("s9", None),
            ("s", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known), expected, "{typed}");
        }
        assert_eq!(edits(&['a', 'b'], &['b', 'a']), 1);
    }
}
