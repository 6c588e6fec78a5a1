//! The initial weights of a run, from a file.

use std::path::Path;

use resnet_formats::{Shown, brief};

use super::step_plan::StepPlan;
use crate::{
    config::TrainConfig,
    graph::Graph,
    model_file::{LoadOptions, Model, ModelFileError, OptimizerState, Partial, Weights, listed},
    network::Network,
    optim::{GroupFactors, OptimizerBuffers, OptimizerConfig},
    recipe::Recipe,
    run::{RunError, load_model},
};

/// The initial weights of a run, and what the optimiser keeps if training resumes.
#[derive(Debug)]
pub(super) struct InitialWeights {
    pub(super) network: Network,
    pub(super) buffers: Option<OptimizerBuffers>,
    /// The layers whose weights are random.
    pub(super) random: Vec<String>,
    /// Messages for the user.
    pub(super) notes: Vec<String>,
}

impl InitialWeights {
    /// Random weights.
    pub(super) fn new(network: Network) -> InitialWeights {
        let random = layers(network.graph()).map(str::to_owned).collect();
        InitialWeights { network, buffers: None, random, notes: Vec::new() }
    }

    /// The weights of a file, and its optimiser's state if the run resumes from it. A head for
    /// other classes is not used. All weights are finite.
    pub(super) fn from_file(
        file: &Path,
        config: &TrainConfig,
        graph: Graph,
    ) -> Result<InitialWeights, RunError> {
        let weights = InitialWeights::read(file, config, graph)?;
        let state = weights.network.state_dict();
        let is_finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        match state.into_iter().find(|(_, tensor)| !tensor.as_f32().is_none_or(is_finite)) {
            None => Ok(weights),
            Some((tensor, _)) => {
                Err(ModelFileError::NotFinite { path: file.to_owned(), tensor }.into())
            }
        }
    }

    fn read(file: &Path, config: &TrainConfig, graph: Graph) -> Result<InitialWeights, RunError> {
        let resumes = config.continues_after.is_some();
        let options = options(config);
        let model = match load_model(file, &options) {
            Ok(model) => model,
            Err(error) if resumes => return Err(error),
            Err(error) => {
                let network = random_network(graph, config);
                return partial(file, &options, network, config).unwrap_or(Err(error));
            }
        };
        let held = model.network.graph().classes();
        let classes = if resumes { graph.classes() } else { held };
        model.check_fit(&config.data.name, classes, graph.in_channels())?;
        let mut notes = Vec::new();
        let buffers =
            if resumes { Some(resume_optimizer(&model, config, &mut notes)?) } else { None };
        let theirs = model.classes.as_ref().filter(|_| !resumes);
        let has_other_classes = theirs.is_some_and(|classes| *classes != config.data.classes);
        if *model.network.graph() == graph && !has_other_classes {
            let (network, random) = (model.network, Vec::new());
            return Ok(InitialWeights { network, buffers, random, notes });
        }
        let mut network = random_network(graph, config);
        let head = config.arch.family.head();
        let (ours, mut state) = (network.state_dict(), model.network.state_dict());
        let is_head = |name: &str| name.split('.').next() == Some(head);
        for (new, old) in ours.into_iter().zip(&mut state) {
            if new.0 == old.0 && is_head(&new.0) {
                *old = new;
            }
        }
        if network.load_state_dict(&state).is_err() {
            return Err(other_width(&model.path, config));
        }
        let (shown, needed) = (file.shown(), network.graph().classes());
        let why = if held == needed {
            format!("is for other classes in {shown} than those of the data")
        } else {
            format!("has {held} classes in {shown}, but the data has {needed}")
        };
        notes.push(format!(
            "the head ({head}) {why}: it starts from random values, all other layers from the file"
        ));
        let random = layers(network.graph()).filter(|name| is_head(name)).map(str::to_owned);
        Ok(InitialWeights { random: random.collect(), network, buffers, notes })
    }
}

/// The names of the layers with parameters.
fn layers(graph: &Graph) -> impl Iterator<Item = &str> {
    let nodes = graph.nodes().iter().filter(|node| node.has_parameters());
    nodes.map(|node| node.name.as_str())
}

