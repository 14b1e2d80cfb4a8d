//! Models by their names on the hub, as the command takes them from the network and the cache.

use std::{fs, path::Path};

use super::{Run, command, data, finish, folder};
use crate::server::Files;

const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn weights() -> Vec<u8> {
    fs::read(data("odd.timm.fused.safetensors")).unwrap()
}

/// Puts weights into a cache, alone, as `hf_hub_download` of Hugging Face's Python library does.
fn keep(cache: &Path) {
    let repo = cache.join("models--u--m");
    let snapshot = repo.join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), COMMIT).unwrap();
    fs::write(snapshot.join("model.safetensors"), weights()).unwrap();
}

/// Classifies a picture with this model and these variables.
fn classify(model: &str, variables: &[(&str, &str)]) -> Run {
    let mut command = command();
    command.env_remove("HF_HOME").envs(variables.iter().copied());
    command.args(["classify", "--model", model, "--top-k", "1", &data("pictures/rgb.jpg")]);
    finish(command)
}

#[test]
fn a_model_comes_from_the_hub() {
    let server = Files::new(&[("model.safetensors", &weights())]);
    let home = folder("hub-home");
    let classify = |offline: &str, endpoint: &str| {
        let mut command = command();
        command.env("HF_HOME", &home).env("HF_ENDPOINT", endpoint).env("HF_HUB_OFFLINE", offline);
        command.args(["classify", "--model", "u/m", &data("pictures/rgb.jpg")]);
        finish(command)
    };
    let first = classify("0", &server.endpoint);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.err.contains("fetching u/m from http://127.0.0.1:"), "{first:?}");
    let again = classify("1", "http://127.0.0.1:1");
    assert_eq!((again.code, &again.out), (Some(0), &first.out), "{again:?}");
    assert!(!again.err.contains("fetching"), "{again:?}");
    std::fs::remove_dir_all(&home).unwrap();
    let refused = classify("0", "http://127.0.0.1:1/");
    assert_eq!(refused.code, Some(2));
    let url = "http://127.0.0.1:1/u/m/resolve/main/";
    assert!(refused.err.contains(url) && refused.err.contains("give the folder's path"), "{refused:?}");
}

#[test]
fn weights_that_were_cached_alone_get_their_config() {
    let names =
        r#"{"label_names": ["ant", "bee", "cat", "dog", "eel"], "pretrained_cfg": {"crop_pct": 1.0}}"#;
    let server = Files::new(&[("config.json", names.as_bytes()), ("model.safetensors", &weights())]);
    let home = folder("hub-part");
    keep(&home.join("hub"));
    let home = home.to_str().unwrap();
    let said = "warning: u/m: its config.json is not in the cache";
    let variables =
        |endpoint, offline| [("HF_HOME", home), ("HF_ENDPOINT", endpoint), ("HF_HUB_OFFLINE", offline)];
    let offline = classify("u/m", &variables(&server.endpoint, "1"));
    assert_eq!(offline.code, Some(0), "{offline:?}");
    assert!(
        offline
            .err
            .contains(&format!("{said} (HF_HUB_OFFLINE is set), so preprocessing and labels are a guess"))
    );
    assert!(offline.out.contains("class "), "{offline:?}");
    let unreachable = classify("u/m", &variables("http://127.0.0.1:1", "0"));
    assert_eq!((unreachable.code, &unreachable.out), (Some(0), &offline.out), "{unreachable:?}");
    assert!(unreachable.err.contains(said) && unreachable.err.contains("refused"), "{unreachable:?}");
    let online = classify("u/m", &variables(&server.endpoint, "0"));
    assert_eq!(online.code, Some(0), "{online:?}");
    assert!(!online.err.contains("config.json is not in the cache"), "{online:?}");
    let label = online.out.rsplit_once(": ").unwrap().1.split(' ').next().unwrap();
    assert!(["ant", "bee", "cat", "dog", "eel"].contains(&label), "{online:?}");
    let again = classify("u/m", &variables("http://127.0.0.1:1", "0"));
    assert_eq!(
        (again.code, &again.out, again.err.contains("config.json is not in the cache")),
        (Some(0), &online.out, false),
        "{again:?}"
    );
}

