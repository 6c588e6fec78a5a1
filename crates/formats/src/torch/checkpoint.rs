//! Finds the model in a file.

use std::collections::HashSet;

use super::{
    Checkpoint, Result, Submodule, TorchLayout, Weights, tensors::Reader, weights::AVERAGES,
};
use crate::{
    FormatErrorKind, NamedTensors,
    pickle::{Id, Value},
};

/// Keys of a model.
const MODELS: &[&str] = &[
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "module",
];

/// How many dicts may be nested.
const DEPTH: usize = 2;

/// A model under a key.
type Keyed<'p> = (&'p str, Id);

/// Extracts model, optimizer and scalars of a file.
pub(super) fn extract(mut reader: Reader<'_, '_>, weights: &Weights) -> Result<Checkpoint> {
    let root = reader.pickle.root;
    let (mut key, mut other_keys) = (None, Vec::new());
    let whole = match reader.is_model(root)? {
        true if reader.is_module(root) => Some(TorchLayout::Module),
        true => Some(TorchLayout::StateDict),
        false => None,
    };
    let (model, layout) = match whole {
        Some(layout) => (root, layout),
        None => match reader.find(root, DEPTH, weights)? {
            Some((found, model)) => {
                key = Some(found.to_owned());
                other_keys = reader.other_keys(root, found)?;
                (model, TorchLayout::Checkpoint)
            }
            None if reader.has_tensors(root) => (root, TorchLayout::StateDict),
            None => return Err(FormatErrorKind::NoModel(reader.inventory())),
        },
    };
    let mut modules = Vec::new();
    let tensors = reader.model(model, &mut modules)?;
    let mut names = HashSet::new();
    if let Some((name, _)) = tensors.iter().find(|(name, _)| !names.insert(name)) {
        return Err(FormatErrorKind::DuplicateName(name.clone()));
    }
    drop(names);
    let (optimizer, optimizer_note) = match layout {
        TorchLayout::Checkpoint => reader.optimizer(root)?,
        _ => (None, None),
    };
    let mut scalars = reader.scalars(root, layout == TorchLayout::Checkpoint)?;
    if layout == TorchLayout::Checkpoint && !modules.is_empty() {
        let known: HashSet<String> = scalars.iter().map(|(name, _)| name.clone()).collect();
        let more = reader.scalars(model, false)?;
        scalars.extend(more.into_iter().filter(|(name, _)| !known.contains(name)));
    }
    Ok(Checkpoint {
        layout,
        model: tensors,
        key,
        other_keys,
        modules,
        optimizer,
        optimizer_note,
        scalars,
    })
}

