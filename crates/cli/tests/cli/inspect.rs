//! Verbs that change nothing: archs, summary, recipes, data info, bench, completions, man.

use crate::common::Sandbox;

#[test]
fn archs_lists_the_architectures() {
    let s = Sandbox::new();
    let records = s.json(&["archs", "--json"]);
    let of = |name: &str| records.iter().find(|r| r["arch"] == name).expect(name);
    assert_eq!(of("resnet18-cifar")["parameters"], 11_173_962);
    assert_eq!(of("resnet50")["parameters"], 25_557_032);
    let text = s.run(&["archs"]).success().stdout;
    for record in &records {
        assert!(text.contains(record["arch"].as_str().unwrap()));
    }
    assert!(!text.contains('\u{1b}'), "colours only on a terminal");
}

#[test]
fn summary_counts_parameters_and_macs() {
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
fn recipes_prints_every_recipe_in_full() {
    let s = Sandbox::new();
    let records = s.json(&["recipes", "--json"]);
    let names: Vec<_> = records.iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names[0], "sprint", "the default comes first");
    assert!(names.contains(&"walkthrough") && names.contains(&"paper"));
    let walkthrough = records.iter().find(|r| r["name"] == "walkthrough").unwrap();
    assert_eq!(walkthrough["batch_size"], 32);
    assert_eq!(walkthrough["lr"], 0.1);
    let text = s.run(&["recipes"]).success().stdout;
    assert!(text.contains("# sprint (default)") && text.contains("weight_decay"));
}

#[test]
fn a_missing_data_set_can_be_described() {
    let s = Sandbox::new();
    let info = &s.json(&["data", "info", "cifar10", "--json"])[0];
    assert_eq!((&info["train"], &info["present"]), (&50_000.into(), &false.into()));
    assert!(s.run(&["data", "info", "cifar10"]).success().stdout.contains("not downloaded yet"));
    s.run(&["data", "info", "synthetic"]).success();
    s.run(&["data", "fetch", "synthetic"]).success();
    s.run(&["data", "verify", "synthetic"]).success();
    s.run(&["data", "verify", "cifar10"]).fails(1, &["6 of the 6 files", "data fetch cifar10"]);
    s.run(&["data", "verify", "cifar10", "--data-dir", "my data"])
        .fails(1, &["`resnet data fetch cifar10 --data-dir 'my data'`"]);
}

#[test]
fn scripts_and_man_pages_are_printed() {
    let s = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = s.run(&["completions", shell]).success().stdout;
        assert!(script.contains("RESNET_COMPLETE"), "{shell}");
    }
    assert!(s.run(&["man"]).success().stdout.contains(".TH resnet 1"));
    s.run(&["man", "--out", "pages"]).success();
    let page = std::fs::read_to_string(s.path("pages/resnet-train.1")).unwrap();
    assert!(page.contains("weight\\-decay"));
    std::fs::write(s.path("file"), "").unwrap();
    s.run(&["man", "--out", "file"]).fails(1, &["cannot write man pages to file"]);
}

