//! SVG to PNG.

use std::sync::{Arc, LazyLock};

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};
use thiserror::Error;

use crate::text::{FONTS, is_covered};

/// Why an SVG cannot be drawn.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PngError {
    /// It is no SVG.
    #[error("the text is no SVG: {0}")]
    Svg(#[from] resvg::usvg::Error),
    /// It would have no pixels.
    #[error("a picture of {width} x {height} pixels cannot be drawn: choose another scale")]
    Size {
        /// Columns.
        width: f32,
        /// Rows.
        height: f32,
    },
    /// The pixels could not be written.
    #[error("cannot write the PNG: {0}")]
    Encoding(String),
}

/// More pixels than this are never made: 160 MB.
const MOST_PIXELS: f32 = 4e7;

/// The fonts to draw a text with: the embedded one, and those of the machine only if it lacks a
/// character, so that pictures do not depend on the machine without need.
fn fonts(svg: &str) -> Arc<Database> {
    static EMBEDDED: LazyLock<Arc<Database>> = LazyLock::new(|| Arc::new(embedded()));
    static ALL: LazyLock<Arc<Database>> = LazyLock::new(|| {
        let mut fonts = embedded();
        fonts.load_system_fonts();
        Arc::new(fonts)
    });
    if is_covered(svg) { EMBEDDED.clone() } else { ALL.clone() }
}

fn embedded() -> Database {
    let mut fonts = Database::new();
    FONTS.into_iter().for_each(|font| fonts.load_font_data(font.to_vec()));
    fonts.set_sans_serif_family("Noto Sans");
    fonts
}

/// Draws an SVG as a PNG with `scale` pixels to a unit of length; fewer, where that were more than
/// 40 million pixels. Text is in Noto Sans, which is embedded; characters that it lacks (it has
/// Latin, Greek and Cyrillic) are taken from the machine's fonts, if it has them.
///
/// # Errors
/// If the text is no SVG, or a picture of that scale has no pixels.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>, PngError> {
    let options = Options { fontdb: fonts(svg), ..Options::default() };
    let tree = Tree::from_str(svg, &options)?;
    let (width, height) = (tree.size().width(), tree.size().height());
    let scale = scale.min((MOST_PIXELS / (width * height)).sqrt());
    let [width, height] = [width, height].map(|n| (n * scale).round());
    let size = PngError::Size { width, height };
    let mut pixmap = Pixmap::new(width as u32, height as u32).ok_or(size)?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|e| PngError::Encoding(e.to_string()))
}
