//! Which class the name of a folder means.

use clap::ValueEnum;
use mobileone::labels::Labels;

/// What decides which class a folder is.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum ClassOrder {
    /// Its name, which is a label or a WordNet id
    Labels,
    /// The number that it is named by
    Number,
    /// Its place among the names sorted as text, as PyTorch's ImageFolder has it: 0, 1, 10, 11, 2
    Text,
}

/// The classes of folders.
#[derive(Debug, PartialEq)]
pub struct Truth {
    /// One for each folder.
    pub classes: Vec<usize>,
    /// Which order was taken, where the folders' names leave that open.
    pub said: Option<String>,
}

/// The classes of the `folders` of these names, which are sorted. Where `order` does not say otherwise, a name is a label
/// or an id, else the number of a class.
pub fn classes(folders: &[String], labels: &Labels, order: Option<ClassOrder>) -> Result<Truth, String> {
    let numbers: Option<Vec<usize>> = folders.iter().map(|name| number(name)).collect();
    let silent = |classes| Truth { classes, said: None };
    match (order, numbers) {
        (Some(ClassOrder::Labels), _) => by_label(folders, labels).map(silent),
        (Some(ClassOrder::Text), numbers) => {
            let total = labels.names().len();
            by_text(folders, numbers.as_deref(), total).map(silent).ok_or_else(|| {
                format!(
                    "--class-order text needs a folder for each of the {total} classes, or folders named by their \
                     numbers, and there are {}: --classes FILE gives the folders' names in the order of the classes",
                    folders.len()
                )
            })
        }
        (Some(ClassOrder::Number), Some(numbers)) => by_number(folders, &numbers, labels.names().len()),
        (Some(ClassOrder::Number), None) => {
            let other = folders.iter().find(|name| number(name).is_none()).map_or("", |name| name);
            Err(format!("folder \"{other}\" is not a number: --class-order labels or text"))
        }
        (None, Some(numbers)) => guess(folders, &numbers, labels),
        (None, None) => {
            let class = |name: &String| labels.find(name).map_err(|error| unlike(&error.to_string()));
            folders.iter().map(class).collect::<Result<_, _>>().map(silent)
        }
    }
}

fn unlike(error: &str) -> String {
    format!(
        "{error}; --class-order text takes the folders in the order of their names, as PyTorch's ImageFolder does, and \
         --classes FILE gives their names in the order of the classes"
    )
}

fn number(name: &str) -> Option<usize> {
    name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok()).flatten()
}

/// Folders that are all named by numbers: labels, where they are numbers, too; else the numbers.
fn guess(folders: &[String], numbers: &[usize], labels: &Labels) -> Result<Truth, String> {
    let mut named = Vec::new();
    for name in folders {
        named.push(labels.find_name(name).map_err(|error| error.to_string())?);
    }
    let total = labels.names().len();
    match named.iter().position(Option::is_none) {
        None => return Ok(Truth { classes: named.into_iter().flatten().collect(), said: None }),
        Some(at) => {
            if let Some(other) = named.iter().position(Option::is_some) {
                let (no, yes) = (&folders[at], &folders[other]);
                return Err(format!(
                    "folder \"{yes}\" is called like a label and \"{no}\" is not: --class-order number or text"
                ));
            }
        }
    }
    let by_number = by_number(folders, numbers, total).map_err(|error| unlike(&error))?;
    let Some(by_text) = by_text(folders, Some(numbers), total) else { return Ok(by_number) };
    let differs = (0..folders.len()).find(|&at| by_text[at] != by_number.classes[at]);
    let said = differs.map(|at| {
        let (folder, number, text) = (&folders[at], by_number.classes[at], by_text[at]);
        format!(
            "folder \"{folder}\" was taken for class {number}, by its number, which is a guess: PyTorch's ImageFolder \
             sorts names as text, where it is class {text}; --class-order number, text or --classes FILE decides"
        )
    });
    Ok(Truth { said: said.or(by_number.said), ..by_number })
}

fn by_label(folders: &[String], labels: &Labels) -> Result<Vec<usize>, String> {
    let class = |name: &String| match (labels.find_name(name), number(name)) {
        (Ok(Some(class)), _) => Ok(class),
        (Ok(None), Some(_)) => Err(format!(
            "folder \"{name}\" is called like no label, such as \"{}\": --class-order number or text",
            labels.names().first().map_or("", String::as_str)
        )),
        (Ok(None), None) => labels.find(name).map_err(|error| error.to_string()),
        (Err(error), _) => Err(error.to_string()),
    };
    folders.iter().map(class).collect()
}

/// The numbers are those of the classes, from 0, or from 1 where the last one shows that.
fn by_number(folders: &[String], numbers: &[usize], total: usize) -> Result<Truth, String> {
    let first = base(numbers, total).ok_or_else(|| {
        let outside = |&&number: &&usize| number >= total;
        let at = numbers.iter().position(|number| outside(&number)).unwrap_or(0);
        format!(
            "\"{}\" is not a class of the model: its classes are 0 to {}",
            folders[at],
            total.saturating_sub(1)
        )
    })?;
    let said = (first == 1).then(|| {
        format!(
            "folders 1 to {total} are classes 0 to {}, for their numbers begin at 1",
            total.saturating_sub(1)
        )
    });
    Ok(Truth { classes: numbers.iter().map(|number| number - first).collect(), said })
}

