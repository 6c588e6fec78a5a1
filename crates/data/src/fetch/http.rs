//! Resumable downloads over HTTP.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    time::Duration,
};

use resnet_formats::open_own;
use ureq::{
    Agent,
    http::StatusCode,
    tls::{RootCerts, TlsConfig},
};

use super::{
    event::Stage,
    monitor::{Failure, Monitor},
};
use crate::{
    DataError,
    digest::{CHUNK, Checksum},
};

/// A remote file.
pub(super) struct Remote<'a> {
    pub url: &'a str,
    /// Its length, if it is published.
    pub bytes: Option<u64>,
    pub checksum: Checksum<'a>,
}

/// The most bytes of a file whose length is not published.
const MOST: u64 = 1 << 30;

/// How often a broken transfer is resumed.
const RETRIES: usize = 4;

/// Limit of each phase: DNS lookup, connection, response headers, next bytes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Downloads to `part`, resuming a partial file, and verifies length and checksum.
///
/// After a failure, `part` keeps the data to resume from. It is emptied if its content was wrong.
pub(super) fn download(
    remote: &Remote<'_>,
    part: &Path,
    monitor: &mut Monitor<'_>,
) -> Result<(), Failure> {
    let mut file = open_own(part, File::options().read(true).write(true).create(true))
        .map_err(DataError::io("create", part))?;
    let mut retries = RETRIES;
    loop {
        let before = length(&file, part)?;
        match transfer(remote, part, &mut file, monitor) {
            Ok(()) => {}
            // Resume if this transfer made progress.
            Err(Failure::Source(_)) if retries > 0 && length(&file, part)? > before => {
                retries -= 1;
                continue;
            }
            Err(failure) => return Err(failure),
        }
        let bytes = length(&file, part)?;
        let tick = |done| monitor.progress(Stage::Check, done, Some(bytes));
        let Some(difference) = remote.checksum.difference(part, bytes, tick)? else {
            return Ok(());
        };
        file.set_len(0).map_err(DataError::io("write", part))?;
        // The partial file may have belonged to a different file.
        if before == 0 || retries == 0 {
            return Err(Failure::Source(difference));
        }
        retries -= 1;
    }
}

fn length(file: &File, part: &Path) -> Result<u64, DataError> {
    Ok(file.metadata().map_err(DataError::io("read", part))?.len())
}

/// Requests the missing rest of `file`.
fn transfer(
    remote: &Remote<'_>,
    part: &Path,
    file: &mut File,
    monitor: &mut Monitor<'_>,
) -> Result<(), Failure> {
    let mut done = length(file, part)?;
    if remote.bytes == Some(done) {
        return Ok(());
    }
    let before = done;
    if remote.bytes.is_some_and(|bytes| done > bytes) {
        done = 0;
    }
    monitor.progress(Stage::Download, done, remote.bytes)?;
    // Use the system's certificates: they include those of a corporate proxy.
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let agent: Agent = Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_resolve(Some(TIMEOUT))
        .timeout_connect(Some(TIMEOUT))
        .timeout_recv_response(Some(TIMEOUT))
        .timeout_per_read(Some(TIMEOUT))
        .build()
        .into();
    let mut request = agent.get(remote.url);
    if done > 0 {
        request = request.header("Range", format!("bytes={done}-"));
    }
    let response = request.call().map_err(|error| Failure::Source(error.to_string()))?;
    match response.status() {
        StatusCode::PARTIAL_CONTENT if done > 0 => {
            let range = response.headers().get("content-range");
            let range = range.and_then(|range| range.to_str().ok()).unwrap_or("nothing");
            if !range.starts_with(&format!("bytes {done}-")) {
                return Err(Failure::Source(format!("requested bytes from {done}, got {range}")));
            }
        }
        // There is no more of it.
        StatusCode::RANGE_NOT_SATISFIABLE if done > 0 && remote.bytes.is_none() => return Ok(()),
        // The server ignored the range and sends the whole file.
        StatusCode::OK => done = 0,
        status => return Err(Failure::Source(format!("the server responded {status}"))),
    }
    let mut body = response.into_body();
    // Check the length first, so that a wrong response does not destroy the partial file.
    let stated = body.content_length().map(|length| done.saturating_add(length));
    let wrong = |&got: &u64| match remote.bytes {
        Some(bytes) => got != bytes,
        None => got < before || got > MOST,
    };
    if let Some(got) = stated.filter(wrong) {
        let expected = match remote.bytes {
            Some(bytes) => bytes.to_string(),
            None => format!("{before} to {MOST}"),
        };
        return Err(Failure::Source(format!("expected {expected} bytes, got {got}")));
    }
    let total = remote.bytes.or(stated);
    file.set_len(done)
        .and_then(|()| file.seek(SeekFrom::Start(done)))
        .map_err(DataError::io("write", part))?;
    let mut body = body.as_reader();
    let mut chunk = vec![0; CHUNK];
    let of_total = |done: u64| match total {
        Some(total) => format!("{done} of {total} bytes"),
        None => format!("{done} bytes"),
    };
    loop {
        let n = body
            .read(&mut chunk)
            .map_err(|error| Failure::Source(format!("{error} after {}", of_total(done))))?;
        if n == 0 {
            break;
        }
        done += n as u64;
        let most = total.unwrap_or(MOST);
        if done > most {
            return Err(Failure::Source(format!("the response is longer than {most} bytes")));
        }
        file.write_all(&chunk[..n]).map_err(DataError::io("write", part))?;
        monitor.progress(Stage::Download, done, total)?;
    }
    match total {
        Some(total) if done < total => {
            Err(Failure::Source(format!("the response ended after {}", of_total(done))))
        }
        _ => Ok(()),
    }
}
