//! Finds the model in a file.

use std::collections::HashSet;

use super::{Checkpoint, Result, TorchLayout, tensors::Reader};
use crate::{
    FormatErrorKind, NamedTensors,
    pickle::{Id, Value},
};

/// Keys of models, best first. Keys of one list have the same rank.
const MODEL_KEYS: [&[&str]; 2] = [
    &[
        "state_dict",
        "model_state_dict",
        "model_state",
        "model",
        "net",
        "network",
        "weights",
        "module",
    ],
    &["state_dict_ema", "model_ema", "ema_state_dict", "ema"],
];

/// Prefixes that wrappers (`DataParallel`, Lightning, `torch.compile`) add to every name.
const PREFIXES: [&str; 3] = ["module.", "model.", "_orig_mod."];

/// How many dicts may be nested.
const DEPTH: usize = 2;

/// Extracts model, optimizer and scalars of a file.
pub(super) fn extract(mut reader: Reader<'_, '_>) -> Result<Checkpoint> {
    let root = reader.pickle.root;
    let (model, layout) = match reader.is_model(root)? {
        true if reader.is_module(root) => (root, TorchLayout::Module),
        true => (root, TorchLayout::StateDict),
        false => match reader.find(root, DEPTH)? {
            Some(model) => (model, TorchLayout::Checkpoint),
            None if reader.has_tensors(root) => (root, TorchLayout::StateDict),
            None => return Err(FormatErrorKind::NoModel(reader.inventory())),
        },
    };
    let mut tensors = reader.model(model)?;
    strip_prefixes(&mut tensors);
    let mut names = HashSet::new();
    if let Some((name, _)) = tensors.iter().find(|(name, _)| !names.insert(name)) {
        return Err(FormatErrorKind::DuplicateName(name.clone()));
    }
    drop(names);
    let (optimizer, optimizer_note) = match layout {
        TorchLayout::Checkpoint => reader.optimizer(root)?,
        _ => (None, None),
    };
    let scalars = reader.scalars(root, layout == TorchLayout::Checkpoint)?;
    Ok(Checkpoint { layout, model: tensors, optimizer, optimizer_note, scalars })
}

impl Reader<'_, '_> {
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

    /// Finds the model in a dict.
    fn find(&mut self, dict: Id, depth: usize) -> Result<Option<Id>> {
        let pickle = self.pickle;
        for keys in MODEL_KEYS {
            let mut found = Vec::new();
            for key in keys {
                let Some(value) = pickle.entry(dict, key) else { continue };
                let model = match self.is_model(value)? || self.has_tensors(value) {
                    true => Some(value),
                    false if depth > 1 => self.find(value, depth - 1)?,
                    false => None,
                };
                found.extend(model.map(|model| (*key, model)));
                if found.len() == 2 {
                    break;
                }
            }
            if let Some(model) = only(&found)? {
                return Ok(Some(model));
            }
        }
        let mut found = Vec::new();
        for &(key, value) in pickle.pairs(dict).unwrap_or_default() {
            if let Some(key) = pickle.text(key)
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

    fn model(&mut self, id: Id) -> Result<NamedTensors> {
        if self.is_module(id) {
            return self.module(id);
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
fn only(found: &[(&str, Id)]) -> Result<Option<Id>> {
    match found {
        [] => Ok(None),
        [(_, model)] => Ok(Some(*model)),
        several => {
            let names = several.iter().map(|(name, _)| format!("'{name:.50}'"));
            Err(FormatErrorKind::SeveralModels(names.collect()))
        }
    }
}

fn strip_prefixes(tensors: &mut NamedTensors) {
    // The length of the prefixes that all names have in common so far.
    let mut length = 0;
    let common = |length: usize| {
        let has = |name: &str, prefix: &str| {
            name[length..].strip_prefix(prefix).is_some_and(|rest| !rest.is_empty())
        };
        let all = |prefix: &&str| tensors.iter().all(|(name, _)| has(name, prefix));
        PREFIXES.into_iter().find(|prefix| !tensors.is_empty() && all(prefix))
    };
    while let Some(prefix) = common(length) {
        length += prefix.len();
    }
    tensors.iter_mut().for_each(|(name, _)| drop(name.drain(..length)));
}
