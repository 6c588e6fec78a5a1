//! Quotes words of commands that users copy into a shell.

use std::path::Path;

use crate::Shown;

/// A word, quoted for a POSIX shell.
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

/// A path, quoted as the argument of an option: one word that does not start with `-`. Unprintable
/// characters are escaped, so such a path cannot be copied.
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