impl<'p> Reader<'p, '_> {
    /// Whether a value is a module, or a dict of named tensors and nothing else. One dict may be
    /// referenced many times, so each look is taken from the budget.
    fn is_model(&mut self, id: Id) -> Result<bool> {
        let state = self.pickle.record(id).and_then(|record| record.state);
        self.take_lookup(state)?;
        if self.is_module(id) {
            return Ok(true);
        }
        self.take_lookup(Some(id))?;
        let pairs = self.pickle.pairs(id).unwrap_or_default();
        let named = |&(key, value): &(Id, Id)| {
            let key = self.pickle.text(key);
            key.is_some_and(|key| self.is_tensor(value) || key.ends_with("_extra_state"))
        };
        Ok(pairs.iter().all(named) && self.has_tensors(id))
    }

    /// Whether a value is a dict with at least one tensor.
    fn has_tensors(&self, id: Id) -> bool {
        let pairs = self.pickle.pairs(id).unwrap_or_default();
        pairs.iter().any(|&(_, value)| self.is_tensor(value))
    }

    /// Finds the model in a dict, and the key that leads to it.
    fn find(&mut self, dict: Id, depth: usize, weights: &Weights) -> Result<Option<Keyed<'p>>> {
        let ranks: &[&[&str]] = match weights {
            Weights::Key(key) => {
                if let Some(found) = self.find_key(dict, depth, key)? {
                    return Ok(Some(found));
                }
                // It may be part of the tensors' names.
                return self.find(dict, depth, &Weights::Usual);
            }
            Weights::Usual => &[AVERAGES, MODELS],
            Weights::Average => &[AVERAGES],
            Weights::Model => &[MODELS],
        };
        for keys in ranks {
            let found = self.under(dict, depth, keys, weights)?;
            if let Some(model) = only(&found)? {
                return Ok(Some(model));
            }
        }
        let mut found: Vec<Keyed> = Vec::new();
        for &(key, value) in self.pickle.pairs(dict).unwrap_or_default() {
            if let Some(key) = self.pickle.text(key)
                && (*weights != Weights::Model || !AVERAGES.contains(&key))
                && self.is_model(value)?
            {
                found.push((key, value));
                if found.len() == 2 {
                    break;
                }
            }
        }
        only(&found)
    }

    /// The first two models under some keys of a dict.
    fn under(
        &mut self,
        dict: Id,
        depth: usize,
        keys: &[&'p str],
        weights: &Weights,
    ) -> Result<Vec<Keyed<'p>>> {
        let mut found = Vec::new();
        for &key in keys {
            let Some(value) = self.pickle.entry(dict, key) else { continue };
            let model = match self.is_model(value)? || self.has_tensors(value) {
                true => Some(value),
                false if depth > 1 => self.find(value, depth - 1, weights)?.map(|(_, id)| id),
                false => None,
            };
            found.extend(model.map(|model| (key, model)));
            if found.len() == 2 {
                break;
            }
        }
        Ok(found)
    }

    /// The model under a key of a dict, or of a dict in it.
    fn find_key(&mut self, dict: Id, depth: usize, key: &str) -> Result<Option<Keyed<'p>>> {
        let pickle = self.pickle;
        self.take_lookup(Some(dict))?;
        for &(name, value) in pickle.pairs(dict).unwrap_or_default() {
            let Some(name) = pickle.text(name) else { continue };
            if name == key {
                if self.is_model(value)? || self.has_tensors(value) {
                    return Ok(Some((name, value)));
                }
                if depth > 1
                    && let Some((_, model)) = self.find(value, depth - 1, &Weights::Usual)?
                {
                    return Ok(Some((name, model)));
                }
            } else if depth > 1
                && MODELS.contains(&name)
                && let Some(found) = self.find_key(value, depth - 1, key)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The keys of the other model, where a dict has one and its average.
    fn other_keys(&mut self, dict: Id, key: &str) -> Result<Vec<String>> {
        let others = if AVERAGES.contains(&key) { MODELS } else { AVERAGES };
        let found = match self.under(dict, DEPTH, others, &Weights::Usual) {
            // They are not asked for.
            Err(FormatErrorKind::SeveralModels(_)) => Vec::new(),
            found => found?,
        };
        Ok(found.into_iter().map(|(key, _)| key.to_owned()).collect())
    }

    fn model(&mut self, id: Id, modules: &mut Vec<Submodule>) -> Result<NamedTensors> {
        if self.is_module(id) {
            return self.module(id, modules);
        }
        let mut tensors = NamedTensors::new();
        for &(key, value) in self.pickle.pairs(id).unwrap_or_default() {
            if self.is_tensor(value)
                && let Some(name) = self.pickle.text(key)
            {
                self.push("", name, value, &mut tensors)?;
            }
        }
        Ok(tensors)
    }

    /// A description of a file without a model.
    fn inventory(&self) -> String {
        let root = self.pickle.root;
        let Some(pairs) = self.pickle.pairs(root) else {
            return format!("it is {}", self.pickle.describe(root));
        };
        let are_arrays = pairs.iter().all(|&(_, value)| self.pickle.is_numpy_array(value));
        if are_arrays && !pairs.is_empty() {
            let remedy = "save torch tensors (torch.from_numpy)";
            return format!("it is a dict of {} NumPy arrays: {remedy}", pairs.len());
        }
        let keys = pairs.iter().take(8).map(|&(key, value)| {
            let key = match self.pickle.get(key) {
                Value::Text(key) => format!("'{}'", key.chars().take(50).collect::<String>()),
                Value::Int(key) => key.to_string(),
                _ => "?".into(),
            };
            format!("{key} ({})", self.pickle.describe(value))
        });
        let keys = keys.collect::<Vec<_>>().join(", ");
        match pairs.len() {
            0 => "it is an empty dict".into(),
            count @ 1..=8 => format!("it is a dict of {count}: {keys}"),
            count => format!("it is a dict of {count}: {keys}, ..."),
        }
    }
}

/// The only model, if there is one.
fn only<'p>(found: &[Keyed<'p>]) -> Result<Option<Keyed<'p>>> {
    match found {
        [] => Ok(None),
        [model] => Ok(Some(*model)),
        several => {
            let names = several.iter().map(|(name, _)| format!("'{name:.50}'"));
            Err(FormatErrorKind::SeveralModels(names.collect()))
        }
    }
}
