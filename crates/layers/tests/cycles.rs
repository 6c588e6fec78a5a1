//! Small crates with a cycle, and similar ones without.

use std::{fs, path::Path};

use resnet_layers::check_workspace;

/// Cycles as chains of nodes, in all crates of a workspace.
fn cycles_in(files: &[(&str, &str)]) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let reports = check_workspace(root.path()).unwrap();
    let cycles = reports.iter().flat_map(|report| &report.cycles);
    cycles.map(|cycle| cycle.to_string().lines().next().unwrap().trim().to_owned()).collect()
}

/// The same for one library of these files in `src/`.
fn cycles(files: &[(&str, &str)]) -> Vec<String> {
    let paths: Vec<_> = files.iter().map(|(path, _)| format!("crates/one/src/{path}")).collect();
    let mut all = vec![("crates/one/Cargo.toml", "[package]\nname = \"one\"\n")];
    all.extend(paths.iter().map(String::as_str).zip(files.iter().map(|(_, text)| *text)));
    cycles_in(&all)
}

const NONE: [String; 0] = [];
const ROOT: (&str, &str) = ("lib.rs", "mod a;\nmod b;\n");

#[test]
fn direct() {
    let a = ("a.rs", "pub fn f() { crate::b::g() }");
    let b = ("b.rs", "use crate::a;\npub fn g() { a::f() }");
    assert_eq!(cycles(&[ROOT, a, b]), ["a -> b -> a"]);
    assert_eq!(cycles(&[ROOT, a, ("b.rs", "use crate::a;\npub fn g() {}")]), NONE);
}

#[test]
fn uses_have_files_and_lines() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("crates/one/src");
    fs::create_dir_all(&source).unwrap();
    for (path, text) in [
        ("../Cargo.toml", "[package]\nname = \"one\"\n"),
        ROOT,
        ("a.rs", "pub struct A;\n\nfn f() -> crate::b::B {}\n"),
        ("b.rs", "use crate::a::A;\n\npub struct B(A);\n"),
    ] {
        fs::write(source.join(path), text).unwrap();
    }
    let reports = check_workspace(root.path()).unwrap();
    let names: Vec<_> = reports.iter().map(|report| report.name.as_str()).collect();
    assert_eq!(names, ["one", "the workspace"]);
    let expected = "  a -> b -> a
    a -> b
      crates/one/src/a.rs:3 uses crate::b::B
    b -> a
      crates/one/src/b.rs:1 uses crate::a::A";
    assert_eq!(reports[0].cycles[0].to_string(), expected);
}

#[test]
fn through_super() {
    let a = ("a.rs", "pub struct A; impl A { fn f(_: super::b::B) {} }");
    let b = ("b.rs", "pub struct B; pub fn g() { let _ = super::a::A; }");
    assert_eq!(cycles(&[ROOT, a, b]), ["a -> b -> a"]);
}

#[test]
fn through_a_glob() {
    let a = ("a.rs", "use super::b::*;\npub fn f() { g() }");
    let b = ("b.rs", "use super::a::*;\npub fn g() { f() }");
    assert_eq!(cycles(&[ROOT, a, b]), ["a -> b -> a"]);
    // A glob that nothing comes through, and a variable of the function's name.
    let b = ("b.rs", "use super::a::*;\npub fn g(f: u8) -> u8 { f }");
    assert_eq!(cycles(&[ROOT, a, b]), NONE);
}

#[test]
fn through_globs_that_lead_to_each_other() {
    let root = ("lib.rs", "mod a; mod b; mod c; pub use a::*; pub use b::*;");
    let a = ("a.rs", "pub use super::*; pub fn f() { g() }");
    let b = ("b.rs", "pub use super::*; pub fn g() { h() }");
    let c = ("c.rs", "pub fn h() {}");
    assert_eq!(cycles(&[root, a, b, c]), NONE);
    assert_eq!(
        cycles(&[root, a, ("b.rs", "use super::*; pub fn g() { f() }"), c]),
        ["a -> b -> a"]
    );
}

