//! Builds the configuration of a run from the arguments.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use resnet::{
    Arch, Cpu, Dtype,
    config::{DataConfig, PhotosConfig, TrainConfig},
    data::{self, Augment, Flip, ImageSet, Normalisation, Parts},
    model_file::{DEMO, PublishedWeights},
    recipe::{Length, Recipe},
    run::CONFIG,
    train,
};
use resnet_formats::Shown;

use crate::{
    args::{AugmentName, DataArg, Global, NormalisationArgs, RecipeArgs, Share, TrainArgs},
    error::Usage,
    overrides, runs, weights,
};

/// The network for photos, where no other is given.
const PHOTO_ARCH: &str = "resnet18";

/// The model that a new run starts from.
#[derive(Clone, Debug)]
pub(crate) struct StartingPoint {
    pub(crate) arch: Arch,
    /// File with the initial weights.
    pub(crate) checkpoint: Option<PathBuf>,
    /// Published weights whose file is to be that one.
    pub(crate) published: Option<&'static PublishedWeights>,
    /// Which weights of that file.
    pub(crate) weights: Option<String>,
    /// Finished epochs of the checkpoint, if the run resumes it.
    pub(crate) finished_epochs: Option<u64>,
}

impl StartingPoint {
    /// Random weights.
    pub(crate) fn random(arch: Arch) -> StartingPoint {
        let (checkpoint, published, weights, finished_epochs) = (None, None, None, None);
        StartingPoint { arch, checkpoint, published, weights, finished_epochs }
    }
}

/// The settings of a new run: options of the command line, over those of `--config`.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The arguments, with the settings of `--config` where no option is given.
    pub(crate) args: TrainArgs,
    /// The configuration of `--config`.
    base: Option<Base>,
}

#[derive(Clone, Debug)]
struct Base {
    file: PathBuf,
    config: TrainConfig,
}

impl Settings {
    /// Reads the file of `--config`, if there is one.
    pub(crate) fn new(args: &TrainArgs, global: &Global) -> anyhow::Result<Settings> {
        let mut args = args.clone();
        if args.data.is_folder() && !args.is_given("--arch") && args.start.config.is_none() {
            args.arch = PHOTO_ARCH.parse()?;
        }
        if !args.is_given("--recipe") {
            args.recipe.recipe = usual_recipe(&args).into();
        }
        let Some(file) = &args.start.config else {
            if !args.is_given("--arch") && !args.data.is_folder() {
                args.arch = Recipe::default_arch(&args.recipe.recipe).parse()?;
            }
            return Ok(Settings { args, base: None });
        };
        let mut file = runs::resolve(file)?.into_owned();
        if file.is_dir() {
            file.push(CONFIG);
        }
        let config = TrainConfig::read(&file)?;
        let TrainConfig { data, recipe, .. } = &config;
        if !args.is_given("DATA") {
            args.data = DataArg::new(data.name.clone().into())
                .with_context(|| format!("{}: data.name", file.shown()))?;
        }
        if !args.is_given("--arch") {
            args.arch = config.arch;
        }
        if !args.is_given("--seed") {
            args.recipe.seed = config.seed;
        }
        let images = &mut args.images;
        let photos = data.photos.as_ref();
        let is_own = photos.is_some_and(|photos| photos.own_validation);
        let validation = Some(data.validation).filter(|&images| images > 0 && !is_own);
        images.validation = images.validation.or(validation.map(Share::Images));
        let is_same = matches!(&args.data, DataArg::Named(source) if source.name() == data.name);
        if is_same {
            images.image_size = images.image_size.or(Some(data.image_size));
        }
        if args.data.is_folder() {
            images.image_size = images.image_size.or(photos.map(|_| data.image_size));
            images.labels =
                images.labels.take().or(photos.and_then(|photos| photos.labels.clone()));
        }
        images.limit_train = images.limit_train.or(data.limit_train);
        images.limit_test = images.limit_test.or(data.limit_test);
        args.data_dir.from_run = data.dir.clone();
        args.save_torch |= config.save_torch;
        let length = recipe.length.steps(config.steps_per_epoch());
        let overridden = ["--epochs", "--budget", "--recipe"].iter().any(|o| args.is_given(o));
        if length != config.total_steps && config.earlier_lengths.is_empty() && !overridden {
            global.note(format!(
                "{}: total_steps ({}) decides the length, not recipe.length ({length} steps); --epochs \
                 chooses another",
                file.shown(),
                config.total_steps
            ));
        }
        Ok(Settings { args, base: Some(Base { file, config }) })
    }

