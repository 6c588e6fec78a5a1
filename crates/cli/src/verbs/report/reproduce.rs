//! The command that reproduces a run.

use std::path::Path;

use clap::ValueEnum;
use resnet::{
    config::TrainConfig,
    data::{self, Augment, DataSource, Flip, Normalisation, Sampling, transform::Mix},
    metrics::Metric,
    model_file::PublishedWeights,
    optim::{Average, OptimizerConfig},
    recipe::{ClassWeights, Freeze, Length, Recipe},
};
use resnet_formats::{Shown, quoted};

use crate::{
    args::{AugmentName, MetricName, SamplingName},
    runs,
};

/// A shell command, and a note about it.
#[derive(Debug, PartialEq)]
pub(super) struct Reproduction {
    pub(super) command: String,
    pub(super) note: Option<String>,
}

/// The command that reproduces a run: its recipe, with options for every change. If no options
/// express the run, the command starts from its `config.toml`.
pub(super) fn reproduce(config: &TrainConfig) -> Reproduction {
    match options(config) {
        Some(words) => {
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            let own = config.init_from.as_ref().filter(|_| published(config).is_none());
            let note = own.map(|file| format!("It needs the initial weights {}.", file.shown()));
            Reproduction { command: words.join(" "), note }
        }
        None => Reproduction {
            command: "resnet train --config again.toml".to_owned(),
            note: Some(
                "First save the configuration below as again.toml: no command-line options express \
                 the recipe of this run, or its length (set by --budget, or changed when it was resumed)."
                    .to_owned(),
            ),
        },
    }
}

/// The published weights that a run started from.
fn published(config: &TrainConfig) -> Option<&'static PublishedWeights> {
    let file = config.init_from.as_deref().filter(|_| config.continues_after.is_none())?;
    PublishedWeights::of_file(file)
}

