//! PyTorch checkpoints as training scripts write them: networks in wrappers, beside others and beside names.

use mobileone::{Checkpoint, Weights, checkpoint::Reading};
use safetensors::Dtype;
use zip::CompressionMethod;

use super::{
    Stored, assert_refused, assert_same, plain,
    pth::{Code, archive, call, dict, global, int, storage, tensor, text, tuple},
    stored,
};

/// A checkpoint as it grows: what its pickle says, and its storages.
#[derive(Default)]
struct Torch {
    storages: Vec<Vec<u8>>,
}

impl Torch {
    /// A state dict of the tensors of a golden file, all values higher by `more`.
    fn state_dict(&mut self, file: &str, prefix: &str, more: f32) -> Code {
        let entries: Vec<(String, Code)> = stored(file)
            .into_iter()
            .filter(|(_, stored)| stored.dtype == Dtype::F32)
            .map(|(name, stored)| (format!("{prefix}{name}"), self.tensor(&stored, more)))
            .collect();
        let entries: Vec<(&str, Code)> =
            entries.iter().map(|(name, code)| (name.as_str(), code.clone())).collect();
        dict(&entries)
    }

    fn tensor(&mut self, stored: &Stored, more: f32) -> Code {
        let values = stored.bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()) + more);
        let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        let shape: Vec<i64> = stored.shape.iter().map(|&side| side as i64).collect();
        let mut strides = vec![1; shape.len()];
        for at in (1..shape.len()).rev() {
            strides[at - 1] = strides[at] * shape[at];
        }
        let storage = storage("FloatStorage", &self.storages.len().to_string(), bytes.len() as i64 / 4);
        self.storages.push(bytes);
        tensor(storage, 0, &shape, &strides)
    }

    fn file(&self, value: Code) -> Vec<u8> {
        let pickle = [b"\x80\x02", &value[..], b"."].concat();
        let names: Vec<String> = (0..self.storages.len()).map(|at| format!("m/data/{at}")).collect();
        let mut members: Vec<(&str, &[u8])> = vec![("m/data.pkl", &pickle)];
        members.extend(names.iter().map(String::as_str).zip(self.storages.iter().map(Vec::as_slice)));
        archive(&members, CompressionMethod::Stored)
    }
}

const NETWORK: &str = "odd.timm.fused.safetensors";

fn read_as(bytes: &[u8], which: &str) -> mobileone::Result<Checkpoint> {
    let reading = Reading { weights: which.parse().unwrap(), ..Reading::default() };
    Checkpoint::from_bytes_with(bytes, None, &reading)
}

/// The network's parameters, higher by `more`.
fn expected(more: f32) -> Weights {
    let mut weights = Weights::new();
    for (name, array) in plain(NETWORK).iter() {
        weights.insert(name, &array.shape, array.data.iter().map(|value| value + more).collect());
    }
    weights
}

