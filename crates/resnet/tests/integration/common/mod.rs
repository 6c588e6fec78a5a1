//! Shared by tests: inference, distances, Python as a reference, and the references for gradients.

pub(crate) mod bf16;
pub(crate) mod mutation;
pub(crate) mod onnx_graph;
pub(crate) mod outcome;
pub(crate) mod processes;
pub(crate) mod processes_on_photos;
pub(crate) mod reference;
pub(crate) mod small_run;

use std::{
    collections::BTreeSet,
    env, fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use resnet::{
    Cpu, Dtype, Network,
    engine::{EvalPlan, Input, StepResult, TrainPlan, plan_summary::PlanSummary, program::Pass},
    engine::{MicroBatch, Targets},
};
use resnet_formats::{Data, NamedTensors};
use serde_json::Value;

/// Logits of `batch` images `[n][channel][row][column]`.
pub(crate) fn logits(
    cpu: &Cpu,
    net: &Network,
    [batch, height, width]: [usize; 3],
    images: &[f32],
) -> Vec<f32> {
    let mut plan = EvalPlan::new(net.graph(), Dtype::Fp32, batch, height, width, cpu).unwrap();
    plan.load(net);
    plan.forward(Input::Nchw(images), batch).to_vec()
}

/// Largest difference, relative to the largest value that is wanted.
pub(crate) fn distance(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().chain(want).all(|value| value.is_finite()));
    let largest =
        |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, |a: f32, b| a.max(b.abs()));
    largest(&mut got.iter().zip(want).map(|(a, b)| a - b)) / largest(&mut want.iter().copied())
}

/// The same names in the same order, the same shapes, and bit-identical values.
#[track_caller]
pub(crate) fn assert_same(got: &NamedTensors, want: &NamedTensors, what: &str) {
    let names = |tensors: &NamedTensors| -> Vec<String> {
        tensors.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(got), names(want), "{what}");
    for ((name, got), (_, want)) in got.iter().zip(want) {
        assert_eq!(got.shape, want.shape, "{what}: {name}");
        let same = match (&got.data, &want.data) {
            (Data::F32(got), Data::F32(want)) => {
                got.iter().map(|x| x.to_bits()).eq(want.iter().map(|x| x.to_bits()))
            }
            (got, want) => got == want,
        };
        assert!(same, "{what}: {name} differs");
    }
}

/// A training step on a whole batch, with smoothed labels.
pub(crate) fn step(
    plan: &mut TrainPlan,
    net: &mut Network,
    gradients: &mut [f32],
    input: Input<'_>,
    labels: &[u32],
    label_smoothing: f32,
) -> StepResult {
    let part = MicroBatch::whole(input, Targets::labels(labels, label_smoothing));
    plan.step(net, gradients, false, part, &mut ())
}

/// The algorithms that a plan's convolutions take in a pass, by name, in order.
pub(crate) fn algorithms_of(summary: &PlanSummary, pass: Pass) -> Vec<String> {
    let all = summary.layers.iter().flat_map(|layer| &layer.algorithms);
    let taken = all.filter(|taken| taken.0 == pass).map(|taken| taken.1.to_string());
    taken.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A Python with these modules; none, with a message, if one is missing. In a run with ignored
/// tests (as `scripts/check-pytorch`) a missing module is a failure.
pub(crate) fn python(modules: &str) -> Option<Command> {
    let program = env::var("RESNET_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let import = Command::new(&program).args(["-c", &format!("import {modules}")]).output();
    if import.is_ok_and(|output| output.status.success()) {
        return Some(Command::new(program));
    }
    let missing = format!("{program} has not all of {modules}; name one with RESNET_PYTHON");
    let asked = env::args().any(|arg| arg == "--ignored" || arg == "--include-ignored");
    assert!(!asked, "{missing}");
    eprintln!("skipped: {missing}");
    None
}

/// Runs a script of `tests/`; gives the JSON that it prints.
pub(crate) fn run(mut python: Command, script: &str, args: &[&Path], stdin: &Value) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    python.arg(folder.join(script)).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script} failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn write_floats(path: &Path, values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(path, bytes).unwrap();
}

pub(crate) fn read_floats(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}
