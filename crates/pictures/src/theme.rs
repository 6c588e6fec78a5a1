//! Colour themes.

use std::borrow::Cow;

/// The colours of a picture, by their role, in SVG notation.
///
/// All text colours have a contrast of at least 4.5 to 1 with the paper (WCAG 2.1), light and dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Background.
    pub paper: &'static str,
    /// Text.
    pub ink: &'static str,
    /// Secondary text.
    pub muted: &'static str,
    /// Hairlines.
    pub line: &'static str,
    /// Correct predictions.
    pub good: &'static str,
    /// Wrong predictions.
    pub bad: &'static str,
    /// Data.
    pub accent: &'static str,
    /// How the background is drawn.
    ground: Ground,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    /// The picture has its own background and margin.
    Own,
    /// As `Own`, and follows the dark mode of the viewer.
    Adapts,
    /// The page provides background and margins.
    Page,
}

impl Theme {
    /// Dark on white.
    pub const LIGHT: Theme = Theme {
        paper: "#ffffff",
        ink: "#1b1c20",
        muted: "#62646d",
        line: "#d8d9de",
        good: "#007a59",
        bad: "#c04f00",
        accent: "#0072b2",
        ground: Ground::Own,
    };

    /// Light on nearly black.
    pub const DARK: Theme = Theme {
        paper: "#15161a",
        ink: "#ecedf1",
        muted: "#a2a4ae",
        line: "#3b3d45",
        good: "#33c79c",
        bad: "#ff9248",
        accent: "#56b4e9",
        ground: Ground::Own,
    };

    /// [`Theme::LIGHT`], or [`Theme::DARK`] if the viewer is in dark mode: for an SVG file.
    pub const AUTO: Theme = Theme { ground: Ground::Adapts, ..Theme::LIGHT };

    /// The CSS variables `--paper`, `--ink`, `--muted`, `--line`, `--good`, `--bad` and `--accent`
    /// of the HTML page around the SVG; [`Theme::variables`] declares them. The picture has no
    /// background and no margin of its own.
    pub const CSS: Theme = Theme {
        paper: "var(--paper)",
        ink: "var(--ink)",
        muted: "var(--muted)",
        line: "var(--line)",
        good: "var(--good)",
        bad: "var(--bad)",
        accent: "var(--accent)",
        ground: Ground::Page,
    };

    /// The CSS declarations of its colours, for [`Theme::CSS`]: `--paper:#ffffff;--ink:...`.
    pub fn variables(&self) -> String {
        self.roles().map(|(name, colour)| format!("--{name}:{colour};")).concat()
    }

    /// A colour of this strength on the background: the fill, and the opacity that remains to be
    /// applied. A known background is mixed here, which is more exact than in a renderer.
    pub(crate) fn tint(&self, colour: &'static str, strength: f32) -> (Cow<'static, str>, f32) {
        if self.ground != Ground::Own {
            return (colour.into(), strength);
        }
        let channel = |text: &str, i: usize| {
            f32::from(u8::from_str_radix(&text[2 * i + 1..2 * i + 3], 16).expect("a literal"))
        };
        let mix = |i| {
            let (under, over) = (channel(self.paper, i), channel(colour, i));
            (under + (over - under) * strength).round() as u8
        };
        let [r, g, b] = [mix(0), mix(1), mix(2)];
        (format!("#{r:02x}{g:02x}{b:02x}").into(), 1.0)
    }

    /// Margin around the picture.
    pub(crate) fn margin(&self) -> f32 {
        if self.ground == Ground::Page { 0.0 } else { 28.0 }
    }

    /// Whether the picture has its own background.
    pub(crate) fn has_paper(&self) -> bool {
        self.ground != Ground::Page
    }

    /// A style sheet that replaces the light colours by dark ones in dark mode.
    pub(crate) fn style(&self) -> String {
        if self.ground != Ground::Adapts {
            return String::new();
        }
        let pairs = self.roles().into_iter().zip(Theme::DARK.roles());
        let rules: String = pairs
            .map(|((_, light), (_, dark))| {
                format!("[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}")
            })
            .collect();
        format!("<style>@media (prefers-color-scheme:dark){{{rules}}}</style>")
    }

    fn roles(&self) -> [(&'static str, &'static str); 7] {
        [
            ("paper", self.paper),
            ("ink", self.ink),
            ("muted", self.muted),
            ("line", self.line),
            ("good", self.good),
            ("bad", self.bad),
            ("accent", self.accent),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.1's contrast of two colours, 1 to 21.
    fn contrast(a: &str, b: &str) -> f64 {
        let luminance = |colour: &str| {
            let channel = |i: usize| {
                let byte = u8::from_str_radix(&colour[1 + 2 * i..3 + 2 * i], 16).unwrap();
                let x = f64::from(byte) / 255.0;
                if x <= 0.03928 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2)
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn all_text_has_enough_contrast() {
        for theme in [Theme::LIGHT, Theme::DARK] {
            for ink in [theme.ink, theme.muted, theme.good, theme.bad, theme.accent] {
                let contrast = contrast(ink, theme.paper);
                assert!(contrast >= 4.5, "{ink} on {}: {contrast}", theme.paper);
            }
        }
    }

    #[test]
    fn tints_are_mixed_on_a_known_background() {
        let half = |theme: Theme, colour| theme.tint(colour, 0.5);
        assert_eq!(half(Theme::LIGHT, "#0072b2"), ("#80b9d9".into(), 1.0));
        assert_eq!(half(Theme::DARK, "#15161a"), ("#15161a".into(), 1.0));
        assert_eq!(half(Theme::AUTO, "#0072b2"), ("#0072b2".into(), 0.5));
        assert_eq!(half(Theme::CSS, "var(--bad)"), ("var(--bad)".into(), 0.5));
    }

    #[test]
    fn colours_of_different_roles_differ() {
        for theme in [Theme::LIGHT, Theme::DARK] {
            let mut colours = theme.roles().map(|(_, colour)| colour);
            colours.sort_unstable();
            assert!(colours.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }

    #[test]
    fn variables_match_the_css_theme() {
        let declared = Theme::LIGHT.variables();
        for (name, colour) in Theme::CSS.roles() {
            assert_eq!(colour, format!("var(--{name})"));
            assert!(declared.contains(&format!("--{name}:#")));
        }
    }
}
