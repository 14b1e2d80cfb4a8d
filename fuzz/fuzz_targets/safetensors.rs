//! Any bytes as a checkpoint, from safetensors seeds.
#![no_main]

mod judge;

use judge::judge;
use mobileone::Checkpoint;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| judge(Checkpoint::from_bytes(bytes), bytes.len()));
