//! Runs of several processes, which are threads here.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
};

use resnet::{
    Cpu,
    config::TrainConfig,
    data::Parts,
    recipe::DataParallel,
    run::RunFolder,
    train::{CommError, Event, Group, Outcome, StopFlag, TrainError, join, train_in_group},
};
use resnet_comm::in_process;

use crate::common::small_run::{config, dataset};

/// A run whose batches are cut into shards. The last batch of an epoch has fewer images than there are shards.
pub(crate) fn in_shards(shards: usize) -> TrainConfig {
    let mut config = config();
    config.recipe.parallel = DataParallel { shards, ..DataParallel::default() };
    config
}

pub(crate) type Ends = Vec<Result<Outcome, TrainError>>;

/// Trains with this many processes of `threads` threads each. Process `rank` has the data that `data` gives, and
/// stops once `stop_at` is true for an event of it.
pub(crate) fn run_with<D: Into<Parts> + 'static>(
    folder: &Path,
    processes: usize,
    threads: usize,
    data: impl Fn(usize) -> D + Send + Sync + 'static,
    stop_at: impl Fn(usize, &Event) -> bool + Send + Sync + 'static,
) -> Ends {
    let run = RunFolder::resume(folder).unwrap();
    let config = run.config().clone();
    let mut run = Some(run);
    let shared = Arc::new((config, data, stop_at));
    let start = |transport| {
        let (shared, run) = (Arc::clone(&shared), run.take());
        thread::spawn(move || {
            let group = Group::start(move || Ok::<_, CommError>(transport)).unwrap();
            let (config, data, stop_at) = &*shared;
            let (rank, stop) = (group.rank(), StopFlag::new(0));
            let cpu = Cpu::new(threads).unwrap();
            let mut listen = |event: &Event| {
                if stop_at(rank, event) {
                    stop.store(2, Relaxed);
                }
            };
            let end = match &run {
                Some(run) => train_in_group(&group, run, data(rank), &cpu, &stop, &mut listen),
                None => join(&group, config, data(rank), &cpu, &stop, &mut listen),
            };
            match end {
                Ok(_) => group.finish(0).unwrap(),
                Err(_) => group.abort(1),
            }
            end
        })
    };
    let threads: Vec<_> = in_process(processes).into_iter().map(start).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

pub(crate) fn whole(folder: &Path, processes: usize, threads: usize) {
    for end in run_with(folder, processes, threads, |_| dataset(), |_, _| false) {
        assert!(matches!(end, Ok(Outcome::Finished(_))), "{end:?}");
    }
}
