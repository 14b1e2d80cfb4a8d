//! A name per line, with or without a number, a WordNet id, or a header.

use super::numbered::{List, Row, by_number, first, synset};

/// Between a number and a name, where white space would leave open whether the number is a part of the name.
const MARKS: [char; 7] = [':', ',', ';', '\t', '=', '|', ')'];

/// Reads a file of lines.
pub fn read(text: &str) -> Result<List, String> {
    let lines: Vec<&str> = text.trim_end().lines().map(|line| line.trim_end()).collect();
    if let Some(line) = lines.iter().position(|line| line.trim().is_empty()) {
        return Err(format!("line {} is empty", line + 1));
    }
    if let Some(list) = table(&lines)? {
        return Ok(list);
    }
    let trimmed: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    for split in [leading, trailing] {
        if let Some(list) = numbered(&trimmed, split)? {
            return Ok(list);
        }
    }
    let rows: Vec<Row> =
        match trimmed.iter().all(|line| synset(line).is_some_and(|(_, rest)| !rest.is_empty())) {
            true => trimmed.iter().map(|line| row(line)).collect(),
            false => trimmed.iter().map(|line| Row { name: unquoted(line), synset: None }).collect(),
        };
    Ok(List { rows, ..List::default() })
}

/// A line's number and name, and whether a mark stands between them.
type Split = fn(&str) -> Option<(usize, &str, bool)>;