#[test]
fn in_any_wrapper() {
    let expected = expected(0.0);
    let keys = [
        "params",
        "params_ema",
        "state",
        "net_state_dict",
        "best_model_state_dict",
        "model_weights",
        "student",
        "checkpoint",
        "Model",
        "weights",
        "ema",
        "anything at all",
    ];
    for key in keys {
        let mut torch = Torch::default();
        let own = torch.state_dict(NETWORK, "module.", 0.0);
        let file = torch.file(dict(&[("epoch", int(3)), (key, own)]));
        let read = Checkpoint::from_bytes(&file).unwrap_or_else(|e| panic!("{key}: {e}"));
        assert_same(&read.weights, &expected, key);
        assert_eq!(read.weights.name_in_file("stem.reparam_conv.bias"), "module.stem.reparam_conv.bias");
    }
    let shapes: [fn(Code) -> Code; 5] = [
        |own| tuple(&[own, int(3)]),
        |own| tuple(&[int(3), own]),
        |own| [b"](", &int(3)[..], &dict(&[("model", own)]), b"e"].concat(),
        |own| dict(&[("a", dict(&[("b", dict(&[("c", tuple(&[own]))]))]))]),
        |own| {
            let defaults = call(global("collections", "defaultdict"), &[global("builtins", "dict")]);
            [&defaults[..], b"(", &text("net"), &own, b"u"].concat()
        },
    ];
    for (case, wrap) in shapes.into_iter().enumerate() {
        let mut torch = Torch::default();
        let own = torch.state_dict(NETWORK, "", 0.0);
        let read = Checkpoint::from_bytes(&torch.file(wrap(own))).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_same(&read.weights, &expected, &format!("shape {case}"));
    }
    // A dictionary for the backbone and one for the classifier
    let mut torch = Torch::default();
    let own = torch.state_dict(NETWORK, "", 0.0);
    let (bias, weight) = (torch.tensor(&Stored::ones(&[5]), 0.0), torch.tensor(&Stored::ones(&[5, 34]), 0.0));
    let head = dict(&[("bias", bias), ("weight", weight)]);
    assert_refused(
        Checkpoint::from_bytes(&torch.file(dict(&[("backbone", own), ("fc", head.clone())]))),
        "\"bias\" … layer after it",
        "two heads",
    );
    let encoder = torch.state_dict("odd.apple.encoder.safetensors", "", 0.0);
    let read = Checkpoint::from_bytes(&torch.file(dict(&[("backbone", encoder), ("fc", head)]))).unwrap();
    assert_eq!(read.weights.get("head.fc.bias").unwrap().data, [1.0; 5]);
}

#[test]
fn averages_beside_the_network() {
    let rows = [
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("model_state_dict", "ema_state_dict"),
        ("params", "params_ema"),
        ("net", "averaged_net"),
        // Lightning keeps the raw network apart while it averages
        ("current_model_state", "state_dict"),
    ];
    for (own, average) in rows {
        let mut torch = Torch::default();
        let entries =
            [(own, torch.state_dict(NETWORK, "", 0.0)), (average, torch.state_dict(NETWORK, "module.", 0.5))];
        let file = torch.file(dict(&entries));
        assert_same(&Checkpoint::from_bytes(&file).unwrap().weights, &expected(0.5), average);
        assert_same(&read_as(&file, "ema").unwrap().weights, &expected(0.5), average);
        assert_same(&read_as(&file, "raw").unwrap().weights, &expected(0.0), own);
        assert_same(&read_as(&file, own).unwrap().weights, &expected(0.0), own);
    }
    // mmengine swaps the two when it saves
    let mut torch = Torch::default();
    let entries = [
        ("meta", dict(&[("mmengine_version", text("0.10.4"))])),
        ("state_dict", torch.state_dict(NETWORK, "", 0.5)),
        ("ema_state_dict", torch.state_dict(NETWORK, "module.", 0.0)),
    ];
    let file = torch.file(dict(&entries));
    assert_same(&Checkpoint::from_bytes(&file).unwrap().weights, &expected(0.5), "mmengine");
    assert_same(&read_as(&file, "raw").unwrap().weights, &expected(0.0), "mmengine, raw");
    // All at once: timm's order
    let mut torch = Torch::default();
    let keys = [("model", 3.0), ("state_dict", 2.0), ("model_ema", 1.0), ("state_dict_ema", 0.0)];
    let entries = keys.map(|(key, more)| (key, torch.state_dict(NETWORK, "", more)));
    let file = torch.file(dict(&entries));
    assert_same(&Checkpoint::from_bytes(&file).unwrap().weights, &expected(0.0), "state_dict_ema");
    assert_same(&read_as(&file, "raw").unwrap().weights, &expected(2.0), "state_dict");
    assert_same(&read_as(&file, "model").unwrap().weights, &expected(3.0), "model");
    // Nothing says which
    let mut torch = Torch::default();
    let entries = [
        ("state_dict", torch.state_dict(NETWORK, "", 0.0)),
        ("best_state_dict", torch.state_dict(NETWORK, "", 1.0)),
    ];
    let file = torch.file(dict(&entries));
    let expected_error = "several networks, \"state_dict\", \"best_state_dict\": choose one of them";
    assert_refused(Checkpoint::from_bytes(&file), expected_error, "best");
    assert_same(&read_as(&file, "best_state_dict").unwrap().weights, &expected(1.0), "best");
    // The same dictionary under two keys is one network
    let mut torch = Torch::default();
    let own = torch.state_dict(NETWORK, "", 0.0);
    let shared = [b"}(", &text("last")[..], &own, b"q\x09", &text("best"), b"h\x09", b"u"].concat();
    assert_same(&Checkpoint::from_bytes(&torch.file(shared)).unwrap().weights, &expected(0.0), "shared");
}

