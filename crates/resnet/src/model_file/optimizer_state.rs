//! The optimiser's state in a file, and its conversion from and to PyTorch.

use std::{collections::HashMap, iter};

use resnet_formats::{
    Data, NamedTensors, Tensor,
    torch::{Optimizer, OptimizerGroup, OptimizerRule, ParameterState},
};
use resnet_network::{
    Network,
    network::StateDictError,
    optim::{AdamWConfig, OptimizerConfig, SgdConfig},
};

use super::{
    decimal::decimal,
    optimizer_groups::{self, Decays, parameters},
};
use crate::optim::OptimizerBuffers;

/// The state and settings of an optimiser.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerState {
    /// For each of [`OptimizerConfig::buffers`], values by parameter name; empty before the first step.
    pub buffers: Vec<NamedTensors>,
    /// Steps of each parameter by its name, scalar integers, if the optimiser
    /// [counts](OptimizerConfig::counts_steps) them; empty before the first step.
    pub steps: NamedTensors,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Dampening of momentum; always 0 in files of this library.
    pub dampening: f64,
    /// The other settings.
    pub config: OptimizerConfig,
}

impl OptimizerState {
    /// The state of an optimiser of a network, at a learning rate.
    pub(crate) fn new(
        network: &Network,
        buffers: &OptimizerBuffers,
        lr: f64,
        config: OptimizerConfig,
    ) -> OptimizerState {
        OptimizerState {
            buffers: buffers.values.iter().map(|values| network.export(values)).collect(),
            steps: network.export_counts(&buffers.steps),
            lr,
            dampening: 0.0,
            config,
        }
    }

    /// An optimiser without state.
    fn empty(config: OptimizerConfig) -> OptimizerState {
        let buffers = vec![NamedTensors::new(); config.buffers().len()];
        OptimizerState { buffers, steps: NamedTensors::new(), lr: 0.0, dampening: 0.0, config }
    }

    /// Whether there is no state yet.
    pub fn is_empty(&self) -> bool {
        self.buffers.iter().all(Vec::is_empty)
    }

    /// The state for a network.
    ///
    /// # Errors
    /// If names or shapes differ from the network's.
    pub fn of_network(&self, network: &Network) -> Result<OptimizerBuffers, StateDictError> {
        let steps = match self.config.counts_steps() {
            true => network.import_counts(&self.steps)?,
            false => Vec::new(),
        };
        let values = self.buffers.iter().map(|buffer| network.import(buffer));
        Ok(OptimizerBuffers { values: values.collect::<Result<_, _>>()?, steps })
    }

    /// All of its tables by parameter name.
    pub(super) fn tables_mut(&mut self) -> impl Iterator<Item = &mut NamedTensors> {
        self.buffers.iter_mut().chain(iter::once(&mut self.steps))
    }

    /// The optimiser of a model in a PyTorch file, or why it cannot be read.
    pub(super) fn from_torch(
        optimizer: Optimizer,
        model: &NamedTensors,
    ) -> Result<OptimizerState, String> {
        let Optimizer { groups, state } = optimizer;
        let count = parameters(model).count();
        if state.len() != count {
            return Err(format!(
                "its optimizer has {} parameters, and its model {count}",
                state.len()
            ));
        }
        let (order, main, decays) = optimizer_groups::from_torch(&groups, model)?;
        let (config, dampening) = config(main, decays);
        let held = state.iter().filter(|state| !state.is_empty()).count();
        if held != 0 && held != order.len() {
            return Err(format!(
                "its optimizer has a state for {held} of its {} parameters",
                order.len()
            ));
        }
        let mut found = OptimizerState { lr: main.lr, dampening, ..OptimizerState::empty(config) };
        if held > 0 {
            for (parameter, state) in order.into_iter().zip(state) {
                found.add(parameter, state)?;
            }
        }
        Ok(found)
    }

    /// Adds the state of a parameter of a PyTorch file.
    fn add(
        &mut self,
        (name, parameter): &(String, Tensor),
        mut state: ParameterState,
    ) -> Result<(), String> {
        let mut take = |key: &str| {
            let at = state.iter().position(|(held, _)| *held == key);
            let found = at.map(|at| state.swap_remove(at).1);
            found.ok_or_else(|| format!("its optimizer has no {key} for '{name}'"))
        };
        for (key, buffer) in self.config.buffers().iter().zip(&mut self.buffers) {
            let values = take(key)?;
            if values.shape != parameter.shape || values.as_f32().is_none() {
                return Err(format!(
                    "the {key} in the place of '{name}' is {:?}, not {:?}",
                    values.shape, parameter.shape
                ));
            }
            buffer.push((name.clone(), values));
        }
        if self.config.counts_steps() {
            let step = match take("step")?.data {
                Data::F32(values) => values.first().map(|&step| step as i64),
                Data::I64(values) => values.first().copied(),
            };
            let step = step.ok_or_else(|| format!("the step of '{name}' is empty"))?;
            self.steps.push((name.clone(), Tensor::scalar_i64(step)));
        }
        Ok(())
    }

