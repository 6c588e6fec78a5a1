//! The profile of a step: as tables, and as JSON.

use std::collections::BTreeMap;

use resnet::{
    engine::{
        plan_summary::PlannedOperation,
        program::{Operation, Pass},
    },
    profile::{KindTotal, Peaks, Profile, TimedOperation},
};
use serde::Serialize;

use crate::{
    print,
    table::{
        Align::{Left, Right},
        table,
    },
};

/// Operations below this share of the step are summed in one line.
const SMALL: f64 = 0.005;
/// Passes that have a column.
const PASSES: [Pass; 4] = [Pass::Forward, Pass::Backward, Pass::BackwardData, Pass::BackwardWeight];

/// Throughputs are in 10^9 per second. `gflops` counts the operations of direct convolution, `gb`
/// the bytes that must be read and written once each.
#[derive(Serialize)]
pub(super) struct Record {
    peaks: PeakRecord,
    /// In the order of the step.
    operations: Vec<OperationRecord>,
    /// The largest first.
    kinds: Vec<KindRecord>,
    /// Time of the step outside the operations.
    other_ms: f64,
}

#[derive(Serialize)]
struct PeakRecord {
    gflops_per_second: f64,
    copy_gb_per_second: f64,
    read_gb_per_second: f64,
}

#[derive(Serialize)]
struct OperationRecord {
    name: String,
    nodes: Vec<String>,
    kind: String,
    pass: String,
    algorithm: Option<String>,
    flops: u64,
    bytes: u64,
    #[serde(flatten)]
    time: Time,
}

#[derive(Serialize)]
struct KindRecord {
    kind: String,
    /// Milliseconds of each pass.
    passes: BTreeMap<String, f64>,
    #[serde(flatten)]
    time: Time,
}

#[derive(Serialize)]
struct Time {
    ms: f64,
    /// Share of the step, from 0 to 1.
    share: f64,
    /// None for operations without multiplications.
    gflops_per_second: Option<f64>,
    gb_per_second: Option<f64>,
}

impl Time {
    fn new(seconds: f64, step: f64, flops: u64, bytes: u64) -> Self {
        let rate = |n: u64| (n > 0 && seconds > 0.0).then(|| n as f64 / seconds / 1e9);
        Time {
            ms: 1e3 * seconds,
            share: seconds / step,
            gflops_per_second: rate(flops),
            gb_per_second: rate(bytes),
        }
    }

    /// Milliseconds, share of the step, and throughputs with their percentages of the peaks.
    fn cells(&self, peaks: &PeakRecord) -> [String; 6] {
        let rate = |rate: Option<f64>| rate.map_or(String::new(), |r| format!("{r:.1}"));
        let part = |rate: Option<f64>, peak| rate.map_or(String::new(), |r| percent(r / peak));
        [
            format!("{:.3}", self.ms),
            share(self.share),
            rate(self.gflops_per_second),
            part(self.gflops_per_second, peaks.gflops_per_second),
            rate(self.gb_per_second),
            part(self.gb_per_second, peaks.copy_gb_per_second),
        ]
    }
}

fn percent(part: f64) -> String {
    format!("{:.0}%", 100.0 * part)
}

impl Record {
    pub(super) fn new(profile: &Profile, peaks: &Peaks) -> Self {
        let operation = |TimedOperation { operation: planned, seconds }: &TimedOperation| {
            let PlannedOperation { operation: o, algorithm } = planned;
            OperationRecord {
                name: name(o),
                nodes: o.names.clone(),
                kind: o.kind.to_string(),
                pass: o.pass.to_string(),
                algorithm: algorithm.map(|a| a.to_string()),
                flops: o.flops,
                bytes: o.bytes,
                time: Time::new(*seconds, profile.step, o.flops, o.bytes),
            }
        };
        let kind = |total: KindTotal| KindRecord {
            kind: total.kind.to_string(),
            passes: total.passes.iter().map(|(pass, s)| (pass.to_string(), 1e3 * s)).collect(),
            time: Time::new(total.seconds, profile.step, total.flops, total.bytes),
        };
        Record {
            peaks: PeakRecord {
                gflops_per_second: peaks.flops / 1e9,
                copy_gb_per_second: peaks.bandwidth.copy / 1e9,
                read_gb_per_second: peaks.bandwidth.read / 1e9,
            },
            operations: profile.operations.iter().map(operation).collect(),
            kinds: profile.kinds().into_iter().map(kind).collect(),
            other_ms: 1e3 * (profile.step - profile.sum()),
        }
    }