/// What to say of a new run whose `random` layers start from random values.
pub(super) fn remarks(random: &[String], config: &TrainConfig, plan: &StepPlan) -> Vec<String> {
    let mut remarks = Vec::new();
    if config.recipe.is_finetune() && config.init_from.is_none() {
        remarks.push(
            "finetune is for weights of another training, but the run starts from random ones: name some with \
             --init, or train with --recipe fast"
                .to_owned(),
        );
    }
    let still = random.iter().filter(|layer| plan.never_trains(layer, config));
    let still: Vec<String> = still.cloned().collect();
    if !still.is_empty() {
        remarks.push(format!(
            "these layers start from random values and never train: {}. --freeze, or a group of the optimizer with \
             lr = 0, keeps them as they are: start from trained weights (--init), or let them train",
            listed(&still)
        ));
    }
    remarks
}

/// A network with the recipe's random weights.
pub(super) fn random_network(graph: Graph, config: &TrainConfig) -> Network {
    let Recipe { init, identity, head_scale, .. } = config.recipe;
    let mut network = Network::new(graph, init, config.seed);
    if identity {
        network.set_identity();
    }
    network.scale_head(head_scale);
    network
}

/// What to load of the file of a run.
fn options(config: &TrainConfig) -> LoadOptions {
    let named = config.init_weights.as_ref();
    let weights = match named.map(|name| name.parse()) {
        Some(Ok(weights)) => weights,
        // The optimizer's state is of the weights themselves, not of their average.
        None if config.continues_after.is_some() => Weights::Model,
        None => Weights::Usual,
    };
    LoadOptions { arch: Some(config.arch), weights }
}

fn other_width(file: &Path, config: &TrainConfig) -> RunError {
    let error = ModelFileError::NotThisArch {
        path: file.to_owned(),
        arch: config.arch.to_string(),
        message: format!(
            "its layers have another width (conv1 does not have {} channels)",
            config.arch.width()
        ),
    };
    error.into()
}

/// The weights of a file that lacks a layer, or has one of another shape. None if it has too few.
fn partial(
    file: &Path,
    options: &LoadOptions,
    mut network: Network,
    config: &TrainConfig,
) -> Option<Result<InitialWeights, RunError>> {
    let partial = Partial::load(file, options).ok()?;
    let Some(kept) = partial.fill(&mut network) else {
        let is_other = partial.width().is_some_and(|width| width != config.arch.width());
        return is_other.then(|| Err(other_width(file, config)));
    };
    let mut notes = partial.notes;
    if !kept.is_empty() {
        notes.push(format!(
            "{} has no layers of the same shape for {}: they start from random values, all other \
             layers from the file",
            file.shown(),
            listed(&kept)
        ));
    }
    Some(Ok(InitialWeights { network, buffers: None, random: kept, notes }))
}

/// What the optimiser keeps of a model from which training resumes. Notes state what the file has and
/// lacks.
fn resume_optimizer(
    model: &Model,
    config: &TrainConfig,
    notes: &mut Vec<String>,
) -> Result<OptimizerBuffers, ModelFileError> {
    let (file, recipe) = (model.path.shown(), &config.recipe);
    let what = match recipe.optimizer {
        OptimizerConfig::Sgd(_) => "momentum",
        OptimizerConfig::AdamW(_) => "AdamW's state",
    };
    let new = || OptimizerBuffers::new(&model.network, &recipe.optimizer);
    let starts = |why: &str| {
        format!("resuming from {file} with its weights; {what} starts at 0, since {why}")
    };
    let (buffers, mut note) = match &model.optimizer {
        Ok(stored) if stored.config.name() != recipe.optimizer.name() => {
            let [theirs, ours] = [stored.config, recipe.optimizer].map(|config| config.name());
            (new(), starts(&format!("its optimizer is {theirs}, not {ours} (--optimizer)")))
        }
        Ok(stored) if stored.is_empty() => {
            (new(), format!("resuming from {file} with its weights; it has no {what} yet"))
        }
        Ok(stored) => {
            let buffers = stored
                .of_network(&model.network)
                .map_err(|source| ModelFileError::StateDict { path: model.path.clone(), source })?;
            (buffers, format!("resuming from {file} with its weights and {what}"))
        }
        Err(why) => (new(), starts(why)),
    };
    note += &match model.epochs {
        Some(epochs) => format!(", after its {epochs} epochs"),
        None => "; it does not state its epochs, so the first is 1".to_owned(),
    };
    note += &format!(
        ". The learning rate and the order of images are those of recipe {} from there on",
        brief(&recipe.name)
    );
    notes.push(note);
    if let Ok(OptimizerState { config: theirs, dampening, .. }) = &model.optimizer
        && theirs.name() == recipe.optimizer.name()
        && (*theirs != recipe.optimizer || *dampening != 0.0)
    {
        let dampening = match *dampening {
            0.0 => String::new(),
            dampening => format!(", dampening {dampening}"),
        };
        notes.push(format!(
            "the file's optimizer had {}{dampening}; the recipe's settings replace them: {} ({}--weight-decay)",
            settings(theirs),
            settings(&recipe.optimizer),
            if matches!(recipe.optimizer, OptimizerConfig::Sgd(_)) { "--momentum, " } else { "" }
        ));
    }
    Ok(buffers)
}