/// The lines by their numbers, if all have one and they are numbers of classes; `None` when they belong to the names.
fn numbered(lines: &[&str], split: Split) -> Result<Option<List>, String> {
    let Some(parts) = lines.iter().map(|line| split(line)).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let marked = parts.iter().all(|&(_, _, marked)| marked);
    let numbers: Vec<usize> = parts.iter().map(|&(number, _, _)| number).collect();
    // "1 star", "2 stars", "3 stars": what is left is the same.
    let mut names: Vec<&str> = parts.iter().map(|&(_, name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    if !marked && lines.len() > 1 && names.len() * 3 <= lines.len() * 2 {
        return Ok(None);
    }
    if let Err(reason) = first(&numbers) {
        // "7 up", "10 euro": numbers that count nothing, unless most of them do.
        let base = usize::from(!numbers.contains(&0));
        let mut counted: Vec<usize> =
            numbers.iter().copied().filter(|number| (base..base + lines.len()).contains(number)).collect();
        counted.sort_unstable();
        counted.dedup();
        return match marked || counted.len() * 2 > lines.len() {
            true => Err(format!("{reason} (if the numbers belong to the names, write [\"name\", ...])")),
            false => Ok(None),
        };
    }
    by_number(parts.into_iter().map(|(number, name, _)| (number, row(name))).collect()).map(Some)
}

/// `0 tench`, `0: tench`, `0, tench`, `0. tench`, `0 - tench`.
fn leading(line: &str) -> Option<(usize, &str, bool)> {
    let end = line.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = (line[..end].parse().ok()?, &line[end..]);
    let name = rest.trim_start();
    let spaced = name.len() < rest.len();
    let tab = rest.starts_with('\t');
    let after = |mark: char| name.strip_prefix(mark).map(str::trim_start);
    // A point or a dash belongs to "3.5 inch" and "3-door".
    let loose = || after('.').or(after('-').filter(|_| spaced)).filter(|rest| name.len() > rest.len() + 1);
    let (name, marked) = match MARKS.into_iter().find_map(after).or_else(loose) {
        Some(name) => (name, true),
        None if spaced => (name, tab),
        None => return None,
    };
    (!name.is_empty()).then_some((number, name, marked))
}

/// `tench,0`, `tench: 0`, `tench 0`.
fn trailing(line: &str) -> Option<(usize, &str, bool)> {
    let start = line
        .rfind(|c: char| !c.is_ascii_digit())
        .map(|at| at + line[at..].chars().next().map_or(1, char::len_utf8))?;
    let number = line[start..].parse().ok()?;
    let rest = &line[..start];
    let name = rest.trim_end();
    let spaced = name.len() < rest.len();
    let tab = rest.ends_with('\t');
    let (name, marked) =
        match MARKS.into_iter().filter(|&mark| mark != ')').find_map(|mark| name.strip_suffix(mark)) {
            Some(name) => (name.trim_end(), true),
            None if spaced => (name, tab),
            None => return None,
        };
    (!name.is_empty()).then_some((number, name, marked))
}

/// A name, perhaps after its WordNet id.
fn row(text: &str) -> Row {
    match synset(text) {
        Some((id, rest)) => {
            let name = rest.trim_start_matches([' ', '\t', ',', ':', ';']);
            let name = if name.is_empty() { id } else { name };
            Row { name: unquoted(name), synset: Some(id.into()) }
        }
        None => Row { name: unquoted(text), synset: None },
    }
}

/// `crane, bird` of `"crane, bird"`.
fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner.filter(|text| !text.is_empty()).map_or_else(|| text.into(), |text| text.replace("\"\"", "\""))
}

const NUMBERS: [&str; 11] = [
    "index",
    "idx",
    "id",
    "number",
    "no",
    "class_id",
    "class_idx",
    "class_index",
    "label_id",
    "label_idx",
    "class id",
];
const NAMES: [&str; 9] =
    ["name", "label", "class", "class_name", "classname", "label_name", "category", "class name", "title"];

/// A table with a header that names its columns.
fn table(lines: &[&str]) -> Result<Option<List>, String> {
    let [header, body @ ..] = lines else { return Ok(None) };
    let Some(mark) = ['\t', ',', ';'].into_iter().find(|&mark| header.contains(mark)) else {
        return Ok(None);
    };
    let heads: Vec<String> = cells(header, mark).iter().map(|head| head.to_lowercase()).collect();
    let known = |head: &String| NUMBERS.contains(&head.as_str()) || NAMES.contains(&head.as_str());
    // All of two columns, and two of more: else the first line is a class.
    let count = heads.iter().filter(|head| known(head)).count();
    if body.is_empty() || count < 2 {
        return Ok(None);
    }
    let rows: Vec<Vec<String>> = body.iter().map(|line| cells(line, mark)).collect();
    if let Some(line) = rows.iter().position(|row| row.len() != heads.len()) {
        let (found, expected) = (rows[line].len(), heads.len());
        return Err(format!("line {} has {found} columns, the header has {expected}", line + 2));
    }
    let all_numbers = |&column: &usize| rows.iter().all(|row| row[column].parse::<usize>().is_ok());
    let columns = || 0..heads.len();
    let number = columns()
        .filter(|&column| NUMBERS.contains(&heads[column].as_str()))
        .find(all_numbers)
        .or_else(|| columns().filter(|&column| known(&heads[column])).find(all_numbers));
    let is_synset = |&column: &usize| {
        rows.iter().all(|row| synset(&row[column]).is_some_and(|(_, rest)| rest.is_empty()))
    };
    let id = columns().find(is_synset);
    let name = NAMES
        .iter()
        .filter_map(|name| heads.iter().position(|head| head == name))
        .find(|&column| Some(column) != number && Some(column) != id);
    let Some(name) = name.or(id) else { return Ok(None) };
    let row = |cells: &Vec<String>| Row {
        name: cells[name].clone(),
        synset: id.map(|column| cells[column].clone()),
    };
    if let Some(line) = rows.iter().position(|row| row[name].is_empty()) {
        return Err(format!("line {} has no name", line + 2));
    }
    match number {
        Some(number) => {
            let of = |cells: &Vec<String>| Some((cells[number].parse().ok()?, row(cells)));
            by_number(rows.iter().filter_map(of).collect()).map(Some)
        }
        None => Ok(Some(List { rows: rows.iter().map(row).collect(), how: "its rows", note: None })),
    }
}

/// The cells of a line, of which those in quotes may hold the mark.
fn cells(line: &str, mark: char) -> Vec<String> {
    let (mut cells, mut inside) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => {
                inside = !inside;
                cells.last_mut().expect("one at least").push(c);
            }
            _ if c == mark && !inside => cells.push(String::new()),
            _ => cells.last_mut().expect("one at least").push(c),
        }
    }
    cells.iter().map(|cell| unquoted(cell.trim())).collect()
}
