//! Runs `examples/ring.rs` under the launchers that are installed.

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

struct Mpirun {
    program: &'static str,
    arguments: &'static [&'static str],
    library: &'static str,
    version: &'static str,
    /// Lengths of messages where 100 bytes are expected, which the library tells.
    too_long: &'static [&'static str],
}

/// The names that Debian gives to the launchers; `mpirun` alone is either.
const OPEN_MPI: Mpirun = Mpirun {
    program: "mpirun.openmpi",
    arguments: &["--allow-run-as-root", "--oversubscribe"],
    library: "libmpi.so.40",
    version: "Open MPI v",
    // It writes past the buffer's end if the message is not sent unasked (from 4 kB on, in shared memory).
    too_long: &["1000"],
};
const MPICH: Mpirun = Mpirun {
    program: "mpiexec.mpich",
    arguments: &[],
    library: "libmpich.so.12",
    version: "MPICH Version: ",
    too_long: &["1000", "5000000"],
};

/// Cargo builds examples before it runs all tests of a package.
fn ring() -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("the folder of the build");
    let ring = folder.join("examples/ring");
    assert!(ring.exists(), "no {}: run `cargo test -p resnet-mpi`", ring.display());
    ring
}

impl Mpirun {
    fn installed(&self) -> bool {
        let there = Command::new(self.program).arg("--version").output().is_ok();
        if !there {
            assert!(env::var_os("RESNET_TEST_MPI").is_none(), "no {} to test", self.program);
            eprintln!("skipped: no {} here", self.program);
        }
        there
    }

    /// Runs `ring` as several processes. A launcher ends after two minutes.
    fn run(&self, processes: usize, arguments: &[&str], library: Option<&str>) -> Said {
        let mut command = Command::new(self.program);
        command.args(self.arguments).args(["-n", &processes.to_string()]);
        command.arg(ring()).args(arguments).env("MPIEXEC_TIMEOUT", "120").env_remove("RESNET_MPI");
        if let Some(library) = library {
            command.env("RESNET_MPI", library);
        }
        Said::of(&mut command)
    }
}

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().expect("a program that runs");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let said = Self { code: status.code(), out: text(&stdout), err: text(&stderr) };
        eprintln!("{command:?}: {status}\n{}{}", said.out, said.err);
        said
    }

    /// Asserts that it failed, and said this on a line of standard error.
    fn failed_with(&self, sentence: &str) {
        assert_ne!(self.code, Some(0));
        assert!(self.err.lines().any(|line| line.contains(sentence)), "no `{sentence}`");
    }
}

/// Without a launcher: with the variables that Open MPI's would set for process 1 of 2.
fn alone(library: &str, arguments: &[&str]) -> Said {
    let mut command = Command::new(ring());
    command.env("OMPI_COMM_WORLD_SIZE", "2").env("OMPI_COMM_WORLD_RANK", "1");
    Said::of(command.env("RESNET_MPI", library).args(arguments))
}

/// Compiles `fake.c`; its path.
#[cfg(target_os = "linux")]
fn fake(name: &str, options: &[&str]) -> String {
    let path = format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake.c");
    let mut command = Command::new("cc");
    let built = Said::of(command.args(["-shared", "-fPIC", "-o", &path, source]).args(options));
    assert_eq!(built.code, Some(0));
    path
}

fn messages_arrive(mpi: &Mpirun) {
    if !mpi.installed() {
        return;
    }
    for processes in 1..=4 {
        let said = mpi.run(processes, &[], None);
        assert_eq!(said.code, Some(0));
        let mut lines: Vec<_> = said.out.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines.len(), processes);
        let bytes = (processes - 1) * ((10 << 20) + 1005);
        for (rank, line) in lines.iter().enumerate() {
            let start = format!("process {rank} of {processes}: {bytes} bytes, {}", mpi.version);
            assert!(line.starts_with(&start), "{line}, not {start}");
        }
    }
}