    fn base(&self) -> Option<&TrainConfig> {
        self.base.as_ref().map(|base| &base.config)
    }

    /// Whether the architecture is given, rather than the default.
    pub(crate) fn arch_is_known(&self) -> bool {
        self.base.is_some() || self.args.is_given("--arch")
    }

    /// The start of a run without `--init` and `--resume`.
    pub(crate) fn starting_point(&self) -> StartingPoint {
        let base = self.base();
        StartingPoint {
            arch: self.args.arch,
            checkpoint: base.and_then(|base| base.init_from.clone()),
            published: None,
            weights: base.and_then(|base| base.init_weights.clone()),
            finished_epochs: base.and_then(|base| base.continues_after),
        }
    }

    /// The recipe with the given options applied, for `images` training images of these classes. Where
    /// no option gives the number of epochs, it is `planned`, or else the recipe's.
    fn recipe(
        &self,
        arch: Arch,
        classes: &[String],
        images: usize,
        planned: Option<f64>,
        cpu: &Cpu,
    ) -> anyhow::Result<Recipe> {
        let RecipeArgs { recipe: name, epochs, dtype, .. } = &self.args.recipe;
        let base = self.base().map(|base| &base.recipe);
        let known = base.map_or_else(|| Dtype::fastest(cpu), |base| base.dtype);
        let known_epochs = epochs.map(|epochs| epochs as f64).or(planned);
        let of_size = if self.args.data.is_folder() { Recipe::for_photos } else { Recipe::of_size };
        let named = |name: &str| of_size(name, arch, known_epochs, [images, classes.len()]);
        let mut recipe = match base.filter(|_| !self.args.is_given("--recipe")) {
            Some(base) => base.clone(),
            None => {
                let mut recipe = named(name).context("every listed recipe exists")?;
                if !self.args.data.may_be_mirrored() {
                    recipe.augment.flip = Flip::Never;
                }
                recipe
            }
        };
        if let Some(epochs) = *epochs {
            recipe.length = Length::Epochs(epochs as u64);
        }
        recipe.dtype = dtype.map_or(known, Dtype::from);
        let graph = arch.graph(classes.len());
        overrides::apply(&self.args.recipe, &mut recipe, &graph, classes, named)?;
        Ok(recipe)
    }

    /// Rows and columns of the images that the recipe was made for.
    fn recipe_size(&self) -> anyhow::Result<usize> {
        match (self.base().filter(|_| !self.args.is_given("--recipe")), &self.args.data) {
            (Some(base), _) => Ok(base.data.image_size),
            (None, DataArg::Named(source)) => Ok(data::info(source.name(), Path::new(""))?.height),
            (None, DataArg::Folder(_)) => Ok(self.args.arch.image_size()),
        }
    }

    /// The length of the run: the recipe's or `--epochs`, but for a configuration of another length
    /// (`--budget`, or `--epochs` when it was resumed).
    fn length(&self, recipe: &Recipe) -> Length {
        let own = |base: &&TrainConfig| {
            let steps = base.steps_per_epoch();
            recipe.length == base.recipe.length && recipe.length.steps(steps) != base.total_steps
        };
        match self.base().filter(own).filter(|_| self.args.recipe.epochs.is_none()) {
            Some(base) if base.total_steps.is_multiple_of(base.steps_per_epoch()) => {
                Length::Epochs(base.epochs())
            }
            Some(base) => Length::Steps(base.total_steps),
            None => recipe.length,
        }
    }
}