    /// The state for `load_state_dict` of the same optimizer in PyTorch, and a model.
    pub(super) fn to_torch(&self, model: &NamedTensors) -> Optimizer {
        let rule = match self.config {
            OptimizerConfig::Sgd(SgdConfig { momentum, nesterov, .. }) => {
                let (momentum, dampening) = (decimal(momentum), self.dampening);
                OptimizerRule::Sgd { momentum, dampening, nesterov }
            }
            OptimizerConfig::AdamW(AdamWConfig { betas, eps, .. }) => {
                OptimizerRule::AdamW { betas, eps }
            }
        };
        let (groups, order) = optimizer_groups::to_torch(&self.config, self.lr, model);
        let group =
            |(lr, weight_decay, parameters)| OptimizerGroup { lr, weight_decay, rule, parameters };
        let buffers: Vec<_> = self.buffers.iter().map(by_name).collect();
        let steps = by_name(&self.steps);
        // PyTorch counts steps in floating point.
        let step = |tensor: &&Tensor| match &tensor.data {
            Data::I64(step) => Tensor::f32(&[], vec![step[0] as f32]),
            Data::F32(_) => (*tensor).clone(),
        };
        let state = |(name, _): &(String, Tensor)| -> ParameterState {
            let held = buffers.iter().map(|buffer| buffer.get(name.as_str()).map(|&t| t.clone()));
            let step = steps.get(name.as_str()).map(step);
            let values = held.chain(iter::once(step));
            rule.state().iter().zip(values).filter_map(|(&key, t)| Some((key, t?))).collect()
        };
        Optimizer {
            groups: groups.into_iter().map(group).collect(),
            state: order.into_iter().map(state).collect(),
        }
    }
}

fn by_name(table: &NamedTensors) -> HashMap<&str, &Tensor> {
    table.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect()
}

