//! What was measured of devices, in a file.

use std::{fs, path::Path};

/// Bytes of a file, at most: a longer one starts again.
const MOST: u64 = 1 << 16;

/// A file of what was measured, a line each: a word, and what it is of. One that cannot be read or written is done without.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a>(pub &'a Path);

impl Measured<'_> {
    /// The word that was found for `key`.
    pub fn get(self, key: &str) -> Option<String> {
        let key = on_a_line(key);
        let text = self.text();
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(_, of)| *of == key).map(|(word, _)| word.to_owned())
    }

    /// Keeps a word for `key`, in the place of an earlier one.
    pub fn set(self, key: &str, word: &str) {
        let (key, text) = (on_a_line(key), self.text());
        let others =
            text.lines().filter(|line| line.split_once(' ').is_none_or(|(_, of)| of != key));
        let others: String = others.map(|line| format!("{line}\n")).collect();
        if let Some(folder) = self.0.parent() {
            let _ = fs::create_dir_all(folder);
        }
        let text = format!("{others}{word} {key}\n");
        let _ = resnet_formats::atomic_write(self.0, |to| to.write_all(text.as_bytes()));
    }

    fn text(self) -> String {
        resnet_formats::read_text(self.0, MOST).unwrap_or_default()
    }
}

fn on_a_line(key: &str) -> String {
    key.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_kept() {
        let folder = std::env::temp_dir().join(format!("resnet-measured-{}", std::process::id()));
        let path = folder.join("speed.txt");
        let file = Measured(&path);
        assert_eq!(file.get("a card"), None);
        for (key, word) in [("a card", "2"), ("a\ncard; 4 threads", "gpu"), ("a card", "1")] {
            file.set(key, word);
            assert_eq!(file.get(key).as_deref(), Some(word), "{key:?}");
        }
        assert_eq!(file.get("a card; 4 threads").as_deref(), Some("gpu"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "gpu a card; 4 threads\n1 a card\n");
        // Without a place for it.
        Measured(&path.join("none.txt")).set("a card", "3");
        fs::remove_dir_all(&folder).unwrap();
    }
}
