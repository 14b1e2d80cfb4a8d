//! What Linux says of its cameras beside their frames: which nodes are some, and how they make their colours.

use crate::frame::Colour;
use mobileone::preprocess::{YuvMatrix, YuvRange};
use v4l::{
    Device,
    capability::Flags,
    format::{Colorspace, Quantization},
    video::Capture,
};

/// Whether a node is a camera, as its driver says: a webcam has another node for what it tells about its frames. One that
/// may not be looked at stays, and says so when it is opened.
pub fn is_camera(index: u32) -> bool {
    let capabilities = Device::new(index as usize).and_then(|device| device.query_caps());
    capabilities.map_or(true, |found| captures(found.capabilities))
}

/// Whether pictures can be taken from a node with these capabilities. Codecs, which take them too, have a kind of their
/// own; planes in buffers apart, as boards' cameras send them, are not read here.
fn captures(capabilities: Flags) -> bool {
    capabilities.contains(Flags::VIDEO_CAPTURE)
}

/// How a camera that is open makes its luma and chroma, as its driver says.
pub fn colour(index: u32) -> Colour {
    let format = Device::new(index as usize).and_then(|device| device.format());
    format.map_or(Colour::USUAL, |format| colour_of(format.colorspace, format.quantization))
}

/// The kernel's rules: the encoding that goes with a colour space, and its range where none is given.
fn colour_of(space: Colorspace, range: Quantization) -> Colour {
    let matrix = match space {
        Colorspace::Rec709 | Colorspace::DCIP3 => YuvMatrix::Bt709,
        // Matrices of their own, near to this one.
        Colorspace::Rec2020 | Colorspace::SMPTE240M => YuvMatrix::Bt709,
        _ => YuvMatrix::Bt601,
    };
    let range = match (range, space) {
        (Quantization::FullRange, _) | (Quantization::Default, Colorspace::JPEG) => YuvRange::Full,
        _ => YuvRange::Limited,
    };
    Colour { matrix, range }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Capabilities that drivers report for their nodes.
    #[test]
    fn nodes_that_are_cameras() {
        let rows = [
            ("a webcam", Flags::VIDEO_CAPTURE | Flags::STREAMING | Flags::EXT_PIX_FORMAT, true),
            ("its metadata", Flags::META_CAPTURE | Flags::STREAMING | Flags::EXT_PIX_FORMAT, false),
            ("a loopback", Flags::VIDEO_CAPTURE | Flags::VIDEO_OUTPUT | Flags::READ_WRITE, true),
            ("a tuner", Flags::VIDEO_CAPTURE | Flags::TUNER | Flags::AUDIO | Flags::READ_WRITE, true),
            ("its captions", Flags::VBI_CAPTURE | Flags::TUNER | Flags::READ_WRITE, false),
            ("a codec", Flags::VIDEO_M2M_MPLANE | Flags::STREAMING, false),
            ("a board's sensor", Flags::VIDEO_CAPTURE_MPLANE | Flags::STREAMING, false),
            ("an output", Flags::VIDEO_OUTPUT | Flags::STREAMING, false),
            ("nothing", Flags::empty(), false),
        ];
        for (name, capabilities, expected) in rows {
            assert_eq!(captures(capabilities), expected, "{name}");
        }
    }

    /// As the kernel's headers map what a driver leaves open.
    #[test]
    fn colours_of_drivers() {
        let rows = [
            ("bt601", Colorspace::SRGB, Quantization::Default),
            ("bt601", Colorspace::Default, Quantization::Default),
            ("bt601", Colorspace::SMPTE170M, Quantization::LimitedRange),
            ("bt601,full", Colorspace::SRGB, Quantization::FullRange),
            ("bt601,full", Colorspace::JPEG, Quantization::Default),
            ("bt601", Colorspace::JPEG, Quantization::LimitedRange),
            ("bt709", Colorspace::Rec709, Quantization::Default),
            ("bt709,full", Colorspace::Rec709, Quantization::FullRange),
        ];
        for (name, space, range) in rows {
            assert_eq!(Ok(colour_of(space, range)), name.parse(), "{space} {range}");
        }
    }
}
