//! Writes pickles of protocol 2 for `torch.load(weights_only=True)`.

use super::Scalar;
use crate::{Data, Tensor};

/// The pickle so far.
pub(super) struct Pickler {
    out: Vec<u8>,
    /// Classes and functions, by their index in the memo.
    globals: Vec<&'static str>,
}

impl Pickler {
    pub(super) fn new() -> Self {
        Pickler { out: vec![0x80, 2], globals: Vec::new() }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.push(b'.');
        self.out
    }

    pub(super) fn none(&mut self) {
        self.out.push(b'N');
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.out.push(0x88 + u8::from(!value));
    }

    pub(super) fn int(&mut self, value: i64) {
        match (u8::try_from(value), i32::try_from(value)) {
            (Ok(byte), _) => self.out.extend([b'K', byte]),
            (_, Ok(value)) => {
                self.out.push(b'J');
                self.out.extend(value.to_le_bytes());
            }
            _ => {
                self.out.extend([0x8a, 8]);
                self.out.extend(value.to_le_bytes());
            }
        }
    }

    pub(super) fn float(&mut self, value: f64) {
        self.out.push(b'G');
        self.out.extend(value.to_be_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.out.push(b'X');
        self.out.extend((text.len() as u32).to_le_bytes());
        self.out.extend(text.as_bytes());
    }

    /// A class or function, `module name`.
    fn global(&mut self, name: &'static str) {
        if let Some(known) = self.globals.iter().position(|&global| global == name) {
            self.out.extend([b'h', known as u8]);
            return;
        }
        self.out.push(b'c');
        self.out.extend(name.bytes().map(|byte| if byte == b' ' { b'\n' } else { byte }));
        self.out.extend([b'\n', b'q', self.globals.len() as u8]);
        self.globals.push(name);
    }

    pub(super) fn list(&mut self, items: impl FnOnce(&mut Self)) {
        self.out.extend(b"](");
        items(self);
        self.out.push(b'e');
    }

    pub(super) fn tuple(&mut self, items: impl FnOnce(&mut Self)) {
        self.out.push(b'(');
        items(self);
        self.out.push(b't');
    }

    /// A dict; `pairs` writes keys and values in turn.
    pub(super) fn dict(&mut self, pairs: impl FnOnce(&mut Self)) {
        self.out.push(b'}');
        self.pairs(pairs);
    }

    pub(super) fn ordered_dict(&mut self, pairs: impl FnOnce(&mut Self)) {
        self.empty_ordered_dict();
        self.pairs(pairs);
    }

    fn empty_ordered_dict(&mut self) {
        self.global("collections OrderedDict");
        self.out.extend(b")R");
    }

    fn pairs(&mut self, pairs: impl FnOnce(&mut Self)) {
        self.out.push(b'(');
        pairs(self);
        self.out.push(b'u');
    }

    pub(super) fn scalar(&mut self, scalar: &Scalar) {
        match scalar {
            Scalar::Int(value) => self.int(*value),
            Scalar::Float(value) => self.float(*value),
            Scalar::Bool(value) => self.bool(*value),
            Scalar::Text(text) => self.text(text),
            Scalar::TextList(texts) => {
                self.list(|pickler| texts.iter().for_each(|text| pickler.text(text)));
            }
        }
    }

    /// A contiguous tensor, whose storage has the key `key`.
    pub(super) fn tensor(&mut self, tensor: &Tensor, key: usize) {
        self.global("torch._utils _rebuild_tensor_v2");
        self.tuple(|pickler| {
            pickler.tuple(|pickler| {
                pickler.text("storage");
                pickler.global(match tensor.data {
                    Data::F32(_) => "torch FloatStorage",
                    Data::I64(_) => "torch LongStorage",
                });
                pickler.text(&key.to_string());
                pickler.text("cpu");
                pickler.int(tensor.data.len() as i64);
            });
            pickler.out.push(b'Q');
            let offset = 0;
            pickler.int(offset);
            pickler.tuple(|p| tensor.shape.iter().for_each(|&size| p.int(size as i64)));
            let stride = |d: usize| tensor.shape[d + 1..].iter().map(|&size| size.max(1)).product();
            pickler.tuple(|p| {
                (0..tensor.shape.len()).map(stride).for_each(|s: usize| p.int(s as i64));
            });
            let requires_grad = false;
            pickler.bool(requires_grad);
            // No hooks.
            pickler.empty_ordered_dict();
        });
        self.out.push(b'R');
    }
}
