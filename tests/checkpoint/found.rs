//! Which tensors of a file are the network: prefixes, copies, and what is passed over.

use mobileone::{
    Checkpoint, Form, Model,
    checkpoint::{Note, Reading, Setting, Which},
};
use safetensors::Dtype;

use super::{Stored, assert_refused, assert_same, plain, safetensors, stored};

type Tensors = Vec<(String, Stored)>;

/// A small network's tensors, their names led by `prefix`.
fn network(prefix: &str) -> Tensors {
    let tensors = stored("odd.timm.train.safetensors").into_iter();
    tensors.map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect()
}

/// The same with every value 0.5 higher: a trained copy of it.
fn copy(prefix: &str) -> Tensors {
    let higher = |tensor: Stored| match tensor.dtype {
        Dtype::F32 => {
            let values: Vec<f32> =
                tensor.bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()) + 0.5).collect();
            Stored::f32(&tensor.shape, &values)
        }
        _ => tensor,
    };
    network(prefix).into_iter().map(|(name, tensor)| (name, higher(tensor))).collect()
}

fn with(mut tensors: Tensors, name: &str, tensor: Stored) -> Tensors {
    tensors.push((name.into(), tensor));
    tensors
}

fn both(a: Tensors, b: Tensors) -> Vec<u8> {
    safetensors(&[a, b].concat())
}

fn reading(which: &str) -> Reading {
    Reading { weights: which.parse().unwrap(), ..Reading::default() }
}

fn read_as(bytes: &[u8], which: &str) -> mobileone::Result<Checkpoint> {
    Checkpoint::from_bytes_with(bytes, None, &reading(which))
}

#[test]
fn any_common_prefix() {
    let expected = plain("odd.timm.train.safetensors");
    for prefix in [
        "net.",
        "network.",
        "base_model.",
        "backbone_model.",
        "student.",
        "_forward_module.module.",
        "model.0.",
        "classifier.",
        "head.net.",
        "stages.net.",
        "a.b.c.d.e.f.g.h.i.j.",
    ] {
        let read = Checkpoint::from_bytes(&safetensors(&network(prefix)))
            .unwrap_or_else(|e| panic!("{prefix}: {e}"));
        assert_same(&read.weights, &expected, prefix);
        assert!(read.passed_over.is_empty() && read.networks.is_empty(), "{prefix}: {:?}", read.passed_over);
    }
    // In the middle of names too
    let wrapped = network("model.")
        .into_iter()
        .map(|(name, tensor)| (name.replace("stages.1.", "stages.1._checkpoint_wrapped_module."), tensor));
    let read = Checkpoint::from_bytes(&safetensors(&wrapped.collect::<Vec<_>>())).unwrap();
    assert_same(&read.weights, &expected, "_checkpoint_wrapped_module");
    // timm's features_only
    let flat = network("").into_iter().filter(|(name, _)| !name.starts_with("head."));
    let flat = flat.map(|(name, tensor)| (name.replace("stages.", "stages_"), tensor));
    let read = Checkpoint::from_bytes(&safetensors(&flat.collect::<Vec<_>>())).unwrap();
    assert_eq!(read.weights.len() + 2, expected.len());
    assert_eq!(Model::new(read, Form::Fused).unwrap().architecture.classes, None);
}

#[test]
fn the_average_is_taken_unless_the_raw_network_is_wanted() {
    let (raw, average) = (plain("odd.timm.train.safetensors"), {
        let file = safetensors(&copy(""));
        Checkpoint::from_bytes(&file).unwrap().weights
    });
    let rows = [
        ("model.", "model_ema.module.", "model_ema.module"),
        ("model.", "ema_model.", "ema_model"),
        ("", "ema.", "ema"),
        ("net.", "swa_net.module.", "swa_net.module"),
        ("online.", "averaged.", "averaged"),
    ];
    for (own, averaged, name) in rows {
        let file = both(network(own), copy(averaged));
        let read = Checkpoint::from_bytes(&file).unwrap_or_else(|e| panic!("{averaged}: {e}"));
        assert_same(&read.weights, &average, averaged);
        let found: Vec<_> = read.networks.iter().map(|n| (n.name.as_str(), n.averaged, n.taken)).collect();
        assert!(found.contains(&(name, true, true)), "{found:?}");
        assert!(found.contains(&(own.trim_end_matches('.'), false, false)), "{found:?}");
        assert!(read.passed_over.is_empty(), "{:?}", read.passed_over);
        assert_same(&read_as(&file, "ema").unwrap().weights, &average, averaged);
        assert_same(&read_as(&file, "raw").unwrap().weights, &raw, own);
        assert_same(&read_as(&file, name).unwrap().weights, &average, name);
    }
    // The average alone, and the raw network alone
    let swa = with(copy("module."), "n_averaged", Stored::ones(&[]));
    let read = Checkpoint::from_bytes(&safetensors(&swa)).unwrap();
    assert_same(&read.weights, &average, "AveragedModel");
    assert_eq!(read.passed_over, ["n_averaged"]);
    assert_same(&read_as(&safetensors(&swa), "ema").unwrap().weights, &average, "AveragedModel");
    assert_refused(read_as(&safetensors(&swa), "raw"), "holds no raw weights … \"module\" (averaged)", "raw");
    let file = safetensors(&network("model."));
    assert_refused(read_as(&file, "ema"), "holds no averaged weights; there is \"model\"", "ema");
    assert_refused(
        read_as(&file, "teacher"),
        "holds no network under \"teacher\"; there is \"model\"",
        "teacher",
    );
    assert_eq!("student.net.".parse(), Ok(Which::Named("student.net".into())));
}

