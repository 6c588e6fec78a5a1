//! Every process sends messages to every other; started by `mpirun`. The tests of this crate run it.
//!
//! `ring` checks contents; `ring 10` sends a message of 10 bytes where 100 are expected; `ring abort` ends the
//! group by an error of process 1; `ring leave` lets process 1 go without a word.

use std::{env, ops::Range, process::ExitCode, sync::Arc, thread, time::Duration};

use resnet_comm::{CommError, Completed, Transport};
use resnet_mpi::{Mpi, launched};

/// Tags of the messages in the order in which they are sent, and their lengths.
const MESSAGES: [(u16, usize); 7] =
    [(5, 5 << 20), (0, 0), (32_767, 1), (5, 1000), (7, 0), (1, (5 << 20) + 1), (0, 3)];

/// The order in which they are expected: not theirs, but the same for one tag.
const EXPECTED: [usize; 7] = [5, 1, 4, 0, 2, 3, 6];

/// Bytes in front of a message in its buffer.
const BEFORE: usize = 3;

fn main() -> ExitCode {
    let Some(launch) = launched() else {
        eprintln!("no launcher");
        return ExitCode::from(2);
    };
    let mut mpi = match Mpi::start(&launch) {
        Ok(mpi) => mpi,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(3);
        }
    };
    assert_eq!(mpi.rank(), launch.rank);
    let result = match env::args().nth(1).as_deref() {
        None => ring(&mut mpi),
        Some("abort") if mpi.rank() == 1 => {
            Err(CommError::Transport("process 1 gives up".to_owned()))
        }
        Some("leave") if mpi.rank() == 1 => return ExitCode::from(9),
        Some(how) => match how.parse() {
            Ok(length) => unequal(&mut mpi, length),
            Err(_) => wait(&mut mpi),
        },
    };
    let end = result.and_then(|line| mpi.finish(1).map(|()| line));
    match end {
        Ok(line) => println!("{line}"),
        Err(error) => {
            eprintln!("{error}");
            mpi.abort(75);
        }
    }
    ExitCode::SUCCESS
}

fn contents(from: usize, to: usize, message: usize) -> Vec<u8> {
    let start = from * 31 + to * 17 + message * 7;
    (0..MESSAGES[message].1).map(|i| ((start + i) % 251) as u8).collect()
}

fn ring(mpi: &mut Mpi) -> Result<String, CommError> {
    let (rank, size) = (mpi.rank(), mpi.size());
    let others = || (0..size).filter(move |&other| other != rank);
    let mut expected = Vec::new();
    let mut sent = Vec::new();
    let mut send = |mpi: &mut Mpi, messages: Range<usize>| {
        for (other, message) in others().flat_map(|other| messages.clone().map(move |m| (other, m)))
        {
            let mut bytes = vec![99; BEFORE];
            bytes.extend(contents(rank, other, message));
            bytes.push(99);
            let range = BEFORE..bytes.len() - 1;
            sent.push(mpi.send(other, MESSAGES[message].0, &Arc::new(bytes), range)?);
        }
        Ok::<_, CommError>(())
    };
    // Some are sent before anything is expected, some after.
    send(mpi, 0..3)?;
    for other in others() {
        for message in EXPECTED {
            let (tag, length) = MESSAGES[message];
            expected.push((mpi.receive(other, tag, vec![0; length])?, other, message));
        }
    }
    send(mpi, 3..7)?;
    let mut bytes = 0;
    while !expected.is_empty() || !sent.is_empty() {
        for Completed { ticket, received } in next(mpi)? {
            let Some(received) = received else {
                sent.retain(|sent| *sent != ticket);
                continue;
            };
            let at = expected.iter().position(|(expected, ..)| *expected == ticket);
            let (_, other, message) =
                expected.swap_remove(at.expect("a message that was expected"));
            assert!(received == contents(other, rank, message), "message {message} from {other}");
            bytes += received.len();
        }
    }
    Ok(format!("process {rank} of {size}: {bytes} bytes, {}", mpi.library_version()))
}

/// What is complete next; of several, all.
fn next(mpi: &mut Mpi) -> Result<Vec<Completed>, CommError> {
    let mut completed = Vec::new();
    while completed.is_empty() {
        mpi.poll(&mut completed)?;
        thread::sleep(Duration::from_micros(50));
    }
    Ok(completed)
}

/// Process 0 expects 100 bytes, and process 1 sends it `length`.
fn unequal(mpi: &mut Mpi, length: usize) -> Result<String, CommError> {
    if mpi.rank() == 0 {
        mpi.receive(1, 3, vec![0; 100])?;
    } else {
        mpi.send(0, 3, &Arc::new(vec![1; length]), 0..length)?;
        next(mpi)?;
    }
    wait(mpi)
}

/// Waits for a message that nobody sends.
fn wait(mpi: &mut Mpi) -> Result<String, CommError> {
    let other = usize::from(mpi.rank() == 0);
    mpi.receive(other, 4, vec![0; 1])?;
    next(mpi)?;
    Ok("a message came".to_owned())
}
