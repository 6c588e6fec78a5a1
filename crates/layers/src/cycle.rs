//! Finds and prints cycles in a graph.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    path::PathBuf,
};

/// A cycle: each node depends on the next one, and the last one on the first.
#[derive(Debug)]
pub struct Cycle {
    /// The dependencies, in order.
    pub edges: Vec<Edge>,
}

/// A dependency, with the uses that make it one.
#[derive(Debug)]
pub struct Edge {
    /// The node that depends on the other. The code of a module itself, without its children, is
    /// `module::self`; for the root of a crate, `self`.
    pub from: String,
    /// The node that it depends on.
    pub to: String,
    /// The first use of each name.
    pub uses: Vec<Use>,
}

/// A use of something that is defined elsewhere.
#[derive(Clone, Debug)]
pub struct Use {
    /// The file, relative to the root of the workspace.
    pub file: PathBuf,
    /// The line, from 1; none in a manifest.
    pub line: Option<usize>,
    /// The path in the code.
    pub path: Vec<String>,
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}", self.edges[0].from)?;
        for edge in &self.edges {
            write!(f, " -> {}", edge.to)?;
        }
        for edge in &self.edges {
            write!(f, "\n    {} -> {}", edge.from, edge.to)?;
            for Use { file, line, path } in &edge.uses {
                let line = line.map(|line| format!(":{line}")).unwrap_or_default();
                write!(f, "\n      {}{line} uses {}", file.display(), path.join("::"))?;
            }
        }
        Ok(())
    }
}

/// Cycles of two nodes or more, as lists of edges, the shortest first. Together they contain every
/// edge that is on a cycle.
pub(crate) fn find<N: Copy + Ord>(edges: &BTreeSet<(N, N)>) -> Vec<Vec<(N, N)>> {
    let mut cycles: Vec<_> = edges
        .iter()
        .filter(|(from, to)| from != to)
        .filter_map(|&(from, to)| {
            let mut cycle = vec![(from, to)];
            cycle.extend(shortest_path(edges, to, from)?);
            Some(cycle)
        })
        .collect();
    cycles.sort_by_key(Vec::len);
    let mut seen = BTreeSet::new();
    cycles.retain(|cycle| {
        let new = cycle.iter().any(|edge| !seen.contains(edge));
        seen.extend(cycle.iter().copied());
        new
    });
    cycles
}

fn shortest_path<N: Copy + Ord>(edges: &BTreeSet<(N, N)>, start: N, end: N) -> Option<Vec<(N, N)>> {
    let mut edge_to = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for &edge in edges.iter().filter(|edge| edge.0 == node && edge.1 != start) {
            edge_to.entry(edge.1).or_insert_with(|| {
                queue.push_back(edge.1);
                edge
            });
        }
    }
    let mut path = vec![*edge_to.get(&end)?];
    while path[path.len() - 1].0 != start {
        path.push(edge_to[&path[path.len() - 1].0]);
    }
    path.reverse();
    Some(path)
}
