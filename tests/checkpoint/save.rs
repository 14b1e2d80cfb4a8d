//! Writing checkpoints and tensors.

use std::path::Path;

use half::f16;
use mobileone::{
    Array, Checkpoint, DType,
    checkpoint::{Metadata, Strides, read_tensor, write_tensors},
};
use safetensors::SafeTensors;

use super::{assert_same, folder, golden};

fn files(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}

fn sample() -> Checkpoint {
    let mut checkpoint = Checkpoint::open(golden("odd.apple.train.safetensors")).unwrap();
    checkpoint.metadata = Metadata {
        variant: Some("tiny".into()),
        strides: Some(Strides { stem: 2, stages: vec![2, 2, 1, 2] }.into()),
        labels: Some(vec!["a \"b\"".into(), "ü".into()]),
        ..Metadata::default()
    };
    checkpoint
}

#[test]
fn what_is_saved_is_read_again() {
    let (folder, checkpoint) = (folder("save"), sample());
    let path = folder.join("saved");
    checkpoint.save(&path, DType::F32).unwrap();
    let read = Checkpoint::open(&path).unwrap();
    assert_same(&read.weights, &checkpoint.weights, "f32");
    assert_eq!(read.metadata, checkpoint.metadata);

    // Over what was there, and in half
    checkpoint.save(&path, DType::F16).unwrap();
    let half = Checkpoint::open(&path).unwrap();
    let (rounded, values) = (half.weights.get("stem.conv_kxk.0.conv.weight"), |c: &Checkpoint| {
        c.weights.get("stem.conv_kxk.0.conv.weight").unwrap().data.clone()
    });
    let expected: Vec<f32> = values(&checkpoint).iter().map(|&v| f16::from_f32(v).to_f32()).collect();
    assert_eq!(rounded.unwrap().data, expected);
    half.save(&path, DType::F16).unwrap();
    assert_same(&Checkpoint::open(&path).unwrap().weights, &half.weights, "f16 twice");

    let bytes = std::fs::read(&path).unwrap();
    let names = SafeTensors::deserialize(&bytes).unwrap();
    assert!(names.tensor("stages.0.0.conv_kxk.3.bn.running_var").is_ok(), "timm's names");
    assert_eq!(files(&folder), ["saved"]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_failure_leaves_everything_as_it_was() {
    let (folder, mut checkpoint) = (folder("unsaved"), sample());
    let path = folder.join("kept");
    checkpoint.save(&path, DType::F32).unwrap();
    let before = std::fs::read(&path).unwrap();

    checkpoint.weights.insert("head.fc.bias", &[2], vec![1.0, 70000.0]);
    let error = checkpoint.save(&path, DType::F16).unwrap_err().to_string();
    assert!(error.contains("\"head.fc.bias\": 70000 does not fit an f16"), "{error}");

    std::fs::create_dir(folder.join("taken")).unwrap();
    let error = checkpoint.save(folder.join("taken"), DType::F32).unwrap_err().to_string();
    assert!(error.contains("taken") && error.contains("not a regular file"), "{error}");
    let error = checkpoint.save(folder.join("absent/x"), DType::F32).unwrap_err().to_string();
    assert!(error.contains("absent"), "{error}");
    assert!(checkpoint.save("", DType::F32).is_err());

    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(files(&folder), ["kept", "taken"]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link() {
    let (folder, checkpoint) = (folder("link"), sample());
    checkpoint.save(folder.join("file"), DType::F32).unwrap();
    std::os::unix::fs::symlink(folder.join("file"), folder.join("link")).unwrap();
    checkpoint.save(folder.join("link"), DType::F16).unwrap();
    assert!(std::fs::symlink_metadata(folder.join("link")).unwrap().is_symlink());
    let sizes = ["link", "file"].map(|name| std::fs::metadata(folder.join(name)).unwrap().len());
    assert_eq!(sizes[0], sizes[1]);
    let device = checkpoint.save("/dev/null", DType::F32).unwrap_err().to_string();
    assert!(device.contains("not a regular file"), "{device}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn plain_tensors() {
    let folder = folder("tensors");
    let path = folder.join("x");
    let x = Array { shape: vec![1, 2], data: vec![f32::NAN, 1.0] };
    write_tensors(&path, [("x", &x)]).unwrap();
    let read = read_tensor(&path, "x").unwrap();
    assert_eq!(read.shape, [1, 2]);
    assert!(read.data[0].is_nan() && read.data[1] == 1.0);
    let error = read_tensor(&path, "y").unwrap_err().to_string();
    assert!(error.contains("tensor \"y\"") && error.contains("begins with: x"), "{error}");
    std::fs::remove_dir_all(folder).unwrap();
}