/// The number of the first class: 1 only where there is no 0, and a number as large as the count of classes.
fn base(numbers: &[usize], total: usize) -> Option<usize> {
    let (least, largest) = (*numbers.iter().min()?, *numbers.iter().max()?);
    match (least, largest) {
        _ if largest < total => Some(0),
        (1.., _) if largest == total => Some(1),
        _ => None,
    }
}

/// The places of the names among all, sorted as text: those that are there, if they are as many as the classes, else
/// the numbers of all classes. `None` when neither is known.
fn by_text(folders: &[String], numbers: Option<&[usize]>, total: usize) -> Option<Vec<usize>> {
    if folders.len() == total {
        let mut sorted: Vec<&String> = folders.iter().collect();
        sorted.sort_unstable();
        return folders.iter().map(|name| sorted.binary_search(&name).ok()).collect();
    }
    let numbers = numbers?;
    let first = base(numbers, total)?;
    // As wide as the widest, if they are padded.
    let width = folders.iter().filter(|name| name.starts_with('0') && name.len() > 1).map(String::len).max();
    let mut all: Vec<String> = (first..first + total)
        .map(|number| format!("{number:0width$}", width = width.unwrap_or(0)))
        .collect();
    all.sort_unstable();
    folders.iter().map(|name| all.binary_search(name).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Labels {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        Labels::choose(None, Some(&names), names.len()).unwrap()
    }

    fn numbered(total: usize) -> Labels {
        Labels::choose(None, None, total).unwrap()
    }

    #[test]
    fn folders_have_their_classes() {
        use ClassOrder::{Labels as ByLabel, Number, Text};
        let animals = labels(&["cat", "dog", "eel"]);
        let digits = labels(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "nothing"]);
        let sorted = labels(&["0", "1", "10", "11", "2", "3", "4", "5", "6", "7", "8", "9"]);
        // Labels, order, folders; classes and what is said, or the error.
        type Row<'a> =
            (&'a Labels, Option<ClassOrder>, &'a [&'a str], Result<(&'a [usize], &'a str), &'a str>);
        let twelve = numbered(12);
        let rows: &[Row] = &[
            (&animals, None, &["Cat", "2", "dog"], Ok((&[0, 2, 1], ""))),
            (&animals, None, &["ca", "eel"], Err("did you mean \"cat\"?")),
            (&animals, None, &["horse"], Err("--class-order text")),
            (&animals, Some(Text), &["a", "b", "c"], Ok((&[0, 1, 2], ""))),
            (&animals, Some(Text), &["a", "b"], Err("a folder for each of the 3 classes")),
            (&animals, Some(ByLabel), &["cat", "1"], Err("folder \"1\" is called like no label")),
            (&animals, Some(Number), &["cat", "1"], Err("folder \"cat\" is not a number")),
            (&animals, None, &["0", "1", "2"], Ok((&[0, 1, 2], ""))),
            (&animals, None, &["1", "2", "3"], Ok((&[0, 1, 2], "folders 1 to 3 are classes 0 to 2"))),
            (&animals, None, &["1", "3"], Ok((&[0, 2], "folders 1 to 3 are classes 0 to 2"))),
            (&animals, None, &["0", "3"], Err("\"3\" is not a class of the model: its classes are 0 to 2")),
            (&animals, Some(Text), &["10", "20", "5"], Ok((&[0, 1, 2], ""))),
            (&digits, None, &["0", "7"], Ok((&[0, 7], ""))),
            (&digits, None, &["0", "10"], Err("\"0\" is called like a label and \"10\" is not")),
            (&digits, Some(Number), &["0", "10"], Ok((&[0, 10], ""))),
            (&sorted, None, &["0", "10", "2"], Ok((&[0, 2, 4], ""))),
            (&sorted, Some(Number), &["0", "10", "2"], Ok((&[0, 10, 2], ""))),
            (&twelve, None, &["0", "1"], Ok((&[0, 1], ""))),
            (
                &twelve,
                None,
                &["0", "3", "6"],
                Ok((&[0, 3, 6], "folder \"3\" was taken for class 3, by its number")),
            ),
            (&twelve, None, &["1", "12"], Ok((&[0, 11], "folder \"12\" was taken for class 11"))),
            (&twelve, Some(Text), &["0", "3", "6", "8", "9"], Ok((&[0, 5, 8, 10, 11], ""))),
            (&twelve, Some(Number), &["0", "3", "6"], Ok((&[0, 3, 6], ""))),
            (&twelve, None, &["00", "03", "10"], Ok((&[0, 3, 10], ""))),
            (&twelve, Some(Text), &["00", "03", "10"], Ok((&[0, 3, 10], ""))),
        ];
        for (labels, order, folders, expected) in rows {
            let names: Vec<String> = folders.iter().map(|name| name.to_string()).collect();
            match (classes(&names, labels, *order), expected) {
                (Ok(truth), Ok((classes, said))) => {
                    assert_eq!(truth.classes, *classes, "{folders:?}, {order:?}");
                    let found = truth.said.unwrap_or_default();
                    assert!(
                        found.starts_with(said) && found.is_empty() == said.is_empty(),
                        "{folders:?}: {found}"
                    );
                }
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{folders:?}: {error}"),
                (found, expected) => panic!("{folders:?}, {order:?}: {found:?}, expected {expected:?}"),
            }
        }
        let imagenet = numbered(1000);
        let ids = ["n01440764", "n02124075"].map(String::from);
        for order in [None, Some(ByLabel)] {
            assert_eq!(classes(&ids, &imagenet, order).unwrap().classes, [0, 285]);
        }
    }
}
