//! The folder of a data set, which others may use, or have put links into.

use std::cell::RefCell;

use super::*;

#[test]
fn one_download_at_a_time() {
    let (mut fetch, archive) = (Fetch::new(), official());
    let other = Workspace::try_new(&fetch.folder()).unwrap().expect("no other");
    let waits = |event: &FetchEvent| *event == FetchEvent::Waiting;
    let stopped = fetch.run_until("http://127.0.0.1:1", &archive, NO_PACKAGE, waits);
    assert!(matches!(stopped, Err(DataError::Stopped)), "{stopped:?}");
    drop(other);
    assert!(!fetch.folder().exists(), "an empty folder is not left behind");
}

#[test]
fn what_another_process_downloads_is_used() {
    let (mut fetch, archive) = (Fetch::new(), official());
    let other = Workspace::try_new(&fetch.folder()).unwrap().expect("no other");
    let (other, files) = (RefCell::new(Some(other)), files());
    let finish = |event: &FetchEvent| {
        if *event == FetchEvent::Waiting
            && let Some(other) = other.take()
        {
            for (file, content) in files.iter().zip(contents()) {
                other.stage(file, &content).unwrap();
            }
            other.install(&files, CIFAR10.classes).unwrap();
        }
        false
    };
    fetch.run_until("http://127.0.0.1:1", &archive, NO_PACKAGE, finish).unwrap();
    fetch.assert_complete();
    let waited = fetch.events.iter().filter(|event| **event == FetchEvent::Waiting);
    assert_eq!(waited.count(), 1);
}

#[test]
fn names_the_folder_that_cannot_be_written() {
    let fetch = Fetch::new();
    fs::write(fetch.folder(), "a file where a folder should be").unwrap();
    let error = Workspace::try_new(&fetch.folder()).err().expect("no folder").to_string();
    assert!(error.starts_with("cannot create ") && error.contains("set/.fetch"), "{error}");
}

/// Links in an untrusted data folder are not followed.
#[cfg(unix)]
#[test]
fn does_not_follow_links_out_of_the_data_folder() {
    use std::os::unix::fs::symlink;
    for (link, target) in [
        (".fetch", "../precious"),
        (".fetch", "../nowhere"),
        (".fetch/staging", "../../precious/staging"),
        (".fetch/staging", "../../nowhere"),
    ] {
        let mut fetch = Fetch::new();
        let path = |name: &str| fetch.dir.path().join(name);
        fs::create_dir_all(path("precious/staging")).unwrap();
        let precious = ["precious/staging/thesis", "precious/lock", "precious/archive.part"];
        precious.iter().for_each(|name| fs::write(path(name), "mine").unwrap());
        let link = path("set").join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(target, &link).unwrap();
        let error = fetch.run("http://127.0.0.1:1", &official()).unwrap_err().to_string();
        assert!(error.contains("it is a link or a file, not a folder"), "{error}");
        let path = |name: &str| fetch.dir.path().join(name);
        assert!(precious.iter().all(|name| fs::read(path(name)).unwrap() == b"mine"));
        assert_eq!(fs::read_dir(path("precious")).unwrap().count(), 3);
        assert!(!path("nowhere").exists());
    }
}
