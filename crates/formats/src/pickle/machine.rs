//! The stack machine, and its instructions for numbers, strings and the memo.

use std::{borrow::Cow, collections::HashMap};

use super::{
    input::{PickleInput, damaged, unescape, utf8},
    value::{Id, Pickle, Record, Value},
};
use crate::{FormatErrorKind, budget::Budget};

mod build;

// Memory of a value, an item of a container, ..., at most, while a vector grows.
const PER_VALUE: usize = 3 * size_of::<Value>();
const PER_ITEM: usize = 4 * size_of::<Id>();
const PER_PAIR: usize = 4 * size_of::<(Id, Id)>();
const PER_RECORD: usize = 2 * size_of::<Record>();
const PER_MEMO: usize = 64;

type Result<T> = std::result::Result<T, FormatErrorKind>;

/// Reads the pickle that the bytes start with.
pub(crate) fn load<'a>(bytes: &'a [u8], budget: &mut Budget) -> Result<Pickle<'a>> {
    let mut machine = Machine {
        input: PickleInput::new(bytes),
        budget,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        highest: 0,
        memo: HashMap::new(),
    };
    while machine.step()? {}
    let root = machine.pop()?;
    Ok(Pickle { values: machine.values, root, length: machine.input.position })
}

struct Machine<'a, 'b> {
    input: PickleInput<'a>,
    budget: &'b mut Budget,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at its marks.
    marks: Vec<u32>,
    /// The largest height of both so far.
    highest: usize,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a, '_> {
    /// Runs an instruction; false at the end.
    fn step(&mut self) -> Result<bool> {
        match self.input.u8()? {
            b'.' => return Ok(false),
            0x80 => match self.input.u8()? {
                0..=5 => {}
                version => return Err(damaged(&format!("it is of protocol {version}"))),
            },
            // The length of a frame, which only streaming readers need.
            0x95 => drop(self.input.array::<8>()?),
            b'(' => {
                self.marks.push(self.stack.len() as u32);
                self.rise()?;
            }
            b'0' => match self.marks.last() {
                Some(&mark) if mark as usize == self.stack.len() => drop(self.marks.pop()),
                _ => drop(self.pop()?),
            },
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.push_id(top)?;
            }
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'I' => match self.input.line()?.trim() {
                "00" => self.push(Value::Bool(false))?,
                "01" => self.push(Value::Bool(true))?,
                line => {
                    let value = line.parse().map_err(|_| damaged("a number is malformed"))?;
                    self.push(Value::Int(value))?;
                }
            },
            b'L' => {
                let line = self.input.line()?.trim().trim_end_matches('L');
                self.push(match line.parse() {
                    Ok(value) => Value::Int(value),
                    Err(_) => Value::Long(line.as_bytes()),
                })?;
            }
            b'J' => {
                let value = self.input.array().map(i32::from_le_bytes)?;
                self.push(Value::Int(value.into()))?;
            }
            b'K' => {
                let value = self.input.u8()?;
                self.push(Value::Int(value.into()))?;
            }
            b'M' => {
                let value = self.input.u16()?;
                self.push(Value::Int(value.into()))?;
            }
            0x8a => {
                let bytes = self.input.counted8()?;
                self.push(long(bytes))?;
            }
            0x8b => {
                let bytes = self.input.counted32()?;
                self.push(long(bytes))?;
            }
            b'F' => {
                let value = self.input.number()?;
                self.push(Value::Float(value))?;
            }
            b'G' => {
                let value = self.input.array().map(f64::from_be_bytes)?;
                self.push(Value::Float(value))?;
            }
            b'S' => {
                let line = self.input.line()?.trim_end();
                let quoted = |q| line.strip_prefix(q).and_then(|l| l.strip_suffix(q));
                let text = quoted('\'').or_else(|| quoted('"'));
                self.push_text(text.ok_or_else(|| damaged("a string has no quotes"))?, false)?;
            }
            b'V' => {
                let line = self.input.line()?;
                self.push_text(line, true)?;
            }
            b'T' => {
                let bytes = self.input.counted32()?;
                self.push(python2_text(bytes))?;
            }
            b'U' => {
                let bytes = self.input.counted8()?;
                self.push(python2_text(bytes))?;
            }
            b'B' => {
                let bytes = self.input.counted32()?;
                self.push(Value::Bytes(Cow::Borrowed(bytes)))?;
            }
            b'C' => {
                let bytes = self.input.counted8()?;
                self.push(Value::Bytes(Cow::Borrowed(bytes)))?;
            }
            0x8e | 0x96 => {
                let bytes = self.input.counted64()?;
                self.push(Value::Bytes(Cow::Borrowed(bytes)))?;
            }
            b'X' => {
                let text = utf8(self.input.counted32()?)?;
                self.push(Value::Text(Cow::Borrowed(text)))?;
            }
            0x8c => {
                let text = utf8(self.input.counted8()?)?;
                self.push(Value::Text(Cow::Borrowed(text)))?;
            }
            0x8d => {
                let text = utf8(self.input.counted64()?)?;
                self.push(Value::Text(Cow::Borrowed(text)))?;
            }
            b'p' => {
                let key = self.input.number()?;
                self.remember(key)?;
            }
            b'q' => {
                let key = self.input.u8()?;
                self.remember(key.into())?;
            }
            b'r' => {
                let key = self.input.u32()?;
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'g' => {
                let key = self.input.number()?;
                self.recall(key)?;
            }
            b'h' => {
                let key = self.input.u8()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = self.input.u32()?;
                self.recall(key)?;
            }
            code => self.build(code)?,
        }
        Ok(true)
    }

