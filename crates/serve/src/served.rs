//! A model in service: how photos are prepared for it, and the plans that compute.

use std::{
    borrow::Cow,
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
};

use resnet::{
    cam::ActivationMap,
    engine::{EngineError, Input, PlanError},
    predictor::{Computes, PredictionPlan, Predictor, PredictorError},
};

/// Images of the plan for heat maps, which are asked for less often.
const HEAT_MAPS: usize = 4;

/// Multiply-accumulates for an image, up to which a network is small: on a thread of 100 GFLOP/s it takes some
/// five milliseconds. To share one image among threads then costs much of what it saves.
const SMALL: u64 = 250_000_000;

/// A model in service. It stays in memory until the last image is computed that was prepared for it.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) predictor: Predictor,
    logits: Plan,
    /// The same for a small network, on a thread each.
    alone: Vec<Plan>,
    /// None if the network has no heat maps.
    features: Option<Plan>,
    /// Whether its GPU went away.
    is_lost: AtomicBool,
}

/// Which threads compute a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// All of them, together.
    All,
    /// One, while others compute other batches.
    One,
}

/// A plan, and the images of its largest batch.
#[derive(Debug)]
struct Plan {
    plan: Mutex<PredictionPlan>,
    batch: usize,
    memory: usize,
}

/// What enters a network for an image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Prepared {
    /// A prepared photo: `[image_size][image_size][channels]`.
    Pixels(Vec<u8>),
    /// Normalised values: `[channels][image_size][image_size]`.
    Values(Vec<f32>),
}

/// Images with another one of these are not computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The logits of photos.
    Photos,
    /// The logits of photos, and heat maps.
    HeatMaps,
    /// The logits of normalised values.
    Tensors,
}

/// What was computed for an image.
#[derive(Clone, Debug)]
pub(crate) struct Computed {
    /// `[classes]`
    pub(crate) logits: Vec<f32>,
    /// The heat map of the predicted class.
    pub(crate) map: Option<ActivationMap>,
    /// Whether its probabilities are numbers.
    pub(crate) is_finite: bool,
}

impl Served {
    /// Makes the plans of a model, for batches of up to `max_batch` images, and runs each once: the first
    /// batch touches memory that later ones find.
    pub(crate) fn new(
        name: &str,
        predictor: Predictor,
        max_batch: usize,
        threads: usize,
    ) -> Result<Served, PredictorError> {
        let plan = |plan| Plan::new(&predictor, plan).map_err(|source| predictor.error(source));
        let logits = plan(predictor.plan(Computes::Logits, max_batch)?)?;
        // A GPU does not share an image among threads.
        let has_threads = threads > 1 && !predictor.device().is_gpu();
        let is_small = has_threads && predictor.macs()? <= SMALL;
        let alone = (0..if is_small { threads } else { 0 })
            .map(|_| plan(predictor.plan_on_one_thread(Computes::Logits, max_batch)?))
            .collect::<Result<_, PredictorError>>()?;
        let maps = predictor.plan(Computes::Features, max_batch.min(HEAT_MAPS));
        let features = match maps {
            Ok(maps) => Some(plan(maps)?),
            // The network does not end in a global pool and a linear layer.
            Err(PredictorError::Plan { source: PlanError::Graph(_), .. }) => None,
            Err(error) => return Err(error),
        };
        let (name, is_lost) = (name.to_owned(), AtomicBool::new(false));
        Ok(Served { name, predictor, logits, alone, features, is_lost })
    }

