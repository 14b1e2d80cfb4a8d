//! Any bytes after NumPy's magic as an array.
#![no_main]

use mobileone::checkpoint::tensor_from_bytes;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let bytes = [b"\x93NUMPY", bytes].concat();
    match tensor_from_bytes(&bytes, "x") {
        Ok(array) => {
            assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
            assert!(array.data.len() <= bytes.len());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
