//! Which file of a folder or repository holds its weights.

/// Taken first, in this order: as the hub's libraries write them.
pub(crate) const USUAL: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// Whether `name` ends as files of weights do, in any case: those that [`Checkpoint::open`](crate::Checkpoint::open)
/// reads, and those of other programs (`.onnx`, `.h5`, `.tflite`, `.gguf` and the like), which it refuses by name.
///
/// ```
/// use mobileone::named::is_weights_name;
///
/// assert!(is_weights_name("a/model.SAFETENSORS") && !is_weights_name("timm/mobileone_s1.apple_in1k"));
/// ```
pub fn is_weights_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    READ.iter().chain(&OTHERS).any(|end| name.ends_with(end))
}

/// The ends of files that are read.
const READ: [&str; 6] = [".safetensors", ".pth", ".pt", ".tar", ".bin", ".ckpt"];
/// The ends of others' files of weights, each of which is refused with its name.
const OTHERS: [&str; 11] =
    [".pt2", ".onnx", ".h5", ".keras", ".tflite", ".pb", ".mlmodel", ".mlpackage", ".gguf", ".npy", ".npz"];

/// The one of `names` that holds the weights: one of the usual names, else the only safetensors file, else the only one
/// of PyTorch's. What else training leaves beside them is passed over.
///
/// # Errors
/// The files among which nothing decides; none when there are no weights.
pub(crate) fn pick(names: &[String]) -> Result<&str, Vec<&str>> {
    let file = |name: &&String| {
        let lower = name.to_ascii_lowercase();
        let other = ["optimizer", "scheduler", "training_args", "rng_state", "scaler", "random_states"];
        READ.iter().any(|end| lower.ends_with(end))
            && !lower.starts_with('.')
            && !other.iter().any(|start| lower.starts_with(start))
    };
    let mut files: Vec<&str> = names.iter().filter(file).map(String::as_str).collect();
    files.sort_unstable();
    if let Some(usual) = USUAL.iter().find_map(|usual| files.iter().find(|file| *file == usual)) {
        return Ok(usual);
    }
    let safe: Vec<&str> =
        files.iter().copied().filter(|file| file.to_ascii_lowercase().ends_with(".safetensors")).collect();
    match (&safe[..], &files[..]) {
        ([only], _) | ([], [only]) => Ok(only),
        ([], _) => Err(files),
        _ => Err(safe),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_picked() {
        let rows: &[(&[&str], Result<&str, &[&str]>)] = &[
            (&["a.safetensors", "model.safetensors", "pytorch_model.bin"], Ok("model.safetensors")),
            (&["a.safetensors", "pytorch_model.bin"], Ok("pytorch_model.bin")),
            (&["README.md", "a.pth", "b.safetensors"], Ok("b.safetensors")),
            (&["a.pth.tar", "optimizer.pt", "training_args.bin"], Ok("a.pth.tar")),
            (&["b.pth", "a.pth"], Err(&["a.pth", "b.pth"])),
            (&["b.safetensors", "a.safetensors", "a.pth"], Err(&["a.safetensors", "b.safetensors"])),
            (&["model.onnx", "tf_model.h5", ".hidden.pth"], Err(&[])),
        ];
        for (names, expected) in rows {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            assert_eq!(pick(&names), expected.map_err(<[&str]>::to_vec), "{names:?}");
        }
    }
}