/// The recipe of a new run, where no option names one.
fn usual_recipe(args: &TrainArgs) -> &'static str {
    let is_from_weights = match &args.start.init {
        Some(init) => init.is_something(),
        None => weights::is_by_default(args) && PublishedWeights::usual(args.arch).is_some(),
    };
    let is_asked = args.is_given("--arch") || args.start.resume.is_some();
    match is_from_weights {
        true => "finetune",
        false if is_asked || args.data.is_folder() => "fast",
        false => Recipe::ALL[0].0,
    }
}

/// The configuration of a new run with these settings on this data. Its length is the recipe's,
/// `--epochs` or that of `--config`; its recipe is one for `planned` epochs, if they are known.
pub(crate) fn build(
    settings: &Settings,
    start: &StartingPoint,
    data: &Parts,
    planned: Option<f64>,
    cpu: &Cpu,
    global: &Global,
) -> anyhow::Result<TrainConfig> {
    let Settings { args, base } = settings;
    let images = data.train.len();
    let (validation, train_images) = match (&data.train, &data.validation) {
        (ImageSet::Photos(_), validation) => (validation.as_ref().map_or(0, ImageSet::len), images),
        (ImageSet::Memory(_), _) => {
            let validation = args.images.validation.map_or(0, |share| share.of(images));
            let left = images.checked_sub(validation).filter(|&n| n > 0).ok_or_else(|| {
                Usage(format!(
                    "--validation {validation} leaves no images to train on: the training set has \
                     {images}"
                ))
            })?;
            (validation, left)
        }
    };
    let mut recipe = settings.recipe(start.arch, &data.classes, train_images, planned, cpu)?;
    let [image_size, ..] = data.train.size();
    let photos = match &data.train {
        ImageSet::Memory(_) => {
            if args.images.image_size.is_some() {
                recipe = recipe.for_image_size(settings.recipe_size()?, image_size);
            }
            match args.recipe.augmentation.augment {
                None => {}
                Some(AugmentName::None) => recipe.augment = Augment::NONE,
                Some(_) => {
                    let message = "--augment is for folders of photos, but for --augment none";
                    return Err(Usage(message.into()).into());
                }
            }
            if args.images.labels.is_some() {
                return Err(Usage("--labels is for folders of photos".into()).into());
            }
            None
        }
        ImageSet::Photos(photos) => {
            let resize = photos.preparation().resize.unwrap_or(image_size);
            if let Some(name) = args.recipe.augmentation.augment {
                recipe.transform = Some(name.transform(resize));
            }
            Some(PhotosConfig {
                resize,
                own_validation: data.own_validation,
                labels: args.images.labels.as_ref().map(absolute).transpose()?,
            })
        }
    };
    // The facts of the same data that a configuration states.
    let stated = base.as_ref().filter(|base| base.config.data.name == data.name);
    if let Some(base) = stated {
        check_stated(args, base, data, train_images, global)?;
    }
    let known = stated.map(|base| base.config.data.normalisation.clone());
    let dir = args.data_dir.path.as_ref().or(args.data_dir.from_run.as_ref());
    let length = settings.length(&recipe);
    let mut config = TrainConfig {
        arch: start.arch,
        seed: args.recipe.seed,
        total_steps: 0,
        init_from: start.checkpoint.as_ref().map(absolute).transpose()?,
        init_weights: start.weights.clone(),
        continues_after: start.finished_epochs,
        earlier_lengths: Vec::new(),
        save_torch: args.save_torch,
        data: DataConfig {
            name: data.name.clone(),
            dir: dir.map(absolute).transpose()?,
            classes: data.classes.clone(),
            image_size,
            train_images,
            validation,
            limit_train: args.images.limit_train,
            limit_test: args.images.limit_test,
            normalisation: given_normalisation(args.images.normalisation)
                .or(known)
                .unwrap_or_else(|| data.normalisation.clone()),
            photos,
        },
        recipe,
    };
    if args.images.mean_image {
        config.data.normalisation.mean_image = Some(mean_image(data, &config)?);
    }
    config.total_steps = length.steps(config.steps_per_epoch());
    let same = |base: &&TrainConfig| {
        let length = |config: &TrainConfig| (config.total_steps, config.steps_per_epoch());
        length(base) == length(&config)
    };
    if let Some(base) = settings.base().filter(same) {
        config.earlier_lengths.clone_from(&base.earlier_lengths);
    }
    overrides::end_freeze(&args.recipe, &mut config)?;
    Ok(config)
}

