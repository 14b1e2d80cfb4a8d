//! What the window does with what the system gives it to draw on.

use wgpu::CurrentSurfaceTexture;
use winit::dpi::PhysicalSize;

/// What follows from the state of a surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// It is drawn to.
    Draw,
    /// It is drawn to, and fitted to the window for the next time.
    DrawAndFit,
    /// It is fitted to the window, and drawn to at once.
    Fit,
    /// Another takes its place.
    Remake,
    /// It is tried again in a while: the window is covered, or the device busy, or lost, of which others hear.
    Wait,
}

/// What follows from what there was to draw on.
pub(super) fn step(found: &CurrentSurfaceTexture) -> Step {
    match found {
        CurrentSurfaceTexture::Success(_) => Step::Draw,
        CurrentSurfaceTexture::Suboptimal(_) => Step::DrawAndFit,
        CurrentSurfaceTexture::Outdated => Step::Fit,
        CurrentSurfaceTexture::Lost => Step::Remake,
        CurrentSurfaceTexture::Timeout
        | CurrentSurfaceTexture::Occluded
        | CurrentSurfaceTexture::Validation => Step::Wait,
    }
}

/// Columns and rows of the surface of a window, of at most `most` each; `None` for a window without a size, such as a
/// minimised one, which waits for one.
pub(super) fn fit(size: PhysicalSize<u32>, most: u32) -> Option<[u32; 2]> {
    let PhysicalSize { width, height } = size;
    (width > 0 && height > 0).then(|| [width.min(most), height.min(most)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_step() {
        // Those with something to draw on take a window.
        for (found, expected) in [
            (CurrentSurfaceTexture::Outdated, Step::Fit),
            (CurrentSurfaceTexture::Lost, Step::Remake),
            (CurrentSurfaceTexture::Timeout, Step::Wait),
            (CurrentSurfaceTexture::Occluded, Step::Wait),
            (CurrentSurfaceTexture::Validation, Step::Wait),
        ] {
            assert_eq!(step(&found), expected, "{found:?}");
        }
    }

    #[test]
    fn windows_without_a_size_wait() {
        for (size, expected) in [
            ((0, 0), None),
            ((0, 700), None),
            ((1100, 0), None),
            ((1, 1), Some([1, 1])),
            ((1100, 700), Some([1100, 700])),
            ((9000, 3), Some([8192, 3])),
        ] {
            assert_eq!(fit(size.into(), 8192), expected, "{size:?}");
        }
    }
}
