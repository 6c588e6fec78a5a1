//! Small tensors of integers, which exporters compute in the graph: pads above all.
//!
//! Whatever is not computed here is None, and then an unknown shape.

use resnet_formats::{
    Data, Tensor,
    onnx::{Attribute, Node},
};

use super::attributes::{attribute, int, ints};

/// The operators that are computed.
pub(super) const OPERATORS: [&str; 5] =
    ["ConstantOfShape", "Concat", "Reshape", "Slice", "Transpose"];

/// More values than shapes and pads have.
const MOST: usize = 64;

/// A tensor of at most [`MOST`] integers, which has no larger side either.
#[derive(Clone, Copy, Debug)]
pub(super) struct Integers<'t> {
    shape: &'t [usize],
    values: &'t [i64],
}

impl Integers<'_> {
    pub(super) fn of(tensor: &Tensor) -> Option<Integers<'_>> {
        let Data::I64(values) = &tensor.data else { return None };
        let is_small = count(&tensor.shape) == Some(values.len());
        is_small.then_some(Integers { shape: &tensor.shape, values })
    }
}

/// The number of values of a shape, if it is small.
fn count(shape: &[usize]) -> Option<usize> {
    let bounded = |n: usize, &side: &usize| n.checked_mul(side.max(1)).filter(|&n| n <= MOST);
    shape.iter().try_fold(1, bounded)?;
    Some(shape.iter().product())
}

