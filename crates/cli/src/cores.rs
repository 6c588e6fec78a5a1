//! The cores of a process, of several that a launcher may have started on a machine.

use std::{path::Path, thread};

use resnet_mpi::{Launch, launch_of, launched};

/// Threads of a process where there are several on a machine: its share of the cores, unless the launcher bound it
/// to some.
pub(crate) fn default_threads() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let here = processes_here();
    if here > 1 && !is_bound() { (cores / here).max(1) } else { cores }
}

/// Says so if a launcher bound this process to one core of several that it could have.
pub(crate) fn binding_note() -> Option<String> {
    let launch = launched().filter(|launch| launch.size != Some(1))?;
    let (here, online) = (on_this_machine(&launch), online_cores());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let has_more = is_bound() && cores == 1 && online / here > 1;
    has_more.then(|| {
        format!(
            "the launcher bound each process to 1 core, though {} of {online} are there for it: Open MPI takes \
             --bind-to none",
            online / here
        )
    })
}

/// Processes that a launcher started on this machine, this one among them.
pub(crate) fn processes_here() -> usize {
    launched().map_or(1, |launch| on_this_machine(&launch))
}

/// Of the processes that a launcher started, those on this machine; all if it does not say.
pub(crate) fn on_this_machine(launch: &Launch) -> usize {
    launch.local_size.or(launch.size).unwrap_or(1).max(1)
}

/// Whether this process may not run on all cores of the machine.
fn is_bound() -> bool {
    let own = read("self/status").unwrap_or_default();
    // A container or a batch job gives the launcher itself fewer cores than the machine has.
    let launcher = launched().and_then(|launch| status_of_launcher(&launch, &own, read));
    let of_launcher = launcher.as_deref().and_then(allowed_cores).unwrap_or_else(online_cores);
    allowed_cores(&own).is_some_and(|cores| cores < of_launcher)
}

/// The status of what started a process: of the first of its parents that was not launched as it was. Between them may
/// be a script, or a program that enters a container, which are bound as well.
fn status_of_launcher(
    launch: &Launch,
    own: &str,
    read: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let mut status = own.to_owned();
    loop {
        let parent = field(&status, "PPid:")?.to_owned();
        status = read(&format!("{parent}/status"))?;
        // That of another user's process cannot be read.
        let environment = read(&format!("{parent}/environ")).unwrap_or_default();
        if launch_of(environment.as_bytes()).as_ref() != Some(launch) {
            return Some(status);
        }
    }
}

/// A line of a process's status.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()))
}

fn allowed_cores(status: &str) -> Option<usize> {
    Some(cores_of(field(status, "Cpus_allowed_list:")?))
}

fn online_cores() -> usize {
    let list = resnet_formats::read_text(Path::new("/sys/devices/system/cpu/online"), 1 << 16);
    list.map_or(1, |list| cores_of(&list))
}

/// A file below `/proc`; none elsewhere than on Linux.
fn read(file: &str) -> Option<String> {
    let bytes = resnet_formats::read(&Path::new("/proc").join(file), 8 << 20).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The number of cores in a list such as `0-3,8`.
fn cores_of(list: &str) -> usize {
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok();
        Some((number(last)? + 1).saturating_sub(number(first)?))
    };
    list.split(',').filter_map(part).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_counted() {
        assert_eq!(cores_of("0-3,8\n"), 5);
        assert_eq!(cores_of("\t7"), 1);
        assert_eq!(cores_of(""), 0);
    }

    #[test]
    fn what_started_a_process_is_above_its_wrappers() {
        const RANK: &str = "OMPI_COMM_WORLD_SIZE=2\0OMPI_COMM_WORLD_RANK=1\0";
        let status = |parent: u32, cores: &str| {
            format!("Name:\tx\nPPid:\t{parent}\nCpus_allowed_list:\t{cores}\n")
        };
        let read = |file: &str| match file {
            // A script, what enters a container, mpirun, and a shell.
            "30/status" => Some(status(20, "3")),
            "20/status" => Some(status(10, "3")),
            "10/status" => Some(status(5, "0-7")),
            "5/status" => Some(status(1, "0-63")),
            "30/environ" | "20/environ" => Some(RANK.to_owned()),
            "10/environ" => Some("PATH=/bin\0".to_owned()),
            _ => None,
        };
        let launch = launch_of(RANK.as_bytes()).unwrap();
        let found = |parent| {
            let status = status_of_launcher(&launch, &status(parent, "3"), read)?;
            allowed_cores(&status)
        };
        assert_eq!([30, 20, 10].map(found), [Some(8); 3]);
        // Of a container that shows no processes outside.
        assert_eq!(found(0), None);
        let other = Launch { rank: 0, ..launch.clone() };
        let status = status_of_launcher(&other, &status(30, "3"), read);
        assert_eq!(status.as_deref().and_then(allowed_cores), Some(1));
    }
}
