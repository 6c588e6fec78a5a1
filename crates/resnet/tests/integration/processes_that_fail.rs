//! Processes that do not fit together, fall silent or fail: all end, and say why.

use std::{fs, sync::mpsc, thread, time::Duration};

use resnet::{
    Cpu,
    config::TrainConfig,
    data::Dataset,
    run::{LAST, RunFolder},
    train::{CommError, Event, Group, StopFlag, join, train_in_group},
};
use resnet_comm::in_process;

use crate::common::{
    processes::{in_shards, run_with},
    small_run::{self, dataset},
};

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
    let run = RunFolder::create(&runs.path().join("run"), &small_run::config()).unwrap();
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
