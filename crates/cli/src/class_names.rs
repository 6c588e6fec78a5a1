//! `--class-names`: the names of a network's classes from a file.

use std::{collections::HashMap, path::Path};

use anyhow::{Context, anyhow, bail};
use resnet_formats::{Shown, read_text};
use serde::Deserialize;
use serde_json::error::Category;

/// Far more than any list of class names needs.
const MAX_BYTES: u64 = 16 << 20;

/// The forms of a JSON file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Json {
    List(Vec<String>),
    /// `{"0": "cat"}`
    ByIndex(HashMap<String, String>),
    /// `{"cat": 0}`, torchvision's `class_to_idx`
    ByName(HashMap<String, usize>),
}

/// Reads the names of this many classes: one on each line, or a JSON list, or a JSON object of numbers
/// and names.
pub(crate) fn read(path: &Path, classes: usize) -> anyhow::Result<Vec<String>> {
    let shown = path.shown();
    let text = read_text(path, MAX_BYTES).with_context(|| format!("{shown} cannot be read"))?;
    let names = parse(&text).with_context(|| {
        format!("{shown} has no class names: give one on each line, a JSON list or a JSON object")
    })?;
    if names.len() != classes {
        bail!(
            "{shown} has {} class names, but the network has {classes} classes: give one for each",
            names.len()
        );
    }
    Ok(names)
}

fn parse(text: &str) -> anyhow::Result<Vec<String>> {
    let text = text.trim_start_matches('\u{feff}').trim_end();
    if !text.starts_with(['[', '{']) {
        return Ok(text.lines().map(|line| line.trim().to_owned()).collect());
    }
    let json: Json = serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => {
            anyhow!("its JSON is neither a list of strings nor an object of numbers and strings")
        }
        _ => error.into(),
    })?;
    let by_index: HashMap<usize, String> = match json {
        Json::List(names) => return Ok(names),
        Json::ByIndex(names) => {
            let index = |(index, name): (String, String)| {
                let number =
                    index.trim().parse().with_context(|| format!("'{index}' is no number"))?;
                Ok((number, name))
            };
            names.into_iter().map(index).collect::<anyhow::Result<_>>()?
        }
        Json::ByName(numbers) => {
            let count = numbers.len();
            let names: HashMap<_, _> = numbers.into_iter().map(|(name, n)| (n, name)).collect();
            if names.len() < count {
                bail!("two names have the same number");
            }
            names
        }
    };
    let name =
        |index| by_index.get(&index).cloned().with_context(|| format!("{index} has no name"));
    (0..by_index.len()).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_gives_the_same_names() {
        for text in [
            "cat\ndog\nelk\n",
            "\u{feff}cat\r\ndog\r\nelk",
            r#"["cat", "dog", "elk"]"#,
            r#"{"2": "elk", "0": "cat", "1": "dog"}"#,
            r#"{"elk": 2, "cat": 0, "dog": 1}"#,
        ] {
            assert_eq!(parse(text).unwrap(), ["cat", "dog", "elk"], "{text}");
        }
        for text in [r#"{"0": "cat", "2": "dog"}"#, r#"{"cat": 1, "dog": 1}"#, "[1, 2]", "{"] {
            assert!(parse(text).is_err(), "{text}");
        }
        let error = parse("[1, 2]").unwrap_err().to_string();
        assert!(error.contains("neither a list of strings"), "{error}");
    }
}
