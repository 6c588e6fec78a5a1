//! Class activation maps over images.

use crate::{
    Cell, Picture, Theme,
    colour::{colour_map, luminance},
    grid::{GAP, LINE, SIDE, below, name, rows},
    picture::encoded,
    svg::{Anchor, Canvas, Rect, Title},
    text::{Face, percent},
};

/// A class activation map: the evidence for a class in each region of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// Rows of the map.
    pub rows: usize,
    /// Columns of the map.
    pub columns: usize,
    /// `[row][column]`, in any unit; values up to zero are no evidence.
    pub values: Vec<f32>,
}

impl HeatMap {
    /// The map at a point of the image, both coordinates in [0, 1]: bilinear between the cell
    /// centres.
    fn at(&self, x: f32, y: f32) -> f32 {
        let axis = |at: f32, n: usize| {
            let at = (at * n as f32 - 0.5).clamp(0.0, (n - 1) as f32);
            let low = at as usize;
            (low, (low + 1).min(n - 1), at - low as f32)
        };
        let (left, right, across) = axis(x, self.columns);
        let (top, bottom, down) = axis(y, self.rows);
        let value = |row: usize, column: usize| self.values[row * self.columns + column];
        let mix = |a: f32, b: f32, part: f32| a + (b - a) * part;
        let row = |r| mix(value(r, left), value(r, right), across);
        mix(row(top), row(bottom), down)
    }

    /// The map alone as a PNG, to be laid over its image: in the colours of [`cam`], the more opaque the
    /// more evidence, and transparent where there is none. A cell has up to 16 pixels a side.
    ///
    /// # Panics
    /// As [`cam`].
    pub fn png(&self) -> Vec<u8> {
        assert!(self.rows * self.columns > 0, "a map has cells");
        assert_eq!(self.values.len(), self.rows * self.columns, "a value for each cell of the map");
        let map = self.scaled();
        let [height, width] = [self.rows, self.columns].map(|n| (n * 16).min(n.max(MOST)));
        let mut rgba = Vec::with_capacity(4 * width * height);
        for y in 0..height {
            for x in 0..width {
                let value =
                    map.at((x as f32 + 0.5) / width as f32, (y as f32 + 0.5) / height as f32);
                rgba.extend(colour_map(value));
                rgba.push((OPAQUE * value).round() as u8);
            }
        }
        encoded(width, height, png::ColorType::Rgba, &rgba)
    }

    /// Scaled to a maximum of 1; negative values become 0.
    fn scaled(&self) -> HeatMap {
        let positive = |&v: &f32| if v.is_finite() { v.max(0.0) } else { 0.0 };
        let largest = self.values.iter().map(positive).fold(f32::MIN_POSITIVE, f32::max);
        let values = self.values.iter().map(|v| positive(v) / largest).collect();
        HeatMap { values, ..*self }
    }
}

/// Pixels of a side of a map alone, unless it has more cells.
const MOST: usize = 256;
/// Alpha of the strongest evidence: the image shows through.
const OPAQUE: f32 = 200.0;

const COLUMNS: usize = 4;
const BETWEEN: f32 = 4.0;
const NOTE: Face = Face::regular(12.0);

/// Images, each next to a copy under the class activation map of its predicted class. Each map has
/// its own scale.
///
/// # Panics
/// If a map is empty, or does not have `rows * columns` values.
pub fn cam<'a>(cells: &[(Cell, HeatMap)], title: impl Into<Title<'a>>, theme: &Theme) -> String {
    let columns = cells.len().clamp(1, COLUMNS);
    let (tops, grid) = rows(cells.iter().map(|(cell, _)| cell), columns);
    let (pair, pitch) = (2.0 * SIDE + BETWEEN, 2.0 * SIDE + BETWEEN + 1.5 * GAP);
    let width = (columns as f32 * pitch - 1.5 * GAP).max(legend_width());
    let mut canvas = Canvas::new(title.into(), width, grid + 42.0, theme);
    for (i, (cell, map)) in cells.iter().enumerate() {
        let (x, y) = ((i % columns) as f32 * pitch, tops[i / columns]);
        canvas.group(&cell.hint(), |canvas| {
            name(canvas, x, y, pair, cell);
            let place = image_and_map(canvas, x, y + LINE, SIDE, &cell.picture, map);
            below(canvas, x, place.y + place.height, pair, cell);
        });
    }
    legend(&mut canvas, grid + 36.0);
    canvas.finish()
}

