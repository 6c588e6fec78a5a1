//! The cores of a process, of several that a launcher may have started on a machine.

use std::{path::Path, thread};

use resnet_mpi::{Launch, launched};

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
    let field = |status: &str, name: &str| {
        status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
    };
    let own = read("/proc/self/status").unwrap_or_default();
    // A container or a batch job gives the launcher itself fewer cores than the machine has.
    let parent = field(&own, "PPid:").and_then(|parent| read(&format!("/proc/{parent}/status")));
    let allowed = |status: &str| Some(cores_of(&field(status, "Cpus_allowed_list:")?));
    let of_launcher = parent.as_deref().and_then(allowed).unwrap_or_else(online_cores);
    allowed(&own).is_some_and(|cores| cores < of_launcher)
}

fn online_cores() -> usize {
    read("/sys/devices/system/cpu/online").map_or(1, |list| cores_of(&list))
}

/// A short file of the system; none elsewhere than on Linux.
fn read(path: &str) -> Option<String> {
    resnet_formats::read_text(Path::new(path), 1 << 16).ok()
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
}
