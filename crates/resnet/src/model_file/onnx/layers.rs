//! Nodes that are layers: convolutions, batch norms, pools, additions and the linear layer.

use std::borrow::Cow;

use resnet_formats::{Tensor, onnx::Node};

use super::{
    attributes::{Result, Window, float, int, ints},
    constant,
    walk::{Affine, Value, Walk},
};
use crate::graph::{Epsilon, Graph, NodeId, Op};

impl<'a> Walk<'a> {
    pub(super) fn conv(&mut self, node: &'a Node) -> Result<Value<'a>> {
        let weight = self.tensor(node, 1)?;
        let &[channels, inputs, rows, columns] = &weight.shape[..] else {
            return Err(format!("its weight is {:?}, no convolution's", weight.shape));
        };
        let window = Window::of(node, Some([rows, columns]))?;
        let groups = int(node, "group").unwrap_or(1);
        let groups = usize::try_from(groups).ok().filter(|groups| *groups > 0);
        let groups = groups.ok_or("it has no groups of channels")?;
        let inputs = inputs.checked_mul(groups).ok_or("it has too many groups of channels")?;
        let from = match self.value(node, 0)? {
            Value::Input if self.graph.is_none() => {
                if let Some(Affine { scale, .. }) = &self.input
                    && scale.len() != 1
                    && scale.len() != inputs
                {
                    return Err("it has other channels than the arithmetic before it".into());
                }
                self.graph = Some(Graph::new(inputs));
                Graph::INPUT
            }
            Value::Input => return Err("a second convolution reads the images".into()),
            _ => self.activation(node, 0)?,
        };
        if self.channels(from) != inputs {
            let has = self.channels(from);
            return Err(format!("its weight is for {inputs} channels, and its input has {has}"));
        }
        let Window { kernel, stride, padding } = window;
        let op = Op::Conv2d { kernel, stride, padding, groups };
        let conv = self.push(node, op, &[from], Some(channels));
        let Value::Activation(id) = conv else { unreachable!("it was pushed") };
        self.walked.insert(id, vec![weight]);
        let has_bias = node.inputs.get(2).is_some_and(|name| !name.is_empty());
        let bias = if has_bias { Some(self.tensor(node, 2)?) } else { None };
        let output = node.outputs.first().map_or("", String::as_str);
        if self.normed.contains(output) {
            if let Some(bias) = bias {
                self.walked.entry(id).or_default().push(bias);
            }
            return Ok(conv);
        }
        // A batch norm that was folded: what is left of it adds a bias.
        self.reserve(4 * channels)?;
        let bias = bias.unwrap_or_else(|| Cow::Owned(constant::filled(channels, 0.0)));
        let norm = self.push(node, Op::BatchNorm2d, &[id], None);
        let Value::Activation(norm_id) = norm else { unreachable!("it was pushed") };
        if !has_bias {
            self.idle.insert(norm_id);
        }
        let filled = |x| Cow::Owned(constant::filled(channels, x));
        // The variance is filled in when the epsilon is known.
        self.walked.insert(norm_id, vec![filled(1.0), bias, filled(0.0)]);
        Ok(norm)
    }

    pub(super) fn batch_norm(&mut self, node: &'a Node) -> Result<Value<'a>> {
        let x = self.activation(node, 0)?;
        if int(node, "training_mode").unwrap_or(0) != 0 {
            return Err("it is in training mode: export the model with model.eval()".into());
        }
        let epsilon = float(node, "epsilon").unwrap_or(1e-5);
        // The format has 32 bits for what PyTorch has 64 for.
        let epsilon = epsilon.to_string().parse().ok().and_then(Epsilon::new);
        let epsilon = epsilon.ok_or("its epsilon is out of bounds")?;
        if *self.epsilon.get_or_insert(epsilon) != epsilon {
            return Err("batch norms have several epsilons".into());
        }
        let mut parameters = Vec::new();
        for index in 1..5 {
            let tensor = self.tensor(node, index)?;
            if tensor.shape != [self.channels(x)] || tensor.as_f32().is_none() {
                return Err(format!("its input {index} is not a number for each channel"));
            }
            parameters.push(tensor);
        }
        // A bias before it moves its mean.
        if let Some(own) = self.walked.get_mut(&x)
            && own.len() == 2
            && let Some(bias) = own.pop()
        {
            let (Some(bias), Some(mean)) = (bias.as_f32(), parameters[2].as_f32()) else {
                return Err("its mean is no floating point".into());
            };
            let moved: Vec<f32> = mean.iter().zip(bias).map(|(mean, bias)| mean - bias).collect();
            parameters[2] = Cow::Owned(Tensor::f32(&[moved.len()], moved));
        }
        let norm = self.push(node, Op::BatchNorm2d, &[x], None);
        let Value::Activation(id) = norm else { unreachable!("it was pushed") };
        self.walked.insert(id, parameters);
        Ok(norm)
    }

    pub(super) fn add(&mut self, node: &'a Node) -> Result<Value<'a>> {
        let is_product = |i: &usize| matches!(self.value(node, *i), Ok(Value::Product(..)));
        if let Some(i) = [0, 1].into_iter().find(is_product)
            && let Some(Value::Product(x, weight)) = self.values.remove(&*node.inputs[i])
        {
            let bias = self.tensor(node, 1 - i)?;
            return self.linear(node, x, weight, Some(bias));
        }
        let inputs = [self.activation(node, 0)?, self.activation(node, 1)?];
        Ok(self.push(node, Op::Add, &inputs, None))
    }

    pub(super) fn max_pool(&mut self, node: &Node) -> Result<Value<'a>> {
        let x = self.activation(node, 0)?;
        let Window { kernel, stride, padding } = Window::of(node, None)?;
        Ok(self.push(node, Op::MaxPool2d { kernel, stride, padding }, &[x], None))
    }

    /// Of the whole image, or the pool of a shortcut.
    pub(super) fn average_pool(&mut self, node: &Node) -> Result<Value<'a>> {
        let x = self.activation(node, 0)?;
        match node.op.as_str() {
            "AveragePool" if int(node, "ceil_mode") == Some(1) => {
                let Window { kernel, stride, padding } = Window::of_any(node, None)?;
                if stride != kernel || padding != 0 || int(node, "count_include_pad") == Some(1) {
                    return Err("it is no average of windows next to each other".into());
                }
                return Ok(self.push(node, Op::AvgPool2d { kernel }, &[x], None));
            }
            "AveragePool" => {
                let Window { kernel, padding, .. } = Window::of(node, None)?;
                if padding != 0 || self.pool.is_some() {
                    return Err("it is no average over the whole image".into());
                }
                self.pool = Some(kernel);
            }
            "ReduceMean" => self.check_pixels(node, "mean")?,
            _ => {}
        }
        Ok(self.push(node, Op::GlobalAvgPool, &[x], None))
    }

    pub(super) fn global_max_pool(&mut self, node: &Node) -> Result<Value<'a>> {
        let x = self.activation(node, 0)?;
        if node.op == "ReduceMax" {
            self.check_pixels(node, "maximum")?;
        }
        Ok(self.push(node, Op::GlobalMaxPool, &[x], None))
    }

