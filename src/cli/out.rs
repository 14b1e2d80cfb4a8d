//! Words for people and for programs.

use std::{
    error::Error as _,
    io::{self, Write},
    path::Path,
};

use mobileone::{Error, tune};
use serde::Serialize;

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

/// Refuses a file that cannot be written, before anything is computed: better known then than at the end.
pub fn check_output(path: &Path) -> Result<(), Stop> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(Stop::Error(format!("{}: there is no folder {}", path.display(), folder.display())))
        }
        _ if path.exists() && !path.is_file() => {
            let path = path.display();
            Err(Stop::Error(format!("{path}: is no regular file, and is not replaced: give another name")))
        }
        // Of a link, what it leads to is replaced.
        _ => tune::writable(&path.canonicalize().unwrap_or_else(|_| path.into()))
            .map_err(|source| Error::Io { path: path.into(), source }.into()),
    }
}

/// A line for people, on standard error. That nobody reads it is no fault.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A line on standard output.
pub fn say(line: &str) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// A value as JSON on standard output: over many lines, or on one.
pub fn json(value: &impl Serialize, lines: bool) -> Result<(), Stop> {
    let text = if lines { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    say(&text.map_err(io::Error::from)?)
}

/// Columns under each other, two spaces between them, the last one ragged.
pub fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect()
}

/// A bar for a share from 0 to 1, of `width` columns.
pub fn bar(share: f32, width: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * width as f32 * 8.0).round() as usize;
    format!("{:width$}", "█".repeat(eighths / 8) + PARTS[eighths % 8])
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
