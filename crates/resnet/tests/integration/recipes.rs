//! Runs whose recipes have averages of the weights, whitening, frozen groups and the like.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use resnet::{
    Cpu,
    config::TrainConfig,
    data::{Augment, Sampling, transform::Mix},
    evaluate::{EvaluateOptions, evaluate},
    metrics::Metric,
    model_file::{LoadOptions, Model, Weights},
    optim::{Average, Factors, Muon},
    recipe::{ClassWeights, Freeze, SizePhase, Whiten},
    run::{LAST, RunFolder, load_model},
    train::{Event, Outcome, StopFlag, train},
};
use resnet_formats::{Data, NamedTensors, safetensors};

use crate::common::{
    outcome::{Result, assert_same, result, run},
    small_run::{self, STEPS, dataset},
};

const EMA: Average = Average::Ema { every: 2, decay: 0.5 };
/// Not a divisor of the steps, so that the last steps are undone.
const LOOKAHEAD: Average = Average::Lookahead { every: 5, decay: 0.95, power: 3.0 };

fn with(average: Option<Average>) -> TrainConfig {
    let mut config = small_run::config();
    config.recipe.average = average;
    config
}

/// With every new setting of a recipe.
fn with_everything() -> TrainConfig {
    let mut config = with(Some(LOOKAHEAD));
    let recipe = &mut config.recipe;
    recipe.whiten = Some(Whiten { images: 20, ..Whiten::default() });
    recipe.identity = true;
    recipe.head_scale = 0.125;
    recipe.batch_norm_momentum = 0.4;
    recipe.optimizer.groups_mut().stem.lr = 0.0;
    recipe.optimizer.groups_mut().norm_scale.lr = 0.0;
    recipe.optimizer.groups_mut().norm_bias = Factors { lr: 16.0, weight_decay: 0.0625 };
    recipe.optimizer.groups_mut().head = Factors { lr: 0.015625, weight_decay: 64.0 };
    recipe.image_sizes =
        vec![SizePhase { until: 0.3, size: 16 }, SizePhase { until: 0.6, size: 24 }];
    let layers = ["bn1", "layer1"].map(str::to_owned).to_vec();
    recipe.freeze =
        vec![Freeze { cool_down: 0.25, from: 0.7, eval: false, ..Freeze::layers(layers) }];
    config
}

/// And with Muon.
fn with_muon() -> TrainConfig {
    let mut config = with_everything();
    let muon = Muon { weight_decay: 0.01, rescale: 3, ..Muon::default() };
    config.recipe.muon = Some(muon);
    config
}

/// Fine-tuning: only the head in the first epoch, and rates by depth.
fn with_fine_tuning() -> TrainConfig {
    let mut config = with(Some(EMA));
    let graph = config.arch.graph(config.data.classes.len());
    config.recipe = config.recipe.with_adamw();
    let recipe = &mut config.recipe;
    recipe.clip_grad = Some(0.5);
    recipe.layer_decay = 0.5;
    recipe.freeze = vec![Freeze { until: Some(1.0 / 3.0), ..Freeze::backbone(&graph) }];
    recipe.class_weights = Some(ClassWeights::BALANCED);
    recipe.sampling = Sampling::Balanced;
    recipe.metric = Metric::F1;
    config
}

fn whole(folder: &Path, config: &TrainConfig) -> Result {
    let ended = run(&RunFolder::create(folder, config).unwrap(), 2, |_| false);
    assert!(matches!(ended, Outcome::Finished(m) if m.epoch == 3));
    result(folder)
}

fn load(path: &Path, weights: Weights) -> Model {
    load_model(path, &LoadOptions { arch: None, weights }).unwrap()
}

/// The tensors of a checkpoint under a prefix, without it, by name.
fn under(path: &Path, prefix: &str) -> NamedTensors {
    let (tensors, _) = safetensors::read(path).unwrap();
    let strip = |(name, t): (String, _)| Some((name.strip_prefix(prefix)?.to_owned(), t));
    by_name(tensors.into_iter().filter_map(strip).collect())
}

