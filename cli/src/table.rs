//! Tables for people, which keep to 80 columns: whole names and all figures are in the other forms.

use crate::out::{WIDTH, plain};

/// How a column gives way in a table that is too wide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Give {
    /// Not at all.
    Stays,
    /// Down to this width.
    Shortens(usize),
    /// It is left out, the largest number first.
    Goes(u8),
}

/// A column's title, and how it gives way.
pub type Column<'a> = (&'a str, Give);

/// `rows` under the titles of `columns`, two spaces between them, the last one ragged. A column without a value in any
/// row is left out.
pub fn fit(columns: &[Column], rows: &[Vec<String>]) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let length = |text: &str| text.chars().count();
    let widest = |at: usize| rows.iter().map(|row| length(&row[at])).max().unwrap_or(0);
    // The place of each column that is shown, and its width.
    let mut shown: Vec<(usize, usize)> = (0..columns.len())
        .filter(|&at| widest(at) > 0)
        .map(|at| (at, widest(at).max(length(columns[at].0))))
        .collect();
    let give = |at: usize| columns[at].1;
    let least = |&(at, width): &(usize, usize)| match give(at) {
        Give::Shortens(least) => width.min(least),
        _ => width,
    };
    let between = |shown: &[(usize, usize)]| 2 * shown.len().saturating_sub(1);
    while shown.iter().map(least).sum::<usize>() + between(&shown) > WIDTH {
        let goes = |(place, &(at, _)): (usize, &(usize, usize))| match give(at) {
            Give::Goes(order) => Some((order, place)),
            _ => None,
        };
        let Some((_, place)) = shown.iter().enumerate().filter_map(goes).max() else { break };
        shown.remove(place);
    }
    while shown.iter().map(|(_, width)| width).sum::<usize>() + between(&shown) > WIDTH {
        let wide = shown.iter_mut().filter(|column| least(column) < column.1);
        let Some(column) = wide.max_by_key(|(_, width)| *width) else { break };
        column.1 -= 1;
    }
    let line = |cell: &dyn Fn(usize) -> String| {
        let cells = shown.iter().map(|&(at, width)| format!("{:width$}", short(&cell(at), width)));
        short(cells.collect::<Vec<_>>().join("  ").trim_end(), WIDTH)
    };
    let mut lines = Vec::new();
    if columns.iter().any(|(title, _)| !title.is_empty()) {
        lines.push(line(&|at| columns[at].0.to_string()));
    }
    lines.extend(rows.iter().map(|row| line(&|at| row[at].clone())));
    lines
}

/// `text` within `width` characters: what does not fit is cut off, with an ellipsis.
pub fn short(text: &str, width: usize) -> String {
    match text.chars().count() <= width {
        true => text.into(),
        false => text.chars().take(width.saturating_sub(1)).chain(['…']).collect::<String>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Give::{Goes, Shortens, Stays};

    #[test]
    fn tables_fit() {
        let name = "A GPU of a very long name, as their makers like to give them (vulkan, discrete GPU)";
        let columns =
            [("name", Shortens(20)), ("empty", Stays), ("ms", Stays), ("min", Goes(2)), ("max", Goes(1))];
        let row = |name: &str, wide: usize| -> Vec<String> {
            [name, "", "1.25", &"2".repeat(wide), &"3".repeat(wide)].map(String::from).to_vec()
        };
        // Nothing has to give way.
        assert_eq!(fit(&columns, &[row("one", 3)]), ["name  ms    min  max", "one   1.25  222  333"]);
        // Names are shortened before columns go.
        let lines = fit(&columns, &[row(name, 3), row("one", 3)]);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:?}");
        assert!(lines[1].starts_with("A GPU of a very long name") && lines[1].contains('…'), "{lines:?}");
        assert!(lines[1].ends_with("1.25  222  333") && lines[1].chars().count() == WIDTH, "{lines:?}");
        // The largest number goes first.
        let lines = fit(&columns, &[row(name, 30)]);
        assert!(lines[1].contains("333") && !lines[1].contains("222"), "{lines:?}");
        let lines = fit(&columns, &[row(name, 60)]);
        assert!(!lines[1].contains("333") && !lines[1].contains("222"), "{lines:?}");
        // What cannot give way is cut.
        let lines = fit(&[("x", Stays)], &[vec!["y".repeat(100)]]);
        assert!(lines[1].chars().count() == WIDTH && lines[1].ends_with('…'), "{lines:?}");
        assert_eq!(fit(&columns, &[]), [""]);
        assert_eq!(fit(&[("", Stays), ("", Stays)], &[vec!["a".into(), "b\n".into()]]), ["a  b\u{fffd}"]);
    }
}
