//! Checkpoints: what is read, and what is refused.

mod classes;
mod config;
mod epsilon;
mod found;
mod heads;
mod hostile;
mod metadata;
mod names;
#[cfg(feature = "pth")]
mod pth;
mod save;
#[cfg(feature = "pth")]
mod wrapped;

use std::{borrow::Cow, path::PathBuf};

use mobileone::{Checkpoint, Result, Weights};
use safetensors::{Dtype, SafeTensors, View};

/// The file `name` of the goldens.
fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn golden_bytes(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A folder of the test called `name`, empty.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("mobileone-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A tensor to be put in a file.
#[derive(Clone)]
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn f32(shape: &[usize], values: &[f32]) -> Stored {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Stored { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    fn ones(shape: &[usize]) -> Stored {
        Stored::f32(shape, &vec![1.0; shape.iter().product()])
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        (&self.bytes).into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// A safetensors file of these tensors.
fn safetensors<N: AsRef<str>>(tensors: &[(N, Stored)]) -> Vec<u8> {
    let tensors = tensors.iter().map(|(name, tensor)| (name.as_ref().to_string(), tensor.clone()));
    safetensors::serialize(tensors, None).unwrap()
}

/// A safetensors file of ones under these names.
fn named(names: &[&str]) -> Vec<u8> {
    safetensors(&names.iter().map(|name| (name, Stored::ones(&[1]))).collect::<Vec<_>>())
}

/// The tensors of a golden safetensors file as they are, read by the safetensors crate alone.
fn stored(name: &str) -> Vec<(String, Stored)> {
    let bytes = golden_bytes(name);
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let stored = |view: safetensors::tensor::TensorView| Stored {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    tensors.into_iter().map(|(name, view)| (name, stored(view))).collect()
}

/// The parameters of a golden file in timm's names and f32, read by the safetensors crate alone.
fn plain(name: &str) -> Weights {
    let mut weights = Weights::new();
    for (name, tensor) in stored(name) {
        if tensor.dtype == Dtype::F32 {
            let values = tensor.bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            weights.insert(name, &tensor.shape, values);
        }
    }
    assert!(!weights.is_empty());
    weights
}

/// Judges what was read: names, shapes and every bit.
fn assert_same(found: &Weights, expected: &Weights, case: &str) {
    let names = |weights: &Weights| weights.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{case}");
    for ((name, found), (_, expected)) in found.iter().zip(expected.iter()) {
        let bits = |data: &[f32]| data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(found.shape, expected.shape, "{case}: {name}");
        assert!(bits(&found.data) == bits(&expected.data), "{case}: values of {name}");
    }
}

/// Judges a refusal: its message holds every part of `expected`, parts being separated by " … ".
fn assert_refused(result: Result<Checkpoint>, expected: &str, case: &str) {
    let message = match result {
        Ok(_) => panic!("{case}: was read, expected: {expected}"),
        Err(e) => e.to_string(),
    };
    for part in expected.split(" … ") {
        assert!(message.contains(part), "{case}: {message:?} lacks {part:?}");
    }
    assert!(!message.contains('\n'), "{case}: {message:?} is more than a line");
}