/// The mean of the images to train on, without those of the validation set.
fn mean_image(data: &Parts, config: &TrainConfig) -> anyhow::Result<Vec<f32>> {
    let ImageSet::Memory(images) = &data.train else {
        return Err(Usage("--mean-image needs images in memory, not photos".into()).into());
    };
    let mut images = images.clone();
    if config.data.validation > 0 {
        images.random_split(config.data.validation, config.seed)?;
    }
    Ok(images.mean_image())
}

/// Makes the batches of a run smaller, and the learning rate in proportion, if there is no memory for
/// those of its recipe beside `kept` bytes of something else.
pub(crate) fn fit_memory(
    config: &mut TrainConfig,
    args: &TrainArgs,
    kept: u64,
    cpu: &Cpu,
    global: &Global,
) -> anyhow::Result<()> {
    let asked = config.recipe.batch_size.min(config.data.train_images);
    // Where not even one image fits, training says so.
    let Some(largest) = train::largest_batch(config, kept, cpu)?.filter(|&largest| largest < asked)
    else {
        return Ok(());
    };
    let epochs = config.total_steps as f64 / config.steps_per_epoch() as f64;
    let recipe = &mut config.recipe;
    let mut note = format!("there is memory for batches of {largest} images, not of {asked}");
    if args.recipe.optimizer.lr.is_none() {
        recipe.lr *= largest as f64 / recipe.batch_size as f64;
        note += &format!("; the learning rate is {:.4}, in proportion", recipe.lr);
    }
    recipe.batch_size = largest;
    config.total_steps = (epochs * config.steps_per_epoch() as f64).round() as u64;
    global.note(note);
    Ok(())
}

/// Compares the data with what a configuration states about it.
fn check_stated(
    args: &TrainArgs,
    base: &Base,
    data: &Parts,
    train_images: usize,
    global: &Global,
) -> anyhow::Result<()> {
    let (file, stated) = (base.file.shown(), &base.config.data);
    if stated.classes != data.classes {
        bail!("{file}: data.classes are not the classes of {}", data.name);
    }
    let overridden = ["--validation", "--limit-train"].iter().any(|option| args.is_given(option));
    if stated.train_images != train_images && !overridden {
        global.note(format!(
            "{file}: data.train_images is {}, but limit_train and validation leave {train_images}",
            stated.train_images
        ));
    }
    Ok(())
}

/// A path for `config.toml`.
pub(crate) fn absolute(path: impl AsRef<Path>) -> anyhow::Result<PathBuf> {
    let path = path.as_ref();
    let is_file = path != Path::new(DEMO);
    let path = if is_file { std::path::absolute(path) } else { Ok(path.to_owned()) }
        .context("the working folder does not exist")?;
    if path.to_str().is_none() {
        bail!("{} is not UTF-8: config.toml cannot store this path, rename the file", path.shown());
    }
    Ok(path)
}

/// The normalisation of `--mean` and `--std`, if given.
pub(crate) fn given_normalisation(args: NormalisationArgs) -> Option<Normalisation> {
    let (mean, std) = args.mean.zip(args.std)?;
    Some(Normalisation::new(mean.0.to_vec(), std.0.to_vec()))
}

#[cfg(test)]
mod tests {
    use resnet::{data::LoadOptions, optim::SgdConfig};

    use super::*;
    use crate::args::{Cli, Verb};

    fn data() -> Parts {
        let options =
            LoadOptions { limit_train: Some(100), limit_test: Some(1), ..Default::default() };
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
        let options =
            LoadOptions { limit_train: Some(100), limit_test: Some(1), ..Default::default() };
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
            optimizer: SgdConfig { momentum: 0.8, weight_decay: 0.25, ..SgdConfig::default() }
                .into(),
            ..paper.recipe
        };
        assert_eq!(changed.recipe, expected);
        let normalisation = Normalisation::new(vec![0.0, 0.5, 1.0], vec![1.0, 2.0, 3.0]);
        assert_eq!(changed.data.normalisation, normalisation);
    }
}
