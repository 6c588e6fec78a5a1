//! `--device` and `resnet devices`. With the feature `gpu` networks run on a device of Vulkan, such as Mesa's
//! renderer in software; these tests are skipped where there is none.

use crate::common::Sandbox;
#[cfg(not(feature = "gpu"))]
use crate::common::small;

#[test]
fn other_words_are_wrong_usage() {
    let s = Sandbox::new();
    let parts = ["--device", "expected auto, cpu, gpu or gpu:N"];
    s.run(&["bench", "--device", "cuda"]).fails(2, &parts);
}

#[cfg(not(feature = "gpu"))]
#[test]
fn a_program_without_gpus_says_how_to_get_one_with_them() {
    let s = Sandbox::new();
    let parts = ["built without GPUs", "--features gpu"];
    s.run(&small(&["--device", "gpu"])).fails(1, &parts);
    let devices = s.json(&["devices", "--json"]);
    assert_eq!(devices.len(), 1);
    assert_eq!((&devices[0]["device"], &devices[0]["auto"]), (&"cpu".into(), &true.into()));
    assert!(devices[0]["images_per_second"].as_f64().unwrap() > 0.0);
}

#[cfg(feature = "gpu")]
mod gpus {
    use std::fs;

    use resnet::{
        engine::gpu::{DeviceKind, devices},
        model_file::Model,
    };

    use crate::common::{Finished, Sandbox, small, tensors};

    /// The name of the first device, unless there is none to test with.
    fn first() -> Option<String> {
        let first = devices().into_iter().next();
        if first.is_none() {
            assert!(std::env::var_os("RESNET_TEST_GPU").is_none(), "no device to test");
            println!("skipped: no device of Vulkan, Metal or DirectX 12 here");
        }
        first.map(|info| info.name)
    }

