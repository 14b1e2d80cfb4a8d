//! Any bytes as a picture file, and what was read of it as an input.
#![no_main]

use mobileone::{
    Preprocess, picture,
    preprocess::{Colour, CropMode, Interpolation},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| match picture::decode(bytes) {
    Ok(picture) => {
        assert_eq!(picture.rgba.len(), picture.width * picture.height * 4);
        let preprocess = Preprocess {
            size: (32, 48),
            crop_pct: 0.9,
            crop_mode: CropMode::Center,
            interpolation: Interpolation::Bicubic,
            mean: [0.5; 3],
            std: [0.5; 3],
            colour: Colour::Rgb,
        };
        if let Ok(input) = preprocess.run(&picture.pixels()) {
            assert!(input.data().iter().all(|value| value.abs() <= 1.0));
        }
    }
    Err(error) => assert!(!error.to_string().is_empty()),
});
