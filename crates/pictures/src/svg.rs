//! Writes SVG.

use std::{
    borrow::Cow,
    fmt::{self, Display, Write},
};

use resnet_formats::brief;

use crate::{
    Picture, Theme,
    text::{Face, drawn, markup},
};

/// The title of a picture: a headline, and a line of detail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Title<'a> {
    /// The headline; not drawn if empty.
    pub headline: &'a str,
    /// The smaller line under it; not drawn if empty.
    pub detail: &'a str,
}

impl<'a> From<&'a str> for Title<'a> {
    fn from(headline: &'a str) -> Self {
        Title { headline, detail: "" }
    }
}

impl<'a> From<(&'a str, &'a str)> for Title<'a> {
    fn from((headline, detail): (&'a str, &'a str)) -> Self {
        Title { headline, detail }
    }
}

/// The point of a text at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

const HEADLINE: Face = Face::bold(22.0);
const DETAIL: Face = Face::regular(13.0);
const FAMILY: &str = "'Noto Sans',system-ui,'Segoe UI','Helvetica Neue',Arial,sans-serif";

/// Builds a picture. The title comes first; `x` and `y` are relative to the area under it, inside
/// the margins.
pub(crate) struct Canvas<'t> {
    pub(crate) theme: &'t Theme,
    title: String,
    body: String,
    top: f32,
    /// Size of the content.
    width: f32,
    height: f32,
}

impl<'t> Canvas<'t> {
    /// A picture with content of `width` x `height`; a longer title makes it wider.
    pub(crate) fn new(title: Title<'_>, width: f32, height: f32, theme: &'t Theme) -> Self {
        let name = match title {
            Title { headline, detail: "" } => headline.to_owned(),
            Title { headline, detail } => format!("{headline}. {detail}"),
        };
        let mut canvas =
            Canvas { theme, title: name, body: String::new(), top: 0.0, width, height };
        let mut y = 0.0;
        for (text, face, colour, baseline, below) in [
            (title.headline, HEADLINE, theme.ink, 18.0, 8.0),
            (title.detail, DETAIL, theme.muted, 13.0, 5.0),
        ] {
            if !text.is_empty() {
                y += baseline;
                canvas.text(0.0, y, text, face, Anchor::Start, colour);
                y += below;
                canvas.width = canvas.width.max(face.width(text));
            }
        }
        canvas.top = if y > 0.0 { y + 16.0 } else { 0.0 };
        let heading = std::mem::take(&mut canvas.body);
        let (margin, top) = (theme.margin(), theme.margin() + canvas.top);
        let _ = write!(
            canvas.body,
            "<g transform=\"translate({0} {0})\">{heading}</g>\
             <g transform=\"translate({0} {1})\">",
            Number(margin),
            Number(top)
        );
        canvas
    }

    /// One line of text.
    pub(crate) fn text(
        &mut self,
        x: f32,
        y: f32,
        text: &str,
        face: Face,
        anchor: Anchor,
        fill: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let weight = if face.bold { " font-weight=\"700\"" } else { "" };
        self.element(format_args!(
            "<text x=\"{}\" y=\"{}\" font-size=\"{}\"{weight}{anchor} fill=\"{fill}\">{}</text>",
            Number(x),
            Number(y),
            Number(face.size),
            escape(text)
        ));
    }

    /// Draws an image in a square: enlarged by a whole factor with crisp pixels, or scaled down
    /// smoothly. Returns its place.
    pub(crate) fn picture(&mut self, x: f32, y: f32, side: f32, picture: &Picture) -> Rect {
        let rect = Rect::of_picture(x, y, side, picture);
        let crisp = rect.width >= picture.width as f32;
        let small = if crisp {
            Cow::Borrowed(picture)
        } else {
            Cow::Owned(picture.clone().shrunk((1.5 * side) as usize))
        };
        let rendering = if crisp {
            " image-rendering=\"optimizeSpeed\" style=\"image-rendering:pixelated\""
        } else {
            ""
        };
        self.embed(rect, &small, rendering);
        rect
    }

    /// Draws an image stretched to a rectangle, smoothly.
    pub(crate) fn image(&mut self, rect: Rect, picture: &Picture) {
        self.embed(rect, picture, "");
    }

    fn embed(&mut self, rect: Rect, picture: &Picture, rendering: &str) {
        let uri = picture.data_uri();
        self.element(format_args!(
            "<image {rect} preserveAspectRatio=\"none\"{rendering} href=\"{uri}\"/>"
        ));
    }

    /// One line of text, rotated by 45 degrees upwards.
    pub(crate) fn slanted(&mut self, x: f32, y: f32, text: &str, face: Face, fill: &str) {
        let place = format!("translate({} {}) rotate(-45)", Number(x), Number(y));
        self.element(format_args!("<g transform=\"{place}\">"));
        self.text(0.0, 0.0, text, face, Anchor::Start, fill);
        self.element("</g>");
    }

