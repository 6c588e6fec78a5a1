//! Several processes train one network: with equal shards, any number of them ends with the same tensors and
//! metrics, bit for bit, also after an interruption. The processes are threads here.

use std::path::Path;

use resnet::{
    Cpu, Dtype,
    config::TrainConfig,
    data::transform::Mix,
    recipe::{ClassWeights, Length, Wire},
    run::{LAST, RunFolder},
    train::{Event, Outcome, StopFlag, train},
};
use resnet_formats::{Data, NamedTensors, safetensors};

use crate::common::{
    outcome::{self, assert_same, result},
    processes::{in_shards, run_with, whole},
    small_run::{config, dataset},
};

/// What a new run of this configuration ends with.
fn result_of(config: &TrainConfig, processes: usize, threads: usize) -> outcome::Result {
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
