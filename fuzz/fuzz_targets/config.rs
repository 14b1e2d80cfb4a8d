//! Any text as a `config.json`, and what comes of it as our own metadata.
#![no_main]

use mobileone::{Checkpoint, DType};

/// A file with the one value `head.fc.bias`.
const FILE: &[u8] =
    b"\x41\0\0\0\0\0\0\0{\"head.fc.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}\0\0\0\0";

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(checkpoint) = Checkpoint::from_bytes_with_config(FILE, text) {
        // What was understood is written so that it is understood again; only where it came from is another.
        let written = checkpoint.to_bytes(DType::F32).expect("one value that fits");
        let mut again = Checkpoint::from_bytes(&written).expect("our own file").metadata;
        let mut metadata = checkpoint.metadata.clone();
        (metadata.preprocess_source, again.preprocess_source) = (None, None);
        metadata.from_config.clear();
        // JSON's decimals are read to the last bit but one.
        let shares = [&mut metadata, &mut again].map(|metadata| metadata.preprocess.crop_pct.take());
        assert!(match shares {
            [Some(a), Some(b)] => (a - b).abs() <= 1e-15,
            [a, b] => a == b,
        });
        assert_eq!(again, metadata);
        if let Some((h, w)) = checkpoint.metadata.preprocess.size {
            assert!((1..=4096).contains(&h) && (1..=4096).contains(&w));
        }
    }
});
