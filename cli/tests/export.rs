//! Folders for engines of other people's.

use std::path::Path;

use mobileone::{
    Model, Options, Outputs,
    export::{Manifest, Target, export},
    plan::Limits,
};

use super::{command, data, finish, folder, run};

fn plan(folder: &Path) -> Manifest {
    serde_json::from_slice(&std::fs::read(folder.join("plan.json")).unwrap()).unwrap()
}

#[test]
fn what_is_typed_is_what_is_written() {
    let here = folder("export");
    let labels = here.join("labels.txt");
    std::fs::write(&labels, "a\nb\nc\nd\ne\n").unwrap();
    let model = data("odd.timm.fused.safetensors");
    for target in ["wgsl", "msl", "hlsl", "spirv"] {
        let out = here.join(target);
        let mut command = command();
        command.args([
            "export", "--target", target, "--dtype", "f16", "--batch", "4", "--top", "2", "--size", "64x80",
        ]);
        command.args(["--mean", "0.5,0.25,0"]).arg("--labels").arg(&labels).arg(&out).arg(&model);
        let run = finish(command);
        assert_eq!(run.code, Some(0), "{run:?}");
        let plan = plan(&out);
        assert!(
            run.out.contains(&format!(
                "{} dispatches of {} {target} kernels",
                plan.dispatches.len(),
                plan.kernels.len()
            )),
            "{run:?}"
        );
        assert_eq!((plan.target.as_str(), plan.dtype.as_str(), plan.batch), (target, "f16", 4));
        assert_eq!((plan.preprocess.size, plan.preprocess.mean), ([64, 80], [0.5, 0.25, 0.0]));
        assert_eq!((plan.outputs.last().unwrap().shape, plan.requires.subgroup), ([1, 2, 2], 0));
        assert_eq!(plan.labels.unwrap(), ["a", "b", "c", "d", "e"]);
    }
}

#[test]
fn the_report_is_json_too() {
    let out = folder("export-json").join("out");
    let out = out.to_str().unwrap();
    let run = run(["export", "--target", "wgsl", "--json", out, &data("odd.apple.encoder.safetensors")]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let report: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    let plan = plan(Path::new(out));
    assert_eq!(report["dispatches"], plan.dispatches.len());
    assert_eq!(report["weight_bytes"], plan.weights.bytes);
    assert_eq!((plan.outputs.len(), plan.outputs[0].name.as_str(), plan.labels), (1, "features", None));
}

/// The limits are those of the device that is named.
#[test]
fn a_device_may_be_named() {
    let Some(device) = crate::gpu::device() else { return };
    let out = folder("export-device").join("out");
    let mut command = command();
    command.args(["export", "--target", "spirv", "--device", &device.info().name]);
    let run = finish({
        command.arg(&out).arg(data("odd.timm.fused.safetensors"));
        command
    });
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.out.contains(&format!("f32 for {}", device.info().name)), "{run:?}");
    let model = Model::load(data("odd.timm.fused.safetensors")).unwrap();
    let expected = |limits| {
        let outputs = Outputs::named(["features", "logits", "probabilities"]).and_best(5);
        let options = Options { outputs, ..Options::of(&model) };
        export(&model, &options, limits, Target::Spirv).unwrap().manifest
    };
    let (own, least) = (expected(device.limits().unwrap()), expected(Limits::LEAST));
    assert_ne!(own, least, "the device has no limits of its own: nothing is tested");
    let found = plan(&out);
    // Whose labels come with the command.
    let mut own = own;
    own.labels = found.labels.clone();
    assert_eq!(found, own);
}

/// A file that may not grow is as good as a full disk.
#[test]
#[cfg(unix)]
fn an_export_that_stops_leaves_nothing() {
    let here = folder("export-stops");
    let mut shell = std::process::Command::new("sh");
    shell.args([
        "-c",
        "trap '' XFSZ; ulimit -f 8; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_mobileone"),
        "export",
    ]);
    shell.args(["--target", "wgsl"]).arg(here.join("out")).arg(data("se.timm.fused.safetensors"));
    let run = finish(shell);
    assert_eq!(run.code, Some(2), "{run:?}");
    let line = run.err.lines().last().unwrap();
    assert!(line.starts_with(&format!("error: {}: File too large", here.join("out").display())), "{run:?}");
    assert_eq!(std::fs::read_dir(&here).unwrap().count(), 0);
}
