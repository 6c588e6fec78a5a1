//! Circles between crates: Cargo allows them through dev-dependencies.

use std::{collections::BTreeSet, path::Path};

use crate::{
    circle::{self, Circle, Hop, Use},
    manifest::Package,
};

pub(crate) fn circles(packages: &[Package]) -> Vec<Circle> {
    let index = |name: &str| packages.iter().position(|package| package.name == name);
    let edges: BTreeSet<_> = packages
        .iter()
        .enumerate()
        .flat_map(|(from, package)| {
            let names = package.dependencies.iter().map(|(name, _)| name);
            names.filter_map(|name| index(name)).map(move |to| (from, to))
        })
        .collect();
    let hop = |(from, to): (usize, usize)| {
        let (from, to) = (&packages[from], &packages[to]);
        let tables = from.dependencies.iter().filter(|(name, _)| *name == to.name);
        let uses = tables.map(|(name, table)| Use {
            file: Path::new(&from.name).join("Cargo.toml"),
            line: None,
            path: vec![format!("{name} in [{table}]")],
        });
        Hop { from: from.name.clone(), to: to.name.clone(), uses: uses.collect() }
    };
    let circles = circle::find(&edges).into_iter();
    circles.map(|edges| Circle { hops: edges.into_iter().map(hop).collect() }).collect()
}
