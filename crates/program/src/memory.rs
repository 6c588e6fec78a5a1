//! How much memory is available to the process.

use std::{fs, path::Path};

use resnet_kernels::OutOfMemory;

use crate::error::PlanError;

/// Refuses to allocate more than is available.
pub fn check(bytes: usize) -> Result<(), PlanError> {
    match available() {
        Some(available) if available < bytes => {
            Err(PlanError::Memory { bytes, available: Some(available) })
        }
        _ => Ok(()),
    }
}

/// The largest batch, up to `most` images, that fits; 0 if none does. Where a batch fits, smaller ones do too.
///
/// # Errors
/// Those of `fits`.
pub fn largest_batch<E>(
    most: usize,
    mut fits: impl FnMut(usize) -> Result<bool, E>,
) -> Result<usize, E> {
    if most == 0 || fits(most)? {
        return Ok(most);
    }
    let (mut largest, mut too_many) = (0, most);
    while too_many - largest > 1 {
        let middle = largest.midpoint(too_many);
        if fits(middle)? {
            largest = middle;
        } else {
            too_many = middle;
        }
    }
    Ok(largest)
}

/// `len` zeros, or an error where the system refuses the memory.
pub fn zeros(len: usize) -> Result<Vec<f32>, OutOfMemory> {
    let mut zeros = Vec::new();
    let refused = |_| OutOfMemory { bytes: len.saturating_mul(size_of::<f32>()) };
    zeros.try_reserve_exact(len).map_err(refused)?;
    zeros.resize(len, 0.0);
    Ok(zeros)
}

/// Bytes that this process can still allocate: the least of the machine's free memory, its control
/// groups' limit and its own limit (`ulimit -v`). None on systems other than Linux.
pub fn available() -> Option<usize> {
    let machine = field("/proc/meminfo", "MemAvailable:").and_then(|kib| kib.checked_mul(1 << 10));
    [machine, groups(), addresses()].into_iter().flatten().min()
}

/// Bytes that the process's control groups leave, of version 2 or 1.
fn groups() -> Option<usize> {
    let root = Path::new("/sys/fs/cgroup");
    let groups = text("/proc/self/cgroup".as_ref()).unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let own = root.join(own);
    let second = own.ancestors().take_while(|group| group.starts_with(root));
    let second =
        second.map(|group| in_group(group, ["memory.max", "memory.current"], "inactive_file"));
    let first = ["memory.limit_in_bytes", "memory.usage_in_bytes"];
    let first = in_group(&root.join("memory"), first, "total_inactive_file");
    second.chain([first]).flatten().min()
}

/// Bytes that a control group leaves: its limit minus its use, in which inactive file pages do not
/// count since the system can drop them.
fn in_group(folder: &Path, [limit, used]: [&str; 2], files: &str) -> Option<usize> {
    let number = |name| text(&folder.join(name))?.trim().parse::<usize>().ok();
    let files = field(folder.join("memory.stat"), files).unwrap_or(0);
    Some(number(limit)?.saturating_sub(number(used)?.saturating_sub(files)))
}

/// Bytes that the process's own limit leaves (`ulimit -v`).
fn addresses() -> Option<usize> {
    let limit = field("/proc/self/limits", "Max address space")?;
    let used = field("/proc/self/status", "VmSize:")?.checked_mul(1 << 10)?;
    Some(limit.saturating_sub(used))
}

/// A file of `/proc` or `/sys`.
#[expect(clippy::disallowed_methods, reason = "a file of the kernel, not an untrusted one")]
fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The number after a name, in a file with one name per line.
fn field(path: impl AsRef<Path>, name: &str) -> Option<usize> {
    let text = text(path.as_ref())?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_is_available_is_refused() {
        assert_eq!(check(0), Ok(()));
        assert!(zeros(usize::MAX).is_err() && zeros(1 << 58).is_err());
        assert_eq!(zeros(3).unwrap(), [0.0; 3]);
        if let Some(available) = available() {
            assert!(available > 1 << 20 && available < 1 << 50, "{available}");
            let error = check(usize::MAX).unwrap_err().to_string();
            assert!(error.contains("GiB of memory, and") && error.contains("available"), "{error}");
        }
    }

    #[test]
    fn the_largest_batch_is_found_in_few_steps() {
        for (most, fitting) in [(0, 0), (1, 0), (1, 1), (128, 0), (128, 77), (128, 127), (128, 500)]
        {
            let mut tried = 0;
            let found = largest_batch(most, |batch| {
                tried += 1;
                Ok::<_, ()>(batch <= fitting)
            });
            assert_eq!(found, Ok(most.min(fitting)), "{most} {fitting}");
            assert!(tried <= 8, "{most} {fitting}: {tried}");
        }
        assert_eq!(largest_batch(4, |_| Err("lost")), Err("lost"));
    }

    #[test]
    fn a_group_leaves_its_limit_minus_its_use() {
        let group = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(group.path().join(name), text).unwrap();
        let left = || in_group(group.path(), ["max", "current"], "inactive_file");
        assert_eq!(left(), None);
        write("max", "1000\n");
        write("current", "900\n");
        assert_eq!(left(), Some(100));
        write("memory.stat", "anon 5\ninactive_file 300\n");
        assert_eq!(left(), Some(400));
        write("max", "max\n");
        assert_eq!(left(), None);
    }
}
