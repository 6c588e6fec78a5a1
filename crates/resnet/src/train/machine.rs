//! The machine that a run trains on.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{Device, Dtype};

/// The machine and the dtype of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// The GPU that computes, with its driver; none if the processor does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// Instruction set of the processor's kernels.
    pub isa: String,
    /// Threads of the kernels; of each process, if there are several.
    pub threads: usize,
    /// Processes that share the run.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub processes: usize,
    /// Machines that these run on.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub machines: usize,
    /// Storage type of activations.
    pub dtype: Dtype,
    /// Why this dtype is fast here or not: `avx2 has no native bfloat16 dot products`.
    pub dtype_reason: String,
}

impl Machine {
    /// What computes: the GPU, or else the instruction set.
    pub fn device(&self) -> &str {
        self.gpu.as_ref().unwrap_or(&self.isa)
    }

    /// Its threads, and the processes that have them: `2 threads`, `4 processes of 2 threads`,
    /// `4 processes of 2 threads on 2 machines`.
    pub fn workers(&self) -> String {
        let threads =
            format!("{} thread{}", self.threads, if self.threads == 1 { "" } else { "s" });
        match (self.processes, self.machines) {
            (1, _) => threads,
            (processes, 1) => format!("{processes} processes of {threads}"),
            (processes, machines) => {
                format!("{processes} processes of {threads} on {machines} machines")
            }
        }
    }

    /// What so many processes and machines train with, of which this one has this device.
    pub(super) fn new(device: &Device, dtype: Dtype, [processes, machines]: [usize; 2]) -> Machine {
        let (cpu, gpu) = (device.cpu(), device.gpu_name());
        let dtype_reason = match (&gpu, dtype) {
            (None, dtype) => dtype.reason(cpu),
            (Some(_), Dtype::Fp32) => "what the GPU computes in".to_owned(),
            (Some(_), Dtype::Bf16) => {
                "half of the memory and of what is moved; the GPU computes in fp32".to_owned()
            }
        };
        Machine {
            cpu: cpu_model(),
            gpu,
            isa: cpu.isa().to_string(),
            threads: cpu.threads(),
            processes,
            machines,
            dtype,
            dtype_reason,
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
pub fn cpu_model() -> Option<String> {
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

    #[test]
    fn processes_and_machines_are_counted() {
        let device = Device::from(&crate::Cpu::new(2).unwrap());
        let of = |counts| Machine::new(&device, Dtype::Fp32, counts);
        let workers = [[1, 1], [4, 1], [4, 2]].map(|counts| of(counts).workers());
        let expected =
            ["2 threads", "4 processes of 2 threads", "4 processes of 2 threads on 2 machines"];
        assert_eq!(workers, expected);
        let json = serde_json::to_string(&of([4, 2])).unwrap();
        assert!(json.contains("\"processes\":4,\"machines\":2,"), "{json}");
        assert!(!serde_json::to_string(&of([1, 1])).unwrap().contains("machines"));
    }
}
