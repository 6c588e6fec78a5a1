//! Resuming is bit-exact: a run that is interrupted or killed, then resumed, ends with the same
//! tensors and metrics (except times) as an uninterrupted one. So does a run with another number of
//! threads.

use std::fs;

use resnet::{
    Cpu, Dtype,
    config::TrainConfig,
    model_file::key,
    run::{BEST, LAST, LOG, METRICS, RunFolder},
    train::{Event, Outcome, StopFlag, train},
};
use resnet_formats::safetensors;

use crate::common::{
    outcome::{assert_same, checkpoint, failure, result, run, uninterrupted},
    small_run::{STEPS, config, dataset},
};

#[test]
fn an_interrupted_run_resumes_bit_exactly() {
    let runs = tempfile::tempdir().unwrap();
    let expected = uninterrupted(runs.path().join("whole"));
    assert_eq!(expected.metrics.len(), 3);

    // In the first batch, mid-epoch, at the end of an epoch, at its beginning, in the last batch.
    for step in [1, 3, 4, 5, 12] {
        let folder = runs.path().join(format!("stopped-{step}"));
        let first = RunFolder::create(&folder, &config()).unwrap();
        let at_step = |event: &Event| matches!(event, Event::Batch(b) if b.step == step);
        assert_eq!(run(&first, 2, at_step), Outcome::Interrupted(2));
        drop(first);
        let second = RunFolder::resume(&folder).unwrap();
        assert!(matches!(run(&second, 2, |_| false), Outcome::Finished(_)));
        assert_same(&result(&folder), &expected, &format!("stopped after step {step}"));
    }

    // After every single batch, and in every evaluation.
    let folder = runs.path().join("always");
    drop(RunFolder::create(&folder, &config()).unwrap());
    let mut interruptions = 0u64;
    while let Outcome::Interrupted(_) = run(&RunFolder::resume(&folder).unwrap(), 2, |event| {
        matches!(event, Event::Batch(_))
            // Every other evaluation is let through: one that is stopped begins again.
            || matches!(event, Event::Evaluating { .. }) && interruptions.is_multiple_of(2)
    }) {
        interruptions += 1;
        assert!(interruptions < 100, "resuming makes no progress");
    }
    assert!(interruptions >= STEPS, "{interruptions}");
    assert_same(&result(&folder), &expected, "stopped always");
}

/// PyTorch's file of an epoch is a checkpoint as good as ours.
#[test]
fn a_run_resumes_bit_exactly_from_pytorchs_file() {
    let runs = tempfile::tempdir().unwrap();
    let expected = uninterrupted(runs.path().join("whole"));
    let folder = runs.path().join("run");
    let (all, first) = (folder.join("resnet8_synthetic_all.tar"), folder.join("first.tar"));
    let config = TrainConfig { save_torch: true, ..config() };
    // What the first epoch left, with the best checkpoint of that time.
    let keep_first = |event: &Event| {
        if !first.exists() && matches!(event, Event::Saved { path } if *path == all) {
            fs::copy(&all, &first).unwrap();
        }
        false
    };
    run(&RunFolder::create(&folder, &config).unwrap(), 2, keep_first);
    assert_same(&result(&folder), &expected, "with PyTorch's files");
    for name in [LAST, BEST, METRICS] {
        fs::remove_file(folder.join(name)).unwrap();
    }
    let again = RunFolder::resume(&first).unwrap();
    let epochs = std::cell::RefCell::new(Vec::new());
    run(&again, 2, |event| {
        if let Event::EpochEnd { metrics, .. } = event {
            epochs.borrow_mut().push(metrics.epoch);
        }
        false
    });
    assert_eq!(epochs.into_inner(), [2, 3]);
    assert_eq!(checkpoint(&folder.join(LAST)), expected.last);
}

#[test]
fn a_run_in_bf16_resumes_bit_exactly() {
    let runs = tempfile::tempdir().unwrap();
    let mut config = config();
    config.recipe.dtype = Dtype::Bf16;
    let whole = runs.path().join("whole");
    run(&RunFolder::create(&whole, &config).unwrap(), 2, |_| false);
    let expected = result(&whole);
    for (step, threads) in [(1, 7), (6, 1)] {
        let folder = runs.path().join(format!("stopped-{step}"));
        let first = RunFolder::create(&folder, &config).unwrap();
        let at_step = |event: &Event| matches!(event, Event::Batch(b) if b.step == step);
        assert_eq!(run(&first, 2, at_step), Outcome::Interrupted(2));
        drop(first);
        let second = RunFolder::resume(&folder).unwrap();
        assert_eq!(second.config().recipe.dtype, Dtype::Bf16);
        run(&second, threads, |_| false);
        assert_same(&result(&folder), &expected, &format!("stopped after step {step}"));
    }
    assert!(fs::read_to_string(whole.join(LOG)).unwrap().contains("; bf16: "));
    let fp32 = uninterrupted(runs.path().join("fp32"));
    assert_ne!(fp32.metrics, expected.metrics, "the dtype makes no difference");
}