#[test]
fn through_a_reexport() {
    let root = ("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use b::B;\n");
    let a = ("a.rs", "use super::B;\npub struct A(B);");
    let b = ("b.rs", "use crate::A;\npub struct B(Vec<A>);");
    assert_eq!(cycles(&[root, a, b]), ["a -> b -> a"]);
}

#[test]
fn a_reexport_that_a_third_module_uses_is_none() {
    let root = ("lib.rs", "mod a;\nmod b;\nmod c;\npub use a::A;\npub use b::B;\n");
    let a = ("a.rs", "pub struct A;");
    let b = ("b.rs", "use super::A;\npub struct B(A);");
    let c = ("c.rs", "use super::{A, B};\npub struct C(A, B);");
    assert_eq!(cycles(&[root, a, b, c]), NONE);
}

#[test]
fn through_a_rename() {
    let a = ("a.rs", "use crate::b::{self as other};\npub fn f() { other::g() }");
    let b = ("b.rs", "use crate::a::f as g_of_a;\npub fn g() { g_of_a() }");
    assert_eq!(cycles(&[ROOT, a, b]), ["a -> b -> a"]);
    let root = ("lib.rs", "mod a;\nmod b;\npub use a::A as X;\npub use b::B as Y;\n");
    let a = ("a.rs", "pub struct A(super::Y);");
    let b = ("b.rs", "pub struct B(crate::X);");
    assert_eq!(cycles(&[root, a, b]), ["a -> b -> a"]);
}

#[test]
fn a_parent_and_its_child() {
    let child = ("a.rs", "pub fn f() -> super::Own { super::Own }");
    let root = "mod a;\npub struct Own;\n";
    let using = [root, "fn g() { a::f(); }"].concat();
    assert_eq!(cycles(&[("lib.rs", &using), child]), ["self -> a -> self"]);
    let reexporting = [root, "pub use a::f;"].concat();
    assert_eq!(cycles(&[("lib.rs", &reexporting), child]), NONE);
    let importing = [root, "use a::f;"].concat();
    assert_eq!(cycles(&[("lib.rs", &importing), child]), ["self -> a -> self"]);
}

#[test]
fn an_impl_block_uses_its_type() {
    let root = "mod a;\npub struct Own;\npub fn f() { Own.method() }\n";
    let child = ("a.rs", "impl super::Own { pub fn method(self) {} }\npub fn g() {}");
    // The call of the method names no module.
    assert_eq!(cycles(&[("lib.rs", root), child]), NONE);
    let using = [root, "fn h() { a::g() }"].concat();
    assert_eq!(cycles(&[("lib.rs", &using), child]), ["self -> a -> self"]);
}

#[test]
fn deep_in_a_subtree() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a/mod.rs", "pub mod left; pub mod right { pub mod deep; pub fn f() {} }"),
        ("a/left.rs", "pub fn f() { super::right::deep::f() }"),
        ("a/right/deep.rs", "use crate::a::left;\npub fn f() { left::f() }"),
        ("b.rs", "pub fn f() { crate::a::left::f() }"),
    ];
    assert_eq!(cycles(&files), ["a::left -> a::right -> a::left"]);
    // From deep in one to deep in another.
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub mod x { pub mod y { pub fn f() { crate::b::z::f() } } }"),
        ("b.rs", "pub mod z { pub fn f() {} } pub mod w { fn g() { crate::a::x::y::f() } }"),
    ];
    assert_eq!(cycles(&files), ["a -> b -> a"]);
}

#[test]
fn a_cycle_of_three() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "pub fn f() { super::b::f() }"),
        ("b.rs", "pub fn f() { super::c::f() }"),
        ("c.rs", "pub fn f() { super::a::f() }"),
    ];
    assert_eq!(cycles(&files), ["a -> b -> c -> a"]);
}

