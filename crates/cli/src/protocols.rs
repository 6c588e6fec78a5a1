//! The paper's protocols of testing, and ensembles, for `eval`: ten crops, several scales, several models.

use std::{path::PathBuf, time::Instant};

use anyhow::Context;
use resnet::{
    Device, Dtype,
    data::{ImageSet, Normalisation, photo::Preparation},
    evaluate::{
        self, EvaluateOptions, Probabilities, Protocol, ProtocolImages, Score, class_order,
    },
    model_file::{LoadOptions, Model},
    predictions::Predictions,
};
use resnet_formats::Shown;
use serde::{Serialize, Serializer};

use crate::{
    args::{EvalArgs, Global, ResizingArgs},
    delayed_progress::DelayedProgress,
    device::Work,
    evaluation::{self, Evaluated},
    model,
    photos::json_name,
};

/// Results in addition to those of single views (`resnet eval --json`).
#[derive(Debug, Serialize)]
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

/// Results of a model or an ensemble.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Scores {
    /// The model; none for an ensemble.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "in_json")]
    pub(crate) model: Option<PathBuf>,
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

/// The protocols that the options ask for.
pub(crate) fn asked(args: &EvalArgs) -> Vec<Protocol> {
    let scales = Some(&args.scales).filter(|scales| !scales.is_empty());
    let ten_crop = args.ten_crop.then_some(Protocol::TenCrop);
    ten_crop.into_iter().chain(scales.cloned().map(Protocol::Scales)).collect()
}

/// Opens the other models of an ensemble.
pub(crate) fn open_others(args: &EvalArgs, global: &Global) -> anyhow::Result<Vec<Model>> {
    let open = |path: &PathBuf| {
        let mut model = model::open(path, &LoadOptions::default(), global)?;
        args.resizing.apply(&mut model).with_context(|| model.path.shown().to_string())?;
        Ok(model)
    };
    args.with.iter().map(open).collect()
}

/// What a model is evaluated on.
struct Member<'a> {
    model: &'a Model,
    images: ImageSet,
    normalisation: Normalisation,
    /// How images in memory are resized, if they are.
    preparation: Option<Preparation>,
    /// Where it has the classes of the first model.
    order: Vec<usize>,
}

/// Evaluates protocols and an ensemble on the images that the first model was evaluated on. None if there
/// is nothing to add to its evaluation.
pub(crate) fn run(
    evaluated: &Evaluated,
    others: &[Model],
    args: &EvalArgs,
    global: &Global,
) -> anyhow::Result<Option<MoreResults>> {
    let protocols = asked(args);
    if protocols.is_empty() && others.is_empty() {
        return Ok(None);
    }
    // The other models are checked before one of them is run.
    let of_photos = match &evaluated.images {
        ImageSet::Photos(photos) => Some(photos.preparation()),
        ImageSet::Memory(_) => None,
    };
    let first = Member {
        model: &evaluated.model,
        images: evaluated.images.clone(),
        normalisation: evaluated.normalisation.clone(),
        preparation: evaluated.preparation.or(of_photos),
        order: (0..evaluated.predictions.classes()).collect(),
    };
    let mut members = vec![first];
    for model in others {
        let member = Member::new(model, evaluated, args.resizing, global);
        let member = member.with_context(|| format!("cannot join {}", model.path.shown()))?;
        evaluation::check(&protocols, member.preparation(), &member.normalisation)
            .with_context(|| format!("cannot join {}", model.path.shown()))?;
        members.push(member);
    }
    let single = Single {
        probabilities: Probabilities::of_logits(&evaluated.predictions),
        seconds: evaluated.result.seconds,
    };
    let is_ensemble = !others.is_empty();
    let mut singles = vec![single];
    for member in &members[1..] {
        singles.push(member.single_view(args, global)?);
    }
    // By protocol, the probabilities of all models so far.
    let labels = evaluated.images.labels();
    let mut models: Vec<Scores> = Vec::new();
    for (member, single) in members.iter().zip(&singles) {
        let model = Some(member.model.path.clone());
        let single_view = single.timed(labels);
        models.push(Scores { model, single_view, views: ViewScores::default() });
    }
    let mut ensemble = mean(singles).map(|single| Scores {
        model: None,
        single_view: single.timed(labels),
        views: ViewScores::default(),
    });
    for protocol in &protocols {
        let mut results = Vec::new();
        for (member, scores) in members.iter().zip(&mut models) {
            let result = member.views(protocol, args, global)?;
            scores.views.set(protocol, result.timed(labels));
            results.push(result);
        }
        if let (Some(ensemble), Some(mean)) = (&mut ensemble, mean(results)) {
            ensemble.views.set(protocol, mean.timed(labels));
        }
    }
    let views = models[0].views.clone();
    if !is_ensemble {
        (models, ensemble) = (Vec::new(), None);
    }
    if let ImageSet::Photos(photos) = &evaluated.images {
        photos.take_notes().iter().for_each(|note| global.note(note));
    }
    Ok(Some(MoreResults { views, models, ensemble }))
}

/// Probabilities, and how long they took.
struct Single {
    probabilities: Probabilities,
    seconds: f64,
}

impl Single {
    fn timed(&self, labels: &[u32]) -> Timed {
        Timed { score: self.probabilities.score(labels), seconds: self.seconds }
    }
}

/// The mean of models.
fn mean(models: Vec<Single>) -> Option<Single> {
    let seconds = models.iter().map(|model| model.seconds).sum();
    let probabilities = Probabilities::mean(models.into_iter().map(|model| model.probabilities))?;
    Some(Single { probabilities, seconds })
}

