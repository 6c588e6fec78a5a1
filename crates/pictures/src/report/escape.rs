//! Escapes untrusted text in a page.

use resnet_formats::{brief, is_printable};
use serde::Serialize;

use crate::text::markup;

/// Escapes text for HTML, inside an element or a quoted attribute. Unprintable characters are
/// replaced.
pub(super) fn text(text: &str) -> String {
    markup(text, |c| match c {
        '\n' | '\t' => c,
        c if !is_printable(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    })
}

/// Escapes an untrusted name, shortened if long, in an element that isolates its writing direction.
pub(super) fn name(name: &str) -> String {
    format!("<bdi>{}</bdi>", text(&brief(name).to_string()))
}

/// JSON that is safe in a `<script>`: it cannot end the element or open a comment, and it has no
/// unescaped line separators.
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

/// Replaces every `{{key}}` of a template in one pass: inserted values are not expanded again.
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
