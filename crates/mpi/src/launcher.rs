//! Who started this process, by environment variables alone.

use std::{env, fmt};

/// What starts the processes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// `mpirun` of Open MPI 4 and 5.
    OpenMpi,
    /// Hydra: `mpiexec` of MPICH and of Intel MPI. Others that speak its protocol (PMI) look the same.
    Hydra,
    /// `mpirun_rsh` of MVAPICH.
    Mvapich,
    /// Slurm's `srun`.
    Slurm {
        /// Whether it offers PMIx (`srun --mpi=pmix`), which Open MPI needs.
        pmix: bool,
    },
    /// Another launcher with PMIx, such as `prterun`.
    Pmix,
}

impl fmt::Display for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenMpi => "Open MPI's mpirun",
            Self::Hydra => "mpiexec (Hydra: MPICH or Intel MPI)",
            Self::Mvapich => "MVAPICH's mpirun_rsh",
            Self::Slurm { .. } => "srun",
            Self::Pmix => "a launcher with PMIx",
        })
    }
}

/// What the launcher says of this process. MPI's own numbers, after [`Mpi::start`](crate::Mpi::start), count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Who started it.
    pub launcher: Launcher,
    /// Number of processes; `None` if the launcher does not say.
    pub size: Option<usize>,
    /// The number of this process, from 0.
    pub rank: usize,
    /// Its number among the processes on this machine, from 0.
    pub local_rank: Option<usize>,
    /// Number of processes on this machine.
    pub local_size: Option<usize>,
}

/// How this process was started, or `None` without a launcher of MPI. Reads environment variables; loads nothing.
///
/// The shell of `salloc`, `sbatch` or `srun --pty` is no launch, though it has Slurm's variables: only a process
/// of a step of two processes or more is one.
pub fn launched() -> Option<Launch> {
    detect(&|name| env::var(name).ok())
}

