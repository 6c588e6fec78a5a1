//! From a failing case to a small one.

use crate::{case::Case, judge::Verdict, problem::Problem};

/// What computes a case.
pub(crate) type Kernel<'a> = dyn Fn(&Case, &Problem) -> Vec<f32> + 'a;

/// Cases that are tried for a failing one.
const TRIALS: usize = 300;

pub(crate) fn judge(case: &Case, kernel: &Kernel<'_>) -> Verdict {
    let problem = Problem::new(case);
    problem.expected.judge(&kernel(case, &problem))
}

/// Takes the first simpler case that fails, as long as there is one.
pub(crate) fn shrink(mut case: Case, kernel: &Kernel<'_>) -> Case {
    let mut trials = 0;
    while trials < TRIALS {
        let fails = |simpler: &Case| {
            trials += 1;
            trials <= TRIALS && judge(simpler, kernel).fails()
        };
        match case.simpler().into_iter().find(fails) {
            Some(simpler) => case = simpler,
            None => break,
        }
    }
    case
}
