//! A grid of images with their predictions.

use crate::{
    Picture, Theme,
    svg::{Anchor, Canvas, Rect, Title},
    text::{Face, percent},
};

/// An image with its predicted and its true class.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The image.
    pub picture: Picture,
    /// The predicted class.
    pub predicted: String,
    /// The true class.
    pub truth: String,
    /// Whether both are the same class.
    pub correct: bool,
    /// Probability of the predicted class, in [0, 1].
    pub confidence: Option<f32>,
    /// The path of its file, if it is to be named.
    pub file: Option<String>,
}

impl Cell {
    /// The tooltip of the cell.
    pub(crate) fn hint(&self) -> String {
        let sure = self.confidence.map(|c| format!(" ({})", percent(c))).unwrap_or_default();
        let Cell { predicted, truth, .. } = self;
        let file = self.file.as_ref().map(|file| format!("; {file}")).unwrap_or_default();
        match self.correct {
            true => format!("{predicted}{sure}, correct{file}"),
            false => format!("predicted: {predicted}{sure}; true: {truth}{file}"),
        }
    }

    /// Height of the lines below the image: the name of its file, and of a mistake the true class.
    fn below(&self) -> f32 {
        let line = |is_there| if is_there { LINE } else { 0.0 };
        line(self.file.is_some()) + line(!self.correct)
    }
}

/// Side of an image: 32 pixels enlarged by four.
pub(crate) const SIDE: f32 = 128.0;
pub(crate) const GAP: f32 = 16.0;
const COLUMNS: usize = 8;
const BETWEEN_ROWS: f32 = 18.0;
/// Height of the line above an image, and of the one below.
pub(crate) const LINE: f32 = 21.0;
const NAME: Face = Face::bold(12.5);
const SURE: Face = Face::regular(11.0);
const NOTE: Face = Face::regular(12.0);

/// A grid with eight images per row. Above each image are a tick or a cross, the predicted class
/// and its probability; below it the name of its file, if it has one, and below a mistake the true class. Mistakes are framed, unless all images
/// are mistakes.
///
/// ```
/// # use resnet_pictures::{Cell, Picture, Theme, grid};
/// let picture = Picture::from_channels(1, 1, 1, &[128]);
/// let (predicted, truth) = ("cat".to_owned(), "dog".to_owned());
/// let (correct, confidence, file) = (false, Some(0.6), Some("dogs/rex.jpg".to_owned()));
/// let cell = Cell { picture, predicted, truth, correct, confidence, file };
/// assert!(grid(&[cell], "0 of 1 correct", &Theme::LIGHT).contains("true: dog"));
/// ```
pub fn grid<'a>(cells: &[Cell], title: impl Into<Title<'a>>, theme: &Theme) -> String {
    let columns = cells.len().clamp(1, COLUMNS);
    let (tops, height) = rows(cells, columns);
    let width = columns as f32 * (SIDE + GAP) - GAP;
    let mut canvas = Canvas::new(title.into(), width, height, theme);
    let frames = cells.iter().any(|cell| cell.correct);
    for (row, y) in cells.chunks(columns).zip(tops) {
        for (i, cell) in row.iter().enumerate() {
            let x = i as f32 * (SIDE + GAP);
            canvas.group(&cell.hint(), |canvas| draw(canvas, x, y, cell, frames));
        }
    }
    canvas.finish()
}

/// The top of each row of cells, and the total height. A row has a line above its images, and lines below
/// for names of files and true classes, if one of its cells has them.
pub(crate) fn rows<'a>(
    cells: impl IntoIterator<Item = &'a Cell, IntoIter: Clone>,
    columns: usize,
) -> (Vec<f32>, f32) {
    let cells = cells.into_iter();
    let images = cells.clone().map(|cell| Rect::of_picture(0.0, 0.0, SIDE, &cell.picture).height);
    let images = images.fold(0.0, f32::max);
    let (mut tops, mut y) = (Vec::new(), 0.0);
    let below: Vec<f32> = cells.map(Cell::below).collect();
    for row in below.chunks(columns) {
        tops.push(y);
        y += LINE + images + row.iter().copied().fold(0.0, f32::max) + BETWEEN_ROWS;
    }
    (tops, (y - BETWEEN_ROWS).max(0.0))
}

fn draw(canvas: &mut Canvas<'_>, x: f32, y: f32, cell: &Cell, frames: bool) {
    let theme = canvas.theme;
    name(canvas, x, y, SIDE, cell);
    let place = canvas.picture(x, y + LINE, SIDE, &cell.picture);
    if cell.correct || !frames {
        canvas.frame(place, 1.0, theme.line);
    } else {
        canvas.frame(place, 3.0, theme.bad);
    }
    below(canvas, x, place.y + place.height, SIDE, cell);
}

/// The lines below an image: the name of its file, and of a mistake the true class.
pub(crate) fn below(canvas: &mut Canvas<'_>, x: f32, mut y: f32, width: f32, cell: &Cell) {
    let (ink, muted) = (canvas.theme.ink, canvas.theme.muted);
    if let Some(file) = &cell.file {
        let name = file.rsplit('/').next().unwrap_or(file);
        canvas.text(x, y + 16.0, &NOTE.fit(name, width), NOTE, Anchor::Start, muted);
        y += LINE;
    }
    if !cell.correct {
        let text = format!("true: {}", cell.truth);
        canvas.text(x, y + 16.0, &NOTE.fit(&text, width), NOTE, Anchor::Start, ink);
    }
}

/// The line above an image: mark, predicted class, probability.
pub(crate) fn name(canvas: &mut Canvas<'_>, x: f32, y: f32, width: f32, cell: &Cell) {
    let theme = canvas.theme;
    let baseline = y + 13.5;
    canvas.mark(x, baseline - 10.5, cell.correct);
    let sure = cell.confidence.map(percent).unwrap_or_default();
    let room = width - 16.0 - if sure.is_empty() { 0.0 } else { SURE.width(&sure) + 5.0 };
    let colour = if cell.correct { theme.ink } else { theme.bad };
    let text = NAME.fit(&cell.predicted, room);
    canvas.text(x + 16.0, baseline, &text, NAME, Anchor::Start, colour);
    if !sure.is_empty() {
        canvas.text(x + width, baseline, &sure, SURE, Anchor::End, theme.muted);
    }
}
