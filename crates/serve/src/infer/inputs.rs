//! Requests of inference.

use std::fmt;

use axum::http::{HeaderMap, StatusCode};
use resnet::preprocess::Preparation;
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{DATATYPE, INPUT, JSON_LENGTH, OUTPUT};
use crate::problem::Problem;

/// A request of inference.
#[derive(Debug)]
pub(super) struct Inference {
    /// Is repeated in the answer.
    pub(super) id: Option<String>,
    /// Of each image, `[channels][height][width]`.
    pub(super) images: Vec<Vec<f32>>,
    /// Whether the logits are wanted as bytes behind the JSON.
    pub(super) binary: bool,
}

#[derive(Deserialize)]
struct Json {
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    #[serde(default)]
    parameters: Parameters,
    data: Option<Numbers>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Parameters,
}

/// Parameters of a request, an input or an output; others mean nothing here.
#[derive(Default, Deserialize)]
struct Parameters {
    /// Of an input: its length behind the JSON.
    binary_data_size: Option<usize>,
    /// Of an output.
    binary_data: Option<bool>,
    /// Of a request: of outputs that do not say.
    binary_data_output: Option<bool>,
    /// Of an output: how many classes, an extension that is not here.
    classification: Option<Value>,
}

/// Numbers in row-major order, in one list or in lists of lists.
struct Numbers(Vec<f32>);

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut numbers = Vec::new();
        deserializer.deserialize_seq(Append(&mut numbers))?;
        Ok(Numbers(numbers))
    }
}

/// Appends the numbers of a list, and those of the lists in it.
struct Append<'a>(&'a mut Vec<f32>);

impl<'de> Visitor<'de> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, in lists")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Append(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.0.push(number as f32);
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.0.push(number as f32);
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.0.push(number as f32);
        Ok(())
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Inference {
    /// Reads a request for a network that takes images so prepared, at most `most` of them.
    pub(super) fn read(
        headers: &HeaderMap,
        body: &[u8],
        preparation: Preparation,
        most: usize,
    ) -> Result<Inference, Problem> {
        let (text, binary) = split(headers, body)?;
        let json: Json = serde_json::from_slice(text)
            .map_err(|error| Problem::invalid(format!("not a request of inference: {error}")))?;
        let Ok([input]) = <[Input; 1]>::try_from(json.inputs) else {
            return Err(Problem::invalid(format!("expected one input, {INPUT}")));
        };
        if input.name != INPUT || input.datatype != DATATYPE {
            return Err(Problem::invalid(format!(
                "expected the input {INPUT} of datatype {DATATYPE}"
            )));
        }
        let binary_output = match &json.outputs[..] {
            [] => None,
            [output] if output.name == OUTPUT && output.parameters.classification.is_none() => {
                output.parameters.binary_data
            }
            _ => {
                let detail = format!("expected one output, {OUTPUT}, without a classification");
                return Err(Problem::invalid(detail));
            }
        };
        let images = images(&input.shape, preparation, most)?;
        let len = preparation.image_len();
        let values = values(input, binary, images * len)?;
        Ok(Inference {
            id: json.id,
            images: values.chunks_exact(len).map(<[f32]>::to_vec).collect(),
            binary: binary_output.or(json.parameters.binary_data_output).unwrap_or(false),
        })
    }
}

/// The JSON of a body, and the bytes behind it.
fn split<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Problem> {
    let Some(length) = headers.get(JSON_LENGTH) else { return Ok((body, &[])) };
    let length = length.to_str().ok().and_then(|text| text.parse().ok());
    let parts = length.and_then(|length| body.split_at_checked(length));
    parts.ok_or_else(|| Problem::invalid(format!("{JSON_LENGTH} is not a length within the body")))
}

/// The number of images that a shape states.
fn images(shape: &[u64], preparation: Preparation, most: usize) -> Result<usize, Problem> {
    let Preparation { image_size: side, channels, .. } = preparation;
    let image = [channels, side, side].map(|n| n as u64);
    match shape {
        &[images, ref rest @ ..] if images > 0 && *rest == image => {
            if images > most as u64 {
                let detail = format!(
                    "{images} images are more than the limit of {most}: send fewer at once"
                );
                return Err(Problem::too_large("too_many_images", detail));
            }
            Ok(images as usize)
        }
        _ => Err(Problem::invalid(format!(
            "expected the shape [images, {channels}, {side}, {side}] for {INPUT}"
        ))),
    }
}

