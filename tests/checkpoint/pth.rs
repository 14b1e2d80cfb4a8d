//! PyTorch's zip form: what its pickle may say, and what is never done for it.

use std::io::{Cursor, Write};

use mobileone::Checkpoint;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{assert_refused, assert_same, golden, plain};

/// The pickle instructions that make a value.
pub(super) type Code = Vec<u8>;

pub(super) fn text(text: &str) -> Code {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

pub(super) fn int(value: i64) -> Code {
    [b"\x8a\x08", &value.to_le_bytes()[..]].concat()
}

pub(super) fn tuple(items: &[Code]) -> Code {
    [b"(", &items.concat()[..], b"t"].concat()
}

pub(super) fn sizes(values: &[i64]) -> Code {
    tuple(&values.iter().map(|&v| int(v)).collect::<Vec<_>>())
}

pub(super) fn global(module: &str, name: &str) -> Code {
    format!("c{module}\n{name}\n").into_bytes()
}

pub(super) fn call(function: Code, arguments: &[Code]) -> Code {
    [function, tuple(arguments), b"R".to_vec()].concat()
}

pub(super) fn dict(entries: &[(&str, Code)]) -> Code {
    let entries: Vec<Code> = entries.iter().map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", &entries.concat()[..], b"u"].concat()
}

pub(super) fn storage(kind: &str, key: &str, len: i64) -> Code {
    let description = tuple(&[text("storage"), global("torch", kind), text(key), text("cpu"), int(len)]);
    [description, b"Q".to_vec()].concat()
}

pub(super) fn tensor(storage: Code, offset: i64, shape: &[i64], strides: &[i64]) -> Code {
    let arguments = [storage, int(offset), sizes(shape), sizes(strides), b"\x89".to_vec(), b"N".to_vec()];
    call(global("torch._utils", "_rebuild_tensor_v2"), &arguments)
}

/// A dense vector of `len` f32 in storage "0".
pub(super) fn vector(len: i64) -> Code {
    tensor(storage("FloatStorage", "0", len), 0, &[len], &[1])
}

pub(super) fn archive(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A checkpoint that pickles `value` and has storage "0" with the f32 0, 1, 2, ... 9.
pub(super) fn checkpoint(value: Code) -> Vec<u8> {
    let ten: Vec<u8> = (0..10).flat_map(|v| (v as f32).to_le_bytes()).collect();
    raw_checkpoint(&[b"\x80\x02", &value[..], b"."].concat(), &ten)
}

fn raw_checkpoint(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    archive(
        &[("m/data.pkl", pickle), ("m/byteorder", b"little"), ("m/data/0", storage)],
        CompressionMethod::Stored,
    )
}

fn bias(value: Code) -> Code {
    dict(&[("head.fc.bias", value)])
}

/// Judges the refusal of a checkpoint that pickles `value`.
fn refused(value: Code, expected: &str) {
    assert_refused(Checkpoint::from_bytes(&checkpoint(value)), expected, expected);
}

fn refused_pickle(pickle: &[u8], expected: &str) {
    let case = format!("{:?}", &pickle[..pickle.len().min(40)]);
    assert_refused(Checkpoint::from_bytes(&raw_checkpoint(pickle, b"")), expected, &case);
}

#[test]
fn files_of_pytorch() {
    let rows = [
        ("odd.apple.train.pth.tar", "odd.timm.train.safetensors"),
        ("odd.apple.fused.pth", "odd.timm.fused.safetensors"),
        // Parameters, halves, transposed and shared storages, under "model"
        ("odd.timm.train.bin", "odd.timm.train.safetensors"),
    ];
    for (file, expected) in rows {
        let read = Checkpoint::open(golden(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_same(&read.weights, &plain(expected), file);
    }
}

#[test]
fn views_of_storages() {
    let check = |value: Code, shape: &[usize], expected: &[f32]| {
        let read = Checkpoint::from_bytes(&checkpoint(bias(value))).unwrap();
        let found = read.weights.get("head.fc.bias").unwrap();
        assert_eq!((found.shape.as_slice(), found.data.as_slice()), (shape, expected));
    };
    let ten = || storage("FloatStorage", "0", 10);
    check(vector(10), &[10], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    check(tensor(ten(), 7, &[3], &[1]), &[3], &[7.0, 8.0, 9.0]);
    check(tensor(ten(), 1, &[2, 3], &[1, 2]), &[2, 3], &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    check(tensor(ten(), 0, &[2, 2, 2], &[1, 4, 2]), &[2, 2, 2], &[0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]);
    check(tensor(ten(), 9, &[3], &[0]), &[3], &[9.0, 9.0, 9.0]);
    // Of a side of 1 the stride does not matter
    check(tensor(ten(), 4, &[1, 2, 1], &[i64::MAX, 3, i64::MAX]), &[1, 2, 1], &[4.0, 7.0]);
    check(tensor(ten(), 4, &[], &[]), &[], &[4.0]);
    let parameter = call(global("torch._utils", "_rebuild_parameter"), &[vector(10), b"\x88".to_vec()]);
    check(parameter, &[10], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
}

#[test]
fn a_view_that_negates_is_not_taken_for_its_storage() {
    let arguments = |state: Code| {
        let none = b"N".to_vec();
        let storage = storage("FloatStorage", "0", 10);
        let all = [storage, int(0), sizes(&[10]), sizes(&[1]), b"\x89".to_vec(), none, state];
        call(global("torch._utils", "_rebuild_tensor_v2"), &all)
    };
    assert!(Checkpoint::from_bytes(&checkpoint(bias(arguments(dict(&[]))))).is_ok());
    refused(
        bias(arguments(dict(&[("neg", b"\x88".to_vec())]))),
        "\"head.fc.bias\" is made by torch._neg_view",
    );
}

#[test]
fn nothing_is_run() {
    let marker = std::env::temp_dir().join(format!("mobileone-run-{}", std::process::id()));
    let touch = format!("touch {}", marker.display());
    let system = call(global("posix", "system"), &[text(&touch)]);
    let namespace =
        [global("argparse", "Namespace"), b")\x81".to_vec(), dict(&[("lr", int(1))]), b"b".to_vec()].concat();

    refused(system.clone(), "posix.system … never called");
    refused(bias(system.clone()), "\"head.fc.bias\" is made by posix.system, which is never called");
    let needed = dict(&[("head.fc.weight", vector(10)), ("head.fc.bias", system.clone())]);
    refused(needed, "tensor \"head.fc.bias\": is made by posix.system, which is never called");
    let module = call(global("models", "MobileOne"), &[]);
    refused(dict(&[("epoch", int(1)), ("model", module)]), "\"model\" is made by models.MobileOne");
    let shape = tensor(storage("FloatStorage", "0", 10), 0, &[], &[]);
    let in_arguments =
        call(global("torch._utils", "_rebuild_tensor_v2"), &[shape, int(0), system.clone(), system.clone()]);
    assert!(Checkpoint::from_bytes(&checkpoint(bias(in_arguments))).is_err());
    // Passed over beside the weights, as training state is
    let beside = dict(&[
        ("epoch", system.clone()),
        ("args", namespace),
        ("best", call(global("numpy.core.multiarray", "scalar"), &[global("numpy", "dtype")])),
        ("optimizer", dict(&[("state", dict(&[("momentum", vector(10))]))])),
        ("state_dict", dict(&[("head.fc.bias", vector(10)), ("epoch", system), ("step", int(3))])),
    ]);
    let read = Checkpoint::from_bytes(&checkpoint(beside)).unwrap();
    assert_eq!(read.weights.len(), 1);
    assert!(!marker.exists());
}

#[test]
fn where_the_state_dict_stands() {
    let own = || dict(&[("linear.bias", vector(10))]);
    let other = || dict(&[("decoder.bias", vector(10))]);
    let rows = [
        dict(&[("state_dict", own()), ("state_dict_ema", other())]),
        dict(&[("model_ema", other()), ("model", own())]),
        dict(&[("ema_state_dict", own())]),
        dict(&[("checkpoint", int(1)), ("model", dict(&[("state_dict", own())]))]),
        // A dictionary of settings under a name that also means weights
        dict(&[("model", dict(&[("depth", int(3))])), ("weights", own())]),
        dict(&[("best_acc1", vector(10)), ("state_dict", own())]),
        call(global("collections", "OrderedDict"), &[])
            .into_iter()
            .chain([text("linear.bias"), vector(10), b"s".to_vec()].concat())
            .collect(),
    ];
    for (case, value) in rows.into_iter().enumerate() {
        let read = Checkpoint::from_bytes(&checkpoint(value)).unwrap_or_else(|e| panic!("row {case}: {e}"));
        assert!(read.weights.find("head.fc.bias").is_some(), "row {case}");
    }
    let twice = [text("linear.bias"), vector(10), text("linear.bias"), vector(10)].concat();
    let twice = [b"}(", &twice[..], b"u"].concat();
    refused(twice, "\"linear.bias\" … stands twice");
    let deep = (0..50).fold(own(), |inner, _| dict(&[("model", inner)]));
    refused(deep, "no state dict");
    // A dictionary that holds itself
    let cycle = [b"}q\x01", &text("model")[..], b"h\x01s"].concat();
    refused(cycle, "no state dict");
    refused(int(3), "no state dict");
}

#[test]
fn tensors_that_lie() {
    let ten = || storage("FloatStorage", "0", 10);
    let nothing = || tensor(ten(), 0, &[], &[]);
    let outside = "does not lie within";
    let rows = [
        (
            tensor(storage("FloatStorage", "0", 11), 0, &[1], &[1]),
            "claims a storage of 11 F32, found 40 bytes",
        ),
        (tensor(storage("FloatStorage", "0", 9), 0, &[1], &[1]), "claims a storage"),
        (tensor(storage("FloatStorage", "0", i64::MAX), 0, &[1], &[1]), "claims a storage"),
        (tensor(storage("FloatStorage", "0", -1), 0, &[1], &[1]), "negative length"),
        (tensor(storage("FloatStorage", "1", 10), 0, &[1], &[1]), "missing from the archive"),
        (tensor(storage("FloatStorage", "../data.pkl", 10), 0, &[1], &[1]), "missing from the archive"),
        (tensor(storage("LongStorage", "0", 5), 0, &[1], &[1]), "I64"),
        (tensor(storage("QInt8Storage", "0", 40), 0, &[1], &[1]), "torch.QInt8Storage"),
        (tensor(ten(), 10, &[1], &[1]), outside),
        (tensor(ten(), 11, &[0], &[1]), outside),
        (tensor(ten(), 8, &[3], &[1]), outside),
        (tensor(ten(), -1, &[1], &[1]), "negative offset"),
        (tensor(ten(), i64::MAX, &[1], &[1]), outside),
        (tensor(ten(), 0, &[11], &[1]), outside),
        (tensor(ten(), 0, &[4], &[4]), outside),
        (tensor(ten(), 0, &[-1], &[1]), "no list of sizes"),
        (tensor(ten(), 0, &[2], &[-1]), "no list of sizes"),
        (tensor(ten(), 0, &[2], &[i64::MAX]), outside),
        (tensor(ten(), 0, &[i64::MAX, 3], &[1, 1]), outside),
        (tensor(ten(), 0, &[1 << 32, 1 << 32], &[0, 0]), outside),
        (tensor(ten(), 0, &[2], &[1, 1]), "strides of another rank"),
        (tensor(ten(), 0, &[1; 9], &[1; 9]), "9 dimensions"),
        // A storage shown a thousand million times over
        (tensor(ten(), 0, &[1 << 40], &[0]), "exceed the file"),
        (tensor(ten(), 0, &[100_000], &[0]), "exceed the file"),
        (tensor(int(3), 0, &[1], &[1]), "no storage"),
        (tensor(nothing(), 0, &[1], &[1]), "no storage"),
        (tensor(ten(), 0, &[0], &[1]), "is empty"),
        (int(3), "is not a tensor"),
    ];
    for (case, (value, expected)) in rows.into_iter().enumerate() {
        // Beside a tensor that is as it should be
        let value = dict(&[("head.fc.weight", vector(10)), ("head.fc.bias", value)]);
        assert_refused(
            Checkpoint::from_bytes(&checkpoint(value)),
            expected,
            &format!("row {case}: {expected}"),
        );
    }
    let many: Vec<String> = (0..200).map(|i| format!("stages.0.{i}.reparam_conv.bias")).collect();
    let many: Vec<(&str, Code)> =
        many.iter().map(|name| (name.as_str(), tensor(ten(), 0, &[40_000], &[0]))).collect();
    assert_refused(Checkpoint::from_bytes(&checkpoint(dict(&many))), "exceed the file", "many");
}

#[test]
fn pickles_that_lie() {
    let rows: &[(&[u8], &str)] = &[
        (b"", "cut off"),
        (b"\x80", "cut off"),
        (b"\x80\x02.", "value is missing"),
        (b"(.", "value is missing"),
        (b"0", "value is missing"),
        (b"N(0", "value is missing"),
        (b"t", "mark is missing"),
        (b"e", "mark is missing"),
        (b"h\x07.", "not remembered"),
        (b"j\xff\xff\xff\xff.", "not remembered"),
        (b"X\xff\xff\xff\xffa", "cut off"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "cut off"),
        (b"B\xff\xff\xff\x7f", "cut off"),
        (b"\x8b\xff\xff\xff\x7f", "cut off"),
        (b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", "value is missing"),
        (b"X\x01\0\0\0\xff.", "not UTF-8"),
        (b"cos\nsystem", "without an end"),
        (b"NNR", "a call of what is no function"),
        (b"cos\nsystem\nNR.", "without arguments"),
        (b"NN\x93", "function without a name"),
        (b"NNs", "value is missing"),
        (b"NNNs", "entries for what is no dictionary"),
        (b"}(NNNu", "key without a value"),
        (b"NNa", "items for what is no list"),
        (b"NQ", "storage without a description"),
        (b"(NtQ", "storage with another description"),
        (b"I1\n.", "instruction 0x49"),
        (b"\x82\x01.", "instruction 0x82"),
        (b"\x97.", "instruction 0x97"),
    ];
    for (pickle, expected) in rows {
        refused_pickle(pickle, expected);
    }
    // Deep nesting, endless pushing and copying: bounded, and nothing here recurses
    let nested = [&b"]".repeat(500_000)[..], &b"a".repeat(499_999), b"."].concat();
    refused_pickle(&nested, "no state dict");
    refused_pickle(&b"N".repeat(2_000_000), "more than");
    let doubling = [&b"](NNNNNNNNe"[..], &b"ctorch._utils\n_rebuild_parameter\n"[..], b".", b"N"].concat();
    refused_pickle(&doubling, "no state dict");
    let long = vec![b'N'; 33 << 20];
    refused_pickle(&long, "too long");
}

#[test]
fn archives_that_are_something_else() {
    let fine = [b"\x80\x02", &bias(vector(10))[..], b"."].concat();
    let (pickle, ten) = (("m/data.pkl", &fine[..]), ("m/data/0", &[0; 40][..]));
    let stored = CompressionMethod::Stored;
    assert!(Checkpoint::from_bytes(&archive(&[pickle, ten], stored)).is_ok());
    // Without a folder, as some tools repack it
    assert!(Checkpoint::from_bytes(&archive(&[("data.pkl", &fine), ("data/0", &[0; 40])], stored)).is_ok());
    type Members<'a> = &'a [(&'a str, &'a [u8])];
    let rows: &[(Members, &str)] = &[
        (&[("word/document.xml", b"<a>")], "zip archive without a data.pkl"),
        (&[("m/xdata.pkl", &fine), ten], "without a data.pkl"),
        (&[pickle, ten, ("m/byteorder", b"big")], "byte order \"big\""),
        (
            &[pickle, ten, ("m/constants.pkl", b"")],
            "TorchScript … python -c \"import torch; torch.save(torch.jit.load('checkpoint', map_location='cpu')\
             .state_dict(), 'checkpoint.state.pth')\"",
        ),
        (
            &[("m/archive_format", b"pt2"), ("m/data/weights/weight_0", &[0; 40])],
            "exported program (.pt2) … python -c \"import torch; torch.save(torch.export.load('checkpoint')\
             .state_dict, 'checkpoint.state.pth')\"",
        ),
        (&[("serialized_exported_program.json", b"{}"), ("version", b"1")], "exported program (.pt2)"),
        (&[("stem.npy", b"\x93NUMPY")], "NumPy archive (.npz): save one array as .npy for an input"),
        (&[("config.json", b"{}"), ("model.weights.h5", b"\x89HDF")], "Keras"),
        (&[("m.mlpackage/Data/com.apple.CoreML/model.mlmodel", b"")], "Core ML"),
        (&[("weights/best.pth", b"PK")], "unpack it"),
        (&[pickle], "missing from the archive"),
        (&[pickle, ("m/data/0", &[0; 39])], "found 39 bytes"),
    ];
    for (members, expected) in rows {
        assert_refused(Checkpoint::from_bytes(&archive(members, stored)), expected, expected);
    }

    let crowded = [archive(&[pickle, ten], stored), b"PK\x01\x02".repeat(70_000)].concat();
    assert_refused(Checkpoint::from_bytes(&crowded), "more than 65536 members", "crowded");

    let bytes = archive(&[pickle, ten], stored);
    let find = |what: &[u8]| bytes.windows(what.len()).rposition(|w| w == what).unwrap();
    let patched = |at: usize, patch: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        bytes
    };
    // The central directory's entry of the storage: its name stands 46 bytes behind its beginning
    let entry = find(b"m/data/0") - 46;
    let data = bytes.windows(40).position(|w| w == [0; 40]).unwrap();
    // As torch.serialization.set_crc32_options(False) leaves it
    assert!(Checkpoint::from_bytes(&patched(entry + 16, &[0; 4])).is_ok());
    let rows = [
        (patched(data + 3, &[1]), "does not fit its checksum"),
        (patched(entry + 10, &[8, 0]), "compressed or encrypted"),
        (patched(entry + 8, &[1, 0]), "zip member"),
        (patched(entry + 20, &[0xfe, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff]), "zip member"),
        (patched(entry + 42, &[0, 0, 0, 0]), "zip member"),
        (patched(entry + 46, b"m/data.pkl"[..8].try_into().unwrap()), "missing from the archive"),
    ];
    for (case, (bytes, expected)) in rows.into_iter().enumerate() {
        assert_refused(Checkpoint::from_bytes(&bytes), expected, &format!("row {case}"));
    }
}
