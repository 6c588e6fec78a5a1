//! Reads the syntax of a module: definitions, imports and mentioned paths, unresolved.

use std::{collections::HashSet, mem};

use proc_macro2::Ident;
use syn::{
    Attribute, ImplItem, Item, ItemMod, Meta, TraitItem, UseTree, Visibility,
    visit::{self, Visit},
};

use crate::tokens;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// An item that paths may go through: a type, an enum, a trait.
    Type,
    Value,
    Macro,
}

/// A `use` of one name; without a name, of a glob.
pub(crate) struct Import {
    pub(crate) name: Option<String>,
    pub(crate) path: Vec<String>,
}

/// A path in code.
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// Whether it is a `use` that re-exports.
    pub(crate) is_reexport: bool,
}

/// The contents of a module, without its children.
#[derive(Default)]
pub(crate) struct Contents<'ast> {
    pub(crate) items: Vec<(String, Kind)>,
    /// Macros that are exported to the root of the crate.
    pub(crate) exported: Vec<String>,
    pub(crate) imports: Vec<Import>,
    pub(crate) mentions: Vec<Mention>,
    pub(crate) children: Vec<&'ast ItemMod>,
}

pub(crate) fn scan(items: &[Item]) -> Contents<'_> {
    let mut scanner = Scanner::default();
    for item in items {
        scanner.visit_item(item);
    }
    scanner.contents
}

/// Whether code is only compiled for tests.
pub(crate) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || matches!(&attribute.meta, Meta::List(list) if list.path.is_ident("cfg")
                && list.parse_args().is_ok_and(|condition| needs_test(&condition)))
    })
}

fn needs_test(condition: &Meta) -> bool {
    let Meta::List(list) = condition else {
        return condition.path().is_ident("test") || condition.path().is_ident("doctest");
    };
    let parser = syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated;
    let Ok(parts) = list.parse_args_with(parser) else { return false };
    match () {
        () if list.path.is_ident("all") => parts.iter().any(needs_test),
        () if list.path.is_ident("any") => !parts.is_empty() && parts.iter().all(needs_test),
        () => false,
    }
}

#[derive(Default)]
struct Scanner<'ast> {
    contents: Contents<'ast>,
    /// Variables, generic parameters and local items that are in scope.
    local: HashSet<String>,
    is_nested: bool,
}

impl<'ast> Scanner<'ast> {
    fn define(&mut self, name: &Ident, kind: Kind) {
        if !self.is_nested {
            self.contents.items.push((name.to_string(), kind));
        }
    }

    fn mention(&mut self, path: Vec<String>, line: usize) {
        let is_local = self.local.contains(&path[0]);
        // Variables cannot start paths; generic parameters can (`T::Output`).
        if !is_local || (path.len() > 1 && !starts_upper(&path[0])) {
            self.contents.mentions.push(Mention { path, line, is_reexport: false });
        }
    }

    fn mention_all(&mut self, tokens: proc_macro2::TokenStream) {
        for (path, line) in tokens::paths(tokens) {
            self.mention(path, line);
        }
    }

    fn import(&mut self, tree: &UseTree, prefix: &[String], is_reexport: bool) {
        let joined = |name: &Ident| [prefix, &[name.to_string()]].concat();
        let (name, path, line) = match tree {
            UseTree::Path(step) => {
                return self.import(&step.tree, &joined(&step.ident), is_reexport);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import(tree, prefix, is_reexport));
            }
            UseTree::Glob(glob) => (None, prefix.to_vec(), glob.star_token.spans[0].start().line),
            UseTree::Name(name) if name.ident == "self" => {
                (prefix.last().cloned(), prefix.to_vec(), name.ident.span().start().line)
            }
            UseTree::Name(name) => {
                let line = name.ident.span().start().line;
                (Some(name.ident.to_string()), joined(&name.ident), line)
            }
            UseTree::Rename(rename) => {
                let path =
                    if rename.ident == "self" { prefix.to_vec() } else { joined(&rename.ident) };
                (Some(rename.rename.to_string()), path, rename.ident.span().start().line)
            }
        };
        self.contents.mentions.push(Mention { path: path.clone(), line, is_reexport });
        self.contents.imports.push(Import { name, path });
    }

    /// Reads code with these local names.
    fn within(&mut self, names: Names, read: impl FnOnce(&mut Self)) {
        let outer = self.local.clone();
        self.local.extend(names.0);
        let was_nested = mem::replace(&mut self.is_nested, true);
        read(self);
        self.is_nested = was_nested;
        self.local = outer;
    }
}

