use resnet::{
    Device, Dtype,
    data::{self, Flip, LoadOptions, Normalisation},
    optim::SgdConfig,
    recipe::{Length, Recipe},
};

use super::*;
use crate::args::{Cli, Verb};

fn data() -> Parts {
    let options = LoadOptions { limit_train: Some(100), limit_test: Some(1), ..Default::default() };
    data::load("synthetic", &options).unwrap().into()
}

fn config(line: &str) -> anyhow::Result<TrainConfig> {
    config_of("synthetic", line)
}

fn config_of(data_set: &str, line: &str) -> anyhow::Result<TrainConfig> {
    let words = format!("resnet train {data_set} {line}");
    let cli = Cli::parsed(words.split(' '))?;
    let Verb::Train(args) = cli.verb else { unreachable!() };
    let settings = Settings::new(&args, &cli.global)?;
    build(&settings, &settings.starting_point(), &data(), None, &Cpu::new(1)?, &cli.global)
}

#[test]
fn digits_are_not_mirrored() {
    for recipe in ["sprint", "fast", "finetune", "walkthrough", "paper"] {
        let line = format!("--recipe {recipe} --arch resnet20");
        let flip = |name| config_of(name, &line).unwrap().recipe.augment.flip;
        assert_eq!(flip("mnist"), Flip::Never);
        assert_ne!(flip("fashion-mnist"), Flip::Never);
    }
}

