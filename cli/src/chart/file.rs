//! Writing a picture of charts.

use std::path::Path;

#[cfg(feature = "png")]
use super::png;
use super::{Chart, svg};
use crate::out::{Stop, check_output, write};

/// What a picture's file is.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    Svg,
    #[cfg(feature = "png")]
    Png,
}

fn format(path: &Path) -> Result<Format, Stop> {
    match path.extension().map(|extension| extension.to_ascii_lowercase()) {
        Some(extension) if extension == "svg" => Ok(Format::Svg),
        #[cfg(feature = "png")]
        Some(extension) if extension == "png" => Ok(Format::Png),
        #[cfg(not(feature = "png"))]
        Some(extension) if extension == "png" => Err(Stop::Error(format!(
            "{}: this build writes charts as .svg; for PNG build with --features png",
            path.display()
        ))),
        _ => Err(Stop::Error(format!(
            "{}: charts are .svg, or .png where built with feature png",
            path.display()
        ))),
    }
}

/// Refuses a file that [`save`] would refuse, before anything is measured.
pub fn check(path: &Path) -> Result<(), Stop> {
    match format(path)? {
        Format::Svg => {}
        #[cfg(feature = "png")]
        Format::Png => png::check(path)?,
    }
    check_output(path)
}

/// Writes `charts` to `path`, in the format that its name asks for.
pub fn save(path: &Path, charts: &[Chart]) -> Result<(), Stop> {
    let text = svg(charts);
    let bytes = match format(path)? {
        Format::Svg => text.into_bytes(),
        #[cfg(feature = "png")]
        Format::Png => png::draw(path, &text)?,
    };
    write(path, &bytes)
}