#[test]
fn names_of_classes_beside_the_network() {
    let names = ["ant", "bee", "cat", "dog", "eel"];
    let list = || tuple(&names.map(text));
    let by_name =
        || dict(&names.iter().enumerate().map(|(at, name)| (*name, int(at as i64))).collect::<Vec<_>>());
    let by_number = || {
        let entries: Vec<Code> =
            names.iter().enumerate().map(|(at, name)| [int(at as i64), text(name)].concat()).collect();
        [b"}(", &entries.concat()[..], b"u"].concat()
    };
    let namespace =
        |entries: Code| [global("argparse", "Namespace"), b")\x81".to_vec(), entries, b"b".to_vec()].concat();
    let read = |beside: &[(&str, Code)]| {
        let mut torch = Torch::default();
        let own = torch.state_dict(NETWORK, "", 0.0);
        let file = torch.file(dict(&[beside, &[("state_dict", own)]].concat()));
        Checkpoint::from_bytes(&file).unwrap()
    };
    let rows = [
        ("meta.dataset_meta.classes", ("meta", dict(&[("dataset_meta", dict(&[("classes", list())]))]))),
        ("meta.CLASSES", ("meta", dict(&[("CLASSES", list())]))),
        ("classes", ("classes", list())),
        ("class_names", ("class_names", list())),
        ("class_to_idx", ("class_to_idx", by_name())),
        ("idx_to_class", ("idx_to_class", by_number())),
        ("names", ("names", by_number())),
        ("args.class_map", ("args", namespace(dict(&[("class_map", by_name())])))),
        ("hyper_parameters.class_names", ("hyper_parameters", dict(&[("class_names", list())]))),
    ];
    for (path, beside) in rows {
        let found = read(&[beside]);
        assert_eq!(found.metadata.labels.as_deref(), Some(&names.map(String::from)[..]), "{path}");
        assert!(found.notes[0].text.contains(&format!("\"{path}\"")), "{path}: {:?}", found.notes);
    }
    let few = tuple(&[text("ant"), text("bee")]);
    let found = read(&[("classes", few)]);
    assert_eq!(found.metadata.labels, None);
    assert!(
        found.notes[0].text.contains("\"classes\" are passed over: they are 2, and the classes 5"),
        "{:?}",
        found.notes
    );
    let found = read(&[("classes", list()), ("names", tuple(&["a", "b", "c", "d", "e"].map(text)))]);
    assert_eq!(found.metadata.labels, None);
    assert!(found.notes[0].text.contains("differently under \"classes\" and \"names\""), "{:?}", found.notes);
    assert_eq!(read(&[("classes", int(5)), ("args", namespace(int(3)))]).metadata.labels, None);

    // ε stands there too
    let float = |value: f64| [b"G", &value.to_be_bytes()[..]].concat();
    let found = read(&[("hyper_parameters", dict(&[("bn_eps", float(1e-3))]))]);
    assert_eq!(found.metadata.bn_eps, Some(1e-3));
    assert!(found.notes[0].text.contains("0.001, as \"hyper_parameters.bn_eps\""), "{:?}", found.notes);
}

