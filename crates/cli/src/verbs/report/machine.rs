//! The machine and times of a run, for its report.

use std::path::Path;

use resnet::{
    config::TrainConfig,
    model_file::key,
    run::LAST,
    train::{Ending, EpochMetrics, Machine, Segment},
};
use resnet_formats::safetensors;

/// Number of last segments that a report shows.
const SHOWN: usize = 12;

/// Labels and values of the last machine, and of each segment if there are several.
pub(super) fn machine(segments: &[Segment]) -> Vec<(String, String)> {
    // A segment without steps does not describe the run.
    let trained = segments.iter().rev().find(|segment| segment.to_step > segment.from_step);
    let Some(last) = trained.or(segments.last()) else { return Vec::new() };
    let Machine { cpu, gpu, isa, threads, processes, machines, dtype, dtype_reason } =
        &last.machine;
    let mut pairs = vec![
        ("Instruction set".to_owned(), isa.clone()),
        ("Threads".to_owned(), threads.to_string()),
        ("Activations".to_owned(), format!("{dtype}: {dtype_reason}")),
    ];
    if *processes > 1 {
        let on = if *machines > 1 { format!(" on {machines} machines") } else { String::new() };
        pairs.insert(1, ("Processes".to_owned(), format!("{processes}{on}")));
    }
    if let Some(gpu) = gpu {
        pairs.insert(0, ("GPU".to_owned(), gpu.clone()));
    }
    if let Some(cpu) = cpu {
        pairs.insert(0, ("Processor".to_owned(), cpu.clone()));
    }
    if let [only] = segments {
        pairs.push(("Trained".to_owned(), when(only)));
        return pairs;
    }
    let first = segments.len().saturating_sub(SHOWN);
    pairs.push(("Trained".to_owned(), format!("in {} segments", segments.len())));
    pairs.extend(segments.iter().enumerate().skip(first).map(|(i, segment)| {
        let Segment { from_step, to_step, machine, .. } = segment;
        let (workers, device, dtype) = (machine.workers(), machine.device(), machine.dtype);
        let when = when(segment);
        let what = format!("steps {from_step} to {to_step}, {when}; {device}, {workers}, {dtype}");
        (format!("Segment {}", i + 1), what)
    }));
    pairs
}

/// Label and value of the time in which process 0 waited for others, if there were several.
pub(super) fn waiting(epochs: &[EpochMetrics]) -> Option<(String, String)> {
    let waited =
        epochs.iter().filter_map(|epoch| Some([epoch.communication_seconds?, epoch.seconds]));
    let [waited, seconds] = waited.fold([0.0; 2], |sum, [a, b]| [sum[0] + a, sum[1] + b]);
    (waited > 0.0).then(|| {
        let share = 100.0 * waited / seconds;
        let value = format!("{share:.0}% of the time of training, in process 0");
        ("Waiting for other processes".to_owned(), value)
    })
}

/// Labels and values without a `run.json`, as in folders of earlier versions: the checkpoint states
/// the instruction set.
pub(super) fn machine_of_checkpoint(folder: &Path, config: &TrainConfig) -> Vec<(String, String)> {
    let metadata = safetensors::read(&folder.join(LAST)).map(|(_, metadata)| metadata);
    let isa = metadata.ok().and_then(|mut metadata| metadata.remove(key::ISA));
    isa.map_or_else(Vec::new, |isa| {
        let dtype = config.recipe.dtype.to_string();
        vec![("Instruction set".to_owned(), isa), ("Activations".to_owned(), dtype)]
    })
}

fn when(segment: &Segment) -> String {
    let began = segment.started.to_string();
    match (segment.ended, segment.outcome) {
        (Some(ended), Some(Ending::Finished)) => format!("{began} to {ended}, finished"),
        (Some(ended), Some(Ending::Interrupted)) => format!("{began} to {ended}, interrupted"),
        (Some(ended), Some(Ending::Diverged)) => format!("{began} to {ended}, diverged"),
        (Some(ended), Some(Ending::Lost)) => {
            format!("{began} to {ended}, another process was lost")
        }
        _ => format!("from {began}"),
    }
}

