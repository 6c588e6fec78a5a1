//! A grid of images with labels.

use crate::{
    Picture, Theme,
    grid::{GAP, LINE, SIDE},
    svg::{Anchor, Canvas, Rect, Title},
    text::Face,
};

const COLUMNS: usize = 8;
const NAME: Face = Face::bold(12.5);

/// A grid with eight images per row, each under its label.
pub fn labelled<'a>(
    images: &[(Picture, String)],
    title: impl Into<Title<'a>>,
    theme: &Theme,
) -> String {
    let columns = images.len().clamp(1, COLUMNS);
    let heights =
        images.iter().map(|(picture, _)| Rect::of_picture(0.0, 0.0, SIDE, picture).height);
    let pitch = LINE + heights.fold(0.0, f32::max) + GAP;
    let width = columns as f32 * (SIDE + GAP) - GAP;
    let height = (images.len().div_ceil(columns) as f32 * pitch - GAP).max(0.0);
    let mut canvas = Canvas::new(title.into(), width, height, theme);
    for (index, (picture, label)) in images.iter().enumerate() {
        let (x, y) = ((index % columns) as f32 * (SIDE + GAP), (index / columns) as f32 * pitch);
        canvas.group(label, |canvas| {
            let text = NAME.fit(label, SIDE);
            canvas.text(x, y + LINE - 7.0, &text, NAME, Anchor::Start, canvas.theme.ink);
            let place = canvas.picture(x, y + LINE, SIDE, picture);
            canvas.frame(place, 1.0, canvas.theme.line);
        });
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_has_its_label() {
        let image = |label: &str| (Picture::from_channels(2, 1, 1, &[0, 255]), label.to_owned());
        let images: Vec<_> = ["cat", "a dog whose name is much too long", "<x>"]
            .iter()
            .cycle()
            .take(11)
            .map(|label| image(label))
            .collect();
        let svg = labelled(&images, "11 images", &Theme::LIGHT);
        assert_eq!(svg.matches("<image").count(), 11);
        assert_eq!(svg.matches(">cat</text>").count(), 4);
        assert_eq!(svg.matches(">&lt;x&gt;</text>").count(), 3);
        assert!(labelled(&[], "", &Theme::LIGHT).contains("<svg"));
    }
}
