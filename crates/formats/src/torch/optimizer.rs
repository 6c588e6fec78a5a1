//! Reads the state of an optimizer.

use std::collections::HashMap;

use super::{Optimizer, OptimizerGroup, OptimizerRule, Result, tensors::Reader};
use crate::{
    Tensor,
    pickle::{Id, Value},
};

const KEYS: [&str; 5] =
    ["optimizer", "optimizer_state_dict", "optimizer_state", "optim", "optim_state_dict"];

const PER_GROUP: usize = 256;
const PER_PARAMETER: usize = 256;

/// A value, or why it is not supported.
type Reason<T> = std::result::Result<T, &'static str>;

impl Reader<'_, '_> {
    /// The optimizer at one of the keys of a dict, or why it is not read.
    pub(super) fn optimizer(&mut self, dict: Id) -> Result<(Option<Optimizer>, Option<String>)> {
        let found = KEYS.iter().find_map(|key| Some((key, self.pickle.entry(dict, key)?)));
        let Some((key, state)) = found.filter(|(_, id)| *self.pickle.get(*id) != Value::None)
        else {
            return Ok((None, None));
        };
        Ok(match self.optimizer_state(state)? {
            Ok(optimizer) => (Some(optimizer), None),
            Err(reason) => (None, Some(format!("'{key}' {reason}"))),
        })
    }

    fn optimizer_state(&mut self, state_dict: Id) -> Result<Reason<Optimizer>> {
        let pickle = self.pickle;
        let entry = |key| pickle.entry(state_dict, key);
        let (Some(state), Some(groups)) = (entry("state"), entry("param_groups")) else {
            return Ok(Err("is not the state dict of an optimizer"));
        };
        let (Some(groups), Some(state)) = (pickle.items(groups), pickle.pairs(state)) else {
            return Ok(Err("is not the state dict of an optimizer"));
        };
        let mut optimizer = Optimizer::default();
        // Parameters are numbered; before PyTorch 1.6 the numbers were addresses.
        let mut positions = HashMap::new();
        for &group in groups {
            self.budget.take(PER_GROUP)?;
            self.take_lookup(Some(group))?;
            let Some(parameters) = entry_items(self, group) else {
                return Ok(Err("has a group without parameters"));
            };
            for &parameter in parameters {
                self.budget.take(PER_PARAMETER)?;
                let Some(number) = pickle.int(parameter) else {
                    return Ok(Err("has parameters without a number"));
                };
                if positions.insert(number, positions.len()).is_some() {
                    return Ok(Err("has a parameter twice"));
                }
            }
            match self.group(group, parameters.len())? {
                Ok(group) => optimizer.groups.push(group),
                Err(reason) => return Ok(Err(reason)),
            }
        }
        let Some(names) = one_rule(&optimizer.groups) else {
            return Ok(Err("has groups of several optimizers"));
        };
        optimizer.state.resize(positions.len(), Vec::new());
        for &(number, state) in state {
            let position = pickle.int(number).and_then(|number| positions.get(&number));
            let Some(&position) = position else {
                return Ok(Err("has a state for a parameter that it does not have"));
            };
            self.take_lookup(Some(state))?;
            for &name in names {
                if let Some(id) = pickle.entry(state, name)
                    && let Some(tensor) = self.state_tensor(id, name)?
                {
                    optimizer.state[position].push((name, tensor));
                }
            }
        }
        Ok(Ok(optimizer))
    }

    /// A tensor of a parameter's state; before PyTorch 1.12 `step` was an integer.
    fn state_tensor(&mut self, id: Id, name: &'static str) -> Result<Option<Tensor>> {
        if self.is_tensor(id) {
            return self.tensor(id, name).map(Some);
        }
        let number = self.pickle.float(id);
        Ok(number.map(|number| Tensor::f32(&[], vec![number as f32])))
    }

    fn group(&mut self, group: Id, parameters: usize) -> Result<Reason<OptimizerGroup>> {
        let pickle = self.pickle;
        let flag = |key| match pickle.entry(group, key).map(|id| pickle.get(id)) {
            Some(Value::Bool(value)) => Some(*value),
            _ => None,
        };
        if flag("maximize") == Some(true) {
            return Ok(Err("maximizes"));
        }
        let [lr, weight_decay] = ["lr", "weight_decay"].map(|key| self.entry_number(group, key));
        let (Some(lr), Some(weight_decay)) = (lr?, weight_decay?) else {
            return Ok(Err(NEITHER));
        };
        let [momentum, dampening, eps] =
            ["momentum", "dampening", "eps"].map(|key| self.entry_number(group, key));
        let betas = match pickle.entry(group, "betas").and_then(|id| pickle.items(id)) {
            Some(&[first, second]) => self.number(first)?.zip(self.number(second)?),
            _ => None,
        };
        let rule = match (momentum?, dampening?, betas, eps?) {
            (Some(momentum), Some(dampening), ..) => {
                let nesterov = flag("nesterov") == Some(true);
                OptimizerRule::Sgd { momentum, dampening, nesterov }
            }
            (_, _, Some((first, second)), Some(eps)) => {
                if flag("amsgrad") == Some(true) {
                    return Ok(Err("uses amsgrad"));
                }
                // Files of PyTorch before 2.8 do not tell AdamW from Adam, which differs only with a decay.
                if flag("decoupled_weight_decay") != Some(true) && weight_decay != 0.0 {
                    return Ok(Err("may be Adam's: only the weight decay of AdamW is decoupled"));
                }
                OptimizerRule::AdamW { betas: [first, second], eps }
            }
            _ => return Ok(Err(NEITHER)),
        };
        Ok(Ok(OptimizerGroup { lr, weight_decay, rule, parameters }))
    }

    fn entry_number(&mut self, dict: Id, key: &str) -> Result<Option<f64>> {
        self.pickle.entry(dict, key).map_or(Ok(None), |id| self.number(id))
    }
}

const NEITHER: &str = "is neither SGD's nor AdamW's";

/// The names of what the optimizer of all groups keeps; none if they differ. Without groups, those of any.
fn one_rule(groups: &[OptimizerGroup]) -> Option<&'static [&'static str]> {
    let mut names = groups.iter().map(|group| group.rule.state());
    let first = names.next().unwrap_or_default();
    names.all(|names| names == first).then_some(first)
}

fn entry_items<'p>(reader: &Reader<'p, '_>, group: Id) -> Option<&'p [Id]> {
    let pickle = reader.pickle;
    pickle.items(pickle.entry(group, "params")?)
}
