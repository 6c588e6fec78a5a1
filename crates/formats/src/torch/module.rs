//! A whole pickled module: its state dict, and what its modules say of themselves.

use std::collections::HashSet;

use super::{Result, tensors::Reader};
use crate::{
    FormatErrorKind, NamedTensors,
    pickle::{Id, Record, Value},
};

const DEPTH: usize = 100;

const PER_MODULE: usize = 256;
const PER_NAME: usize = 64;
const PER_ATTRIBUTE: usize = 128;

/// The most numbers in an attribute, such as the two of a stride.
const MOST_NUMBERS: usize = 16;

/// A module in a pickled module.
#[derive(Clone, Debug, PartialEq)]
pub struct Submodule {
    /// Its name in `named_modules()`; empty for the whole.
    pub path: String,
    /// Its class, such as `torch.nn.modules.conv.Conv2d`.
    pub class: String,
    /// Whether it has modules of its own.
    pub has_children: bool,
    /// Its public attributes of plain types, such as `stride` and `eps`.
    pub attributes: Vec<(String, Attribute)>,
}

/// An attribute of a module.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// `None`.
    None,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A list or tuple of numbers.
    Numbers(Vec<f64>),
    /// A string.
    Text(String),
    /// A class or function, by its name.
    Global(String),
}

impl Submodule {
    /// An attribute by name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }
}

impl Reader<'_, '_> {
    /// Whether a value is a module of any class.
    pub(super) fn is_module(&self, id: Id) -> bool {
        let attribute = |record, key| self.pickle.attribute(record, key);
        self.pickle.record(id).is_some_and(|record| {
            attribute(record, "_parameters").is_some() && attribute(record, "_modules").is_some()
        })
    }

    /// The state dict of a module, and what its modules say.
    pub(super) fn module(&mut self, id: Id, modules: &mut Vec<Submodule>) -> Result<NamedTensors> {
        let mut tensors = NamedTensors::new();
        self.walk(id, "", 0, &mut tensors, modules)?;
        Ok(tensors)
    }

    fn walk(
        &mut self,
        id: Id,
        prefix: &str,
        depth: usize,
        out: &mut NamedTensors,
        modules: &mut Vec<Submodule>,
    ) -> Result<()> {
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
        let has_children = children.iter().any(|&(_, child)| *pickle.get(child) != Value::None);
        let class = pickle.class(record);
        self.budget.take(class.len())?;
        modules.push(Submodule {
            path: prefix.trim_end_matches('.').to_owned(),
            class: class.to_owned(),
            has_children,
            attributes: self.attributes(record)?,
        });
        for &(name, child) in children {
            if *pickle.get(child) == Value::None {
                continue;
            }
            let name = pickle.text(name).ok_or_else(|| damaged("a module has no name"))?;
            self.budget.take(prefix.len() + name.len())?;
            self.walk(child, &format!("{prefix}{name}."), depth + 1, out, modules)?;
        }
        Ok(())
    }

    /// The plain attributes of a module.
    fn attributes(&mut self, record: &Record) -> Result<Vec<(String, Attribute)>> {
        let pickle = self.pickle;
        let mut attributes = Vec::new();
        for &(name, value) in record.state.and_then(|id| pickle.pairs(id)).unwrap_or_default() {
            let Some(name) = pickle.text(name).filter(|name| !name.starts_with('_')) else {
                continue;
            };
            let attribute = match pickle.get(value) {
                Value::None => Attribute::None,
                Value::Bool(value) => Attribute::Bool(*value),
                Value::Int(_) | Value::Float(_) => {
                    Attribute::Number(pickle.float(value).unwrap_or_default())
                }
                Value::Text(text) => Attribute::Text(text.to_string()),
                Value::Global(name) => Attribute::Global(name.to_string()),
                Value::List(items) | Value::Tuple(items) if items.len() <= MOST_NUMBERS => {
                    let numbers: Option<_> = items.iter().map(|&id| pickle.float(id)).collect();
                    let Some(numbers) = numbers else { continue };
                    Attribute::Numbers(numbers)
                }
                _ => continue,
            };
            let length = match &attribute {
                Attribute::Text(text) | Attribute::Global(text) => text.len(),
                Attribute::Numbers(_) => MOST_NUMBERS * size_of::<f64>(),
                _ => 0,
            };
            self.budget.take(PER_ATTRIBUTE + name.len() + length)?;
            attributes.push((name.to_owned(), attribute));
        }
        Ok(attributes)
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
