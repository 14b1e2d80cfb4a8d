//! `classify --watch`: pictures as they appear.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{command, data, folder, run};

/// The command at its watch, ended when dropped.
struct Watching {
    child: Child,
    lines: Receiver<String>,
    notes: Receiver<String>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}

fn watch(args: &[&str]) -> Watching {
    let mut child = command()
        .args(["classify", "--jsonl", "--model", &data("odd.timm.fused.safetensors"), "--watch"])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let watching = Watching { child, lines: lines(out), notes: lines(err) };
    while !within_a_minute(&watching.notes).starts_with("watching ") {}
    watching
}

fn within_a_minute(lines: &Receiver<String>) -> String {
    lines.recv_timeout(Duration::from_secs(60)).expect("a line within a minute")
}

impl Watching {
    /// The next line, whose picture must be `name`.
    fn next(&self, name: &str) -> Value {
        let row: Value = serde_json::from_str(&within_a_minute(&self.lines)).unwrap();
        let image = Path::new(row["image"].as_str().unwrap());
        assert_eq!(image.file_name().unwrap(), name, "{row}");
        row
    }
}

#[test]
fn pictures_are_labelled_as_they_appear() {
    let inbox = folder("inbox");
    let copy =
        |from: &str, to: &str| std::fs::copy(data(&format!("pictures/{from}")), inbox.join(to)).unwrap();
    copy("rgb.jpg", "before.jpg");
    let place = inbox.to_str().unwrap();
    // What was there before is left alone, unless it is asked for.
    let mut watching = watch(&[place, inbox.join("before.jpg").to_str().unwrap()]);
    let before = watching.next("before.jpg");
    copy("grey.png", "later.png");
    assert!(watching.next("later.png")["top"].is_array());
    std::fs::write(inbox.join("notes.txt"), "not looked at").unwrap();

    // One that comes in two parts is taken when it is whole.
    let bytes = std::fs::read(data("pictures/rgb.jpg")).unwrap();
    let mut slow = std::fs::File::create(inbox.join("slow.jpg")).unwrap();
    for part in bytes.chunks(bytes.len().div_ceil(20)) {
        slow.write_all(part).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    drop(slow);
    assert_eq!(watching.next("slow.jpg")["top"], before["top"]);

    // A broken one is reported and does not end the watch; mended, it is labelled.
    std::fs::write(inbox.join("x.png"), "no picture").unwrap();
    assert!(watching.next("x.png")["error"].is_string());
    copy("grey.png", "x.png");
    assert!(watching.next("x.png")["top"].is_array());

    // One that is gone and comes again is new.
    std::fs::remove_file(inbox.join("later.png")).unwrap();
    thread::sleep(Duration::from_millis(700));
    copy("grey.png", "later.png");
    watching.next("later.png");
    assert!(watching.lines.try_recv().is_err(), "nothing else was labelled");

    std::fs::remove_dir_all(&inbox).unwrap();
    assert_eq!(watching.child.wait().unwrap().code(), Some(2));
    let last = watching.notes.iter().last().unwrap();
    assert!(last.starts_with("error: ") && last.contains("inbox"), "{last}");
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let file = data("pictures/rgb.jpg");
    for (args, expected) in [
        (&["--watch", "no-such-folder"][..], "error: no-such-folder: no such folder"),
        (&["--watch", &file], "not a folder: --watch takes a folder"),
        (&["--watch", ".", "--json"], "cannot be used with"),
    ] {
        let run = run(["classify"].iter().chain(args));
        assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{run:?}");
        assert!(run.err.contains(expected), "{run:?}");
    }
}
