//! Measures text.

use std::borrow::Cow;

use resnet_formats::is_printable;
use skrifa::{FontRef, MetadataProvider, instance::LocationRef, prelude::Size};

/// The fonts that text is measured with: regular and bold.
pub(crate) const FONTS: [&[u8]; 2] = [notosans::REGULAR_TTF, notosans::BOLD_TTF];

/// Whether the fonts have all characters of a text.
pub(crate) fn is_covered(text: &str) -> bool {
    let charmap = FontRef::new(FONTS[0]).expect("the embedded font is valid").charmap();
    text.chars().filter(|c| !c.is_ascii()).all(|c| charmap.map(c).is_some())
}

/// The character to draw: line breaks and tabs become spaces; characters that are invalid in XML,
/// invisible or change the writing direction become U+FFFD.
pub(crate) fn drawn(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' => ' ',
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        c if !is_printable(c) => '\u{fffd}',
        c => c,
    }
}

/// Escapes text for XML or HTML, inside an element or a quoted attribute. `shown` maps the other
/// characters.
pub(crate) fn markup(text: &str, shown: fn(char) -> char) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(shown(c)),
        }
    }
    out
}

/// Maximum characters of a line: combining marks may have no width.
const MAX_CHARS: usize = 1000;

/// A font size and weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Face {
    pub(crate) size: f32,
    pub(crate) bold: bool,
}

impl Face {
    pub(crate) const fn regular(size: f32) -> Face {
        Face { size, bold: false }
    }

    pub(crate) const fn bold(size: f32) -> Face {
        Face { size, bold: true }
    }

    /// The width of a line. A missing glyph counts as a square.
    pub(crate) fn width(self, text: &str) -> f32 {
        let advance = self.advance();
        text.chars().map(advance).sum()
    }

    /// The width of a character.
    fn advance(self) -> impl Fn(char) -> f32 {
        let font = FontRef::new(FONTS[usize::from(self.bold)]).expect("the embedded font is valid");
        let metrics = font.glyph_metrics(Size::new(self.size), LocationRef::default());
        let charmap = font.charmap();
        move |c| {
            let glyph = charmap.map(drawn(c));
            glyph.and_then(|glyph| metrics.advance_width(glyph)).unwrap_or(self.size)
        }
    }

    /// The text, shortened with an ellipsis if it is wider than `width`.
    pub(crate) fn fit(self, text: &str, width: f32) -> Cow<'_, str> {
        let advance = self.advance();
        // The last position where an ellipsis fits, and the width so far.
        let (mut end, mut before) = (0, 0.0);
        for (number, (at, c)) in text.char_indices().enumerate() {
            before += advance(c);
            if before > width || number >= MAX_CHARS {
                return Cow::Owned(format!("{}…", &text[..end]));
            }
            if !c.is_whitespace() && before + advance('…') <= width {
                end = at + c.len_utf8();
            }
        }
        Cow::Borrowed(text)
    }
}

/// `0.934` as `93%`. Values close to 0 or 1 become `<1%` or `>99%`.
pub(crate) fn percent(share: f32) -> String {
    match 100.0 * share {
        p if p > 99.5 && share < 0.9999 => ">99%".into(),
        p if p < 0.5 && p > 0.0 => "<1%".into(),
        p => format!("{p:.0}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_to_fit() {
        let face = Face::bold(13.0);
        assert_eq!(face.fit("frog", 128.0), "frog");
        let cut = face.fit("West Highland white terrier, Westie", 100.0);
        assert!(cut.starts_with("West High") && cut.ends_with('…'), "{cut}");
        assert!(face.width(&cut) <= 100.0);
        assert_eq!(face.fit("frog", 0.0), "…");
        // Noto Sans' advance of `e` is 564 of 1000.
        assert!((Face::regular(100.0).width("ee") - 112.8).abs() < 0.1);
        assert_eq!(Face::regular(10.0).width("犬"), 10.0);
        assert!(is_covered("čáp, лиса, αλεπού … ·") && !is_covered("犬"));
    }

    #[test]
    fn percentages_are_not_rounded_to_0_or_100() {
        let all = [0.934, 0.999, 1.0, 0.99999, 0.004, 0.0, 0.0051].map(percent);
        assert_eq!(all, ["93%", ">99%", "100%", "100%", "<1%", "0%", "1%"]);
    }
}
