//! SVG to PNG.

use std::sync::{Arc, LazyLock};

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};
use thiserror::Error;

use crate::text::FONTS;

/// Why an SVG cannot be drawn.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PngError {
    /// It is no SVG.
    #[error("the text is no SVG: {0}")]
    Svg(#[from] resvg::usvg::Error),
    /// It would have no pixels, or too many.
    #[error("{width} x {height} pixels cannot be drawn: choose another scale")]
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

/// The embedded font, and one with those of the machine besides it.
static FONT: LazyLock<Arc<Database>> = LazyLock::new(|| Arc::new(embedded()));

fn embedded() -> Database {
    let mut fonts = Database::new();
    FONTS.into_iter().for_each(|font| fonts.load_font_data(font.to_vec()));
    fonts.set_sans_serif_family("Noto Sans");
    fonts
}

/// Draws an SVG as a PNG, `scale` pixels to a unit of length, with an embedded font (Noto Sans).
///
/// # Errors
/// If the text is no SVG, or so large a picture cannot be made.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>, PngError> {
    let options = Options { fontdb: FONT.clone(), ..Options::default() };
    let tree = Tree::from_str(svg, &options)?;
    let [width, height] = [tree.size().width(), tree.size().height()].map(|n| (n * scale).ceil());
    let size = PngError::Size { width, height };
    let mut pixmap = Pixmap::new(width as u32, height as u32).ok_or(size)?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|e| PngError::Encoding(e.to_string()))
}
