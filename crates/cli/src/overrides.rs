//! The options that override a recipe.

use resnet::{
    Graph,
    config::TrainConfig,
    data::transform::Mix,
    optim::{Average, OptimizerConfig},
    recipe::{ClassWeights, Freeze, Recipe},
};

use crate::{
    args::{
        AugmentationArgs, ClassWeightsArg, FineTuningArgs, OptimizerArgs, OptimizerName,
        RecipeArgs, SelectionArgs,
    },
    class_weights,
    error::Usage,
};

/// Applies the options to a recipe for a network of these classes. `named` is the recipe of a name, as it is
/// without options.
pub(crate) fn apply(
    args: &RecipeArgs,
    recipe: &mut Recipe,
    graph: &Graph,
    classes: &[String],
    named: impl FnOnce(&str) -> Option<Recipe>,
) -> anyhow::Result<()> {
    recipe.batch_size = args.batch_size.unwrap_or(recipe.batch_size);
    recipe.label_smoothing = args.label_smoothing.unwrap_or(recipe.label_smoothing);
    apply_optimizer(&args.optimizer, recipe, named)?;
    apply_fine_tuning(&args.fine_tuning, recipe, graph)?;
    apply_selection(&args.selection, recipe, classes)?;
    apply_augmentation(&args.augmentation, recipe);
    Ok(())
}

fn apply_optimizer(
    args: &OptimizerArgs,
    recipe: &mut Recipe,
    named: impl FnOnce(&str) -> Option<Recipe>,
) -> Result<(), Usage> {
    let known = OptimizerName::from(&recipe.optimizer);
    match args.optimizer.filter(|&asked| asked != known) {
        None => {}
        Some(OptimizerName::AdamW) => *recipe = recipe.clone().with_adamw(),
        Some(OptimizerName::Sgd) => {
            let Some(usual) = named(&recipe.name) else {
                return Err(Usage(format!(
                    "--optimizer sgd: there is no recipe '{}' to take its settings from; give one with \
                     --recipe",
                    resnet_formats::brief(&recipe.name)
                )));
            };
            let usual = match OptimizerName::from(&usual.optimizer) {
                OptimizerName::Sgd => usual,
                OptimizerName::AdamW => usual.with_sgd(),
            };
            (recipe.lr, recipe.optimizer) = (usual.lr, usual.optimizer);
            recipe.head_scale = usual.head_scale;
        }
    }
    if args.optimizer == Some(OptimizerName::Sgd) {
        // Of all parameters.
        recipe.muon = None;
    }
    recipe.set_lr(args.lr.unwrap_or(recipe.lr));
    recipe.clip_grad = args.clip_grad.or(recipe.clip_grad);
    if let Some(decay) = args.ema {
        recipe.average = (decay > 0.0).then_some(Average::Ema { every: 1, decay });
    }
    let weight_decay = recipe.optimizer.weight_decay_mut();
    *weight_decay = args.weight_decay.unwrap_or(*weight_decay);
    match (&mut recipe.optimizer, args.momentum) {
        (_, None) => {}
        (OptimizerConfig::Sgd(sgd), Some(momentum)) => sgd.momentum = momentum,
        (OptimizerConfig::AdamW(_), Some(_)) => {
            let message = "--momentum is for SGD; AdamW has betas, in a config.toml (--config)";
            return Err(Usage(message.into()));
        }
    }
    Ok(())
}

/// The name of all layers but the head.
const BACKBONE: &str = "backbone";

fn apply_fine_tuning(
    args: &FineTuningArgs,
    recipe: &mut Recipe,
    graph: &Graph,
) -> Result<(), Usage> {
    recipe.layer_decay = args.layer_decay.unwrap_or(recipe.layer_decay);
    if args.freeze.is_empty() && args.freeze_epochs.is_none() {
        return Ok(());
    }
    let own = std::mem::take(&mut recipe.freeze);
    let has_frozen_epochs = args.freeze_epochs.is_some_and(|epochs| epochs > 0);
    let (all, named): (Vec<_>, Vec<_>) =
        args.freeze.iter().cloned().partition(|layer| layer == BACKBONE);
    if !all.is_empty() {
        if has_frozen_epochs {
            let message =
                "--freeze backbone is for the whole run: leave it out with --freeze-epochs";
            return Err(Usage(message.into()));
        }
        recipe.freeze.push(Freeze::backbone(graph));
    }
    if !named.is_empty() {
        recipe.freeze.push(Freeze::layers(named));
    }
    if all.is_empty() && args.freeze_epochs.is_none() {
        // The first entry that has a layer counts: what the recipe does with the others for a part of the run stays.
        recipe.freeze.extend(own.into_iter().filter(|freeze| !freeze.is_whole()));
    }
    if has_frozen_epochs {
        // Until when, the length of the run says.
        recipe.freeze.push(Freeze::backbone(graph));
    }
    Ok(())
}