fn errors_end_the_group(mpi: &Mpirun) {
    if !mpi.installed() {
        return;
    }
    let sent = |bytes| format!("process 1 sent {bytes}: are all processes of one version?");
    mpi.run(2, &["10"], None).failed_with(&sent("10 bytes where 100 were expected"));
    for length in mpi.too_long {
        mpi.run(2, &[length], None).failed_with(&sent("more than the 100 bytes expected"));
    }
    let aborted = mpi.run(3, &["abort"], None);
    aborted.failed_with("process 1 gives up");
    assert_eq!(aborted.code, Some(75));
    assert_ne!(mpi.run(3, &["leave"], None).code, Some(0));
}

#[test]
fn messages_arrive_by_open_mpi() {
    messages_arrive(&OPEN_MPI);
}

#[test]
fn messages_arrive_by_mpich() {
    messages_arrive(&MPICH);
}

#[test]
fn errors_end_the_group_by_open_mpi() {
    errors_end_the_group(&OPEN_MPI);
}

#[test]
fn errors_end_the_group_by_mpich() {
    errors_end_the_group(&MPICH);
}

#[test]
fn the_library_of_another_launcher_is_refused() {
    if !OPEN_MPI.installed() || !MPICH.installed() {
        return;
    }
    let by_open_mpi = OPEN_MPI.run(2, &[], Some(MPICH.library));
    by_open_mpi.failed_with(
        "Open MPI's mpirun started 2 processes, but RESNET_MPI=libmpich.so.12 (MPICH Version: ",
    );
    by_open_mpi.failed_with(
        ") sees 1: use the launcher of this library, or name the launcher's library: RESNET_MPI=",
    );
    let by_mpich = MPICH.run(2, &[], Some(OPEN_MPI.library));
    by_mpich.failed_with("mpiexec (Hydra: MPICH or Intel MPI) started 2 processes, but RESNET_MPI=libmpi.so.40 (Open MPI v");
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn what_is_no_mpi_is_refused_in_one_sentence() {
    for (library, sentence) in [
        (
            "libm.so.6",
            "RESNET_MPI=libm.so.6 is no MPI library (it has no MPI_Init_thread): give the path of one such as \
            libmpi.so.40 or libmpi.so.12\n",
        ),
        (
            "/nowhere/libmpi.so.40",
            "RESNET_MPI=/nowhere/libmpi.so.40 cannot be loaded (/nowhere/libmpi.so.40: cannot open shared object \
            file: No such file or directory): give the path of an MPI library such as libmpi.so.40 or libmpi.so.12\n",
        ),
    ] {
        let said = alone(library, &[]);
        assert_eq!((said.code, said.err.as_str()), (Some(3), sentence));
    }
}

#[test]
fn without_a_launcher_nothing_is_started() {
    let said = Said::of(Command::new(ring()).env_clear());
    assert_eq!((said.code, said.err.as_str()), (Some(2), "no launcher\n"));
}

#[test]
#[cfg(target_os = "linux")]
fn an_abort_that_never_comes_back_is_left() {
    let said = alone(&fake("libabort.so", &["-DMPICH"]), &["abort"]);
    assert_eq!((said.code, said.err.as_str()), (Some(75), "process 1 gives up\n"));
}

#[test]
#[cfg(target_os = "linux")]
fn an_mpi_that_is_not_known_or_has_no_threads_is_refused() {
    let unknown = fake("libunknown.so", &[]);
    alone(&unknown, &[])
        .failed_with(&format!("RESNET_MPI={unknown} is an MPI of an unknown kind: name one of"));
    let single = fake("libsingle.so", &["-DMPICH", "-DTHREADS=0"]);
    alone(&single, &[]).failed_with(&format!(
        "RESNET_MPI={single} (Fake MPI 1) was built without threads (it lacks MPI_THREAD_FUNNELED): use an MPI"
    ));
}
