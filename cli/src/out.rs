//! Words for people and for programs.

use std::{
    error::Error as _,
    ffi::OsStr,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anstyle::{AnsiColor, Style};
use mobileone::{Error, files::write_whole, tune};
use serde::Serialize;

/// Columns that tables and help keep to.
pub const WIDTH: usize = 80;

/// The best class.
pub const BEST: Style = AnsiColor::Green.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// How much is printed on standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Talk {
    /// Errors and warnings.
    Quiet,
    /// Also what runs where, in a line, and how it went.
    Brief,
    /// Also where every choice came from.
    Verbose,
}

static TALK: OnceLock<Talk> = OnceLock::new();

/// Chooses, once, how much is printed.
pub fn set_talk(talk: Talk) {
    TALK.get_or_init(|| talk);
}

/// How much is printed.
pub fn talk() -> Talk {
    *TALK.get().unwrap_or(&Talk::Brief)
}

/// Why a command stops early.
#[derive(Debug)]
pub enum Stop {
    /// Nobody reads the output any more: no fault.
    Closed,
    /// What is wrong, in a line.
    Error(String),
}

impl Stop {
    /// `error`, in a line that names `about` first, unless it does so itself.
    pub fn about(about: &str, error: Error) -> Stop {
        let line = chain(&error);
        Stop::Error(if line.contains(about) { line } else { format!("{about}: {line}") })
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(chain(&error))
    }
}

/// Of standard output: other files' errors are the library's, and name the file.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Stop::Closed,
            _ => Stop::Error(format!("standard output: {error}")),
        }
    }
}

/// An error and its causes, each once, in one line.
pub fn chain(error: &Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line.lines().map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Text from outside, without what would move a terminal's cursor or begin another line.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A file's name for people, on one line: as it is, or in the quotes that bash and zsh read back as the same bytes,
/// `$'a\xff\n.jpg'`, where it is not UTF-8 or would move a terminal's cursor.
pub fn name(name: &OsStr) -> String {
    let bytes = name.as_encoded_bytes();
    match name.to_str() {
        Some(text) if !text.chars().any(char::is_control) && !text.starts_with("$'") => return text.into(),
        _ => {}
    }
    let mut quoted = String::from("$'");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => quoted += "\\n",
                '\'' | '\\' => quoted.extend(['\\', c]),
                _ if c.is_control() => {
                    c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| quoted += &format!("\\x{byte:02x}"));
                }
                _ => quoted.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| quoted += &format!("\\x{byte:02x}"));
    }
    quoted + "'"
}

/// The bytes of a name that is not UTF-8, percent-encoded as in a URL; `None` of any other, which JSON holds as it is.
pub fn name_bytes(name: &OsStr) -> Option<String> {
    let encode = |&byte: &u8| match byte {
        b'/' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.to_str().is_none().then(|| name.as_encoded_bytes().iter().map(encode).collect())
}

/// Refuses a file that cannot be written, before anything is computed: better known then than at the end.
pub fn check_output(path: &Path) -> Result<(), Stop> {
    check_parent(path)?;
    if path.exists() && !path.is_file() {
        let path = path.display();
        return Err(Stop::Error(format!(
            "{path}: not a regular file, so it will not be overwritten: choose another name"
        )));
    }
    tune::writable(&followed(path)).map_err(|source| Error::Io { path: path.into(), source }.into())
}

/// Refuses an output whose folder is missing: no command makes folders above what it writes.
pub fn check_parent(path: &Path) -> Result<(), Stop> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => Err(Stop::Error(format!(
            "{}: there is no folder {}: make it, or choose another name",
            path.display(),
            folder.display()
        ))),
        _ => Ok(()),
    }
}

/// Where a file is written: a link stays, and what it leads to is replaced.
pub fn followed(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.into())
}

/// Writes a file as a whole, or leaves what was there.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Stop> {
    write_whole(&followed(path), bytes).map_err(|source| Error::Io { path: path.into(), source }.into())
}

/// A line for people, on standard error; with `--quiet` only where it begins with `error:` or `warning:`, which have a
/// colour on a terminal. That nobody reads it is no fault.
pub fn note(line: &str) {
    let styled = [("error:", ERROR), ("warning:", WARNING)].into_iter().find_map(|(start, style)| {
        line.strip_prefix(start).map(|rest| format!("{style}{start}{style:#}{rest}"))
    });
    if styled.is_none() && talk() == Talk::Quiet {
        return;
    }
    let _ = writeln!(anstream::stderr().lock(), "{}", styled.as_deref().unwrap_or(line));
}

/// A line for people who ask for more, with `--verbose`.
pub fn detail(line: &str) {
    if talk() == Talk::Verbose {
        note(line);
    }
}

