//! Class names: where they come from, what they match, and what a list of them may look like.

use std::path::PathBuf;

use mobileone::labels::Labels;

fn file(name: &str, text: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// What a file of this name and text comes to, for a model of some classes.
fn read(name: &str, text: &[u8], classes: usize) -> Result<Labels, String> {
    Labels::choose(Some(&file(name, text)), None, classes).map_err(|error| error.to_string())
}

fn check(rows: &[(&str, &[u8], Result<&[&str], &str>)]) {
    for (name, text, expected) in rows {
        let classes = expected.as_ref().map_or(2, |names| names.len());
        match (read(name, text, classes), expected) {
            (Ok(labels), Ok(expected)) => assert_eq!(labels.names(), *expected, "{name}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{name}: {error}"),
            (found, expected) => panic!("{name}: {found:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn a_list_is_lines_or_json() {
    check(&[
        ("lines.txt", b"cat\ndog\n", Ok(&["cat", "dog"])),
        ("crlf.txt", b"\xef\xbb\xbfcat \r\n dog\r\n\r\n", Ok(&["cat", "dog"])),
        ("wide.txt", b"\xff\xfec\0a\0t\0\r\0\n\0d\0o\0g\0", Ok(&["cat", "dog"])),
        ("array.json", b" [\"cat\", \"dog\"]", Ok(&["cat", "dog"])),
        ("object.json", br#"{"1": "dog", "0": "cat"}"#, Ok(&["cat", "dog"])),
        ("many.txt", b"a\nb\nc", Err("many.txt: 3 labels for a model of 2 classes")),
        ("hole.json", br#"{"0": "cat", "2": "dog"}"#, Err("hole.json: no name for class 1")),
        ("hole.txt", b"cat\n\ndog", Err("hole.txt: line 2 is empty: expected a line per class")),
        ("empty.txt", b" \n", Err("empty.txt: no names: expected a line per class")),
        ("number.json", b"[1, 2]", Err("a number where a name was expected: put 1 in quotes")),
        ("torn.json", b"[\"cat\"", Err("torn.json: EOF while parsing")),
        ("latin.txt", b"caf\xe9\ndog", Err("latin.txt: class names must be UTF-8")),
    ]);
    let endless = PathBuf::from("/dev/zero");
    if endless.exists() {
        let error = Labels::choose(Some(&endless), None, 2).unwrap_err().to_string();
        assert_eq!(error, "/dev/zero: too large for a list of class names");
    }
}

#[test]
fn other_programs_lists_are_read() {
    const ABC: Result<&[&str], &str> = Ok(&["ant", "bee", "cat"]);
    check(&[
        ("class_to_idx.json", br#"{"bee": 1, "ant": 0, "cat": 2}"#, ABC),
        ("index.json", br#"{"0": ["n1", "ant"], "1": ["n2", "bee"]}"#, Err("a list where a name was expected")),
        ("keras.json", br#"{"1": ["n02206856", "bee"], "0": ["n02219486", "ant"], "2": ["n02121620", "cat"]}"#, ABC),
        ("pairs.json", br#"[["n02219486", "ant"], ["n02206856", "bee"], ["n02121620", "cat"]]"#, ABC),
        ("id2label.json", br#"{"id2label": {"2": "cat", "0": "ant", "1": "bee"}, "label2id": {"x": 0}}"#, ABC),
        ("label2id.json", br#"{"label2id": {"cat": 2, "ant": "0", "bee": 1}}"#, ABC),
        ("names.json", br#"{"nc": 3, "names": ["ant", "bee", "cat"]}"#, ABC),
        ("mm.json", br#"{"classes": ["ant", "bee", "cat"], "palette": [[1, 2, 3]]}"#, ABC),
        ("mm2.json", br#"{"dataset_meta": {"CLASSES": ["ant", "bee", "cat"]}}"#, ABC),
        ("mm3.json", br#"{"metainfo": {"classes": ["ant", "bee", "cat"]}, "data_list": []}"#, ABC),
        ("timm.json", br#"{"pretrained_cfg": {"label_names": ["ant", "bee", "cat"], "mean": [0.5]}}"#, ABC),
        ("coco.json", br#"{"categories": [{"id": 2, "name": "bee"}, {"id": 1, "name": "ant"}, {"id": 3, "name": "cat"}]}"#, ABC),
        ("dict.txt", b"{0: 'ant', 1: \"bee\",\n 2: 'cat'}", ABC),
        ("list.txt", b"['ant', 'bee', 'cat']\n", ABC),
        ("tuple.txt", b"('ant', 'bee', 'cat')", ABC),
        ("one-based.json", br#"{"1": "ant", "3": "cat", "2": "bee"}"#, ABC),
        // A class may be called like a key.
        ("called.json", br#"{"names": 0, "classes": 1}"#, Ok(&["names", "classes"])),
        // torchvision's, of folders named by numbers.
        ("digits.json", br#"{"0": 0, "1": 1, "10": 2, "2": 3}"#, Ok(&["0", "1", "10", "2"])),
        ("texts.json", br#"{"0": "5", "1": "7"}"#, Ok(&["5", "7"])),
        ("twice.json", br#"{"0": "cat", "0": "dog"}"#, Err("several names for class 0")),
        ("both.json", br#"{"cat": 0, "dog": 0}"#, Err("several names for class 0")),
        ("from5.json", br#"{"5": "cat", "6": "dog"}"#, Err("the numbers begin at 5")),
        ("mixed.json", br#"{"0": "cat", "dog": "eel"}"#, Err("neither a number nor the name of one")),
        ("deep.json", br#"{"0": {"a": "cat"}}"#, Err("a map where a name was expected")),
        ("nothing.json", b"{}", Err("no names")),
        ("data.yaml", b"path: x\nnc: 3\nnames:\n  0: ant\n  1: bee # small\n  2: \"cat\"\n\ntest: y\n", ABC),
        ("items.yaml", b"names:\n- ant\n- 'bee'\n- cat\nnc: 3\n", ABC),
        ("deeper.yml", b"names:\n    # animals\n    - ant\n    - bee\n    - cat\n", ABC),
        ("flow.yaml", b"nc: 3\nnames: [ant, 'bee', \"cat\"]  # three\n", ABC),
        ("flows.yaml", b"names: ['ant',\n  'bee',\n  'cat',\n]\nnc: 3", ABC),
        ("map.yaml", b"names: {0: ant, 2: cat, 1: bee}\n", ABC),
        ("reversed.yaml", b"names:\r\n  2: cat\r\n  1: bee\r\n  0: ant\r\n", ABC),
        ("top.yaml", b"---\n- ant\n- bee\n- cat\n", ABC),
        ("inner.yaml", b"data:\n  names:\n    - ant\n    - bee\n    - cat\n  nc: 3\n", ABC),
        ("idx.yaml", b"class_to_idx:\n  cat: 2\n  ant: 0\n  bee: 1\n", ABC),
        ("numbers.yaml", b"names: [0, 1, 7]", Ok(&["0", "1", "7"])),
        ("yaml.txt", b"nc: 3\nnames:\n  - ant\n  - bee\n  - cat\n", ABC),
        ("hash.yaml", b"names: ['c #', b]", Ok(&["c #", "b"])),
        ("gap.yaml", b"names:\n  0: ant\n  2: bee\n", Err("no name for class 1")),
        ("none.yaml", b"names: cat\n", Err("\"names\" is \"cat\", not a list")),
        ("nested.yaml", b"names:\n  - ant\n    - bee\n", Err("deeper than a list of names")),
    ]);
}

#[test]
fn numbers_decide_the_order() {
    const ABC: Result<&[&str], &str> = Ok(&["ant", "bee", "cat"]);
    check(&[
        ("space.txt", b"2 cat\n0 ant\n1 bee\n", ABC),
        ("colon.txt", b"2: cat\n1: bee\n0: ant", ABC),
        ("tab.txt", b"0\tant\n2\tcat\n1\tbee\n", ABC),
        ("point.txt", b"3. cat\n2. bee\n1. ant", ABC),
        ("dash.txt", b"0 - ant\n2 - cat\n1 - bee", ABC),
        ("bracket.txt", b"1) ant\n2) bee\n3) cat", ABC),
        ("padded.txt", b"002 cat\n000 ant\n001 bee", ABC),
        ("after.txt", b"cat,2\nant,0\nbee,1", ABC),
        ("after-space.txt", b"cat 2\nant 0\nbee 1", ABC),
        ("comma.csv", b"1,bee\n0,ant\n2,cat", ABC),
        ("header.csv", b"index,name\r\n1,bee\r\n0,ant\r\n2,cat\r\n", ABC),
        ("header2.csv", b"Name,ID\nbee,1\nant,0\ncat,2", ABC),
        ("header3.csv", b"class_id;color;label\n1;yellow;bee\n0;black;ant\n2;grey;cat", ABC),
        ("class.csv", b"class,label\n1,bee\n0,ant\n2,cat", ABC),
        ("quoted.csv", b"id,name\n0,\"crane, bird\"\n1,\"a \"\"b\"\"\"", Ok(&["crane, bird", "a \"b\""])),
        ("names.csv", b"name,class\nant,x\nbee,y", Ok(&["ant", "bee"])),
        ("ids.txt", b"n02219486 ant\nn02206856 bee\nn02121620 cat", ABC),
        ("number-id.csv", b"1,n02206856,bee\n0,n02219486,ant\n2,n02121620,cat", ABC),
        ("digit-lines.txt", b"0 0\n1 1\n2 2\n", Ok(&["0", "1", "2"])),
        // Numbers that are a part of the names.
        ("digits.txt", b"7\n0\n3", Ok(&["7", "0", "3"])),
        ("sodas.txt", b"7 up\ncola", Ok(&["7 up", "cola"])),
        ("soda.txt", b"7 up\n1 cola", Ok(&["7 up", "1 cola"])),
        ("euro.txt", b"10 euro\n20 euro\n50 euro", Ok(&["10 euro", "20 euro", "50 euro"])),
        ("coins.txt", b"2 euro\n1 euro\n5 euro", Ok(&["2 euro", "1 euro", "5 euro"])),
        ("stars.txt", b"3 stars\n2 stars\n1 star", Ok(&["3 stars", "2 stars", "1 star"])),
        (
            "planes.txt",
            b"Boeing 747\nAirbus 320\nBoeing 707",
            Ok(&["Boeing 747", "Airbus 320", "Boeing 707"]),
        ),
        ("doors.txt", b"3-door\n5-door", Ok(&["3-door", "5-door"])),
        ("sizes.txt", b"1.5 l\n0.5 l", Ok(&["1.5 l", "0.5 l"])),
        // Numbers of classes that are not right.
        ("gap.txt", b"0 ant\n1 bee\n3 cat", Err("no name for class 2, of 0 to 3")),
        (
            "double.txt",
            b"0: ant\n1: bee\n1: cat",
            Err("several names for class 1 (if the numbers belong to the names"),
        ),
        ("start.csv", b"4,ant\n5,bee", Err("the numbers begin at 4")),
        ("gap1.txt", b"1 ant\n2 bee\n3 cat\n5 dog", Err("no name for number 4, of 1 to 5")),
        ("columns.csv", b"id,name\n0,ant\n1,bee,x", Err("line 3 has 3 columns, the header has 2")),
    ]);
    let read = |name: &str, text: &[u8]| read(name, text, 3).unwrap();
    let labels = read("said.txt", b"2: cat\n1: bee\n0: ant");
    assert!(labels.source().ends_with("said.txt, by its numbers") && labels.note().is_none(), "{labels:?}");
    let labels = read("said1.txt", b"3: cat\n2: bee\n1: ant");
    let note = "its numbers are 1 to 3: number 1 was taken for class 0, and 3 for class 2";
    assert_eq!(labels.note(), Some(note));
    let labels = read("said2.txt", b"ant\nbee\ncat");
    assert!(labels.source().ends_with("said2.txt") && labels.note().is_none(), "{labels:?}");
    // The ids that a file gives name its classes, too.
    let labels = read("said3.txt", b"n02219486 ant\nn02206856 bee\nn02121620 cat");
    assert_eq!(labels.find("n02206856").unwrap(), 1);
}

#[test]
fn imagenet_in_other_lists_is_imagenet() {
    let own = Labels::choose(None, None, 1000).unwrap();
    // As transformers has it: with more lemmas, and the doubles told apart otherwise.
    let more: Vec<String> =
        own.names().iter().map(|name| format!("{}, and more", name.to_lowercase())).collect();
    let labels = Labels::choose(None, Some(&more), 1000).unwrap();
    assert_eq!(labels.find("n02124075").unwrap(), 285);
    assert_eq!(labels.find("Egyptian cat").unwrap(), 285);
    // In another order than ImageNet's, which is said.
    let mut lines: Vec<String> =
        own.names().iter().enumerate().map(|(at, name)| format!("n{at:08} {name}")).collect();
    lines.swap(3, 4);
    let labels = read("swapped.txt", lines.join("\n").as_bytes(), 1000).unwrap();
    assert_eq!(labels.name(3), own.name(4));
    assert!(labels.note().unwrap().contains("not in ImageNet's order"));
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
    let error = labels.find("Egiptian cat").unwrap_err().to_string();
    assert!(
        error.starts_with("\"Egiptian cat\" is not a class of the model (did you mean \"Egyptian cat\"?)"),
        "{error}"
    );
}
