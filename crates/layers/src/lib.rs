//! Finds dependency cycles between the modules of a crate, and between the crates of a workspace.
//!
//! Code is easy to follow if its modules depend on each other in one order. Cargo ensures this for
//! crates, except for dev-dependencies, but not for modules. This check does.
//!
//! # What a cycle is
//! Take any module P. The nodes are its child modules, each with everything below it, and the code
//! in P itself. A node depends on another if its code names something that is *defined* in the
//! other. A cycle of two nodes or more is an error.
//!
//! - Names are followed through `use`, renames, globs and re-exports to the module that defines
//!   them. Code that uses a re-export depends on the defining module, not on the re-exporting one.
//!   A module may re-export items from below it without depending on them.
//! - A `mod` declaration is not a dependency, nor is a `use` of a module alone: only names in the
//!   module count.
//! - An `impl` block names its type. In another module than the type's definition, it depends on
//!   that module.
//! - Code under `cfg(test)` or `cfg(doctest)`, `tests/`, `benches/` and `examples/` is left out.
//!   Any other `cfg` is assumed to be true.
//! - A library and its binaries are checked separately. A binary may name the library; the library
//!   cannot name the binary.
//!
//! # What it does not see
//! It reads syntax, without types.
//!
//! - A method call is not a dependency: a module that calls methods from an `impl` block in another
//!   module does not depend on that module. The same holds for associated functions (`Type::new` is
//!   a use of `Type`).
//! - Macros are not expanded. Paths in their tokens and in attributes count. Items that a macro
//!   defines are unknown.
//! - A single lower-case name that is also a variable of the same function is assumed to be the
//!   variable.
//! - Variants from a glob re-export of their enum (`pub use child::Enum::*`) are not found.
#![forbid(unsafe_code)]

mod crates;
mod cycle;
mod manifest;
mod modules;
mod resolve;
mod scan;
mod tokens;
mod tree;

use std::path::Path;

use anyhow::{Context, Result};

pub use cycle::{Cycle, Edge, Use};

/// The cycles in one crate, or between crates.
#[derive(Debug)]
pub struct Report {
    /// Name of the crate, or `the workspace`.
    pub name: String,
    /// The cycles, the shortest first. Together they contain every dependency that is on a cycle.
    pub cycles: Vec<Cycle>,
}

/// Checks every crate in `crates/*` below `root`, then the dependencies between the crates.
///
/// # Errors
/// If a file cannot be read or is not Rust, or a manifest is malformed.
pub fn check_workspace(root: &Path) -> Result<Vec<Report>> {
    let folder = root.join("crates");
    let entries =
        folder.read_dir().with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut folders = entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
    folders.retain(|folder| folder.join("Cargo.toml").is_file());
    folders.sort();
    let packages =
        folders.iter().map(|f| manifest::Package::read(f)).collect::<Result<Vec<_>>>()?;

    let mut reports = Vec::new();
    for package in &packages {
        let mut cycles = Vec::new();
        for target in &package.targets {
            cycles.extend(modules::cycles(&tree::Tree::read(target)?, root));
        }
        reports.push(Report { name: package.name.clone(), cycles });
    }
    reports.push(Report { name: "the workspace".to_owned(), cycles: crates::cycles(&packages) });
    Ok(reports)
}