    /// Whether its GPU went away, as it or another model found out: it computes nothing any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed) || self.predictor.device().is_lost()
    }

    /// Its GPU went away.
    pub(crate) fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_heat_maps(&self) -> bool {
        self.features.is_some()
    }

    /// Rows and columns of the network's input.
    pub(crate) fn side(&self) -> usize {
        self.predictor.preparation().image_size
    }

    /// Images of the largest batch of a kind.
    pub(crate) fn batch(&self, kind: Kind) -> usize {
        self.plan(kind).batch
    }

    /// Bytes of its weights and plans.
    pub(crate) fn memory(&self) -> usize {
        let plans = [Some(&self.logits), self.features.as_ref()];
        let plans = plans.into_iter().flatten().chain(&self.alone);
        let weights = size_of_val(self.predictor.model().network.values());
        weights + plans.map(|plan| plan.memory).sum::<usize>()
    }

    /// Whether each thread can compute batches of a kind of its own.
    pub(crate) fn has_plans_alone(&self, kind: Kind) -> bool {
        kind != Kind::HeatMaps && !self.alone.is_empty()
    }

    /// Computes a batch of one kind, of at most [`Served::batch`] images.
    ///
    /// # Errors
    /// If the GPU was lost.
    pub(crate) fn compute(
        &self,
        kind: Kind,
        threads: Threads,
        images: &[&Prepared],
    ) -> Result<Vec<Computed>, EngineError> {
        let (pixels, values);
        let input = match kind {
            Kind::Photos | Kind::HeatMaps => {
                pixels = joined(images, Prepared::pixels);
                self.predictor.input(&pixels)
            }
            Kind::Tensors => {
                values = joined(images, Prepared::values);
                Input::Nchw(&values)
            }
        };
        let mut plan = match threads {
            Threads::All => self.lock(kind),
            Threads::One => {
                let free = self.alone.iter().find_map(Plan::try_lock);
                free.expect("a plan for each thread")
            }
        };
        let predictions = plan.predict(input, images.len())?;
        let computed = |i: usize| Computed {
            logits: predictions.logits(i).to_vec(),
            map: plan.maps().map(|maps| maps.map(i, predictions.class(i))),
            is_finite: predictions.is_finite(i),
        };
        Ok((0..images.len()).map(computed).collect())
    }

    /// The plan of a kind; whoever holds it keeps the next batch of that kind waiting.
    pub(crate) fn lock(&self, kind: Kind) -> MutexGuard<'_, PredictionPlan> {
        let plan = &self.plan(kind).plan;
        plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self, kind: Kind) -> &Plan {
        match kind {
            Kind::Photos | Kind::Tensors => &self.logits,
            Kind::HeatMaps => self.features.as_ref().expect("the network has heat maps"),
        }
    }
}

impl Prepared {
    /// None of values.
    fn pixels(&self) -> &[u8] {
        match self {
            Prepared::Pixels(pixels) => pixels,
            Prepared::Values(_) => &[],
        }
    }

    /// None of pixels.
    fn values(&self) -> &[f32] {
        match self {
            Prepared::Values(values) => values,
            Prepared::Pixels(_) => &[],
        }
    }
}

/// What the images of a batch have, one after the other. A single one is not copied.
fn joined<'a, T: Copy>(
    images: &[&'a Prepared],
    of: impl Fn(&'a Prepared) -> &'a [T],
) -> Cow<'a, [T]> {
    match *images {
        [image] => Cow::Borrowed(of(image)),
        _ => Cow::Owned(images.iter().copied().map(of).collect::<Vec<_>>().concat()),
    }
}

impl Plan {
    fn new(predictor: &Predictor, mut plan: PredictionPlan) -> Result<Plan, EngineError> {
        let batch = plan.batch();
        let pixels = vec![0; batch * predictor.preparation().image_len()];
        plan.predict(predictor.input(&pixels), batch)?;
        Ok(Plan { memory: plan.memory(), plan: Mutex::new(plan), batch })
    }

    /// The plan, if it does not compute.
    fn try_lock(&self) -> Option<MutexGuard<'_, PredictionPlan>> {
        match self.plan.try_lock() {
            Ok(plan) => Some(plan),
            Err(TryLockError::Poisoned(plan)) => Some(plan.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_image_is_not_copied() {
        let [one, other] = [vec![1, 2], vec![3, 4]].map(Prepared::Pixels);
        let alone = joined(&[&one], Prepared::pixels);
        assert!(matches!(alone, Cow::Borrowed([1, 2])));
        let both = joined(&[&one, &other], Prepared::pixels);
        assert_eq!(&*both, [1, 2, 3, 4]);
    }
}
