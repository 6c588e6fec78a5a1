//! A step whose batch is cut into shards, which several processes may share.
//!
//! Each shard has a forward and a backward pass, with its own batch norm statistics. Gradients, and the
//! changes of the running statistics, are added up in the [tree](resnet_comm::tree), first here, then over all
//! processes. Losses are divided by the images that the batch is planned with; if photos of it cannot be used,
//! or classes have weights, the sums are scaled in the end, when all processes have been heard.

use std::time::{Duration, Instant};

use resnet_comm::{BUCKET_BYTES, Buckets, Wire};

use super::{
    TrainError,
    shards::{Begun, Said, ShardHooks, ShardSource, exchange},
    trainer::Trainer,
};
use crate::{
    data::Batch,
    engine::{EngineError, StepResult},
    graph::NodeId,
    optim::Rates,
};

impl Trainer<'_> {
    /// [`Trainer::step`] by this process's shards of a batch, of which this is the first. None if the source ends
    /// before the last one; then nothing has changed.
    pub(super) fn step_in_shards(
        &mut self,
        first: Batch,
        source: &mut dyn ShardSource,
        step: u64,
        rates: Rates,
        stop: usize,
    ) -> Result<Option<Begun>, TrainError> {
        let (group, parallel) = (self.group, self.config.recipe.parallel);
        let (own, planned) = (self.shards.own().len(), first.whole);
        let mut sums = std::mem::take(&mut self.sums);
        sums.spare.resize(self.engine.gradients()?.len(), 0.0);
        let (network, _) = self.engine.store()?;
        let start = (network.running_values().to_vec(), network.all_batches_tracked().to_vec());
        let buckets = Buckets::new(group, parallel.wire, BUCKET_BYTES);
        let (mut buckets, mut waited) = (Some(buckets), Duration::ZERO);
        let (mut said, mut moved) = (Vec::<Said>::new(), Vec::new());
        let mut first = Some(first);
        for index in 0..own {
            let is_last = index + 1 == own;
            self.set_running(&start)?;
            let Some(batch) = first.take().or_else(|| source.next_shard()) else {
                self.engine.drop_gradients();
                sums.gradients.clear();
                sums.running.clear();
                self.sums = sums;
                return Ok(None);
            };
            let mut hooks = ShardHooks {
                group,
                sync: parallel.sync_batch_norm.then_some(Ok(())),
                waited: Duration::ZERO,
                last: if is_last { buckets.take() } else { None }
                    .map(|buckets| (parallel.wire, &sums.gradients, buckets)),
            };
            let (result, weight) = self.begin(&batch, Some(planned), step, &mut hooks)?;
            let result = result.expect("shards are the processor's");
            let ShardHooks { sync, last, waited: in_norms, .. } = hooks;
            waited += in_norms;
            sync.unwrap_or(Ok(()))?;
            buckets = last.map(|(.., buckets)| buckets).or(buckets);
            let images = batch.labels.len();
            said.push([result.loss, weight, images as f64, result.correct as f64]);
            let running = self.engine.store()?.0.running_values().iter().zip(&start.0);
            moved = running.map(|(now, before)| (now - before) * images as f32).collect();
            if is_last {
                sums.running.complete(Wire::Fp32, 0, &mut moved);
            } else {
                sums.running.push(Wire::Fp32, &mut moved);
                self.engine.take_gradients(&mut sums.spare)?;
                sums.gradients.push(parallel.wire, &mut sums.spare);
            }
            source.give_back(batch);
        }
        let moved = (!parallel.sync_batch_norm).then(|| group.sum(moved, Wire::Fp32));
        let buckets = buckets.expect("a process has a shard");
        let computed = Instant::now();
        buckets.finish(self.engine.gradients_mut()?)?;
        let moved = moved.map(|moved| moved.wait()).transpose()?;
        let ([loss, weight, images, correct], stop) = exchange(group, &said, stop)?;
        if group.size() > 1 {
            waited += computed.elapsed();
        } else {
            waited = Duration::ZERO;
        }
        sums.gradients.clear();
        sums.running.clear();
        self.sums = sums;

        if images == 0.0 {
            // None of its photos can be used.
            self.set_running(&start)?;
            self.engine.drop_gradients();
            let result = Some(StepResult { loss: 0.0, correct: 0 });
            return Ok(Some(Begun { result, images: 0, stop, waited }));
        }
        if let Some(moved) = moved {
            let before = start.0.iter().zip(&moved);
            let now = before.map(|(before, moved)| before + moved / images as f32).collect();
            self.set_running(&(now, start.1.clone()))?;
        }
        self.count_batch(&start.1)?;
        let factor = planned as f64 / weight;
        if factor != 1.0 {
            self.engine.scale_gradients(factor as f32)?;
        }
        self.update(rates)?;
        let result = Some(StepResult { loss: loss * factor, correct: correct as usize });
        Ok(Some(Begun { result, images: images as usize, stop, waited }))
    }

    fn set_running(
        &mut self,
        (values, batches_tracked): &(Vec<f32>, Vec<i64>),
    ) -> Result<(), EngineError> {
        let (running, tracked) = self.engine.running_mut()?;
        running.copy_from_slice(values);
        tracked.copy_from_slice(batches_tracked);
        Ok(())
    }

    /// Counts one batch, however many shards it had: `num_batches_tracked`.
    fn count_batch(&mut self, before: &[i64]) -> Result<(), TrainError> {
        let norms: Vec<NodeId> = self.engine.store()?.0.norms().collect();
        let (_, tracked) = self.engine.running_mut()?;
        for ((tracked, before), norm) in tracked.iter_mut().zip(before).zip(norms) {
            let counts = !self.plan.is_in_eval(norm);
            *tracked = before.wrapping_add(i64::from(counts));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Cpu,
        config::{TrainConfig, tests::sample},
        data::{Dataset, Epoch, LoadOptions, load},
        metrics::State,
    };

    /// An epoch that gives so many more shards, and counts those that are taken at once.
    struct Counted {
        epoch: Epoch,
        left: usize,
        taken: usize,
        most: usize,
    }

    impl Counted {
        fn new(trainer: &Trainer<'_>, left: usize) -> Counted {
            let epoch = trainer.batches(&State::new(1, 0)).unwrap();
            Counted { epoch, left, taken: 0, most: 0 }
        }
    }

    impl ShardSource for Counted {
        fn next_shard(&mut self) -> Option<Batch> {
            self.left = self.left.checked_sub(1)?;
            self.taken += 1;
            self.most = self.most.max(self.taken);
            self.epoch.next_shard()
        }

        fn give_back(&mut self, shard: Batch) {
            self.taken -= 1;
            self.epoch.give_back(shard);
        }
    }

    /// Three batches of four shards.
    fn in_shards() -> (TrainConfig, Dataset) {
        let [limit_train, limit_test] = [64, 4].map(Some);
        let options = LoadOptions { limit_train, limit_test, ..LoadOptions::default() };
        let set = load("synthetic", &options).unwrap();
        let mut config = sample();
        (config.recipe.batch_size, config.recipe.parallel.shards) = (16, 4);
        config.data.classes.clone_from(&set.classes);
        (config.data.train_images, config.data.validation) = (48, 16);
        config.total_steps = 6;
        (config, set)
    }

    #[test]
    fn a_step_has_one_shard_at_a_time_and_no_part_of_it_stays() {
        let (config, set) = in_shards();
        let cpu = Cpu::new(1).unwrap();
        let start = || Trainer::new(&config, set.clone().into(), &cpu, None).unwrap();
        let step = |trainer: &mut Trainer<'_>, left| {
            let mut shards = Counted::new(trainer, left);
            let is_begun = trainer.step(&mut shards, 0, config.rates_at(0), 0).unwrap();
            (is_begun, [shards.taken, shards.most])
        };
        let weights = |trainer: &Trainer<'_>| {
            let (network, _) = trainer.engine.store().unwrap();
            let tracked = network.all_batches_tracked().to_vec();
            (network.values().to_vec(), network.running_values().to_vec(), tracked)
        };
        let mut whole = start();
        let before = weights(&whole);
        assert_eq!(step(&mut whole, 4), (true, [0, 1]));
        assert_ne!(weights(&whole), before);

        // The third shard cannot be read at first.
        let mut lost = start();
        assert_eq!(step(&mut lost, 2), (false, [0, 1]));
        assert_eq!(weights(&lost), before);
        assert_eq!(lost.stepped(true).unwrap(), None);
        assert_eq!(step(&mut lost, 4), (true, [0, 1]));
        assert_eq!(weights(&lost), weights(&whole));
        // A process alone waits for nobody.
        assert_eq!(lost.stepped(true).unwrap(), whole.stepped(true).unwrap());
    }
}
