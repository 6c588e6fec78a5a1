//! Folders and files of strangers, through every verb: one clear line or a right answer, soon,
//! in little memory, nothing said to the terminal, nothing written elsewhere.
#![cfg(target_os = "linux")]

mod escapes;
mod folder;
mod giants;
mod judge;
mod links;
mod pipes;

use std::panic::{AssertUnwindSafe, catch_unwind};

use folder::{Base, Folder};
use judge::{Cost, check};

/// What comes of a case.
enum Expected {
    /// An answer.
    Right,
    /// One line on stderr that says this, and a failure.
    Says(&'static str),
}

use Expected::{Right, Says};

/// A folder that somebody made, and what is done with it. The arguments are words; in its working
/// folder `run` is a run with an epoch done and another to come, and `../outside` what must stay
/// as it is.
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

/// Runs cases, all of them whatever fails, and prints what the dearest took (`--nocapture`).
fn all(cases: &[Case]) {
    let base = Base::new();
    let mut costs: Vec<(Cost, &str)> = Vec::new();
    for case in cases {
        let folder = base.folder(case.name);
        (case.make)(&folder);
        let cost = catch_unwind(AssertUnwindSafe(|| check(&folder, case)));
        costs.extend(cost.ok().map(|cost| (cost, case.name)));
    }
    assert_eq!(costs.len(), cases.len(), "cases that fail are told above");
    let slowest = costs.iter().max_by_key(|(cost, _)| cost.time).expect("cases");
    let largest = costs.iter().max_by_key(|(cost, _)| cost.kibibytes).expect("cases");
    println!("{} cases", cases.len());
    println!("longest: {:?}, {}", slowest.0.time, slowest.1);
    println!("largest: {} MiB, {}", largest.0.kibibytes >> 10, largest.1);
}
