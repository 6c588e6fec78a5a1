//! Parts of activation functions.

use super::attributes::Result;
use crate::graph::{Activation, NodeId};

/// A part of an activation function, of the activation that it reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) x: NodeId,
    pub(super) of: Of,
}

/// `f` is the error function of `x / sqrt(2)`, or the hyperbolic tangent of the cubic polynomial.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    /// `a x + b x² + c x³`.
    Polynomial([f64; 3]),
    /// `f(x)`.
    Step(Step),
    /// `a (1 + f(x))`.
    Factor(f64, Step),
    /// `a x (1 + f(x))`.
    Product(f64, Step),
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    Erf,
    Tanh,
}

pub(super) const NONE: &str = "it is part of no activation of this family";

/// Exporters round constants to 32 bits or fewer digits.
pub(super) fn is_close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-4 * expected.abs()
}

/// `x (1 + f(x)) / 2`.
pub(super) fn gelu(step: Step) -> Activation {
    match step {
        Step::Erf => Activation::Gelu,
        Step::Tanh => Activation::GeluTanh,
    }
}

/// A function of a part.
pub(super) fn function(op: &str, of: Of) -> Result<Of> {
    use std::f64::consts::{FRAC_1_SQRT_2, PI};
    let root = (2.0 / PI).sqrt();
    match (op, of) {
        ("Erf", Of::Polynomial([a, 0.0, 0.0])) if is_close(a, FRAC_1_SQRT_2) => {
            Ok(Of::Step(Step::Erf))
        }
        ("Tanh", Of::Polynomial([a, 0.0, c]))
            if is_close(a, root) && is_close(c, 0.044_715 * root) =>
        {
            Ok(Of::Step(Step::Tanh))
        }
        ("Sigmoid", Of::Polynomial([1.0, 0.0, 0.0])) => Ok(Of::Sigmoid),
        _ => Err(NONE.into()),
    }
}

/// A part and a number. `turned`: the number is the left operand.
pub(super) fn with_number(op: &str, of: Of, number: f64, turned: bool) -> Result<Of> {
    let times = match op {
        "Mul" => number,
        "Div" if !turned => 1.0 / number,
        "Pow" if !turned => {
            return match of {
                Of::Polynomial([1.0, 0.0, 0.0]) if number == 2.0 => {
                    Ok(Of::Polynomial([0.0, 1.0, 0.0]))
                }
                Of::Polynomial([1.0, 0.0, 0.0]) if number == 3.0 => {
                    Ok(Of::Polynomial([0.0, 0.0, 1.0]))
                }
                _ => Err(NONE.into()),
            };
        }
        "Add" => {
            return match of {
                Of::Step(step) if number == 1.0 => Ok(Of::Factor(1.0, step)),
                _ => Err(NONE.into()),
            };
        }
        _ => return Err(NONE.into()),
    };
    match of {
        Of::Polynomial(c) => Ok(Of::Polynomial(c.map(|c| c * times))),
        Of::Factor(a, step) => Ok(Of::Factor(a * times, step)),
        Of::Product(a, step) => Ok(Of::Product(a * times, step)),
        _ => Err(NONE.into()),
    }
}

/// Two parts.
pub(super) fn both(op: &str, left: Of, right: Of) -> Result<Of> {
    match (op, left, right) {
        ("Add", Of::Polynomial(a), Of::Polynomial(b)) => {
            Ok(Of::Polynomial([0, 1, 2].map(|i| a[i] + b[i])))
        }
        ("Mul", Of::Polynomial([a, 0.0, 0.0]), Of::Factor(b, step))
        | ("Mul", Of::Factor(b, step), Of::Polynomial([a, 0.0, 0.0])) => {
            Ok(Of::Product(a * b, step))
        }
        // Of no more than the third power.
        ("Mul", Of::Polynomial([a, b, 0.0]), Of::Polynomial([c, d, 0.0])) if b * d == 0.0 => {
            Ok(Of::Polynomial([0.0, a * c, a * d + b * c]))
        }
        _ => Err(NONE.into()),
    }
}

/// SiLU, which is a product.
pub(super) fn whole(op: &str, left: Of, right: Of) -> Option<Activation> {
    match (op, left, right) {
        ("Mul", Of::Polynomial([1.0, 0.0, 0.0]), Of::Sigmoid)
        | ("Mul", Of::Sigmoid, Of::Polynomial([1.0, 0.0, 0.0])) => Some(Activation::Silu),
        _ => None,
    }
}
