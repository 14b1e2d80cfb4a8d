//! Safetensors files that lie, are damaged, or are something else.

use mobileone::Checkpoint;
use safetensors::Dtype;

use super::{Stored, assert_refused, folder, golden, golden_bytes, named, plain, safetensors};

/// A safetensors file with this header text and `data` zero bytes behind it.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

/// A small generator of bits: the cases are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// `bytes` with a few seeded damages: flipped bits, bytes overwritten, a piece repeated or lost.
fn damaged(bytes: &[u8], within: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = random.below(within.min(bytes.len()));
    match random.below(8) {
        0 => bytes[at] = [0, 0xff, 0x80, b'9', b'"', b'{'][random.below(6)],
        1 => drop(bytes.remove(at)),
        2 => bytes.insert(at, bytes[at]),
        _ => bytes[at] ^= 1 << random.below(8),
    }
    bytes
}

#[test]
fn files_that_are_something_else() {
    let long = |start: &[u8]| [start, &[b' '; 600]].concat();
    let mut tar = vec![b'a'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let rows: &[(Vec<u8>, &str)] = &[
        (vec![], "is empty"),
        (vec![1, 2, 3], "is cut off"),
        (long(b"<!DOCTYPE html><html>"), "HTML … the download failed"),
        (long(b"\n\n  <html>"), "HTML … the download failed"),
        (long(b"\xef\xbb\xbf<?xml"), "HTML or XML"),
        (long(b"version https://git-lfs.github.com/spec/v1\noid sha256:"), "Git LFS pointer … git lfs pull"),
        (long(b"{\"architecture\": \"mobileone_s0\"}"), "JSON file"),
        (long(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."), "from before 1.6 … torch.save"),
        (
            long(b"\x80\x04\x95\x0d\0\0\0\0\0\0\0\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."),
            "before 1.6: save its weights with: python -c \"import torch; torch.save(torch.load('checkpoint', \
             map_location='cpu', weights_only=True), 'checkpoint.state.pth')\"",
        ),
        (long(b"\x80\x04\x95"), "bare Python pickle … torch.save"),
        (long(b"\x08\x07\x12\x07pytorch"), "ONNX"),
        (long(b"\x08\x08\x12\x07pytorch"), "ONNX"),
        (long(b"\x08\x0b\x3a\x80\x01"), "ONNX"),
        (long(b"\x08\x04\x12\xa5\x03\x0a\x11"), "Core ML"),
        (long(b"\x08\x07\x12\x40\x0a\x11"), "Core ML"),
        (long(b"\x08\x01\x12\xa5\x03"), "TensorFlow SavedModel"),
        (long(b"7767517\n75 83"), "ncnn"),
        (long(b"\x93NUMPY\x01\0"), "NumPy"),
        (long(b"BZh91AY"), "bzip2"),
        (long(b"\x1f\x8b\x08"), "gzip"),
        (tar, "tar archive"),
        (long(b"\x89HDF\r\n"), "HDF5"),
        (long(b"\x1c\0\0\0TFL3"), "TensorFlow Lite"),
        (long(b"\x89PNG\r\n"), "picture"),
        (long(b"\xff\xd8\xff\xe0"), "picture"),
        (long(b"GGUF"), "GGUF"),
        (long(b"something else"), "neither a safetensors file nor a PyTorch checkpoint"),
    ];
    for (bytes, expected) in rows {
        assert_refused(Checkpoint::from_bytes(bytes), expected, expected);
    }
}

#[test]
fn paths_that_are_no_files() {
    let folder = folder("paths");
    assert_refused(Checkpoint::open(folder.join("absent")), "absent: ", "absent");
    assert_refused(Checkpoint::open(&folder), "is a folder", "folder");
    std::fs::write(folder.join("empty"), []).unwrap();
    assert_refused(Checkpoint::open(folder.join("empty")), "is empty", "empty");
    #[cfg(unix)]
    assert_refused(Checkpoint::open("/dev/zero"), "no regular file", "device");
    // The name says nothing: the beginning does
    std::fs::copy(golden("se.timm.fused.safetensors"), folder.join("weights.pth")).unwrap();
    assert!(Checkpoint::open(folder.join("weights.pth")).is_ok());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn headers_that_lie() {
    let one = |shape: &str, offsets: &str| {
        let dtype = "F32";
        format!(r#"{{"head.fc.bias":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let two = |first: &str, second: &str| {
        format!(
            r#"{{"head.fc.bias":{{"dtype":"F32","shape":[1],"data_offsets":{first}}},"head.fc.weight":{{"dtype":"F32","shape":[1],"data_offsets":{second}}}}}"#
        )
    };
    let length = |length: u64| [&length.to_le_bytes()[..], b"{}"].concat();
    let damaged = "damaged safetensors header";
    let rows: &[(Vec<u8>, &str)] = &[
        (length(100_000_000), "claims a header of 100000000 bytes"),
        (length(16 << 20), "cut off"),
        (length(u32::MAX.into()), "claims a header"),
        (length(u64::MAX), "neither"),
        (with_header("{}", 0), "no tensors"),
        (with_header("{}", 4), "more bytes than its header names"),
        (with_header("{", 0), damaged),
        (with_header("{\"a\":[", 0), damaged),
        (with_header(&format!("{{\"a\":{}", "[".repeat(1_000_000)), 0), damaged),
        (with_header(&format!("{{\"a\":{{\"shape\":{}", "{\"a\":".repeat(100_000)), 0), damaged),
        (with_header(r#"{"head.fc.bias":3}"#, 0), "head.fc.bias"),
        (with_header(r#"{"head.fc.bias":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#, 4), "F33"),
        (with_header(r#"{"__metadata__":{"mobileone":3}}"#, 0), damaged),
        (with_header(&one("[1]", "[0,4]"), 3), "cut off"),
        (with_header(&one("[1]", "[0,4]"), 5), "more bytes"),
        (with_header(&one("[1]", "[4,0]"), 4), damaged),
        (with_header(&one("[1]", "[4,8]"), 8), damaged),
        (with_header(&one("[2]", "[0,4]"), 4), damaged),
        (with_header(&one("[-1]", "[0,4]"), 4), damaged),
        (with_header(&one("[1e3]", "[0,4]"), 4), damaged),
        (with_header(&one("[4611686018427387904]", "[0,0]"), 0), damaged),
        (with_header(&one("[4294967296,4294967296]", "[0,0]"), 0), damaged),
        (with_header(&one("[99999999999999999999]", "[0,4]"), 4), damaged),
        (with_header(&one("[1]", "[0,18446744073709551615]"), 4), damaged),
        (with_header(&one("[1000000000000]", "[0,4000000000000]"), 4), "cut off: … of 4000000000"),
        (with_header(&one("[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4), "9 dimensions"),
        (with_header(&two("[0,4]", "[0,4]"), 4), damaged),
        (with_header(&two("[0,4]", "[2,6]"), 6), damaged),
        (with_header(&two("[0,4]", "[8,12]"), 12), damaged),
    ];
    for (bytes, expected) in rows {
        let case = String::from_utf8_lossy(&bytes[8..bytes.len().min(200)]).into_owned();
        assert_refused(Checkpoint::from_bytes(bytes), expected, &case);
    }
    assert!(Checkpoint::from_bytes(&with_header(&one("[1]", "[0,4]"), 4)).is_ok());
}

#[test]
fn tensors_of_no_use() {
    let file = |name: &str, tensor: Stored| safetensors(&[(name, tensor)]);
    let typed = |dtype, size: usize| Stored { dtype, shape: vec![1], bytes: vec![1; size] };
    let bias = "module.linear.bias";
    let twice = r#"{"head.fc.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"head.fc.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let rows: &[(Vec<u8>, &str)] = &[
        (file(bias, Stored::f32(&[3], &[0.0, f32::NAN, 0.0])), "\"module.linear.bias\" … NaN … value 1 of 3"),
        (file(bias, Stored::f32(&[1], &[f32::INFINITY])), "\"module.linear.bias\" … inf"),
        (file(bias, Stored::f32(&[1], &[f32::NEG_INFINITY])), "-inf"),
        (file(bias, typed(Dtype::I32, 4)), "\"module.linear.bias\" … I32"),
        (file(bias, typed(Dtype::I64, 8)), "I64"),
        (file(bias, typed(Dtype::F8_E4M3, 1)), "F8_E4M3"),
        (
            file(bias, Stored { dtype: Dtype::F64, shape: vec![1], bytes: 1e300f64.to_le_bytes().to_vec() }),
            "inf in f32",
        ),
        (file("head.fc.weight", Stored::ones(&[0, 1024])), "\"head.fc.weight\" … empty … [0, 1024]"),
        (
            file("stem.conv_scale.bn.running_var", Stored::f32(&[2], &[1.0, -1e-3])),
            "running_var\" … -0.001 … negative",
        ),
        (file("stem.conv_scale.bn.running_var", Stored::f32(&[1], &[f32::NAN])), "NaN"),
        (named(&["head.fc.bias", "linear.bias"]), "\"linear.bias\" … same parameter as \"head.fc.bias\""),
        (named(&["module.head.fc.bias", "head.fc.bias"]), "same parameter as … module.head.fc.bias"),
        (with_header(twice, 4), "\"head.fc.bias\" … stands twice"),
        (named(&["stem.conv_scale.bn.num_batches_tracked"]), "no tensors of a network"),
    ];
    for (bytes, expected) in rows {
        assert_refused(Checkpoint::from_bytes(bytes), expected, expected);
    }
    // A mean may be negative, and a variance may be zero
    let fine = [("stem.conv_scale.bn.running_mean", -1.0), ("stem.conv_scale.bn.running_var", 0.0)];
    assert!(
        Checkpoint::from_bytes(&safetensors(&fine.map(|(name, v)| (name, Stored::f32(&[1], &[v]))))).is_ok()
    );
}

#[test]
fn names_that_would_take_for_ever() {
    let dots = ".".repeat(1 << 20);
    let deep = format!("{dots}module.{dots}stem.reparam_conv.bias");
    let mut names: Vec<String> = (0..2000).map(|at| format!("{at}.x")).collect();
    names.push(deep);
    let tensors: Vec<(String, Stored)> = names.into_iter().map(|name| (name, Stored::ones(&[1]))).collect();
    assert_eq!(Checkpoint::from_bytes(&safetensors(&tensors)).unwrap().passed_over.len(), 2000);
    let many: Vec<_> =
        (0..20_000).map(|at| (format!("{at}.module.stem.reparam_conv.bias"), Stored::ones(&[1]))).collect();
    assert_refused(Checkpoint::from_bytes(&safetensors(&many)), "more than 64 networks", "many");
}

#[test]
fn every_truncation_is_refused() {
    let bytes = golden_bytes("odd.timm.fused.safetensors");
    for end in 0..bytes.len() {
        assert!(Checkpoint::from_bytes(&bytes[..end]).is_err(), "{end} bytes");
    }
}

#[test]
fn damage_never_panics_and_never_invents() {
    let bytes = golden_bytes("odd.timm.fused.safetensors");
    let (expected, random) = (plain("odd.timm.fused.safetensors"), &mut Random(7));
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let (mut read, mut refused) = (0, 0);
    for round in 0..6000 {
        let within = if round % 4 == 0 { bytes.len() } else { header };
        match Checkpoint::from_bytes(&damaged(&bytes, within, random)) {
            Ok(found) => {
                read += 1;
                // A value may have changed, but nothing else has come up
                assert!(found.weights.len() <= expected.len());
                assert!(found.weights.iter().all(|(_, array)| array.data.iter().all(|v| v.is_finite())));
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 0 && refused > 3000, "{read} read, {refused} refused");
}

#[test]
fn the_fuzzers_seeds_are_sound() {
    let folders: &[&str] = if cfg!(feature = "pth") { &["safetensors", "pth"] } else { &["safetensors"] };
    for folder in folders {
        let folder = golden("../../fuzz/corpus").join(folder);
        for seed in std::fs::read_dir(folder).unwrap() {
            let path = seed.unwrap().path();
            Checkpoint::open(&path).unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

#[cfg(feature = "pth")]
#[test]
fn damage_to_a_pickle_is_refused_or_does_not_matter() {
    let bytes = golden_bytes("odd.apple.fused.pth");
    let (expected, random) = (plain("odd.timm.fused.safetensors"), &mut Random(11));
    let mut refused = 0;
    for _ in 0..6000 {
        match Checkpoint::from_bytes(&damaged(&bytes, bytes.len(), random)) {
            // Every member has its checksum
            Ok(found) => super::assert_same(&found.weights, &expected, "damaged"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 3000, "{refused} refused");
    for end in (0..bytes.len()).step_by(7) {
        assert!(Checkpoint::from_bytes(&bytes[..end]).is_err(), "{end} bytes");
    }
}