/// A line on standard output, its colours left out where that is no terminal.
pub fn say(line: &str) -> Result<(), Stop> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Text for programs, on standard output as it is.
pub fn put(text: &str) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// A value as JSON on standard output: over many lines, or on one.
pub fn json(value: &impl Serialize, lines: bool) -> Result<(), Stop> {
    let text = if lines { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    put(&(text.map_err(io::Error::from)? + "\n"))
}

/// A cell of CSV.
pub fn quote(cell: &str) -> String {
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.into(),
    }
}

/// Columns under each other, two spaces between them, the last one ragged.
pub fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0));
    let line = |row: &[String; N]| {
        let pad = |(cell, wide): (&String, usize)| cell.clone() + &" ".repeat(wide - width(cell));
        row.iter().zip(widths).map(pad).collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect()
}

/// Names and what there is to say of each, which goes on below itself where a line is full.
pub fn fields(rows: &[[String; 2]]) -> Vec<String> {
    let indent = rows.iter().map(|[name, _]| width(name)).max().unwrap_or(0) + 2;
    let lines = |[name, text]: &[String; 2]| {
        let parts = wrap(text, WIDTH - indent).into_iter().enumerate();
        parts
            .map(|(at, part)| format!("{:indent$}{part}", if at == 0 { name.as_str() } else { "" }))
            .collect::<Vec<_>>()
    };
    rows.iter().flat_map(lines).collect()
}

/// Lines of at most `columns`, broken between words; a longer word has a line of its own.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("never empty");
        if line.is_empty() {
            *line = word.into();
        } else if width(line) + 1 + width(word) <= columns {
            *line += &format!(" {word}");
        } else {
            lines.push(word.into());
        }
    }
    lines
}

/// The columns that `text` takes on a terminal, colours left out.
fn width(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().count()
}

/// `1 picture`, `2 pictures`, `2 batches`, `2 classes`.
pub fn count(number: usize, one: &str) -> String {
    let ending = match one.ends_with("ch") || one.ends_with('s') {
        _ if number == 1 => "",
        true => "es",
        false => "s",
    };
    format!("{} {one}{ending}", commas(number as u64))
}

/// A bar for a share from 0 to 1, of `width` columns.
pub fn bar(share: f32, width: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * width as f32 * 8.0).round() as usize;
    format!("{:width$}", "█".repeat(eighths / 8) + PARTS[eighths % 8])
}

/// A probability: `97.5%`. None is certain, whatever it rounds to.
pub fn percent(probability: f32) -> String {
    match format!("{:.1}%", f64::from(probability) * 100.0) {
        text if text == "100.0%" => ">99.9%".into(),
        text => text,
    }
}

/// A number with commas between the thousands.
pub fn commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `4.2 kB`, `8.3 MB`.
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

/// Milliseconds since `begun`, to the microsecond.
pub fn ms(begun: std::time::Instant) -> f64 {
    (begun.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_whatever_their_colours() {
        let row = |a: &str, b: &str| [a, b].map(String::from);
        let green = format!("{BEST}seven{BEST:#}");
        let lines = table(&[row("a", "b"), row(&green, "c")]);
        assert_eq!(lines, ["a      b".to_string(), format!("{green}  c")]);
    }

    #[test]
    fn long_fields_go_on_below() {
        let text = "word ".repeat(30);
        let lines = fields(&[["name".into(), text.trim().into()], ["n".into(), "short".into()]]);
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{lines:?}");
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("name  word") && lines[1].starts_with("      word"), "{lines:?}");
        assert_eq!(lines[2], "n     short");
    }

    #[test]
    fn one_and_many() {
        let all = [0, 1, 2, 1000].map(|number| count(number, "picture"));
        assert_eq!([count(2, "dispatch"), count(2, "class")], ["2 dispatches", "2 classes"]);
        assert_eq!(all, ["0 pictures", "1 picture", "2 pictures", "1,000 pictures"]);
    }

    #[test]
    fn no_probability_is_certain() {
        let rows = [(0.0, "0.0%"), (0.5, "50.0%"), (0.9994, "99.9%"), (0.9996, ">99.9%"), (1.0, ">99.9%")];
        rows.iter().for_each(|&(share, text)| assert_eq!(percent(share), text));
    }

    #[cfg(unix)]
    #[test]
    fn names_can_be_read_back() {
        use std::os::unix::ffi::OsStrExt;
        for (bytes, shown, encoded) in [
            (&b"cat.jpg"[..], "cat.jpg", None),
            ("été.jpg".as_bytes(), "été.jpg", None),
            (b"a b'\\.jpg", "a b'\\.jpg", None),
            (b"a\n\x1b'\\", "$'a\\n\\x1b\\'\\\\'", None),
            (b"$'a'", "$'$\\'a\\''", None),
            (b"d/\xff\xfe .jpg", "$'d/\\xff\\xfe .jpg'", Some("d/%FF%FE%20.jpg")),
            (b"\xc3", "$'\\xc3'", Some("%C3")),
        ] {
            let os = OsStr::from_bytes(bytes);
            assert_eq!(name(os), shown);
            assert_eq!(name_bytes(os).as_deref(), encoded);
        }
    }
}
