//! Untrusted folders and files, with every verb: a correct result or one clear error, in little
//! time and memory, without escape sequences for the terminal or files written elsewhere.
#![cfg(target_os = "linux")]

mod checks;
mod escapes;
mod folder;
mod huge;
mod links;
mod pipes;

use std::panic::{AssertUnwindSafe, catch_unwind};

use checks::{Cost, check};
use folder::{Base, Folder};

/// The expected result of a case.
enum Expected {
    /// Success.
    Right,
    /// Failure with one error message that contains this text.
    Says(&'static str),
}

use Expected::{Right, Says};

/// A hostile folder, and the command to run in it. Arguments are separated by spaces. In the
/// working folder, `run` is a run with one of two epochs done; `../outside` must not change.
struct Case {
    name: &'static str,
    args: &'static str,
    expected: Expected,
    make: fn(&Folder),
}

const fn case(
    name: &'static str,
    args: &'static str,
    expected: Expected,
    make: fn(&Folder),
) -> Case {
    Case { name, args, expected, make }
}

/// Runs all cases even if some fail, and prints the most expensive ones (`--nocapture`).
fn all(cases: &[Case]) {
    let base = Base::new();
    let mut costs: Vec<(Cost, &str)> = Vec::new();
    for case in cases {
        let folder = base.folder(case.name);
        (case.make)(&folder);
        let cost = catch_unwind(AssertUnwindSafe(|| check(&folder, case)));
        costs.extend(cost.ok().map(|cost| (cost, case.name)));
    }
    assert_eq!(costs.len(), cases.len(), "failed cases are listed above");
    let slowest = costs.iter().max_by_key(|(cost, _)| cost.time).expect("cases");
    let largest = costs.iter().max_by_key(|(cost, _)| cost.kibibytes).expect("cases");
    println!("{} cases", cases.len());
    println!("longest: {:?}, {}", slowest.0.time, slowest.1);
    println!("largest: {} MiB, {}", largest.0.kibibytes >> 10, largest.1);
}
