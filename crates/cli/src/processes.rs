//! The processes that share a run, as a launcher (`mpirun`, `srun`) started them.

use std::{fmt, process::ExitCode, thread, time::Duration};

use anyhow::{Context, bail};
use resnet::{
    config::TrainConfig,
    train::{CommError, Group, TrainError},
};
use resnet_mpi::{Mpi, MpiError, launched};

use crate::{error, print};

/// The exit code after `--comm-timeout`, `EX_TEMPFAIL`: the same command may work later.
const NO_ANSWER: u8 = 75;

/// How long another process waits for process 0 to say what is wrong, if all know it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The processes that a launcher started with this one; this one alone if none did.
///
/// # Errors
/// If there is no MPI library of the launcher.
pub(crate) fn group() -> anyhow::Result<Group> {
    match launched() {
        Some(launch) if launch.size != Some(1) => Group::start(move || match Mpi::start(&launch) {
            // The first of those that do not find each other says so for all.
            Err(MpiError::Size { .. }) if launch.rank > 0 => std::process::exit(1),
            started => Ok(started?),
        }),
        _ => Ok(Group::alone()),
    }
}

/// What process 0 tells the others of a run: its configuration, and the names of its photos.
pub(crate) struct Announcement {
    pub(crate) config: TrainConfig,
    /// The contents of the run's [`PHOTOS`](resnet::run::PHOTOS); empty without photos.
    pub(crate) photos: Vec<u8>,
}

impl Announcement {
    /// Tells the others.
    pub(crate) fn send(&self, group: &Group) -> anyhow::Result<()> {
        let config = toml::to_string(&self.config).context("the configuration is no TOML")?;
        group.broadcast(config.into_bytes())?;
        group.broadcast(self.photos.clone())?;
        Ok(())
    }

    /// Waits for what process 0 tells.
    pub(crate) fn receive(group: &Group) -> anyhow::Result<Announcement> {
        let config = String::from_utf8(group.broadcast(Vec::new())?);
        let config = config.context("process 0 sent no configuration")?;
        let config = toml::from_str(&config).context("process 0 sent another configuration")?;
        Ok(Announcement { config, photos: group.broadcast(Vec::new())? })
    }
}

/// Ends the processes of a group after what one of them came to.
pub(crate) fn end(group: Group, result: anyhow::Result<u8>) -> anyhow::Result<ExitCode> {
    if group.size() == 1 {
        let code = result?;
        group.finish(code.into())?;
        return Ok(code.into());
    }
    let rank = group.rank();
    let error = match result {
        Ok(code) => match group.finish(code.into()) {
            Ok(()) => return Ok(code.into()),
            // The others have ended, or will: there is no group to abort.
            Err(error) => {
                let code = code_of_lost(&error);
                print_of(rank, &error.into());
                return Ok(code.into());
            }
        },
        Err(error) => error,
    };
    let is_known_to_all = error.is::<Told>()
        || matches!(
            error.downcast_ref::<TrainError>(),
            Some(TrainError::Processes(_) | TrainError::Diverged { .. })
        );
    let lost = match error.downcast_ref::<TrainError>() {
        Some(TrainError::Communication(error)) => Some(error),
        _ => error.downcast_ref::<CommError>(),
    };
    let code = lost.map_or_else(|| error::exit_code(&error), code_of_lost);
    match rank > 0 && is_known_to_all {
        true => thread::sleep(PATIENCE),
        false => print_of(rank, &error),
    }
    group.abort(code.into());
    Ok(code.into())
}

/// The exit code where processes cannot go on together: the same command may work later, unless they are of
/// several versions.
fn code_of_lost(error: &CommError) -> u8 {
    if matches!(error, CommError::Length { .. }) { 1 } else { NO_ANSWER }
}

fn print_of(rank: usize, error: &anyhow::Error) {
    if rank > 0 {
        print::status(format!("process {rank}:"));
    }
    error::print_error(error);
}

/// What is wrong with this process, which it has told process 0.
#[derive(Debug)]
pub(crate) struct Told(String);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Told {}

/// Tells process 0 whether this process has loaded the data of the run.
///
/// # Errors
/// [`Told`] if it has not.
pub(crate) fn tell_loaded<T>(group: &Group, loaded: anyhow::Result<T>) -> anyhow::Result<T> {
    let text = loaded.as_ref().err().map_or_else(String::new, error::message);
    group.gather(text.clone().into_bytes())?;
    loaded.map_err(|_| Told(text).into())
}

/// Waits until all have loaded the data.
///
/// # Errors
/// If a process has not: what it says.
pub(crate) fn check_loaded(group: &Group) -> anyhow::Result<()> {
    let all = group.gather(Vec::new())?;
    match all.iter().enumerate().find(|(_, text)| !text.is_empty()) {
        None => Ok(()),
        Some((rank, text)) => bail!("process {rank}: {}", String::from_utf8_lossy(text)),
    }
}
