//! `POST /v1/predict` and `/v1/models/{name}/predict`: classes of photos.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{Response, StatusCode},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use resnet::{
    data::photo::{PhotoError, Region},
    predictions::Predictions,
};
use resnet_pictures::HeatMap;
use serde::Serialize;

use super::answer;
use crate::{
    blocking::blocking,
    details::Details,
    problem::Problem,
    request::{Options, photos},
    served::Served,
    service::Service,
    work::{Answer, Failed, Image, Photo},
};

/// Classes of an answer, unless the request says how many.
const TOP: usize = 5;

#[derive(Serialize)]
struct Predicted<'a> {
    model: &'a str,
    predictions: Vec<Prediction<'a>>,
}

/// Of one image, in the order of the request.
#[derive(Serialize)]
#[serde(untagged)]
enum Prediction<'a> {
    Classes(Classes<'a>),
    Unreadable { error: String },
}

#[derive(Serialize)]
struct Classes<'a> {
    top: Vec<Candidate<'a>>,
    /// Of every class.
    #[serde(skip_serializing_if = "Option::is_none")]
    probabilities: Option<Vec<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heat_map: Option<Map>,
}

#[derive(Serialize)]
struct Candidate<'a> {
    /// The class's number.
    index: usize,
    class: &'a str,
    probability: f32,
}

#[derive(Serialize)]
struct Map {
    /// Number of the class that it is of: the predicted one.
    index: usize,
    /// A PNG in base64.
    png: String,
    /// Where it lies on the upright photo, in fractions of its sides.
    region: Place,
}

#[derive(Serialize)]
struct Place {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// By the first model.
pub(crate) async fn predict(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    run(&service, None, request).await
}

/// By a model of this name.
pub(crate) async fn predict_named(
    State(service): State<Arc<Service>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let Path(name) = name?;
    run(&service, Some(&name), request).await
}

async fn run(
    service: &Service,
    name: Option<&str>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    // An unknown model is refused at once. It is looked up again after the body: a slow upload keeps no replaced model in
    // memory.
    service.registry.get(name)?;
    let (parts, body) = service.read(request).await?;
    let model = service.registry.get(name)?;
    let (query, most) = (parts.uri.query(), service.settings.limits.images);
    let photos = photos(&parts.headers, query, &body, most, &service.bodies)?;
    // What it holds of the memory of bodies is now held by the photos.
    drop(body);
    let (options, heat_map) = (photos.options, photos.options.heat_map == Some(true));
    if heat_map && !model.has_heat_maps() {
        let detail = "the network has no heat maps: it does not end in a global pool and one \
                      linear layer";
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_heat_maps", detail);
        return Err(problem.with(Details::new(&model.name, photos.files.len())));
    }
    let images: Vec<_> =
        photos.files.into_iter().map(|file| Image::Photo(Photo { file, heat_map })).collect();
    let (answers, details) = service.compute(&model, images).await?;
    if let Some(problem) = unreadable(&model.name, &answers) {
        return Err(problem.with(details));
    }
    let bytes = bytes(model.predictor.classes().len(), answers.len(), options);
    let predicted = blocking(bytes, || {
        let several = answers.len() > 1;
        let predictions = answers.into_iter().enumerate().map(|(index, answer)| match answer {
            Ok(answer) => Prediction::Classes(classes(&model, answer, options)),
            Err(failed) => {
                Prediction::Unreadable { error: describe(&failed, several.then_some(index)) }
            }
        });
        let predicted = Predicted { model: &model.name, predictions: predictions.collect() };
        serde_json::to_vec(&predicted).expect("these types are always JSON")
    });
    let predicted = service.hold(predicted).map(|body| answer("application/json", body));
    Problem::with_details(predicted, details)
}

/// The error of a request without an answer for any image.
fn unreadable(model: &str, answers: &[Result<Answer, Failed>]) -> Option<Problem> {
    if answers.iter().any(Result::is_ok) {
        return None;
    }
    let failed = answers.first()?.as_ref().err()?;
    let detail = describe(failed, (answers.len() > 1).then_some(0));
    Some(match failed {
        Failed::Internal => Problem::internal(),
        Failed::Lost => Problem::gpu_lost(model),
        Failed::NotFinite => Problem::not_finite(),
        Failed::Photo(PhotoError::TooLarge { .. }) => Problem::too_large("too_many_pixels", detail),
        Failed::Photo(_) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unreadable_image", detail)
        }
    })
}

fn describe(failed: &Failed, index: Option<usize>) -> String {
    let which = index.map_or("the file".to_owned(), |index| format!("image {index}"));
    match failed {
        Failed::Photo(error) => format!("{which} {error}"),
        Failed::Internal => format!("{which} cannot be decoded"),
        Failed::Lost => format!("{which} was not computed: the GPU was lost"),
        Failed::NotFinite => format!("the network's output for {which} is NaN or infinite"),
    }
}

/// Bytes that are read and written to answer, about.
fn bytes(classes: usize, images: usize, options: Options) -> usize {
    // A heat map is made a PNG of.
    if options.heat_map == Some(true) {
        return usize::MAX;
    }
    // Of a logit, of a probability in JSON, and of one with its class.
    let each = 4 + if options.probabilities == Some(true) { 16 } else { 0 };
    images * (each * classes + 64 * options.top_k.unwrap_or(TOP).min(classes))
}

fn classes(model: &Served, answer: Answer, options: Options) -> Classes<'_> {
    let Answer { logits, map, region, .. } = answer;
    let names = model.predictor.classes();
    let predictions = Predictions::new(logits, names.len());
    let candidate =
        |(index, probability): (usize, f32)| Candidate { index, class: &names[index], probability };
    let top = predictions.top(0, options.top_k.unwrap_or(TOP)).into_iter().map(candidate);
    let heat_map = map.zip(region).map(|(map, Region { left, top, width, height })| {
        let map = HeatMap { rows: map.rows, columns: map.columns, values: map.values };
        let png = BASE64_STANDARD.encode(map.png());
        let region = Place { left, top, width, height };
        Map { index: predictions.class(0), png, region }
    });
    let probabilities = options.probabilities == Some(true);
    Classes {
        top: top.collect(),
        probabilities: probabilities.then(|| predictions.probabilities(0)),
        heat_map,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_answers_are_known_before_they_are_made() {
        let of = |top_k, probabilities, heat_map| {
            let options = Options { top_k, probabilities, heat_map };
            bytes(1000, 1, options)
        };
        let usual = of(None, None, Some(false));
        assert_eq!((usual, of(Some(2000), None, None)), (4320, 68_000));
        assert_eq!(of(None, Some(true), None), usual + 16_000);
        assert_eq!(of(None, None, Some(true)), usize::MAX);
    }

    #[test]
    fn a_request_that_meets_the_loss_of_the_gpu_may_be_sent_again() {
        let problem = unreadable("net", &[Err(Failed::Lost)]).unwrap();
        assert_eq!((problem.status.as_u16(), problem.code), (503, "gpu_lost"));
        assert!(problem.retry_after.is_some());
    }
}
