//! Names of classes in the header of a safetensors file; those in pickles are in `wrapped`.

use mobileone::Checkpoint;

use super::{Stored, stored};

#[test]
fn names_in_the_header() {
    let read = |entries: &[(&str, &str)]| {
        let metadata = entries.iter().map(|(key, text)| (key.to_string(), text.to_string())).collect();
        let tensors: Vec<(String, Stored)> = stored("odd.timm.fused.safetensors");
        Checkpoint::from_bytes(&safetensors::serialize(tensors, Some(metadata)).unwrap()).unwrap()
    };
    let names = Some(["ant", "bee", "cat", "dog", "eel"].map(String::from).to_vec());
    for (key, text) in [
        ("classes", r#"["ant", "bee", "cat", "dog", "eel"]"#),
        ("class_to_idx", r#"{"eel": 4, "bee": 1, "cat": 2, "dog": 3, "ant": 0}"#),
        ("id2label", r#"{"0": "ant", "4": "eel", "1": "bee", "2": "cat", "3": "dog"}"#),
    ] {
        let found = read(&[("format", "pt"), (key, text)]);
        assert_eq!(found.metadata.labels, names, "{key}");
        assert!(found.notes[0].text.contains(&format!("\"{key}\"")), "{:?}", found.notes);
        assert!(!found.notes[0].warning, "{:?}", found.notes);
    }
    // Ours come first
    let ours = r#"{"labels": ["a", "b", "c", "d", "e"]}"#;
    let found = read(&[("mobileone", ours), ("classes", r#"["ant", "bee", "cat", "dog", "eel"]"#)]);
    assert_eq!(found.metadata.labels.unwrap()[0], "a");
    for (text, note) in [
        (r#"["ant", "bee"]"#, "they are 2, and the classes 5"),
        (r#"{"ant": 0, "bee": 7}"#, ""),
        (r#"{"ant": 0, "bee": 0, "cat": 1, "dog": 2, "eel": 3}"#, ""),
        (r#"["ant", 1, 2, 3, 4]"#, ""),
        ("ant, bee", ""),
        ("", ""),
    ] {
        let found = read(&[("classes", text)]);
        assert_eq!(found.metadata.labels, None, "{text}");
        assert_eq!(found.notes.is_empty(), note.is_empty(), "{text}: {:?}", found.notes);
        assert!(
            found.notes.iter().all(|found| found.warning && found.text.contains(note)),
            "{text}: {:?}",
            found.notes
        );
    }
}
