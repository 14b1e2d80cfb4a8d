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
const OTHERS: [(usize, &[u8], &str); 18] = [
    (
        0,
        b"version https://git-lfs",
        "is a Git LFS pointer, not the file itself: run `git lfs pull` where it came from",
    ),
    (257, b"ustar", "is a tar archive: unpack it and give the checkpoint inside"),
    (0, b"\x1f\x8b", "is gzip-compressed: unpack it and give the checkpoint inside"),
    (0, b"7z\xbc\xaf\x27\x1c", "is 7z-compressed: unpack it and give the checkpoint inside"),
    (0, b"\xfd7zXZ", "is xz-compressed: unpack it and give the checkpoint inside"),
    (0, b"BZh", "is bzip2-compressed: unpack it and give the checkpoint inside"),
    (0, b"Rar!", "is a RAR archive: unpack it and give the checkpoint inside"),
    (0, b"\x28\xb5\x2f\xfd", "is zstd-compressed: unpack it and give the checkpoint inside"),
    (0, b"\x89HDF", "is an HDF5 file (Keras): checkpoints are safetensors or PyTorch files"),
    (0, b"\x93NUMPY", "is a NumPy array: checkpoints are safetensors or PyTorch files"),
    (0, b"\x08\x01\x12", "is a TensorFlow SavedModel: checkpoints are safetensors or PyTorch files"),
    (0, b"7767517\n", "is an ncnn model: give the safetensors or PyTorch checkpoint it was made from"),
    (0, b"ptrt", TENSORRT),
    (0, b"ftrt", TENSORRT),
    (0, b"GGUF", "is a GGUF file: checkpoints are safetensors or PyTorch files"),
    (4, b"TFL3", "is a TensorFlow Lite model: give the safetensors or PyTorch checkpoint it was made from"),
    (0, b"\x89PNG", "is a picture, not a checkpoint"),
    (0, b"\xff\xd8\xff", "is a picture, not a checkpoint"),
];

const TENSORRT: &str = "is a TensorRT engine: give the safetensors or PyTorch checkpoint it was made from";
const ONNX: &str = "is an ONNX model: give the safetensors or PyTorch checkpoint it was made from";
const COREML: &str = "is a Core ML model: give the safetensors or PyTorch checkpoint it was made from";

/// The pickled number that PyTorch's form from before 1.6 begins with.
const LEGACY: &[u8] = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// Which of the two protocol buffers of networks the file is: both begin with a version, and go on with a producer's
/// name (ONNX) or a description (Core ML).
fn protobuf(bytes: &[u8]) -> Option<&'static str> {
    let [0x08, 1..=20, rest @ ..] = bytes else { return None };
    match rest {
        // A text of fewer than 128 bytes; a description begins with a tag of its own
        [0x12, len @ 1..=127, first, ..] if first.is_ascii_graphic() && usize::from(*len) < rest.len() => {
            Some(ONNX)
        }
        [0x12, ..] => Some(COREML),
        // The graph, the model's version, or the operators' set
        [0x3a | 0x28 | 0x42, ..] => Some(ONNX),
        _ => None,
    }
}

/// The line of Python that saves a state dict beside the file of `source`; `load` gets the file's name and makes the
/// state dict.
pub(super) fn save_with(source: &Source, load: &dyn Fn(&str) -> String) -> String {
    // What needs no quoting in Python nor in a shell's double quotes
    let plain = |text: &&str| !text.contains(|c: char| "'\"\\$`!".contains(c) || c.is_control());
    let path = source.path.to_str().filter(plain).unwrap_or("model.pth");
    let stem = source.path.with_extension("");
    let stem = stem.to_str().filter(plain).unwrap_or("model");
    let load = load(&format!("'{path}'"));
    format!("save its weights with: python -c \"import torch; torch.save({load}, '{stem}.state.pth')\"")
}

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
    if let Some(what) = protobuf(bytes) {
        return Err(source.fault(what));
    }
    let start = &bytes[..bytes.len().min(40)];
    if matches!(bytes, [0x80, ..]) && start.windows(LEGACY.len()).any(|bytes| bytes == LEGACY) {
        let load = |path: &str| format!("torch.load({path}, map_location='cpu', weights_only=True)");
        let save = save_with(source, &load);
        return Err(source.fault(format!("is a PyTorch checkpoint in the form from before 1.6: {save}")));
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