    /// Few enough images for a renderer in software.
    fn few<'a>(more: &[&'a str]) -> Vec<&'a str> {
        let images = ["--limit-train", "64", "--limit-test", "32", "--batch-size", "32"];
        let net = ["train", "synthetic", "--arch", "resnet8", "--dtype", "fp32"];
        [&net[..], &images, more].concat()
    }

    const ON_GPU: [&str; 2] = ["--device", "gpu:0"];

    /// Runs a command on a machine without a driver.
    fn without_driver(args: &[&str]) -> Finished {
        let s = Sandbox::new();
        let mut command = s.command(args);
        for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
            command.env(variable, s.path("none.json"));
        }
        Finished::of(args, command.output().unwrap())
    }

    #[test]
    fn a_run_on_a_gpu_can_be_used_on_the_cpu() {
        let Some(name) = first() else { return };
        let s = Sandbox::new();
        let run = few(&["--epochs", "2", "--out", "run"]);
        let out = s.run(&[&run[..], &ON_GPU].concat()).success();
        assert!(out.stderr.contains(&format!("device  {name}, ")), "{out:#?}");
        for file in ["run.json", "log.txt"] {
            assert!(
                fs::read_to_string(s.path("run").join(file)).unwrap().contains(&name),
                "{file}"
            );
        }

        // The test accuracy and loss of training, on either device.
        let eval = ["eval", "run", "--limit-test", "32", "--json"];
        let [cpu, gpu] = ["cpu", "gpu:0"]
            .map(|device| s.json(&[&eval[..], &["--device", device]].concat()).remove(0));
        let metrics = fs::read_to_string(s.path("run/metrics.jsonl")).unwrap();
        let last: serde_json::Value =
            serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
        for found in [&cpu, &gpu] {
            let difference = found["loss"].as_f64().unwrap() - last["test_loss"].as_f64().unwrap();
            assert!(difference.abs() < 1e-4, "{found} {last}");
        }

        // Logits differ by rounding alone.
        let logits = |device| {
            let file = format!("{device}.npy").replace(':', "-");
            let args = [&eval[..], &["--logits", &file, "--device", device]].concat();
            s.run(&args).success();
            let bytes = fs::read(s.path(&file)).unwrap();
            let values = bytes[bytes.len() - 32 * 10 * 4..].chunks_exact(4);
            values.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>()
        };
        for (cpu, gpu) in logits("cpu").iter().zip(logits("gpu:0")) {
            assert!((cpu - gpu).abs() < 1e-4 * cpu.abs().max(1.0), "{cpu} {gpu}");
        }

        // The same steps on the CPU end nearby.
        let on_cpu = few(&["--epochs", "2", "--out", "cpu", "--device", "cpu"]);
        s.run(&on_cpu).success();
        let weights = |run: &str| {
            let model = Model::load(&s.path(run).join("last.safetensors"), None);
            model.unwrap().network.values().to_vec()
        };
        let (cpu, gpu) = (weights("cpu"), weights("run"));
        let norm = |values: &mut dyn Iterator<Item = f32>| {
            values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
        };
        let difference = norm(&mut cpu.iter().zip(&gpu).map(|(a, b)| a - b));
        assert!(difference < 0.05 * norm(&mut cpu.iter().copied()), "{difference}");
        assert_ne!(cpu, gpu);
    }

    #[cfg(unix)]
    #[test]
    fn a_stopped_run_ends_with_the_same_bits() {
        use crate::common::Held;

        if first().is_none() {
            return;
        }
        let s = Sandbox::new();
        let run = |name| few(&["--epochs", "2", "--out", name]);
        s.run(&[&run("whole")[..], &ON_GPU].concat()).success();
        for signal in ["-INT", "-KILL"] {
            let name = signal.trim_start_matches('-');
            let args = [&run(name)[..], &ON_GPU].concat();
            let held = Held::at_the_end_of_an_epoch(&s, &args);
            held.signal(signal);
            held.finish();
            s.run(&["train", "--resume", name, "--device", "gpu:0"]).success();
            let same = tensors(&s.path(name)) == tensors(&s.path("whole"));
            assert!(same, "{signal}: other weights");
        }
        // Another device goes on, and says that bits differ.
        let cut = few(&["--epochs", "1", "--out", "cut"]);
        s.run(&[&cut[..], &ON_GPU].concat()).success();
        let args = ["train", "--resume", "cut", "--epochs", "2", "--device", "cpu"];
        let out = s.run(&args).success();
        assert!(out.stderr.contains("will not be bit-identical"), "{out:#?}");
    }

    #[test]
    fn without_a_driver_a_gpu_is_an_error_and_auto_is_the_cpu() {
        let gpu = few(&["--device", "gpu"]);
        without_driver(&gpu).fails(1, &["--device gpu: there is no GPU", "Install the driver"]);
        let numbered = few(&["--device", "gpu:0"]);
        without_driver(&numbered).fails(1, &["--device gpu:0", "no GPU was found"]);
        let auto = few(&["--epochs", "1"]);
        let out = without_driver(&auto).success();
        assert!(out.stderr.contains(" threads") && !out.stderr.contains("Vulkan,"), "{out:#?}");
        // One line, as there is a device node or none.
        let whys = ["; no GPU found\n", "no driver of Vulkan for it"];
        assert!(whys.iter().any(|why| out.stderr.contains(why)), "{out:#?}");
        let out = without_driver(&few(&["--epochs", "1", "--device", "cpu"])).success();
        assert!(!out.stderr.contains("GPU"), "{out:#?}");
    }

    #[test]
    fn auto_takes_no_software() {
        if first().is_none() || devices().iter().any(|info| info.kind != DeviceKind::Software) {
            return;
        }
        let s = Sandbox::new();
        let out = s.run(&small(&["--epochs", "1", "--out", "run"])).success();
        assert!(!out.stderr.contains(&devices()[0].name), "{out:#?}");
        let plain = few(&["--device", "gpu"]);
        s.run(&plain).fails(1, &["is software", "--device gpu:0"]);
        let listed = s.json(&["devices", "--json"]);
        assert_eq!((&listed[0]["device"], &listed[0]["auto"]), (&"cpu".into(), &true.into()));
        assert_eq!(
            (&listed[1]["device"], &listed[1]["kind"]),
            (&"gpu:0".into(), &"software".into())
        );
        assert!(listed[1]["images_per_second"].as_f64().unwrap() > 0.0, "{listed:?}");
        assert!(listed[1]["largest_buffer_mb"].as_f64().unwrap() > 1.0, "{listed:?}");
        assert!(listed[0].get("largest_buffer_mb").is_none(), "{listed:?}");
    }

    #[test]
    fn a_batch_that_does_not_fit_names_one_that_does() {
        // Others may have memory for it. Mesa's renderer reaches 128 MiB of a buffer.
        if devices().first().is_none_or(|info| info.kind != DeviceKind::Software) {
            return;
        }
        let s = Sandbox::new();
        let bench = ["bench", "--arch", "resnet8", "--seconds", "0.1", "--batch", "8192"];
        let parts = ["too little memory for batches of 8192 images", "fit (--batch-size "];
        s.run(&[&bench[..], &ON_GPU].concat()).fails_behind_notes(1, &parts);
        // An experiment finds it out before its first run.
        let nets =
            ["experiment", "degradation", "synthetic", "--nets", "resnet8", "--dtype", "fp32"];
        let images = ["--limit-train", "8000", "--limit-test", "8", "--batch-size", "7000"];
        let parts = ["has memory for batches of", "or --device cpu, or --batch-size "];
        s.run(&[&nets[..], &images, &ON_GPU].concat()).fails_behind_notes(1, &parts);
    }

    #[test]
    fn what_only_the_cpu_does_is_named() {
        if first().is_none() {
            return;
        }
        let s = Sandbox::new();
        let shards = few(&["--shards", "2", "--device", "gpu:0"]);
        s.run(&shards).fails_behind_notes(1, &["--shards", "not available on a GPU"]);
        assert!(!s.path("runs").exists(), "no run folder is left");
        let profile =
            ["bench", "--arch", "resnet8", "--batch", "2", "--seconds", "0.1", "--profile"];
        let eval = [&profile[..], &["--mode", "eval"], &ON_GPU].concat();
        s.run(&eval).fails_behind_notes(2, &["--profile"]);
        let found = s.json(&[&profile[..], &["--json"], &ON_GPU].concat());
        let operations = found[0]["operations"].as_array().unwrap();
        let all: f64 = operations.iter().map(|one| one["ms"].as_f64().unwrap()).sum();
        assert!(operations.len() > 30 && all > 0.0, "{found:?}");
    }

    #[test]
    fn an_experiment_stays_on_its_device() {
        let Some(name) = first() else { return };
        let s = Sandbox::new();
        let usual =
            ["experiment", "degradation", "synthetic", "--nets", "resnet8", "--epochs", "1"];
        let images = ["--limit-train", "64", "--limit-test", "32", "--batch-size", "32"];
        let args = [&usual[..], &images, &["--dtype", "fp32", "--out", "out"]].concat();
        s.run(&[&args[..], &ON_GPU].concat()).success();
        let file = fs::read_to_string(s.path("out/experiment.toml")).unwrap();
        assert!(file.contains(&name), "{file}");
        let there = format!("device there: {name}, here: cpu");
        s.run(&[&args[..], &["--device", "cpu"]].concat()).fails(1, &[&there]);
        // Also if it is not the one that `--device gpu` takes.
        s.run(&[&args[..], &["--seeds", "2"]].concat()).success();
        s.run(&[&args[..], &ON_GPU].concat()).success();
    }
}
