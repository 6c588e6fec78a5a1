//! Finds circles between the modules of a crate, and between the crates of a workspace.
//!
//! Code is easy to follow where its parts stand on each other in one order. Cargo keeps crates in
//! such an order, except for dev-dependencies; nothing keeps modules in one. This does.
//!
//! # What a circle is
//! Take any module P. Its child modules, each with all that is below it, and what is written in P
//! itself are the nodes. A node depends on another if code in it names something that is *defined*
//! in the other. A circle of two nodes or more is an error.
//!
//! - Names are followed through `use`, renames, globs and re-exports to the module that defines
//!   them. Someone who uses a re-export depends on the module behind it, not on the one that
//!   re-exports, and a module may re-export what is below it without depending on it.
//! - A `mod` declaration is no dependency, nor is a `use` of a module on its own: it is what is
//!   named in the module that counts.
//! - An `impl` block names its type: where it is in another module than the type's definition, it
//!   depends on that one.
//! - Code under `cfg(test)` or `cfg(doctest)`, `tests/`, `benches/` and `examples/` is left out;
//!   every other `cfg` is taken as true.
//! - A library and its binaries are checked one by one. A binary may name the library; the library
//!   cannot name the binary.
//!
//! # What it does not see
//! It reads syntax and knows no types.
//!
//! - A call of a method names nobody: a module that calls methods which another one adds to a type
//!   in its `impl` block does not depend on that one. The same holds for associated functions
//!   (`Type::new` is a use of `Type`).
//! - Macros are not expanded. Of their tokens, and of attributes, the paths count. What a macro
//!   defines is unknown.
//! - A single lower-case name that is also a variable of the same function is taken as the
//!   variable.
//! - Variants that come through a glob re-export of their enum (`pub use child::Enum::*`) are not
//!   found.
#![forbid(unsafe_code)]

mod circle;
mod crates;
mod manifest;
mod modules;
mod resolve;
mod scan;
mod tokens;
mod tree;

use std::path::Path;

use anyhow::{Context, Result};

pub use circle::{Circle, Hop, Use};

/// What was found in one crate, or between crates.
#[derive(Debug)]
pub struct Report {
    /// Name of the crate, or `the workspace`.
    pub name: String,
    /// Its circles, the shortest first. Together they have every dependency that is on a circle.
    pub circles: Vec<Circle>,
}

/// Checks every crate in `crates/*` below `root`, and then their dependencies on each other.
///
/// # Errors
/// If a file cannot be read or is not Rust, or a manifest is not Cargo's.
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
        let mut circles = Vec::new();
        for target in &package.targets {
            circles.extend(modules::circles(&tree::Tree::read(target)?, root));
        }
        reports.push(Report { name: package.name.clone(), circles });
    }
    reports.push(Report { name: "the workspace".to_owned(), circles: crates::circles(&packages) });
    Ok(reports)
}