    /// A border around a rectangle, outside it.
    pub(crate) fn frame(&mut self, rect: Rect, thickness: f32, stroke: &str) {
        let outer = rect.grown(thickness / 2.0);
        self.element(format_args!(
            "<rect {outer} fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{}\"/>",
            Number(thickness)
        ));
    }

    /// A rectangle filled with a colour of this strength.
    pub(crate) fn rect(&mut self, rect: Rect, colour: &'static str, strength: f32) {
        let (fill, opacity) = self.theme.tint(colour, strength);
        let opacity = Opacity(opacity);
        self.element(format_args!("<rect {rect} fill=\"{fill}\"{opacity}/>"));
    }

    /// A tick or a cross of 12 x 12.
    pub(crate) fn mark(&mut self, x: f32, y: f32, correct: bool) {
        let (path, stroke) = match correct {
            true => ("M1.5 6.5 4.6 9.6 10.5 2.4", self.theme.good),
            false => ("M2 2 10 10M10 2 2 10", self.theme.bad),
        };
        self.element(format_args!(
            "<path d=\"{path}\" transform=\"translate({} {})\" fill=\"none\" stroke=\"{stroke}\" \
             stroke-width=\"2.2\" stroke-linecap=\"round\" stroke-linejoin=\"round\"/>",
            Number(x),
            Number(y)
        ));
    }

    /// A hairline.
    pub(crate) fn line(&mut self, from: [f32; 2], to: [f32; 2], stroke: &str) {
        let [[x1, y1], [x2, y2]] = [from, to].map(|place| place.map(Number));
        self.element(format_args!(
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"{stroke}\"/>"
        ));
    }

    /// Any other element.
    pub(crate) fn element(&mut self, element: impl Display) {
        let _ = writeln!(self.body, "{element}");
    }

    /// A group with a tooltip.
    pub(crate) fn group(&mut self, hint: &str, draw: impl FnOnce(&mut Self)) {
        self.element(format_args!("<g><title>{}</title>", escape(&brief(hint).to_string())));
        draw(self);
        self.element("</g>");
    }

    /// The whole document.
    pub(crate) fn finish(self) -> String {
        let margin = self.theme.margin();
        let width = (self.width + 2.0 * margin).ceil();
        let height = (self.height + self.top + 2.0 * margin).ceil();
        let name = escape(&self.title);
        let paper = if self.theme.has_paper() {
            format!("<rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>", self.theme.paper)
        } else {
            String::new()
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{name}\" \
             font-family=\"{FAMILY}\">{}{paper}{}</g></svg>\n",
            self.theme.style(),
            self.body
        )
    }
}

/// A rectangle. It formats as SVG attributes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) width: f32,
    pub(crate) height: f32,
}

impl Rect {
    /// The place of an image in a square.
    pub(crate) fn of_picture(x: f32, y: f32, side: f32, picture: &Picture) -> Rect {
        let longer = picture.width.max(picture.height) as f32;
        let factor = if longer <= side { (side / longer).floor() } else { side / longer };
        // A single line of pixels stays visible.
        let [width, height] =
            [picture.width, picture.height].map(|n| (n as f32 * factor).clamp(1.0, side));
        Rect { x, y, width, height }
    }

    fn grown(self, by: f32) -> Rect {
        Rect {
            x: self.x - by,
            y: self.y - by,
            width: self.width + 2.0 * by,
            height: self.height + 2.0 * by,
        }
    }
}

impl Display for Rect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, width, height] = [self.x, self.y, self.width, self.height].map(Number);
        write!(f, "x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"")
    }
}

/// The attribute `fill-opacity`, unless it is 1.
pub(crate) struct Opacity(pub(crate) f32);

impl Display for Opacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 1.0 { Ok(()) } else { write!(f, " fill-opacity=\"{}\"", Number(self.0)) }
    }
}

/// A number with at most two decimals.
pub(crate) struct Number(pub(crate) f32);

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", (f64::from(self.0) * 100.0).round() / 100.0 + 0.0)
    }
}

/// Escapes text for XML.
fn escape(text: &str) -> String {
    markup(text, drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_class_name_becomes_valid_xml() {
        assert_eq!(escape("a<b & \"c\"\n\u{1}"), "a&lt;b &amp; &quot;c&quot; \u{fffd}");
    }

    #[test]
    fn numbers_are_short() {
        let text = |x| Number(x).to_string();
        assert_eq!([text(1.0), text(0.125), text(-0.001)], ["1", "0.13", "0"]);
    }

    #[test]
    fn images_are_enlarged_by_a_whole_factor_or_shrunk() {
        let place = |width, height| {
            let picture = Picture::new(width, height, vec![0; 3 * width * height]);
            let rect = Rect::of_picture(0.0, 0.0, 128.0, &picture);
            (rect.width, rect.height)
        };
        assert_eq!(place(32, 32), (128.0, 128.0));
        assert_eq!(place(28, 28), (112.0, 112.0));
        assert_eq!(place(224, 112), (128.0, 64.0));
        assert_eq!(place(1000, 1), (128.0, 1.0));
    }
}
