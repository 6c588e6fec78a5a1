//! Results of protocols and ensembles.

use std::path::PathBuf;

use resnet::evaluate::{Protocol, Score};
use serde::{Serialize, Serializer};

use crate::photos::json_name;

/// Results in addition to those of single views (`resnet eval --json`).
#[derive(Debug, Default, Serialize)]
pub(crate) struct MoreResults {
    /// Those of the protocols, of the first model.
    #[serde(flatten)]
    pub(crate) views: ViewScores,
    /// All results of each model of an ensemble, the first one included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) models: Vec<Scores>,
    /// The results of the mean probabilities of all models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ensemble: Option<Scores>,
}

impl MoreResults {
    pub(crate) fn is_empty(&self) -> bool {
        let ViewScores { ten_crop, scales } = &self.views;
        ten_crop.is_none() && scales.is_none() && self.models.is_empty()
    }
}

/// Results of a model or an ensemble.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Scores {
    /// The model; none for an ensemble.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "in_json")]
    pub(crate) model: Option<PathBuf>,
    /// How many of the photos it was trained on, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trained_on: Option<usize>,
    /// Of the centre crop, or of the image as it is.
    pub(crate) single_view: Timed,
    #[serde(flatten)]
    pub(crate) views: ViewScores,
}

fn in_json<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref().map(json_name).serialize(serializer)
}

/// Results of protocols.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ViewScores {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ten_crop: Option<Timed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scales: Option<ScalesScore>,
}

/// A result of several scales.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ScalesScore {
    /// Lengths of the shorter side, pixels.
    pub(crate) sides: Vec<usize>,
    #[serde(flatten)]
    pub(crate) score: Timed,
}

/// A result and its time, seconds; that of an ensemble is the time of its models.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Timed {
    #[serde(flatten)]
    pub(crate) score: Score,
    pub(crate) seconds: f64,
}

impl ViewScores {
    pub(super) fn set(&mut self, protocol: &Protocol, score: Timed) {
        match protocol {
            Protocol::TenCrop => self.ten_crop = Some(score),
            Protocol::Scales(sides) => {
                self.scales = Some(ScalesScore { sides: sides.clone(), score });
            }
        }
    }
}
