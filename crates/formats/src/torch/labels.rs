//! Class names in dicts.

use super::{Result, Scalar, scalars::PER_SCALAR, tensors::Reader};
use crate::pickle::{Id, Value};

/// Dicts and objects of settings in checkpoints of other programs, which may have class names.
const SETTINGS: [&str; 6] =
    ["hyper_parameters", "hparams", "args", "config", "meta", "dataset_meta"];

/// More classes than any data set has.
const MOST: usize = 1 << 20;

impl Reader<'_, '_> {
    /// The values of a dict from 0, 1, ... to names, or from names to these numbers, in their order.
    /// The numbers may be strings.
    pub(super) fn labels(&mut self, dict: Id) -> Result<Option<Scalar>> {
        let pickle = self.pickle;
        let Value::Dict(pairs) = pickle.get(dict) else { return Ok(None) };
        if pairs.is_empty() || pairs.len() > MOST {
            return Ok(None);
        }
        self.budget.take(pairs.len() * (PER_SCALAR + size_of::<Option<String>>()))?;
        let mut names: Vec<Option<String>> = vec![None; pairs.len()];
        for &(key, value) in pairs {
            let (index, name) = match (pickle.text(key), pickle.text(value)) {
                (Some(name), None) => (self.number(value)?, name),
                (None, Some(name)) => (self.number(key)?, name),
                (Some(index), Some(name)) => (index.parse().ok(), name),
                (None, None) => return Ok(None),
            };
            let whole = index.filter(|i| i.fract() == 0.0 && (0.0..MOST as f64).contains(i));
            match whole.and_then(|index| names.get_mut(index as usize)) {
                Some(place @ None) => {
                    self.budget.take(name.len())?;
                    *place = Some(name.to_owned());
                }
                _ => return Ok(None),
            }
        }
        Ok(names.into_iter().collect::<Option<Vec<_>>>().map(Scalar::TextList))
    }

    /// The lists of strings in another program's settings next to a model, such as
    /// `hyper_parameters.classes`.
    pub(super) fn settings(&mut self, dict: Id) -> Result<Vec<(String, Scalar)>> {
        let pickle = self.pickle;
        let mut found = Vec::new();
        let here = SETTINGS.into_iter().filter_map(|key| Some((key, pickle.entry(dict, key)?)));
        let mut all: Vec<(&str, Id)> = here.collect();
        // MMEngine's place.
        let meta = pickle.entry(dict, "meta").and_then(|meta| pickle.entry(meta, "dataset_meta"));
        all.extend(meta.map(|meta| ("meta.dataset_meta", meta)));
        for (key, value) in all {
            let attributes = pickle.record(value).and_then(|record| record.state);
            let pairs = pickle.pairs(value).or_else(|| pickle.pairs(attributes?));
            let pairs = pairs.unwrap_or_default();
            self.budget.look(pairs.len())?;
            for &(name, value) in pairs {
                let Some(name) = pickle.text(name) else { continue };
                let list = match pickle.get(value) {
                    Value::List(_) | Value::Tuple(_) | Value::Dict(_) => self.scalar(value)?,
                    _ => None,
                };
                if let Some(list) = list {
                    self.budget.take(PER_SCALAR + key.len() + name.len())?;
                    found.push((format!("{key}.{name}"), list));
                }
            }
        }
        Ok(found)
    }
}
