//! Output to pipes, devices, file descriptors and links.
#![cfg(unix)]

use std::{fs, os::unix::fs::symlink, process::Command};

use serde_json::Value;

use crate::common::{Finished, Sandbox, small};

const PREVIEW: [&str; 7] =
    ["data", "preview", "synthetic", "--limit-train", "40", "--limit-test", "4"];

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
    assert!(is_page(&page) && page.trim_end().ends_with("</html>"));
    // Two results would be mixed there.
    for (args, option) in [
        (&["report", "run", "--json", "--out"][..], "--out"),
        (&["data", "check", "photos", "--html"], "--html"),
        (&["eval", "run", "synthetic", "--logits"], "--logits"),
    ] {
        let refused = s.run(&[args, &["/dev/stdout"]].concat());
        refused.fails(2, &[&format!("{option}: /dev/stdout is stdout"), "name a file"]);
    }
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
                assert!(is_page(&file) && file.trim_end().ends_with("</html>"));
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

    symlink("site/picture.png", s.path("link.png")).unwrap();
    s.run(&[&PREVIEW[..], &["--out", "link.png"]].concat()).success();
    assert!(s.path("link.png").is_symlink());
    assert!(fs::read(s.path("site/picture.png")).unwrap().starts_with(b"\x89PNG"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_a_failure() {
    let s = Sandbox::new();
    for args in [&["--help"][..], &["help", "train"], &["train", "--help"], &["--version"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = s.command(args).stdout(full).output().unwrap();
        Finished::of(args, output).fails(1, &["cannot write to stdout"]);
    }
}

/// The shell limits files to 2 or 4 KB.
#[test]
fn a_failed_write_leaves_its_name_free() {
    let s = Sandbox::new();
    s.run(&small(&["--epochs", "1", "--out", "run", "--quiet"])).success();
    symlink("run", s.path("again")).unwrap();
    let picture = [&PREVIEW[..], &["--count", "40", "--quiet"]].concat();
    for (args, file) in [
        (&["report", "run", "again", "--no-eval"][..], "report.html"),
        (&picture[..], "preview.png"),
    ] {
        let script = "ulimit -f 4; exec \"$0\" \"$@\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_resnet")]).args(args);
        let output = shell.current_dir(s.path(".")).output().unwrap();
        Finished::of(args, output).fails(1, &[&format!("cannot write {file}")]);
        assert!(!s.path(file).exists());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn names_need_not_be_utf8() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let s = Sandbox::new();
    s.run(&small(&["--epochs", "1", "--out", "run", "--quiet"])).success();
    let odd = s.path(OsStr::from_bytes(b"odd-\xff"));
    fs::rename(s.path("run"), &odd).unwrap();
    let json = |command: &mut Command| -> Value {
        let output = command.output().unwrap();
        assert!(output.stdout.ends_with(b"\n"), "{output:?}");
        let first = output.stdout.split(|&byte| byte == b'\n').next().unwrap();
        serde_json::from_slice(first).unwrap()
    };
    // A word of Bash leads back to the file.
    let leads_to = |name: &Value, end: &str| {
        let name = name.as_str().unwrap();
        assert!(name.starts_with("$'/") && name.ends_with(&format!(r"/odd-\xff{end}'")), "{name}");
    };
    let report = json(s.command(&["report", "--no-eval", "--json"]).arg(&odd));
    leads_to(&report["report"], "/report.html");
    leads_to(&report["runs"][0]["folder"], "");
    let picture = odd.join("picture.svg");
    let preview = json(s.command(&PREVIEW).args(["--json", "--out"]).arg(&picture));
    leads_to(&preview["file"], "/picture.svg");
    let last = odd.join("last.safetensors");
    let data = ["synthetic", "--limit-test", "5", "--json", "--with"];
    let eval = json(s.command(&["eval"]).arg(&last).args(data).arg(&last));
    leads_to(&eval["models"][1]["model"], "/last.safetensors");
    let mnist = |verb| json(s.command(&["data", verb, "mnist", "--json", "--data-dir"]).arg(&odd));
    leads_to(&mnist("info")["folder"], "/mnist");
    let file = &mnist("verify")["file"];
    assert!(file.as_str().unwrap().contains(r"/odd-\xff/mnist/"), "{file}");

    // Except for a path that config.toml must store.
    let mut train = s.command(&small(&["--out", "new", "--quiet", "--init"]));
    let train = train.arg(odd.join("last.safetensors")).output().unwrap();
    let stderr = String::from_utf8(train.stderr).unwrap();
    assert!(stderr.starts_with("error: ") && stderr.contains(r"odd-\xff/last"), "{stderr}");
    assert!(stderr.contains("is not UTF-8") && !s.path("new").exists(), "{stderr}");
}
