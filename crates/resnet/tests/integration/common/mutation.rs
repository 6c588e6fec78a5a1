//! Errors put into a gradient, to test that a test of gradients fails on them.

use std::fmt;

use resnet::network::Param;

/// What becomes of one tensor of a gradient.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mutation {
    /// Every value is zero.
    Zeroed,
    /// Every value is multiplied by the factor.
    Scaled(f32),
    /// Every second value is zero: of the two halves the longer one.
    Masked,
    /// Every value is shifted by one place.
    Permuted,
}

impl Mutation {
    /// Changes a tensor of the gradients of several batches.
    fn apply(self, gradients: &mut [Vec<f32>], param: &Param) {
        let square = |half: usize| {
            let tensors = gradients.iter().map(|gradient| &gradient[param.range.clone()]);
            tensors
                .flat_map(|tensor| tensor.iter().skip(half).step_by(2))
                .map(|g| g * g)
                .sum::<f32>()
        };
        let longer = usize::from(square(1) > square(0));
        for gradient in gradients {
            let tensor = &mut gradient[param.range.clone()];
            match self {
                Mutation::Zeroed => tensor.fill(0.0),
                Mutation::Scaled(by) => tensor.iter_mut().for_each(|g| *g *= by),
                Mutation::Masked => {
                    tensor.iter_mut().skip(longer).step_by(2).for_each(|g| *g = 0.0);
                }
                Mutation::Permuted => tensor.rotate_right(1),
            }
        }
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mutation::Zeroed => f.pad("zeroed"),
            Mutation::Scaled(by) => f.pad(&format!("times {by}")),
            Mutation::Masked => f.pad("half masked"),
            Mutation::Permuted => f.pad("permuted"),
        }
    }
}

/// Asserts that a check takes every tensor of the gradients of these batches, and refuses each one
/// when it is mutated. Prints a table.
pub(crate) fn prove(
    what: &str,
    params: &[Param],
    gradients: &[Vec<f32>],
    mutations: &[Mutation],
    check: impl Fn(&[Vec<f32>], &Param) -> Result<(), String>,
) {
    for param in params {
        check(gradients, param).unwrap_or_else(|why| panic!("{what} {}: {why}", param.name));
    }
    let mut mutated = gradients.to_vec();
    for mutation in mutations {
        let mut missed = Vec::new();
        for param in params {
            mutation.apply(&mut mutated, param);
            if check(&mutated, param).is_ok() {
                missed.push(param.name.as_str());
            }
            for (mutated, sound) in mutated.iter_mut().zip(gradients) {
                mutated[param.range.clone()].copy_from_slice(&sound[param.range.clone()]);
            }
        }
        let (tensors, caught) = (params.len(), params.len() - missed.len());
        println!("{what:<44} {mutation:<12} {tensors:>4} tensors {caught:>4} caught");
        assert!(missed.is_empty(), "{what}: {mutation} is not caught in {missed:?}");
    }
}