impl ViewScores {
    fn set(&mut self, protocol: &Protocol, score: Timed) {
        match protocol {
            Protocol::TenCrop => self.ten_crop = Some(score),
            Protocol::Scales(sides) => {
                self.scales = Some(ScalesScore { sides: sides.clone(), score });
            }
        }
    }
}

impl<'a> Member<'a> {
    /// Another model on the images of the first, prepared as its own file says.
    fn new(
        model: &'a Model,
        first: &Evaluated,
        resizing: ResizingArgs,
        global: &Global,
    ) -> anyhow::Result<Member<'a>> {
        let graph = model.network.graph();
        let classes = first.model.class_names();
        let order = class_order(&classes, model.classes.as_deref(), graph.classes())?;
        let normalisation = model.normalisation.clone().unwrap_or_else(|| {
            global.note(format!(
                "{} does not state its normalisation: using that of {}",
                model.path.shown(),
                first.model.path.shown()
            ));
            first.normalisation.clone()
        });
        let preparation = model.preparation(&normalisation);
        let preparation = preparation.context("it takes neither grey nor colour images")?;
        let (images, preparation) = match &first.images {
            ImageSet::Photos(photos) => {
                (ImageSet::Photos(photos.prepared_as(preparation)), Some(preparation))
            }
            ImageSet::Memory(images) => {
                let size = [images.height, images.width];
                let data = (&*first.data, size);
                let preparation =
                    evaluation::preparation(model, resizing, data, &normalisation, global);
                (first.images.clone(), preparation)
            }
        };
        Ok(Member { model, images, normalisation, preparation, order })
    }

    /// How the images are prepared, also if they are used as they are.
    fn preparation(&self) -> Preparation {
        evaluation::preparation_of(self.preparation, self.images.size(), self.model)
    }

    /// Evaluates each image once.
    fn single_view(&self, args: &EvalArgs, global: &Global) -> anyhow::Result<Single> {
        let dtype = args.evaluation.model.network.dtype.into();
        let (device, began) = (self.device(dtype, global)?, Instant::now());
        let progress = self.progress("", global);
        let (mut logits, mut done) = (Vec::new(), 0);
        // The labels are those of the first model: nothing but the logits is used.
        let result = match &self.images {
            ImageSet::Memory(images) => {
                let options =
                    EvaluateOptions { dtype, preparation: self.preparation, ..Default::default() };
                let mut listen = |done, batch: &[f32]| {
                    logits.extend_from_slice(batch);
                    progress.set(done);
                };
                let normalisation = &self.normalisation;
                evaluate::evaluate(
                    self.model,
                    &options,
                    images,
                    normalisation,
                    &device,
                    &mut listen,
                )
            }
            ImageSet::Photos(photos) => {
                let mut listen = |labels: &[u32], batch: &[f32]| {
                    logits.extend_from_slice(batch);
                    done += labels.len();
                    progress.set(done);
                };
                let normalisation = &self.normalisation;
                evaluate::evaluate_photos(
                    self.model,
                    dtype,
                    None,
                    photos,
                    normalisation,
                    &device,
                    &mut listen,
                )
            }
        };
        progress.clear();
        let evaluated = self.named(result)?.images;
        anyhow::ensure!(
            evaluated == self.images.len(),
            "photos have changed during the evaluation: {} of {} are left",
            evaluated,
            self.images.len()
        );
        let logits = Predictions::new(logits, self.model.network.graph().classes());
        let probabilities = Probabilities::of_logits(&logits).reordered(&self.order);
        Ok(Single { probabilities, seconds: began.elapsed().as_secs_f64() })
    }

    /// Evaluates the views of a protocol.
    fn views(
        &self,
        protocol: &Protocol,
        args: &EvalArgs,
        global: &Global,
    ) -> anyhow::Result<Single> {
        let dtype = args.evaluation.model.network.dtype.into();
        let (device, began) = (self.device(dtype, global)?, Instant::now());
        let name = match protocol {
            Protocol::TenCrop => " ten crops",
            Protocol::Scales(_) => " at several scales",
        };
        let progress = self.progress(name, global);
        let of = ProtocolImages {
            images: &self.images,
            preparation: self.preparation(),
            normalisation: &self.normalisation,
        };
        let mut listen = |done| progress.set(done);
        let result = evaluate::probabilities(self.model, dtype, protocol, of, &device, &mut listen);
        progress.clear();
        let probabilities = self.named(result)?.reordered(&self.order);
        Ok(Single { probabilities, seconds: began.elapsed().as_secs_f64() })
    }

    /// What computes it.
    fn device(&self, dtype: Dtype, global: &Global) -> anyhow::Result<Device> {
        let size = [self.preparation().image_size; 2];
        global.device(Work::evaluation(self.model.network.graph(), dtype, size))
    }

    fn progress(&self, what: &str, global: &Global) -> DelayedProgress {
        let name = self.model.path.file_name().unwrap_or(self.model.path.as_os_str());
        let activity = format!("evaluating{what} ({})", PathBuf::from(name).shown());
        DelayedProgress::new(&activity, self.images.len(), global.quiet)
    }

    /// The error, with the name of the model.
    fn named<T>(&self, result: Result<T, evaluate::EvaluateError>) -> anyhow::Result<T> {
        result.with_context(|| format!("cannot evaluate {}", self.model.path.shown()))
    }
}
