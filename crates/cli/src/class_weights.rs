//! `--class-weights FILE`: the weights of the classes from a file.

use std::{collections::HashMap, path::Path};

use anyhow::{Context, bail};
use csv::ReaderBuilder;
use resnet_formats::{Shown, brief, read_text};

/// Far more than any list of classes needs.
const MAX_BYTES: u64 = 16 << 20;

/// Reads a weight for each of these classes, in their order: from a JSON object, or from CSV or TSV, whose lines
/// have a name and a number.
pub(crate) fn read(path: &Path, classes: &[String]) -> anyhow::Result<Vec<f32>> {
    let text = read_text(path, MAX_BYTES)
        .with_context(|| format!("{} cannot be read (--class-weights)", path.shown()))?;
    weights(&text, classes).with_context(|| format!("{} (--class-weights)", path.shown()))
}

fn weights(text: &str, classes: &[String]) -> anyhow::Result<Vec<f32>> {
    let mut by_name = parse(text.trim_start_matches('\u{feff}'))?;
    let take = |class: &String| {
        let weight = by_name.remove(class);
        let weight =
            weight.with_context(|| format!("there is no weight for '{}'", brief(class)))?;
        if !(weight.is_finite() && weight > 0.0) {
            bail!("the weight of '{}' is {weight}: it must be above 0, and finite", brief(class));
        }
        Ok(weight)
    };
    let weights = classes.iter().map(take).collect::<anyhow::Result<_>>()?;
    if let Some(other) = by_name.keys().min() {
        bail!("'{}' is not a class of the data", brief(other));
    }
    Ok(weights)
}

fn parse(text: &str) -> anyhow::Result<HashMap<String, f32>> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).context("expected a JSON object of names and numbers");
    }
    let filled = |(_, line): &(usize, &str)| !line.trim().is_empty();
    let mut lines = text.lines().enumerate().filter(filled).peekable();
    let Some(&(start, first)) = lines.peek() else { return Ok(HashMap::new()) };
    // As in a table of labels.
    let delimiters = [("\t", "tab"), (",", "comma"), (";", "semicolon")];
    let found = delimiters.into_iter().find(|(delimiter, _)| first.contains(*delimiter));
    let (delimiter, its_name) = found.unwrap_or((",", "comma"));
    let mut weights = HashMap::new();
    for (index, line) in lines {
        let expected = || {
            let line = index + 1;
            format!("line {line}: expected a class and a number, with a {its_name} between them")
        };
        let mut csv = ReaderBuilder::new();
        csv.has_headers(false).delimiter(delimiter.as_bytes()[0]);
        let mut records = csv.from_reader(line.as_bytes()).into_records();
        let record = records.next().with_context(expected)?.with_context(expected)?;
        let fields: Vec<&str> = record.iter().collect();
        let (weight, name) = fields.split_last().with_context(expected)?;
        if index == start && ["weight", "weights"].contains(&&*weight.trim().to_lowercase()) {
            continue;
        }
        let weight = weight.trim().parse::<f32>().with_context(expected)?;
        if name.is_empty() {
            bail!(expected());
        }
        // A name with commas need not be quoted.
        let name = name.join(delimiter).trim().to_owned();
        if weights.insert(name, weight).is_some() {
            bail!("line {}: this class has a weight already", index + 1);
        }
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_gives_the_same_weights() {
        let classes = ["cat", "dog, wet", "elk"].map(str::to_owned);
        for text in [
            "cat,1\ndog, wet,2.5\nelk,0.25\n",
            "\u{feff}elk\t0.25\r\n\r\n\"dog, wet\"\t2.5\r\ncat\t1",
            r#"{"cat": 1, "dog, wet": 2.5, "elk": 0.25}"#,
            "Class,Weight\nelk,0.25\n\"dog, wet\",2.5\ncat,1",
            "\n\nclass\tweight\ncat\t1\ndog, wet\t2.5\nelk\t0.25\n",
        ] {
            assert_eq!(weights(text, &classes).unwrap(), [1.0, 2.5, 0.25], "{text}");
        }
        let quoted = ["#hash \"q\"".to_owned()];
        for text in ["#hash \"q\",2", "\"#hash \"\"q\"\"\",2", "class;weight\n#hash \"q\";2"] {
            assert_eq!(weights(text, &quoted).unwrap(), [2.0], "{text}");
        }
        for (text, complaint) in [
            ("cat,1\nelk,1", "no weight for 'dog, wet'"),
            ("cat,1\ndog, wet,2\nelk,0", "the weight of 'elk' is 0"),
            ("cat,1\ndog, wet,2\nelk,1\nfox,1", "'fox' is not a class"),
            ("cat,1\ncat,2", "line 2: this class"),
            ("cat,1\ndog", "line 2: expected"),
            ("cat,one", "line 1: expected"),
            ("1", "line 1: expected"),
            ("\ncat;1\ndog", "line 3: expected a class and a number, with a semicolon"),
            ("{\"cat\": \"x\"}", "JSON object"),
        ] {
            let error = format!("{:#}", weights(text, &classes).unwrap_err());
            assert!(error.contains(complaint), "{error}");
        }
    }
}
