//! The SVG of charts as PNG (feature `png`).

use std::path::Path;

use resvg::{tiny_skia, usvg};

use crate::out::Stop;

/// Pixels for each unit of the SVG.
const ZOOM: f32 = 2.0;

/// Refuses `path` where there are no fonts, without which a chart has no text.
pub fn check(path: &Path) -> Result<(), Stop> {
    fonts(path).map(|_| ())
}

/// The PNG of `svg`, to be written to `path`.
pub fn draw(path: &Path, svg: &str) -> Result<Vec<u8>, Stop> {
    let tree = usvg::Tree::from_str(svg, &fonts(path)?).expect("our own SVG is sound");
    let size = tree.size().to_int_size().scale_by(ZOOM).expect("charts are not empty");
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height()).expect("charts are not empty");
    resvg::render(&tree, tiny_skia::Transform::from_scale(ZOOM, ZOOM), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| Stop::Error(format!("{}: {error}", path.display())))
}

fn fonts(path: &Path) -> Result<usvg::Options<'static>, Stop> {
    let mut options = usvg::Options::default();
    options.fontdb_mut().load_system_fonts();
    let Some(first) = options.fontdb.faces().next() else {
        let reason = "no fonts are installed, which PNG needs; write an .svg instead";
        return Err(Stop::Error(format!("{}: {reason}", path.display())));
    };
    // Stands in where none of the fonts that the SVG names is installed.
    if let Some((family, _)) = first.families.first().cloned() {
        options.fontdb_mut().set_sans_serif_family(family);
    }
    Ok(options)
}
