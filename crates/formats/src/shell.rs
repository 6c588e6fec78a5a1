//! Words of commands that people copy into a shell.

use std::path::Path;

use crate::Shown;

/// A word as a POSIX shell reads it as one.
///
/// ```
/// assert_eq!(resnet_formats::quoted("a; b"), "'a; b'");
/// ```
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A path as the argument of an option in a command that is shown: one word, and no option itself.
/// What a terminal would act upon is spelt out: such a path has to be typed another way.
pub fn quoted_path(path: &Path) -> String {
    let shown = path.shown().to_string();
    quoted(&if shown.starts_with('-') { format!("./{shown}") } else { shown })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words_in_a_shell() {
        for (word, text) in [
            ("a/b-1.0", "a/b-1.0"),
            ("", "''"),
            ("a b", "'a b'"),
            ("run; touch x #", "'run; touch x #'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
        ] {
            assert_eq!(quoted(word), text);
            assert_eq!(quoted_path(Path::new(word)), text);
        }
        assert_eq!(quoted_path(Path::new("-x")), "./-x");
        assert_eq!(quoted_path(Path::new("\u{1b}[31m\n")), r"'\u{1b}[31m\n'");
    }
}
