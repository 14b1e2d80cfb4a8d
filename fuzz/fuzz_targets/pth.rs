//! Any bytes as a checkpoint, from seeds in PyTorch's zip form, whose checksums are 0: not written.
#![no_main]

mod judge;

use judge::judge;
use mobileone::Checkpoint;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| judge(Checkpoint::from_bytes(bytes), bytes.len()));
