//! What the cache holds only a part of, and repositories that hold other files than most.

use std::{fs, path::Path};

use mobileone::hub::Hub;

use super::{Mood, fetch_id, folder, hub_at, impatient, serve, server::Files};

const CONFIG: &[u8] = b"{}";
const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// A hub that nobody answers for.
const NOBODY: &str = "http://127.0.0.1:1";

/// Puts a file into a hub's cache as `hf_hub_download` of Hugging Face's Python library leaves it.
fn keep(hub: &Hub, file: &str, bytes: &[u8]) {
    let repo = hub.cache.join("models--u--m");
    let snapshot = repo.join("snapshots").join(COMMIT);
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), COMMIT).unwrap();
    fs::create_dir_all(snapshot.join(file).parent().unwrap()).unwrap();
    fs::write(snapshot.join(file), bytes).unwrap();
}

fn config_beside(file: &Path) -> Option<Vec<u8>> {
    fs::read(file.with_file_name("config.json")).ok()
}

#[test]
fn a_missing_config_is_asked_for() {
    let server = Files::new(&[("config.json", CONFIG), ("model.safetensors", b"weights")]);
    let hub = hub_at(&server.endpoint, "hub-part");
    keep(&hub, "model.safetensors", b"weights");
    let fetched = fetch_id(&hub, "u/m").unwrap();
    assert_eq!((config_beside(&fetched.file).as_deref(), &fetched.unknown), (Some(CONFIG), &None));
    assert!(
        server.asked().iter().all(|path| path == "/u/m/resolve/main/config.json"),
        "the weights are there"
    );
    assert_eq!(fetch_id(&hub, "u/m").unwrap(), fetched);
    assert_eq!(server.asked(), [""; 0], "now the cache is enough");
}

#[test]
fn the_config_is_that_of_the_weights() {
    let server = Files::new(&[("config.json", b"of another commit")]);
    server.go_on(&"b".repeat(40));
    server.put(&format!("/u/m/resolve/{COMMIT}/config.json"), CONFIG);
    let hub = hub_at(&server.endpoint, "hub-gone-on");
    keep(&hub, "model.safetensors", b"weights");
    let fetched = fetch_id(&hub, "u/m").unwrap();
    assert_eq!((config_beside(&fetched.file).as_deref(), fetched.unknown), (Some(CONFIG), None));

    // Weights that come from another commit than a config that was there get their own.
    let server = Files::new(&[("config.json", b"the new one"), ("model.safetensors", b"new weights")]);
    server.go_on(&"b".repeat(40));
    let hub = hub_at(&server.endpoint, "hub-old-config");
    keep(&hub, "config.json", CONFIG);
    let fetched = fetch_id(&hub, "u/m").unwrap();
    assert_eq!(config_beside(&fetched.file).as_deref(), Some(&b"the new one"[..]));
}

#[test]
fn that_there_is_no_config_is_remembered() {
    let server = Files::new(&[("model.safetensors", b"weights")]);
    let hub = hub_at(&server.endpoint, "hub-no-config");
    keep(&hub, "model.safetensors", b"weights");
    let first = fetch_id(&hub, "u/m").unwrap();
    assert!(first.unknown.is_none() && !server.asked().is_empty());
    let absent = hub.cache.join("models--u--m/.no_exist").join(COMMIT).join("config.json");
    assert!(absent.is_file(), "as Hugging Face's libraries remember it");
    let offline = Hub { offline: true, ..hub.clone() };
    for hub in [hub, offline] {
        assert_eq!(fetch_id(&hub, "u/m").unwrap(), first);
    }
    assert_eq!(server.asked(), [""; 0]);
}

#[test]
fn without_the_hub_the_rest_is_a_guess() {
    let hub = hub_at(NOBODY, "hub-guess");
    keep(&hub, "model.safetensors", b"weights");
    let unknown = |hub: &Hub| fetch_id(hub, "u/m").unwrap().unknown.unwrap();
    assert!(unknown(&hub).contains("refused"), "{}", unknown(&hub));
    assert_eq!(unknown(&Hub { offline: true, ..hub.clone() }), "HF_HUB_OFFLINE is set");
    for (mood, expected) in [
        (Mood::Silent, "no answer for 2 s"),
        (Mood::Broken, "503"),
        (Mood::Private, "set HF_TOKEN"),
        (Mood::Page, "not a hub"),
        (Mood::Noise, "http://127.0.0.1:"),
    ] {
        let server = serve(mood, Vec::new());
        let hub = Hub { endpoint: server.endpoint, ..hub.clone() };
        let unknown = unknown(&if mood == Mood::Silent { impatient(hub) } else { hub });
        assert!(unknown.contains(expected), "{mood:?}: {unknown}");
    }
}