/// The values of an input.
fn values(input: Input, binary: &[u8], count: usize) -> Result<Vec<f32>, Problem> {
    let values = match (input.parameters.binary_data_size, input.data) {
        (Some(size), None) if size == binary.len() && size.is_multiple_of(4) => {
            binary.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
        }
        (None, Some(Numbers(values))) if binary.is_empty() => values,
        _ => {
            let detail = "expected the values of the input in data, or behind the JSON with their \
                          length in binary_data_size";
            return Err(Problem::invalid(detail));
        }
    };
    match values.len() {
        len if len == count => Ok(values),
        len => {
            let detail = format!("{INPUT} has {len} values, but its shape states {count}");
            Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_request", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, binary: &[u8]) -> Result<Inference, Problem> {
        let mut headers = HeaderMap::new();
        if !binary.is_empty() {
            headers.insert(JSON_LENGTH, json.len().into());
        }
        let body = [json.as_bytes(), binary].concat();
        Inference::read(&headers, &body, Preparation::new(2, None, 1), 2)
    }

    const SHAPE: &str = r#""name": "input", "shape": [1, 1, 2, 2], "datatype": "FP32""#;

    #[test]
    fn data_may_be_flat_nested_or_binary() {
        let flat = format!(r#"{{"id": "7", "inputs": [{{{SHAPE}, "data": [1, -2, 0.5, 1e3]}}]}}"#);
        let nested = flat.replace("[1, -2, 0.5, 1e3]", "[[[[1, -2], [0.5, 1e3]]]]");
        let size = r#""parameters": {"binary_data_size": 16}"#;
        let binary = flat.replace(r#""data": [1, -2, 0.5, 1e3]"#, size);
        let bytes: Vec<u8> =
            [1f32, -2.0, 0.5, 1e3].into_iter().flat_map(f32::to_le_bytes).collect();
        for request in [read(&flat, &[]), read(&nested, &[]), read(&binary, &bytes)] {
            let Inference { id, images, binary } = request.unwrap();
            assert_eq!((id.as_deref(), binary), (Some("7"), false));
            assert_eq!(images, [[1.0, -2.0, 0.5, 1000.0]]);
        }
        let two = flat.replace("[1, 1,", "[2, 1,").replace("[1, -2", "[1, 1, 1, 1, 1, -2");
        assert_eq!(read(&two, &[]).unwrap().images[1], [1.0, -2.0, 0.5, 1000.0]);
    }

    #[test]
    fn an_output_says_whether_it_is_binary_before_the_request_does() {
        let request = |more: &str| {
            let json = format!(r#"{{"inputs": [{{{SHAPE}, "data": [1, 2, 3, 4]}}]{more}}}"#);
            read(&json, &[]).map(|inference| inference.binary).ok()
        };
        assert_eq!(request(r#", "parameters": {"binary_data_output": true}"#), Some(true));
        let output = r#", "outputs": [{"name": "logits", "parameters": {"binary_data": true}}]"#;
        assert_eq!(request(output), Some(true));
        let both = r#", "parameters": {"binary_data_output": true}"#.to_owned();
        assert_eq!(request(&(both + &output.replace("true", "false"))), Some(false));
        assert_eq!(request(r#", "outputs": [{"name": "other"}]"#), None);
        let classes = r#""outputs": [{"name": "logits", "parameters": {"classification": 3}}]"#;
        assert_eq!(request(&format!(", {classes}")), None);
    }

    #[test]
    fn other_requests_are_refused() {
        let good = format!(r#"{{"inputs": [{{{SHAPE}, "data": [1, 2, 3, 4]}}]}}"#);
        assert!(read(&good, &[]).is_ok());
        for (from, to, status) in [
            ("FP32", "UINT8", 400),
            ("\"input\"", "\"x\"", 400),
            ("[1, 1, 2, 2]", "[1, 2, 2, 1]", 400),
            ("[1, 1, 2, 2]", "[0, 1, 2, 2]", 400),
            ("[1, 1, 2, 2]", "[1, 1, 2]", 400),
            ("[1, 1, 2, 2]", "[18446744073709551615, 1, 2, 2]", 413),
            ("[1, 1, 2, 2]", "[3, 1, 2, 2]", 413),
            ("[1, 1, 2, 2]", "[-1, 1, 2, 2]", 400),
            ("[1, 2, 3, 4]", "[1, 2, 3]", 400),
            ("[1, 2, 3, 4]", "[1, 2, 3, \"4\"]", 400),
            ("[1, 2, 3, 4]", "7", 400),
            (", \"data\": [1, 2, 3, 4]", "", 400),
            ("inputs", "input", 400),
        ] {
            let wrong = good.replacen(from, to, 1);
            assert_ne!(wrong, good);
            assert_eq!(read(&wrong, &[]).unwrap_err().status, status, "{wrong}");
        }
        assert!(read(&good, b"1234").is_err(), "bytes that no input takes");
        let mut headers = HeaderMap::new();
        headers.insert(JSON_LENGTH, 9999.into());
        let preparation = Preparation::new(2, None, 1);
        assert!(Inference::read(&headers, good.as_bytes(), preparation, 2).is_err());
    }
}
