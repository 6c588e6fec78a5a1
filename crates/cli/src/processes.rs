//! The processes that share a run, as a launcher (`mpirun`, `srun`) started them.

use std::{
    fmt,
    process::{self, ExitCode},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use resnet::{
    config::TrainConfig,
    train::{CommError, Group, TrainError},
};
use resnet_mpi::{Launch, Mpi, MpiError, launched};

use crate::{
    cores,
    error::{self, Usage},
    interrupt::Interrupted,
    print,
};

/// The exit code after `--comm-timeout`, `EX_TEMPFAIL`: the same command may work later.
const NO_ANSWER: u8 = 75;

/// How long another process waits for process 0 to say what is wrong, if it knows, and to save the run.
const PATIENCE: Duration = Duration::from_secs(5);

/// The processes that a launcher started with this one; this one alone if none did.
///
/// # Errors
/// If there is no MPI library of the launcher.
pub(crate) fn group() -> anyhow::Result<Group> {
    let Some(launch) = launched().filter(|launch| launch.size != Some(1)) else {
        return Ok(Group::alone());
    };
    let here = cores::on_this_machine(&launch);
    let group = Group::start(move || match Mpi::start(&launch) {
        Err(MpiError::Size { .. }) if leaves_it_to_process_0(&launch) => {
            thread::sleep(PATIENCE);
            process::exit(1)
        }
        started => anyhow::Ok(started?),
    })?;
    Ok(group.with_local_size(here))
}

/// Whether process 0 says for this one that processes do not find each other. Where the launcher does not give their
/// number, process 0 takes itself for the only one.
fn leaves_it_to_process_0(launch: &Launch) -> bool {
    launch.rank > 0 && launch.size.is_some()
}

/// Refuses a launcher's processes for a verb that is one process: each would do all of it, and write the same files.
///
/// # Errors
/// [`Usage`] in the first of several processes. The others end without a word, with the same exit code.
pub(crate) fn refuse_several(verb: &str) -> Result<(), Usage> {
    let Some(launch) = launched().filter(|launch| launch.size.is_some_and(|size| size > 1)) else {
        return Ok(());
    };
    if launch.rank > 0 {
        // A launcher may end all at the first that fails.
        thread::sleep(PATIENCE);
        process::exit(2);
    }
    Err(Usage(format!("`{verb}` is one process: start it without the launcher")))
}

/// What process 0 tells the others of a run: its configuration, the names of its photos, and what they do with it.
pub(crate) struct Announcement {
    /// Whether they train it. Otherwise they measure its speed, and wait for the next announcement of the same data.
    pub(crate) trains: bool,
    pub(crate) config: TrainConfig,
    /// The contents of the run's [`PHOTOS`](resnet::run::PHOTOS); empty without photos.
    pub(crate) photos: Vec<u8>,
}

impl Announcement {
    /// Tells the others.
    pub(crate) fn send(self, group: &Group) -> anyhow::Result<()> {
        let config = toml::to_string(&self.config).context("the configuration is no TOML")?;
        group.broadcast(vec![self.trains.into()])?;
        group.broadcast(config.into_bytes())?;
        group.broadcast(self.photos)?;
        Ok(())
    }

    /// Waits for what process 0 tells.
    pub(crate) fn receive(group: &Group) -> anyhow::Result<Announcement> {
        let trains = group.broadcast(Vec::new())? == [1];
        let config = String::from_utf8(group.broadcast(Vec::new())?);
        let config = config.context("process 0 sent no configuration")?;
        let config = toml::from_str(&config).context("process 0 sent another configuration")?;
        Ok(Announcement { trains, config, photos: group.broadcast(Vec::new())? })
    }
}

/// Ends the processes of a group after what one of them came to. That nobody reads the results of process 0, which
/// come last, is success.
pub(crate) fn end(group: Group, result: anyhow::Result<u8>) -> anyhow::Result<ExitCode> {
    if group.size() == 1 {
        let code = result?;
        group.finish(code.into())?;
        return Ok(code.into());
    }
    let rank = group.rank();
    let result = match result {
        Err(error) if error::is_closed_pipe(&error) => Ok(0),
        result => result,
    };
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
    let lost = match error.downcast_ref::<TrainError>() {
        Some(TrainError::Communication(error) | TrainError::Link { source: error, .. }) => {
            Some(error)
        }
        _ => error.downcast_ref::<CommError>(),
    };
    let code = lost.map_or_else(|| error::exit_code(&error), code_of_lost);
    let (waits, speaks) = waits_and_speaks(rank, &error);
    if waits {
        thread::sleep(PATIENCE);
    }
    if speaks {
        print_of(rank, &error);
    }
    group.abort(code.into());
    Ok(code.into())
}

/// Whether a process with an error first waits for process 0 to say it and end them all, and whether it says it
/// itself then.
fn waits_and_speaks(rank: usize, error: &anyhow::Error) -> (bool, bool) {
    let of_training = error.downcast_ref::<TrainError>();
    let all_know = error.is::<Interrupted>()
        || matches!(
            of_training,
            Some(TrainError::Processes(_) | TrainError::Shards(_) | TrainError::Diverged { .. })
        );
    // Process 0 may miss its photos too, and is saving the run, or have too little memory; or it waits for what others
    // report, perhaps for longer; or it has lost the same process, and says what to resume.
    let all_may_know = error.is::<Reported>()
        || matches!(
            of_training,
            Some(
                TrainError::Images(_)
                    | TrainError::Engine(_)
                    | TrainError::Memory { .. }
                    | TrainError::Link { .. }
            )
        );
    (rank > 0 && (all_know || all_may_know), rank == 0 || !all_know)
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

/// What is wrong with this process, which it has reported to process 0.
#[derive(Debug)]
pub(crate) struct Reported(String);

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reported {}

/// Reports to process 0 whether this process has loaded the data of the run.
///
/// # Errors
/// [`Reported`] if it has not, or [`Interrupted`].
pub(crate) fn tell_loaded<T>(group: &Group, loaded: anyhow::Result<T>) -> anyhow::Result<T> {
    group.gather(loaded.as_ref().err().map_or_else(Vec::new, reason))?;
    loaded.map_err(|error| match error.is::<Interrupted>() {
        true => error,
        false => Reported(error::message(&error)).into(),
    })
}

/// Waits until all have loaded the data.
///
/// # Errors
/// If a process has not: what it says, or [`Interrupted`].
pub(crate) fn check_loaded(group: &Group) -> anyhow::Result<()> {
    check_reasons(&group.gather(Vec::new())?)
}

/// Why a process has not loaded the data, in bytes: the number of a signal, or 0 and a text.
fn reason(error: &anyhow::Error) -> Vec<u8> {
    match error.downcast_ref::<Interrupted>() {
        Some(&Interrupted(signal)) => vec![signal as u8],
        None => [&[0_u8][..], error::message(error).as_bytes()].concat(),
    }
}

/// Fails by the first of the processes' [`reason`]s, which are empty where there is none.
fn check_reasons(reasons: &[Vec<u8>]) -> anyhow::Result<()> {
    for (rank, reason) in reasons.iter().enumerate() {
        match reason.split_first() {
            None => {}
            Some((0, text)) => bail!("process {rank}: {}", String::from_utf8_lossy(text)),
            Some((&signal, _)) => return Err(Interrupted(signal.into()).into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use resnet::{data::DataError, engine::EngineError};
    use resnet_mpi::Launcher;

    use super::*;

    #[test]
    fn a_signal_while_data_are_loaded_keeps_its_exit_code() {
        assert!(check_reasons(&[vec![], vec![]]).is_ok());
        let signal = reason(&Interrupted(15).into());
        let error = check_reasons(&[vec![], signal]).unwrap_err();
        assert_eq!(error::exit_code(&error), 143);
        let text = reason(&anyhow!("no photos"));
        let error = check_reasons(&[vec![], vec![], text]).unwrap_err();
        assert_eq!(error::exit_code(&error), 1);
        assert_eq!(error.to_string(), "process 2: no photos");
    }

    #[test]
    fn process_0_says_what_all_know_and_saves_before() {
        let all_know = TrainError::Processes("other images".to_owned()).into();
        assert_eq!(waits_and_speaks(0, &all_know), (false, true));
        assert_eq!(waits_and_speaks(1, &all_know), (true, false));
        // Perhaps only this process misses photos.
        let all_may_know = TrainError::Images(DataError::NoneUsable { photos: 3 }).into();
        assert_eq!(waits_and_speaks(0, &all_may_know), (false, true));
        assert_eq!(waits_and_speaks(1, &all_may_know), (true, true));
        // Perhaps only its machine is too small.
        let all_may_know = TrainError::Engine(EngineError::CpuOnly("it")).into();
        assert_eq!(waits_and_speaks(0, &all_may_know), (false, true));
        assert_eq!(waits_and_speaks(1, &all_may_know), (true, true));
        // Perhaps only this process has lost another.
        let link = TrainError::Link {
            source: CommError::Ended,
            hosts: Vec::new(),
            epoch: 1,
            step: 1,
            resume: None,
        };
        let link = link.into();
        assert_eq!(waits_and_speaks(0, &link), (false, true));
        assert_eq!(waits_and_speaks(1, &link), (true, true));
        assert_eq!(waits_and_speaks(1, &anyhow!("no memory")), (false, true));
    }

    #[test]
    fn processes_that_do_not_find_each_other_say_so_once_if_process_0_can() {
        let launch = |rank, size| Launch {
            launcher: Launcher::Pmix,
            size,
            rank,
            local_rank: None,
            local_size: None,
        };
        assert!(!leaves_it_to_process_0(&launch(0, Some(2))));
        assert!(leaves_it_to_process_0(&launch(1, Some(2))));
        assert!(!leaves_it_to_process_0(&launch(1, None)));
    }
}