/// How a process was started that has these environment variables, as in `/proc/PID/environ`.
pub fn launch_of(environment: &[u8]) -> Option<Launch> {
    let variables = environment.split(|&byte| byte == 0).map(String::from_utf8_lossy);
    let variables: Vec<_> = variables.collect();
    detect(&|name| {
        let mut pairs = variables.iter().filter_map(|variable| variable.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    })
}

/// The variables of a launcher, in the order size, rank, local size, local rank.
type Names = [&'static str; 4];

const OPEN_MPI: Names = [
    "OMPI_COMM_WORLD_SIZE",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "OMPI_COMM_WORLD_LOCAL_RANK",
];
/// MVAPICH 2 and 3.
const MVAPICH: [Names; 2] = [
    [
        "MV2_COMM_WORLD_SIZE",
        "MV2_COMM_WORLD_RANK",
        "MV2_COMM_WORLD_LOCAL_SIZE",
        "MV2_COMM_WORLD_LOCAL_RANK",
    ],
    [
        "MVP_COMM_WORLD_SIZE",
        "MVP_COMM_WORLD_RANK",
        "MVP_COMM_WORLD_LOCAL_SIZE",
        "MVP_COMM_WORLD_LOCAL_RANK",
    ],
];
const HYDRA: Names = ["PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS", "MPI_LOCALRANKID"];

/// Slurm numbers its own steps (batch script, shell of `salloc`, and so on) from here.
const FIRST_SPECIAL_STEP: u64 = 0xffff_fff0;

type Get<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The inner launcher comes first: `mpirun` within a job of Slurm leaves the variables of both.
fn detect(get: Get<'_>) -> Option<Launch> {
    let named = |names, launcher| by_names(get, names, launcher);
    let hydra = || {
        // `srun --mpi=pmi2` sets the first two as well, for a shell too.
        let by_slurm = get("MPI_LOCALNRANKS").is_none() && get("SLURM_STEP_ID").is_some();
        if by_slurm { None } else { named(HYDRA, Launcher::Hydra) }
    };
    named(OPEN_MPI, Launcher::OpenMpi)
        .or_else(|| MVAPICH.into_iter().find_map(|names| named(names, Launcher::Mvapich)))
        .or_else(hydra)
        .or_else(|| if get("SLURM_STEP_ID").is_some() { slurm(get) } else { pmix(get) })
}

fn number(get: Get<'_>, name: &str) -> Option<usize> {
    get(name)?.parse().ok()
}

fn by_names(
    get: Get<'_>,
    [size, rank, local_size, local_rank]: Names,
    launcher: Launcher,
) -> Option<Launch> {
    let (size, rank) = (number(get, size)?, number(get, rank)?);
    (rank < size).then(|| Launch {
        launcher,
        size: Some(size),
        rank,
        local_rank: number(get, local_rank),
        local_size: number(get, local_size),
    })
}

/// `SLURM_NTASKS` is not asked: the script of `sbatch --ntasks 4` has it, and `SLURM_PROCID=0`.
fn slurm(get: Get<'_>) -> Option<Launch> {
    let step: u64 = get("SLURM_STEP_ID")?.parse().ok()?;
    let (size, rank) = (number(get, "SLURM_STEP_NUM_TASKS")?, number(get, "SLURM_PROCID")?);
    let node = number(get, "SLURM_NODEID");
    let tasks = get("SLURM_STEP_TASKS_PER_NODE");
    (step < FIRST_SPECIAL_STEP && size > 1 && rank < size).then(|| Launch {
        launcher: Launcher::Slurm { pmix: get("PMIX_RANK").is_some() },
        size: Some(size),
        rank,
        local_rank: number(get, "SLURM_LOCALID"),
        local_size: tasks.zip(node).and_then(|(tasks, node)| tasks_on(&tasks, node)),
    })
}

/// The number for a node in a list such as `4(x2),3`: 4, 4, 3.
fn tasks_on(list: &str, node: usize) -> Option<usize> {
    let mut after = 0;
    for item in list.split(',') {
        let (tasks, nodes) = match item.split_once("(x") {
            Some((tasks, nodes)) => (tasks, nodes.strip_suffix(')')?.parse().ok()?),
            None => (item, 1),
        };
        after += nodes;
        if node < after {
            return tasks.parse().ok();
        }
    }
    None
}

fn pmix(get: Get<'_>) -> Option<Launch> {
    Some(Launch {
        launcher: Launcher::Pmix,
        size: None,
        rank: number(get, "PMIX_RANK")?,
        local_rank: None,
        local_size: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &str) -> Option<Launch> {
        let pairs: Vec<_> =
            variables.split_whitespace().map(|pair| pair.split_once('=').unwrap()).collect();
        detect(&|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
        })
    }

    fn launch(
        launcher: Launcher,
        size: usize,
        rank: usize,
        local: Option<(usize, usize)>,
    ) -> Option<Launch> {
        let (local_rank, local_size) = local.unzip();
        Some(Launch { launcher, size: Some(size), rank, local_rank, local_size })
    }

    const STEP: &str = "SLURM_JOB_ID=9 SLURM_NTASKS=5 SLURM_PROCID=4 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=5 \
        SLURM_LOCALID=1 SLURM_NODEID=1 SLURM_STEP_TASKS_PER_NODE=3,2";

    #[test]
    fn launchers_are_told_by_their_variables() {
        let open = "OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_LOCAL_SIZE=2 \
            OMPI_COMM_WORLD_LOCAL_RANK=1 PMIX_RANK=3";
        let hydra = "PMI_SIZE=4 PMI_RANK=2 MPI_LOCALNRANKS=4 MPI_LOCALRANKID=2";
        for (variables, expected) in [
            (open, launch(Launcher::OpenMpi, 4, 3, Some((1, 2)))),
            (hydra, launch(Launcher::Hydra, 4, 2, Some((2, 4)))),
            ("PMI_SIZE=2 PMI_RANK=1", launch(Launcher::Hydra, 2, 1, None)),
            (
                "MV2_COMM_WORLD_SIZE=2 MV2_COMM_WORLD_RANK=0 MV2_COMM_WORLD_LOCAL_RANK=0 \
                MV2_COMM_WORLD_LOCAL_SIZE=1 PMI_SIZE=2 PMI_RANK=0",
                launch(Launcher::Mvapich, 2, 0, Some((0, 1))),
            ),
            (STEP, launch(Launcher::Slurm { pmix: false }, 5, 4, Some((1, 2)))),
            (
                &*format!("{STEP} PMI_SIZE=5 PMI_RANK=4"),
                launch(Launcher::Slurm { pmix: false }, 5, 4, Some((1, 2))),
            ),
            (
                &*format!("{STEP} PMIX_RANK=4"),
                launch(Launcher::Slurm { pmix: true }, 5, 4, Some((1, 2))),
            ),
            // Launchers that use `srun` to start helpers: its variables are those of the helpers.
            (&*format!("{STEP} {open}"), launch(Launcher::OpenMpi, 4, 3, Some((1, 2)))),
            (&*format!("{STEP} {hydra}"), launch(Launcher::Hydra, 4, 2, Some((2, 4)))),
            (
                "PMIX_RANK=1 PMIX_NAMESPACE=a",
                Some(Launch {
                    launcher: Launcher::Pmix,
                    size: None,
                    rank: 1,
                    local_rank: None,
                    local_size: None,
                }),
            ),
        ] {
            assert_eq!(of(variables), expected, "{variables}");
        }
    }

    #[test]
    fn an_environment_tells_a_launch() {
        let environment = b"PATH=/bin\0OMPI_COMM_WORLD_SIZE=4\0A=\xff=\0OMPI_COMM_WORLD_RANK=3\0";
        assert_eq!(launch_of(environment), launch(Launcher::OpenMpi, 4, 3, None));
        assert_eq!(launch_of(b"PATH=/bin\0"), None);
        assert_eq!(launch_of(b""), None);
    }

    #[test]
    fn shells_and_scripts_are_no_launch() {
        let batch = "SLURM_JOB_ID=9 SLURM_NTASKS=4 SLURM_NPROCS=4 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0";
        for variables in [
            "",
            batch,
            &format!("{batch} SLURM_STEP_ID=4294967291 SLURM_STEP_NUM_TASKS=4"),
            // The shell of `salloc` in an interactive step.
            "SLURM_JOB_ID=9 SLURM_NTASKS=4 SLURM_PROCID=0 SLURM_STEP_ID=4294967290 SLURM_STEP_NUM_TASKS=1",
            // The shell of `srun --pty bash`, without PMI and with it.
            "SLURM_JOB_ID=9 SLURM_PROCID=0 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=1 SLURM_PTY_PORT=1",
            "SLURM_JOB_ID=9 SLURM_PROCID=0 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=1 PMI_SIZE=1 PMI_RANK=0",
            "SLURM_JOB_ID=9 SLURM_PROCID=0 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=1 PMIX_RANK=0",
            // What no launcher sets.
            "OMPI_COMM_WORLD_SIZE=2",
            "OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=2",
            "OMPI_COMM_WORLD_SIZE=two OMPI_COMM_WORLD_RANK=0",
        ] {
            assert_eq!(of(variables), None, "{variables}");
        }
    }

    #[test]
    fn slurms_list_of_nodes_is_counted() {
        let on = |list| (0..6).map(|node| tasks_on(list, node)).collect::<Vec<_>>();
        assert_eq!(on("4(x2),3"), [Some(4), Some(4), Some(3), None, None, None]);
        assert_eq!(on("2,1(x4)"), [Some(2), Some(1), Some(1), Some(1), Some(1), None]);
        assert_eq!(on("4(x"), [None; 6]);
    }
}
