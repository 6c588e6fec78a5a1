//! Cycles between the modules of a crate.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::{
    cycle::{self, Cycle, Edge, Use},
    resolve,
    tree::{Id, Tree},
};

/// Dependencies between the nodes of one module: its children, and the module itself for its own
/// code.
type Edges = BTreeMap<(Id, Id), Vec<Use>>;

/// All cycles. Files are relative to `root`.
pub(crate) fn cycles(tree: &Tree, root: &Path) -> Vec<Cycle> {
    let mut cycles = Vec::new();
    for (parent, edges) in edges(tree, root) {
        let to_edge = |edge: (Id, Id)| Edge {
            from: name(tree, parent, edge.0),
            to: name(tree, parent, edge.1),
            uses: edges[&edge].clone(),
        };
        let keys: BTreeSet<_> = edges.keys().copied().collect();
        cycles.extend(
            cycle::find(&keys)
                .into_iter()
                .map(|cycle| Cycle { edges: cycle.into_iter().map(to_edge).collect() }),
        );
    }
    cycles
}

/// The dependencies between the nodes of each module.
fn edges(tree: &Tree, root: &Path) -> BTreeMap<Id, Edges> {
    let mut all: BTreeMap<Id, Edges> = BTreeMap::new();
    for (from, module) in tree.0.iter().enumerate() {
        let file = module.file.strip_prefix(root).unwrap_or(&module.file);
        for mention in &module.mentions {
            for to in resolve::definers(tree, from, &mention.path) {
                let (parent, edge) = nodes(tree, from, to);
                if edge.0 == edge.1 || (mention.is_reexport && edge.0 == from && parent == from) {
                    continue;
                }
                let uses = all.entry(parent).or_default().entry(edge).or_default();
                // A name counts once per file.
                let name = mention.path.last();
                let is_known = |use_: &Use| use_.file == file && use_.path.last() == name;
                if !uses.iter().any(is_known) {
                    let (file, path) = (file.to_owned(), mention.path.clone());
                    uses.push(Use { file, line: Some(mention.line), path });
                }
            }
        }
    }
    all
}

/// The innermost module that contains both, and the nodes of it that contain each.
fn nodes(tree: &Tree, from: Id, to: Id) -> (Id, (Id, Id)) {
    let line = |id: Id| {
        let mut line: Vec<_> = std::iter::successors(Some(id), |&id| tree.0[id].parent).collect();
        line.reverse();
        line
    };
    let (from, to) = (line(from), line(to));
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let parent = from[shared - 1];
    let node = |line: &[Id]| line.get(shared).copied().unwrap_or(parent);
    (parent, (node(&from), node(&to)))
}

fn name(tree: &Tree, parent: Id, node: Id) -> String {
    match (tree.0[node].path.join("::"), node == parent) {
        (path, true) if path.is_empty() => "self".to_owned(),
        (path, true) => format!("{path}::self"),
        (path, false) => path,
    }
}
