//! What a file is, by its beginning.

use super::raw::Source;
use crate::error::Result;

/// The containers that are read.
pub(super) enum Format {
    Safetensors,
    /// PyTorch's zip form.
    Zip,
}

/// What stands at the beginning of files that people mistake for checkpoints: offset, bytes, what to say.
const OTHERS: [(usize, &[u8], &str); 20] = [
    (
        0,
        b"version https://git-lfs",
        "is a Git LFS pointer, not the file itself: run `git lfs pull` where it came from",
    ),
    (0, b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", LEGACY),
    (257, b"ustar", "is a tar archive: unpack it and give the checkpoint inside"),
    (0, b"\x1f\x8b", "is gzip-compressed: unpack it and give the checkpoint inside"),
    (0, b"7z\xbc\xaf\x27\x1c", "is 7z-compressed: unpack it and give the checkpoint inside"),
    (0, b"\xfd7zXZ", "is xz-compressed: unpack it and give the checkpoint inside"),
    (0, b"\x28\xb5\x2f\xfd", "is zstd-compressed: unpack it and give the checkpoint inside"),
    (0, b"\x89HDF", "is an HDF5 file (Keras): MobileOne checkpoints are safetensors or PyTorch files"),
    (0, b"\x93NUMPY", "is a NumPy array: MobileOne checkpoints are safetensors or PyTorch files"),
    (0, b"GGUF", "is a GGUF file: MobileOne checkpoints are safetensors or PyTorch files"),
    (4, b"TFL3", "is a TensorFlow Lite model: give the safetensors or PyTorch checkpoint it was made from"),
    (0, b"\x08\x03\x12", ONNX),
    (0, b"\x08\x04\x12", ONNX),
    (0, b"\x08\x06\x12", ONNX),
    (0, b"\x08\x07\x12", ONNX),
    (0, b"\x08\x08\x12", ONNX),
    (0, b"\x08\x09\x12", ONNX),
    (0, b"\x08\x0a\x12", ONNX),
    (0, b"\x89PNG", "is a picture, not a checkpoint"),
    (0, b"\xff\xd8\xff", "is a picture, not a checkpoint"),
];

const ONNX: &str = "is an ONNX model: give the safetensors or PyTorch checkpoint it was made from";
const LEGACY: &str = "is a PyTorch checkpoint in the form from before 1.6, which is not read: load it with \
    torch.load(path, weights_only=True) and write it with torch.save or safetensors.torch.save_file";

/// Recognizes the container by the file's first bytes; its name does not matter.
///
/// # Errors
/// What the file is instead, and what to do.
pub(super) fn recognize(source: &Source) -> Result<Format> {
    let bytes = source.bytes;
    if bytes.is_empty() {
        return Err(source.fault("is empty: the download or copy did not finish"));
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Ok(Format::Zip);
    }
    // No header is 4 GiB long, so the length's upper half is zero
    if bytes.get(4..9) == Some(b"\0\0\0\0{") {
        return Ok(Format::Safetensors);
    }
    let found =
        OTHERS.iter().find(|(offset, magic, _)| bytes.get(*offset..).is_some_and(|b| b.starts_with(magic)));
    if let Some((.., what)) = found {
        return Err(source.fault(*what));
    }
    if matches!(bytes, [0x80, 2..=5, ..]) {
        return Err(
            source.fault("is a bare Python pickle, which is not read: write the state dict with torch.save")
        );
    }
    let text = bytes[..bytes.len().min(512)].trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let reason = match text.first() {
        Some(b'<') => "is an HTML or XML page, not a checkpoint: the download failed, open it to see why",
        Some(b'{' | b'[') => "is a JSON file: give the weights that lie beside it",
        _ if bytes.len() <= 8 => "is cut off: the download or copy did not finish",
        _ => "is neither a safetensors file nor a PyTorch checkpoint",
    };
    Err(source.fault(reason))
}