#[test]
fn through_tokens_of_macros() {
    let b = ("b.rs", "use super::a::A;\npub struct B(A);\npub const N: u8 = 0;");
    for body in [
        "fn f() { println!(\"{}\", crate::b::N) }",
        "fn f() { assert!(matches!(0, super::b::N..)) }",
        "macro_rules! m { ($x:expr) => { $crate::b::N + $x } }",
        "macro_rules! m { () => { use crate::b::{N}; } }",
        "use super::b::*;\nfn f() { println!(\"{}\", N) }",
        "#[derive(Debug)] #[error(\"{}\", super::b::N)] struct E;",
        "struct E { #[serde(with = \"super::b::N\")] e: u8 }",
    ] {
        let a = format!("pub struct A;\n{body}");
        assert_eq!(cycles(&[ROOT, ("a.rs", &a), b]), ["a -> b -> a"], "{body}");
    }
    // A field, a method, a label and a variable.
    let names = "use super::b::*;\nfn f(n: u8) { m!(a.N, b.N(), N: 1, n) }";
    assert_eq!(cycles(&[ROOT, ("a.rs", &format!("pub struct A;\n{names}")), b]), NONE);
}

#[test]
fn through_a_macro_itself() {
    let a = "pub struct A;\nmacro_rules! m { () => {} }";
    for (root, b) in [
        ("#[macro_use] mod a; mod b;", "fn f(_: crate::c::C) { m!() }"),
        ("mod a; mod b;", "fn f(_: crate::c::C) { crate::a::m!() }"),
    ] {
        let a = [a, "\npub(crate) use m;\nfn g() { crate::b::h() }"].concat();
        let b = [b, "\npub fn h() {}"].concat();
        let root = [root, "mod c { pub struct C; }"].concat();
        assert_eq!(cycles(&[("lib.rs", &root), ("a.rs", &a), ("b.rs", &b)]), ["a -> b -> a"]);
    }
    let a = "#[macro_export] macro_rules! m { () => {} }\nfn g() { crate::b::h() }";
    let b = "pub fn h() { crate::m!() }";
    assert_eq!(cycles(&[ROOT, ("a.rs", a), ("b.rs", b)]), ["a -> b -> a"]);
}

#[test]
fn through_traits_patterns_and_variants() {
    let b = (
        "b.rs",
        "pub fn g(_: super::a::A) {}\npub trait T {}\npub enum E { V }\npub const C: u8 = 0;",
    );
    for body in [
        "impl super::b::T for u8 {}",
        "impl<X: super::b::T> A<X> {}",
        "fn f(_: &dyn super::b::T) {}",
        "fn f(e: u8) { if let super::b::E::V = e {} }",
        "use super::b::*; fn f(e: u8) -> bool { match e { C => true, _ => false } }",
        "fn f() { use super::b::E::*; }",
    ] {
        let a = format!("pub struct A;\n{body}");
        assert_eq!(cycles(&[ROOT, ("a.rs", &a), b]), ["a -> b -> a"], "{body}");
    }
}

#[test]
fn a_module_and_a_function_of_one_name_are_told_apart() {
    let files = [
        ("lib.rs", "mod read; mod other; pub use read::read; fn f() { read::read() }"),
        ("read.rs", "pub fn read() { read() }"),
        ("other.rs", "pub fn g() { super::read() }"),
    ];
    assert_eq!(cycles(&files), NONE);
    // `a::g` goes through the module, not through the function.
    let files = [
        ("lib.rs", "mod a; mod b; use b::a;"),
        ("a.rs", "pub fn g() {}"),
        ("b.rs", "pub fn a() { super::a::g() }\nfn f(_: crate::c) {}"),
    ];
    assert_eq!(cycles(&files), NONE);
}

