//! `resnet devices`: what can compute here, and how fast.

use std::time::Duration;

use resnet::{Arch, Device, Dtype, engine::memory, train::cpu_model};
use serde::Serialize;

use crate::{
    args::{Global, Output},
    device::{Work, images_per_second},
    print,
    table::{
        Align::{Left, Right},
        table,
    },
};

/// What is measured: training steps of this network.
const ARCH: &str = "resnet20";
/// Images of a batch; of a renderer in software, which takes seconds for them.
const BATCH: usize = 128;
#[cfg(feature = "gpu")]
const FEW: usize = 2;
/// How long a device is measured, after the warm-up.
const TIME: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Record {
    /// As `--device` takes it.
    device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<String>,
    /// Of a GPU, which does not tell how much memory it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    largest_buffer_mb: Option<f64>,
    #[serde(flatten)]
    cpu: Option<CpuRecord>,
    /// Training steps of [`ARCH`]; none if the device cannot be used.
    images_per_second: Option<f64>,
    /// Why the device cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Whether `--device auto` takes it for this network.
    auto: bool,
}

#[derive(Serialize)]
struct CpuRecord {
    isa: &'static str,
    threads: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_memory_mb: Option<f64>,
    /// Measured peaks.
    fp32_gflops: f64,
    bf16_gflops: f64,
}

pub(crate) fn run(output: Output, global: &Global) -> anyhow::Result<()> {
    let cpu = global.cpu()?;
    let arch: Arch = ARCH.parse()?;
    let graph = arch.graph(arch.default_classes());
    let size = [arch.image_size(); 2];
    let work =
        Work { graph: &graph, dtype: Dtype::Fp32, batch: BATCH, size, trains: true, config: None };
    let mut records = gpus(work, global)?;
    let peak = |dtype| cpu.peak_flops(dtype) / 1e9;
    let own = CpuRecord {
        isa: cpu.isa().name(),
        threads: cpu.threads(),
        available_memory_mb: memory::available().map(|bytes| bytes as f64 / 1e6),
        fp32_gflops: peak(Dtype::Fp32),
        bf16_gflops: peak(Dtype::Bf16),
    };
    let first = Record {
        device: "cpu".to_owned(),
        name: cpu_model(),
        kind: "processor".to_owned(),
        driver: None,
        largest_buffer_mb: None,
        cpu: Some(own),
        images_per_second: Some(images_per_second(&work, &Device::from(&cpu), TIME)?),
        error: None,
        auto: !records.iter().any(|gpu| gpu.auto),
    };
    records.insert(0, first);
    if output.json {
        return records.iter().try_for_each(print::json);
    }
    let headers = [("device", Left), ("kind", Left), ("images/s", Right), ("name", Left)];
    let rows = records.iter().map(|record| {
        let speed = record.images_per_second.map_or("-".to_owned(), |speed| format!("{speed:.0}"));
        vec![record.device.clone(), record.kind.clone(), speed, describe(record)]
    });
    print::line(table(&headers, rows))?;
    let taken = records.iter().find(|record| record.auto).map_or("cpu", |record| &record.device);
    print::line(format!("\n--device auto takes {taken} (images/s: training steps of {ARCH})"))?;
    Ok(())
}

/// The GPUs, if this program can use any.
#[cfg(feature = "gpu")]
fn gpus(work: Work<'_>, global: &Global) -> anyhow::Result<Vec<Record>> {
    use resnet::engine::gpu::DeviceKind;

    use crate::device::{Listed, list};

    let listed = list(&global.cpu()?, work).into_iter().enumerate();
    let record = |(number, Listed { info, device, is_taken })| {
        let batch = if info.kind == DeviceKind::Software { FEW } else { BATCH };
        let measured =
            device.and_then(|device| images_per_second(&Work { batch, ..work }, &device, TIME));
        Record {
            device: format!("gpu:{number}"),
            name: Some(info.name),
            kind: info.kind.to_string(),
            driver: Some(format!("{}, {}", info.backend, info.driver)),
            largest_buffer_mb: Some(info.largest_buffer as f64 / 1e6),
            cpu: None,
            images_per_second: measured.as_ref().ok().copied(),
            error: measured.err().map(|error| format!("{error:#}")),
            auto: is_taken,
        }
    };
    Ok(listed.map(record).collect())
}

#[cfg(not(feature = "gpu"))]
fn gpus(_: Work<'_>, global: &Global) -> anyhow::Result<Vec<Record>> {
    global.note("this `resnet` was built without GPUs (--features gpu)");
    Ok(Vec::new())
}

/// Name and details of a device.
fn describe(record: &Record) -> String {
    let mut parts: Vec<String> = record.name.iter().chain(&record.driver).cloned().collect();
    parts.extend(record.largest_buffer_mb.map(|mb| format!("largest buffer {:.1} GB", mb / 1e3)));
    if let Some(cpu) = &record.cpu {
        parts.push(format!("{}, {}", cpu.isa, print::counted(cpu.threads as u64, "thread")));
        parts.extend(cpu.available_memory_mb.map(|mb| format!("{:.1} GB free", mb / 1e3)));
        parts.push(format!(
            "peak {:.0} GFLOP/s in fp32, {:.0} in bf16",
            cpu.fp32_gflops, cpu.bf16_gflops
        ));
    }
    parts.extend(record.error.iter().map(|error| format!("cannot be used: {error}")));
    parts.join("; ")
}