/// Sets the end of `--freeze-epochs` in a run whose length is known.
pub(crate) fn end_freeze(args: &RecipeArgs, config: &mut TrainConfig) -> Result<(), Usage> {
    match freeze_within(args, config) {
        Some(epochs) if freeze_steps(epochs, config) >= config.total_steps => Err(Usage(format!(
            "--freeze-epochs {epochs} leaves no epoch for all layers: the run has {}",
            config.epochs()
        ))),
        _ => Ok(()),
    }
}

/// The same in a run whose length is still to be planned: some of it is left for all layers. Returns the number of
/// epochs, if it is given.
pub(crate) fn freeze_within(args: &RecipeArgs, config: &mut TrainConfig) -> Option<u32> {
    let epochs = args.fine_tuning.freeze_epochs.filter(|&epochs| epochs > 0)?;
    let part = freeze_steps(epochs, config) as f64 / config.total_steps as f64;
    if let Some(backbone) = config.recipe.freeze.last_mut() {
        backbone.until = Some(part.min(0.95));
    }
    Some(epochs)
}

fn freeze_steps(epochs: u32, config: &TrainConfig) -> u64 {
    u64::from(epochs).saturating_mul(config.steps_per_epoch())
}

fn apply_selection(
    args: &SelectionArgs,
    recipe: &mut Recipe,
    classes: &[String],
) -> anyhow::Result<()> {
    match &args.class_weights {
        None => {}
        Some(ClassWeightsArg::None) => recipe.class_weights = None,
        Some(ClassWeightsArg::Balanced) => recipe.class_weights = Some(ClassWeights::BALANCED),
        Some(ClassWeightsArg::File(path)) => {
            let weights = class_weights::read(path, classes)?;
            recipe.class_weights = Some(ClassWeights::Given(weights));
        }
    }
    recipe.sampling = args.sampling.map_or(recipe.sampling, Into::into);
    recipe.metric = args.metric.map_or(recipe.metric, Into::into);
    recipe.patience = args.patience.map(|epochs| epochs as u64).or(recipe.patience);
    Ok(())
}

fn apply_augmentation(args: &AugmentationArgs, recipe: &mut Recipe) {
    let AugmentationArgs { mixup, cutmix, .. } = *args;
    if mixup.or(cutmix).is_some() {
        let known = recipe.mix.unwrap_or_default();
        let mix =
            Mix { mixup: mixup.unwrap_or(known.mixup), cutmix: cutmix.unwrap_or(known.cutmix) };
        recipe.mix = Some(mix).filter(|&mix| mix != Mix::default());
    }
}

#[cfg(test)]
mod tests {
    use resnet::{
        data::Sampling,
        metrics::Metric,
        optim::{AdamWConfig, GroupFactors},
    };

    use super::*;
    use crate::args::{Cli, Verb};

    fn options(line: &str) -> RecipeArgs {
        let cli = Cli::parsed(format!("resnet train {line}").trim().split(' ')).unwrap();
        let Verb::Train(args) = cli.verb else { unreachable!() };
        args.recipe
    }

    fn applied(line: &str, mut recipe: Recipe) -> anyhow::Result<Recipe> {
        let arch = "resnet8".parse()?;
        let classes = ["cat", "dog"].map(str::to_owned);
        let named = |name: &str| Recipe::named(name, arch);
        apply(&options(line), &mut recipe, &arch.graph(2), &classes, named)?;
        Ok(recipe)
    }

    fn fast() -> Recipe {
        Recipe::named("fast", "resnet8".parse().unwrap()).unwrap()
    }