/// `resnet train` and its arguments; none if they cannot express the run.
fn options(config: &TrainConfig) -> Option<Vec<String>> {
    let TrainConfig { arch, data, recipe, .. } = config;
    let epochs = config.total_steps as f64 / config.steps_per_epoch() as f64;
    let of_size = if data.photos.is_some() { Recipe::for_photos } else { Recipe::of_size };
    let size = [data.train_images, data.classes.len()];
    let mut plain = of_size(&recipe.name, *arch, Some(epochs), size)?;
    let known = data::info(&data.name, Path::new("")).ok().filter(|_| data.photos.is_none());
    let made_for = match data.photos {
        Some(_) => Some(arch.image_size()),
        None => known.as_ref().map(|known| known.height),
    };
    let resized = made_for.filter(|&size| size != data.image_size);
    if let Some(size) = resized {
        plain = plain.for_image_size(*arch, size, data.image_size);
    }
    if data.name.parse::<DataSource>().is_ok_and(|source| !source.may_be_mirrored()) {
        plain.augment.flip = Flip::Never;
    }
    if !config.earlier_lengths.is_empty() {
        return None;
    }
    let mut words = ["resnet", "train", &data.name].map(str::to_owned).to_vec();
    let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
    let steps_per_epoch = config.steps_per_epoch();
    option("arch", arch.to_string());
    option("recipe", recipe.name.clone());
    let usual = of_size(&recipe.name, *arch, None, size)?.length;
    if usual.steps(steps_per_epoch) != config.total_steps {
        if !config.total_steps.is_multiple_of(steps_per_epoch) {
            return None;
        }
        option("epochs", config.epochs().to_string());
    }
    if plain.batch_size != recipe.batch_size {
        option("batch-size", recipe.batch_size.to_string());
    }
    if plain.optimizer.name() != recipe.optimizer.name() {
        if let OptimizerConfig::Sgd(_) = recipe.optimizer {
            return None;
        }
        plain = plain.with_adamw();
        option("optimizer", "adamw".to_owned());
    }
    if plain.muon.is_some() && recipe.muon.is_none() {
        plain.muon = None;
        option("optimizer", "sgd".to_owned());
    }
    if plain.lr != recipe.lr {
        plain.set_lr(recipe.lr);
        option("lr", recipe.lr.to_string());
    }
    let mut optimizer = plain.optimizer;
    if let (OptimizerConfig::Sgd(plain), OptimizerConfig::Sgd(sgd)) =
        (&mut optimizer, &recipe.optimizer)
        && plain.momentum != sgd.momentum
    {
        plain.momentum = sgd.momentum;
        option("momentum", sgd.momentum.to_string());
    }
    let weight_decay = recipe.optimizer.weight_decay();
    if std::mem::replace(optimizer.weight_decay_mut(), weight_decay) != weight_decay {
        option("weight-decay", weight_decay.to_string());
    }
    if let Some(norm) = recipe.clip_grad {
        option("clip-grad", norm.to_string());
    }
    let average = match recipe.average {
        average if average == plain.average => average,
        Some(Average::Ema { every: 1, decay }) => {
            option("ema", decay.to_string());
            recipe.average
        }
        None => {
            option("ema", "0".to_owned());
            None
        }
        Some(_) => return None,
    };
    if plain.label_smoothing != recipe.label_smoothing {
        option("label-smoothing", recipe.label_smoothing.to_string());
    }
    for (name, alpha) in recipe.mix.into_iter().flat_map(mixes) {
        option(name, alpha.to_string());
    }
    // What there is no option for is found at the end, where the recipes are compared.
    if let Some(epochs) = recipe.patience.filter(|_| plain.patience != recipe.patience) {
        option("patience", epochs.to_string());
    }
    if plain.metric != recipe.metric {
        option("metric", name_of(|&name: &MetricName| Metric::from(name) == recipe.metric)?);
    }
    if plain.sampling != recipe.sampling {
        let is_it = |&name: &SamplingName| Sampling::from(name) == recipe.sampling;
        option("sampling", name_of(is_it)?);
    }
    if plain.class_weights != recipe.class_weights {
        let weights = match &recipe.class_weights {
            None => "none",
            Some(weights) if *weights == ClassWeights::BALANCED => "balanced",
            Some(_) => return None,
        };
        option("class-weights", weights.to_owned());
    }
    if plain.layer_decay != recipe.layer_decay {
        option("layer-decay", recipe.layer_decay.to_string());
    }
    if plain.freeze != recipe.freeze {
        for (name, value) in freezes(config, &plain.freeze)? {
            option(name, value);
        }
    }
    let resize = data.photos.as_ref().map(|photos| photos.resize);
    if let Some(resize) = resize.filter(|_| plain.transform != recipe.transform) {
        let is_it =
            |name: &AugmentName| Some(name.of(plain.transform.clone(), resize)) == recipe.transform;
        option("augment", name_of(is_it)?);
        plain.transform.clone_from(&recipe.transform);
    } else if plain.augment != recipe.augment && recipe.augment == Augment::NONE {
        option("augment", "none".to_owned());
        plain.augment = Augment::NONE;
    }
    // The default depends on the machine.
    option("dtype", recipe.dtype.to_string());
    if config.seed != 0 {
        option("seed", config.seed.to_string());
    }
    let photos = data.photos.as_ref();
    let is_own = photos.is_some_and(|photos| photos.own_validation);
    for (name, images) in [
        ("image-size", (photos.is_some() || resized.is_some()).then_some(data.image_size)),
        ("validation", Some(data.validation).filter(|&n| n > 0 && !is_own)),
        ("limit-train", data.limit_train),
        ("limit-test", data.limit_test),
    ] {
        images.into_iter().for_each(|n| option(name, n.to_string()));
    }
    if let Some(labels) = photos.and_then(|photos| photos.labels.as_ref()) {
        option("labels", labels.to_str()?.to_owned());
    }
    let usual = match photos {
        Some(_) => Some(Normalisation::imagenet()),
        None => known.as_ref().map(|known| known.normalisation.clone()),
    };
    let Normalisation { mean, std, mean_image } = &data.normalisation;
    // A run from a model has that of the model, which is not read here.
    if config.init_from.is_some()
        || usual.is_none_or(|usual| [&usual.mean, &usual.std] != [mean, std])
    {
        let list =
            |numbers: &[f32]| numbers.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
        option("mean", list(mean));
        option("std", list(std));
    }
    let init = config.init_from.as_deref();
    match (init, published(config)) {
        (_, Some(weights)) => option("init", weights.name.to_owned()),
        (Some(file), None) => {
            let start = if config.continues_after.is_some() { "resume" } else { "init" };
            option(start, file.to_str()?.to_owned());
        }
        // Photos start from published weights, where there are any.
        (None, None) if photos.is_some() => option("init", runs::NONE.to_owned()),
        (None, None) => {}
    }
    if let Some(weights) = &config.init_weights {
        option("weights", weights.clone());
    }
    if let Some(dir) = &data.dir {
        option("data-dir", dir.to_str()?.to_owned());
    }
    if mean_image.is_some() {
        words.push("--mean-image".to_owned());
    }
    if config.save_torch {
        words.push("--save-torch".to_owned());
    }
    // The other fields of a recipe have no options.
    let expressed = Recipe {
        name: recipe.name.clone(),
        length: Length::Steps(0),
        batch_size: recipe.batch_size,
        dtype: recipe.dtype,
        lr: recipe.lr,
        label_smoothing: recipe.label_smoothing,
        mix: recipe.mix,
        optimizer,
        clip_grad: recipe.clip_grad,
        patience: recipe.patience.or(plain.patience),
        metric: recipe.metric,
        sampling: recipe.sampling,
        class_weights: recipe.class_weights.clone(),
        layer_decay: recipe.layer_decay,
        freeze: recipe.freeze.clone(),
        average,
        ..plain
    };
    (expressed == Recipe { length: Length::Steps(0), ..recipe.clone() }).then_some(words)
}

