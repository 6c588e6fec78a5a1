//! Resolves names to the modules that define them.

use std::collections::{BTreeSet, HashSet};

use crate::{
    scan::Kind,
    tree::{Id, Tree},
};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Module(Id),
    /// An item that a module defines.
    Item(Id, Kind),
}

/// The modules that define what a path in module `from` names. There may be several, since a module
/// and a function may have one name; none for items of other crates.
pub(crate) fn definers(tree: &Tree, from: Id, path: &[String]) -> BTreeSet<Id> {
    let mut targets = Resolver { tree, open: HashSet::new() }.path(from, path);
    if let [name] = path
        && targets.is_empty()
    {
        targets.extend(textual_macro(tree, from, name).map(|id| Target::Item(id, Kind::Macro)));
    }
    let items = targets.into_iter().filter_map(|target| match target {
        Target::Item(id, _) => Some(id),
        Target::Module(_) => None,
    });
    items.collect()
}

/// A macro is in scope in all code after its definition, child modules included.
fn textual_macro(tree: &Tree, from: Id, name: &str) -> Option<Id> {
    fn shared(tree: &Tree, id: Id, name: &str) -> Option<Id> {
        let module = &tree.0[id];
        if module.items.iter().any(|(item, kind)| *kind == Kind::Macro && item == name) {
            return Some(id);
        }
        let mut sharing = module.children.values().filter(|&&child| tree.0[child].shares_macros);
        sharing.find_map(|&child| shared(tree, child, name))
    }
    std::iter::successors(Some(from), |&id| tree.0[id].parent).find_map(|id| shared(tree, id, name))
}

struct Resolver<'tree> {
    tree: &'tree Tree,
    /// The imports that are being followed, and their names: imports may be cyclic.
    open: HashSet<(Id, usize, String)>,
}

impl Resolver<'_> {
    fn path(&mut self, from: Id, path: &[String]) -> BTreeSet<Target> {
        let Some((first, rest)) = path.split_first() else { return BTreeSet::new() };
        let start = match first.as_str() {
            "crate" => BTreeSet::from([Target::Module(0)]),
            name => self.step(from, name),
        };
        rest.iter().fold(start, |targets, name| {
            let through = targets.into_iter().filter(|target| match target {
                Target::Item(_, kind) => *kind == Kind::Type,
                Target::Module(_) => true,
            });
            let next = through.collect::<Vec<_>>().into_iter().flat_map(|target| match target {
                Target::Module(id) => self.step(id, name),
                // A variant or an associated function is defined with its type.
                Target::Item(..) => BTreeSet::from([target]),
            });
            next.collect()
        })
    }

    fn step(&mut self, module: Id, name: &str) -> BTreeSet<Target> {
        match name {
            "self" => BTreeSet::from([Target::Module(module)]),
            "super" => self.tree.0[module].parent.map(Target::Module).into_iter().collect(),
            name => self.name(module, name),
        }
    }

    fn name(&mut self, id: Id, name: &str) -> BTreeSet<Target> {
        let module = &self.tree.0[id];
        let items = module.items.iter().filter(|(item, _)| item == name);
        let mut found: BTreeSet<_> = items.map(|(_, kind)| Target::Item(id, *kind)).collect();
        found.extend(module.children.get(name).map(|&child| Target::Module(child)));
        for (at, import) in module.imports.iter().enumerate() {
            if import.name.as_deref() == Some(name) {
                found.extend(self.follow(id, at, name));
            }
        }
        if !found.is_empty() {
            return found;
        }
        for (at, import) in module.imports.iter().enumerate() {
            if import.name.is_none() {
                for target in self.follow(id, at, name) {
                    if let Target::Module(module) = target {
                        // Still in the list, so that a cyclic glob ends.
                        self.open.insert((id, at, name.to_owned()));
                        found.extend(self.name(module, name));
                        self.open.remove(&(id, at, name.to_owned()));
                    }
                }
            }
        }
        found
    }

    /// Resolves the path of an import.
    fn follow(&mut self, id: Id, at: usize, name: &str) -> BTreeSet<Target> {
        let key = (id, at, name.to_owned());
        if !self.open.insert(key.clone()) {
            return BTreeSet::new();
        }
        let targets = self.path(id, &self.tree.0[id].imports[at].path);
        self.open.remove(&key);
        targets
    }
}