    pub(super) fn print(&self, step_ms: f64) -> anyhow::Result<()> {
        let PeakRecord { gflops_per_second, copy_gb_per_second, read_gb_per_second } = self.peaks;
        print::line(format!(
            "  peak         {gflops_per_second:.0} GFLOP/s; memory: copy {copy_gb_per_second:.1} \
             GB/s, read {read_gb_per_second:.1} GB/s\n"
        ))?;
        self.print_operations()?;
        self.print_kinds(step_ms)?;
        print::line(
            "\nGFLOP/s count the operations of direct convolution, whatever the algorithm. GB/s\n\
             count the bytes that must be read and written once each; their peak is that of a copy.",
        )?;
        Ok(())
    }

    /// The slowest first.
    fn print_operations(&self) -> anyhow::Result<()> {
        let mut operations: Vec<&OperationRecord> = self.operations.iter().collect();
        operations.sort_by(|a, b| b.time.ms.total_cmp(&a.time.ms));
        let small = operations.partition_point(|o| o.time.share >= SMALL);
        let headers = [
            ("operation", Left),
            ("kind", Left),
            ("pass", Left),
            ("algorithm", Left),
            ("ms", Right),
            ("share", Right),
            ("GFLOP/s", Right),
            ("of peak", Right),
            ("GB/s", Right),
            ("of peak", Right),
        ];
        let row = |o: &&OperationRecord| {
            let algorithm = o.algorithm.clone().unwrap_or_default();
            let what = [o.name.clone(), o.kind.clone(), o.pass.clone(), algorithm];
            what.into_iter().chain(o.time.cells(&self.peaks)).collect()
        };
        let mut rows: Vec<Vec<String>> = operations[..small].iter().map(row).collect();
        let rest = &operations[small..];
        if !rest.is_empty() {
            let sum = |of: fn(&Time) -> f64| rest.iter().map(|o| of(&o.time)).sum::<f64>();
            let mut row = vec![format!("{} more below {}%", rest.len(), 100.0 * SMALL)];
            row.extend([const { String::new() }; 3]);
            row.extend([format!("{:.3}", sum(|t| t.ms)), share(sum(|t| t.share))]);
            row.extend([const { String::new() }; 4]);
            rows.push(row);
        }
        Ok(print::line(table(&headers, rows) + "\n")?)
    }

    fn print_kinds(&self, step_ms: f64) -> anyhow::Result<()> {
        let passes = PASSES.map(|pass| pass.to_string());
        let mut headers = vec![("kind", Left)];
        headers.extend(passes.iter().map(|pass| (pass.as_str(), Right)));
        headers.extend([
            ("ms", Right),
            ("share", Right),
            ("GFLOP/s", Right),
            ("of peak", Right),
            ("GB/s", Right),
            ("of peak", Right),
        ]);
        let ms = |ms: f64| if ms == 0.0 { String::new() } else { format!("{ms:.2}") };
        let of = |kind: &KindRecord, pass: &String| kind.passes.get(pass).copied().unwrap_or(0.0);
        let row = |kind: &KindRecord| {
            let mut row = vec![kind.kind.clone()];
            row.extend(passes.iter().map(|pass| ms(of(kind, pass))));
            row.extend(kind.time.cells(&self.peaks));
            row
        };
        let mut rows: Vec<Vec<String>> = self.kinds.iter().map(row).collect();
        let closing = |name: &str, passes: Vec<String>, total: f64| {
            let mut row = vec![name.to_owned()];
            row.extend(passes);
            row.extend([format!("{total:.3}"), share(total / step_ms)]);
            row.extend([const { String::new() }; 4]);
            row
        };
        let blank = vec![String::new(); passes.len()];
        rows.push(closing("other", blank, self.other_ms));
        let sum = |pass| ms(self.kinds.iter().map(|kind| of(kind, pass)).sum());
        rows.push(closing("step", passes.iter().map(sum).collect(), step_ms));
        Ok(print::line(table(&headers, rows))?)
    }
}

fn share(part: f64) -> String {
    format!("{:.1}%", 100.0 * part)
}

/// The nodes of an operation, or its kind if it has none.
fn name(operation: &Operation) -> String {
    match operation.names[..] {
        [] => operation.kind.to_string(),
        _ => print::nodes(&operation.names),
    }
}
