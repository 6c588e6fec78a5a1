//! Renders SVG to PNG.

use std::sync::{Arc, LazyLock};

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};
use thiserror::Error;

use crate::text::{FONTS, is_covered};

/// Why an SVG cannot be rendered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PngError {
    /// It is not valid SVG.
    #[error("not a valid SVG: {0}")]
    Svg(#[from] resvg::usvg::Error),
    /// The image would have no pixels.
    #[error("cannot render {width} x {height} pixels: choose another scale")]
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

/// Maximum number of pixels: 160 MB.
const MAX_PIXELS: f32 = 4e7;

/// The fonts of a text: the embedded ones, and the machine's only if a character is missing, so
/// that pictures rarely depend on the machine.
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

/// Renders an SVG to a PNG with `scale` pixels per unit, or fewer to stay below 40 million pixels.
/// Text is in the embedded Noto Sans (Latin, Greek, Cyrillic); other characters come from the
/// machine's fonts.
///
/// # Errors
/// If the text is not valid SVG, or the image would have no pixels.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>, PngError> {
    let options = Options { fontdb: fonts(svg), ..Options::default() };
    let tree = Tree::from_str(svg, &options)?;
    let (width, height) = (tree.size().width(), tree.size().height());
    let scale = scale.min((MAX_PIXELS / (width * height)).sqrt());
    let [width, height] = [width, height].map(|n| (n * scale).round());
    let size = PngError::Size { width, height };
    let mut pixmap = Pixmap::new(width as u32, height as u32).ok_or(size)?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|e| PngError::Encoding(e.to_string()))
}
