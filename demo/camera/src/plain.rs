//! Other libraries' errors for people: without the source files of the machine that built this program, which some of
//! them name.

use std::{fmt::Display, panic::PanicHookInfo};

/// The words before a place in a source, which go with it.
const BEFORE: [&str; 5] = ["os error at", "panicked at", "at", "in", "from"];

/// An error's text without the places in sources that it names: `os error at /there/mod.rs:7: refused` is `refused`.
pub fn plain(error: impl Display) -> String {
    let mut text = error.to_string();
    while let Some((begin, end)) = place(&text) {
        let (before, after) = (text[..begin].trim_end(), &text[end..]);
        // In brackets of its own it leaves none.
        if let (Some(before), Some(after)) = (before.strip_suffix('('), after.strip_prefix(')')) {
            text = format!("{}{after}", before.trim_end());
            continue;
        }
        let word = |word: &&&str| {
            let rest = before.strip_suffix(**word);
            rest.is_some_and(|rest| !rest.ends_with(|last: char| last.is_alphanumeric()))
        };
        let before = BEFORE.iter().find(word).map_or(before, |word| &before[..before.len() - word.len()]);
        text = format!("{before}{}", after.trim_start_matches(':').trim_start());
    }
    text.trim().to_string()
}

/// Where a text names a place in a source, `file.rs:7` or `file.rs:7:21`.
fn place(text: &str) -> Option<(usize, usize)> {
    let number = |from: usize| {
        let digits = text[from..].strip_prefix(':')?;
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        (count > 0).then_some(from + 1 + count)
    };
    let (name, line) = text.match_indices(".rs").find_map(|(at, _)| Some((at, number(at + 3)?)))?;
    let end = number(line).unwrap_or(line);
    // Folders may have spaces: the path begins with the last root before it, else with its word.
    let starts = |at: usize| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|before| before.is_whitespace() || "(\"'`".contains(before))
    };
    let root = |at: usize| {
        let rest = &text.as_bytes()[at..];
        rest[0] == b'/' || rest[0].is_ascii_alphabetic() && matches!(rest[1..], [b':', b'\\' | b'/', ..])
    };
    let words: Vec<usize> = (0..=name).filter(|at| text.is_char_boundary(*at) && starts(*at)).collect();
    let begin = words.iter().rev().find(|at| root(**at)).or(words.last()).copied().unwrap_or(0);
    Some((begin, end))
}

/// A text in which sources are named from their crate on: `/home/me/.cargo/registry/src/index/a-1.0/src/b.rs` is
/// `a-1.0/src/b.rs`.
fn short(text: &str) -> String {
    let mut text = text.replace('\\', "/");
    for store in ["/registry/src/", "/git/checkouts/"] {
        while let Some(at) = text.find(store) {
            let index = at + store.len();
            let end = text[index..].find('/').map_or(text.len(), |slash| index + slash + 1);
            let begin = text[..at].rfind(['"', '\'', '`', '(', '\n']).map_or(0, |quote| quote + 1);
            // Folders may have spaces: back to the last root, if there is one.
            let line = &text[begin..at];
            let drive = line.rfind(":/").map(|colon| colon.saturating_sub(1));
            let root = drive.or_else(|| line.rfind(" /").map(|space| space + 1));
            text.replace_range(begin + root.unwrap_or(0)..end, "");
        }
    }
    text
}

/// Has panics say what happened, and where by crate and file; with `RUST_BACKTRACE` they say all.
pub fn hook_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|wanted| wanted != "0") {
        return;
    }
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo| {
        let place =
            panic.location().map_or(String::new(), |place| format!(" at {}", short(&place.to_string())));
        let said = panic.payload_as_str().unwrap_or("no reason was given");
        eprintln!("camera: panicked{place}: {}", short(said));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_no_source() {
        let rows = [
            (
                "os error at /root/.cargo/registry/src/index-1/winit-0.30.13/src/x/mod.rs:757: no display",
                "no display",
            ),
            (r"os error at C:\Users\A B\.cargo\registry\src\i\winit\src\event_loop.rs:5: refused", "refused"),
            (
                "os error at /home/a b/.cargo/winit/src/mod.rs:7: neither A nor B is set.",
                "neither A nor B is set.",
            ),
            ("refused at src/a.rs:3:14", "refused"),
            ("refused (src/a.rs:3) twice", "refused twice"),
            ("it failed in /a/b.rs:3: no; from /c/d.rs:4:5: never", "it failed no; never"),
            ("/tmp/notes.rs: no such file", "/tmp/notes.rs: no such file"),
            ("/dev/video0: Permission denied (os error 13)", "/dev/video0: Permission denied (os error 13)"),
            ("Ohne Gerät: größer als 3", "Ohne Gerät: größer als 3"),
            ("", ""),
        ];
        for (text, expected) in rows {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn panics_name_crates() {
        let rows = [
            ("/root/.cargo/registry/src/index-1/egui-0.37.0/src/a.rs:3:4", "egui-0.37.0/src/a.rs:3:4"),
            (
                r"C:\Users\A B\.cargo\registry\src\index-1\egui-0.37.0\src\a.rs:3:4",
                "egui-0.37.0/src/a.rs:3:4",
            ),
            ("/opt/cargo/git/checkouts/egui-12ab/34cd/src/a.rs:3:4", "34cd/src/a.rs:3:4"),
            (
                r#"Err(OsError { line: 3, file: "/root/.cargo/registry/src/i/winit/src/a.rs" })"#,
                r#"Err(OsError { line: 3, file: "winit/src/a.rs" })"#,
            ),
            ("demo/camera/src/view.rs:3:4", "demo/camera/src/view.rs:3:4"),
        ];
        for (text, expected) in rows {
            assert_eq!(short(text), expected, "{text}");
        }
    }
}
