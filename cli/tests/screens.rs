//! What people see: widths, colours, and how much is said.

use super::{command, data, finish, folder, run, snapshot};

/// The names of all commands, as the help lists them.
fn commands() -> Vec<String> {
    let help = run(["--help"]).out;
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = list.take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  ")).map(str::trim);
    // A description that goes on has no name before it.
    let names: Vec<String> = help
        .lines()
        .filter(|line| {
            line.starts_with("  ")
                && !line.starts_with("   ")
                && names.clone().any(|name| name == line.trim())
        })
        .filter_map(|line| line.split_whitespace().next().map(String::from))
        .collect();
    let names: Vec<String> = names.into_iter().filter(|name| name != "help").collect();
    assert!(names.len() > 10 && names.contains(&"classify".into()), "{names:?}");
    names
}

fn assert_narrow(what: &str, text: &str, columns: usize) {
    for line in text.lines() {
        assert!(line.chars().count() <= columns, "{what}: {} columns: {line}", line.chars().count());
    }
}

#[test]
fn help_fits_a_terminal() {
    let names = commands();
    let screens = names.iter().flat_map(|name| {
        [vec![name, "--help"], vec![name, "-h"]]
            .map(|args| args.into_iter().map(String::from).collect::<Vec<_>>())
    });
    let first = [vec!["--help".to_string()], vec!["-h".to_string()]];
    for args in first.into_iter().chain(screens) {
        // Where nothing says how wide the terminal is, and on a narrower one.
        for (columns, width) in [(Some("80"), 80), (None, 80), (Some("200"), 80), (Some("60"), 80)] {
            let mut command = command();
            match columns {
                Some(columns) => command.env("COLUMNS", columns),
                None => command.env_remove("COLUMNS"),
            };
            command.args(&args);
            let run = finish(command);
            assert_eq!(run.code, Some(0), "{run:?}");
            assert_narrow(&args.join(" "), &run.out, width);
        }
    }
}

#[test]
fn tables_fit_a_terminal() {
    let tiny = data("odd.timm.fused.safetensors");
    let picture = data("pictures/rgb.jpg");
    let rows: &[&[&str]] = &[
        &[],
        &["info"],
        &["info", &tiny],
        &["info", &data("se.timm.train.safetensors")],
        &["info", "random:s4"],
        &["info", "--variants"],
        &["info", "--layers"],
        &["info", "random:s4", "--layers"],
    ];
    for args in rows {
        let run = run(*args);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_narrow(&format!("{args:?}"), &run.out, 80);
    }
    // On a GPU a plan has more columns.
    if crate::gpu::device().is_some() {
        for model in ["random:s4", "random:s0", &data("se.timm.train.safetensors")] {
            let run = run(["info", model, "--layers", "--device", &crate::gpu::wanted()]);
            assert_eq!(run.code, Some(0), "{run:?}");
            assert_narrow(model, &run.out, 80);
            assert!(
                run.out.contains("groups") && run.out.lines().any(|line| line.contains(" stem 112x112 3->"))
            );
        }
    }
    // The picture's own name is as long as it is.
    let here = folder("screens");
    std::fs::copy(picture, here.join("rgb.jpg")).unwrap();
    let mut command = command();
    command.current_dir(&here).args(["classify", "--model", &tiny, "rgb.jpg"]);
    let run = finish(command);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_narrow("classify", &run.out, 80);
}

