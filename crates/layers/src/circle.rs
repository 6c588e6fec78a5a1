//! Circles in a graph, and how they are printed.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    path::PathBuf,
};

/// Nodes each of which depends on the next one, and the last one on the first.
#[derive(Debug)]
pub struct Circle {
    /// The dependencies, in order.
    pub hops: Vec<Hop>,
}

/// A dependency, and why it is one.
#[derive(Debug)]
pub struct Hop {
    /// The node that depends on the other. What is written in a module itself, beside its
    /// children, is `module::self`; for the root of a crate that is `self`.
    pub from: String,
    /// The node it depends on.
    pub to: String,
    /// Each name once, where it is used first.
    pub uses: Vec<Use>,
}

/// A use of something that is defined elsewhere.
#[derive(Clone, Debug)]
pub struct Use {
    /// The file, relative to the root of the workspace.
    pub file: PathBuf,
    /// The line, from 1; none in a manifest.
    pub line: Option<usize>,
    /// The path as it is written.
    pub path: Vec<String>,
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}", self.hops[0].from)?;
        for hop in &self.hops {
            write!(f, " -> {}", hop.to)?;
        }
        for hop in &self.hops {
            write!(f, "\n    {} -> {}", hop.from, hop.to)?;
            for Use { file, line, path } in &hop.uses {
                let line = line.map(|line| format!(":{line}")).unwrap_or_default();
                write!(f, "\n      {}{line} uses {}", file.display(), path.join("::"))?;
            }
        }
        Ok(())
    }
}

/// Circles of two nodes or more, as lists of edges. Every edge that is on some circle is in one of
/// them, and the shortest come first.
pub(crate) fn find<N: Copy + Ord>(edges: &BTreeSet<(N, N)>) -> Vec<Vec<(N, N)>> {
    let mut circles: Vec<_> = edges
        .iter()
        .filter(|(from, to)| from != to)
        .filter_map(|&(from, to)| {
            let mut circle = vec![(from, to)];
            circle.extend(shortest_path(edges, to, from)?);
            Some(circle)
        })
        .collect();
    circles.sort_by_key(Vec::len);
    let mut seen = BTreeSet::new();
    circles.retain(|circle| {
        let new = circle.iter().any(|edge| !seen.contains(edge));
        seen.extend(circle.iter().copied());
        new
    });
    circles
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
