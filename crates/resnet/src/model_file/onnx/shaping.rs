//! Nodes around the layers: shapes, arithmetic on the images, and the shortcut of option A.

use resnet_formats::onnx::{Attribute, Node};

use super::{
    attributes::{Result, float, int, ints},
    constant::Constant,
    integers,
    walk::{Affine, Value, Walk},
};
use crate::graph::Op;

impl<'a> Walk<'a> {
    /// Of small tensors of integers another, which is computed.
    pub(super) fn of_integers(&mut self, node: &Node) -> Result<Option<Value<'a>>> {
        if !integers::OPERATORS.contains(&node.op.as_str()) {
            return Ok(None);
        }
        let input = |name: &String| match self.values.get(name.as_str()) {
            Some(Value::Constant(constant)) => constant.small_integers(),
            _ => None,
        };
        let inputs: Option<Vec<_>> = node.inputs.iter().map(input).collect();
        let Some(tensor) = inputs.and_then(|inputs| integers::evaluate(node, &inputs)) else {
            return Ok(None);
        };
        self.reserve(tensor.data.len())?;
        Ok(Some(Value::Constant(Constant::owned(tensor))))
    }

    /// Of shapes a shape; of constants, which exporters leave unfolded, nothing else that is needed.
    pub(super) fn of_shape(&self, node: &Node) -> Result<Value<'a>> {
        if let ("Shape", Value::Constant(constant)) = (node.op.as_str(), self.value(node, 0)?) {
            let start = int(node, "start").unwrap_or(0);
            return Ok(Value::Constant(constant.shape(start, int(node, "end"))));
        }
        let inputs = (0..node.inputs.len()).map(|i| self.value(node, i));
        for value in inputs {
            let fits = match value? {
                Value::Shape | Value::Constant(_) => true,
                Value::Activation(_) | Value::Input => node.op == "Shape",
                _ => false,
            };
            if !fits {
                return Err("it does more than to compute a shape".into());
            }
        }
        Ok(Value::Shape)
    }

    /// A bias of zeros, as exporters leave it unfolded.
    pub(super) fn expand(&mut self, node: &Node) -> Result<Value<'a>> {
        let constant = self.constant(node, 0)?;
        let shape = self.constant(node, 1)?;
        let shape =
            shape.integers()?.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<_>>>();
        let count = |shape: &Vec<usize>| shape.iter().try_fold(1, |n: usize, &m| n.checked_mul(m));
        let (shape, count) = shape
            .and_then(|shape| count(&shape).map(|count| (shape, count)))
            .ok_or("its shape is of no tensor")?;
        self.reserve(count)?;
        Ok(Value::Constant(constant.expanded(&shape)?))
    }

    /// Arithmetic on the images before the network.
    pub(super) fn arithmetic(&mut self, node: &Node) -> Result<Value<'a>> {
        let turned = !matches!(self.value(node, 0)?, Value::Input);
        let other = self.constant(node, usize::from(!turned))?.of_channels()?;
        let count = other.len();
        let Affine { scale, shift } =
            self.input.take().unwrap_or(Affine { scale: vec![1.0], shift: vec![0.0] });
        let count = count.max(scale.len());
        if [other.len(), scale.len()].iter().any(|&n| n != 1 && n != count) {
            return Err("its numbers are not one for each channel".into());
        }
        let at = |values: &[f64], i: usize| values[if values.len() == 1 { 0 } else { i }];
        let pair = |i: usize| -> Result<(f64, f64)> {
            let (a, b, c) = (at(&scale, i), at(&shift, i), at(&other, i));
            Ok(match (node.op.as_str(), turned) {
                ("Add", _) => (a, b + c),
                ("Mul", _) => (a * c, b * c),
                ("Sub", false) => (a, b - c),
                ("Sub", true) => (-a, c - b),
                ("Div", false) => (a / c, b / c),
                _ => return Err("images are divided by, never the other way round".into()),
            })
        };
        let pairs = (0..count).map(pair).collect::<Result<Vec<_>>>()?;
        let (scale, shift): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        if scale.iter().chain(&shift).any(|x| !x.is_finite()) || scale.contains(&0.0) {
            return Err("what it makes of images is not finite".into());
        }
        self.input = Some(Affine { scale, shift });
        Ok(Value::Input)
    }

    /// A pooled image is a vector already.
    pub(super) fn flatten(&mut self, node: &Node) -> Result<Value<'a>> {
        match self.value(node, 0)? {
            Value::Shape => return Ok(Value::Shape),
            // What is computed from integers depends on their shape.
            Value::Constant(constant) if constant.len() > 1 && constant.integers().is_ok() => {
                return Ok(Value::Shape);
            }
            // A constant's new shape does not matter where one number is for each channel.
            Value::Constant(constant) => {
                return Ok(Value::Constant(constant.clone()));
            }
            _ => {}
        }
        let x = self.activation(node, 0)?;
        let graph = self.graph.as_ref().expect("there are activations");
        let op = graph.nodes()[x].op;
        if !matches!(op, Op::GlobalAvgPool | Op::GlobalMaxPool | Op::Linear) {
            return Err("it comes before an average over the whole image".into());
        }
        Ok(Value::Activation(x))
    }

    pub(super) fn slice(&mut self, node: &Node) -> Result<Value<'a>> {
        let (x, mut strides) = match self.value(node, 0)? {
            Value::Strided(x, strides) => (*x, *strides),
            Value::Shape | Value::Constant(_) => return Ok(Value::Shape),
            _ => (self.activation(node, 0)?, [1, 1]),
        };
        let [starts, ends] = [self.list(node, 1, "starts")?, self.list(node, 2, "ends")?];
        let [axes, steps] = [self.list(node, 3, "axes")?, self.list(node, 4, "steps")?];
        for (i, (&start, &end)) in starts.iter().zip(&ends).enumerate() {
            let axis = axes.get(i).copied().unwrap_or(i as i64);
            let step = steps.get(i).copied().unwrap_or(1);
            let axis = if axis < 0 { axis + 4 } else { axis };
            // Images are smaller than any end that stands for all.
            if start != 0 || end < 1 << 20 {
                return Err("it cuts a part out".into());
            }
            let step = usize::try_from(step).ok().filter(|&step| step > 0);
            match (axis, step) {
                (_, Some(1)) => {}
                (2 | 3, Some(step)) => {
                    let stride = &mut strides[axis as usize - 2];
                    let total = stride.checked_mul(step).filter(|&total| total <= 1 << 10);
                    *stride = total.ok_or("its steps are too large")?;
                }
                _ => return Err("it takes other steps than over pixels".into()),
            }
        }
        Ok(Value::Strided(x, strides))
    }

    /// Integers from an input, or in old versions of ONNX from an attribute.
    fn list(&mut self, node: &Node, input: usize, name: &str) -> Result<Vec<i64>> {
        match node.inputs.get(input).filter(|name| !name.is_empty()) {
            Some(_) => Ok(self.constant(node, input)?.integers()?.to_vec()),
            None => Ok(ints(node, name).unwrap_or_default().to_vec()),
        }
    }

    pub(super) fn pad(&mut self, node: &Node) -> Result<Value<'a>> {
        let pads = self.list(node, 1, "pads")?;
        // PyTorch 1 pads by nothing before an average pool.
        if !pads.is_empty() && pads.iter().all(|&pad| pad == 0) {
            return self.unchanged(node);
        }
        let (x, strides) = match self.value(node, 0)? {
            Value::Strided(x, strides) => (*x, *strides),
            _ => (self.activation(node, 0)?, [1, 1]),
        };
        let mode = node.attributes.iter().find(|(name, _)| name == "mode");
        if mode.is_some_and(|(_, mode)| *mode != Attribute::Text("constant".into())) {
            return Err("it pads with other values than zeros".into());
        }
        if node.inputs.get(2).is_some_and(|name| !name.is_empty())
            && self.constant(node, 2)?.of_channels()?.iter().any(|&value| value != 0.0)
        {
            return Err("it pads with other values than zeros".into());
        }
        if float(node, "value").is_some_and(|value| value != 0.0) {
            return Err("it pads with other values than zeros".into());
        }
        let axes = self.list(node, 3, "axes")?;
        let (&[0, before, 0, 0, 0, after, 0, 0], [] | [0, 1, 2, 3]) = (&pads[..], &axes[..]) else {
            return Err("it pads more than channels".into());
        };
        let [stride, columns] = strides;
        let pads = usize::try_from(before).ok().zip(usize::try_from(after).ok());
        let Some((before, after)) = pads.filter(|&(b, a)| stride == columns && b.max(a) < 1 << 20)
        else {
            return Err("it is no shortcut of option A".into());
        };
        if before != (before + after) / 2 {
            return Err("it has not as many zero channels before as after".into());
        }
        let channels = self.channels(x) + before + after;
        Ok(self.push(node, Op::PadShortcut { stride }, &[x], Some(channels)))
    }
}