#[test]
fn one_line_says_what_runs_where() {
    let (tiny, picture) = (data("odd.timm.fused.safetensors"), data("pictures/rgb.jpg"));
    let digits = ["classify", "--model", "digits", &picture];
    let brief = run(digits);
    assert_eq!(brief.err.lines().count(), 1, "{brief:?}");
    assert!(
        brief.err.ends_with(" threads, f32, 80x80\n") || brief.err.ends_with(" thread, f32, 80x80\n"),
        "{brief:?}"
    );
    for quiet in ["-q", "--quiet"] {
        assert_eq!(run([&[quiet][..], &digits].concat()).err, "");
        let after = run([&digits[..], &[quiet]].concat());
        assert_eq!((after.err.as_str(), after.out), ("", brief.out.clone()));
    }
    for verbose in ["-v", "--verbose"] {
        let verbose = run([&digits[..], &[verbose]].concat());
        for said in
            ["device: CPU", "preprocessing: 80x80, center crop 1, bilinear", "labels: the model's own"]
        {
            assert!(verbose.err.lines().any(|line| line.starts_with(said)), "{said}: {verbose:?}");
        }
        assert_eq!(verbose.out, brief.out);
    }
    // Of the two, the last counts.
    assert_eq!(run([&digits[..], &["-v", "-q"]].concat()).err, "");
    assert!(run([&digits[..], &["-q", "-v"]].concat()).err.contains("device: CPU"));

    // What is only guessed is said, even to those who want quiet.
    let guess = "warning: preprocessing: a guess: 224 pixels, crop 0.9, ImageNet's mean and std; --size, ";
    let typed = ["classify", "--model", &tiny, &picture];
    let loud = run(typed);
    assert_eq!(loud.err.lines().count(), 3, "{loud:?}");
    assert!(loud.err.starts_with("warning: strides ") && loud.err.contains(guess), "{loud:?}");
    let line = loud.err.lines().last().unwrap();
    assert!(line.starts_with("MobileOne (widths 6/10/18/34) on CPU, "), "{line}");
    assert!(line.ends_with(", f32, 224x224, classes by number"), "{line}");
    let quiet = run([&typed[..], &["-q"]].concat());
    assert!(quiet.err.contains(guess) && quiet.err.lines().count() == 2, "{quiet:?}");
    let sure = ["--size", "224", "--crop-pct", "0.9", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5"];
    let sure = [&sure[..], &["--strides", "2,2,2,2,2"]].concat();
    assert_eq!(run([&typed[..], &sure, &["-q"]].concat()).err, "");
    // ImageNet's labels are assumed of a network with as many classes.
    let assumed = run(["classify", "--model", "random:s0", &picture]);
    assert!(assumed.err.ends_with(", f32, 224x224, ImageNet's labels (assumed)\n"), "{assumed:?}");
    // Errors are for everybody.
    let failed = run(["classify", "-q", "--model", "digits", "nothing.jpg"]);
    assert_eq!(failed.code, Some(1));
    assert!(failed.err.starts_with("error: nothing.jpg: ") && failed.err.lines().count() == 1, "{failed:?}");
}

#[test]
fn colours_are_for_terminals() {
    let picture = data("pictures/rgb.jpg");
    let colours = |args: &[&str], environment: &[(&str, &str)]| {
        let mut command = command();
        command.args(args).envs(environment.iter().copied());
        let run = finish(command);
        (run.out.contains('\x1b'), run.err.contains('\x1b'), run)
    };
    let forced = ("CLICOLOR_FORCE", "1");
    let rows: &[(&[&str], bool, bool)] = &[
        (&[], true, false),
        (&["classify", &picture], true, false),
        (&["classify", "nothing.jpg"], false, true),
        (&["classify", "--json", &picture], false, false),
        (&["classify", "--csv", &picture], false, false),
        (&["info", "nothing.safetensors"], false, true),
        (&["clasify"], false, true),
    ];
    for (args, out, err) in rows {
        let (in_pipe, in_error_pipe, _) = colours(args, &[]);
        assert!(!in_pipe && !in_error_pipe, "{args:?}");
        let (with, with_err, run) = colours(args, &[forced]);
        assert_eq!((with, with_err), (*out, *err), "{args:?}: {run:?}");
        let (without, without_err, _) = colours(args, &[forced, ("NO_COLOR", "1")]);
        assert!(!without && !without_err, "{args:?}");
    }
    let file = folder("colours").join("answers.txt");
    let (_, _, run) = colours(&["classify", &picture, "--output", file.to_str().unwrap()], &[forced]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), ""), "{run:?}");
    assert!(!std::fs::read_to_string(file).unwrap().contains('\x1b'));
}

#[test]
fn shells_complete_and_man_pages_tell() {
    let names = commands();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(["completions", shell]);
        assert_eq!((script.code, script.err.as_str()), (Some(0), ""), "{script:?}");
        for name in names.iter().map(String::as_str).chain(["crop-mode", "threshold"]) {
            assert!(script.out.contains(name), "{shell} has no {name}");
        }
    }
    let page = run(["man"]);
    assert_eq!((page.code, page.err.as_str()), (Some(0), ""), "{page:?}");
    assert!(page.out.contains(".TH mobileone 1"), "{page:?}");
    let here = folder("man").join("man1");
    let pages = run(["man", here.to_str().unwrap()]);
    assert_eq!((pages.code, pages.out.as_str()), (Some(0), ""), "{pages:?}");
    assert_eq!(std::fs::read_to_string(here.join("mobileone.1")).unwrap(), page.out);
    for name in &names {
        let page = std::fs::read_to_string(here.join(format!("mobileone-{name}.1"))).unwrap();
        assert!(
            page.contains(&format!(".TH mobileone-{name} 1")) && page.contains("EXTRA"),
            "{name}: {page}"
        );
    }
    // Once more: pages are replaced.
    assert_eq!(run(["man", here.to_str().unwrap()]).code, Some(0));
}

#[test]
fn the_first_screen() {
    let out = run([""; 0]).out;
    let masked = out.lines().map(|line| match line.rsplit_once("%  ") {
        Some((start, _)) => format!("{start}%  MS"),
        None if line.starts_with("Device: ") => "Device: ...".into(),
        None => line.into(),
    });
    snapshot("first.txt", &(masked.collect::<Vec<_>>().join("\n") + "\n"));
    let quiet = run(["-q"]).out;
    assert_eq!(quiet.lines().count(), 13, "the table alone: {quiet}");
}