#[test]
fn several_networks_of_which_none_is_preferred() {
    let file = both(network("student."), copy("teacher.net."));
    assert_refused(
        Checkpoint::from_bytes(&file),
        "holds several networks, \"student\", \"teacher.net\": choose one of them",
        "two",
    );
    let expected = plain("odd.timm.train.safetensors");
    assert_same(&read_as(&file, "student").unwrap().weights, &expected, "student");
    let teacher = read_as(&file, "teacher").unwrap();
    assert_ne!(teacher.weights, expected);
    assert_eq!(teacher.networks.iter().filter(|found| found.taken).count(), 1);
    // Twice the same is no question
    let file = both(network("student."), network("best."));
    let read = Checkpoint::from_bytes(&file).unwrap();
    assert_same(&read.weights, &expected, "the same");
    // But for the classifier
    let headed = |prefix: &str, value: f32| {
        let mut tensors = network(prefix);
        let bias = tensors.iter_mut().find(|(name, _)| *name == format!("{prefix}head.fc.bias"));
        bias.expect("a classifier").1.bytes[..4].copy_from_slice(&value.to_le_bytes());
        tensors
    };
    assert_refused(
        Checkpoint::from_bytes(&both(headed("first.", 1.0), headed("second.", 2.0))),
        "holds several networks, \"first\", \"second\": choose one of them",
        "classifiers",
    );
    let headless = network("a.").into_iter().filter(|(name, _)| !name.contains("head.")).collect();
    let read = Checkpoint::from_bytes(&both(headless, network("b."))).unwrap();
    assert_same(&read.weights, &expected, "the one with a classifier");
    // Part of one beside a whole one
    let part = network("part.").into_iter().filter(|(name, _)| name.contains("stages.1.")).collect();
    let read = Checkpoint::from_bytes(&both(network("model."), part)).unwrap();
    assert_same(&read.weights, &expected, "part");
}

#[test]
fn what_inference_does_not_need_is_passed_over_by_name() {
    let expected = plain("odd.timm.train.safetensors");
    let long = |len: usize| Stored { dtype: Dtype::I64, shape: vec![len], bytes: vec![0; 8 * len] };
    let rows = [
        ("criterion.pos_weight", Stored::ones(&[])),
        ("criterion.centers", Stored::ones(&[5, 34])),
        ("loss_fn.weight", Stored::ones(&[5])),
        ("lossFn.weight", Stored::ones(&[5])),
        ("train_acc.tp", long(5)),
        ("valMetrics.f1.fp", long(5)),
        ("normalize.mean", Stored::ones(&[3])),
        ("class_weights", Stored::ones(&[5])),
        ("pos_weight", Stored::ones(&[5])),
        ("temperature", Stored::ones(&[])),
        ("n_averaged", long(1)),
        ("head_dist.weight", Stored::ones(&[5, 34])),
        ("aux_head.0.conv.weight", Stored::ones(&[8, 18, 3, 3])),
        ("optimizer.state.0.exp_avg", Stored::ones(&[6, 3, 3, 3])),
        ("step", long(1)),
    ];
    for (name, tensor) in &rows {
        for prefix in ["", "model.", "net.backbone."] {
            let file = safetensors(&with(network(prefix), name, tensor.clone()));
            let read = Checkpoint::from_bytes(&file).unwrap_or_else(|e| panic!("{prefix}, {name}: {e}"));
            assert_same(&read.weights, &expected, name);
            assert_eq!(read.passed_over, [*name], "{prefix}");
        }
        // Within the network's own module
        let inner = format!("model.{name}");
        let file = safetensors(&with(network("model."), &inner, tensor.clone()));
        let read = Checkpoint::from_bytes(&file).unwrap_or_else(|e| panic!("{inner}: {e}"));
        assert_same(&read.weights, &expected, &inner);
    }
    // Beside a whole network, anything
    let file = safetensors(&with(network("model."), "decoder.0.weight", Stored::ones(&[8, 34, 3, 3])));
    let read = Checkpoint::from_bytes(&file).unwrap();
    assert_eq!(read.passed_over, ["decoder.0.weight"]);
}