/// The options of mixup and CutMix.
fn mixes(mix: Mix) -> impl Iterator<Item = (&'static str, f64)> {
    [("mixup", mix.mixup), ("cutmix", mix.cutmix)].into_iter().filter(|&(_, alpha)| alpha > 0.0)
}

/// The value of an option by what it stands for.
fn name_of<T: ValueEnum>(is_it: impl Fn(&T) -> bool) -> Option<String> {
    let value = T::value_variants().iter().find(|value| is_it(value))?;
    Some(value.to_possible_value()?.get_name().to_owned())
}

/// `--freeze` and `--freeze-epochs`; none if they cannot express the frozen layers. Without options these are the
/// recipe's `own`.
fn freezes(config: &TrainConfig, own: &[Freeze]) -> Option<Vec<(&'static str, String)>> {
    let is_named = |some: &Freeze| *some == Freeze::layers(some.layers.clone());
    let backbone = Freeze::backbone(&config.arch.graph(config.data.classes.len()));
    let mut options = Vec::new();
    let mut entries = &config.recipe.freeze[..];
    if let [some, rest @ ..] = entries
        && is_named(some)
        && rest == own
        && !own.is_empty()
    {
        return Some(vec![("freeze", some.layers.join(","))]);
    }
    if let [others @ .., last] = entries
        && let Some(until) = last.until
    {
        let (total, an_epoch) = (config.total_steps, config.steps_per_epoch());
        let epochs = (until * total as f64 / an_epoch as f64).round() as u64;
        let until = Some((epochs * an_epoch) as f64 / total as f64);
        if epochs == 0 || *last != (Freeze { until, ..backbone.clone() }) {
            return None;
        }
        options.push(("freeze-epochs", epochs.to_string()));
        entries = others;
    }
    match entries {
        [] if options.is_empty() => options.push(("freeze-epochs", "0".to_owned())),
        [] => {}
        [whole] if *whole == backbone && options.is_empty() => {
            options.push(("freeze", "backbone".to_owned()));
        }
        [some] if is_named(some) => {
            if options.is_empty() && !own.is_empty() {
                options.push(("freeze-epochs", "0".to_owned()));
            }
            options.push(("freeze", some.layers.join(",")));
        }
        _ => return None,
    }
    Some(options)
}

#[cfg(test)]
mod tests;