#[test]
fn the_cache_is_where_other_programs_have_it() {
    let home = folder("hub-places");
    let at = |place: &str| home.join(place);
    let here = home.to_str().unwrap();
    let (hf, xdg, other) = (at("hf"), at("xdg"), at("other"));
    let (hf, xdg, other) = (hf.to_str().unwrap(), xdg.to_str().unwrap(), other.to_str().unwrap());
    // Where the only cache is, and the variables that lead there.
    let rows: &[(&str, &[(&str, &str)])] = &[
        (".cache/huggingface/hub", &[]),
        (".cache/huggingface/hub", &[("XDG_CACHE_HOME", ""), ("HF_HOME", "")]),
        ("hf/hub", &[("HF_HOME", hf)]),
        ("hf/hub", &[("HF_HOME", "~/hf"), ("XDG_CACHE_HOME", other)]),
        ("hf/hub", &[("HF_HOME", "$HOME/hf")]),
        ("xdg/huggingface/hub", &[("XDG_CACHE_HOME", xdg)]),
        ("xdg/huggingface/hub", &[("XDG_CACHE_HOME", "~/xdg")]),
        ("hf", &[("HF_HUB_CACHE", "~/hf"), ("HF_HOME", other)]),
        ("hf", &[("HF_HUB_CACHE", "${HOME}/hf"), ("HUGGINGFACE_HUB_CACHE", other)]),
        ("hf", &[("HUGGINGFACE_HUB_CACHE", "~/hf"), ("HF_HOME", other)]),
    ];
    for (place, variables) in rows {
        let cache = at(place);
        keep(&cache);
        let all: Vec<(&str, &str)> = [("HOME", here)].iter().chain(*variables).copied().collect();
        let run = classify("u/m", &all);
        assert_eq!(run.code, Some(0), "{variables:?}: {run:?}");
        fs::remove_dir_all(cache).unwrap();
        let gone = classify("u/m", &all);
        assert!(
            gone.code == Some(2) && gone.err.contains("u/m: not in the cache"),
            "{variables:?}: {gone:?}"
        );
    }
    assert!(!Path::new("~").exists(), "no folder of that name is made");
    // And a model's own path.
    fs::write(at("mine.safetensors"), weights()).unwrap();
    let run = classify("~/mine.safetensors", &[("HOME", here)]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let run = classify("~/nothing.safetensors", &[("HOME", here)]);
    assert!(
        run.code == Some(2) && run.err.contains("hub-places/nothing.safetensors: no such file"),
        "{run:?}"
    );
}

#[test]
fn a_model_has_many_names() {
    let home = folder("hub-names");
    keep(&home.join("hub"));
    // What else the repository is called; and timm's.
    let s1 = home.join("hub/models--timm--mobileone_s1.apple_in1k");
    std::process::Command::new("cp").arg("-r").arg(home.join("hub/models--u--m")).arg(s1).status().unwrap();
    let names = [
        "u/m",
        "hf-hub:u/m",
        "hf_hub:u/m",
        "hf://u/m",
        "u/m@main",
        "https://huggingface.co/u/m",
        "https://huggingface.co/u/m/tree/main",
        "https://hf.co/u/m/blob/main/model.safetensors",
        "https://huggingface.co/u/m/resolve/main/model.safetensors?download=true",
        "huggingface.co/u/m",
        "s1",
        "S1",
        "mobileone_s1",
        "mobileone_s1.apple_in1k",
        "MobileOne-S1",
        "hf-hub:timm/mobileone_s1.apple_in1k",
    ];
    let commit = format!("u/m@{COMMIT}");
    for name in names.into_iter().chain([commit.as_str()]) {
        let run = classify(name, &[("HF_HOME", home.to_str().unwrap())]);
        assert_eq!(run.code, Some(0), "{name}: {run:?}");
    }
}

#[test]
fn the_token_is_where_other_programs_have_it() {
    let home = folder("hub-token");
    fs::write(home.join("token"), "of-home\n").unwrap();
    fs::write(home.join("other"), " of-path ").unwrap();
    let (here, other) = (home.to_str().unwrap(), home.join("other"));
    let rows: &[(&[(&str, &str)], Option<&str>)] = &[
        (&[], Some("of-home")),
        // The token does not move with the cache.
        (&[("HF_HUB_CACHE", "/nowhere/hub")], Some("of-home")),
        (&[("HF_TOKEN_PATH", other.to_str().unwrap())], Some("of-path")),
        (&[("HUGGING_FACE_HUB_TOKEN", "old")], Some("old")),
        (&[("HF_TOKEN", "new"), ("HUGGING_FACE_HUB_TOKEN", "old")], Some("new")),
        (&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")], None),
    ];
    let server = Files::new(&[]);
    for (variables, expected) in rows {
        let own = [("HF_HOME", here), ("HF_ENDPOINT", &server.endpoint), ("HF_HUB_OFFLINE", "0")];
        let run = classify("u/m", &own.iter().chain(*variables).copied().collect::<Vec<_>>());
        assert_eq!(run.code, Some(2), "{run:?}");
        assert_eq!(server.token().as_deref(), *expected, "{variables:?}");
    }
}

#[test]
fn a_repository_may_hold_another_file() {
    let pth = fs::read(data("odd.timm.train.bin")).unwrap();
    let server = Files::new(&[("pytorch_model.bin", &pth)]);
    let home = folder("hub-bin");
    let online =
        [("HF_HOME", home.to_str().unwrap()), ("HF_ENDPOINT", &server.endpoint), ("HF_HUB_OFFLINE", "0")];
    let run = classify("u/m", &online);
    assert_eq!(run.code, Some(0), "{run:?}");
    server.asked();
    let again = classify("u/m", &online);
    assert_eq!((again.code, again.out, server.asked()), (Some(0), run.out, Vec::new()));
}
