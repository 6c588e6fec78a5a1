//! The modules of a crate, read from their files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    slice,
};

use anyhow::{Context, Result, bail};
use syn::{Expr, Item, ItemMod, Lit, Meta};

use crate::scan::{self, Import, Kind, Mention};

/// Index of a module in its tree.
pub(crate) type Id = usize;

pub(crate) struct Module {
    /// Path from the root; empty for the root.
    pub(crate) path: Vec<String>,
    pub(crate) file: PathBuf,
    pub(crate) parent: Option<Id>,
    pub(crate) children: BTreeMap<String, Id>,
    /// Whether macros of this module are in scope in its parent (`#[macro_use]`).
    pub(crate) shares_macros: bool,
    pub(crate) items: Vec<(String, Kind)>,
    pub(crate) imports: Vec<Import>,
    pub(crate) mentions: Vec<Mention>,
}

/// The modules: the root first, parents before their children.
pub(crate) struct Tree(pub(crate) Vec<Module>);

impl Tree {
    /// Reads a library or a binary from its root file.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Tree(Vec::new());
        let items = parse(root)?.expect("the root is no test");
        let folder = root.parent().expect("a file is in a folder");
        tree.add(vec![], None, Place { file: root, folder }, &items)?;
        Ok(tree)
    }

    fn add(
        &mut self,
        path: Vec<String>,
        parent: Option<Id>,
        place: Place<'_>,
        items: &[Item],
    ) -> Result<Id> {
        let id = self.0.len();
        let contents = scan::scan(items);
        for name in contents.exported {
            // Exported macros are items of the root.
            if id != 0 {
                let path = [&["crate".to_owned()], &path[..], slice::from_ref(&name)].concat();
                self.0[0].imports.push(Import { name: Some(name), path });
            }
        }
        self.0.push(Module {
            path: path.clone(),
            file: place.file.to_owned(),
            parent,
            children: BTreeMap::new(),
            shares_macros: false,
            items: contents.items,
            imports: contents.imports,
            mentions: contents.mentions,
        });
        for item in contents.children {
            let name = item.ident.to_string();
            let path = [&path[..], slice::from_ref(&name)].concat();
            if let Some(child) = self.add_child(path, id, place, item)? {
                self.0[child].shares_macros =
                    item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_use"));
                self.0[id].children.insert(name, child);
            }
        }
        Ok(id)
    }

    /// Adds a child module; none if it is only for tests.
    fn add_child(
        &mut self,
        path: Vec<String>,
        parent: Id,
        place: Place<'_>,
        item: &ItemMod,
    ) -> Result<Option<Id>> {
        let name = item.ident.to_string();
        let folder = place.folder.join(&name);
        if let Some((_, items)) = &item.content {
            let place = Place { file: place.file, folder: &folder };
            return self.add(path, Some(parent), place, items).map(Some);
        }
        let source_folder = place.file.parent().expect("a file is in a folder");
        let given = path_attribute(item).map(|path| source_folder.join(path));
        let usual = [place.folder.join(format!("{name}.rs")), folder.join("mod.rs")];
        let Some(file) = given.clone().into_iter().chain(usual).find(|file| file.is_file()) else {
            bail!("{} declares a module `{name}` that has no file", place.file.display());
        };
        let Some(items) = parse(&file)? else { return Ok(None) };
        let is_folder = file.ends_with("mod.rs") || given.is_some();
        let folder =
            if is_folder { file.parent().expect("a file is in a folder") } else { &folder };
        self.add(path, Some(parent), Place { file: &file, folder }, &items).map(Some)
    }
}

/// The file of a module, and the folder of its children.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a Path,
    folder: &'a Path,
}

/// The items of a file; none if it is only for tests.
fn parse(path: &Path) -> Result<Option<Vec<Item>>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let file = syn::parse_file(&text).with_context(|| path.display().to_string())?;
    Ok((!scan::is_test(&file.attrs)).then_some(file.items))
}

fn path_attribute(item: &ItemMod) -> Option<String> {
    item.attrs.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    })
}
