//! Instructions that build containers and objects.

use std::borrow::Cow;

use super::{Machine, PER_ITEM, PER_PAIR, Result, underflow};
use crate::{
    FormatErrorKind,
    pickle::{
        calls,
        input::damaged,
        value::{Id, Value},
    },
};

impl Machine<'_, '_> {
    /// Runs an instruction.
    pub(super) fn build(&mut self, code: u8) -> Result<()> {
        match code {
            b']' => self.push(Value::List(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            0x8f => self.push(Value::Set(Vec::new())),
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Value::List(items))
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items))
            }
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let from = self.stack.len().checked_sub(count);
                let from = from.filter(|&f| f >= self.floor()).ok_or_else(underflow)?;
                let items = self.pop_from(from)?;
                self.push(Value::Tuple(items))
            }
            0x91 => {
                let items = self.pop_mark()?;
                self.push(Value::Set(items))
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Value::Dict(Vec::new()))?;
                self.extend_pairs(&items)
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(&[item])
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend(&items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_pairs(&[key, value])
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.extend_pairs(&items)
            }
            b'c' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.push_global(module, name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id: Id| match &self.values[id.0 as usize] {
                    Value::Text(text) => Ok(text.clone()),
                    _ => Err(damaged("a class has no name")),
                };
                let (module, name) = (text(module)?, text(name)?);
                self.push_global(&module, &name)
            }
            b'R' => {
                let (args, function) = (self.pop()?, self.pop()?);
                self.call(function, args)
            }
            // Protocols 0 and 1 create objects by calling their class.
            b'i' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                let items = self.pop_mark()?;
                self.push_global(module, name)?;
                let function = self.pop()?;
                self.push(Value::Tuple(items))?;
                let args = self.pop()?;
                self.call(function, args)
            }
            b'o' => {
                let mut items = self.pop_mark()?;
                if items.is_empty() {
                    return Err(underflow());
                }
                let function = items.remove(0);
                self.push(Value::Tuple(items))?;
                let args = self.pop()?;
                self.call(function, args)
            }
            0x81 => {
                let (args, class) = (self.pop()?, self.pop()?);
                self.push_record(class, args)
            }
            0x92 => {
                let (_keywords, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.push_record(class, args)
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                match &mut self.values[object.0 as usize] {
                    Value::Record(record) => record.state = Some(state),
                    // The attributes of a container (`_metadata` of a state dict).
                    Value::Dict(_) | Value::List(_) | Value::Set(_) => {}
                    _ => return Err(damaged("attributes are set on something without any")),
                }
                Ok(())
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id))
            }
            b'P' => {
                let line = self.input.line()?;
                self.push(Value::Text(Cow::Borrowed(line)))?;
                let id = self.pop()?;
                self.push(Value::Persistent(id))
            }
            0x82..=0x84 => Err(damaged("it uses the registry of extensions")),
            0x97 | 0x98 => Err(damaged("it has buffers outside the file")),
            code => Err(damaged(&format!("there is no instruction {code:#04x}"))),
        }
    }

    /// Pushes the result of a call. No function is executed.
    fn call(&mut self, function: Id, args: Id) -> Result<()> {
        let Value::Global(name) = &self.values[function.0 as usize] else {
            return Err(FormatErrorKind::Call("something that is not a named function".into()));
        };
        // A long name may be called many times.
        self.budget.take(name.len())?;
        if calls::is_refused(name) {
            return Err(FormatErrorKind::Call(name.chars().take(500).collect()));
        }
        let Value::Tuple(items) = &self.values[args.0 as usize] else {
            return Err(damaged("the arguments of a call are not a tuple"));
        };
        let first = items.first().copied();
        if calls::RECONSTRUCTORS.contains(&&**name) {
            return self.push_record(first.ok_or_else(underflow)?, args);
        }
        if !calls::is_container(name) {
            return self.push_record(function, args);
        }
        if calls::ENCODE == &**name {
            let Some(Value::Text(text)) = first.map(|id| &self.values[id.0 as usize]) else {
                return Err(damaged("an encoded value is not a string"));
            };
            self.budget.take(2 * text.len())?;
            let latin1 = text.chars().map(|c| u8::try_from(u32::from(c)));
            let bytes = latin1.collect::<std::result::Result<_, _>>();
            let bytes = bytes.map_err(|_| damaged("an encoded string is not Latin 1"))?;
            return self.push(Value::Bytes(Cow::Owned(bytes)));
        }
        let source = first.map(|id| &self.values[id.0 as usize]);
        let is_set = calls::SETS.contains(&&**name);
        match source {
            Some(Value::List(items) | Value::Tuple(items) | Value::Set(items)) => {
                self.budget.take(items.len() * PER_ITEM)?;
                let items = items.clone();
                if is_set {
                    return self.push(Value::Set(items));
                }
                self.push(Value::Dict(Vec::new()))?;
                items.iter().try_for_each(|item| match &self.values[item.0 as usize] {
                    Value::List(pair) | Value::Tuple(pair) if pair.len() == 2 => {
                        let pair = [pair[0], pair[1]];
                        self.extend_pairs(&pair)
                    }
                    _ => Err(damaged("a dict is built from items that are not pairs")),
                })
            }
            Some(Value::Dict(pairs)) if !is_set => {
                self.budget.take(pairs.len() * PER_PAIR)?;
                let pairs = pairs.clone();
                self.push(Value::Dict(pairs))
            }
            // No argument, or the factory of a `defaultdict`.
            _ if is_set => self.push(Value::Set(Vec::new())),
            _ => self.push(Value::Dict(Vec::new())),
        }
    }
}
