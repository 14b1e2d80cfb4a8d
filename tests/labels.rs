//! Class names: where they come from, what they match, and what a list of them may look like.

use std::path::PathBuf;

use mobileone::labels::Labels;

fn file(name: &str, text: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_list_is_lines_or_json() {
    type Row<'a> = (&'a str, &'a [u8], Result<&'a [&'a str], &'a str>);
    let rows: &[Row] = &[
        ("lines.txt", b"cat\ndog\n", Ok(&["cat", "dog"])),
        ("crlf.txt", b"\xef\xbb\xbfcat \r\n dog\r\n\r\n", Ok(&["cat", "dog"])),
        ("array.json", b" [\"cat\", \"dog\"]", Ok(&["cat", "dog"])),
        ("object.json", br#"{"1": "dog", "0": "cat"}"#, Ok(&["cat", "dog"])),
        ("many.txt", b"a\nb\nc", Err("many.txt: 3 labels for a model of 2 classes")),
        ("hole.json", br#"{"0": "cat", "2": "dog"}"#, Err("hole.json: no name for class 1")),
        ("hole.txt", b"cat\n\ndog", Err("hole.txt: line 2 is empty: expected a line per class")),
        ("empty.txt", b" \n", Err("empty.txt: no names: expected a line per class")),
        ("number.json", b"[1, 2]", Err("number.json: invalid type: integer `1`")),
        ("torn.json", b"[\"cat\"", Err("torn.json: EOF while parsing")),
        ("latin.txt", b"caf\xe9\ndog", Err("latin.txt: class names must be UTF-8")),
    ];
    for (name, text, expected) in rows {
        let found = Labels::choose(Some(&file(name, text)), None, 2);
        match (found, expected) {
            (Ok(labels), Ok(expected)) => assert_eq!(labels.names(), *expected, "{name}"),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{name}: {error}"),
            (found, expected) => panic!("{name}: {found:?}, expected {expected:?}"),
        }
    }
    let endless = PathBuf::from("/dev/zero");
    if endless.exists() {
        let error = Labels::choose(Some(&endless), None, 2).unwrap_err().to_string();
        assert_eq!(error, "/dev/zero: too large for a list of class names");
    }
}

#[test]
fn names_come_from_the_nearest_source() {
    let own: Vec<String> = (0..1000).map(|i| format!("own {i}")).collect();
    let rows: &[(Option<&[String]>, usize, usize, &str)] = &[
        (Some(&own), 1000, 7, "own 7"),
        (None, 1000, 0, "tench"),
        (None, 1000, 285, "Egyptian cat"),
        (None, 1000, 999, "toilet tissue"),
        (None, 5, 3, "class 3"),
        (Some(&own[..2]), 5, 3, "class 3"),
    ];
    for &(own, classes, index, expected) in rows {
        let labels = Labels::choose(None, own, classes).unwrap();
        assert_eq!(labels.names().len(), classes);
        assert_eq!(labels.name(index), expected);
    }
}

#[test]
fn a_folder_name_finds_its_class() {
    let labels = Labels::choose(None, None, 1000).unwrap();
    let rows = [
        ("Egyptian cat", Some(285)),
        ("egyptian_cat", Some(285)),
        ("n02124075", Some(285)),
        ("285", Some(285)),
        ("crane (bird)", Some(134)),
        ("n03126707", Some(517)),
        ("Cardigan-Welsh-corgi", Some(264)),
        ("cardigan", Some(474)),
        ("1000", None),
        ("n99999999", None),
        ("", None),
    ];
    for (text, expected) in rows {
        assert_eq!(labels.find(text).ok(), expected, "{text}");
    }
    // Every one of the 1000 names means its own class and no other.
    for (index, name) in labels.names().iter().enumerate() {
        assert_eq!(labels.find(name).ok(), Some(index), "{name}");
    }
    let twice = ["cat".to_string(), "Cat".to_string()];
    let error = Labels::choose(None, Some(&twice), 2).unwrap().find("cat").unwrap_err().to_string();
    assert_eq!(error, "\"cat\" names the classes 0 and 1: use the number instead");
    let own: Vec<String> = (0..1000).map(|i| format!("own {i}")).collect();
    assert!(Labels::choose(None, Some(&own), 1000).unwrap().find("n02124075").is_err(), "not ImageNet");
}
