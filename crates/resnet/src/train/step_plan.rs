//! What the engine's steps are planned for: image sizes, the layers that train, and their rates.

use crate::{
    config::TrainConfig,
    engine::{Engine, EngineError},
    graph::{NodeId, Op},
    network::Network,
    recipe::RunSteps,
};

/// The plan of the last step, and what that of the next depends on.
pub(super) struct StepPlan {
    layers: Vec<Layer>,
    planned: Planned,
    /// The factor on the rate of each node.
    rates: Vec<f32>,
}

/// A node with parameters.
struct Layer {
    node: NodeId,
    name: String,
    is_norm: bool,
    /// Whether the optimiser's groups change any of its parameters.
    trains: bool,
    /// The factor of its depth on the rate.
    depth: f32,
}

#[derive(PartialEq)]
struct Planned {
    height: usize,
    width: usize,
    /// Nodes whose parameters stay as they are.
    frozen: Vec<NodeId>,
    /// Batch norms that use their running statistics.
    eval: Vec<NodeId>,
}

impl StepPlan {
    /// The plan of a new engine for images of `size` rows and columns.
    pub(super) fn new(config: &TrainConfig, network: &Network, size: usize) -> StepPlan {
        let planned = Planned { height: size, width: size, frozen: Vec::new(), eval: Vec::new() };
        let rates = vec![1.0; network.graph().nodes().len()];
        StepPlan { layers: layers(config, network), planned, rates }
    }

    /// Whether a layer of this name stays as it is in every step.
    pub(super) fn never_trains(&self, name: &str, config: &TrainConfig) -> bool {
        let mut layers = self.layers.iter().filter(|layer| layer.name == name);
        layers.any(|layer| !layer.trains || config.recipe.never_trains(name))
    }

    /// Whether a batch norm used its running statistics in the last step.
    pub(super) fn is_in_eval(&self, norm: NodeId) -> bool {
        self.planned.eval.contains(&norm)
    }

    /// Plans a step, which counts from 0, for images of `height` x `width`.
    ///
    /// # Errors
    /// If there is no memory for a step of this size.
    pub(super) fn update(
        &mut self,
        engine: &mut Engine,
        config: &TrainConfig,
        [height, width]: [usize; 2],
        step: u64,
    ) -> Result<(), EngineError> {
        let recipe = &config.recipe;
        let steps = RunSteps { first: config.length_at(0), now: config.length_at(step) };
        let mut rates = vec![1.0; self.rates.len()];
        let mut plan = Planned { height, width, frozen: Vec::new(), eval: Vec::new() };
        for &Layer { node, ref name, is_norm, trains, depth } in &self.layers {
            rates[node] = recipe.freeze_factor(name, step, steps) * depth;
            if rates[node] == 0.0 || !trains {
                plan.frozen.push(node);
            }
            if is_norm && recipe.is_in_eval(name, step, steps) {
                plan.eval.push(node);
            }
        }
        if rates != self.rates {
            engine.set_rates(|node| rates[node]);
            self.rates = rates;
        }
        if plan != self.planned {
            engine.replan(height, width, &plan.frozen, &plan.eval)?;
            self.planned = plan;
        }
        Ok(())
    }
}

/// The nodes of a run's network with parameters.
fn layers(config: &TrainConfig, network: &Network) -> Vec<Layer> {
    let (recipe, graph) = (&config.recipe, network.graph());
    let (nodes, depths) = (graph.nodes(), recipe.depth_factors(graph));
    let mut layers: Vec<Layer> = Vec::new();
    for param in network.params() {
        let (node, kind) = (param.node, param.kind);
        let trains = !recipe.optimizer.is_frozen(graph, node, kind);
        match layers.last_mut() {
            Some(last) if last.node == node => last.trains |= trains,
            _ => layers.push(Layer {
                node,
                name: nodes[node].name.clone(),
                is_norm: nodes[node].op == Op::BatchNorm2d,
                trains,
                depth: depths[node],
            }),
        }
    }
    layers
}
