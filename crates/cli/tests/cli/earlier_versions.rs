//! Files of an earlier version must load unchanged. fixtures/README.md describes how they were
//! made.

use std::{
    fs,
    path::{Path, PathBuf},
};

use resnet::model_file::Model;
use resnet_formats::{Data, safetensors, torch};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common::{Finished, Sandbox};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The results of the earlier version.
fn expected() -> Value {
    serde_json::from_str(&fs::read_to_string(fixture("expected.json")).unwrap()).unwrap()
}

/// A copy of a run folder.
fn copy(s: &Sandbox, run: &str) {
    fs::create_dir(s.path(run)).unwrap();
    for entry in fs::read_dir(fixture(run)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), s.path(run).join(entry.file_name())).unwrap();
    }
}

/// Runs `resnet` on the portable instruction set, which every machine has. It must succeed.
fn portable(s: &Sandbox, args: &[&str]) -> Finished {
    let output = s.command(args).env("RESNET_ISA", "portable").output().unwrap();
    Finished::of(args, output).success()
}

/// SHA-256 of the names and values of a checkpoint's tensors, sorted by name.
fn digest(file: &Path) -> String {
    let (mut tensors, _) = safetensors::read(file).unwrap();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let mut hash = Sha256::new();
    for (name, tensor) in tensors {
        hash.update(name.as_bytes());
        hash.update([0]);
        match tensor.data {
            Data::F32(values) => values.iter().for_each(|x| hash.update(x.to_le_bytes())),
            Data::I64(values) => values.iter().for_each(|x| hash.update(x.to_le_bytes())),
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tensors and metrics of a finished run equal those of the earlier version.
fn assert_ended_as_expected(run: &Path, expected: &Value) {
    for (name, sum) in expected["tensors"].as_object().unwrap() {
        assert_eq!(digest(&run.join(name).with_extension("safetensors")), *sum, "{name}");
    }
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let mut metrics: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (epoch, expected) in metrics.iter_mut().zip(expected["metrics"].as_array().unwrap()) {
        assert_has(epoch, expected);
    }
    assert_eq!(metrics.len(), 3);
}

/// Every field of `expected` is in `value`, which may have more fields, at any depth.
fn assert_has(value: &Value, expected: &Value) {
    match expected {
        Value::Object(fields) => {
            for (key, expected) in fields {
                assert!(value.get(key).is_some(), "no {key}");
                assert_has(&value[key], expected);
            }
        }
        Value::Array(items) => {
            let values = value.as_array().unwrap();
            assert_eq!(values.len(), items.len());
            values.iter().zip(items).for_each(|(value, expected)| assert_has(value, expected));
        }
        _ => assert_eq!(value, expected),
    }
}

/// In the middle of an epoch, with everything that it had saved; it writes PyTorch's forms as well.
#[test]
fn an_interrupted_run_resumes_bit_exactly() {
    let (s, expected) = (Sandbox::new(), &expected()["fp32"]);
    for from in ["fp32", "fp32/best.safetensors"] {
        copy(&s, "fp32");
        let run = s.path("fp32");
        portable(&s, &["train", "--resume", from]);
        assert_ended_as_expected(&run, expected);

        let last = Model::load(&run.join("last.safetensors"), None).unwrap();
        let all = torch::read(&run.join("resnet8_synthetic_all.tar")).unwrap();
        let dict = torch::read(&run.join("resnet8_synthetic_state_dict.pt")).unwrap();
        assert!(all.model == last.network.state_dict() && dict.model == all.model, "{from}");
        assert!(all.optimizer.is_some() && dict.optimizer.is_none());
        fs::remove_dir_all(run).unwrap();
    }
}

/// It was killed before its first checkpoint, so it restarts from its configuration.
#[test]
fn a_killed_run_restarts_bit_exactly() {
    let s = Sandbox::new();
    copy(&s, "bf16");
    portable(&s, &["train", "--resume", "bf16"]);
    assert_ended_as_expected(&s.path("bf16"), &expected()["bf16"]);
}

#[test]
fn a_run_is_evaluated_and_reported_as_before() {
    let (s, expected) = (Sandbox::new(), &expected()["fp32"]);
    copy(&s, "fp32");
    for (model, file) in
        [("fp32", "best"), ("fp32/best.safetensors", "best"), ("fp32/last.safetensors", "last")]
    {
        let out = portable(&s, &["eval", model, "--limit-test", "100", "--json"]).stdout;
        assert_has(&serde_json::from_str(&out).unwrap(), &expected["eval"][file]);
    }
    let out = portable(&s, &["report", "fp32", "--limit-test", "100", "--json"]).stdout;
    let record: Value = serde_json::from_str(&out).unwrap();
    let run = &record["runs"][0];
    assert_eq!(run["accuracy"], expected["eval"]["best"]["accuracy"]);
    assert_eq!((&run["state"], &run["epochs_done"]), (&"stopped".into(), &1.into()));
    // It has no run.json: only the checkpoint describes the machine.
    assert_eq!(run["segments"], Value::Array(vec![]));
    let page = fs::read_to_string(s.path("fp32/report.html")).unwrap();
    assert!(page.contains("best.safetensors, after epoch 1, on 100 test images"));
    assert!(page.contains("Instruction set") && page.contains("portable"));
    // Its `metrics.jsonl` has them as `held_out_loss` and `held_out_accuracy`.
    assert!(page.contains("Validation loss<th scope=\"col\">Validation accuracy"));
    assert!(page.contains("<td>2.3986<td>0.00%"));
}

/// A net an eighth as wide, in every form that is written: each is read, and made again from each.
#[test]
fn every_form_holds_the_same_tensors() {
    let s = Sandbox::new();
    let forms = ["safetensors", "pt", "tar", "onnx"];
    let load = |file: &Path| Model::load(file, None).unwrap();
    let theirs = forms.map(|form| load(&fixture("forms/narrow").with_extension(form)));
    let [first, .., tar, _] = &theirs;
    for (from, model) in forms.iter().zip(&theirs) {
        assert!(model.network.state_dict() == first.network.state_dict(), "{from}");
        let source = fixture("forms/narrow").with_extension(from);
        for to in forms {
            let made = format!("from-{from}.{to}");
            s.run(&["convert", source.to_str().unwrap(), &made, "--quiet"]).success();
            let made = load(&s.path(&made));
            assert!(made.network.state_dict() == first.network.state_dict(), "{from} to {to}");
            // Only a checkpoint of PyTorch's keeps momentum, and only from another.
            match (&made.optimizer, &tar.optimizer) {
                (Ok(made), Ok(before)) => assert!(made == before && (*from, to) == ("tar", "tar")),
                (Err(_), Ok(_)) => assert_ne!((*from, to), ("tar", "tar")),
                (_, Err(error)) => panic!("{error}"),
            }
        }
    }
}
