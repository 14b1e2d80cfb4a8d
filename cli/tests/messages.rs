//! What is said of what cannot be done.

use std::{fs::File, path::Path, process::Stdio};

use super::{command, data, finish, folder, root, run, snapshot};

#[test]
fn each_mistake_has_its_line() {
    let here = folder("messages");
    let file = |name: &str, bytes: &[u8]| {
        let path = here.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_string()
    };
    let tiny = data("odd.timm.fused.safetensors");
    let picture = data("pictures/rgb.jpg");
    let empty = here.join("empty");
    std::fs::create_dir(&empty).unwrap();
    let empty = empty.to_str().unwrap();
    std::fs::create_dir(here.join("nets")).unwrap();
    std::fs::copy(&tiny, here.join("nets/tiny.safetensors")).unwrap();
    let (text, three) = (file("note.txt", b"no model"), file("three.txt", b"a\nb\nc\n"));
    let (nothing, no_folder) = (here.join("nothing.safetensors"), here.join("none/y.safetensors"));
    let (nothing, no_folder) = (nothing.to_str().unwrap(), no_folder.to_str().unwrap());
    let classify = |more: &[&str]| {
        let start = ["classify", "--model", &tiny];
        start.iter().chain(more).map(|&text| text.to_string()).chain([picture.clone()]).collect()
    };
    let other = |args: &[&str]| args.iter().map(|&text| text.to_string()).collect();
    let rows: Vec<(&str, Vec<String>)> = vec![
        ("an unknown device", classify(&["--device", "warp9"])),
        ("no device", classify(&["--device", ""])),
        ("f16 on the CPU", classify(&["--dtype", "f16"])),
        ("matrices of the CPU", classify(&["--dtype", "f16", "--matrices"])),
        ("labels of another model", classify(&["--labels", &three])),
        ("labels that are not there", classify(&["--labels", nothing])),
        ("size 0", classify(&["--size", "0"])),
        ("a size that is none", classify(&["--size", "big"])),
        ("a size for giants", classify(&["--size", "99999"])),
        ("crop 0", classify(&["--crop-pct", "0"])),
        ("mean nan", classify(&["--mean", "nan,0,0"])),
        ("two means", classify(&["--mean", "0.5,0.5"])),
        ("std 0", classify(&["--std", "0,1,1"])),
        ("top 0", classify(&["--top-k", "0"])),
        ("two forms of JSON", classify(&["--json", "--jsonl"])),
        ("bench on no device", other(&["bench", "--model", &tiny, "--device", ""])),
        ("no picture", other(&["classify", "--model", &tiny])),
        ("an empty folder", other(&["classify", "--model", &tiny, empty])),
        ("no classifier", other(&["classify", "--model", &data("odd.apple.encoder.safetensors"), &picture])),
        ("no such model", other(&["info", nothing])),
        ("a folder for a model", other(&["info", empty])),
        ("a misspelled file", other(&["info", here.join("nets/tinny.safetensors").to_str().unwrap()])),
        ("a misspelled model", other(&["info", "digit"])),
        ("no such variant", other(&["info", "mobileone_s5"])),
        ("another server", other(&["info", "https://example.org/a/b"])),
        ("a text for a model", other(&["info", &text])),
        ("another network", other(&["info", &data("fastvit.safetensors")])),
        ("offline", other(&["classify", "--model", "s1", &picture])),
        ("no such command", other(&["clasify", &picture])),
        ("a picture for a command", other(&["cat.jpg"])),
        ("no such option", classify(&["--jsno"])),
        ("no such storage", classify(&["--dtype", "f61"])),
        ("no such crop", classify(&["--crop-mode", "middle"])),
        ("no such filter", classify(&["--interpolation", "lanczos"])),
        ("more than certain", classify(&["--threshold", "50"])),
        ("answers in no folder", classify(&["--output", no_folder])),
        ("answers in a folder", classify(&["--output", empty])),
        ("answers over the picture", classify(&["--output", &picture])),
        ("standard input twice", other(&["classify", "-", "-"])),
        ("export into no folder", other(&["export", "--target", "wgsl", no_folder, &tiny])),
        ("pages in no folder", other(&["man", no_folder])),
        ("no such shell", other(&["completions", "bsh"])),
        ("threads 0", classify(&["--device", "cpu", "--threads", "0"])),
        ("threads for giants", classify(&["--device", "cpu", "--threads", "20000"])),
        ("a batch for giants", other(&["profile", "--model", &tiny, "--device", "cpu", "--batch", "65535"])),
        ("layers of all", other(&["info", "--variants", "--layers"])),
        ("no folder to evaluate", other(&["eval", "--model", &tiny, nothing])),
        ("a misspelled folder to evaluate", other(&["eval", here.join("net").to_str().unwrap()])),
        ("an empty folder to evaluate", other(&["eval", "--model", &tiny, empty])),
        ("fuse without a target folder", other(&["fuse", &tiny, no_folder])),
        ("fuse onto itself", other(&["fuse", &tiny, &tiny])),
        ("fuse into a folder", other(&["fuse", &tiny, empty])),
        ("export for nothing", other(&["export", empty, &tiny])),
        ("export for what is not", other(&["export", "--target", "glsl", empty, &tiny])),
        ("export for the CPU", other(&["export", "--target", "wgsl", "--device", "cpu", empty, &tiny])),
        ("export into a file", other(&["export", "--target", "wgsl", &text, &tiny])),
        (
            "export over something",
            other(&["export", "--target", "wgsl", "--force", here.to_str().unwrap(), &tiny]),
        ),
        ("export of giants", other(&["export", "--target", "wgsl", "--batch", "65", empty, &tiny])),
        ("bench of no pictures", other(&["bench", "--model", &tiny, "--batch", "0"])),
        ("bench for no time", other(&["bench", "--model", &tiny, "--seconds", "0"])),
        ("bench in two forms", other(&["bench", "--model", &tiny, "--json", "--csv"])),
        ("bench of what is not", other(&["bench", "--model", "random:s5"])),
        ("a picture of another kind", other(&["bench", "--model", &tiny, "--plot", "bench.pdf"])),
        ("a picture in no folder", other(&["bench", "--model", &tiny, "--plot", "no folder/bench.svg"])),
    ];
    let mut all = String::new();
    for (name, args) in rows {
        let run = run(args);
        assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{name}: {run:?}");
        // One line, and nothing after it.
        let line = run.err.lines().last().filter(|line| line.starts_with("error: "));
        let line = line.unwrap_or_else(|| panic!("{name}: {run:?}"));
        let errors = run.err.lines().filter(|line| line.contains("error")).count();
        assert_eq!(errors, 1, "{name}: {run:?}");
        all += &format!("{name}\n    {line}\n");
    }
    let target = env!("CARGO_TARGET_TMPDIR");
    let all = all.replace(target, "TMP").replace(root(), "ROOT").replace('\\', "/");
    if cfg!(target_os = "linux") {
        let (device, rest) = all.split_once("no device\n").unwrap();
        // What devices there are depends on the machine.
        assert!(device.contains("device \"warp9\": no such device"), "{device}");
        snapshot("messages.txt", &format!("no device\n{rest}"));
    }
}

