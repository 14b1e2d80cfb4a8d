//! The list of classes in a YAML file, such as ultralytics' `data.yaml`: of YAML, no more than such files take.

use super::flow::{self, Key, Value};

/// The keys whose value is a list of classes, the best first.
const KEYS: [&str; 7] =
    ["names", "classes", "id2label", "class_names", "label_names", "class_to_idx", "labels"];

/// Whether a file that is not called YAML reads like one: a key of these that stands at the beginning of a line, and
/// that nothing but a list follows.
pub fn is_likely(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let begins = |at: usize| {
        let (key, rest) = lines[at].split_once(':')?;
        let next = lines[at + 1..].iter().find(|line| !is_blank(line));
        let list = rest.trim_start().starts_with(['[', '{'])
            || without_comment(rest).is_empty() && next.is_some_and(|line| line.starts_with([' ', '-']));
        (KEYS.contains(&key) && list).then_some(())
    };
    (0..lines.len()).any(|at| begins(at).is_some())
}

/// The value of the first of the keys that the file has, or the whole file.
pub fn read(text: &str) -> Result<Value, String> {
    let lines: Vec<&str> = text.lines().collect();
    for key in KEYS {
        let found = lines.iter().enumerate().filter_map(|(at, line)| {
            let rest = line.trim_start().strip_prefix(key)?.trim_start().strip_prefix(':')?;
            Some((indent(line), at, rest))
        });
        if let Some((indent, at, rest)) = found.min_by_key(|&(indent, ..)| indent) {
            let rest = without_comment(rest);
            return match rest.is_empty() {
                true => block(&lines[at + 1..], Some(indent)),
                false if rest.starts_with(['[', '{']) => inline(&lines[at + 1..], rest),
                false => Err(format!("\"{key}\" is \"{rest}\", not a list")),
            };
        }
    }
    block(&lines, None)
}

/// A list in brackets, which may go on in the next lines.
fn inline(lines: &[&str], first: &str) -> Result<Value, String> {
    let mut text = first.to_string();
    let mut result = flow::parse(&text);
    for line in lines {
        if result.is_ok() || text.len() > 1 << 20 {
            break;
        }
        text = text + "\n" + line;
        // Only a line with a bracket can be the last.
        if line.contains([']', '}']) {
            result = flow::parse(&text);
        }
    }
    result
}

/// The items or pairs in the lines that belong to a key with `above` spaces before it, or in the whole file.
fn block(lines: &[&str], above: Option<usize>) -> Result<Value, String> {
    let (mut items, mut pairs, mut own) = (Vec::new(), Vec::new(), None);
    for line in lines {
        if is_blank(line) || line.starts_with("---") {
            continue;
        }
        let (spaces, text) = (indent(line), line.trim());
        let item = text.strip_prefix('-').filter(|rest| rest.starts_with(' ') || rest.is_empty());
        // Items may stand right under their key.
        if above.is_some_and(|above| spaces < above || spaces == above && item.is_none()) {
            break;
        }
        if *own.get_or_insert(spaces) != spaces {
            return Err(format!("\"{text}\" stands deeper than a list of names"));
        }
        match item {
            Some(rest) => items.push(flow::scalar(without_comment(rest))),
            None => {
                let (key, value) =
                    pair(text).ok_or_else(|| format!("\"{text}\" is neither an item nor a pair"))?;
                pairs.push((key, value));
            }
        }
    }
    match (items.is_empty(), pairs.is_empty()) {
        (false, true) => Ok(Value::List(items)),
        (true, false) => Ok(Value::Map(pairs)),
        (true, true) => Err("no names".into()),
        (false, false) => Err("items and pairs in one list".into()),
    }
}

/// `0: ant`, `"ant": 0`.
fn pair(text: &str) -> Option<(Key, Value)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let (key, rest) = match quote {
        Some(quote) => {
            let end = text[1..].find(quote)? + 2;
            (&text[..end], text[end..].trim_start().strip_prefix(':')?)
        }
        None => text.split_once(": ").or_else(|| text.strip_suffix(':').map(|key| (key, "")))?,
    };
    let key = match flow::scalar(key) {
        Value::Text(text) | Value::Number(text) => Key { text, quoted: quote.is_some() },
        _ => return None,
    };
    Some((key, flow::scalar(without_comment(rest))))
}

fn is_blank(line: &str) -> bool {
    let text = line.trim_start();
    text.is_empty() || text.starts_with('#')
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// What stands before ` #`, where that is not in quotes.
fn without_comment(text: &str) -> &str {
    let text = text.trim();
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') if at == 0 || text[..at].ends_with([' ', '[', ',', '{', ':']) => {
                quote = Some(c)
            }
            (Some(open), c) if c == open => quote = None,
            (None, '#') if at == 0 || text[..at].ends_with(' ') => return text[..at].trim_end(),
            _ => {}
        }
    }
    text
}
