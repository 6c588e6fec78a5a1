//! Mistakes of a gradient: a test that bounds one is itself tested by what it must refuse.

use std::fmt;

use resnet::network::Param;

/// What becomes of one tensor of a gradient.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mutation {
    /// Every value is zero.
    Zeroed,
    /// Every value is so many times what it was.
    Scaled(f32),
    /// Every second value is zero: the half that is the longer one of the first gradient.
    Masked,
    /// Every value stands one place on.
    Permuted,
}

impl Mutation {
    /// Changes a tensor of the gradients of several batches.
    fn apply(self, gradients: &mut [Vec<f32>], param: &Param) {
        let square = |half: usize| {
            let tensor = &gradients[0][param.range.clone()];
            tensor.iter().skip(half).step_by(2).map(|g| g * g).sum::<f32>()
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

/// Whether a check takes the gradients of these batches, and refuses them with any one tensor
/// mutated, by that tensor's name, which its message begins with. Prints a table.
pub(crate) fn prove(
    what: &str,
    params: &[Param],
    gradients: &[Vec<f32>],
    mutations: &[Mutation],
    check: impl Fn(&[Vec<f32>]) -> Result<(), String>,
) {
    check(gradients).unwrap_or_else(|why| panic!("{what}: {why}"));
    for mutation in mutations {
        let missed = params.iter().filter(|param| {
            let mut mutated = gradients.to_vec();
            mutation.apply(&mut mutated, param);
            !check(&mutated).is_err_and(|why| why.starts_with(&format!("{}:", param.name)))
        });
        let missed: Vec<&str> = missed.map(|param| param.name.as_str()).collect();
        let (tensors, caught) = (params.len(), params.len() - missed.len());
        println!("{what:<44} {mutation:<12} {tensors:>4} tensors {caught:>4} caught");
        assert!(missed.is_empty(), "{what}: not caught {mutation}: {missed:?}");
    }
}
