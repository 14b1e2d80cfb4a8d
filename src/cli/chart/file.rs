//! Writing a picture of charts.

use std::path::Path;

use mobileone::Error;
use resvg::{tiny_skia, usvg};

use super::{Chart, svg};
use crate::cli::out::{Stop, check_output};

/// Pixels of a PNG for each unit of the SVG.
const ZOOM: f32 = 2.0;

/// What a picture's file is.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    Svg,
    Png,
}

fn format(path: &Path) -> Result<Format, Stop> {
    match path.extension().map(|extension| extension.to_ascii_lowercase()) {
        Some(extension) if extension == "svg" => Ok(Format::Svg),
        Some(extension) if extension == "png" => Ok(Format::Png),
        _ => Err(Stop::Error(format!("{}: pictures are written as .svg or .png", path.display()))),
    }
}

/// Refuses a file that [`save`] would refuse, before anything is measured.
pub fn check(path: &Path) -> Result<(), Stop> {
    if format(path)? == Format::Png && fonts().fontdb.is_empty() {
        return Err(no_fonts(path));
    }
    check_output(path)
}

/// Writes `charts` to `path`, as SVG or PNG after its name.
pub fn save(path: &Path, charts: &[Chart]) -> Result<(), Stop> {
    let text = svg(charts);
    let bytes = match format(path)? {
        Format::Svg => text.into_bytes(),
        Format::Png => png(path, &text)?,
    };
    std::fs::write(path, bytes).map_err(|source| Error::Io { path: path.into(), source }.into())
}

fn png(path: &Path, text: &str) -> Result<Vec<u8>, Stop> {
    let options = fonts();
    if options.fontdb.is_empty() {
        return Err(no_fonts(path));
    }
    let tree = usvg::Tree::from_str(text, &options).expect("our own SVG is sound");
    let size = tree.size().to_int_size().scale_by(ZOOM).expect("charts are not empty");
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height()).expect("charts are not empty");
    resvg::render(&tree, tiny_skia::Transform::from_scale(ZOOM, ZOOM), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| Stop::Error(format!("{}: {error}", path.display())))
}

fn fonts() -> usvg::Options<'static> {
    let mut options = usvg::Options::default();
    options.fontdb_mut().load_system_fonts();
    // What stands in where none of the fonts that the SVG names is there.
    let first = options.fontdb.faces().next().and_then(|face| face.families.first().cloned());
    if let Some((family, _)) = first {
        options.fontdb_mut().set_sans_serif_family(family);
    }
    options
}

fn no_fonts(path: &Path) -> Stop {
    Stop::Error(format!("{}: no fonts are installed, which PNG needs; write an .svg instead", path.display()))
}