/// Side of the one image of [`photo_cam`]: 32 pixels enlarged by eight.
const LARGE: f32 = 256.0;
const CLASS: f32 = 22.0;
const FIRST: Face = Face::bold(13.0);
const OTHER: Face = Face::regular(13.0);

/// An image next to a copy under the class activation map of its most probable class. Below are the
/// most probable classes and their probabilities, in [0, 1], the first of which is the map's.
///
/// ```
/// # use resnet_pictures::{HeatMap, Picture, Theme, photo_cam};
/// let picture = Picture::from_channels(2, 1, 1, &[0, 255]);
/// let map = HeatMap { rows: 1, columns: 2, values: vec![0.0, 3.5] };
/// let classes = [("cat".to_owned(), 0.75), ("dog".to_owned(), 0.25)];
/// let svg = photo_cam(&picture, &map, &classes, "cat.jpg", &Theme::LIGHT);
/// assert!(svg.contains("75%") && svg.contains("dog"));
/// ```
///
/// # Panics
/// As [`cam`].
pub fn photo_cam<'a>(
    picture: &Picture,
    map: &HeatMap,
    classes: &[(String, f32)],
    title: impl Into<Title<'a>>,
    theme: &Theme,
) -> String {
    let image = Rect::of_picture(0.0, 0.0, LARGE, picture);
    let width = (2.0 * LARGE + BETWEEN).max(legend_width());
    let list = image.height + 12.0;
    let baseline = list + classes.len() as f32 * CLASS + 22.0;
    let mut canvas = Canvas::new(title.into(), width, baseline + 6.0, theme);
    image_and_map(&mut canvas, 0.0, 0.0, LARGE, picture, map);
    let (bars, figures) = (0.45 * width, 44.0);
    for (i, (class, probability)) in classes.iter().enumerate() {
        let (y, face) = (list + i as f32 * CLASS, if i == 0 { FIRST } else { OTHER });
        let figure = percent(*probability);
        canvas.group(&format!("{class}: {figure}"), |canvas| {
            let class = face.fit(class, bars - GAP);
            canvas.text(0.0, y + 15.0, &class, face, Anchor::Start, theme.ink);
            let length = (width - bars - figures) * probability.clamp(0.0, 1.0).max(0.0);
            let strength = if i == 0 { 1.0 } else { 0.5 };
            let bar = Rect { x: bars, y: y + 4.0, width: length, height: 14.0 };
            canvas.rect(bar, theme.accent, strength);
            canvas.text(width, y + 15.0, &figure, face, Anchor::End, theme.ink);
        });
    }
    legend(&mut canvas, baseline);
    canvas.finish()
}

/// Draws an image, and right of it a copy under its map. Returns the place of the copy.
fn image_and_map(
    canvas: &mut Canvas<'_>,
    x: f32,
    y: f32,
    side: f32,
    picture: &Picture,
    map: &HeatMap,
) -> Rect {
    assert!(map.rows * map.columns > 0, "a map has cells");
    assert_eq!(map.values.len(), map.rows * map.columns, "a value for each cell of the map");
    let line = canvas.theme.line;
    let mut place = canvas.picture(x, y, side, picture);
    canvas.frame(place, 1.0, line);
    place.x += place.width + BETWEEN;
    canvas.image(place, &overlay(picture, map, side, place));
    canvas.frame(place, 1.0, line);
    place
}

/// The two ends of the scale.
const LEGEND: [&str; 2] =
    ["no evidence for the predicted class", "strongest evidence in this image"];
