//! Cycles between crates: Cargo allows them through dev-dependencies.

use std::{collections::BTreeSet, path::Path};

use crate::{
    cycle::{self, Cycle, Edge, Use},
    manifest::Package,
};

pub(crate) fn cycles(packages: &[Package]) -> Vec<Cycle> {
    let index = |name: &str| packages.iter().position(|package| package.name == name);
    let edges: BTreeSet<_> = packages
        .iter()
        .enumerate()
        .flat_map(|(from, package)| {
            let names = package.dependencies.iter().map(|(name, _)| name);
            names.filter_map(|name| index(name)).map(move |to| (from, to))
        })
        .collect();
    let to_edge = |(from, to): (usize, usize)| {
        let (from, to) = (&packages[from], &packages[to]);
        let tables = from.dependencies.iter().filter(|(name, _)| *name == to.name);
        let uses = tables.map(|(name, table)| Use {
            file: Path::new(&from.name).join("Cargo.toml"),
            line: None,
            path: vec![format!("{name} in [{table}]")],
        });
        Edge { from: from.name.clone(), to: to.name.clone(), uses: uses.collect() }
    };
    let cycles = cycle::find(&edges).into_iter();
    cycles.map(|edges| Cycle { edges: edges.into_iter().map(to_edge).collect() }).collect()
}