/// The settings of an optimizer, and its dampening.
fn config(main: &OptimizerGroup, decays: Decays) -> (OptimizerConfig, f64) {
    let Decays { weight_decay, decay_norm_and_bias, groups } = decays;
    match main.rule {
        OptimizerRule::Sgd { momentum, dampening, nesterov } => {
            let momentum = momentum as f32;
            let sgd = SgdConfig { momentum, weight_decay, nesterov, decay_norm_and_bias, groups };
            (sgd.into(), dampening)
        }
        OptimizerRule::AdamW { betas, eps } => {
            let adamw = AdamWConfig { betas, eps, weight_decay, decay_norm_and_bias, groups };
            (adamw.into(), 0.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, network::Init};
    use resnet_network::optim::{Factors, GroupFactors};

    fn model() -> NamedTensors {
        let arch: Arch = "resnet8".parse().unwrap();
        Network::new(arch.graph_with(3, 10, 2), Init::PyTorch, 0).state_dict()
    }

    fn optimizer(decay_norm_and_bias: bool) -> OptimizerState {
        let model = model();
        let buffer = |(i, (name, tensor)): (usize, &(String, Tensor))| {
            (name.clone(), Tensor::f32(&tensor.shape, vec![i as f32; tensor.data.len()]))
        };
        let config = SgdConfig {
            momentum: 0.9,
            weight_decay: 5e-4,
            nesterov: true,
            decay_norm_and_bias,
            ..SgdConfig::default()
        };
        let momentum = parameters(&model).enumerate().map(buffer).collect();
        OptimizerState {
            buffers: vec![momentum],
            steps: vec![],
            lr: 0.1,
            dampening: 0.0,
            config: config.into(),
        }
    }

    fn sorted(mut optimizer: OptimizerState) -> OptimizerState {
        optimizer.tables_mut().for_each(|table| table.sort_by(|a, b| a.0.cmp(&b.0)));
        optimizer
    }

    #[test]
    fn settings_and_buffers_round_trip() {
        for decay_norm_and_bias in [true, false] {
            let optimizer = optimizer(decay_norm_and_bias);
            let sgd = optimizer.to_torch(&model());
            let rule = OptimizerRule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: true };
            assert_eq!(sgd.groups[0].rule, rule);
            assert_eq!(sgd.groups.len(), if decay_norm_and_bias { 1 } else { 2 });
            let back = OptimizerState::from_torch(sgd.clone(), &model()).unwrap();
            assert_eq!(sorted(back), sorted(optimizer.clone()));
            // The groups in the other order.
            if !decay_norm_and_bias {
                let mut swapped = sgd.clone();
                swapped.state.rotate_left(sgd.groups[0].parameters);
                swapped.groups.reverse();
                let back = OptimizerState::from_torch(swapped, &model()).unwrap();
                assert_eq!(sorted(back), sorted(optimizer));
            }
        }
    }

    #[test]
    fn factors_round_trip() {
        let factors = |lr, weight_decay| Factors { lr, weight_decay };
        for decay_norm_and_bias in [true, false] {
            let mut optimizer = optimizer(decay_norm_and_bias);
            *optimizer.config.groups_mut() = GroupFactors {
                stem: factors(0.0, 3.0),
                norm_scale: factors(0.5, 1.0),
                norm_bias: factors(16.0, if decay_norm_and_bias { 0.0625 } else { 1.0 }),
                head: factors(0.1, 0.3),
            };
            let sgd = optimizer.to_torch(&model());
            // Every convolution has a batch norm.
            let counts: Vec<_> = sgd.groups.iter().map(|group| group.parameters).collect();
            let norms = counts[2];
            assert_eq!(counts, [norms - 1, 1, norms, norms, 1, 1]);
            assert_eq!((sgd.groups[3].lr, sgd.groups[1].lr), (1.6, 0.0));
            assert_eq!(sgd.groups[5].weight_decay > 0.0, decay_norm_and_bias);
            let back = OptimizerState::from_torch(sgd, &model()).unwrap();
            assert_eq!(sorted(back), sorted(optimizer));
        }
    }

    #[test]
    fn adamw_round_trips() {
        let mut optimizer = optimizer(true);
        let average = optimizer.buffers[0].clone();
        optimizer.buffers.push(average.clone());
        let count = |(i, (name, _)): (usize, &(String, Tensor))| {
            (name.clone(), Tensor::scalar_i64(i as i64))
        };
        optimizer.steps = average.iter().enumerate().map(count).collect();
        optimizer.config = AdamWConfig { eps: 1e-6, ..AdamWConfig::default() }.into();
        let torch = optimizer.to_torch(&model());
        let rule = OptimizerRule::AdamW { betas: [0.9, 0.999], eps: 1e-6 };
        assert_eq!((torch.groups[0].rule, torch.groups[0].weight_decay), (rule, 0.01));
        assert_eq!(torch.state[2][2], ("step", Tensor::f32(&[], vec![2.0])));
        let back = OptimizerState::from_torch(torch.clone(), &model()).unwrap();
        assert_eq!(sorted(back), sorted(optimizer));
        let mut part = torch;
        part.state[4].pop();
        let why = OptimizerState::from_torch(part, &model()).unwrap_err();
        assert!(why.contains("no step for '"), "{why}");
    }

    #[test]
    fn before_the_first_step_there_is_no_momentum() {
        let mut sgd = optimizer(true).to_torch(&model());
        sgd.state.fill(Vec::new());
        assert_eq!(OptimizerState::from_torch(sgd, &model()).unwrap().buffers, [vec![]]);
    }

    #[test]
    fn errors_name_what_cannot_be_read() {
        let refusal = |change: &dyn Fn(&mut Optimizer)| {
            let mut sgd = optimizer(true).to_torch(&model());
            change(&mut sgd);
            OptimizerState::from_torch(sgd, &model()).unwrap_err()
        };
        assert!(
            refusal(&|sgd| drop(sgd.state.pop())).contains("has 22 parameters, and its model 23")
        );
        assert!(refusal(&|sgd| sgd.state[3].clear()).contains("22 of its 23"));
        assert!(refusal(&|sgd| sgd.state.swap(0, 1)).contains("place of 'conv1.weight' is [2],"));
        assert!(refusal(&|sgd| sgd.groups.clear()).contains("groups"));
        let split = |sgd: &mut Optimizer| {
            sgd.groups.push(OptimizerGroup { parameters: 22, ..sgd.groups[0].clone() });
            sgd.groups[0].parameters = 1;
        };
        assert!(refusal(&split).contains("groups"));
    }
}
