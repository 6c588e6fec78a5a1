//! Runs a case and checks the result.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use resnet_formats::is_printable;

use super::{Case, Expected, Folder};

/// A case that takes longer hangs. It is a wide margin for busy machines.
const HANGS: Duration = Duration::from_secs(20);
/// Address space limit in KiB: 300 MiB, plus the mappings of the binary and two stacks.
const ADDRESSES: usize = (300 + 150) << 10;
/// Maximum characters of a message.
const LINE: usize = 2000;

/// Time and memory of a case.
pub(super) struct Cost {
    pub(super) time: Duration,
    /// Peak memory, sampled.
    pub(super) kibibytes: u64,
}

pub(super) fn check(folder: &Folder, case: &Case) -> Cost {
    let before = files(&folder.outside());
    let (code, [stdout, stderr], cost) = run(folder, case);
    let name = case.name;
    let context = format!("{name}: resnet {}\n{stdout}{stderr}", case.args);
    for (stream, text) in [("stdout", &stdout), ("stderr", &stderr)] {
        let odd: String = text.chars().filter(|&c| c != '\n' && !is_printable(c)).collect();
        assert!(odd.is_empty(), "{name}: {odd:?} on {stream}: {text:?}");
    }
    assert!(!stderr.contains("panicked"), "{context}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    match case.expected {
        Expected::Right => assert!(code == Some(0) && errors.is_empty(), "{code:?} {context}"),
        Expected::Says(part) => {
            assert!(matches!(code, Some(1 | 2)), "{code:?} {context}");
            assert_eq!(errors.len(), 1, "{context}");
            assert!(errors[0].contains(part), "{context}");
        }
    }
    let known = ["error: ", "note: ", "skipped: "];
    for line in stderr.lines().filter(|_| code == Some(1)) {
        assert!(known.iter().any(|start| line.starts_with(start)), "{context}");
        assert!(line.chars().count() <= LINE, "{context}");
    }
    assert_eq!(files(&folder.outside()), before, "{context}");
    readable(&folder.path("."), &context);
    cost
}

/// The exit code, the output without our own styles, and the cost.
fn run(folder: &Folder, case: &Case) -> (Option<i32>, [String; 2], Cost) {
    let script = format!("ulimit -v {ADDRESSES}; exec \"$0\" \"$@\"");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_resnet")]);
    shell.args(case.args.split(' ').map(|word| word.replace('~', " "))).args(["--threads", "1"]);
    // Print styles as on a terminal. Use one malloc arena, so that address space measures memory.
    shell.env("CLICOLOR_FORCE", "1").env("MALLOC_ARENA_MAX", "1").env_remove("RESNET_ISA");
    shell.env("RESNET_DATA", folder.path("data")).current_dir(folder.path("."));
    let streams = ["stdout", "stderr"].map(|name| folder.outside().with_file_name(name));
    let [stdout, stderr] = streams.each_ref().map(|path| fs::File::create(path).unwrap());
    let began = Instant::now();
    let mut child = shell.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().unwrap();
    let (mut kibibytes, mut pause) = (0, Duration::from_micros(200));
    let status = loop {
        kibibytes = peak(&child).unwrap_or(0).max(kibibytes);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > HANGS {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{}: resnet {} hangs", case.name, case.args);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    };
    let cost = Cost { time: began.elapsed(), kibibytes };
    let output = streams.map(|path| unstyled(&fs::read(path).unwrap()));
    (status.code(), output, cost)
}

/// Peak memory of a process so far.
fn peak(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Text without our own styles.
fn unstyled(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    ["0", "1", "2", "4", "31", "32", "33", "34"]
        .iter()
        .fold(text, |text, style| text.replace(&format!("\u{1b}[{style}m"), ""))
}

/// The content of every file in a folder and its subfolders; links and folders by name only.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.symlink_metadata().unwrap() {
            data if data.is_file() => found.insert(path.clone(), fs::read(&path).unwrap()),
            data => {
                if data.is_dir() {
                    found.extend(files(&path));
                }
                found.insert(path, Vec::new())
            }
        };
    }
    found
}

/// Asserts that all written text files are printable.
fn readable(folder: &Path, context: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let data = path.symlink_metadata().unwrap();
        let suffix = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if data.is_dir() {
            readable(&path, context);
        } else if data.is_file() && ["html", "svg", "txt"].contains(&&*suffix) {
            let text = String::from_utf8(fs::read(&path).unwrap()).expect("UTF-8");
            let odd: String =
                text.chars().filter(|&c| !"\n\t".contains(c) && !is_printable(c)).collect();
            assert!(odd.is_empty(), "{odd:?} in {path:?}: {context}");
        }
    }
}
