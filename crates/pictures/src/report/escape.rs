//! Text of strangers inside a page.

use resnet_formats::{brief, is_printable};
use serde::Serialize;

use crate::text::markup;

/// Text as HTML, inside an element or a quoted attribute. What is not printable is
/// replaced.
pub(super) fn text(text: &str) -> String {
    markup(text, |c| match c {
        '\n' | '\t' => c,
        c if !is_printable(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    })
}

/// A name of a stranger, cut where it is long, whose direction of writing stays inside it.
pub(super) fn name(name: &str) -> String {
    format!("<bdi>{}</bdi>", text(&brief(name).to_string()))
}

/// JSON that may stand in a `<script>`: nothing in it ends the element or opens a comment, and no
/// program takes a character in it for a line's end.
pub(super) fn json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("plain data is JSON");
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out
}

/// A template with `{{key}}` replaced, in one pass: what is put in is not looked at again.
///
/// # Panics
/// If the template has a key without a value.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut parts = template.split("{{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (key, rest) = part.split_once("}}").expect("an open key");
        let (_, value) = values.iter().find(|(k, _)| *k == key).expect("a value for each key");
        out.push_str(value);
        out.push_str(rest);
    }
    out
}
