//! The settings of a new run: options of the command line, over those of `--config`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use resnet::{
    Arch, Cpu, Dtype,
    config::TrainConfig,
    data::{self, Augment, Flip, Normalisation},
    model_file::PublishedWeights,
    recipe::{Length, Recipe},
    run::CONFIG,
};
use resnet_formats::Shown;

use crate::{
    args::{DataArg, Global, RecipeArgs, Share, TrainArgs},
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
    /// How the model's pixels were normalised, if its file says so.
    pub(crate) normalisation: Option<Normalisation>,
}

impl StartingPoint {
    /// Random weights.
    pub(crate) fn random(arch: Arch) -> StartingPoint {
        StartingPoint {
            arch,
            checkpoint: None,
            published: None,
            weights: None,
            finished_epochs: None,
            normalisation: None,
        }
    }
}

/// The settings of a new run: options of the command line, over those of `--config`.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The arguments, with the settings of `--config` where no option is given.
    pub(crate) args: TrainArgs,
    /// The configuration of `--config`.
    pub(super) base: Option<Base>,
}

#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) file: PathBuf,
    pub(super) config: TrainConfig,
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
        let is_same = args.data.is_that_of(data);
        if is_same || (args.data.is_folder() && photos.is_some()) {
            images.image_size = images.image_size.or(Some(data.image_size));
        }
        if is_same {
            let validation = Some(data.validation).filter(|&images| images > 0 && !is_own);
            images.validation = images.validation.or(validation.map(Share::Images));
            // A table has the photos of one folder.
            let labels = photos.and_then(|photos| photos.labels.clone());
            images.labels = images.labels.take().or(labels);
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

    pub(super) fn base(&self) -> Option<&TrainConfig> {
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
            normalisation: None,
        }
    }

    /// The recipe with the given options applied, for `images` training images of these classes. Where
    /// no option gives the number of epochs, it is `planned`, or else the recipe's.
    pub(super) fn recipe(
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
            None => named(name).context("every listed recipe exists")?,
        };
        if self.args.start.resume.is_some() {
            // What another program has begun goes on with its own optimiser.
            recipe.muon = None;
        }
        self.suit_data(&mut recipe);
        // Run folders of earlier versions may have one, and are read.
        if self.args.data.is_folder() && recipe.augment != Augment::NONE {
            bail!(
                "[recipe.augment] of the configuration (--config) does nothing to photos, which have \
                 [recipe.transform]: it must be pad = 0 and flip = false, and no more"
            );
        }
        if let Some(epochs) = *epochs {
            recipe.length = Length::Epochs(epochs as u64);
        }
        recipe.dtype = dtype.map_or(known, Dtype::from);
        let graph = arch.graph(classes.len());
        overrides::apply(&self.args.recipe, &mut recipe, &graph, classes, named)?;
        recipe.parallel = self.args.parallel.applied(recipe.parallel);
        Ok(recipe)
    }

    /// Takes from a recipe what does not suit the data: mirrored digits, and images of CIFAR's sizes where photos
    /// follow the configuration of a data set.
    fn suit_data(&self, recipe: &mut Recipe) {
        let base = self.base().filter(|_| !self.args.is_given("--recipe"));
        let is_folder = self.args.data.is_folder();
        let is_of_folder = base.map_or(is_folder, |base| base.data.photos.is_some());
        match (is_folder, is_of_folder) {
            (true, false) => {
                recipe.image_sizes.clear();
                recipe.augment = Augment::NONE;
            }
            (false, true) => {
                recipe.transform = None;
                recipe.augment = Augment::default();
            }
            _ => {}
        }
        let is_same = base.is_some_and(|base| self.args.data.is_that_of(&base.data));
        if !self.args.data.may_be_mirrored() && !is_same {
            recipe.augment.flip = Flip::Never;
        }
    }

    /// Rows and columns of the images that the recipe was made for.
    pub(super) fn recipe_size(&self) -> anyhow::Result<usize> {
        match (self.base().filter(|_| !self.args.is_given("--recipe")), &self.args.data) {
            (Some(base), _) => Ok(base.data.image_size),
            (None, DataArg::Named(source)) => Ok(data::info(source.name(), Path::new(""))?.height),
            (None, DataArg::Folder(_)) => Ok(self.args.arch.image_size()),
        }
    }

    /// The length of the run: the recipe's or `--epochs`, but for a configuration of another length
    /// (`--budget`, or `--epochs` when it was resumed).
    pub(super) fn length(&self, recipe: &Recipe) -> Length {
        let own = |base: &&TrainConfig| {
            let steps = base.steps_per_epoch();
            recipe.length == base.recipe.length && recipe.length.steps(steps) != base.total_steps
        };
        let is_other = self.args.recipe.epochs.is_some() || self.args.is_given("--recipe");
        match self.base().filter(own).filter(|_| !is_other) {
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