const BAR: f32 = 120.0;

fn legend_width() -> f32 {
    LEGEND.iter().map(|text| NOTE.width(text)).sum::<f32>() + BAR + 16.0
}

fn legend(canvas: &mut Canvas<'_>, baseline: f32) {
    let muted = canvas.theme.muted;
    canvas.text(0.0, baseline, LEGEND[0], NOTE, Anchor::Start, muted);
    let x = NOTE.width(LEGEND[0]) + 8.0;
    let scale: Vec<u8> = (0..64).flat_map(|i| colour_map(i as f32 / 63.0)).collect();
    let bar = Rect { x, y: baseline - 10.0, width: BAR, height: 12.0 };
    canvas.image(bar, &Picture::new(64, 1, scale));
    canvas.text(x + BAR + 8.0, baseline, LEGEND[1], NOTE, Anchor::Start, muted);
}

/// The grey image blended with its heat map, at least at the resolution of its place.
fn overlay(picture: &Picture, map: &HeatMap, side: f32, place: Rect) -> Picture {
    let map = map.scaled();
    let picture = picture.clone().shrunk((1.5 * side) as usize);
    let [width, height] = [(picture.width, place.width), (picture.height, place.height)]
        .map(|(pixels, side)| pixels.max(side as usize));
    let mut rgb = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            let under =
                luminance(picture.at(x * picture.width / width, y * picture.height / height));
            let value = map.at((x as f32 + 0.5) / width as f32, (y as f32 + 0.5) / height as f32);
            let colour = colour_map(value).map(f32::from);
            rgb.extend(colour.map(|over| (under + (over - under) * 0.6).round() as u8));
        }
    }
    Picture::new(width, height, rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_bilinear_between_centres() {
        let map = HeatMap { rows: 1, columns: 2, values: vec![0.0, 1.0] };
        let row = [0.0, 0.25, 0.5, 0.625, 0.75, 1.0].map(|x| map.at(x, 0.3));
        assert_eq!(row, [0.0, 0.0, 0.5, 0.75, 1.0, 1.0]);
    }

    #[test]
    fn a_map_alone_is_transparent_without_evidence() {
        let map = HeatMap { rows: 1, columns: 2, values: vec![-1.0, 4.0] };
        let png = map.png();
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut rgba = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut rgba).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (32, 16, png::ColorType::Rgba));
        let alpha = |x: usize| rgba[4 * x + 3];
        assert_eq!((alpha(0), alpha(31)), (0, 200));
        assert!(alpha(12) < alpha(16) && alpha(16) < alpha(20));
    }

    #[test]
    fn bars_are_as_long_as_the_classes_are_probable() {
        let map = HeatMap { rows: 1, columns: 1, values: vec![1.0] };
        let picture = Picture::from_channels(1, 1, 1, &[9]);
        let classes = [1.0, 0.5, 0.0, f32::NAN].map(|p| ("name".to_owned(), p));
        let svg = photo_cam(&picture, &map, &classes, "a", &Theme::LIGHT);
        let bars =
            svg.split("height=\"14\"").filter_map(|before| before.trim().rsplit_once("width=\""));
        let bars: Vec<f32> =
            bars.map(|(_, width)| width.trim_end_matches('"').parse().unwrap_or(-1.0)).collect();
        assert!((bars[0] - 2.0 * bars[1]).abs() < 0.02 && bars[0] > 200.0, "{bars:?}");
        assert_eq!(bars[2..4], [0.0, 0.0]);
    }

    #[test]
    fn negative_evidence_is_zero_and_the_maximum_is_one() {
        let map = HeatMap { rows: 1, columns: 4, values: vec![-3.0, 2.0, 1.0, f32::NAN] };
        assert_eq!(map.scaled().values, [0.0, 1.0, 0.5, 0.0]);
        let none = HeatMap { rows: 1, columns: 1, values: vec![-1.0] };
        assert_eq!(none.scaled().values, [0.0]);
    }
}