    fn push_record(&mut self, class: Id, args: Id) -> Result<()> {
        self.budget.take(PER_RECORD)?;
        let record = Record { class, args, state: None, elements: Vec::new(), pairs: Vec::new() };
        self.push(Value::Record(Box::new(record)))
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<()> {
        self.budget.take(2 * (module.len() + name.len()))?;
        self.push(Value::Global(format!("{module}.{name}").into_boxed_str()))
    }

    fn push_text(&mut self, text: &'a str, unicode: bool) -> Result<()> {
        self.budget.take(text.len())?;
        let text = unescape(text, unicode)?;
        self.push(Value::Text(text))
    }

    fn push(&mut self, value: Value<'a>) -> Result<()> {
        self.budget.take(PER_VALUE)?;
        let id = u32::try_from(self.values.len()).map_err(|_| FormatErrorKind::TooLarge)?;
        self.values.push(value);
        self.push_id(Id(id))
    }

    fn push_id(&mut self, id: Id) -> Result<()> {
        self.stack.push(id);
        self.rise()
    }

    /// Takes from the budget when the stacks are higher than before.
    fn rise(&mut self) -> Result<()> {
        let height = self.stack.len() + self.marks.len();
        if height > self.highest {
            self.highest = height;
            self.budget.take(2 * PER_ITEM)?;
        }
        Ok(())
    }

    /// The height below which values are protected by a mark.
    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |&mark| mark as usize)
    }

    fn top(&self) -> Result<Id> {
        let above = &self.stack[self.floor().min(self.stack.len())..];
        above.last().copied().ok_or_else(underflow)
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_from(&mut self, height: usize) -> Result<Vec<Id>> {
        self.budget.take((self.stack.len() - height) * PER_ITEM)?;
        Ok(self.stack.split_off(height))
    }

    /// The values above the last mark.
    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| damaged("there is no mark"))?;
        self.pop_from(mark as usize)
    }

    /// Appends to the list or set on top of the stack.
    fn extend(&mut self, items: &[Id]) -> Result<()> {
        let target = self.top()?;
        self.budget.take(items.len() * PER_ITEM)?;
        match &mut self.values[target.0 as usize] {
            Value::List(list) | Value::Set(list) => list.extend(items),
            Value::Record(record) => record.elements.extend(items),
            _ => return Err(damaged("an item is appended to something that is not a list")),
        }
        Ok(())
    }

    /// Sets keys and values, in turn, in the dict on top of the stack.
    fn extend_pairs(&mut self, items: &[Id]) -> Result<()> {
        let target = self.top()?;
        self.budget.take(items.len().div_ceil(2) * PER_PAIR)?;
        let pairs = match &mut self.values[target.0 as usize] {
            Value::Dict(pairs) => pairs,
            Value::Record(record) => &mut record.pairs,
            _ => return Err(damaged("a key is set in something that is not a dict")),
        };
        let (items, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(damaged("a key has no value"));
        }
        pairs.extend(items.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    fn remember(&mut self, key: u32) -> Result<()> {
        let top = self.top()?;
        if self.memo.insert(key, top).is_none() {
            self.budget.take(PER_MEMO)?;
        }
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<()> {
        let id = self.memo.get(&key).copied();
        self.push_id(id.ok_or_else(|| damaged("it reads a memo entry that was never stored"))?)
    }
}

fn underflow() -> FormatErrorKind {
    damaged("its stack is too low")
}

/// Little-endian two's complement of any length.
fn long(bytes: &[u8]) -> Value<'_> {
    if bytes.len() > 8 {
        return Value::Long(bytes);
    }
    let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [fill; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(wide))
}

/// Python 2 has one type for text and bytes.
fn python2_text(bytes: &[u8]) -> Value<'_> {
    match utf8(bytes) {
        Ok(text) => Value::Text(Cow::Borrowed(text)),
        Err(_) => Value::Bytes(Cow::Borrowed(bytes)),
    }
}
