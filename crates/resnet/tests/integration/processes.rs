//! Several processes train one network: with equal shards, any number of them ends with the same tensors and
//! metrics, bit for bit, also after an interruption. The processes are threads here.

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed, mpsc},
    thread,
    time::Duration,
};

use resnet::{
    Cpu, Dtype,
    config::TrainConfig,
    data::{Dataset, Parts, transform::Mix},
    recipe::{ClassWeights, DataParallel, Length, Wire},
    run::{LAST, RunFolder},
    train::{CommError, Event, Group, Outcome, StopFlag, TrainError, join, train, train_in_group},
};
use resnet_comm::in_process;
use resnet_formats::{Data, NamedTensors, safetensors};

use crate::{
    common::small_run::{config, dataset},
    resume::{assert_same, result},
};

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

fn whole(folder: &Path, processes: usize, threads: usize) {
    for end in run_with(folder, processes, threads, |_| dataset(), |_, _| false) {
        assert!(matches!(end, Ok(Outcome::Finished(_))), "{end:?}");
    }
}

/// What a new run of this configuration ends with.
fn result_of(config: &TrainConfig, processes: usize, threads: usize) -> crate::resume::Result {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    drop(RunFolder::create(&folder, config).unwrap());
    whole(&folder, processes, threads);
    result(&folder)
}

#[test]
fn any_number_of_processes_has_the_same_result() {
    for (shards, processes) in [(4, &[1, 2, 4][..]), (6, &[1, 3, 6]), (5, &[1, 5])] {
        let config = in_shards(shards);
        let expected = result_of(&config, processes[0], 2);
        for &processes in &processes[1..] {
            let found = result_of(&config, processes, 1);
            assert_same(&found, &expected, &format!("{shards} shards, {processes} processes"));
        }
    }
}

#[test]
fn so_it_is_with_every_setting() {
    type Change = fn(&mut TrainConfig);
    let changes: [(&str, Change); 6] = [
        ("bf16", |config| config.recipe.dtype = Dtype::Bf16),
        ("wire", |config| config.recipe.parallel.wire = Wire::Bf16),
        ("clipped", |config| config.recipe.clip_grad = Some(0.5)),
        ("mixed", |config| config.recipe.mix = Some(Mix { mixup: 0.4, cutmix: 1.0 })),
        ("weights", |config| config.recipe.class_weights = Some(ClassWeights::BALANCED)),
        ("AdamW", |config| config.recipe = config.recipe.clone().with_adamw()),
    ];
    for (what, change) in changes {
        let mut config = in_shards(4);
        change(&mut config);
        assert_eq!(config.recipe.parallel.shards, 4);
        let expected = result_of(&config, 1, 1);
        assert_same(&result_of(&config, 2, 1), &expected, what);
        assert_same(&result_of(&config, 4, 1), &expected, what);
    }
}

#[test]
fn a_run_resumes_with_another_number_of_processes() {
    let config = in_shards(4);
    let expected = result_of(&config, 4, 1);
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    drop(RunFolder::create(&folder, &config).unwrap());
    // The last process is told to stop, and all do after the same step.
    for (processes, step) in [(4, 2), (1, 5), (2, 7)] {
        let ends = run_with(
            &folder,
            processes,
            1,
            |_| dataset(),
            move |rank, event| {
                rank == processes - 1 && matches!(event, Event::Batch(b) if b.step == step)
            },
        );
        assert!(ends.iter().all(|end| matches!(end, Ok(Outcome::Interrupted(2)))), "{ends:?}");
    }
    // In an evaluation.
    let ends = run_with(
        &folder,
        2,
        1,
        |_| dataset(),
        |rank, event| rank == 1 && matches!(event, Event::Evaluating { .. }),
    );
    assert!(ends.iter().all(|end| matches!(end, Ok(Outcome::Interrupted(2)))), "{ends:?}");
    whole(&folder, 2, 1);
    assert_same(&result(&folder), &expected, "resumed");
}

fn tensors(folder: &Path) -> Vec<(String, Vec<f32>)> {
    let (tensors, _): (NamedTensors, _) = safetensors::read(&folder.join(LAST)).unwrap();
    let values = |data| match data {
        Data::F32(values) => values,
        Data::I64(counts) => counts.into_iter().map(|count| count as f32).collect(),
    };
    tensors.into_iter().map(|(name, tensor)| (name, values(tensor.data))).collect()
}

/// One step of plain SGD.
fn one_step(mut config: TrainConfig) -> TrainConfig {
    config.recipe.average = None;
    config.recipe.dtype = Dtype::Fp32;
    config.total_steps = 1;
    config.recipe.length = Length::Steps(1);
    config
}

