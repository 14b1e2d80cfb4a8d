//! What a name means: a file or folder of this machine first, then a model on the hub.

use mobileone::named::{Place, locate};

use super::{folder, id};

fn at_hub(repo: &str) -> Place {
    Place::Hub(id(repo))
}

#[test]
fn a_name_is_a_file_a_folder_or_an_id() {
    let folder = folder("hub-places");
    let file = folder.join("model.safetensors");
    let empty = folder.join("empty");
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(&file, "").unwrap();
    let rows = [
        (file.clone(), Ok(Place::File(file.clone()))),
        (folder.clone(), Ok(Place::File(file))),
        (empty, Err("a folder without model.safetensors")),
        ("s3".into(), Ok(at_hub("timm/mobileone_s3.apple_in1k"))),
        ("S3".into(), Ok(at_hub("timm/mobileone_s3.apple_in1k"))),
        ("timm/mobileone_s1.apple_in1k".into(), Ok(at_hub("timm/mobileone_s1.apple_in1k"))),
        ("smp-hub/mobileone_s0.imagenet".into(), Ok(at_hub("smp-hub/mobileone_s0.imagenet"))),
        ("https://huggingface.co/u/m".into(), Ok(at_hub("u/m"))),
        ("https://example.org/u/m".into(), Err("https://example.org/u/m: not an address of the hub")),
        ("s5".into(), Err("no such variant: MobileOne has s0 to s4")),
        ("mobileone_s9".into(), Err("no such variant: MobileOne has s0 to s4")),
        ("digit".into(), Err("digit: no such file; did you mean \"digits\"?")),
        ("moblieone_s1".into(), Err("did you mean \"mobileone_s1\"?")),
        (folder.join("model.safetensor"), Err("model.safetensors\"?")),
        ("nothing.safetensors".into(), Err("nothing.safetensors: no such file; a model is")),
        ("weights/s1.pth.tar".into(), Err("no such file")),
        ("../someone/model".into(), Err("no such file")),
        ("/someone/model".into(), Err("no such file")),
        ("a/b/c".into(), Err("no such file")),
        ("some one/model".into(), Err("no such file")),
        ("someone/..".into(), Err("no such file")),
        ("".into(), Err("no such file")),
    ];
    for (model, expected) in rows {
        match (locate(&model), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
            }
            (found, expected) => panic!("{}: {found:?}, expected {expected:?}", model.display()),
        }
    }
}

#[test]
fn a_folder_holds_its_weights() {
    let rows: &[(&[&str], Result<&str, &str>)] = &[
        (&["config.json", "pytorch_model.bin"], Ok("pytorch_model.bin")),
        (&["model.safetensors", "pytorch_model.bin"], Ok("model.safetensors")),
        (&["best.pth.tar", "optimizer.pt"], Ok("best.pth.tar")),
        (&["a.pth", "b.pth"], Err("several files of weights (a.pth, b.pth): give the path of one")),
        (&["config.json"], Err("a folder without model.safetensors")),
        // A repository as the hub's cache keeps it.
        (&["refs/main", "snapshots/c0ffee/pytorch_model.bin"], Ok("snapshots/c0ffee/pytorch_model.bin")),
    ];
    for (files, expected) in rows {
        let folder = folder("hub-folder");
        for file in *files {
            std::fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
            std::fs::write(folder.join(file), "c0ffee").unwrap();
        }
        match (locate(&folder), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, Place::File(folder.join(expected))),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (found, expected) => panic!("{files:?}: {found:?}, expected {expected:?}"),
        }
    }
}
