//! Requests of inference.

use axum::http::HeaderMap;
use resnet::preprocess::Preparation;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{
    INPUT, JSON_LENGTH, OUTPUT,
    tensor::{Datatype, Shape},
};
use crate::{problem::Problem, request::first, served::Prepared};

/// Characters of an id, at most: it is held while images are computed.
const ID: usize = 256;

/// A request of inference.
#[derive(Debug)]
pub(super) struct Inference {
    /// Is repeated in the answer.
    pub(super) id: Option<String>,
    pub(super) images: Vec<Prepared>,
    /// Whether the logits are wanted as bytes behind the JSON.
    pub(super) binary: bool,
}

#[derive(Deserialize)]
struct Json<'a> {
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow)]
    inputs: &'a RawValue,
    #[serde(borrow)]
    outputs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Input<'a> {
    name: String,
    #[serde(borrow)]
    shape: &'a RawValue,
    datatype: String,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
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
    classification: Option<IgnoredAny>,
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
        let json: Json<'_> = serde_json::from_slice(text).map_err(wrong)?;
        if json.id.as_ref().is_some_and(|id| id.chars().count() > ID) {
            return Err(Problem::invalid(format!("the id has more than {ID} characters")));
        }
        let (mut inputs, count) = first::<Input<'_>>(json.inputs, 1).map_err(wrong)?;
        let Some(input) = inputs.pop().filter(|_| count == 1) else {
            return Err(Problem::invalid(format!("expected one input, {INPUT}")));
        };
        let datatype = Datatype::new(&input.datatype).filter(|_| input.name == INPUT);
        let datatype = datatype.ok_or_else(|| {
            Problem::invalid(format!("expected the input {INPUT} of datatype FP32 or UINT8"))
        })?;
        let binary_output = match json.outputs {
            Some(outputs) => of_output(outputs)?,
            None => None,
        };
        // One number more than a shape has is enough to refuse it.
        let (shape, _) = first::<u64>(input.shape, 5).map_err(wrong)?;
        let shape = Shape::new(&shape, preparation, most)?;
        let images = match (input.parameters.binary_data_size, input.data) {
            (Some(size), None) if size == binary.len() => datatype.of_bytes(binary, shape),
            (None, Some(data)) if binary.is_empty() => datatype.of_json(data, shape),
            _ => {
                let detail = "expected the values of the input in data, or behind the JSON with \
                              their length in binary_data_size";
                Err(Problem::invalid(detail))
            }
        }?;
        let binary = binary_output.or(json.parameters.binary_data_output).unwrap_or(false);
        Ok(Inference { id: json.id, images, binary })
    }
}

fn wrong(error: serde_json::Error) -> Problem {
    Problem::invalid(format!("not a request of inference: {error}"))
}

/// Whether the output is to be binary, if it says so.
fn of_output(outputs: &RawValue) -> Result<Option<bool>, Problem> {
    let (outputs, count) = first::<Output>(outputs, 1).map_err(wrong)?;
    match outputs.first() {
        None => Ok(None),
        Some(Output { name, parameters })
            if count == 1 && name == OUTPUT && parameters.classification.is_none() =>
        {
            Ok(parameters.binary_data)
        }
        Some(_) => {
            let detail = format!("expected one output, {OUTPUT}, without a classification");
            Err(Problem::invalid(detail))
        }
    }
}

/// The JSON of a body, and the bytes behind it.
fn split<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Problem> {
    let Some(length) = headers.get(JSON_LENGTH) else { return Ok((body, &[])) };
    let length = length.to_str().ok().and_then(|text| text.parse().ok());
    let parts = length.and_then(|length| body.split_at_checked(length));
    parts.ok_or_else(|| Problem::invalid(format!("{JSON_LENGTH} is not a length within the body")))
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
        let values = Prepared::Values(vec![1.0, -2.0, 0.5, 1000.0]);
        for request in [read(&flat, &[]), read(&nested, &[]), read(&binary, &bytes)] {
            let Inference { id, images, binary } = request.unwrap();
            assert_eq!((id.as_deref(), binary), (Some("7"), false));
            assert_eq!(images, std::slice::from_ref(&values));
        }
        let two = flat.replace("[1, 1,", "[2, 1,").replace("[1, -2", "[1, 1, 1, 1, 1, -2");
        assert_eq!(read(&two, &[]).unwrap().images[1], values);
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
        assert_eq!(request(r#", "outputs": []"#), Some(false));
        assert_eq!(request(r#", "outputs": [{"name": "other"}]"#), None);
        assert_eq!(request(r#", "outputs": [{"name": "logits"}, {"name": "logits"}]"#), None);
        let classes = r#""outputs": [{"name": "logits", "parameters": {"classification": 3}}]"#;
        assert_eq!(request(&format!(", {classes}")), None);
    }

    #[test]
    fn other_requests_are_refused() {
        let good = format!(r#"{{"inputs": [{{{SHAPE}, "data": [1, 2, 3, 4]}}]}}"#);
        assert!(read(&good, &[]).is_ok());
        for (from, to, status) in [
            ("FP32", "INT64", 400),
            ("\"input\"", "\"x\"", 400),
            ("[1, 1, 2, 2]", "[1, 2, 2, 1]", 400),
            ("[1, 1, 2, 2]", "[0, 1, 2, 2]", 400),
            ("[1, 1, 2, 2]", "[1, 1, 2]", 400),
            ("[1, 1, 2, 2]", "[1, 1, 2, 2, 1]", 400),
            ("[1, 1, 2, 2]", "[18446744073709551615, 1, 2, 2]", 413),
            ("[1, 1, 2, 2]", "[3, 1, 2, 2]", 413),
            ("[1, 1, 2, 2]", "[-1, 1, 2, 2]", 400),
            ("[1, 2, 3, 4]", "[1, 2, 3]", 400),
            ("[1, 2, 3, 4]", "[1, 2, 3, 4, 5]", 400),
            ("[1, 2, 3, 4]", "[1, 2, 3, \"4\"]", 400),
            ("[1, 2, 3, 4]", "7", 400),
            (", \"data\": [1, 2, 3, 4]", "", 400),
            ("[1, 2, 3, 4]}", "[1, 2, 3, 4]}, {}", 400),
            ("[1, 2, 3, 4]}", "[1, 2, 3, 4]}, 1", 400),
            ("inputs", "input", 400),
        ] {
            let wrong = good.replacen(from, to, 1);
            assert_ne!(wrong, good);
            assert_eq!(read(&wrong, &[]).unwrap_err().status, status, "{wrong}");
        }
        let with_id = |len| good.replacen('{', &format!(r#"{{"id": "{}", "#, "é".repeat(len)), 1);
        assert_eq!(read(&with_id(ID), &[]).unwrap().id, Some("é".repeat(ID)));
        assert_eq!(read(&with_id(ID + 1), &[]).unwrap_err().status, 400);
        assert!(read(&good, b"1234").is_err(), "bytes that no input takes");
        let mut headers = HeaderMap::new();
        headers.insert(JSON_LENGTH, 9999.into());
        let preparation = Preparation::new(2, None, 1);
        assert!(Inference::read(&headers, good.as_bytes(), preparation, 2).is_err());
    }
}