#[test]
fn what_is_for_tests_only_does_not_count() {
    let b = ("b.rs", "use super::a::A;\npub struct B(A);");
    for body in [
        "#[cfg(test)] use super::b::B;",
        "#[cfg(doctest)] use super::b::B;",
        "#[cfg(all(test, unix))] mod tests { use crate::b::B; }",
        "#[cfg(any(test, doctest))] fn f(_: crate::b::B) {}",
        "#[cfg(test)] mod tests;",
        "mod tests;",
        "impl A { #[cfg(test)] fn f(_: crate::b::B) {} }",
        "fn f() { #[cfg(test)] let _ = crate::b::B; }",
        "struct S { #[cfg(test)] field: crate::b::B }",
        "#[test] fn f() { crate::b::B; }",
        "/// See [`crate::b::B`].\nfn f() {}",
    ] {
        let a = format!("pub struct A;\n{body}");
        let tests = ("a/tests.rs", "#![cfg(test)]\nuse crate::b::B;");
        assert_eq!(cycles(&[ROOT, ("a.rs", &a), b, tests]), NONE, "{body}");
    }
    for body in [
        "#[cfg(not(test))] use super::b::B;",
        "#[cfg(any(test, unix))] use super::b::B;",
        "#[cfg(unix)] use super::b::B;",
    ] {
        let a = format!("pub struct A;\n{body}");
        assert_eq!(cycles(&[ROOT, ("a.rs", &a), b]), ["a -> b -> a"], "{body}");
    }
}

#[test]
fn other_crates_are_not_ours() {
    let a = ("a.rs", "use std::b::g;\nuse ::b::h;\nfn f() { g(); h(); ::b::g(); }\npub struct A;");
    let b = ("b.rs", "use super::a::A;\npub fn g(_: A) {}\npub fn h() {}");
    assert_eq!(cycles(&[ROOT, a, b]), NONE);
}

#[test]
fn every_target_is_checked() {
    let binary = "mod a; mod b;";
    let a = "pub fn f() { crate::b::g() }";
    let b = "pub fn g() { crate::a::f() }";
    for (manifest, folder, file) in [
        ("", "src", "main.rs"),
        ("", "src/bin/tool", "main.rs"),
        ("[[bin]]\nname = \"tool\"\npath = \"tool/start.rs\"\n", "tool", "start.rs"),
        ("[lib]\npath = \"library/root.rs\"\n", "library", "root.rs"),
    ] {
        let manifest = format!("[package]\nname = \"one\"\n{manifest}");
        let at = |file: &str| format!("crates/one/{folder}/{file}");
        let files = [
            ("crates/one/Cargo.toml", &manifest[..]),
            (&at(file), binary),
            (&at("a.rs"), a),
            (&at("b.rs"), b),
        ];
        assert_eq!(cycles_in(&files), ["a -> b -> a"], "{folder}/{file}");
    }
}

#[test]
fn crates_through_dev_dependencies() {
    let one = "[package]\nname = \"one\"\n[dependencies]\ntwo.workspace = true\n";
    let two = "[package]\nname = \"two\"\n";
    let lib = "";
    let with = |two: &str| {
        cycles_in(&[
            ("crates/one/Cargo.toml", one),
            ("crates/one/src/lib.rs", lib),
            ("crates/two/Cargo.toml", two),
            ("crates/two/src/lib.rs", lib),
        ])
    };
    assert_eq!(with(two), NONE);
    for table in [
        "[dev-dependencies]\none.workspace = true",
        "[dev-dependencies]\nuno = { package = \"one\", path = \"../one\" }",
        "[target.'cfg(unix)'.dev-dependencies]\none = { path = \"../one\" }",
    ] {
        assert_eq!(with(&format!("{two}{table}\n")), ["one -> two -> one"], "{table}");
    }
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    assert!(check_workspace(root.path()).is_err());
    let source = root.path().join("crates/one/src");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("../Cargo.toml"), "[package]\nname = \"one\"\n").unwrap();
    fs::write(source.join("lib.rs"), "mod nowhere;").unwrap();
    let message = |root: &Path| format!("{:#}", check_workspace(root).unwrap_err());
    assert!(message(root.path()).ends_with("declares a module `nowhere` that has no file"));
    fs::write(source.join("lib.rs"), "fn {").unwrap();
    assert!(message(root.path()).contains("lib.rs"));
}
