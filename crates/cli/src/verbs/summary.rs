//! `resnet summary`: layers, shapes, parameters, multiply-accumulates and memory of a network.

mod plan;
mod subject;

use indicatif::HumanBytes;
use resnet::summary::Summary;
use serde::Serialize;

use self::subject::Subject;
use crate::{
    args::{Global, SummaryArgs},
    print,
    table::{
        Align::{Left, Right},
        table,
    },
};

#[derive(Serialize)]
struct Record<'a> {
    arch: &'a str,
    image_size: usize,
    classes: usize,
    parameters: usize,
    macs: u64,
    batch: usize,
    parameter_bytes: usize,
    training_bytes: usize,
    inference_bytes: usize,
    layers: Vec<LayerRecord<'a>>,
}

#[derive(Serialize)]
struct LayerRecord<'a> {
    name: &'a str,
    op: &'a str,
    /// Channels, height, width.
    output: [usize; 3],
    parameters: usize,
    macs: u64,
}

pub(crate) fn run(args: &SummaryArgs, global: &Global) -> anyhow::Result<()> {
    let subject = Subject::new(args, global)?;
    if args.plan {
        return plan::run(&subject, args, global);
    }
    let Subject { arch, graph, image_size, file } = subject;
    let (name, classes) = (arch.to_string(), graph.classes());
    let summary = Summary::new(&graph, image_size, image_size)?;
    if args.output.json {
        return print::json(&record(&name, image_size, classes, args.batch, &summary));
    }
    let headers = [
        ("layer", Left),
        ("operation", Left),
        ("output", Right),
        ("parameters", Right),
        ("MACs", Right),
    ];
    let rows = summary.layers.iter().map(|l| {
        vec![
            l.name.clone(),
            l.op.clone(),
            l.output.to_string(),
            if l.parameters > 0 { print::grouped(l.parameters) } else { String::new() },
            if l.macs > 0 { print::macs(l.macs) } else { String::new() },
        ]
    });
    print::line(table(&headers, rows) + "\n")?;
    let about = |bytes: usize| {
        format!("about {} of memory at batch size {}", HumanBytes(bytes as u64), args.batch)
    };
    let outputs = print::counted(classes as u64, "class");
    for (label, value) in file.map(|file| ("file", file)).into_iter().chain([
        ("network", format!("{name}, {outputs}, images of {image_size}x{image_size}")),
        ("parameters", print::grouped(summary.parameters)),
        ("MACs per image", print::macs(summary.macs)),
        ("weights", HumanBytes(summary.parameter_bytes() as u64).to_string()),
        ("training", about(summary.training_bytes(args.batch))),
        ("inference", about(summary.inference_bytes(args.batch))),
    ]) {
        print::line(format!("{label:<16}{value}"))?;
    }
    Ok(())
}

fn record<'a>(
    arch: &'a str,
    image_size: usize,
    classes: usize,
    batch: usize,
    summary: &'a Summary,
) -> Record<'a> {
    let layers = summary.layers.iter().map(|l| LayerRecord {
        name: &l.name,
        op: &l.op,
        output: [l.output.channels, l.output.height, l.output.width],
        parameters: l.parameters,
        macs: l.macs,
    });
    Record {
        arch,
        image_size,
        classes,
        parameters: summary.parameters,
        macs: summary.macs,
        batch,
        parameter_bytes: summary.parameter_bytes(),
        training_bytes: summary.training_bytes(batch),
        inference_bytes: summary.inference_bytes(batch),
        layers: layers.collect(),
    }
}
