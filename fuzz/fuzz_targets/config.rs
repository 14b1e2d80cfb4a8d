//! Any text as a `config.json`, and what comes of it as our own metadata.
#![no_main]

use mobileone::Checkpoint;

/// A file with the one value `head.fc.bias`.
const FILE: &[u8] =
    b"\x41\0\0\0\0\0\0\0{\"head.fc.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}\0\0\0\0";

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(checkpoint) = Checkpoint::from_bytes_with_config(FILE, text) {
        // what was understood is written so that it is understood again
        let written = checkpoint.metadata.to_json();
        assert!(written.starts_with('{'));
        if let Some((h, w)) = checkpoint.metadata.preprocess.size {
            assert!((1..=4096).contains(&h) && (1..=4096).contains(&w));
        }
    }
});
