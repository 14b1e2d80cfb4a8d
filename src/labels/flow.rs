//! Lists and maps as JSON, YAML's flow style and Python's `repr` write them: one lenient reader for the three.

/// A value; numbers are text that was not in quotes.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    /// Digits without quotes.
    Number(String),
    List(Vec<Value>),
    /// In the order of the file; keys may be doubled.
    Map(Vec<(Key, Value)>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub text: String,
    pub quoted: bool,
}

/// Deeper values are refused.
const DEEPEST: usize = 16;

/// Reads one value, which is all of `text` but for comments.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    match reader.rest().is_empty() {
        true => Ok(value),
        false => Err(reader.wrong("more text than one list")),
    }
}

/// A scalar that stands alone.
pub fn scalar(text: &str) -> Value {
    let text = text.trim();
    match text.chars().next() {
        Some('"' | '\'') => parse(text).unwrap_or_else(|_| Value::Text(text.into())),
        _ => bare(text),
    }
}

fn bare(text: &str) -> Value {
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Value::Number(text.into()),
        false => Value::Text(text.into()),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn wrong(&self, reason: &str) -> String {
        format!("{reason} in line {}", self.text[..self.at].matches('\n').count() + 1)
    }

    /// Passes white space and comments.
    fn space(&mut self) {
        loop {
            let rest = self.rest().trim_start();
            self.at = self.text.len() - rest.len();
            match rest.starts_with('#') {
                true => self.at += rest.find('\n').unwrap_or(rest.len()),
                false => return,
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        self.space();
        if depth > DEEPEST {
            return Err(self.wrong("lists too deep in each other"));
        }
        match self.peek() {
            None => Err(self.wrong("the end of the file where a value was expected")),
            Some('[') => self.items(']', depth).map(Value::List),
            Some('(') => self.items(')', depth).map(Value::List),
            Some('{') => self.map(depth),
            Some('"' | '\'') => self.quoted().map(Value::Text),
            Some(_) => Ok(bare(self.bare(false)?)),
        }
    }

    fn items(&mut self, end: char, depth: usize) -> Result<Vec<Value>, String> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.space();
            if self.take(end) {
                return Ok(items);
            }
            items.push(self.value(depth + 1)?);
            self.separator(end)?;
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, String> {
        let mut pairs = Vec::new();
        self.at += 1;
        loop {
            self.space();
            if self.take('}') {
                return Ok(Value::Map(pairs));
            }
            let quoted = matches!(self.peek(), Some('"' | '\''));
            let text = if quoted { self.quoted()? } else { self.bare(true)?.into() };
            self.space();
            if !self.take(':') {
                return Err(self.wrong("a key without a colon"));
            }
            pairs.push((Key { text, quoted }, self.value(depth + 1)?));
            self.separator('}')?;
        }
    }

    /// A comma, or the end, which stays.
    fn separator(&mut self, end: char) -> Result<(), String> {
        self.space();
        match self.take(',') || self.peek() == Some(end) {
            true => Ok(()),
            false => Err(self.wrong(&format!("no comma and no {end} after a value"))),
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += if found { wanted.len_utf8() } else { 0 };
        found
    }

    /// Text in quotes, with the escapes of JSON in double ones, and `''` or `\'` in single ones.
    fn quoted(&mut self) -> Result<String, String> {
        let rest = self.rest();
        let quote = rest.chars().next().expect("a quote");
        let (mut text, mut chars) = (String::new(), rest.char_indices().skip(1).peekable());
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|&(_, next)| next);
            match c {
                '\\' if next.is_some() => {
                    chars.next();
                    match next {
                        Some(c @ ('\'' | '"' | '\\')) => text.push(c),
                        Some(c) => text.extend(['\\', c]),
                        None => {}
                    }
                }
                _ if c == quote && quote == '\'' && next == Some('\'') => {
                    chars.next();
                    text.push('\'');
                }
                _ if c == quote => {
                    let end = at + 1;
                    self.at += end;
                    let json = (quote == '"').then(|| serde_json::from_str(&rest[..end]).ok()).flatten();
                    return Ok(json.unwrap_or(text));
                }
                _ => text.push(c),
            }
        }
        Err(self.wrong("a quote that is not closed"))
    }

    /// Text without quotes, to a comma, a bracket, a comment, the line's end, or in a key a colon.
    fn bare(&mut self, key: bool) -> Result<&'a str, String> {
        let rest = self.rest();
        let end = rest.find(|c| matches!(c, ',' | ']' | '}' | ')' | '\n' | '[' | '{') || key && c == ':');
        let text = &rest[..end.unwrap_or(rest.len())];
        let text = text.split(" #").next().unwrap_or(text).trim();
        self.at += end.unwrap_or(rest.len());
        match text.is_empty() {
            true => Err(self.wrong("nothing where a value was expected")),
            false => Ok(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_languages() {
        let text = |text: &str| Value::Text(text.into());
        let number = |text: &str| Value::Number(text.into());
        let key = |text: &str, quoted| Key { text: text.into(), quoted };
        let rows = [
            ("[\"a\", \"b\\u00e9\\n\"]", Value::List(vec![text("a"), text("bé\n")])),
            ("['it''s', 'it\\'s', \"it's\"]", Value::List(vec![text("it's"), text("it's"), text("it's")])),
            ("[a, b c , 3]", Value::List(vec![text("a"), text("b c"), number("3")])),
            ("('a',\n 'b', # two\n)", Value::List(vec![text("a"), text("b")])),
            (
                "{0: 'a', 1: \"b\",}",
                Value::Map(vec![(key("0", false), text("a")), (key("1", false), text("b"))]),
            ),
            (
                "{\"0\": [\"n\", \"a\"]}",
                Value::Map(vec![(key("0", true), Value::List(vec![text("n"), text("a")]))]),
            ),
            ("[]", Value::List(vec![])),
            ("[crane (bird]", Value::List(vec![text("crane (bird")])),
        ];
        for (from, expected) in rows {
            assert_eq!(parse(from), Ok(expected), "{from}");
        }
        for (from, expected) in [
            ("[\"a\"", "no comma and no ]"),
            ("[\"a", "a quote that is not closed"),
            ("{a}", "a key without a colon in line 1"),
            ("[a]\nb", "more text than one list in line 2"),
            ("[,]", "nothing where a value was expected"),
            (&"[".repeat(100_000), "lists too deep"),
        ] {
            let error = parse(from).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(scalar(" 'a b' "), text("a b"));
        assert_eq!(scalar("7"), number("7"));
    }
}
