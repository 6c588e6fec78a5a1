//! The initial weights of a run, from a file.

use std::path::Path;

use resnet_formats::{Shown, brief};

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
    /// Messages for the user.
    pub(super) notes: Vec<String>,
}

impl InitialWeights {
    pub(super) fn new(network: Network) -> InitialWeights {
        InitialWeights { network, buffers: None, notes: Vec::new() }
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
            return Ok(InitialWeights { network: model.network, buffers, notes });
        }
        let mut network = random_network(graph, config);
        let head = config.arch.family.head();
        let (ours, mut state) = (network.state_dict(), model.network.state_dict());
        for (new, old) in ours.into_iter().zip(&mut state) {
            if new.0 == old.0 && new.0.split('.').next() == Some(head) {
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
        Ok(InitialWeights { network, buffers, notes })
    }
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
    Some(Ok(InitialWeights { network, buffers: None, notes }))
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