/// The settings of an optimiser, in words.
fn settings(config: &OptimizerConfig) -> String {
    let (own, nesterov) = match config {
        OptimizerConfig::Sgd(sgd) => (format!("momentum {}", sgd.momentum), sgd.nesterov),
        OptimizerConfig::AdamW(adamw) => {
            (format!("betas {:?}, eps {}", adamw.betas, adamw.eps), false)
        }
    };
    format!(
        "{own}, weight decay {}{}{}{}",
        config.weight_decay(),
        if config.decay_norm_and_bias() { "" } else { " of weights only" },
        if nesterov { ", Nesterov" } else { "" },
        if *config.groups() == GroupFactors::default() { "" } else { ", factors by group" }
    )
}

#[cfg(test)]
mod tests {
    use resnet_formats::safetensors;

    use super::*;
    use crate::{config::tests::sample, models::Arch, optim::Factors, recipe::Freeze};

    #[test]
    fn layers_of_another_shape_are_random() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("net.safetensors");
        let mut config = sample();
        let theirs: Arch = "resnet18".parse().unwrap();
        let theirs = random_network(theirs.graph(2), &config);
        safetensors::write(&file, &theirs.state_dict(), &Default::default()).unwrap();
        config.arch = "resnet18-cifar".parse().unwrap();
        let weights = InitialWeights::from_file(&file, &config, config.arch.graph(2)).unwrap();
        assert_eq!(weights.random, ["conv1"]);
    }

    #[test]
    fn random_weights_that_stay_are_named() {
        let mut config = sample();
        let graph = config.arch.graph(2);
        let weights = InitialWeights::new(random_network(graph.clone(), &config));
        let said = |random: &[String], config: &TrainConfig| {
            remarks(random, config, &StepPlan::new(config, &weights.network, 32))
        };
        assert_eq!(said(&weights.random, &config), Vec::<String>::new());
        config.recipe = Recipe::named("finetune", config.arch).unwrap();
        let [note] = &said(&weights.random, &config)[..] else { panic!("one") };
        assert!(note.contains("--init") && note.contains("--recipe fast"), "{note}");
        config.init_from = Some("net.pt".into());
        let head = ["linear".to_owned()];
        assert_eq!(said(&head, &config), Vec::<String>::new());
        config.recipe.freeze = vec![Freeze::backbone(&graph)];
        assert_eq!(said(&head, &config), Vec::<String>::new());
        let [note] = &said(&weights.random, &config)[..] else { panic!("one") };
        assert!(note.contains("never train: conv1, bn1, layer1.0.conv1 and "), "{note}");
        config.recipe.freeze.clear();
        config.recipe.optimizer.groups_mut().stem = Factors { lr: 0.0, ..Factors::default() };
        let [note] = &said(&weights.random, &config)[..] else { panic!("one") };
        assert!(note.contains("never train: conv1. "), "{note}");
    }
}
