//! The photos of a request, whatever form it has.

use std::{borrow::Cow, num::NonZeroUsize, sync::Arc};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::{body::media_type, list::first, multipart, options::Options};
use crate::{blocking::blocking, held::Held, problem::Problem};

/// Base64 with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The photos of a request, and its options.
#[derive(Debug)]
pub(crate) struct Photos {
    pub(crate) files: Vec<Bytes>,
    pub(crate) options: Options,
}

/// A body of JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Json<'a> {
    #[serde(borrow)]
    image: Option<Text<'a>>,
    #[serde(borrow)]
    images: Option<&'a RawValue>,
    top_k: Option<NonZeroUsize>,
    probabilities: Option<bool>,
    heat_map: Option<bool>,
}

/// A text that is part of the body, unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Finds the photos of a body, at most `most`, and what is asked about them. Options in JSON go before those
/// of the query. Photos that are not parts of the body take their share of `memory`, which has a permit for
/// each KiB.
pub(crate) fn photos(
    headers: &HeaderMap,
    query: Option<&str>,
    body: &Bytes,
    most: usize,
    memory: &Arc<Semaphore>,
) -> Result<Photos, Problem> {
    let options = Options::of_query(query)?;
    let photos = match &*media_type(headers) {
        "application/json" => blocking(body.len(), || of_json(body, options, most, memory))?,
        "multipart/form-data" => {
            let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let kind = kind.unwrap_or_default();
            let parts = blocking(body.len(), || multipart::parts(body, kind, most));
            let (files, count) = parts.ok_or_else(|| Problem::invalid("the form is damaged"))?;
            check_count(count, most)?;
            Photos { files, options }
        }
        // The format of an image is detected from its content. curl calls any body a form.
        kind if kind.starts_with("image/")
            || ["", "application/octet-stream", "application/x-www-form-urlencoded"]
                .contains(&kind) =>
        {
            let files = if body.is_empty() { Vec::new() } else { vec![body.clone()] };
            Photos { files, options }
        }
        _ => {
            let detail = "expected an image, a form with images (multipart/form-data), or JSON \
                          with images in base64 (application/json)";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "media_type", detail));
        }
    };
    match photos.files.is_empty() {
        true => Err(Problem::invalid("there is no image in the request")),
        false => Ok(photos),
    }
}

/// Checks that a request has not more images than it may.
pub(crate) fn check_count(images: usize, most: usize) -> Result<(), Problem> {
    if images <= most {
        return Ok(());
    }
    let detail = format!("{images} images are more than the limit of {most}: send fewer at once");
    Err(Problem::too_large("too_many_images", detail))
}

fn of_json(
    body: &[u8],
    query: Options,
    most: usize,
    memory: &Arc<Semaphore>,
) -> Result<Photos, Problem> {
    let wrong = |error| {
        let detail = "expected {\"images\": [\"...\"]} with images in base64";
        Problem::invalid(format!("{detail}: {error}"))
    };
    let json: Json<'_> = serde_json::from_slice(body).map_err(wrong)?;
    let Json { image, images, top_k, probabilities, heat_map } = json;
    let (images, count) = match images {
        Some(images) => first::<Text<'_>>(images, most).map_err(wrong)?,
        None => (Vec::new(), 0),
    };
    check_count(count + usize::from(image.is_some()), most)?;
    let texts = image.iter().chain(&images);
    let decode = |(index, Text(text)): (usize, &Text<'_>)| {
        let data = text.strip_prefix("data:").and_then(|url| url.split_once(";base64,"));
        let data = data.map_or(&**text, |(_, data)| data);
        // MIME and the tool `base64` break lines.
        let data = match data.contains(|c: char| c.is_ascii_whitespace()) {
            true => Cow::Owned(data.split_ascii_whitespace().collect()),
            false => Cow::Borrowed(data),
        };
        let decoded = BASE64
            .decode(&*data)
            .map_err(|error| Problem::invalid(format!("image {index} is not base64: {error}")))?;
        Held::of(decoded, memory).map(Held::freeze)
    };
    let files = texts.enumerate().map(decode).collect::<Result<Vec<_>, _>>()?;
    let options = Options { top_k: top_k.map(NonZeroUsize::get), probabilities, heat_map };
    Ok(Photos { files, options: options.or(query) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &'static str, body: &'static str) -> Result<Photos, Problem> {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        }
        let memory = Arc::new(Semaphore::new(2));
        photos(&headers, Some("top_k=2&heat_map=1"), &Bytes::from(body), 2, &memory)
    }

    #[test]
    fn decoded_photos_take_memory_until_they_are_dropped() {
        let (query, memory) = (Options::default(), Arc::new(Semaphore::new(4)));
        let two = format!(r#"{{"images": ["{0}", "{0}"]}}"#, BASE64.encode([0; 1500]));
        let held = of_json(two.as_bytes(), query, 2, &memory).unwrap();
        assert_eq!(memory.available_permits(), 0);
        let refused = of_json(br#"{"image": "YQ"}"#, query, 2, &memory).unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.code), (429, "bodies_full"));
        drop(held);
        assert_eq!(memory.available_permits(), 4);
    }

    #[test]
    fn every_form_gives_the_same_photos() {
        let form = "--x\r\nContent-Type: image/png\r\n\r\nab\r\n--x--";
        for (kind, body) in [
            ("image/jpeg", "ab"),
            ("", "ab"),
            ("Application/Octet-Stream", "ab"),
            ("application/x-www-form-urlencoded", "ab"),
            ("multipart/form-data; boundary=x", form),
            ("application/json; charset=utf-8", r#"{"image": "YWI="}"#),
            ("application/json", r#"{"images": ["YWI"]}"#),
            ("application/json", r#"{"images": ["Y\r\nWI=\n"]}"#),
            ("application/json", r#"{"images": ["data:image/png;base64,YWI="]}"#),
        ] {
            let photos = of(kind, body).unwrap();
            assert_eq!(photos.files, [Bytes::from("ab")], "{kind}");
            assert_eq!(photos.options.top_k, Some(2));
        }
        let photos = of("application/json", r#"{"image": "YQ", "images": ["Yg"], "top_k": 3}"#);
        let photos = photos.unwrap();
        assert_eq!(photos.files, [Bytes::from("a"), Bytes::from("b")]);
        assert_eq!(photos.options.top_k, Some(3));
        assert_eq!(photos.options.heat_map, Some(true));
    }

    #[test]
    fn other_bodies_are_refused() {
        for (kind, body, status) in [
            ("text/html", "ab", 415),
            ("image/png", "", 400),
            ("application/json", "ab", 400),
            ("application/json", "{}", 400),
            ("application/json", r#"{"image": "?"}"#, 400),
            ("application/json", r#"{"image": ["YQ"]}"#, 400),
            ("application/json", r#"{"image": "YQ", "top_k": 0}"#, 400),
            ("application/json", r#"{"image": "YQ", "url": "x"}"#, 400),
            ("application/json", r#"{"images": ["YQ", "YQ", "YQ"]}"#, 413),
            ("multipart/form-data; boundary=x", "ab", 400),
            (
                "multipart/form-data; boundary=x",
                "--x\r\n\r\na\r\n--x\r\n\r\na\r\n--x\r\n\r\na\r\n--x--",
                413,
            ),
            ("multipart/form-data", "--x--", 400),
        ] {
            assert_eq!(of(kind, body).unwrap_err().status, status, "{kind} {body}");
        }
    }
}