#[cfg(test)]
mod tests {
    use resnet::Dtype;

    use super::*;

    fn segment(from_step: u64, to_step: u64, outcome: Option<Ending>) -> Segment {
        let time = |text: &str| text.to_owned().try_into().unwrap();
        Segment {
            started: time("2026-11-24T15:11:05Z"),
            ended: outcome.map(|_| time("2026-11-24T16:00:00Z")),
            outcome,
            from_step,
            to_step,
            machine: Machine {
                cpu: Some(format!("processor {from_step}")),
                gpu: None,
                isa: "avx2".into(),
                threads: 8,
                processes: 1,
                machines: 1,
                dtype: Dtype::Fp32,
                dtype_reason: "avx2 has no native bfloat16 dot products".into(),
            },
            version: "0.1.0".into(),
        }
    }

    fn value(segments: &[Segment], label: &str) -> Option<String> {
        machine(segments).into_iter().find(|pair| pair.0 == label).map(|pair| pair.1)
    }

    #[test]
    fn one_segment_has_one_line() {
        let pairs = machine(&[segment(0, 10, Some(Ending::Finished))]);
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected = [
            ("Processor", "processor 0"),
            ("Instruction set", "avx2"),
            ("Threads", "8"),
            ("Activations", "fp32: avx2 has no native bfloat16 dot products"),
            ("Trained", "2026-11-24T15:11:05Z to 2026-11-24T16:00:00Z, finished"),
        ];
        assert_eq!(pairs, expected);
        assert_eq!(machine(&[]), []);
    }

    #[test]
    fn the_last_segment_that_trained_names_the_machine() {
        let some = [segment(0, 7, Some(Ending::Interrupted)), segment(7, 7, None)];
        assert_eq!(value(&some, "Processor").unwrap(), "processor 0");
        assert_eq!(value(&some, "Trained").unwrap(), "in 2 segments");
        assert_eq!(
            value(&some, "Segment 2").unwrap(),
            "steps 7 to 7, from 2026-11-24T15:11:05Z; avx2, 8 threads, fp32"
        );
        let many: Vec<_> = (0..100).map(|i| segment(i, i + 1, None)).collect();
        assert_eq!(value(&many, "Processor").unwrap(), "processor 99");
        assert_eq!(value(&many, "Segment 88"), None);
        assert!(value(&many, "Segment 89").is_some() && value(&many, "Segment 100").is_some());
    }

    #[test]
    fn several_processes_are_counted_and_wait() {
        let mut shared = segment(0, 10, None);
        (shared.machine.processes, shared.machine.machines) = (8, 1);
        assert_eq!(value(std::slice::from_ref(&shared), "Processes").unwrap(), "8");
        shared.machine.machines = 4;
        assert_eq!(value(&[shared], "Processes").unwrap(), "8 on 4 machines");
        let epoch = |seconds: f64, waited: Option<f64>| -> EpochMetrics {
            let metrics = serde_json::json!({
                "epoch": 1, "step": 10, "train_loss": 1.0, "train_accuracy": 50.0, "learning_rate": 0.1,
                "seconds": seconds, "images_per_second": 100.0, "communication_seconds": waited,
            });
            serde_json::from_value(metrics).unwrap()
        };
        assert_eq!(waiting(&[epoch(2.0, None)]), None);
        // The first epoch was trained alone.
        let (label, value) =
            waiting(&[epoch(9.0, None), epoch(2.0, Some(1.0)), epoch(2.0, Some(0.0))]).unwrap();
        assert_eq!(label, "Waiting for other processes");
        assert_eq!(value, "25% of the time of training, in process 0");
    }
}