#[test]
fn weights_of_another_training_are_tuned() {
    let photos = tempfile::tempdir().unwrap();
    let photos = photos.path().display().to_string();
    for (data, options, expected) in [
        ("cifar10", "", "sprint"),
        ("cifar10", "--arch resnet20", "fast"),
        ("cifar10", "--init net.pt", "finetune"),
        ("cifar10", "--arch resnet20 --init resnet18", "finetune"),
        ("cifar10", "--init none", "sprint"),
        ("cifar10", "--init net.pt --recipe fast", "fast"),
        ("cifar10", "--resume net.pt", "fast"),
        (&photos, "", "finetune"),
        (&photos, "--init none", "fast"),
        (&photos, "--arch resnet20", "fast"),
        (&photos, "--arch resnet20 --init net.pt", "finetune"),
        (&photos, "--recipe paper", "paper"),
    ] {
        let cli = Cli::parsed(format!("resnet train {data} {options}").trim().split(' '));
        let Verb::Train(args) = cli.unwrap().verb else { unreachable!() };
        let global = Cli::parsed(["resnet", "archs"]).unwrap().global;
        let settings = Settings::new(&args, &global).unwrap();
        assert_eq!(settings.args.recipe.recipe, expected, "{data} {options}");
        let arch = settings.args.arch.to_string();
        let is_usual = data == photos && !options.contains("--arch");
        assert_eq!(is_usual, arch == "resnet18", "{data} {options}: {arch}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn photos_can_make_room_for_a_batch() {
    let config = config("--arch resnet20 --batch-size 2").unwrap();
    let device = Device::from(&Cpu::new(1).unwrap());
    let check = |kept| check_memory(&config, kept, &device, "free some");
    check(0).unwrap();
    let error = check(1 << 50).unwrap_err().to_string();
    assert!(error.ends_with("to train resnet20: --cache disk, or free some"), "{error}");
}

#[test]
fn images_in_memory_can_be_left_as_they_are() {
    let plain = config("--arch resnet20 --augment none").unwrap();
    assert_eq!(plain.recipe.augment, Augment::NONE);
    let error = config("--arch resnet20 --augment crop").unwrap_err().to_string();
    assert!(error.contains("--augment is for folders of photos"), "{error}");
}

#[test]
fn frozen_epochs_can_be_left_out() {
    let line = "--arch resnet20 --recipe finetune --batch-size 10";
    let frozen = |more: &str| config(&format!("{line} {more}")).unwrap().recipe.freeze;
    assert!(frozen("--seed 1")[0].until.is_some());
    assert!(frozen("--freeze-epochs 0").is_empty());
    assert_eq!(frozen("--freeze backbone")[0].until, None);
    assert_eq!(frozen("--epochs 4 --freeze-epochs 3")[0].until, Some(0.75));
}

#[test]
fn a_recipe_follows_the_size_of_resized_images() {
    let small = config("--recipe fast --arch resnet20 --epochs 30").unwrap().recipe;
    let cli = Cli::parsed(
        "resnet train synthetic --image-size 64 --recipe fast --arch resnet20 --epochs 30"
            .split(' '),
    );
    let Verb::Train(args) = cli.unwrap().verb else { unreachable!() };
    let options = LoadOptions { limit_train: Some(100), limit_test: Some(1), ..Default::default() };
    let global = Cli::parsed(["resnet", "archs", "--threads", "1"]).unwrap().global;
    let set = crate::data::resized(
        data::load("synthetic", &options).unwrap(),
        args.images.image_size,
        &global,
    );
    let settings = Settings::new(&args, &global).unwrap();
    let parts = set.unwrap().into();
    let start = settings.starting_point();
    let large = build(&settings, &start, &parts, None, &Cpu::new(1).unwrap(), &global).unwrap();
    assert_eq!(large.data.image_size, 64);
    assert_eq!(large.recipe.augment.pad, 2 * small.augment.pad);
    assert_eq!(large.recipe.augment.cutout, 2 * small.augment.cutout);
    let sizes = |recipe: &Recipe| recipe.image_sizes.iter().map(|phase| phase.size).collect();
    let (small, large): (Vec<usize>, Vec<usize>) = (sizes(&small), sizes(&large.recipe));
    assert_eq!((small, large), (vec![16, 24], vec![32, 48]));
}

#[test]
fn frozen_epochs_end_where_an_epoch_begins() {
    let config = |line: &str| config(&format!("--arch resnet20 --batch-size 30 {line}"));
    let frozen = config("--epochs 7 --freeze-epochs 3").unwrap();
    let factor = |step| frozen.recipe.freeze_factor("conv1", step, frozen.total_steps);
    assert_eq!((frozen.steps_per_epoch(), factor(11), factor(12)), (4, 0.0, 1.0));
    let error = config("--epochs 3 --freeze-epochs 3").unwrap_err().to_string();
    assert!(error.contains("leaves no epoch for all layers: the run has 3"), "{error}");
}

#[test]
fn options_override_the_recipe() {
    let paper = config("--recipe paper --arch resnet20").unwrap();
    assert_eq!((paper.total_steps, paper.recipe.batch_size), (64_000, 128));
    let changed = config(
        "--recipe paper --arch resnet20 --epochs 3 --batch-size 10 --lr 0.5 --momentum 0.8 \
         --weight-decay 0.25 --label-smoothing 0.125 --seed 7 --validation 20 \
         --mean 0,0.5,1 --std 1,2,3 --dtype bf16",
    )
    .unwrap();
    assert_eq!((changed.total_steps, changed.seed, changed.data.train_images), (24, 7, 80));
    let fastest = Dtype::fastest(&Cpu::new(1).unwrap());
    assert_eq!((paper.recipe.dtype, changed.recipe.dtype), (fastest, Dtype::Bf16));
    let expected = Recipe {
        length: Length::Epochs(3),
        batch_size: 10,
        lr: 0.5,
        label_smoothing: 0.125,
        dtype: Dtype::Bf16,
        optimizer: SgdConfig { momentum: 0.8, weight_decay: 0.25, ..SgdConfig::default() }.into(),
        ..paper.recipe
    };
    assert_eq!(changed.recipe, expected);
    let normalisation = Normalisation::new(vec![0.0, 0.5, 1.0], vec![1.0, 2.0, 3.0]);
    assert_eq!(changed.data.normalisation, normalisation);
}