/// What a node computes from these inputs.
pub(super) fn evaluate(node: &Node, inputs: &[Integers<'_>]) -> Option<Tensor> {
    let (shape, values) = match (node.op.as_str(), inputs) {
        ("ConstantOfShape", [shape]) => filled(node, shape.values)?,
        ("Concat", parts) => concatenated(node, parts)?,
        ("Reshape", [x, shape]) => {
            (reshaped(*x, shape.values, int(node, "allowzero") == Some(1))?, x.values.to_vec())
        }
        ("Slice", [x, rest @ ..]) => sliced(node, *x, rest)?,
        ("Transpose", [x]) => transposed(*x, ints(node, "perm"))?,
        _ => return None,
    };
    Some(Tensor { shape, data: Data::I64(values) })
}

type Parts = (Vec<usize>, Vec<i64>);

fn filled(node: &Node, shape: &[i64]) -> Option<Parts> {
    let Some(Attribute::Tensor(value)) = attribute(node, "value") else { return None };
    let &[value] = Integers::of(value)?.values else { return None };
    let shape: Option<Vec<usize>> = shape.iter().map(|&side| side.try_into().ok()).collect();
    let shape = shape?;
    let values = vec![value; count(&shape)?];
    Some((shape, values))
}

/// Of vectors.
fn concatenated(node: &Node, parts: &[Integers<'_>]) -> Option<Parts> {
    let are_vectors = parts.iter().all(|part| part.shape.len() == 1);
    if !are_vectors || !matches!(int(node, "axis"), Some(0 | -1)) {
        return None;
    }
    let shape = vec![parts.iter().map(|part| part.values.len()).sum()];
    count(&shape)?;
    Some((shape, parts.iter().flat_map(|part| part.values).copied().collect()))
}

/// The shape that a `Reshape` gives.
fn reshaped(x: Integers<'_>, shape: &[i64], allows_zero: bool) -> Option<Vec<usize>> {
    let mut open = None;
    let mut sides = Vec::with_capacity(shape.len());
    for (i, &side) in shape.iter().enumerate() {
        sides.push(match side {
            -1 if open.is_some() => return None,
            -1 => {
                open = Some(i);
                1
            }
            0 if !allows_zero => *x.shape.get(i)?,
            side => side.try_into().ok()?,
        });
    }
    if let Some(open) = open {
        sides[open] = x.values.len().checked_div(count(&sides)?)?;
    }
    (count(&sides) == Some(x.values.len())).then_some(sides)
}

fn sliced(node: &Node, x: Integers<'_>, rest: &[Integers<'_>]) -> Option<Parts> {
    let list = |index: usize, name: &str| {
        let input = rest.get(index).map(|input| input.values);
        input.or_else(|| ints(node, name)).unwrap_or_default()
    };
    let (starts, ends) = (list(0, "starts"), list(1, "ends"));
    let (axes, steps) = (list(2, "axes"), list(3, "steps"));
    if starts.len() != ends.len() || starts.len() > MOST {
        return None;
    }
    let (mut shape, mut values) = (x.shape.to_vec(), x.values.to_vec());
    for (i, (&start, &end)) in starts.iter().zip(ends).enumerate() {
        let axis = axes.get(i).copied().unwrap_or(i as i64);
        let from_end = if axis < 0 { shape.len() as i64 } else { 0 };
        let axis = usize::try_from(axis.checked_add(from_end)?).ok()?;
        let extent = *shape.get(axis)?;
        let kept = kept(extent, start, end, steps.get(i).copied().unwrap_or(1))?;
        let outer: usize = shape[..axis].iter().product();
        let inner: usize = shape[axis + 1..].iter().product();
        let rows = (0..outer).flat_map(|o| kept.iter().map(move |k| (o * extent + k) * inner));
        values = rows.flat_map(|row| values[row..row + inner].iter().copied()).collect();
        shape[axis] = kept.len();
    }
    Some((shape, values))
}

/// Which places of a side a slice keeps, in its order.
fn kept(extent: usize, start: i64, end: i64, step: i64) -> Option<Vec<usize>> {
    if step == 0 {
        return None;
    }
    let Some(last) = extent.checked_sub(1) else { return Some(Vec::new()) };
    // No sum of two numbers of 64 bits leaves 128.
    let (side, last, step) = (extent as i128, last as i128, i128::from(step));
    let place = |i: i64| i128::from(i) + if i < 0 { side } else { 0 };
    let (start, end) = if step > 0 {
        (place(start).clamp(0, side), place(end).clamp(0, side))
    } else {
        (place(start).clamp(0, last), place(end).clamp(-1, last))
    };
    let places = std::iter::successors(Some(start), |at| Some(at + step));
    let places = places.take_while(|&at| if step > 0 { at < end } else { at > end });
    Some(places.map(|at| at as usize).collect())
}

fn transposed(x: Integers<'_>, order: Option<&[i64]>) -> Option<Parts> {
    let rank = x.shape.len();
    let order: Vec<usize> = match order {
        Some(order) => order.iter().map(|&i| i.try_into().ok()).collect::<Option<_>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return None;
    }
    let shape: Vec<usize> = order.iter().map(|&axis| x.shape[axis]).collect();
    let value = |place: usize| {
        let (mut rest, mut from) = (place, 0);
        for (&axis, &side) in order.iter().zip(&shape).rev() {
            let stride: usize = x.shape[axis + 1..].iter().product();
            from += rest % side * stride;
            rest /= side;
        }
        x.values[from]
    };
    let values = (0..x.values.len()).map(value).collect();
    Some((shape, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op: &str, attributes: &[(&str, Attribute)]) -> Node {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let (inputs, outputs) = (vec![], vec![]);
        let (name, op) = (String::new(), op.to_owned());
        Node { name, op, inputs, outputs, attributes: attributes.collect() }
    }

    fn tensor(shape: &[usize], values: &[i64]) -> Tensor {
        Tensor { shape: shape.to_vec(), data: Data::I64(values.to_vec()) }
    }

    fn vector(values: &[i64]) -> Tensor {
        tensor(&[values.len()], values)
    }

    fn computed(node: &Node, inputs: &[Tensor]) -> Option<Tensor> {
        let inputs: Option<Vec<_>> = inputs.iter().map(Integers::of).collect();
        evaluate(node, &inputs?)
    }

    #[test]
    fn operators_are_those_of_numpy() {
        let x = tensor(&[2, 3], &[0, 1, 2, 3, 4, 5]);
        let slice = |start: i64, end: i64, axis: i64, step: i64| {
            let lists = [start, end, axis, step].map(|i| vector(&[i]));
            computed(&node("Slice", &[]), &[std::slice::from_ref(&x), &lists[..]].concat())
        };
        let most = i64::MAX;
        // x[::-1], x[:, ::-2], x[:, 1:], x[:, -2:-1], x[5:]
        assert_eq!(slice(-1, -most, 0, -1), Some(tensor(&[2, 3], &[3, 4, 5, 0, 1, 2])));
        assert_eq!(slice(most, i64::MIN, 1, -2), Some(tensor(&[2, 2], &[2, 0, 5, 3])));
        assert_eq!(slice(1, most, -1, 1), Some(tensor(&[2, 2], &[1, 2, 4, 5])));
        assert_eq!(slice(-2, -1, 1, most), Some(tensor(&[2, 1], &[1, 4])));
        assert_eq!(slice(5, most, 0, 1), Some(tensor(&[0, 3], &[])));
        assert_eq!(slice(-1, i64::MIN, 0, i64::MIN), Some(tensor(&[1, 3], &[3, 4, 5])));
        for (axis, step) in [(2, 1), (-3, 1), (i64::MIN, 1), (most, 1), (0, 0)] {
            assert_eq!(slice(0, 1, axis, step), None, "{axis} {step}");
        }

        let turn = |shape: &[usize], perm: Option<&[i64]>| {
            let values: Vec<i64> = (0..shape.iter().product::<usize>() as i64).collect();
            let perm = perm.map(|perm| ("perm", Attribute::Ints(perm.to_vec())));
            computed(&node("Transpose", perm.as_slice()), &[tensor(shape, &values)])
        };
        assert_eq!(turn(&[2, 3], None), Some(tensor(&[3, 2], &[0, 3, 1, 4, 2, 5])));
        let turned = tensor(&[3, 1, 2], &[0, 3, 1, 4, 2, 5]);
        assert_eq!(turn(&[1, 2, 3], Some(&[2, 0, 1])), Some(turned));
        assert_eq!(turn(&[0, 3], None), Some(tensor(&[3, 0], &[])));
        for perm in [&[0, 0][..], &[0], &[0, 2], &[-1, 0]] {
            assert_eq!(turn(&[2, 3], Some(perm)), None, "{perm:?}");
        }

        let reshape = |shape: &[i64]| {
            let shape = computed(&node("Reshape", &[]), &[x.clone(), vector(shape)]);
            shape.map(|tensor| tensor.shape)
        };
        assert_eq!(reshape(&[-1]), Some(vec![6]));
        assert_eq!(reshape(&[3, -1]), Some(vec![3, 2]));
        assert_eq!(reshape(&[0, 1, 3]), Some(vec![2, 1, 3]));
        for shape in [&[-1, -1][..], &[4, -1], &[7], &[-2, -3], &[most, most], &[1, 1, 0]] {
            assert_eq!(reshape(shape), None, "{shape:?}");
        }
    }

    #[test]
    fn what_is_large_is_not_computed() {
        let zeros = node("ConstantOfShape", &[("value", Attribute::Tensor(vector(&[0])))]);
        assert_eq!(computed(&zeros, &[vector(&[0])]), Some(vector(&[])));
        assert_eq!(computed(&zeros, &[vector(&[64])]), Some(vector(&[0; 64])));
        for shape in [&[65][..], &[-1], &[i64::MAX, i64::MAX], &[0, i64::MAX], &[8, 9]] {
            assert_eq!(computed(&zeros, &[vector(shape)]), None, "{shape:?}");
        }
        let join = node("Concat", &[("axis", Attribute::Int(0))]);
        let parts = [vector(&[1, 2]), vector(&[]), vector(&[3])];
        assert_eq!(computed(&join, &parts), Some(vector(&[1, 2, 3])));
        assert_eq!(computed(&join, &vec![vector(&[1; 33]); 2]), None);
        assert_eq!(computed(&join, &[vector(&[1; 65])]), None);
        assert_eq!(computed(&join, &[tensor(&[1 << 62, 0], &[])]), None);
        assert_eq!(computed(&join, &[Tensor::f32(&[1], vec![1.0])]), None);
    }
}
