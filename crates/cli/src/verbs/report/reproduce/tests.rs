use resnet::{
    Cpu,
    config::{EarlierLength, PhotosConfig},
    data::{LoadOptions, load},
    schedule::Schedule,
};

use super::*;
use crate::{
    args::{Cli, InitArg, Verb},
    config::{self, Settings, StartingPoint},
    data,
};

/// The configuration of a command line, as `resnet train` makes it.
fn configured(line: &str) -> TrainConfig {
    let cli = Cli::parsed(line.split(' ')).unwrap();
    let Verb::Train(args) = cli.verb else { panic!("another verb") };
    let init = args.start.init.as_ref().and_then(|init| match init {
        InitArg::Path(path) => Some(path.clone()),
        InitArg::Published(weights, _) => Some(Path::new("/cache").join(weights.file())),
        InitArg::Nothing => None,
    });
    let start = StartingPoint {
        arch: args.arch,
        checkpoint: init.or(args.start.resume.clone()),
        published: None,
        weights: args.start.weights.weights.as_ref().map(ToString::to_string),
        finished_epochs: args.start.resume.as_ref().map(|_| 0),
        normalisation: None,
    };
    let options = LoadOptions {
        limit_train: args.images.limit_train,
        limit_test: args.images.limit_test,
        ..LoadOptions::default()
    };
    let set = load("synthetic", &options).unwrap();
    let data = data::resized(set, args.images.image_size, &cli.global).unwrap().into();
    let settings = Settings::new(&args, &cli.global).unwrap();
    config::build(&settings, &start, &data, None, &Cpu::new(1).unwrap(), &cli.global).unwrap()
}

#[test]
fn the_command_reproduces_the_configuration() {
    let begin = "resnet train synthetic --limit-train 100 --limit-test 7";
    for line in [
        format!("{begin} --arch resnet8"),
        format!("{begin} --arch resnet20 --recipe paper --dtype fp32"),
        format!("{begin} --arch resnet8 --recipe walkthrough --epochs 3 --seed 9 --validation 20"),
        format!(
            "{begin} --batch-size 10 --lr 0.00015 --momentum 0.8 --weight-decay 0.0001 \
             --label-smoothing 0.05 --dtype bf16 --mean 0,0.5,1 --std 1,2,3 --save-torch"
        ),
        format!("{begin} --arch resnet8 --init /a/b.safetensors --data-dir /data"),
        format!("{begin} --arch resnet50 --init resnet50.a1_in1k"),
        format!("{begin} --arch resnet8 --resume /a/b.pt"),
        format!("{begin} --arch resnet8 --mixup 0.2 --cutmix 1"),
        format!("{begin} --arch resnet8 --lr 0.3"),
        format!("{begin} --arch resnet8 --optimizer sgd --lr 0.3"),
        format!(
            "{begin} --arch resnet8 --optimizer adamw --lr 0.002 --weight-decay 0.1 --clip-grad 1"
        ),
        format!("{begin} --arch resnet8 --epochs 8 --image-size 40"),
        format!("{begin} --arch resnet8 --recipe finetune"),
        format!("{begin} --arch resnet8 --recipe finetune --epochs 3"),
        format!(
            "{begin} --arch resnet8 --patience 3 --metric f1 --sampling balanced --class-weights balanced"
        ),
        format!("{begin} --arch resnet8 --layer-decay 0.7 --freeze backbone --augment none"),
        format!("{begin} --arch resnet8 --freeze conv1,layer1 --metric balanced"),
        format!("{begin} --arch resnet8 --freeze bn1 --freeze-epochs 2 --epochs 7"),
        format!("{begin} --arch resnet8 --recipe finetune --freeze-epochs 0 --layer-decay 1"),
        format!("{begin} --arch resnet8 --recipe finetune --freeze conv1 --epochs 1"),
        format!("{begin} --arch resnet8 --recipe finetune --freeze conv1 --freeze-epochs 0"),
    ] {
        let config = configured(&line);
        let Reproduction { command, note } = reproduce(&config);
        assert_eq!(configured(&command), config, "{command}");
        assert_eq!(note.is_some(), line.contains("/a/b"));
    }
}

#[test]
fn default_values_are_left_out() {
    let line = "resnet train synthetic --arch resnet8 --recipe fast --dtype fp32 \
                --limit-train 50 --limit-test 1";
    assert_eq!(reproduce(&configured(line)).command, line);
}

#[test]
fn a_run_that_options_cannot_express_uses_its_configuration() {
    let config = configured("resnet train synthetic --limit-train 300 --limit-test 1");
    for change in [
        |c: &mut TrainConfig| c.total_steps += 1,
        |c: &mut TrainConfig| c.recipe.schedule = Schedule::one_cycle(0.5),
        |c: &mut TrainConfig| c.recipe.augment.flip = Flip::Never,
        |c: &mut TrainConfig| c.recipe.name = "mine".into(),
        |c: &mut TrainConfig| {
            c.earlier_lengths = vec![EarlierLength { until_step: 3, total_steps: 3 }];
        },
    ] {
        let mut other = config.clone();
        change(&mut other);
        let Reproduction { command, note } = reproduce(&other);
        assert_eq!(command, "resnet train --config again.toml");
        assert!(note.unwrap().contains("again.toml"));
    }
    for change in [
        |c: &mut TrainConfig| c.recipe.class_weights = Some(ClassWeights::Given(vec![2.0; 10])),
        |c: &mut TrainConfig| {
            let until = Some(0.1234);
            c.recipe.freeze = vec![Freeze { until, ..Freeze::backbone(&c.arch.graph(10)) }];
        },
        |c: &mut TrainConfig| {
            let layers = Freeze::layers(vec!["conv1".into()]);
            c.recipe.freeze = vec![Freeze { eval: false, ..layers }];
        },
    ] {
        let mut other = config.clone();
        change(&mut other);
        assert!(reproduce(&other).command.contains("--config"), "{:?}", other.recipe);
    }
    // A --budget may result in whole epochs.
    let mut whole = config.clone();
    whole.total_steps = 14 * whole.steps_per_epoch();
    assert!(reproduce(&whole).command.contains("--epochs 14"));
}

#[test]
fn digits_are_not_mirrored() {
    let mut config = configured("resnet train synthetic --arch resnet8 --limit-train 300");
    (config.data.name, config.data.image_size) = ("mnist".into(), 28);
    assert!(!reproduce(&config).command.contains("resnet train mnist"));
    config.recipe.augment.flip = Flip::Never;
    assert!(reproduce(&config).command.contains("resnet train mnist"));
}

#[test]
fn augmentation_of_photos_has_a_name() {
    let mut config = configured("resnet train synthetic --arch resnet8 --limit-train 300");
    config.data.name = "/photos".into();
    config.data.photos = Some(PhotosConfig { resize: 36, own_validation: false, labels: None });
    let epochs = Some(config.total_steps as f64 / config.steps_per_epoch() as f64);
    let recipe = Recipe::for_photos("fast", config.arch, epochs, [300, 10]).unwrap();
    config.recipe = Recipe { batch_size: config.recipe.batch_size, ..recipe };
    for (name, word) in [
        (AugmentName::None, "none"),
        (AugmentName::RandAugment, "rand-augment"),
        (AugmentName::TrivialAugment, "trivial-augment"),
    ] {
        config.recipe.transform = Some(name.of(None, 36));
        let command = reproduce(&config).command;
        assert!(command.contains(&format!("--augment {word} ")), "{command}");
    }
}
