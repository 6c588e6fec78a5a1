//! The values of a pickle.

use std::borrow::Cow;

/// Index of a value in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(pub(super) u32);

/// An inert value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits: little-endian two's complement.
    Long(&'a [u8]),
    Float(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    /// In order of insertion. A key that is set twice is there twice; the last one counts.
    Dict(Vec<(Id, Id)>),
    /// A class or function, `module.name`.
    Global(Box<str>),
    /// A reference to something outside the pickle.
    Persistent(Id),
    Record(Box<Record>),
}

/// An object, or the result of a function that was not run; see [`Pickle::class`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(super) class: Id,
    /// A tuple.
    pub(crate) args: Id,
    pub(crate) state: Option<Id>,
    /// Items that were appended (to a subclass of list or set).
    pub(crate) elements: Vec<Id>,
    /// Items that were set (in a subclass of dict).
    pub(crate) pairs: Vec<(Id, Id)>,
}

/// A graph of values.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    pub(super) values: Vec<Value<'a>>,
    pub(crate) root: Id,
    /// Bytes of the pickle, its end included.
    pub(crate) length: usize,
}

impl<'a> Pickle<'a> {
    pub(crate) fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }

    /// All values, in the order of their creation.
    pub(crate) fn values(&self) -> &[Value<'a>] {
        &self.values
    }

    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn int(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// A float, or an integer as one.
    pub(crate) fn float(&self, id: Id) -> Option<f64> {
        match self.get(id) {
            Value::Float(value) => Some(*value),
            Value::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// A list or tuple.
    pub(crate) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::List(items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// A dict, or an object of a subclass of it.
    pub(crate) fn pairs(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.get(id) {
            Value::Dict(pairs) => Some(pairs),
            Value::Record(record) if !record.pairs.is_empty() => Some(&record.pairs),
            _ => None,
        }
    }

    pub(crate) fn record(&self, id: Id) -> Option<&Record> {
        match self.get(id) {
            Value::Record(record) => Some(record),
            _ => None,
        }
    }

    /// `module.name` of a class or function, also if the class's source comes with it, as in files
    /// of PyTorch before 1.6.
    pub(crate) fn global(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Global(name) => Some(name),
            Value::Persistent(id) => match self.items(*id)? {
                [tag, class, ..] if self.text(*tag) == Some("module") => match self.get(*class) {
                    Value::Global(name) => Some(name),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// The class of a record, or the function that returned it; empty without a name.
    pub(crate) fn class(&self, record: &Record) -> &str {
        self.global(record.class).unwrap_or_default()
    }

    /// The value of a string key in a dict.
    pub(crate) fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        let pairs = self.pairs(dict)?;
        pairs.iter().rev().find(|(k, _)| self.text(*k) == Some(key)).map(|&(_, value)| value)
    }

    /// An attribute of an object.
    pub(crate) fn attribute(&self, record: &Record, key: &str) -> Option<Id> {
        self.entry(record.state?, key)
    }

    /// The kind of a value, for messages.
    pub(crate) fn describe(&self, id: Id) -> String {
        match self.get(id) {
            Value::None => "None".into(),
            Value::Bool(_) => "a boolean".into(),
            Value::Int(_) | Value::Long(_) => "an integer".into(),
            Value::Float(_) => "a number".into(),
            Value::Text(_) => "a string".into(),
            Value::Bytes(_) => "bytes".into(),
            Value::List(_) => "a list".into(),
            Value::Tuple(_) => "a tuple".into(),
            Value::Set(_) => "a set".into(),
            Value::Dict(_) => "a dict".into(),
            Value::Global(name) => format!("the class or function {name:.100}"),
            Value::Persistent(_) => "a reference".into(),
            Value::Record(_) if self.is_numpy_array(id) => "a NumPy array".into(),
            Value::Record(record) => format!("an object of class {:.100}", self.class(record)),
        }
    }

    /// Whether a value is a NumPy array.
    pub(crate) fn is_numpy_array(&self, id: Id) -> bool {
        let class = self.record(id).map(|record| self.class(record));
        class.is_some_and(|class| class.ends_with(".multiarray._reconstruct"))
    }
}