    #[test]
    fn optimizers_start_from_their_own_settings() {
        assert_eq!(applied("", fast()).unwrap(), fast());
        let sgd = Recipe { muon: None, ..fast() };
        assert_ne!(sgd, fast());
        assert_eq!(applied("--optimizer sgd", fast()).unwrap(), sgd);
        let slower = applied("--lr 0.2", fast()).unwrap();
        let muons = [&slower, &fast()].map(|recipe| recipe.muon.unwrap().lr / recipe.lr);
        assert_eq!((slower.lr, muons[0]), (0.2, muons[1]));
        let adamw = applied("--optimizer adamw --clip-grad 0.5", fast()).unwrap();
        assert_eq!((adamw.optimizer, adamw.muon), (AdamWConfig::default().into(), None));
        assert_eq!((adamw.lr, adamw.head_scale, adamw.clip_grad), (1e-3, 1.0, Some(0.5)));
        assert_eq!(*adamw.optimizer.groups(), GroupFactors::default());
        let changed = applied("--lr 0.01 --weight-decay 0.5", adamw.clone()).unwrap();
        assert_eq!((changed.lr, changed.optimizer.weight_decay()), (0.01, 0.5));
        let back = Recipe { clip_grad: None, ..applied("--optimizer sgd", adamw.clone()).unwrap() };
        assert_eq!(back, sgd);
        let error = applied("--momentum 0.5", adamw.clone()).unwrap_err().to_string();
        assert!(error.contains("--momentum is for SGD"), "{error}");
        let tuned = Recipe::named("finetune", "resnet8".parse().unwrap()).unwrap();
        assert_eq!(applied("--optimizer adamw", tuned.clone()).unwrap(), tuned);
        let sgd = applied("--optimizer sgd", tuned.clone()).unwrap();
        assert_eq!(sgd, tuned.with_sgd());
        assert_eq!(sgd.optimizer.name(), "SGD");
        let ema = applied("--ema 0.99", fast()).unwrap();
        assert_eq!(ema.average, Some(Average::Ema { every: 1, decay: 0.99 }));
        assert_eq!(applied("--ema 0", ema).unwrap().average, None);
        let mine = Recipe { name: "mine".into(), ..adamw };
        let error = applied("--optimizer sgd", mine).unwrap_err().to_string();
        assert!(error.contains("no recipe 'mine'"), "{error}");
    }

    #[test]
    fn layers_are_frozen_for_the_run_or_its_first_epochs() {
        let graph = "resnet8".parse::<resnet::Arch>().unwrap().graph(2);
        let backbone = Freeze::backbone(&graph);
        let of = |line: &str| applied(line, fast()).unwrap();
        assert_eq!(of("--freeze backbone").freeze, std::slice::from_ref(&backbone));
        let some = Freeze::layers(vec!["conv1".into(), "layer1".into()]);
        assert_eq!(of("--freeze conv1,layer1").freeze, std::slice::from_ref(&some));
        assert_eq!(of("--freeze conv1 --freeze layer1").freeze, std::slice::from_ref(&some));
        assert_eq!(of("--freeze conv1,layer1 --freeze-epochs 2").freeze, [some, backbone]);
        assert_eq!(of("--layer-decay 0.75").layer_decay, 0.75);
        // Other layers are unfrozen when the recipe says so.
        let tuned = Recipe::named("finetune", "resnet8".parse().unwrap()).unwrap();
        let of = |line: &str| applied(line, tuned.clone()).unwrap().freeze;
        let [own] = &tuned.freeze[..] else { panic!("{:?}", tuned.freeze) };
        let conv1 = Freeze::layers(vec!["conv1".into()]);
        assert_eq!(of("--freeze conv1"), [conv1.clone(), own.clone()]);
        assert_eq!(of("--freeze conv1 --freeze-epochs 0"), std::slice::from_ref(&conv1));
        let freeze = vec![Freeze { until: Some(1.0), ..own.clone() }];
        let whole = Recipe { freeze, ..tuned.clone() };
        assert_eq!(applied("--freeze conv1", whole).unwrap().freeze, [conv1]);
        assert_eq!(of("--freeze backbone"), [Freeze { until: None, ..own.clone() }]);
        let error = applied("--freeze backbone --freeze-epochs 1", fast()).unwrap_err();
        assert!(error.to_string().contains("whole run"), "{error}");
    }

    #[test]
    fn what_counts_can_be_changed() {
        let line = "--class-weights balanced --sampling balanced --metric f1 --patience 3";
        let recipe = applied(line, fast()).unwrap();
        assert_eq!(recipe.class_weights, Some(ClassWeights::BALANCED));
        let rest = (recipe.sampling, recipe.metric, recipe.patience);
        assert_eq!(rest, (Sampling::Balanced, Metric::F1, Some(3)));
        assert_eq!(applied("--class-weights none", recipe).unwrap().class_weights, None);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weights.csv");
        std::fs::write(&file, "dog,2\ncat,0.5\n").unwrap();
        let line = format!("--class-weights {}", file.display());
        let weights = applied(&line, fast()).unwrap().class_weights;
        assert_eq!(weights, Some(ClassWeights::Given(vec![0.5, 2.0])));
        let error = format!("{:#}", applied("--class-weights gone.csv", fast()).unwrap_err());
        assert!(error.contains("gone.csv"), "{error}");
    }
}
