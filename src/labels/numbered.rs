//! Names put in the order of the numbers that stand beside them.

/// A class as a file gives it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    pub name: String,
    /// Its WordNet id.
    pub synset: Option<String>,
}

/// The names of a file, in order, and how it was understood.
#[derive(Debug, Default)]
pub struct List {
    pub rows: Vec<Row>,
    /// What of the file counted, for people: "by its numbers"; empty for a name per line.
    pub how: &'static str,
    /// What may surprise.
    pub note: Option<String>,
}

/// Numbers from 0 or from 1, each once, or why they are not.
pub fn first(numbers: &[usize]) -> Result<usize, String> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    let first = match sorted.first() {
        Some(&first @ (0 | 1)) => first,
        Some(first) => return Err(format!("the numbers begin at {first}, not at 0 or 1")),
        None => return Ok(0),
    };
    let what = if first == 0 { "class" } else { "number" };
    let shown = |numbers: Vec<usize>| {
        let text = numbers.iter().take(5).map(usize::to_string).collect::<Vec<_>>().join(", ");
        if numbers.len() > 5 { format!("{text} and {} more", numbers.len() - 5) } else { text }
    };
    let mut doubled: Vec<usize> =
        sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    doubled.dedup();
    if !doubled.is_empty() {
        return Err(format!("several names for {what} {}", shown(doubled)));
    }
    let (last, mut missing) = (sorted[sorted.len() - 1], Vec::new());
    for (at, &number) in sorted.iter().enumerate() {
        let expected = if at == 0 { first } else { sorted[at - 1] + 1 };
        // Enough to show; a number may be as large as it likes.
        missing.extend((expected..number).take(sorted.len().max(6)));
    }
    match missing.is_empty() {
        true => Ok(first),
        false => Err(format!("no name for {what} {}, of {first} to {last}", shown(missing))),
    }
}

/// Orders `rows` by their numbers.
pub fn by_number(rows: Vec<(usize, Row)>) -> Result<List, String> {
    let numbers: Vec<usize> = rows.iter().map(|&(number, _)| number).collect();
    let first = first(&numbers)?;
    let mut rows = rows;
    rows.sort_by_key(|&(number, _)| number);
    let note = (first == 1).then(|| {
        let last = rows.len();
        format!(
            "its numbers are 1 to {last}: number 1 was taken for class 0, and {last} for class {}",
            last - 1
        )
    });
    Ok(List { rows: rows.into_iter().map(|(_, row)| row).collect(), how: "by its numbers", note })
}

/// `n01440764`, and what follows it.
pub fn synset(text: &str) -> Option<(&str, &str)> {
    let (id, rest) = text.split_at_checked(9)?;
    let digits = id.strip_prefix('n')?;
    let ends = rest.is_empty() || rest.starts_with([' ', '\t', ',', ':', ';']);
    (ends && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some((id, rest))
}
