//! From errors to messages and exit codes.

use std::{io, path::Path, process::ExitCode};

use anstyle::{AnsiColor, Style};
use resnet::train::TrainError;
use resnet_formats::{Destination, Shown, printable};

use crate::{interrupt::Interrupted, print};

/// Wrong usage that the argument parser cannot detect: exit code 2, as for its own errors.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Refuses stdout as the file of an option, where results are printed too.
pub(crate) fn refuse_stdout(option: &str, file: Option<&Path>) -> Result<(), Usage> {
    match file.filter(|file| Destination::Follow(file).is_stdout()) {
        Some(file) => {
            let message = format!("{} is stdout, where the results go", file.shown());
            Err(Usage(format!("{option}: {message}: name a file")))
        }
        None => Ok(()),
    }
}

/// Prints an error and returns the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    print_error(error);
    ExitCode::from(exit_code(error))
}

/// Whether it is that stdout is closed (`resnet archs | head -1`), which is success.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(is_broken_pipe)
}

/// The exit code of an error.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Interrupted>() {
        Some(interrupted) => interrupted.exit_code(),
        None if error.is::<Usage>() => 2,
        // The option is the launcher's.
        None if matches!(error.downcast_ref::<TrainError>(), Some(TrainError::Shards(_))) => 2,
        None => 1,
    }
}

/// Prints an error.
pub(crate) fn print_error(error: &anyhow::Error) {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    print::status(format!("{red}error:{red:#} {}", printable(&message(error))));
}

/// The error and its causes. A cause that the text already contains is left out.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
        || error
            .downcast_ref::<serde_json::Error>()
            .is_some_and(|e| e.io_error_kind() == Some(io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use resnet::data::DataError;

    use super::*;

    #[test]
    fn a_cause_is_printed_once() {
        let cause = io::Error::other("no space");
        let error = anyhow::Error::from(cause).context("run/last: no space").context("saving");
        assert_eq!(message(&error), "saving: run/last: no space");
    }

    #[test]
    fn a_source_is_known_and_printed_once() {
        let cause = || io::Error::other("no process is left");
        let errors: [anyhow::Error; 2] =
            [TrainError::Loader(cause()).into(), DataError::Threads(cause()).into()];
        for error in errors {
            assert!(error.root_cause().is::<io::Error>(), "{error}");
            assert_eq!(message(&error), error.to_string());
            assert_eq!(message(&error).matches("no process is left").count(), 1);
        }
    }

    #[test]
    fn a_broken_pipe_is_found_under_its_context() {
        let pipe: io::Result<()> = Err(io::ErrorKind::BrokenPipe.into());
        assert!(is_closed_pipe(&pipe.context("printing").unwrap_err()));
    }
}
