//! Names of files in output.

use std::path::Path;

use resnet_formats::{Shown, brief};

/// A name that leads back to the file: as it is, or as a word of Bash with escapes (`$'caf\xe9.png'`)
/// if it is not UTF-8 or has characters that are not `allowed`, or looks like such a word itself.
pub(crate) fn file_name(path: &Path, allowed: impl Fn(char) -> bool) -> String {
    if let Some(name) = path.to_str()
        && !name.starts_with("$'")
        && name.chars().all(&allowed)
    {
        return name.to_owned();
    }
    let mut word = "$'".to_owned();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '\'' => word.extend(['\\', c]),
                c if allowed(c) && !c.is_control() => word.push(c),
                c if c.is_ascii() => word += &format!("\\x{:02x}", u32::from(c)),
                c => word += &format!("\\U{:08x}", u32::from(c)),
            }
        }
        chunk.invalid().iter().for_each(|byte| word += &format!("\\x{byte:02x}"));
    }
    word + "'"
}

/// The path of a file or folder in JSON.
pub(crate) fn json_name(path: &Path) -> String {
    file_name(path, |_| true)
}

/// The name of a file in a table, shortened if long.
pub(crate) fn label(path: &Path) -> String {
    brief(&path.shown().to_string()).to_string()
}

/// A field of CSV (RFC 4180).
pub(crate) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use resnet_formats::is_printable;

    use super::*;

    #[test]
    fn csv_fields_are_quoted_if_needed() {
        assert_eq!(quoted("a b.jpg"), "a b.jpg");
        assert_eq!(quoted("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
    }

    #[test]
    #[cfg(unix)]
    fn file_names_lead_back_to_the_files() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        for (bytes, json, csv) in [
            ("a b/ä.png".as_bytes(), "a b/ä.png", "a b/ä.png"),
            (b"caf\xe9.png", r"$'caf\xe9.png'", r"$'caf\xe9.png'"),
            (b"caf\xe8.png", r"$'caf\xe8.png'", r"$'caf\xe8.png'"),
            (br"caf\xe9.png", r"caf\xe9.png", r"caf\xe9.png"),
            (br"$'caf\xe9.png'", r"$'$\'caf\\xe9.png\''", r"$'$\'caf\\xe9.png\''"),
            (b"a\x1b[31m\n.png", "a\u{1b}[31m\n.png", r"$'a\x1b[31m\x0a.png'"),
            ("a\u{202e}.png".as_bytes(), "a\u{202e}.png", r"$'a\U0000202e.png'"),
            (b"\xff\n", r"$'\xff\x0a'", r"$'\xff\x0a'"),
        ] {
            let path = Path::new(OsStr::from_bytes(bytes));
            assert_eq!((&*json_name(path), &*file_name(path, is_printable)), (json, csv));
        }
    }
}
