//! The parts of a form (`multipart/form-data`, RFC 7578) that is in memory.

use axum::body::Bytes;

/// The contents of the first parts of a form, at most `most`, and how many parts it has; those that are empty
/// are left out. None if the form is damaged.
pub(super) fn parts(body: &Bytes, content_type: &str, most: usize) -> Option<(Vec<Bytes>, usize)> {
    let delimiter = [b"--", boundary(content_type)?.as_bytes()].concat();
    let (mut parts, mut count) = (Vec::new(), 0);
    // Text before the first delimiter is ignored.
    let mut at = find(body, &delimiter, 0)? + delimiter.len();
    let delimiter = [b"\r\n", &*delimiter].concat();
    loop {
        // The last delimiter is followed by two dashes, the others by the end of a line.
        match body.get(at..at + 2)? {
            b"--" => return Some((parts, count)),
            b"\r\n" => {}
            _ => return None,
        }
        // Without headers the empty line follows at once.
        let start = find(body, b"\r\n\r\n", at)? + 4;
        let end = find(body, &delimiter, start.saturating_sub(2))?;
        if end > start {
            count += 1;
            if parts.len() < most {
                parts.push(body.slice(start..end));
            }
        }
        at = end + delimiter.len();
    }
}

/// The boundary that a content type states, as it is or in quotes.
fn boundary(content_type: &str) -> Option<&str> {
    let is_boundary = |parameter: &str| parameter.trim().eq_ignore_ascii_case("boundary");
    let value = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        is_boundary(name).then_some(value.trim())
    })?;
    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    // RFC 2046 allows 70 characters.
    (1..=70).contains(&value.len()).then_some(value)
}

/// Where `what` is in `bytes`, from `start` on.
fn find(bytes: &[u8], what: &[u8], start: usize) -> Option<usize> {
    let (first, rest) = what.split_first()?;
    let mut at = start;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| byte == first)?;
        if bytes[at + 1..].starts_with(rest) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(body: &str) -> Option<(Vec<Bytes>, usize)> {
        let body = Bytes::from(body.replace('\n', "\r\n"));
        parts(&body, "multipart/form-data; charset=x; Boundary=\"b-1\"", 2)
    }

    #[test]
    fn parts_are_found_between_the_delimiters() {
        let head = "Content-Disposition: form-data; name=\"a\"; filename=\"x\"";
        let two = format!("before\n--b-1\n{head}\n\none\n--b-\n--b-1\n\ntwo--b-1\n--b-1--\n");
        let (parts_of_two, count) = form(&two).unwrap();
        assert_eq!((parts_of_two, count), (vec!["one\r\n--b-".into(), "two--b-1".into()], 2));
        assert_eq!(form("--b-1--").unwrap().1, 0);
        assert_eq!(form(&format!("--b-1\n{head}\n\n\n--b-1--")).unwrap().1, 0);
        let three = format!("{0}{0}{0}--b-1--", "--b-1\n\nx\n");
        assert_eq!(form(&three).unwrap(), (vec!["x".into(); 2], 3));
        for damaged in ["", "--b-1", "--b-1\n", "--b-1\n\none", "--b-1\n\none\n--b-1", "--b-1x\n"] {
            assert_eq!(form(damaged), None, "{damaged}");
        }
        assert_eq!(parts(&Bytes::new(), "multipart/form-data", 1), None);
    }
}
