//! What shells complete.

use std::{env, fs, path::Path, process::Command};

use crate::common::{Finished, Sandbox};

/// The candidates for the last of these words, as fish gets them.
fn candidates(s: &Sandbox, words: &[&str]) -> Vec<String> {
    let mut command = s.command(&[&["--", "resnet"], words].concat());
    let output = command.env("RESNET_COMPLETE", "fish").output().unwrap();
    let lines = Finished::of(words, output).success().stdout;
    lines.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

/// A folder with two runs, a folder that is none, and a model file.
fn runs() -> Sandbox {
    let s = Sandbox::new();
    for run in ["a", "b"] {
        fs::create_dir_all(s.path("runs").join(run)).unwrap();
        fs::write(s.path("runs").join(run).join("config.toml"), "").unwrap();
    }
    fs::create_dir(s.path("runs/none")).unwrap();
    fs::write(s.path("net.onnx"), "").unwrap();
    s
}

#[test]
fn names_are_offered() {
    let s = Sandbox::new();
    let archs = candidates(&s, &["train", "--arch", "resnet1"]);
    assert!(
        ["resnet18", "resnet18-cifar", "resnet101"].iter().all(|a| archs.contains(&(*a).into()))
    );
    assert!(archs.iter().all(|arch| arch.starts_with("resnet1")), "{archs:?}");
    for words in [&["bench", "--arch", "resnet1"][..], &["eval", "demo", "--arch", "resnet1"]] {
        assert_eq!(candidates(&s, words), archs, "{words:?}");
    }
    assert_eq!(
        candidates(&s, &["train", "--recipe", ""]),
        ["sprint", "fast", "finetune", "walkthrough", "paper"]
    );
    for words in [&["train", "ci"][..], &["eval", "demo", "ci"], &["data", "info", "ci"]] {
        assert_eq!(candidates(&s, words), ["cifar10", "cifar100"], "{words:?}");
    }
    assert_eq!(candidates(&s, &["eval", "--class-n"]), ["--class-names"]);
    assert_eq!(candidates(&s, &["sim"]), ["similar"]);
}

#[test]
fn models_are_words_runs_and_files() {
    let s = runs();
    let all = ["demo", "last", "runs/a", "runs/b"];
    for verb in ["eval", "show", "predict", "convert", "similar"] {
        let found = candidates(&s, &[verb, ""]);
        assert!(all.iter().all(|name| found.contains(&(*name).into())), "{found:?}");
        assert!(found.contains(&"net.onnx".into()) && !found.contains(&"runs/none".into()));
    }
    assert_eq!(candidates(&s, &["eval", "runs/"]), ["runs/a", "runs/b", "runs/none/"]);
    assert_eq!(candidates(&s, &["eval", "la"]), ["last"]);
    let found = candidates(&s, &["report", ""]);
    assert!(found.contains(&"last".into()) && !found.contains(&"demo".into()), "{found:?}");
    assert_eq!(candidates(&s, &["report", "runs/a", "runs/b"]), ["runs/b"]);
    assert_eq!(candidates(&s, &["train", "--resume", "l"]), ["last"]);
    let found = candidates(&s, &["summary", "res"]);
    assert!(found.contains(&"resnet50".into()), "{found:?}");
    // Without a run, there is no newest one.
    assert!(candidates(&Sandbox::new(), &["eval", "la"]).is_empty());
}

/// The script of Bash, in Bash.
#[cfg(unix)]
#[test]
fn bash_completes() {
    let s = runs();
    let program = Path::new(env!("CARGO_BIN_EXE_resnet")).parent().unwrap().to_owned();
    let others = env::split_paths(&env::var_os("PATH").unwrap()).collect::<Vec<_>>();
    let path = env::join_paths([program].into_iter().chain(others)).unwrap();
    fs::write(s.path("completions"), s.run(&["completions", "bash"]).success().stdout).unwrap();
    for (words, expected) in [
        ("resnet train --arch resnet18-c", "resnet18-cifar\n"),
        ("resnet eval runs/", "runs/a\nruns/b\nruns/none/\n"),
        ("resnet train --recipe w", "walkthrough\n"),
    ] {
        let ask = format!(
            "source ./completions; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _clap_complete_resnet resnet \"${{COMP_WORDS[COMP_CWORD]}}\" x; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let mut command = Command::new("bash");
        command.args(["--norc", "-c", &ask]).env("PATH", &path).current_dir(s.path(""));
        let found = Finished::of(&["bash"], command.output().unwrap()).success();
        assert_eq!(found.stdout, expected, "{words}: {found:?}");
    }
}
