//! What must hold of any bytes read as a checkpoint.

use mobileone::{Checkpoint, Error};

/// What is read is finite and no larger than the file can be; what is refused is refused in one line.
pub fn judge(read: Result<Checkpoint, Error>, len: usize) {
    match read {
        Ok(checkpoint) => {
            let arrays = || checkpoint.weights.iter().map(|(_, array)| array);
            assert!(arrays().all(|array| array.data.iter().all(|v| v.is_finite())));
            assert!(arrays().map(|array| array.data.len()).sum::<usize>() <= len);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
