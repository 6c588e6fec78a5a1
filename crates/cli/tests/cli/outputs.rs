//! Output to pipes, devices, file descriptors and links.
#![cfg(unix)]

use std::{fs, os::unix::fs::symlink, process::Command};

use crate::common::{Sandbox, small};

const PAGE: [&str; 2] = ["<!doctype html>", "</html>"];

fn is_page(text: &str) -> bool {
    let text = text.trim_start().to_ascii_lowercase();
    text.starts_with(PAGE[0]) && text.contains(PAGE[1])
}

#[test]
fn output_goes_to_any_path() {
    let s = Sandbox::new();
    s.run(&small(&["--epochs", "1", "--out", "run", "--quiet"])).success();
    let report = |out: &str| s.run(&["report", "run", "--no-eval", "--out", out]).success().stdout;

    let page = report("/dev/stdout");
    assert!(is_page(&page) && page.ends_with("/dev/stdout\n"));
    report("/dev/null");
    assert!(!fs::metadata("/dev/null").unwrap().is_file());

    // In a shell: stdout redirected to a file, and another file descriptor.
    for (name, redirections) in [("1", "> page.html"), ("3", "3>&1 > path.txt")] {
        let arguments = format!("report run --no-eval --out /dev/fd/{name} {redirections}");
        let script = format!("\"$0\" {arguments}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_resnet")]).current_dir(s.path("."));
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        match name {
            "1" => {
                let file = fs::read_to_string(s.path("page.html")).unwrap();
                assert!(is_page(&file) && file.ends_with("/dev/fd/1\n"));
            }
            _ => assert!(is_page(&stdout)),
        }
    }

    fs::create_dir(s.path("site")).unwrap();
    symlink("site/page.html", s.path("link.html")).unwrap();
    for _ in 0..2 {
        assert_eq!(report("link.html"), "link.html\n");
        assert!(s.path("link.html").is_symlink());
        assert!(is_page(&fs::read_to_string(s.path("site/page.html")).unwrap()));
    }
    assert_eq!(fs::read_dir(s.path("site")).unwrap().count(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn names_need_not_be_utf8() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let s = Sandbox::new();
    s.run(&small(&["--epochs", "1", "--out", "run", "--quiet"])).success();
    let odd = s.path(OsStr::from_bytes(b"odd-\xff"));
    fs::rename(s.path("run"), &odd).unwrap();
    let report = s.command(&["report", "--no-eval", "--json"]).arg(&odd).output().unwrap();
    assert!(report.status.success(), "{report:?}");
    let record: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    assert!(record["report"].as_str().unwrap().ends_with("odd-\u{fffd}/report.html"));

    // Except for a path that config.toml must store.
    let mut train = s.command(&small(&["--out", "new", "--quiet", "--init"]));
    let train = train.arg(odd.join("last.safetensors")).output().unwrap();
    let stderr = String::from_utf8(train.stderr).unwrap();
    assert!(stderr.starts_with("error: ") && stderr.contains(r"odd-\xff/last"), "{stderr}");
    assert!(stderr.contains("is not UTF-8") && !s.path("new").exists(), "{stderr}");
}
