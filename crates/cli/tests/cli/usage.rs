//! Help texts, and errors of wrong usage.

use crate::common::Sandbox;

/// The verbs that the help lists, each on a line with its description.
fn verbs(help: &str) -> Vec<&str> {
    let (_, list) = help.split_once("Commands:\n").expect("a list of commands");
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").collect()
}

#[test]
fn help_and_version_succeed() {
    let s = Sandbox::new();
    let help = s.run(&["help"]).success();
    let verbs = verbs(&help.stdout);
    assert!(["train", "serve", "man"].iter().all(|verb| verbs.contains(verb)), "{verbs:?}");
    for verb in verbs {
        assert!(s.run(&[verb, "--help"]).success().stdout.contains("Usage:"));
        assert!(s.run(&["help", verb]).success().stdout.contains("Usage:"));
    }
    let version = s.run(&["--version"]).success();
    assert_eq!(version.stdout.trim(), format!("resnet {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_has_one_error_and_exit_code_2() {
    let s = Sandbox::new();
    for (args, part) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["train", "--arch", "vgg16"], "unknown architecture 'vgg16'"),
        (&["train", "no-such-data"], "unknown data set `no-such-data`"),
        (&["train", "no-such-data"], "synthetic, and there is no folder of this name"),
        (&["eval", "demo", "CIFAR-10"], "unknown data set `CIFAR-10` (did you mean cifar10?)"),
        (&["bench", "--arch", "ResNet50"], "'ResNet50' (did you mean resnet50?): expected"),
        (&["train", "--recipe", "none"], "--recipe"),
        (&["train", "--epochs", "0"], "a whole number from 1 to"),
        (&["train", "--epochs", "-1"], "a whole number from 1 to"),
        (&["train", "--epochs", "5", "--budget", "30m"], "cannot be used with '--budget"),
        (&["train", "--budget", "30"], "30m"),
        (&["train", "--budget", "0s"], "30m"),
        (&["train", "--batch-size", "0"], "--batch-size"),
        (&["train", "--lr", "-0.1"], "a number above 0"),
        (&["train", "--lr", "nan"], "a number above 0"),
        (&["train", "--lr", "1e-50"], "a number above 0"),
        (&["train", "--lr", "1e300"], "--lr"),
        (&["train", "synthetic", "--workers", "7"], "--workers is for folders of photos"),
        (&["train", "synthetic", "--cache", "x", "--cache-size", "5G"], "--cache is for folders"),
        (&["train", ".", "--cache", "none", "--cache-size", "5G"], "leave out --cache-size"),
        (&["train", "--momentum", "1"], "--momentum"),
        (&["train", "--weight-decay", "-1"], "a number of at least 0"),
        (&["train", "--label-smoothing", "1.5"], "--label-smoothing"),
        (&["train", "--dtype", "fp8"], "--dtype"),
        (&["train", "--seed", "x"], "--seed"),
        (&["train", "--seed", "-1"], "a whole number from 0 to 18446744073709551615"),
        (&["train", "--validation", "0"], "--validation"),
        (&["train", "--limit-train", "0"], "--limit-train"),
        (&["train", "--mean", "0.5,0.5,0.5", "--std", "0,0.2,0.2"], "three numbers from 0.0001"),
        (&["train", "--mean", "0.5", "--std", "0.2,0.2,0.2"], "three numbers from 0 to 1"),
        (&["train", "--ui", "gui"], "--ui"),
        (&["train", "--threads", "0"], "--threads"),
        (&["train", "--resume", "last", "--lr", "1"], "cannot be used with"),
        (&["train", "--resume", "last", "--dtype", "bf16"], "cannot be used with"),
        (&["train", "synthetic", "--resume", "last"], "cannot be used with"),
        (&["train", "--resume", "last", "--save-torch"], "cannot be used with --save-torch"),
        (&["train", "--resume", "last", "--init", "x"], "cannot be used with"),
        (&["train", "--resume", "last", "--budget", "1m"], "cannot be used with"),
        (&["summary", "resnet20", "--arch", "resnet20"], "--arch is for model files"),
        (&["eval", "run", "--dtype", "fp16"], "--dtype"),
        (&["train", "--resume", "last", "--std", "1,1,1", "--mean", "0,0,0"], "cannot be used"),
        (&["train", "synthetic", "--limit-train", "10", "--split", "10"], "--validation 10 leaves"),
        (&["summary", "vgg16"], "vgg16"),
        (&["summary", "resnet20", "--image-size", "0"], "--image-size"),
        (&["bench", "--seconds", "0"], "--seconds"),
        (&["bench", "--mode", "sleep"], "--mode"),
        (&["data", "fetch", "imagenet"], "unknown data set `imagenet`"),
        (&["completions", "dos"], "dos"),
        (&["serve", "demo", "--cors", "example.org/page"], "https://example.org"),
        (&["train", "--init", "none", "--weights", "ema"], "--weights"),
        (&["eval", "demo", "--logits", "x.txt"], "ends in .npy"),
        (&["report", "run", "--out", "r.pdf"], "ends in .html"),
        (&["report", "run", "--title", " "], "some text"),
        (&["data", "check", "photos", "--html", "x.pdf"], "ends in .html"),
        (&["eval", "demo", "--labels", "x.csv"], "a folder of photos"),
        (&["eval", "demo", "cifar10", "--labels", "x.csv"], "a folder of photos"),
        (&["eval", "demo", "--tta", "flip", "--with", "demo"], "--tta"),
    ] {
        s.run(args).fails(2, &[part]);
    }
    // Case is ignored, and PyTorch's names of types are known: what is wrong is something else.
    for args in [
        ["--dtype", "BFloat16"],
        ["--dtype", "float32"],
        ["--optimizer", "AdamW"],
        ["--recipe", "Fast"],
    ] {
        let args = [&["train"][..], &args, &["--threads", "0"]].concat();
        s.run(&args).fails(2, &["'--threads"]);
    }
    for missing in [&[][..], &["eval"], &["data"], &["summary"], &["report"]] {
        assert_eq!(s.run(missing).code, Some(2), "{missing:?}");
    }
    let left = std::fs::read_dir(s.path(".")).unwrap().count();
    assert_eq!(left, 0, "wrong usage writes no files");
}
