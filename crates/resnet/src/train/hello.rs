//! Whether the processes of a group can train together: what they compare before.

use std::{
    env,
    hash::{DefaultHasher, Hasher},
    io::Read,
    path::Path,
    sync::LazyLock,
};

use resnet_comm::{CommError, Group, tree};
use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::{Cpu, config::TrainConfig, data::Parts};

/// What a process says of itself before the first step.
#[derive(Clone, Serialize, Deserialize)]
struct Hello {
    version: String,
    /// A digest of its program, if that can be read.
    build: Option<u64>,
    isa: String,
    data: Vec<u8>,
    host: String,
}

/// The machines of a group's processes, by rank; none for a process alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.of(0..self.0.len()).len().max(1)
    }

    /// Those of some processes, each once.
    pub(super) fn of(&self, processes: impl IntoIterator<Item = usize>) -> Vec<String> {
        let hosts = processes.into_iter().filter_map(|rank| self.0.get(rank).cloned());
        let mut hosts: Vec<String> = hosts.collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }
}

/// Checks that this many processes can share a run.
///
/// # Errors
/// [`TrainError::Shards`] if its shards cannot be shared by them.
pub fn check_processes(config: &TrainConfig, processes: usize) -> Result<(), TrainError> {
    let parallel = config.recipe.parallel;
    if !tree::allows(parallel.shards, processes) {
        let list = list(&tree::processes(parallel.shards));
        return Err(TrainError::Shards(format!(
            "{processes} processes cannot share batches of {} shards: start {list}, or a new run with --shards \
             {processes}",
            parallel.shards
        )));
    }
    if parallel.sync_batch_norm && processes != parallel.shards {
        return Err(TrainError::Shards(format!(
            "with --sync-batch-norm every process has one shard: the run has {}, so start {} processes, not \
             {processes}",
            parallel.shards, parallel.shards
        )));
    }
    Ok(())
}

/// Checks that the processes of a group can train a run together. Returns their machines.
///
/// # Errors
/// If they are too many or too few for its shards, or a process has another version, build, instruction set or data
/// than the first.
pub(super) fn check(
    group: &Group,
    config: &TrainConfig,
    data: &Parts,
    cpu: &Cpu,
) -> Result<Hosts, TrainError> {
    check_processes(config, group.size())?;
    if group.size() == 1 {
        return Ok(Hosts::default());
    }
    let own = Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        build: *BUILD,
        isa: cpu.isa().name().to_owned(),
        data: data.digest().to_vec(),
        host: host(),
    };
    let all = group.gather(json(&own))?;
    let all = all.iter().map(|bytes| serde_json::from_slice::<Hello>(bytes).ok());
    let all: Vec<Option<Hello>> = all.collect();
    let mut processes = all.iter().enumerate();
    let other = processes.find_map(|(rank, hello)| difference(&own, rank, hello.as_ref()));
    let hosts = || all.iter().flatten().map(|hello| hello.host.clone()).collect::<Vec<String>>();
    let verdict = other.map_or_else(|| Ok(hosts()), Err);
    let verdict = group.broadcast(json(&verdict))?;
    let verdict: Result<Vec<String>, String> = serde_json::from_slice(&verdict).map_err(|_| {
        CommError::Transport("process 0 is another version: use one on all machines".to_owned())
    })?;
    let hosts = verdict.map_err(TrainError::Processes)?;
    group.watch();
    Ok(Hosts(hosts))
}

/// How a process differs from process 0, if it does; `None` for one whose words are not understood.
fn difference(first: &Hello, rank: usize, other: Option<&Hello>) -> Option<String> {
    let Some(other) = other else {
        return Some(format!(
            "process {rank} is another version of this program: use one on all machines"
        ));
    };
    let who = format!("process {rank} on {}", other.host);
    let zero = format!("process 0 on {}", first.host);
    if other.version != first.version {
        return Some(format!(
            "{who} is version {}, {zero} is {}: use one on all machines",
            other.version, first.version
        ));
    }
    if let (Some(one), Some(another)) = (first.build, other.build)
        && one != another
    {
        return Some(format!(
            "{who} is another build of resnet {} than {zero}: copy the program from one machine to all",
            first.version
        ));
    }
    if other.isa != first.isa {
        return Some(format!(
            "{who} computes with {}, {zero} with {}, and their results differ in rounding: choose instructions \
             that all machines have with RESNET_ISA",
            other.isa, first.isa
        ));
    }
    (other.data != first.data).then(|| {
        format!(
            "{who} has other images, labels or classes than {zero}: bring the same data to all machines"
        )
    })
}

/// A digest of the file of this program. Builds whose standard libraries hash in other ways are different ones.
static BUILD: LazyLock<Option<u64>> = LazyLock::new(|| {
    let mut file = resnet_formats::open(&env::current_exe().ok()?).ok()?;
    let (mut hasher, mut chunk) = (DefaultHasher::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut chunk).ok()? {
            0 => return Some(hasher.finish()),
            read => hasher.write(&chunk[..read]),
        }
    }
});

/// `1, 2 or 4`.
fn list(numbers: &[usize]) -> String {
    let mut list: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    match list.pop() {
        Some(last) if !list.is_empty() => format!("{} or {last}", list.join(", ")),
        last => last.unwrap_or_default(),
    }
}

pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("it is written as JSON")
}

/// The machine's name, from Linux.
fn host() -> String {
    let name = resnet_formats::read_text(Path::new("/proc/sys/kernel/hostname"), 256);
    name.map_or_else(|_| "an unnamed machine".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(host: &str) -> Hello {
        Hello {
            version: "1.2.3".to_owned(),
            build: Some(7),
            isa: "avx2".to_owned(),
            data: vec![1],
            host: host.to_owned(),
        }
    }

    #[test]
    fn what_differs_is_named() {
        let first = hello("a");
        let other = hello("b");
        assert_eq!(difference(&first, 1, Some(&other)), None);
        assert_eq!(difference(&first, 1, Some(&Hello { build: None, ..other.clone() })), None);
        for (other, part) in [
            (
                Hello { version: "1.2.4".to_owned(), ..other.clone() },
                "b is version 1.2.4, process 0",
            ),
            (
                Hello { build: Some(8), ..other.clone() },
                "another build of resnet 1.2.3 than process 0",
            ),
            (Hello { isa: "avx512".to_owned(), ..other.clone() }, "computes with avx512"),
            (Hello { data: vec![2], ..other.clone() }, "other images"),
        ] {
            let difference = difference(&first, 1, Some(&other)).unwrap();
            assert!(difference.starts_with("process 1 on b "), "{difference}");
            assert!(difference.contains(part), "{difference}");
        }
        assert!(difference(&first, 1, None).unwrap().contains("another version"));
        assert!(BUILD.is_some());
    }

    #[test]
    fn machines_are_counted_once() {
        let hosts = Hosts(["b", "a", "b", "a"].map(str::to_owned).to_vec());
        assert_eq!((hosts.count(), Hosts::default().count()), (2, 1));
        assert_eq!(hosts.of([0, 2, 9]), ["b"]);
    }
}