#[test]
fn statistics_over_all_shards_are_those_of_the_batch() {
    let runs = tempfile::tempdir().unwrap();
    let (one, many) = (runs.path().join("one"), runs.path().join("many"));
    let run = RunFolder::create(&one, &one_step(config())).unwrap();
    let cpu = Cpu::new(2).unwrap();
    train(&run, dataset(), &cpu, &StopFlag::new(0), &mut |_| {}).unwrap();
    let mut config = one_step(in_shards(4));
    config.recipe.parallel.sync_batch_norm = true;
    drop(RunFolder::create(&many, &config).unwrap());
    whole(&many, 4, 1);
    let (one, many) = (tensors(&one), tensors(&many));
    assert_eq!(one.len(), many.len());
    for ((name, one), (other, many)) in one.iter().zip(&many) {
        assert_eq!(name, other);
        let largest = one.iter().fold(0_f32, |most, x| most.max(x.abs()));
        for (a, b) in one.iter().zip(many) {
            assert!((a - b).abs() <= 1e-3 * largest.max(1e-3), "{name}: {a} and {b}");
        }
    }
    // With statistics of each shard they differ.
    let apart = runs.path().join("apart");
    drop(RunFolder::create(&apart, &one_step(in_shards(4))).unwrap());
    whole(&apart, 4, 1);
    let apart = tensors(&apart);
    let both = apart.iter().zip(&one).flat_map(|((_, a), (_, b))| a.iter().zip(b));
    assert!(both.into_iter().any(|(a, b)| (a - b).abs() > 1e-3));
}

/// The message of every process of a run that cannot start.
fn refused(
    config: &TrainConfig,
    processes: usize,
    data: impl Fn(usize) -> Dataset + Send + Sync + 'static,
) -> String {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    drop(RunFolder::create(&folder, config).unwrap());
    let ends = run_with(&folder, processes, 1, data, |_, _| false);
    let messages = ends.into_iter().map(|end| end.unwrap_err().to_string());
    let mut messages: Vec<String> = messages.collect();
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let message = refused(&in_shards(4), 3, |_| dataset());
    assert!(
        message.contains("3 processes cannot share batches of 4 shards: start 1, 2 or 4"),
        "{message}"
    );
    let mut config = in_shards(4);
    config.recipe.parallel.sync_batch_norm = true;
    let message = refused(&config, 2, |_| dataset());
    assert!(message.contains("start 4 processes, not 2"), "{message}");
    let other = |rank| {
        let mut data = dataset();
        data.train.pixels[7] ^= u8::from(rank == 1);
        data
    };
    let message = refused(&in_shards(4), 2, other);
    assert!(message.contains("process 1 on ") && message.contains("other images"), "{message}");
}

#[test]
#[cfg(target_os = "linux")]
fn processes_of_a_machine_share_its_memory() {
    let runs = tempfile::tempdir().unwrap();
    let run = RunFolder::create(&runs.path().join("run"), &config()).unwrap();
    // So many that nothing is left for this one.
    let group = Group::alone().with_local_size(1 << 50);
    let (cpu, stop) = (Cpu::new(1).unwrap(), StopFlag::new(0));
    let end = train_in_group(&group, &run, dataset(), &cpu, &stop, &mut |_| {});
    let message = end.unwrap_err().to_string();
    for part in ["processes of this machine share its memory: the plan needs", "--batch-size"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_silent_process_is_named_by_its_machine_with_what_to_resume() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let run = RunFolder::create(&folder, &in_shards(2)).unwrap();
    let (go_on, waits) = mpsc::channel::<()>();
    let mut transports = in_process(2).into_iter();
    let mut start = || {
        let transport = transports.next().unwrap();
        Group::start(move || Ok::<_, CommError>(transport)).unwrap()
    };
    let (first, second) = (start().with_timeout(Duration::from_secs(10)), start());
    let silent = thread::spawn(move || {
        let (cpu, stop) = (Cpu::new(1).unwrap(), StopFlag::new(0));
        let mut listen = |event: &Event| {
            if matches!(event, Event::Batch(batch) if batch.step == 2) {
                let _ = waits.recv();
            }
        };
        join(&second, &in_shards(2), dataset(), &cpu, &stop, &mut listen)
    });
    let (cpu, stop) = (Cpu::new(1).unwrap(), StopFlag::new(0));
    let error = train_in_group(&first, &run, dataset(), &cpu, &stop, &mut |_| {}).unwrap_err();
    first.abort(1);
    drop(go_on);
    assert!(silent.join().unwrap().is_err());
    let message = error.to_string();
    let resume = format!("Resume with --resume {}", folder.display());
    let silent = "no answer from process 1 for 10 s";
    for part in ["ended in epoch 1, step 3, without ", silent, &resume] {
        assert!(message.contains(part), "'{part}' is not in {message}");
    }
}

#[test]
fn a_process_that_fails_ends_the_others() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    drop(RunFolder::create(&folder, &in_shards(2)).unwrap());
    // Process 0 cannot write its checkpoint: there is a folder in its place.
    fs::create_dir(folder.join(LAST)).unwrap();
    let ends = run_with(&folder, 2, 1, |_| dataset(), |_, _| false);
    assert!(ends.iter().all(Result::is_err), "{ends:?}");
}