    /// Refuses a reduction of others than rows and columns.
    fn check_pixels(&mut self, node: &Node, what: &str) -> Result<()> {
        let axes = match node.inputs.get(1).filter(|name| !name.is_empty()) {
            Some(_) => self.constant(node, 1)?.integers()?.to_vec(),
            None => ints(node, "axes").unwrap_or_default().to_vec(),
        };
        let mut axes: Vec<i64> = axes.iter().map(|&a| if a < 0 { a + 4 } else { a }).collect();
        axes.sort_unstable();
        if axes != [2, 3] {
            return Err(format!("it is no {what} over rows and columns"));
        }
        Ok(())
    }

    pub(super) fn gemm(&mut self, node: &'a Node) -> Result<Value<'a>> {
        let x = self.activation(node, 0)?;
        let scale = |name| float(node, name).unwrap_or(1.0);
        if int(node, "transA").unwrap_or(0) != 0 || scale("alpha") != 1.0 || scale("beta") != 1.0 {
            return Err("its operands are transposed or scaled".into());
        }
        let mut weight = self.tensor(node, 1)?;
        if int(node, "transB").unwrap_or(0) == 0 {
            weight = Cow::Owned(constant::transposed(&weight)?);
        }
        let has_bias = node.inputs.get(2).is_some_and(|name| !name.is_empty());
        let bias = if has_bias { Some(self.tensor(node, 2)?) } else { None };
        self.linear(node, x, weight, bias)
    }

    pub(super) fn matmul(&mut self, node: &'a Node) -> Result<Value<'a>> {
        let x = self.activation(node, 0)?;
        let weight = Cow::Owned(constant::transposed(&*self.tensor(node, 1)?)?);
        let output = node.outputs.first().map_or("", String::as_str);
        if self.added.contains(output) {
            return Ok(Value::Product(x, weight));
        }
        self.linear(node, x, weight, None)
    }

    /// A linear layer of this weight `[classes, channels]`.
    pub(super) fn linear(
        &mut self,
        node: &'a Node,
        x: NodeId,
        weight: Cow<'a, Tensor>,
        bias: Option<Cow<'a, Tensor>>,
    ) -> Result<Value<'a>> {
        let &[classes, channels] = &weight.shape[..] else {
            return Err(format!("its weight is {:?}, no matrix", weight.shape));
        };
        if self.channels(x) != channels {
            let has = self.channels(x);
            return Err(format!("its weight is for {channels} channels, and its input has {has}"));
        }
        let bias = bias.unwrap_or_else(|| Cow::Owned(constant::filled(classes, 0.0)));
        if bias.data.len() != classes {
            return Err("its bias is not a number for each class".into());
        }
        let bias = match bias.shape[..] {
            [_] => bias,
            _ => Cow::Owned(Tensor { shape: vec![classes], data: bias.into_owned().data }),
        };
        let value = self.push(node, Op::Linear, &[x], Some(classes));
        let Value::Activation(id) = value else { unreachable!("it was pushed") };
        self.walked.insert(id, vec![weight, bias]);
        Ok(value)
    }
}