#[test]
fn nobody_reads_the_answer() {
    let picture = data("pictures/rgb.jpg");
    let classify = |form| vec!["classify", form, &picture, &picture];
    let rows = [vec!["info"], vec!["info", "--json"], vec!["--help"], vec!["devices"], vec![], vec!["man"]];
    let forms = ["--json", "--jsonl", "--csv", "--top-k=1"].map(classify);
    for args in rows.iter().chain(&forms) {
        let mut command = command();
        let mut child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {err}");
        assert!(!err.contains("panicked") && !err.contains("roken"), "{args:?}: {err}");
    }
}

#[test]
fn the_disk_is_full() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let picture = data("pictures/rgb.jpg");
    let classify = |form| vec!["classify", "-q", form, &picture];
    let forms = ["--json", "--jsonl", "--csv", "--top-k=1"].map(classify);
    for args in
        [vec!["info"], vec!["info", "--json"], vec!["completions", "zsh"], vec![]].iter().chain(&forms)
    {
        let mut command = command();
        command.args(args).stdout(full());
        let run = finish(command);
        assert_eq!(run.code, Some(2), "{args:?}: {run:?}");
        assert_eq!(run.err.trim_end(), "error: standard output: No space left on device (os error 28)");
    }
    // Nobody hears the complaints, and the exit code still tells.
    let mut command = command();
    command.args(["info", "nothing.safetensors"]).stderr(full());
    assert_eq!(finish(command).code, Some(2));
    let fused = run(["fuse", &data("odd.timm.train.safetensors"), "/dev/full"]);
    assert_eq!(fused.code, Some(2), "{fused:?}");
    assert!(fused.err.starts_with("error: /dev/full: "), "{fused:?}");
}