fn by_name(mut tensors: NamedTensors) -> NamedTensors {
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

#[test]
fn runs_with_averages_resume_bit_exactly() {
    let runs = tempfile::tempdir().unwrap();
    let plain = whole(&runs.path().join("plain"), &with(None));
    for (name, config) in [
        ("ema", with(Some(EMA))),
        ("lookahead", with(Some(LOOKAHEAD))),
        ("all", with_everything()),
        ("muon", with_muon()),
        ("fine-tuning", with_fine_tuning()),
        ("features", with_features()),
    ] {
        let expected = whole(&runs.path().join(name), &config);
        assert_ne!(expected.metrics, plain.metrics, "{name} changes nothing");
        // Before the first update of the average, at it, between two, in the last epoch and step.
        for (step, threads) in [(1, 2), (2, 1), (5, 7), (7, 2), (11, 1), (STEPS, 2)] {
            let folder = runs.path().join(format!("{name}-{step}"));
            let first = RunFolder::create(&folder, &config).unwrap();
            let at_step = |event: &Event| matches!(event, Event::Batch(b) if b.step == step);
            assert_eq!(run(&first, 2, at_step), Outcome::Interrupted(2));
            drop(first);
            run(&RunFolder::resume(&folder).unwrap(), threads, |_| false);
            assert_same(&result(&folder), &expected, &format!("{name}, after step {step}"));
        }
    }
}

#[test]
fn an_ema_is_what_is_evaluated_and_exported() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let config = TrainConfig { save_torch: true, ..with(Some(EMA)) };
    // A run whose recipe has no average trains the same weights.
    let plain_folder = runs.path().join("plain");
    let found = whole(&folder, &config);
    whole(&plain_folder, &TrainConfig { save_torch: true, ..with(None) });
    let last = folder.join(LAST);
    let (raw, average) = (load(&last, Weights::Model), load(&last, Weights::Average));
    let plain = load(&plain_folder.join(LAST), Weights::Usual);
    assert_eq!(raw.network.state_dict(), plain.network.state_dict());
    assert!(raw.optimizer.is_ok() && raw.notes.is_empty(), "{:?}", raw.notes);
    assert_eq!(under(&plain_folder.join(LAST), "ema."), vec![]);
    assert_eq!(by_name(average.network.state_dict()), under(&last, "ema."));
    assert_ne!(average.network.state_dict(), raw.network.state_dict());
    let usual = load(&last, Weights::Usual);
    assert_eq!(usual.network.state_dict(), average.network.state_dict());
    assert!(usual.notes[0].contains("--weights model"), "{:?}", usual.notes);
    assert!(usual.optimizer.unwrap_err().contains("not of their average"));

    // The accuracy of the last epoch is that of the model by default.
    let (data, cpu) = (dataset(), Cpu::new(2).unwrap());
    let usual = load(&last, Weights::Usual);
    let normalisation = usual.normalisation.clone().unwrap();
    let of = |model: &Model| {
        let options = EvaluateOptions::default();
        evaluate(model, &options, &data.test, &normalisation, &cpu, &mut |_, _| {}).unwrap()
    };
    let metrics = found.metrics.last().unwrap();
    let loss = metrics["test_loss"].as_f64().unwrap();
    assert!((of(&usual).loss - loss).abs() < 1e-9, "{} {loss}", of(&usual).loss);
    assert_eq!(metrics["test_accuracy"].as_f64(), Some(of(&usual).accuracy));
    assert!((of(&raw).loss - loss).abs() > 1e-4, "the average is the weights");

    // PyTorch's state dict is the average; its checkpoint goes on from the weights themselves.
    let torch =
        |name: &str| load(&folder.join(format!("resnet8_synthetic_{name}")), Weights::Usual);
    assert_eq!(torch("state_dict.pt").network.state_dict(), average.network.state_dict());
    let all = torch("all.tar");
    assert_eq!(all.network.state_dict(), raw.network.state_dict());
    assert!(all.optimizer.is_ok());
    let again = RunFolder::resume(&folder.join("resnet8_synthetic_all.tar")).unwrap();
    let stop = StopFlag::new(0);
    let error = train(&again, dataset(), &cpu, &stop, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("not their average"), "{error}");
}

