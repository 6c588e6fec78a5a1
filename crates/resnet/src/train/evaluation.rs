//! The evaluation after an epoch, which several processes share.

use std::{
    ops::ControlFlow::{Break, Continue},
    sync::atomic::Ordering::Relaxed,
};

use super::{
    Event, StopFlag, TrainError, feature_bytes::from_bytes, shared_evaluation::SharedEvaluation,
    trainer::Trainer,
};
use crate::{
    data::{DataError, ImageSet},
    engine::Input,
    evaluate::{self, Accumulator},
};

/// The evaluation after an epoch.
#[derive(Clone, Debug)]
pub(crate) struct Evaluated {
    /// On the test set, if there is one.
    pub(crate) test: Option<Accumulator>,
    /// On the validation set, if there is one.
    pub(crate) validation: Option<Accumulator>,
}

impl Evaluated {
    /// The set that the best epoch is chosen on.
    pub(super) fn chosen_on(&self) -> Option<&Accumulator> {
        self.validation.as_ref().or(self.test.as_ref())
    }

    pub(super) fn is_finite(&self) -> bool {
        [&self.test, &self.validation].into_iter().flatten().all(|set| set.loss().is_finite())
    }
}

impl Trainer<'_> {
    /// Evaluates the test and the validation set; none if stopped. Processes share the batches out, and process 0
    /// alone has the whole result.
    ///
    /// # Errors
    /// If photos can no longer be read, or processes cannot go on together.
    pub(super) fn evaluate(
        &mut self,
        stop: &StopFlag,
        listen: &mut dyn FnMut(&Event),
    ) -> Result<Option<Evaluated>, TrainError> {
        let images =
            [&self.test, &self.validation].map(|set| set.as_ref().map_or(0, ImageSet::len));
        let images = images.iter().sum();
        let normalisation = &self.config.data.normalisation;
        let (mut done, mut stopped) = (0, false);
        let mut run = |on: &ImageSet| {
            let before = done;
            let (rank, size) = (self.group.rank(), self.group.size());
            let mut shared = SharedEvaluation::new(self.group, self.config.data.classes.len());
            let mut add = |logits: &[f32], labels: &[u32]| {
                let (more, flag) = shared.add(logits, labels, stop.load(Relaxed))?;
                done += more;
                listen(&Event::Evaluating { done, images });
                // Alone, a process stops at once.
                stopped |= flag != 0 || size == 1 && stop.load(Relaxed) != 0;
                Ok::<_, TrainError>(if stopped { Break(()) } else { Continue(()) })
            };
            let mut flow = Ok(Continue(()));
            let mut rounds = 0;
            on.visit_share(evaluate::BATCH, rank, size, |pixels, labels| {
                let features = self.has_features.then(|| from_bytes(pixels));
                let input = match &features {
                    Some(features) => Input::Features(features),
                    None => Input::Bytes(pixels, normalisation),
                };
                flow = match labels.len() {
                    0 => add(&[], &[]),
                    images => {
                        let logits = self.engine.evaluate(input, images);
                        logits.map_err(TrainError::from).and_then(|logits| add(logits, labels))
                    }
                };
                rounds += 1;
                if matches!(flow, Ok(Continue(()))) { Continue(()) } else { Break(()) }
            })?;
            // The others may have a batch more.
            let most = on.len().div_ceil(evaluate::BATCH).div_ceil(size);
            let mut flow = flow?;
            while flow.is_continue() && rounds < most {
                flow = add(&[], &[])?;
                rounds += 1;
            }
            if done == before && !stopped && !on.is_empty() {
                return Err(DataError::NoneUsable { photos: on.len() }.into());
            }
            Ok::<_, TrainError>(shared.into_accumulator())
        };
        let test = self.test.as_ref().map(&mut run).transpose()?;
        let validation = self.validation.as_ref().map(&mut run).transpose()?;
        Ok((!stopped).then_some(Evaluated { test, validation }))
    }
}
