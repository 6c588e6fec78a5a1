//! Error bounds of convolutions in bfloat16, for tensors of any distribution. [`judge::Limits`]
//! states the bounds. Cases are drawn from a seed, computed on every instruction set and compared
//! with f64. A case that fails is shrunk.
//!
//! `RESNET_CASES` is the number of cases of each direction, and `RESNET_CASES_SEED` the seed of the
//! first; each case has the next seed. A seed and a count of 1 replay a case.
//! `RESNET_CASES_KEEP_GOING=1` collects all failures. `-- --nocapture` shows a line per perturbation:
//! its cases, failures, failures that still have it when shrunk, and a histogram of error / bound.

mod case;
mod harness;
mod judge;
mod kind;
mod perturbation;
mod problem;
mod random;
mod reference;
mod report;
mod shrink;
mod tensor;

use std::{env::var, thread::panicking};

use resnet_kernels::{Cpu, Isa, conv::Direction};

use case::Case;
use problem::Problem;
use report::Report;
use shrink::{judge, shrink};

/// Cases of each direction, by default.
const CASES: u64 = 500;
/// The most failures that are shrunk where all are collected.
const SHRUNK: usize = 200;

fn number(name: &str, otherwise: u64) -> u64 {
    let Ok(text) = var(name) else { return otherwise };
    text.parse().unwrap_or_else(|_| panic!("{name}={text}: expected a whole number"))
}

/// What went wrong, on which instruction set, and how to see it again.
fn failure(case: &Case, shrunk: &Case, cpu: &Cpu) -> String {
    let verdict = |case: &Case| judge(case, &|case, problem| problem.run(case, cpu));
    let seed = case.seed;
    format!(
        "RESNET_CASES_SEED={seed} RESNET_CASES=1 on {}: {case}\n  {}\n  shrunk: {shrunk}\n  {}",
        cpu.isa().name(),
        verdict(case),
        verdict(shrunk),
    )
}

/// Prints the case of a kernel that panics.
struct NamedOnPanic<'a>(&'a Case);

impl Drop for NamedOnPanic<'_> {
    fn drop(&mut self) {
        if panicking() {
            eprintln!("RESNET_CASES_SEED={} RESNET_CASES=1: {}", self.0.seed, self.0);
        }
    }
}

/// # Panics
/// If a case is further from the exact result than its bound.
fn check(direction: Direction) {
    let (cases, first) = (number("RESNET_CASES", CASES), number("RESNET_CASES_SEED", 0));
    let keeps_going = number("RESNET_CASES_KEEP_GOING", 0) != 0;
    let cpus: Vec<Cpu> =
        Isa::to_test().into_iter().map(|isa| Cpu::with_isa(1, isa).unwrap()).collect();
    let mut report = Report::new(direction);
    let mut failures = 0;
    for seed in first..first + cases {
        let case = Case::draw(seed, direction);
        let _named = NamedOnPanic(&case);
        let problem = Problem::new(&case);
        let verdicts: Vec<_> =
            cpus.iter().map(|cpu| problem.expected.judge(&problem.run(&case, cpu))).collect();
        let ratios: Vec<_> = cpus
            .iter()
            .zip(&verdicts)
            .map(|(cpu, verdict)| (cpu.isa().name(), verdict.ratio()))
            .collect();
        report.add(&case, &ratios);
        if let Some(set) = verdicts.iter().position(|verdict| verdict.fails()) {
            failures += 1;
            if report.failures().len() < SHRUNK {
                let cpu = &cpus[set];
                let shrunk = shrink(case.clone(), &|case, problem| problem.run(case, cpu));
                report.fail(&shrunk, failure(&case, &shrunk, cpu));
            }
            if !keeps_going {
                break;
            }
        }
    }
    println!("{report}");
    let shown = report.failures().first();
    assert_eq!(failures, 0, "\n{}\n", shown.map_or("", String::as_str));
}

#[test]
fn outputs_are_within_their_bounds() {
    check(Direction::Forward);
}

#[test]
fn gradients_of_inputs_are_within_their_bounds() {
    check(Direction::BackwardData);
}

#[test]
fn gradients_of_weights_are_within_their_bounds() {
    check(Direction::BackwardWeight);
}