#[test]
fn lookahead_ends_at_its_slow_weights() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    whole(&folder, &with(Some(LOOKAHEAD)));
    let last = folder.join(LAST);
    let without_counts = |mut tensors: NamedTensors| {
        tensors.retain(|(name, _)| !name.ends_with("num_batches_tracked"));
        tensors
    };
    let model = load(&last, Weights::Usual);
    assert_eq!(
        by_name(without_counts(model.network.state_dict())),
        without_counts(under(&last, "lookahead."))
    );
    assert_eq!(model.network.batches_tracked(), Some(STEPS as i64));
    assert!(model.notes.is_empty() && model.optimizer.is_ok());
}

#[test]
fn frozen_groups_keep_their_initial_values() {
    let runs = tempfile::tempdir().unwrap();
    let of = |name: &str, config: &TrainConfig| -> NamedTensors {
        let folder: PathBuf = runs.path().join(name);
        whole(&folder, config);
        load(&folder, Weights::Usual).network.state_dict()
    };
    let mut still = with_everything();
    still.recipe.lr = 0.0;
    let (start, end) = (of("start", &still), of("end", &with_everything()));
    let mut other = still.clone();
    other.recipe.whiten = None;
    let unwhitened = of("unwhitened", &other);
    for ((name, start), ((_, end), (_, unwhitened))) in
        start.iter().zip(end.iter().zip(&unwhitened))
    {
        let is_scale = name.ends_with(".weight") && start.shape.len() == 1;
        if name == "conv1.weight" {
            assert_eq!(start, end);
            assert_ne!(start, unwhitened);
        } else if is_scale {
            assert!(end.as_f32().unwrap().iter().all(|&x| x == 1.0), "{name}");
        } else if !name.contains("running") && !name.ends_with("num_batches_tracked") {
            assert_ne!(start, end, "{name}");
            assert_eq!(start, unwhitened, "{name}");
        }
    }
    let text = fs::read_to_string(runs.path().join("end/config.toml")).unwrap();
    for part in ["[recipe.average]\nkind = \"lookahead\"", "[recipe.sgd.groups.norm_bias]\nlr = 16"]
    {
        assert!(text.contains(part), "{text}");
    }
}

/// A file and a resumed run hold what AdamW keeps, under PyTorch's names.
#[test]
fn adamws_state_is_in_the_files() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let config = TrainConfig { save_torch: true, ..with_fine_tuning() };
    whole(&folder, &config);
    let last = folder.join(LAST);
    for (buffer, is_count) in [("exp_avg", false), ("exp_avg_sq", false), ("step", true)] {
        let tensors = under(&last, &format!("optimizer.{buffer}."));
        let (name, tensor) = &tensors[0];
        assert_eq!((name.as_str(), tensor.as_f32().is_none()), ("bn1.bias", is_count));
    }
    assert_eq!(under(&last, "optimizer.momentum_buffer."), vec![]);
    let steps: BTreeMap<String, Data> =
        under(&last, "optimizer.step.").into_iter().map(|(name, t)| (name, t.data)).collect();
    assert_eq!(steps["linear.bias"], Data::I64(vec![STEPS as i64]));
    assert_eq!(steps["conv1.weight"], Data::I64(vec![STEPS as i64 * 2 / 3]));
    // PyTorch's file has the same.
    let torch = load(&folder.join("resnet8_synthetic_all.tar"), Weights::Usual);
    let (ours, theirs) = (load(&last, Weights::Model).optimizer.unwrap(), torch.optimizer.unwrap());
    assert_eq!(by_name(ours.steps), by_name(theirs.steps));
    assert_eq!(by_name(ours.buffers[1].clone()), by_name(theirs.buffers[1].clone()));
    assert_eq!(ours.config, theirs.config);
    let text = fs::read_to_string(folder.join("config.toml")).unwrap();
    assert!(
        text.contains("[recipe.adamw]\nbetas = [0.9, 0.999]") && !text.contains("sgd"),
        "{text}"
    );
}