/// The reader of a pipe may close it at any time.
#[cfg(unix)]
#[test]
fn a_broken_pipe_is_not_an_error() {
    let s = Sandbox::new();
    for args in [
        &["summary", "resnet1202"][..],
        &["completions", "bash"],
        &["archs", "--json"],
        &["train", "--help"],
    ] {
        let mut child = s.spawn(args);
        drop(child.stdout.take());
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{args:?}");
        assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

/// What was asked for in addition to stdout is written, and what fails still fails.
#[cfg(unix)]
#[test]
fn a_broken_pipe_hides_no_failure() {
    let s = Sandbox::new();
    crate::common::write_photos(&s, &["cat", "dog"], 3);
    std::fs::write(s.path("photos/cat/bad.png"), "text").unwrap();
    let run = |args: &[&str]| {
        let mut child = s.spawn(args);
        drop(child.stdout.take());
        let out = child.wait_with_output().unwrap();
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    };
    let check = ["data", "check", "photos", "--strict", "--html"];
    for (args, part, file) in [
        (&[&check[..], &["1.html"]].concat()[..], "damaged", "1.html"),
        (&[&check[..], &["2.html", "--json"]].concat()[..], "damaged", "2.html"),
        (&["data", "verify", "cifar10"], "6 of the 6 files", "photos"),
        (&["similar", "demo", "photos", "photos/dog/00.ppm"], "1 of 7 images", "photos"),
        (&["predict", "demo", "photos", "--features", "f.npy"], "1 of 7 images", "f.npy"),
    ] {
        let (code, said) = run(args);
        assert!(code == Some(1) && said.contains(part), "{args:?}: {code:?} {said}");
        assert!(s.path(file).exists(), "{args:?}");
    }
    for (format, out) in [("--json", "json"), ("--csv", "csv")] {
        let args = ["predict", "demo", "photos/dog", format, "--cam", "--out", out];
        assert_eq!(run(&args).0, Some(0));
        assert_eq!(std::fs::read_dir(s.path(out)).unwrap().count(), 4, "with the mark");
    }
}

#[test]
fn bench_measures_steps() {
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
        assert!(record.get("peak_memory_mb").is_some(), "it may be null: {record}");
        assert!(cfg!(not(target_os = "linux")) || record["peak_memory_mb"].as_f64() > Some(1.0));
    }
    assert!(
        s.run(&["bench", "--arch", "resnet8", "--batch", "4", "--seconds", "0.05"])
            .success()
            .stdout
            .contains("throughput")
    );
}

#[test]
fn bench_profiles() {
    let s = Sandbox::new();
    let args = ["bench", "--arch", "resnet8", "--batch", "4", "--seconds", "0.2", "--profile"];
    let layers = s.json(&["summary", "resnet8", "--json"]).remove(0);
    let layers = layers["layers"].as_array().unwrap();
    for (mode, dtype) in [("train", "fp32"), ("eval", "bf16")] {
        let more = ["--mode", mode, "--dtype", dtype, "--json"];
        let record = &s.json(&[&args[..], &more].concat())[0];
        for peak in ["gflops_per_second", "copy_gb_per_second", "read_gb_per_second"] {
            assert!(record["peaks"][peak].as_f64() > Some(0.0), "{record}");
        }
        let operations = record["operations"].as_array().unwrap();
        let (mut forward, mut flops) = (Vec::new(), 0);
        for o in operations {
            let number = |key: &str| o[key].as_f64().unwrap_or_else(|| panic!("{key} of {o}"));
            assert!(number("ms") >= 0.0 && number("share") >= 0.0 && number("bytes") >= 0.0);
            assert!(!o["name"].as_str().unwrap().is_empty());
            let multiplies = number("flops") > 0.0;
            assert_eq!(o["gflops_per_second"].is_f64(), multiplies, "{o}");
            let conv = o["kind"].as_str().unwrap().ends_with("conv") || o["kind"] == "stem";
            assert_eq!(o["algorithm"].is_string(), conv || o["kind"] == "packing", "{o}");
            if o["pass"] == "forward" && o["kind"] != "packing" {
                forward.extend(o["nodes"].as_array().unwrap());
                flops += o["flops"].as_u64().unwrap();
            }
        }
        assert_eq!(forward.len(), layers.len());
        assert!(layers.iter().all(|layer| forward.contains(&&layer["name"])));
        let is = |o: &serde_json::Value, node: &str| o["nodes"][0] == node;
        let conv = operations.iter().find(|o| is(o, "layer3.0.conv2") && o["pass"] == "forward");
        assert_eq!(conv.unwrap()["algorithm"], "F(4x4,3x3)");
        // In inference it is fused into the convolution before it.
        assert_eq!(operations.iter().any(|o| is(o, "bn1")), mode == "train");
        let macs: u64 = layers.iter().map(|layer| layer["macs"].as_u64().unwrap()).sum();
        assert_eq!(flops, 2 * 4 * macs);
        let sum = |list: &[serde_json::Value], key: &str| -> f64 {
            list.iter().map(|o| o[key].as_f64().unwrap()).sum()
        };
        let kinds = record["kinds"].as_array().unwrap();
        let (by_operation, by_kind) = (sum(operations, "ms"), sum(kinds, "ms"));
        let step = record["ms_per_step"].as_f64().unwrap();
        let other = record["other_ms"].as_f64().unwrap();
        assert!((by_operation - by_kind).abs() < 1e-9 * step);
        assert!((by_operation + other - step).abs() < 1e-9 * step);
        assert_eq!(kinds.iter().any(|k| k["kind"] == "update"), mode == "train");
    }
    let text = s.run(&args).success().stdout;
    // Operations below 0.5% are summed; which ones depends on the timing.
    for part in ["operation", "GFLOP/s", "batch norm", "backward-weight", "other", "step"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let plain = s.json(&["bench", "--arch", "resnet8", "--seconds", "0.01", "--json"]).remove(0);
    assert!(plain["operations"].is_null() && plain["peaks"].is_null());
}

#[test]
fn summary_shows_the_plan() {
    let s = Sandbox::new();
    let counts = &s.json(&["summary", "resnet18-cifar", "--json"])[0];
    let args = ["summary", "resnet18-cifar", "--plan", "--batch-size", "16", "--threads", "1"];
    for isa in ["", "portable"] {
        for (mode, dtype, winograd) in [
            ("train", "fp32", "F(4x4,3x3)"),
            ("train", "bf16", "F(4x4,3x3)"),
            ("eval", "fp32", "F(4x4,3x3)"),
        ] {
            let more = ["--mode", mode, "--dtype", dtype, "--json"];
            let mut command = s.command(&[&args[..], &more].concat());
            let out = command.env("RESNET_ISA", isa).output().unwrap();
            assert!(out.status.success(), "{out:?}");
            let plan: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
            assert!(isa.is_empty() || plan["isa"] == isa);
            assert_eq!((&plan["mode"], &plan["batch"]), (&mode.into(), &16.into()));
            for count in ["parameters", "macs"] {
                assert_eq!(plan[count], counts[count]);
            }
            let units = plan["units"].as_array().unwrap();
            let unit = |name: &str| units.iter().find(|u| u["nodes"][0] == name).expect(name);
            let passes = |name: &str| unit(name)["algorithms"].as_object().unwrap().clone();
            assert_eq!(passes("layer3.1.conv1").len(), if mode == "train" { 3 } else { 1 });
            assert!(passes("layer3.1.conv1").values().all(|algorithm| algorithm == winograd));
            assert_eq!(passes("conv1")["forward"], "direct");
            assert_eq!(passes("layer2.0.shortcut.0")["forward"], "GEMM");
            let fused = unit(if mode == "train" { "layer2.0.bn2" } else { "layer2.0.conv2" });
            assert_eq!(fused["nodes"].as_array().unwrap().last().unwrap(), "layer2.0.relu2");
            assert_eq!(fused["output"], serde_json::json!([128, 16, 16]));
            let element = if dtype == "bf16" { 2 } else { 4 };
            assert_eq!(fused["activation_bytes"], 16 * 128 * 256 * element);
            let memory = plan["memory"].as_object().unwrap();
            let total = memory["total_bytes"].as_u64().unwrap();
            let sum: u64 = memory.values().map(|bytes| bytes.as_u64().unwrap()).sum();
            assert_eq!(sum, 2 * total);
        }
    }
    let text = s.run(&args).success().stdout;
    for part in ["layer2.0.bn2 + add + relu2", "backward-weight", "3x3/2 conv", "total"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let one = ["summary", "resnet8", "--classes", "1", "--batch-size", "1", "--threads", "1"];
    assert!(s.run(&one).success().stdout.contains("resnet8, 1 class, images of 32x32"));
    let text = s.run(&[&one[..], &["--plan"]].concat()).success().stdout;
    assert!(text.contains(", 1 image of 32x32") && text.contains(", 1 thread\n"), "{text}");
    let lone = s.run(&["summary", "resnet20", "--dtype", "bf16"]).fails(2, &["required arguments"]);
    assert!(lone.stderr.contains("--plan"), "{lone:#?}");
}
