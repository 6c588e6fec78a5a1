//! The state dict of a whole pickled module.

use std::collections::HashSet;

use super::{Result, tensors::Reader};
use crate::{
    FormatErrorKind, NamedTensors,
    pickle::{Id, Record, Value},
};

const DEPTH: usize = 100;

const PER_MODULE: usize = 256;
const PER_NAME: usize = 64;

impl Reader<'_, '_> {
    /// Whether a value is a module of any class.
    pub(super) fn is_module(&self, id: Id) -> bool {
        let attribute = |record, key| self.pickle.attribute(record, key);
        self.pickle.record(id).is_some_and(|record| {
            attribute(record, "_parameters").is_some() && attribute(record, "_modules").is_some()
        })
    }

    /// The state dict of a module.
    pub(super) fn module(&mut self, id: Id) -> Result<NamedTensors> {
        let mut tensors = NamedTensors::new();
        self.walk(id, "", 0, &mut tensors)?;
        Ok(tensors)
    }

    fn walk(&mut self, id: Id, prefix: &str, depth: usize, out: &mut NamedTensors) -> Result<()> {
        let damaged = |why: &str| FormatErrorKind::Pickle(why.into());
        if depth > DEPTH {
            return Err(damaged("its modules are nested too deeply"));
        }
        // One module may be referenced many times, and is walked each time.
        self.budget.take(PER_MODULE + 2 * prefix.len())?;
        let pickle = self.pickle;
        let record = pickle.record(id).filter(|_| self.is_module(id));
        let record = record.ok_or_else(|| damaged("a child module is not a module"))?;
        self.take_lookup(record.state)?;
        self.members(record, "_parameters", prefix, out)?;
        self.members(record, "_buffers", prefix, out)?;
        let children = pickle.attribute(record, "_modules").and_then(|id| pickle.pairs(id));
        let children = children.unwrap_or_default();
        self.budget.look(children.len())?;
        for &(name, child) in children {
            if *pickle.get(child) == Value::None {
                continue;
            }
            let name = pickle.text(name).ok_or_else(|| damaged("a module has no name"))?;
            self.budget.take(prefix.len() + name.len())?;
            self.walk(child, &format!("{prefix}{name}."), depth + 1, out)?;
        }
        Ok(())
    }

    /// The module's own parameters or persistent buffers.
    fn members(
        &mut self,
        record: &Record,
        attribute: &str,
        prefix: &str,
        out: &mut NamedTensors,
    ) -> Result<()> {
        let pickle = self.pickle;
        let Some(members) = pickle.attribute(record, attribute).and_then(|id| pickle.pairs(id))
        else {
            return Ok(());
        };
        let left_out = pickle.attribute(record, "_non_persistent_buffers_set");
        let left_out = match left_out.map(|id| pickle.get(id)) {
            Some(Value::Set(names)) if attribute == "_buffers" => &names[..],
            _ => &[],
        };
        self.budget.look(members.len())?;
        self.budget.take(PER_NAME * left_out.len())?;
        let left_out: HashSet<_> = left_out.iter().filter_map(|&id| pickle.text(id)).collect();
        for &(name, value) in members {
            let name = pickle.text(name);
            let name =
                name.ok_or_else(|| FormatErrorKind::Pickle("a tensor has no name".into()))?;
            if self.is_tensor(value) && !left_out.contains(name) {
                self.push(prefix, name, value, out)?;
            }
        }
        Ok(())
    }

    /// Takes the cost of searching a dict, which may be large and referenced many times.
    pub(super) fn take_lookup(&mut self, dict: Option<Id>) -> Result<()> {
        let pairs = dict.and_then(|dict| self.pickle.pairs(dict)).unwrap_or_default();
        self.budget.look(pairs.len())
    }

    /// Reads a tensor and adds it to a state dict.
    pub(super) fn push(
        &mut self,
        prefix: &str,
        name: &str,
        value: Id,
        out: &mut NamedTensors,
    ) -> Result<()> {
        // Includes growing the list, and stripping prefixes.
        self.budget.take(PER_MODULE + 3 * (prefix.len() + name.len()))?;
        let name = format!("{prefix}{name}");
        let tensor = self.tensor(value, &name)?;
        out.push((name, tensor));
        Ok(())
    }
}
