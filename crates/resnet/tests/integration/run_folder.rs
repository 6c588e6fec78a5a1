//! What is in the folder of a run: a model, the last good checkpoint, or nothing at all.

use resnet::{
    model_file::key,
    run::{BEST, LAST, RunFolder, load_model},
};
use resnet_formats::safetensors;

use crate::common::{
    outcome::{bits, failure, uninterrupted},
    small_run::{config, dataset},
};

#[test]
fn a_run_is_a_model() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    uninterrupted(folder.clone());
    let model = load_model(&folder, &None.into()).unwrap();
    assert_eq!((model.path, model.image_size), (folder.join(BEST), 32));
    assert_eq!(model.classes, Some(config().data.classes));
    assert_eq!(model.normalisation, Some(config().data.normalisation));
    let (tensors, _) = safetensors::read(&folder.join(BEST)).unwrap();
    let saved = bits(tensors);
    for tensor in bits(model.network.state_dict()) {
        assert!(saved.contains(&tensor), "{}", tensor.0);
    }
    let other = load_model(&folder, &"resnet20".parse().ok().into()).unwrap_err();
    assert!(other.to_string().contains("is a resnet8, not a resnet20"), "{other}");
}

#[test]
fn a_run_that_cannot_begin_leaves_no_folder() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("deep/run");
    let mut other = config();
    other.init_from = Some(runs.path().join("no-such.safetensors"));
    let run_folder = RunFolder::create(&folder, &other).unwrap();
    let error = failure(&run_folder, dataset());
    assert!(error.contains("no-such.safetensors cannot be read"), "{error}");
    assert!(!runs.path().join("deep").exists());

    let run_folder = RunFolder::create(&folder, &config()).unwrap();
    let mut fewer = dataset();
    fewer.train.limit(30);
    let error = failure(&run_folder, fewer);
    assert!(error.contains("26 training images, but the configuration has 40"), "{error}");
    assert!(!runs.path().join("deep").exists());
}

#[test]
fn a_diverging_run_stops_and_keeps_its_last_good_checkpoint() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let mut config = config();
    config.recipe.lr = 1e30;
    // One good epoch at a rate of zero, then a step too far.
    config.recipe.warm_up = Some(resnet::schedule::WarmUp { steps: 4, factor: 0.0 });
    let run_folder = RunFolder::create(&folder, &config).unwrap();
    let message = failure(&run_folder, dataset());
    assert!(message.contains("diverged in epoch 2") && message.contains("--lr"), "{message}");
    let kept = format!("--init {}", folder.join(LAST).display());
    assert!(message.ends_with(&kept), "{message}");
    let (tensors, metadata) = safetensors::read(&folder.join(LAST)).unwrap();
    assert!(metadata[key::PROGRESS].contains("\"epoch\":2,\"batch\":0"), "{metadata:?}");
    for (name, tensor) in tensors {
        assert!(tensor.as_f32().is_none_or(|v| v.iter().all(|v| v.is_finite())), "{name}");
    }

    // Nothing is kept where nothing was good.
    config.recipe.warm_up = None;
    let run_folder = RunFolder::create(&runs.path().join("at once"), &config).unwrap();
    let message = failure(&run_folder, dataset());
    assert!(message.contains("epoch 1") && message.ends_with("(--batch-size)"), "{message}");
    assert!(!message.contains("--weight-decay"), "{message}");

    // The rate is not always at fault.
    config.recipe.lr = 0.05;
    *config.recipe.optimizer.weight_decay_mut() = 1e30;
    let run_folder = RunFolder::create(&runs.path().join("decayed"), &config).unwrap();
    let message = failure(&run_folder, dataset());
    let advice = "with a weight decay far below 1e30 (--weight-decay), a learning rate below 0.05";
    assert!(message.contains(advice), "{message}");
}
