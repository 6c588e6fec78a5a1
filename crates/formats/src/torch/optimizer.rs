//! Reads the state of an optimizer.

use std::collections::HashMap;

use super::{Result, Sgd, SgdGroup, tensors::Reader};
use crate::pickle::{Id, Value};

const KEYS: [&str; 5] =
    ["optimizer", "optimizer_state_dict", "optimizer_state", "optim", "optim_state_dict"];

const PER_GROUP: usize = 256;
const PER_PARAMETER: usize = 256;

/// A value, or why it is not supported.
type Reason<T> = std::result::Result<T, &'static str>;

impl Reader<'_, '_> {
    /// The SGD at one of the keys of a dict, or why the optimizer there is not read.
    pub(super) fn optimizer(&mut self, dict: Id) -> Result<(Option<Sgd>, Option<String>)> {
        let found = KEYS.iter().find_map(|key| Some((key, self.pickle.entry(dict, key)?)));
        let Some((key, state)) = found.filter(|(_, id)| *self.pickle.get(*id) != Value::None)
        else {
            return Ok((None, None));
        };
        Ok(match self.sgd(state)? {
            Ok(sgd) => (Some(sgd), None),
            Err(reason) => (None, Some(format!("'{key}' {reason}"))),
        })
    }

    fn sgd(&mut self, state_dict: Id) -> Result<Reason<Sgd>> {
        let pickle = self.pickle;
        let entry = |key| pickle.entry(state_dict, key);
        let (Some(state), Some(groups)) = (entry("state"), entry("param_groups")) else {
            return Ok(Err("is not the state dict of an optimizer"));
        };
        let (Some(groups), Some(state)) = (pickle.items(groups), pickle.pairs(state)) else {
            return Ok(Err("is not the state dict of an optimizer"));
        };
        let mut sgd = Sgd::default();
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
                Ok(group) => sgd.groups.push(group),
                Err(reason) => return Ok(Err(reason)),
            }
        }
        sgd.momentum.resize(positions.len(), None);
        for &(number, state) in state {
            let position = pickle.int(number).and_then(|number| positions.get(&number));
            let Some(&position) = position else {
                return Ok(Err("has a state for a parameter that it does not have"));
            };
            self.take_lookup(Some(state))?;
            if let Some(buffer) = pickle.entry(state, "momentum_buffer")
                && self.is_tensor(buffer)
            {
                sgd.momentum[position] = Some(self.tensor(buffer, "momentum_buffer")?);
            }
        }
        Ok(Ok(sgd))
    }

    fn group(&mut self, group: Id, parameters: usize) -> Result<Reason<SgdGroup>> {
        let pickle = self.pickle;
        let mut numbers = [0.0; 4];
        for (number, key) in numbers.iter_mut().zip(["lr", "momentum", "dampening", "weight_decay"])
        {
            let value = match pickle.entry(group, key) {
                Some(id) => self.number(id)?,
                None => None,
            };
            match value {
                Some(value) => *number = value,
                None => return Ok(Err("is not SGD's")),
            }
        }
        let is_true = |key| {
            let value = pickle.entry(group, key);
            value.is_some_and(|id| *pickle.get(id) == Value::Bool(true))
        };
        if is_true("maximize") {
            return Ok(Err("maximizes"));
        }
        let [lr, momentum, dampening, weight_decay] = numbers;
        let nesterov = is_true("nesterov");
        Ok(Ok(SgdGroup { lr, momentum, dampening, weight_decay, nesterov, parameters }))
    }
}

fn entry_items<'p>(reader: &Reader<'p, '_>, group: Id) -> Option<&'p [Id]> {
    let pickle = reader.pickle;
    pickle.items(pickle.entry(group, "params")?)
}
