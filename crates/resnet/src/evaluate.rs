//! Evaluates a model: accuracy, loss and calibration on labelled images.
//!
//! [`evaluate`] takes a [`Model`] and [`Images`] and returns an [`Evaluation`].

use std::{io, time::Instant};

use resnet_formats::{Destination, npy};
use serde::Serialize;
use thiserror::Error;

use crate::{
    Cpu, Dtype,
    data::{
        Images, Normalisation,
        photo::{PhotoError, Preparation, prepare_images},
    },
    engine::{EvalPlan, Input, PlanError},
    graph::Graph,
    model_file::Model,
    predictions::{
        self, Calibration, ClassCounts, Confusion, Scores, balanced_accuracy, macro_average,
        percent, weighted_average,
    },
};

/// Images per batch.
pub(crate) const BATCH: usize = 128;

/// Accuracy and loss of a network on labelled images (`resnet eval --json`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Top-1 accuracy: images whose largest logit is the label's, percent.
    pub accuracy: f64,
    /// Top-5 accuracy: images whose label is among the five largest logits, percent.
    pub top5_accuracy: f64,
    /// Mean cross entropy per image (`torch.nn.functional.cross_entropy`).
    pub loss: f64,
    /// Expected calibration error, percent: see [`Calibration`].
    pub calibration_error: f64,
    /// Number of images.
    pub images: usize,
    /// Time of the evaluation, seconds.
    pub seconds: f64,
    /// Mean accuracy of the classes that have images, percent (scikit-learn's
    /// `balanced_accuracy_score`).
    pub balanced_accuracy: f64,
    /// Mean scores of all classes.
    #[serde(rename = "macro")]
    pub macro_average: Scores,
    /// Mean scores of the classes, weighted by their images.
    #[serde(rename = "weighted")]
    pub weighted_average: Scores,
    /// Accuracy and scores by class, in label order.
    pub per_class: Vec<ClassResult>,
    /// The confusion matrix: a row for each label, a column for each prediction.
    pub confusion: Confusion,
}

/// Accuracy and scores of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassResult {
    /// Name of the class.
    pub class: String,
    /// Images of the class.
    pub images: usize,
    /// Top-1 accuracy on these images, percent; 0 if there are none.
    pub accuracy: f64,
    /// Precision, recall and F1.
    #[serde(flatten)]
    pub scores: Scores,
}

/// Why a model cannot be evaluated on images.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The network does not fit the size of the images.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// There are no images.
    #[error("there are no images to evaluate on: give at least one")]
    NoImages,
    /// The images, the normalisation and the network have different numbers of channels.
    #[error(
        "the network takes {network} channels, the images have {images}, the normalisation \
         {normalisation}: use images with as many channels, and one mean and deviation per channel"
    )]
    Channels {
        /// Channels that the network takes.
        network: usize,
        /// Channels of the images.
        images: usize,
        /// Channels of the normalisation.
        normalisation: usize,
    },
    /// Resizing the images failed.
    #[error("an image {0}")]
    Resize(String),
    /// A label is not a class of the network.
    #[error(
        "an image has label {label}, but the network has {classes} classes: use the data that it was \
         trained on"
    )]
    Label {
        /// The label, from 0.
        label: u32,
        /// Classes of the network.
        classes: usize,
    },
}

/// Evaluates a model on images, in batches. `dtype` is the storage type of activations. With a
/// `preparation`, the images are resized and cropped first, as photos are. After each batch,
/// `progress` is called with the number of images done and the batch's logits `[images][classes]`.
///
/// ```
/// use resnet::{Cpu, Dtype, data::{LoadOptions, load}, evaluate::evaluate, model_file::Model};
///
/// let limits = LoadOptions { limit_train: Some(1), limit_test: Some(10), ..Default::default() };
/// let data = load("synthetic", &limits)?;
/// let (model, cpu) = (Model::demo(), Cpu::new(2)?);
/// let result =
///     evaluate(&model, Dtype::Fp32, &data.test, &data.normalisation, None, &cpu, &mut |_, _| {})?;
/// println!("{:.1}% of {} images", result.accuracy, result.images);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If there are no images, or they do not fit the network.
pub fn evaluate(
    model: &Model,
    dtype: Dtype,
    images: &Images,
    normalisation: &Normalisation,
    preparation: Option<Preparation>,
    cpu: &Cpu,
    progress: &mut dyn FnMut(usize, &[f32]),
) -> Result<Evaluation, EvaluateError> {
    let start = Instant::now();
    let graph = model.network.graph();
    check(graph, images, normalisation)?;
    let batch = BATCH.min(images.len());
    let (mut height, mut width) = (images.height, images.width);
    if let Some(preparation) = preparation {
        (height, width) = (preparation.image_size, preparation.image_size);
    }
    let mut plan = EvalPlan::micro_batched(batch, graph, dtype, batch, height, width, cpu)?;
    plan.load(&model.network);
    let mut accumulator = Accumulator::new(graph.classes());
    let mut done = 0;
    for (pixels, labels) in images.batches(plan.batch()) {
        let prepared;
        let pixels = match preparation {
            Some(preparation) => {
                prepared = prepare_images(images, pixels, preparation, cpu.threads())?;
                &prepared
            }
            None => pixels,
        };
        let logits = plan.forward(Input::Bytes(pixels, normalisation), labels.len());
        accumulator.add_batch(logits, labels);
        done += labels.len();
        progress(done, logits);
    }
    Ok(accumulator.evaluation(&model.class_names(), start.elapsed().as_secs_f64()))
}

