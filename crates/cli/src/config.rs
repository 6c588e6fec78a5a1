//! Builds the configuration of a run from the arguments.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use resnet::{
    Arch, Cpu, Dtype,
    config::{DataConfig, TrainConfig},
    data::{Dataset, Normalisation},
    model_file::DEMO,
    recipe::{Length, Recipe},
};
use resnet_formats::Shown;

use crate::{
    args::{NormalisationArgs, RecipeArgs, TrainArgs},
    error::Usage,
};

/// The model that a new run starts from.
#[derive(Clone, Debug)]
pub(crate) struct StartingPoint {
    pub(crate) arch: Arch,
    /// File with the initial weights.
    pub(crate) checkpoint: Option<PathBuf>,
    /// Which weights of that file.
    pub(crate) weights: Option<String>,
    /// Finished epochs of the checkpoint, if the run resumes it.
    pub(crate) finished_epochs: Option<u64>,
}

/// The configuration for the arguments of `resnet train` on this data. Its length is the recipe's
/// or `--epochs`.
pub(crate) fn build(
    args: &TrainArgs,
    start: &StartingPoint,
    data: &Dataset,
    cpu: &Cpu,
) -> anyhow::Result<TrainConfig> {
    let recipe = recipe(args, start.arch, cpu)?;
    let images = data.train.len();
    let validation = args.images.validation.unwrap_or(0);
    let train_images = images.checked_sub(validation).filter(|&n| n > 0).ok_or_else(|| {
        Usage(format!(
            "--validation {validation} leaves no images to train on: the training set has {images}"
        ))
    })?;
    let absolute = |path: &PathBuf| -> anyhow::Result<PathBuf> {
        let is_file = path != Path::new(DEMO);
        let path = if is_file { std::path::absolute(path) } else { Ok(path.clone()) }
            .context("the working folder does not exist")?;
        if path.to_str().is_none() {
            bail!(
                "{} is not UTF-8: config.toml cannot store this path, rename the file",
                path.shown()
            );
        }
        Ok(path)
    };
    let mut config = TrainConfig {
        arch: start.arch,
        seed: args.recipe.seed,
        total_steps: 0,
        init_from: start.checkpoint.as_ref().map(absolute).transpose()?,
        init_weights: start.weights.clone(),
        continues_after: start.finished_epochs,
        save_torch: args.save_torch,
        data: DataConfig {
            name: data.name.clone(),
            dir: args.data_dir.path.as_ref().map(absolute).transpose()?,
            classes: data.classes.clone(),
            image_size: data.train.height,
            train_images,
            validation,
            limit_train: args.images.limit_train,
            limit_test: args.images.limit_test,
            normalisation: given_normalisation(args.images.normalisation)
                .unwrap_or_else(|| data.normalisation.clone()),
        },
        recipe,
    };
    config.total_steps = config.recipe.length.steps(config.steps_per_epoch());
    Ok(config)
}

/// The recipe with the given options applied.
fn recipe(args: &TrainArgs, arch: Arch, cpu: &Cpu) -> anyhow::Result<Recipe> {
    let RecipeArgs { recipe, epochs, batch_size, lr, momentum, .. } = &args.recipe;
    let RecipeArgs { weight_decay, label_smoothing, .. } = args.recipe;
    let mut recipe = Recipe::named(recipe, arch).context("every listed recipe exists")?;
    if let Some(epochs) = *epochs {
        recipe.length = Length::Epochs(epochs as u64);
    }
    recipe.dtype = args.recipe.dtype.map_or_else(|| Dtype::fastest(cpu), Dtype::from);
    recipe.batch_size = batch_size.unwrap_or(recipe.batch_size);
    recipe.lr = lr.unwrap_or(recipe.lr);
    recipe.sgd.momentum = momentum.unwrap_or(recipe.sgd.momentum);
    recipe.sgd.weight_decay = weight_decay.unwrap_or(recipe.sgd.weight_decay);
    recipe.label_smoothing = label_smoothing.unwrap_or(recipe.label_smoothing);
    Ok(recipe)
}

/// The normalisation of `--mean` and `--std`, if given.
pub(crate) fn given_normalisation(args: NormalisationArgs) -> Option<Normalisation> {
    let (mean, std) = args.mean.zip(args.std)?;
    Some(Normalisation { mean: mean.0.to_vec(), std: std.0.to_vec() })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use resnet::{
        data::{self, LoadOptions},
        optim::SgdConfig,
    };

    use super::*;
    use crate::args::{Cli, Verb};

    fn data() -> Dataset {
        let options =
            LoadOptions { limit_train: Some(100), limit_test: Some(1), ..Default::default() };
        data::load("synthetic", &options).unwrap()
    }

    fn config(line: &str) -> anyhow::Result<TrainConfig> {
        let words = format!("resnet train synthetic {line}");
        let Verb::Train(args) = Cli::try_parse_from(words.split(' '))?.verb else { unreachable!() };
        let start = StartingPoint {
            arch: args.arch,
            checkpoint: None,
            weights: None,
            finished_epochs: None,
        };
        build(&args, &start, &data(), &Cpu::new(1)?)
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
            sgd: SgdConfig { momentum: 0.8, weight_decay: 0.25, ..paper.recipe.sgd },
            ..paper.recipe
        };
        assert_eq!(changed.recipe, expected);
        let normalisation = Normalisation { mean: vec![0.0, 0.5, 1.0], std: vec![1.0, 2.0, 3.0] };
        assert_eq!(changed.data.normalisation, normalisation);
    }
}
