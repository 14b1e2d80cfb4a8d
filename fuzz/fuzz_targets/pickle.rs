//! Any bytes as the pickle of an otherwise sound PyTorch checkpoint, whose storage "0" has 16 bytes.
#![no_main]

use std::io::{Cursor, Write};

use mobileone::Checkpoint;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

libfuzzer_sys::fuzz_target!(|pickle: &[u8]| {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in [("m/data.pkl", pickle), ("m/data/0", &[0; 16])] {
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    let file = zip.finish().unwrap().into_inner();
    if let Ok(checkpoint) = Checkpoint::from_bytes(&file) {
        let values: usize = checkpoint.weights.iter().map(|(_, array)| array.data.len()).sum();
        assert!(values <= file.len());
    }
});