/// Writes logits `[images][classes]` as a NumPy file, float32 `[images, classes]` (`np.load`).
///
/// # Errors
/// If the file cannot be written.
///
/// # Panics
/// If the number of logits is not a multiple of `classes`.
pub fn save_logits<'p>(
    destination: impl Into<Destination<'p>>,
    logits: &[f32],
    classes: usize,
) -> io::Result<()> {
    npy::write(destination, &[logits.len() / classes, classes], logits)
}

fn check(
    graph: &Graph,
    images: &Images,
    normalisation: &Normalisation,
) -> Result<(), EvaluateError> {
    if images.is_empty() {
        return Err(EvaluateError::NoImages);
    }
    let network = graph.in_channels();
    let Normalisation { mean, std } = normalisation;
    if [images.channels, mean.len(), std.len()] != [network; 3] {
        let (images, normalisation) = (images.channels, mean.len().min(std.len()));
        return Err(EvaluateError::Channels { network, images, normalisation });
    }
    let classes = graph.classes();
    match images.labels.iter().find(|&&label| label as usize >= classes) {
        Some(&label) => Err(EvaluateError::Label { label, classes }),
        None => Ok(()),
    }
}

/// Accumulates accuracy, loss and calibration over batches.
#[derive(Clone, Debug)]
pub(crate) struct Accumulator {
    loss: f64,
    top5: usize,
    classes: Vec<ClassCounts>,
    confusion: Confusion,
    calibration: Calibration,
}

impl From<PhotoError> for EvaluateError {
    fn from(error: PhotoError) -> Self {
        EvaluateError::Resize(error.to_string())
    }
}

impl Accumulator {
    pub(crate) fn new(classes: usize) -> Self {
        Accumulator {
            loss: 0.0,
            top5: 0,
            classes: vec![ClassCounts::default(); classes],
            confusion: Confusion::new(classes),
            calibration: Calibration::default(),
        }
    }

    /// Adds a batch, by its logits `[images][classes]`.
    pub(crate) fn add_batch(&mut self, logits: &[f32], labels: &[u32]) {
        for (logits, &label) in logits.chunks_exact(self.classes.len()).zip(labels) {
            self.add(logits, label as usize);
        }
    }

    /// Adds an image, by its logits.
    pub(crate) fn add(&mut self, logits: &[f32], label: usize) {
        let own = logits[label];
        // The label's rank: logits that are larger, or equal and of an earlier class. A NaN ranks
        // before all others.
        let comes_after = |i: usize, x: f32| x < own || (x == own && i >= label);
        let rank = logits.iter().enumerate().filter(|&(i, &x)| !comes_after(i, x)).count();
        let predicted = predictions::arg_max(logits);
        self.classes[label].images += 1;
        self.classes[label].correct += usize::from(rank == 0);
        self.classes[predicted].predicted += 1;
        self.confusion.add(label, predicted);
        self.top5 += usize::from(rank < 5);
        self.loss += cross_entropy(logits, label);
        self.calibration.add(predictions::confidence(logits), rank == 0);
    }

    pub(crate) fn images(&self) -> usize {
        self.classes.iter().map(|class| class.images).sum()
    }

    /// Mean cross entropy per image.
    pub(crate) fn loss(&self) -> f64 {
        self.loss / self.images().max(1) as f64
    }

    /// Percent.
    pub(crate) fn accuracy(&self) -> f64 {
        percent(self.classes.iter().map(|class| class.correct).sum(), self.images())
    }

    fn evaluation(&self, names: &[String], seconds: f64) -> Evaluation {
        let per_class = names.iter().zip(&self.classes);
        Evaluation {
            accuracy: self.accuracy(),
            top5_accuracy: percent(self.top5, self.images()),
            loss: self.loss(),
            calibration_error: self.calibration.error(),
            images: self.images(),
            seconds,
            balanced_accuracy: balanced_accuracy(&self.classes),
            macro_average: macro_average(&self.classes),
            weighted_average: weighted_average(&self.classes),
            per_class: per_class
                .map(|(class, counts)| ClassResult {
                    class: class.clone(),
                    images: counts.images,
                    accuracy: percent(counts.correct, counts.images),
                    scores: counts.scores(),
                })
                .collect(),
            confusion: self.confusion.clone(),
        }
    }
}

