//! The machine that a run trains on.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{Cpu, Dtype};

/// The machine and the dtype of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Instruction set of the kernels.
    pub isa: String,
    /// Threads of the kernels; of each process, if there are several.
    pub threads: usize,
    /// Processes that share the run.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub processes: usize,
    /// Storage type of activations.
    pub dtype: Dtype,
    /// Why this dtype is fast here or not: `avx2 has no native bfloat16 dot products`.
    pub dtype_reason: String,
}

impl Machine {
    /// Its threads, and the processes that have them: `2 threads`, `4 processes of 2 threads`.
    pub fn workers(&self) -> String {
        let threads =
            format!("{} thread{}", self.threads, if self.threads == 1 { "" } else { "s" });
        match self.processes {
            1 => threads,
            processes => format!("{processes} processes of {threads}"),
        }
    }

    pub(super) fn new(cpu: &Cpu, dtype: Dtype, processes: usize) -> Machine {
        Machine {
            cpu: cpu_model(),
            isa: cpu.isa().to_string(),
            threads: cpu.threads(),
            processes,
            dtype,
            dtype_reason: dtype.reason(cpu),
        }
    }
}

fn one() -> usize {
    1
}

fn is_one(&count: &usize) -> bool {
    count == 1
}

/// The first processor is within these bytes.
const MAX_BYTES: u64 = 64 << 10;

/// The first processor's model, from Linux. There is none for ARM.
fn cpu_model() -> Option<String> {
    model_name(resnet_formats::open(Path::new("/proc/cpuinfo")).ok()?)
}

fn model_name(cpuinfo: impl Read) -> Option<String> {
    let lines = BufReader::new(cpuinfo.take(MAX_BYTES)).lines().map_while(Result::ok);
    let mut models = lines.filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    models.next().filter(|model| !model.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_the_first_processors() {
        let two = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9B14\n\n\
                   processor\t: 1\nmodel name\t: another\n";
        assert_eq!(model_name(two.as_bytes()).as_deref(), Some("AMD EPYC 9B14"));
        let arm = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\n";
        assert_eq!(model_name(arm.as_bytes()), None);
        assert_eq!(model_name(&b"model name\t:\n"[..]), None);
    }
}
