//! `resnet summary --plan`: the execution plan of a network on this machine.

use std::collections::BTreeMap;

use indicatif::HumanBytes;
use resnet::{
    Dtype,
    engine::{
        EvalPlan, TrainPlan,
        plan_summary::{LayerSummary, PlanMemory, PlanSummary},
        program::Pass,
    },
    summary::Summary,
};
use serde::Serialize;

use super::subject::Subject;
use crate::{
    args::{Global, Mode, SummaryArgs},
    print,
    table::{
        Align::{Left, Right},
        table,
    },
};

#[derive(Serialize)]
struct Record {
    arch: String,
    mode: &'static str,
    batch: usize,
    image_size: usize,
    classes: usize,
    parameters: usize,
    macs: u64,
    dtype: Dtype,
    threads: usize,
    isa: &'static str,
    units: Vec<UnitRecord>,
    memory: MemoryRecord,
}

#[derive(Serialize)]
struct UnitRecord {
    nodes: Vec<String>,
    kind: String,
    /// Channels, height, width.
    output: [usize; 3],
    /// By the passes of a convolution.
    algorithms: BTreeMap<String, String>,
    activation_bytes: usize,
    gradient_bytes: usize,
    packed_bytes: usize,
    scratch_bytes: usize,
}

/// Bytes of the whole plan. Its units share memory.
#[derive(Serialize)]
struct MemoryRecord {
    image_bytes: usize,
    activation_bytes: usize,
    gradient_bytes: usize,
    statistics_bytes: usize,
    packed_bytes: usize,
    scratch_bytes: usize,
    logit_bytes: usize,
    table_bytes: usize,
    total_bytes: usize,
}

/// The passes of a convolution.
const PASSES: [Pass; 3] = [Pass::Forward, Pass::BackwardData, Pass::BackwardWeight];

pub(super) fn run(subject: &Subject, args: &SummaryArgs, global: &Global) -> anyhow::Result<()> {
    let Subject { arch, graph, image_size: size, .. } = subject;
    let (cpu, dtype, batch) = (global.cpu()?, Dtype::from(args.dtype), args.batch);
    let summary = match args.mode {
        Mode::Train => TrainPlan::summarise(graph, dtype, batch, *size, *size, &cpu)?,
        Mode::Eval => EvalPlan::summarise(graph, dtype, batch, *size, *size, &cpu)?,
    };
    let counts = Summary::new(graph, *size, *size)?;
    let record = Record {
        arch: arch.to_string(),
        mode: args.mode.name(),
        batch,
        image_size: *size,
        classes: graph.classes(),
        parameters: counts.parameters,
        macs: counts.macs,
        dtype,
        threads: cpu.threads(),
        isa: cpu.isa().name(),
        units: summary.layers.iter().map(unit).collect(),
        memory: memory(&summary.memory),
    };
    if args.output.json { print::json(&record) } else { print(&record, &summary, args.mode) }
}

fn unit(unit: &LayerSummary) -> UnitRecord {
    UnitRecord {
        nodes: unit.nodes.clone(),
        kind: unit.kind.to_string(),
        output: [unit.output.channels, unit.output.height, unit.output.width],
        algorithms: unit.algorithms.iter().map(|(p, a)| (p.to_string(), a.to_string())).collect(),
        activation_bytes: unit.activation_bytes,
        gradient_bytes: unit.gradient_bytes,
        packed_bytes: unit.packed_bytes,
        scratch_bytes: unit.scratch_bytes,
    }
}

fn memory(memory: &PlanMemory) -> MemoryRecord {
    MemoryRecord {
        image_bytes: memory.images,
        activation_bytes: memory.activations,
        gradient_bytes: memory.gradients,
        statistics_bytes: memory.statistics,
        packed_bytes: memory.packed,
        scratch_bytes: memory.scratch,
        logit_bytes: memory.logits,
        table_bytes: memory.tables,
        total_bytes: memory.total(),
    }
}

fn print(record: &Record, summary: &PlanSummary, mode: Mode) -> anyhow::Result<()> {
    let passes = if mode == Mode::Train { &PASSES[..] } else { &PASSES[..1] };
    let titles: Vec<String> = passes.iter().map(Pass::to_string).collect();
    let mut headers = vec![("unit", Left), ("kind", Left), ("output", Right)];
    headers.extend(titles.iter().map(|title| (title.as_str(), Left)));
    headers.push(("activations", Right));
    if mode == Mode::Train {
        headers.push(("gradients", Right));
    }
    headers.extend([("packed", Right), ("scratch", Right)]);
    let row = |unit: &LayerSummary| {
        let algorithm = |pass: &Pass| {
            let found = unit.algorithms.iter().find(|a| a.0 == *pass);
            found.map_or(String::new(), |a| a.1.to_string())
        };
        let size = |n: usize| if n > 0 { bytes(n) } else { String::new() };
        let mut row =
            vec![print::nodes(&unit.nodes), unit.kind.to_string(), unit.output.to_string()];
        row.extend(passes.iter().map(algorithm));
        row.push(match unit.activation_bytes {
            0 => "not stored".into(),
            stored => bytes(stored),
        });
        if mode == Mode::Train {
            row.push(size(unit.gradient_bytes));
        }
        row.extend([size(unit.packed_bytes), size(unit.scratch_bytes)]);
        row
    };
    print::line(table(&headers, summary.layers.iter().map(row)) + "\n")?;
    let Record { arch, mode: name, batch, image_size, dtype, threads, isa, .. } = record;
    let PlanMemory { images, activations, gradients, statistics, packed, scratch, logits, tables } =
        summary.memory;
    let shared = |text: String, how: &str| format!("{text}, {how}");
    let (once, largest) =
        ("shared by units that need it at different times", "the maximum of the column above");
    let train = mode == Mode::Train;
    let input = print::counted(*batch as u64, "image");
    for (label, value) in [
        ("plan", format!("{arch}, {name}, {input} of {image_size}x{image_size}, {dtype}")),
        ("device", format!("{isa}, {}", print::counted(*threads as u64, "thread"))),
        ("images", bytes(images)),
        ("activations", if train { bytes(activations) } else { shared(bytes(activations), once) }),
        ("gradients", shared(bytes(gradients), once)),
        ("statistics", bytes(statistics)),
        ("packed", if train { shared(bytes(packed), largest) } else { bytes(packed) }),
        ("scratch", shared(bytes(scratch), largest)),
        ("logits", bytes(logits)),
        ("tables", format!("at most {}, pixel offsets of direct convolutions", bytes(tables))),
        ("total", bytes(summary.memory.total())),
    ] {
        if train || !matches!(label, "gradients" | "statistics") {
            print::line(format!("{label:<14} {value}"))?;
        }
    }
    Ok(())
}

fn bytes(n: usize) -> String {
    HumanBytes(n as u64).to_string()
}