#[test]
fn a_killed_run_resumes_bit_exactly() {
    let runs = tempfile::tempdir().unwrap();
    let whole = runs.path().join("whole");
    let run_folder = RunFolder::create(&whole, &config()).unwrap();
    // The files as they are at an event are what a kill at that instant leaves behind.
    let killed = std::cell::RefCell::new(Vec::new());
    run(&run_folder, 2, |event| {
        let interesting = match event {
            Event::Batch(b) => b.step == 6,
            Event::Evaluating { done, images } => done == images,
            _ => true,
        };
        if interesting {
            let copy = runs.path().join(format!("killed-{}", killed.borrow().len()));
            fs::create_dir(&copy).unwrap();
            for entry in fs::read_dir(&whole).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
            }
            fs::write(copy.join(".unfinished-Kx3"), b"half a checkpoint").unwrap();
            killed.borrow_mut().push((copy, format!("{event:?}")));
        }
        false
    });
    let expected = result(&whole);
    let killed = killed.into_inner();
    assert!(killed.len() > 12, "{}", killed.len());
    for (folder, event) in killed {
        run(&RunFolder::resume(&folder).unwrap(), 2, |_| false);
        assert_same(&result(&folder), &expected, &format!("killed at {event}"));
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains("unfinished")), "{left:?}");
    }
}

#[test]
fn threads_change_nothing() {
    let runs = tempfile::tempdir().unwrap();
    let expected = uninterrupted(runs.path().join("2"));
    for threads in [1, 7] {
        let folder = runs.path().join(threads.to_string());
        run(&RunFolder::create(&folder, &config()).unwrap(), threads, |_| false);
        assert_same(&result(&folder), &expected, &format!("{threads} threads"));
    }
}

#[test]
fn a_damaged_checkpoint_names_one_to_take_instead() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let expected = uninterrupted(folder.clone());
    let good = fs::read(folder.join(LAST)).unwrap();
    fs::write(folder.join(LAST), &good[..good.len() / 2]).unwrap();
    let error = failure(&RunFolder::resume(&folder).unwrap(), dataset());
    let instead = format!("--resume {}", folder.join(BEST).display());
    assert!(error.contains("truncated") && error.ends_with(&instead), "{error}");
    run(&RunFolder::resume(&folder.join(BEST)).unwrap(), 2, |_| false);
    assert_same(&result(&folder), &expected, "from the best");

    fs::write(folder.join(BEST), &good[..9]).unwrap();
    let error = failure(&RunFolder::resume(&folder.join(BEST)).unwrap(), dataset());
    assert!(error.ends_with("another checkpoint"), "{error}");
}

#[test]
fn a_checkpoint_without_the_optimizers_state_is_refused() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    uninterrupted(folder.clone());
    let last = folder.join(LAST);
    let (mut tensors, metadata) = safetensors::read(&last).unwrap();
    tensors.retain(|(name, _)| !name.starts_with("optimizer."));
    safetensors::write(&last, &tensors, &metadata).unwrap();
    let error = failure(&RunFolder::resume(&folder).unwrap(), dataset());
    assert!(error.contains("not the state of their optimizer"), "{error}");
    assert!(error.ends_with(&format!("--init {}", last.display())), "{error}");
}

#[test]
fn another_instruction_set_is_warned_of() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    uninterrupted(folder.clone());
    let warnings = || {
        let mut lines = Vec::new();
        let (run, cpu) = (RunFolder::resume(&folder).unwrap(), Cpu::new(1).unwrap());
        train(&run, dataset(), &cpu, &StopFlag::new(0), &mut |event| {
            lines.extend(event.log_line().filter(|line| line.starts_with("warning")));
        })
        .unwrap();
        lines
    };
    assert!(warnings().is_empty());
    let (tensors, mut metadata) = safetensors::read(&folder.join(LAST)).unwrap();
    metadata.insert(key::ISA.into(), "abacus".into());
    safetensors::write(&folder.join(LAST), &tensors, &metadata).unwrap();
    assert!(warnings()[0].contains("used abacus so far"), "{:?}", warnings());
}
