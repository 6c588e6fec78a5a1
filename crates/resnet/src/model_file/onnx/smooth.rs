//! GELU and SiLU, which exporters write as their arithmetic.

use resnet_formats::onnx::{Attribute, Node};

use super::{
    attributes::{Result, attribute},
    part::{NONE, Of, Part, both, function, gelu, is_close, whole, with_number},
    walk::{Value, Walk},
};
use crate::graph::Activation;

impl<'a> Walk<'a> {
    /// Arithmetic of an activation function.
    pub(super) fn smooth(&mut self, node: &'a Node) -> Result<Value<'a>> {
        if node.op == "Gelu" {
            let x = self.activation(node, 0)?;
            let activation = match attribute(node, "approximate") {
                None => Activation::Gelu,
                Some(Attribute::Text(text)) if text == "none" => Activation::Gelu,
                Some(Attribute::Text(text)) if text == "tanh" => Activation::GeluTanh,
                Some(_) => return Err("its approximation is neither 'none' nor 'tanh'".into()),
            };
            return Ok(self.push(node, activation.into(), &[x], None));
        }
        let of = match (node.op.as_str(), node.inputs.len()) {
            ("Erf" | "Tanh" | "Sigmoid", _) => {
                let Part { x, of } = self.part(node, 0)?;
                (x, function(&node.op, of)?)
            }
            ("Mul" | "Add" | "Div" | "Pow", 2) => {
                if let Some(left) = self.number(node, 0)? {
                    let Part { x, of } = self.part(node, 1)?;
                    (x, with_number(&node.op, of, left, true)?)
                } else if let Some(right) = self.number(node, 1)? {
                    let Part { x, of } = self.part(node, 0)?;
                    (x, with_number(&node.op, of, right, false)?)
                } else {
                    let (left, right) = (self.part(node, 0)?, self.part(node, 1)?);
                    if left.x != right.x {
                        return Err(NONE.into());
                    }
                    if let Some(activation) = whole(&node.op, left.of, right.of) {
                        return Ok(self.push(node, activation.into(), &[left.x], None));
                    }
                    (left.x, both(&node.op, left.of, right.of)?)
                }
            }
            _ => return Err(NONE.into()),
        };
        let (x, of) = of;
        if let Of::Product(a, step) = of
            && is_close(a, 0.5)
        {
            return Ok(self.push(node, gelu(step).into(), &[x], None));
        }
        Ok(Value::Part(Part { x, of }))
    }

    /// Whether a node reads a part of an activation function.
    pub(super) fn reads_part(&self, node: &Node) -> bool {
        (0..node.inputs.len()).any(|i| matches!(self.value(node, i), Ok(Value::Part(_))))
    }

    fn part(&self, node: &Node, index: usize) -> Result<Part> {
        match self.value(node, index)? {
            Value::Part(part) => Ok(*part),
            _ => Ok(Part { x: self.activation(node, index)?, of: Of::Polynomial([1.0, 0.0, 0.0]) }),
        }
    }

    /// The one number of a constant.
    fn number(&mut self, node: &Node, index: usize) -> Result<Option<f64>> {
        if !matches!(self.value(node, index)?, Value::Constant(_)) {
            return Ok(None);
        }
        match self.constant(node, index)?.of_channels()?[..] {
            [number] => Ok(Some(number)),
            _ => Err(NONE.into()),
        }
    }
}