/// A frozen backbone without augmentation.
fn with_features() -> TrainConfig {
    let mut config = with(Some(EMA));
    let graph = config.arch.graph(config.data.classes.len());
    config.recipe.freeze = vec![Freeze::backbone(&graph)];
    config.recipe.augment = Augment::NONE;
    config.recipe.clip_grad = Some(0.5);
    config.recipe.class_weights = Some(ClassWeights::BALANCED);
    config.recipe.sampling = Sampling::Balanced;
    config
}

/// Trains, and returns the notes.
fn notes_of(folder: &Path, config: &TrainConfig) -> Vec<String> {
    let mut notes = Vec::new();
    let run = RunFolder::create(folder, config).unwrap();
    let (cpu, stop) = (Cpu::new(2).unwrap(), StopFlag::new(0));
    train(&run, dataset(), &cpu, &stop, &mut |event| {
        if let Event::Note(note) = event {
            notes.push(note.clone());
        }
    })
    .unwrap();
    notes
}

/// Features that are computed once give the bits of a run that computes them in every step.
#[test]
fn features_of_a_frozen_backbone_are_computed_once() {
    let runs = tempfile::tempdir().unwrap();
    let (kept, computed) = (runs.path().join("kept"), runs.path().join("computed"));
    let config = with_features();
    let keeps = |folder: &Path, config: &TrainConfig| {
        let notes = notes_of(folder, config);
        assert!(notes[0].contains("random values and never train: conv1, bn1"), "{notes:?}");
        notes.iter().any(|note| note.contains("is computed once, for 64 images"))
    };
    assert!(keeps(&kept, &config));
    let mut same = config.clone();
    // To the end, which is not said of the whole run.
    same.recipe.freeze[0].until = Some(1.0);
    assert!(!keeps(&computed, &same));
    let [found, expected] = [&kept, &computed].map(|folder| result(folder).without_recipe());
    assert_same(&found, &expected, "features");
    assert!(expected.metrics.iter().any(|m| m["train_loss"] != expected.metrics[0]["train_loss"]));

    for other in [
        |config: &mut TrainConfig| config.recipe.augment = Augment::default(),
        |config: &mut TrainConfig| config.recipe.mix = Some(Mix { mixup: 0.2, cutmix: 0.0 }),
        |config: &mut TrainConfig| config.recipe.freeze[0].eval = false,
        |config: &mut TrainConfig| {
            config.recipe.image_sizes = vec![SizePhase { until: 0.5, size: 16 }];
        },
    ] {
        let (folder, mut config) = (tempfile::tempdir().unwrap(), config.clone());
        other(&mut config);
        assert!(!keeps(&folder.path().join("run"), &config));
    }
}

#[test]
fn runs_end_early_without_progress() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let mut config = with(None);
    config.recipe.lr = 0.0;
    config.recipe.batch_norm_momentum = 1e-9;
    config.recipe.patience = Some(1);
    let mut notes = Vec::new();
    let run_folder = RunFolder::create(&folder, &config).unwrap();
    let mut listen = |event: &Event| {
        if let Event::Note(note) = event {
            notes.push(note.clone());
        }
    };
    let (cpu, stop) = (Cpu::new(2).unwrap(), StopFlag::new(0));
    let ended = train(&run_folder, dataset(), &cpu, &stop, &mut listen).unwrap();
    assert!(matches!(ended, Outcome::Finished(m) if m.epoch == 2));
    assert!(notes[0].contains("no better epoch in 1: stopped after epoch 2 of 3"), "{notes:?}");
}
