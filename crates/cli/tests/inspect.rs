//! Verbs that only look: archs, summary, recipes, data info, completions, man.

mod common;

use common::Sandbox;

#[test]
fn archs_lists_the_family() {
    let s = Sandbox::new();
    let records = s.json(&["archs", "--json"]);
    let of = |name: &str| records.iter().find(|r| r["arch"] == name).expect(name);
    assert_eq!(of("resnet18-cifar")["parameters"], 11_173_962);
    assert_eq!(of("resnet50")["parameters"], 25_557_032);
    let text = s.run(&["archs"]).success().stdout;
    for record in &records {
        assert!(text.contains(record["arch"].as_str().unwrap()));
    }
    assert!(!text.contains('\u{1b}'), "no colours but at a terminal");
}

#[test]
fn summary_counts() {
    let s = Sandbox::new();
    let summary = &s.json(&["summary", "resnet18", "--json"])[0];
    assert_eq!(summary["arch"], "resnet18");
    assert_eq!(summary["parameters"], 11_689_512);
    assert_eq!(summary["macs"], 1_814_073_344);
    let layers = summary["layers"].as_array().unwrap();
    let sum: u64 = layers.iter().map(|l| l["macs"].as_u64().unwrap()).sum();
    assert_eq!(sum, 1_814_073_344);
    let other = ["--classes", "5", "--image-size", "64", "--batch", "2", "--json"];
    let small = &s.json(&[&["summary", "resnet20"], &other[..]].concat())[0];
    assert_eq!(small["parameters"], 269_722 - 5 * 65);
    assert_eq!((&small["image_size"], &small["batch"]), (&64.into(), &2.into()));
    let text = s.run(&["summary", "resnet20"]).success().stdout;
    assert!(text.contains("layer3.2.conv2") && text.contains("269,722"));
}

#[test]
fn recipes_are_told_in_full() {
    let s = Sandbox::new();
    let records = s.json(&["recipes", "--json"]);
    let names: Vec<_> = records.iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names[0], "fast", "the default comes first");
    assert!(names.contains(&"walkthrough") && names.contains(&"paper"));
    let walkthrough = records.iter().find(|r| r["name"] == "walkthrough").unwrap();
    assert_eq!(walkthrough["batch_size"], 32);
    assert_eq!(walkthrough["lr"], 0.1);
    let text = s.run(&["recipes"]).success().stdout;
    assert!(text.contains("# fast (default)") && text.contains("weight_decay"));
}

#[test]
fn data_is_described_before_it_is_there() {
    let s = Sandbox::new();
    let info = &s.json(&["data", "info", "cifar10", "--json"])[0];
    assert_eq!((&info["train"], &info["present"]), (&50_000.into(), &false.into()));
    assert!(s.run(&["data", "info", "cifar10"]).success().stdout.contains("not fetched yet"));
    s.run(&["data", "info", "synthetic"]).success();
    s.run(&["data", "fetch", "synthetic"]).success();
    s.run(&["data", "verify", "synthetic"]).success();
    s.run(&["data", "verify", "cifar10"]).fails(1, &["6 of the 6 files", "data fetch cifar10"]);
}

#[test]
fn completions_and_man_pages_come_from_the_arguments() {
    let s = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = s.run(&["completions", shell]).success().stdout;
        assert!(script.contains("weight-decay"), "{shell}");
    }
    assert!(s.run(&["man"]).success().stdout.contains(".TH resnet 1"));
    s.run(&["man", "--out", "pages"]).success();
    let page = std::fs::read_to_string(s.path("pages/resnet-train.1")).unwrap();
    assert!(page.contains("weight\\-decay"));
    std::fs::write(s.path("file"), "").unwrap();
    s.run(&["man", "--out", "file"]).fails(1, &["cannot write manual pages to file"]);
}

/// The reader of a pipe may leave at any time.
#[cfg(unix)]
#[test]
fn a_broken_pipe_is_no_failure() {
    let s = Sandbox::new();
    for args in [&["summary", "resnet1202"][..], &["completions", "bash"], &["archs", "--json"]] {
        let mut child = s.spawn(args);
        drop(child.stdout.take());
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{args:?}");
        assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn bench_measures() {
    let s = Sandbox::new();
    for (mode, dtype) in [("train", "fp32"), ("train", "bf16"), ("eval", "fp32"), ("eval", "bf16")]
    {
        let args = ["bench", "--arch", "resnet8", "--batch", "4", "--mode", mode, "--dtype", dtype];
        let more = ["--seconds", "0.05", "--threads", "2", "--json"];
        let record = &s.json(&[&args[..], &more].concat())[0];
        for (key, value) in [("arch", "resnet8"), ("mode", mode), ("dtype", dtype)] {
            assert_eq!(record[key], value);
        }
        assert_eq!((&record["batch"], &record["threads"]), (&4.into(), &2.into()));
        let ms = record["ms_per_step"].as_f64().unwrap();
        let rate = record["images_per_second"].as_f64().unwrap();
        assert!(ms > 0.0 && (rate * ms / 4000.0 - 1.0).abs() < 1e-6, "{record}");
        assert!(!record["isa"].as_str().unwrap().is_empty());
        assert!(cfg!(not(target_os = "linux")) || record["peak_memory_mb"].as_f64() > Some(1.0));
    }
    assert!(
        s.run(&["bench", "--arch", "resnet8", "--batch", "4", "--seconds", "0.05"])
            .success()
            .stdout
            .contains("images/s")
    );
}