impl<'ast> Visit<'ast> for Scanner<'ast> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(attributes(item)) {
            return;
        }
        match item {
            Item::Mod(module) => return self.contents.children.push(module),
            Item::Use(item) if item.leading_colon.is_some() => return,
            Item::Use(item) => {
                let is_reexport = !matches!(item.vis, Visibility::Inherited);
                return self.import(&item.tree, &[], is_reexport);
            }
            Item::Macro(item) => {
                if let Some(name) = &item.ident {
                    self.define(name, Kind::Macro);
                    if item.attrs.iter().any(|a| a.path().is_ident("macro_export")) {
                        self.contents.exported.push(name.to_string());
                    }
                }
            }
            Item::Struct(item) => self.define(&item.ident, Kind::Type),
            Item::Enum(item) => self.define(&item.ident, Kind::Type),
            Item::Union(item) => self.define(&item.ident, Kind::Type),
            Item::Trait(item) => self.define(&item.ident, Kind::Type),
            Item::TraitAlias(item) => self.define(&item.ident, Kind::Type),
            Item::Type(item) => self.define(&item.ident, Kind::Type),
            Item::Fn(item) => self.define(&item.sig.ident, Kind::Value),
            Item::Const(item) => self.define(&item.ident, Kind::Value),
            Item::Static(item) => self.define(&item.ident, Kind::Value),
            _ => {}
        }
        let mut names = Names::default();
        visit::visit_item(&mut names, item);
        self.within(names, |scanner| visit::visit_item(scanner, item));
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => return,
        };
        if !is_test(attributes) {
            let mut names = Names::default();
            visit::visit_impl_item(&mut names, item);
            self.within(names, |scanner| visit::visit_impl_item(scanner, item));
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        let attributes = match item {
            TraitItem::Fn(item) => &item.attrs,
            TraitItem::Const(item) => &item.attrs,
            TraitItem::Type(item) => &item.attrs,
            TraitItem::Macro(item) => &item.attrs,
            _ => return,
        };
        if !is_test(attributes) {
            let mut names = Names::default();
            visit::visit_trait_item(&mut names, item);
            self.within(names, |scanner| visit::visit_trait_item(scanner, item));
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !is_test(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if !is_test(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !is_test(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !is_test(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.mention(names(path), path.segments[0].ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        if starts_upper(&pattern.ident.to_string()) {
            self.mention(vec![pattern.ident.to_string()], pattern.ident.span().start().line);
        }
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.visit_path(&item.path);
        self.mention_all(item.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.mention_all(list.tokens.clone());
            if list.path.is_ident("serde") {
                // Paths in string literals: `with = "module"`.
                for token in list.tokens.clone() {
                    let line = token.span().start().line;
                    if let Ok(text) = syn::parse2::<syn::LitStr>(token.into())
                        && let Ok(path) = text.parse::<syn::Path>()
                    {
                        self.mention(names(&path), line);
                    }
                }
            }
        }
    }
}

/// The local names of a piece of code: variables, generic parameters, items in blocks.
#[derive(Default)]
struct Names(HashSet<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        // `None` and constants look like variables.
        let name = pattern.ident.to_string();
        if !starts_upper(&name) {
            self.0.insert(name);
        }
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_type_param(&mut self, parameter: &'ast syn::TypeParam) {
        self.0.insert(parameter.ident.to_string());
    }

    fn visit_const_param(&mut self, parameter: &'ast syn::ConstParam) {
        self.0.insert(parameter.ident.to_string());
    }

    fn visit_item(&mut self, item: &'ast Item) {
        let mut inner = Scanner::default();
        inner.visit_item(item);
        self.0.extend(inner.contents.items.into_iter().map(|(name, _)| name));
    }

    // Methods and modules have local names of their own.
    fn visit_impl_item(&mut self, _: &'ast ImplItem) {}
    fn visit_trait_item(&mut self, _: &'ast TraitItem) {}
    fn visit_item_mod(&mut self, _: &'ast ItemMod) {}
}

fn names(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn starts_upper(name: &str) -> bool {
    name.starts_with(char::is_uppercase)
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