#[test]
fn other_files_of_weights_are_found() {
    // What the hub has, the name, what is taken.
    type Row<'a> = (&'a [&'a str], &'a str, Result<&'a str, &'a str>);
    let rows: &[Row] = &[
        (&["config.json", "pytorch_model.bin"], "u/m", Ok("pytorch_model.bin")),
        (&["model.safetensors", "pytorch_model.bin"], "u/m", Ok("model.safetensors")),
        (&["README.md", "net.safetensors", "net.pth"], "u/m", Ok("net.safetensors")),
        (&["README.md", "net.pth"], "hf-hub:u/m", Ok("net.pth")),
        (
            &["a.pth", "b.pth"],
            "u/m",
            Err("several files of weights (a.pth, b.pth): name one, as in hf://u/m/a.pth"),
        ),
        (&["a.pth", "b.pth"], "hf://u/m/b.pth", Ok("b.pth")),
        (&["a.pth", "b.pth"], "https://huggingface.co/u/m/blob/main/b.pth", Ok("b.pth")),
        (&["abc.pth", "b.pth"], "hf://u/m/abd.pth", Err("no file abd.pth; did you mean \"abc.pth\"?")),
        (&["x/config.json", "x/model.safetensors", "config.json"], "hf://u/m/x", Ok("x/model.safetensors")),
        (&["x/a.pth", "a.bin"], "https://huggingface.co/u/m/tree/main/x", Ok("x/a.pth")),
        (
            &["README.md", "tf_model.h5"],
            "u/m",
            Err("no weights that this program reads among README.md, tf_model.h5"),
        ),
    ];
    for (at, (files, name, expected)) in rows.iter().enumerate() {
        let files: Vec<(&str, &[u8])> = files.iter().map(|file| (*file, file.as_bytes())).collect();
        let server = Files::new(&files);
        let hub = hub_at(&server.endpoint, &format!("hub-files-{at}"));
        match (fetch_id(&hub, name), expected) {
            (Ok(fetched), Ok(expected)) => {
                assert_eq!(fs::read(&fetched.file).unwrap(), expected.as_bytes(), "{name}");
                let config = expected
                    .rsplit_once('/')
                    .map_or("config.json".into(), |(x, _)| format!("{x}/config.json"));
                let has = files.iter().any(|(file, _)| *file == config);
                assert_eq!(config_beside(&fetched.file).is_some(), has, "{name}");
                // And then the cache is enough.
                server.asked();
                let usual =
                    ["model.safetensors", "pytorch_model.bin"].iter().any(|usual| expected.ends_with(usual));
                let offline = Hub { offline: true, ..hub.clone() };
                assert_eq!(fetch_id(&offline, name), Ok(fetched.clone()), "{name}");
                if usual || name.ends_with(".pth") {
                    assert_eq!(fetch_id(&hub, name), Ok(fetched), "{name}");
                    assert_eq!(server.asked(), [""; 0], "{name}");
                }
            }
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{name}: {error}"),
            (found, expected) => panic!("{name}: {found:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn a_revision_has_its_own_files() {
    let server = Files::new(&[("model.safetensors", b"main")]);
    let commit = "c".repeat(40);
    for (revision, bytes) in [("v1", &b"v1"[..]), ("refs%2Fpr%2F3", b"pr"), (&commit, b"commit")] {
        server.put(&format!("/u/m/resolve/{revision}/model.safetensors"), bytes);
        server.put(&format!("/u/m/resolve/{revision}/config.json"), bytes);
    }
    let hub = hub_at(&server.endpoint, "hub-revision");
    for (name, expected) in [
        ("u/m", "main"),
        ("u/m@v1", "v1"),
        ("u/m@refs/pr/3", "pr"),
        ("hf://u/m@refs/pr/3", "pr"),
        (&format!("u/m@{commit}"), "commit"),
        ("https://huggingface.co/u/m/tree/v1", "v1"),
    ] {
        // Each of them is another commit.
        server.go_on(&format!("{expected:0>40}"));
        let fetched = fetch_id(&hub, name).unwrap();
        assert_eq!(fs::read_to_string(&fetched.file).unwrap(), expected, "{name}");
        let offline = Hub { offline: true, ..hub.clone() };
        assert_eq!(fetch_id(&offline, name), Ok(fetched), "{name}");
    }
    let error = fetch_id(&hub, "u/m@v2").unwrap_err();
    assert!(error.contains("/u/m/resolve/v2/model.safetensors: the hub has no such file"), "{error}");
}

#[test]
fn what_the_cache_lacks_is_named() {
    let hub = Hub { offline: true, ..hub_at(NOBODY, "hub-lacks") };
    keep(&hub, "config.json", CONFIG);
    let error = fetch_id(&hub, "u/m").unwrap_err();
    assert!(error.starts_with("u/m: no weights among its files in the cache"), "{error}");
    let error = fetch_id(&hub, "timm/mobileone_s1.apple_in1k").unwrap_err();
    assert!(error.starts_with("timm/mobileone_s1.apple_in1k: not in the cache"), "{error}");
    fs::rename(hub.cache.join("models--u--m"), hub.cache.join("models--someone--flowers")).unwrap();
    let error = fetch_id(&hub, "someone/flower").unwrap_err();
    assert!(error.ends_with("; did you mean \"someone/flowers\"?"), "{error}");
    // A link whose blob is gone is fetched again.
    if cfg!(unix) {
        let server = Files::new(&[("model.safetensors", b"weights")]);
        let hub = hub_at(&server.endpoint, "hub-gone");
        let fetched = fetch_id(&hub, "u/m").unwrap();
        fs::remove_file(fetched.file.canonicalize().unwrap()).unwrap();
        assert!(fetch_id(&Hub { offline: true, ..hub.clone() }, "u/m").is_err());
        assert_eq!(fs::read(fetch_id(&hub, "u/m").unwrap().file).unwrap(), b"weights");
    }
    let _ = folder("hub-gone");
}

#[test]
fn a_misspelled_id_of_timm_is_recognized() {
    let server = Files::new(&[]);
    let hub = hub_at(&server.endpoint, "hub-misspelled");
    let error = fetch_id(&hub, "tim/mobileone_s1.aple_in1k").unwrap_err();
    assert!(error.ends_with("; did you mean \"timm/mobileone_s1.apple_in1k\"?"), "{error}");
}
