//! Reads the targets and dependencies in a package's manifest.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use toml::{Table, Value};

pub(crate) struct Package {
    pub(crate) name: String,
    /// Root modules of its library and its binaries.
    pub(crate) targets: Vec<PathBuf>,
    /// Names of its dependencies, each with its table in the manifest.
    pub(crate) dependencies: BTreeSet<(String, &'static str)>,
}

impl Package {
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let manifest: Table = text.parse().with_context(|| path.display().to_string())?;
        let name = manifest.get("package").and_then(|package| package.get("name"));
        let name = name
            .and_then(Value::as_str)
            .with_context(|| format!("{} names no package", path.display()))?;
        let mut dependencies = dependencies(&manifest);
        let platforms = manifest.get("target").and_then(Value::as_table);
        for table in platforms.into_iter().flat_map(Table::values).filter_map(Value::as_table) {
            dependencies.extend(self::dependencies(table));
        }
        Ok(Package { name: name.to_owned(), targets: targets(folder, &manifest)?, dependencies })
    }
}

fn targets(folder: &Path, manifest: &Table) -> Result<Vec<PathBuf>> {
    let binaries = manifest.get("bin").and_then(Value::as_array);
    let mut targets: BTreeSet<_> = manifest
        .get("lib")
        .into_iter()
        .chain(binaries.into_iter().flatten())
        .filter_map(|target| target.get("path")?.as_str())
        .map(|path| folder.join(path))
        .collect();
    targets.extend(["src/lib.rs", "src/main.rs"].map(|path| folder.join(path)));
    if let Ok(entries) = folder.join("src/bin").read_dir() {
        for entry in entries {
            let path = entry?.path();
            targets.extend([path.join("main.rs"), path]);
        }
    }
    let is_source = |path: &PathBuf| path.is_file() && path.extension().is_some_and(|e| e == "rs");
    Ok(targets.into_iter().filter(is_source).collect())
}

fn dependencies(manifest: &Table) -> BTreeSet<(String, &'static str)> {
    let tables = ["dependencies", "build-dependencies", "dev-dependencies"];
    let listed = tables.into_iter().flat_map(|table| {
        let entries = manifest.get(table).and_then(Value::as_table);
        entries.into_iter().flatten().map(move |(key, value)| {
            let name = value.get("package").and_then(Value::as_str).unwrap_or(key);
            (name.to_owned(), table)
        })
    });
    listed.collect()
}