#[test]
fn what_may_be_a_part_of_the_network_is_refused() {
    let no_part = |name: &str| format!("tensor \"{name}\": is no part of a MobileOne");
    let step = "give a MobileOne's file, or remove the tensor";
    let rows = [
        // In a stage, in an unknown form
        ("model.", "model.stages.0.1.conv_5x5.conv.weight", Stored::ones(&[6, 6, 5, 5])),
        ("model.", "model.stages.0.1.criterion.weight", Stored::ones(&[6])),
        ("model.", "model.stem.norm.weight", Stored::ones(&[6])),
        ("model.", "model.stages.4.loss.weight", Stored::ones(&[6])),
        ("", "stages.0.1.conv_kxk.0.conv.lora_A", Stored::ones(&[2, 6])),
        // Between the last stage and the classifier
        ("", "global_pool.p", Stored::ones(&[1])),
        ("", "gem.p", Stored::ones(&[])),
        ("", "final_conv.weight", Stored::ones(&[34, 34, 1, 1])),
        ("", "norm.weight", Stored::ones(&[34])),
        ("model.", "model.neck.0.weight", Stored::ones(&[34, 34])),
        ("model.", "model.projection.weight", Stored::ones(&[34, 34])),
    ];
    for (prefix, name, tensor) in rows {
        let file = safetensors(&with(network(prefix), name, tensor));
        assert_refused(Checkpoint::from_bytes(&file), &format!("{} … {step}", no_part(name)), name);
    }
    // The classifier stands outside: so may what comes before it
    let outside = || -> Tensors {
        let moved = |name: String| name.replace("backbone.head.fc.", "fc.");
        network("backbone.").into_iter().map(|(name, tensor)| (moved(name), tensor)).collect()
    };
    let expected = plain("odd.timm.train.safetensors");
    let read = Checkpoint::from_bytes(&safetensors(&outside())).unwrap();
    assert_same(&read.weights, &expected, "outside");
    for name in ["pool.p", "bn.running_mean", "neck.bn.weight"] {
        let file = safetensors(&with(outside(), name, Stored::ones(&[34])));
        assert_refused(Checkpoint::from_bytes(&file), &no_part(name), name);
    }
    let read =
        Checkpoint::from_bytes(&safetensors(&with(outside(), "loss.weight", Stored::ones(&[5])))).unwrap();
    assert_eq!(read.passed_over, ["loss.weight"]);

    // An encoder with something that is no classifier: its features alone only when asked for
    let encoder: Tensors =
        network("encoder.").into_iter().filter(|(name, _)| !name.contains(".head.")).collect();
    let file = safetensors(&with(encoder, "decoder.blocks.0.weight", Stored::ones(&[8, 34, 3, 3])));
    let expected =
        format!("{} … network under \"encoder\" can be read alone", no_part("decoder.blocks.0.weight"));
    assert_refused(Checkpoint::from_bytes(&file), &expected, "decoder");
    let read = read_as(&file, "encoder").unwrap();
    assert_eq!(read.passed_over, ["decoder.blocks.0.weight"]);
    assert_eq!(Model::new(read, Form::Fused).unwrap().architecture.classes, None);
}

#[test]
fn what_a_reader_chose_and_left_out_is_among_the_models_notes() {
    let read = |file: &[u8], which: &str| {
        let checkpoint = Checkpoint::from_bytes_with(file, None, &reading(which)).unwrap();
        let said = checkpoint.notes.clone();
        let model = Model::new(checkpoint, Form::Fused).unwrap();
        assert!(said.iter().all(|note| model.notes.contains(note)), "{:?}", model.notes);
        assert!(model.notes.iter().all(|note| !note.text.contains("--")), "{:?}", model.notes);
        said
    };
    let default = |file: &[u8]| Model::from_bytes(file).unwrap().notes;
    let file = both(network("model."), copy("model_ema."));
    let took = Note {
        text: "took \"model_ema\", the averaged weights, not \"model\"".into(),
        warning: false,
        setting: Some(Setting::Weights),
    };
    assert!(default(&file).contains(&took), "{:?}", default(&file));
    assert_eq!(read(&file, "raw"), []);
    // Of two that are not averages, one is a guess
    let file = both(network("model."), copy("state_dict."));
    let took = Note { text: "took \"state_dict\", not \"model\"".into(), warning: true, ..took };
    assert!(default(&file).contains(&took), "{:?}", default(&file));
    let extra = safetensors(&with(network("model."), "normalize.mean", Stored::ones(&[3])));
    let notes = default(&extra);
    let said = |text: &str| notes.iter().find(|note| note.text.contains(text)).unwrap();
    assert!(said("passed over 1 tensor that inference does not need: normalize.mean").warning);
    assert_eq!(said("pictures with normalize.mean, give those values").setting, Some(Setting::Normalization));
}