/// `bytes`, an archive without a comment, with the records of large archives that PyTorch always writes.
fn with_zip64(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.split_off(bytes.len() - 22);
    let u32_at = |at: usize| u64::from(u32::from_le_bytes(end[at..at + 4].try_into().unwrap()));
    let (entries, size, offset) = (u64::from(end[10]) | u64::from(end[11]) << 8, u32_at(12), u32_at(16));
    let record = bytes.len() as u64;
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44u64.to_le_bytes());
    bytes.extend([0x1e, 3, 0x2d, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    [entries, entries, size, offset].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(record.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(end);
    bytes
}

#[test]
fn names_of_any_length() {
    let (mut torch, expected) = (Torch::default(), expected(0.0));
    let own = torch.state_dict(NETWORK, "", 0.0);
    let pickle = [b"\x80\x02", &own[..], b"."].concat();
    // PyTorch calls the folder in the archive what the file is called before its last dot
    for length in (1..=64).chain([100, 200, 255]) {
        let folder = "n".repeat(length);
        let names: Vec<String> = (0..torch.storages.len()).map(|at| format!("{folder}/data/{at}")).collect();
        let description = format!("{folder}/data.pkl");
        let mut members: Vec<(&str, &[u8])> = vec![(&description, &pickle)];
        members.extend(names.iter().map(String::as_str).zip(torch.storages.iter().map(Vec::as_slice)));
        let file = archive(&members, CompressionMethod::Stored);
        for file in [with_zip64(file.clone()), file] {
            let read = Checkpoint::from_bytes(&file).unwrap_or_else(|e| panic!("{length}: {e}"));
            assert_same(&read.weights, &expected, &format!("{length}"));
        }
    }
}

#[test]
fn whole_modules_are_refused_with_the_line_that_saves_them() {
    let module = || {
        let state = dict(&[("training", b"\x89".to_vec()), ("_modules", dict(&[]))]);
        [global("timm.models.byobnet", "ByobNet"), b")\x81".to_vec(), state, b"b".to_vec()].concat()
    };
    let line = |keys: &str| {
        format!(
            "whole module … python -c \"import torch; torch.save(torch.load('checkpoint', map_location='cpu', \
             weights_only=False){keys}.state_dict(), 'checkpoint.state.pth')\""
        )
    };
    let torch = Torch::default();
    assert_refused(Checkpoint::from_bytes(&torch.file(module())), &line(""), "whole");
    let inner = dict(&[("epoch", int(3)), ("model", module())]);
    assert_refused(Checkpoint::from_bytes(&torch.file(inner)), &line("['model']"), "inner");
    assert_refused(Checkpoint::from_bytes(&torch.file(tuple(&[int(3), module()]))), &line("[1]"), "tuple");
}

#[test]
fn pickles_that_repeat_themselves_are_refused() {
    // A dictionary that holds itself under many keys
    let entries: Vec<Code> =
        (0..2000).map(|at| [text(&format!("k{at}")), b"h\x01".to_vec()].concat()).collect();
    let cycle = [b"}q\x01(", &entries.concat()[..], b"u"].concat();
    assert_refused(
        Checkpoint::from_bytes(&Torch::default().file(cycle)),
        "refers to its own values",
        "cycle",
    );
    // A long list that names classes under many keys: read once or twice, and the rest passed over
    let names: Vec<Code> = (0..100_000).map(|at| text(&format!("n{at}"))).collect();
    let list = [&b"]q\x02("[..], &names.concat(), b"e"].concat();
    let again: Vec<Code> = (0..2000)
        .map(|at| [text(&at.to_string()), b"}".to_vec(), text("classes"), b"h\x02s".to_vec()].concat())
        .collect();
    let mut torch = Torch::default();
    let own = torch.state_dict(NETWORK, "", 0.0);
    let many = [&b"}("[..], &text("classes"), &list, &again.concat(), &text("net"), &own, b"u"].concat();
    let read = Checkpoint::from_bytes(&torch.file(many)).unwrap();
    assert_eq!(read.metadata.labels, None);
    // A long key above many tensors
    let mut torch = Torch::default();
    let own = torch.state_dict(NETWORK, "", 0.0);
    let long = "k".repeat(4 << 20);
    let file = torch.file(dict(&[(long.as_str(), own)]));
    assert_refused(Checkpoint::from_bytes(&file), "has names of more than", "long");
}