/// `torch.nn.functional.cross_entropy` of one image.
fn cross_entropy(logits: &[f32], label: usize) -> f64 {
    let logits = || logits.iter().map(|&x| f64::from(x));
    let max = logits().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits().map(|x| (x - max).exp()).sum();
    max + sum.ln() - logits().nth(label).expect("a label is below the number of classes")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[test]
    fn cross_entropy_is_pytorchs() {
        // F.cross_entropy(torch.tensor([[1., 2., 3.]], dtype=torch.float64), torch.tensor([0]))
        assert!((cross_entropy(&[1.0, 2.0, 3.0], 0) - 2.407_605_964_444_38).abs() < 1e-12);
        // Large logits do not overflow.
        assert_eq!(cross_entropy(&[0.0, 1e30], 1), 0.0);
        assert!(cross_entropy(&[0.0, f32::NAN], 0).is_nan());
    }

    #[test]
    fn counts_by_rank_and_class() {
        let mut accumulator = Accumulator::new(7);
        let logits = [0.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        for label in [1, 2, 5, 6, 6, 0] {
            accumulator.add(&logits, label);
        }
        let names: Vec<String> = (0..7).map(|i| format!("class {i}")).collect();
        let e = accumulator.evaluation(&names, 1.0);
        assert_eq!((e.images, e.accuracy), (6, 100.0 / 6.0));
        assert_eq!(e.top5_accuracy, 50.0);
        let expected: f64 = [1, 2, 5, 6, 6, 0].map(|l| cross_entropy(&logits, l)).iter().sum();
        assert!((e.loss - expected / 6.0).abs() < 1e-12);
        let class = |i: usize| (e.per_class[i].images, e.per_class[i].accuracy);
        assert_eq!((class(1), class(3), class(6)), ((1, 100.0), (0, 0.0), (2, 0.0)));
    }

    #[test]
    fn ties_rank_by_class_and_nan_is_never_correct() {
        let mut accumulator = Accumulator::new(3);
        accumulator.add(&[1.0, 1.0, 0.0], 0);
        accumulator.add(&[1.0, 1.0, 0.0], 1);
        accumulator.add(&[f32::NAN; 3], 0);
        let counts = |class: &ClassCounts| (class.images, class.predicted, class.correct);
        let counts: Vec<_> = accumulator.classes.iter().map(counts).collect();
        assert_eq!(counts, [(2, 3, 1), (1, 0, 0), (0, 0, 0)]);
        assert!(accumulator.loss().is_nan());
    }

    /// Asserts that `ours` has what is expected, with equal numbers.
    fn assert_contains(ours: &Value, expected: &Value) {
        match expected {
            Value::Object(map) => map.iter().for_each(|(key, x)| assert_contains(&ours[key], x)),
            Value::Array(list) => {
                assert_eq!(ours.as_array().map(Vec::len), Some(list.len()));
                list.iter().enumerate().for_each(|(i, x)| assert_contains(&ours[i], x));
            }
            number => {
                let (ours, expected) = (ours.as_f64().unwrap(), number.as_f64().unwrap());
                assert!((ours - expected).abs() < 1e-9, "{ours} for {expected}");
            }
        }
    }

    #[test]
    fn scores_are_scikit_learns() {
        #[derive(Deserialize)]
        struct Case {
            classes: usize,
            labels: Vec<usize>,
            predictions: Vec<usize>,
            expected: Value,
        }
        let file = include_str!("../tests/golden/scores.json");
        let file: Value = serde_json::from_str(file).unwrap();
        let cases: Vec<Case> = serde_json::from_value(file["cases"].clone()).unwrap();
        assert_eq!(cases.len(), 10);
        for Case { classes, labels, predictions, expected } in cases {
            let mut accumulator = Accumulator::new(classes);
            for (label, class) in labels.into_iter().zip(predictions) {
                let mut logits = vec![0.0; classes];
                logits[class] = 1.0;
                accumulator.add(&logits, label);
            }
            let names: Vec<String> = (0..classes).map(|i| format!("class {i}")).collect();
            let ours = serde_json::to_value(accumulator.evaluation(&names, 1.0)).unwrap();
            assert_contains(&ours, &expected);
        }
    }

    #[test]
    fn images_must_suit_the_network() {
        let graph = "resnet8".parse::<crate::Arch>().unwrap().graph(2);
        let images = |channels, labels: &[u32]| Images {
            height: 1,
            width: 1,
            channels,
            pixels: vec![0; channels * labels.len()],
            labels: labels.to_vec(),
        };
        let normalisation = |n| Normalisation { mean: vec![0.5; n], std: vec![0.25; n] };
        assert_eq!(check(&graph, &images(3, &[0, 1]), &normalisation(3)), Ok(()));
        let error = |images, n| check(&graph, &images, &normalisation(n)).unwrap_err().to_string();
        assert!(error(images(3, &[]), 3).contains("no images"));
        assert!(error(images(1, &[0]), 3).contains("3 channels, the images have 1"));
        assert!(error(images(3, &[0]), 1).contains("the normalisation 1"));
        assert!(error(images(3, &[0, 2]), 3).contains("label 2, but the network has 2"));
    }
}
