//! Names that are not taken.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// The names that are tried.
const MOST: u32 = 10_000;

/// Creates something whose name is `path` and `suffix`, or, if that is taken, the first free name with
/// `-2`, `-3`, ... between the two. `create` must fail with [`ErrorKind::AlreadyExists`] if the name is
/// taken, as [`std::fs::create_dir`] and [`std::fs::File::create_new`] do: then no two processes get the
/// same name.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("run");
/// use resnet_formats::create_numbered;
/// let names = [(); 3].map(|()| create_numbered(&path, "", |name| std::fs::create_dir(name)).unwrap().0);
/// assert_eq!(names.map(|name| name.file_name().unwrap().to_owned()), ["run", "run-2", "run-3"]);
/// ```
///
/// # Errors
/// The first other error of `create`, or the last one if all of 10,000 names are taken.
pub fn create_numbered<T>(
    path: &Path,
    suffix: &str,
    mut create: impl FnMut(&Path) -> io::Result<T>,
) -> io::Result<(PathBuf, T)> {
    let mut number = 1;
    loop {
        let mut name = path.as_os_str().to_owned();
        if number > 1 {
            name.push(format!("-{number}"));
        }
        name.push(suffix);
        let name = PathBuf::from(name);
        match create(&name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < MOST => number += 1,
            created => return Ok((name, created?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, thread};

    use super::*;

    #[test]
    fn no_name_is_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.b");
        let create = || create_numbered(&path, ".html", |name| File::create_new(name)).unwrap().0;
        let mut names = thread::scope(|scope| {
            let threads = [(); 8].map(|()| scope.spawn(create));
            threads.map(|thread| thread.join().unwrap().file_name().unwrap().to_owned())
        });
        names.sort();
        let expected =
            ["-2", "-3", "-4", "-5", "-6", "-7", "-8", ""].map(|n| format!("a.b{n}.html"));
        assert_eq!(names, expected.map(std::ffi::OsString::from));
    }

    #[test]
    fn other_errors_end_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none/run");
        let error = create_numbered(&path, "", |name| std::fs::create_dir(name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let taken = |_: &Path| io::Result::<()>::Err(ErrorKind::AlreadyExists.into());
        let error = create_numbered(&path, "", taken).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }
}
