//! A process among others.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    CommError, Wire,
    pool::Pool,
    reactor::{self, Command, Reply, Sums},
    transport::Transport,
};

/// A process's place in a group, and its way to the others.
///
/// All processes call the same methods in the same order, except for [`Group::abort`] and [`Group::watch`].
#[derive(Debug)]
pub struct Group {
    rank: usize,
    size: usize,
    /// How many of the processes are on this machine.
    local_size: usize,
    timeout: Option<Duration>,
    /// None for a process alone.
    thread: Option<Thread>,
}

/// The thread that communicates.
#[derive(Debug)]
struct Thread {
    commands: Sender<Command>,
    handle: JoinHandle<()>,
    pool: Arc<Pool>,
}

/// The sums of values over all processes, which may be under way.
#[derive(Debug)]
pub struct Sum {
    wire: Wire,
    sums: Receiver<Result<Sums, CommError>>,
}

impl Sum {
    /// Waits for them.
    ///
    /// # Errors
    /// If processes cannot go on together.
    pub fn wait(self) -> Result<Vec<f32>, CommError> {
        let wire = self.wire;
        let bytes =
            self.wait_for_bytes()?.iter().flat_map(|piece| &**piece).copied().collect::<Vec<u8>>();
        let mut values = vec![0.0; bytes.len() / wire.size()];
        wire.decode(&bytes, &mut values);
        Ok(values)
    }

    /// The same as they travel, in pieces.
    pub(crate) fn wait_for_bytes(self) -> Result<Sums, CommError> {
        self.sums.recv().unwrap_or(Err(CommError::Ended))
    }
}

impl Group {
    /// A process alone. What it sends, it has.
    pub const fn alone() -> Group {
        Group { rank: 0, size: 1, local_size: 1, timeout: None, thread: None }
    }

    /// Starts the thread that communicates. The thread makes the transport, and every call of it.
    ///
    /// # Errors
    /// If the transport cannot be made.
    pub fn start<T: Transport, E: Send + From<CommError> + 'static>(
        make: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<Group, E> {
        let (commands, received) = mpsc::channel();
        let (sender, made) = mpsc::channel();
        let pool = Arc::<Pool>::default();
        let of_thread = Arc::clone(&pool);
        let work = move || match make() {
            Ok(transport) => {
                let _ = sender.send(Ok((transport.rank(), transport.size())));
                reactor::run(transport, received, of_thread);
            }
            Err(error) => drop(sender.send(Err(error))),
        };
        let handle = thread::Builder::new().name("communication".to_owned()).spawn(work);
        let handle = handle.map_err(|error: io::Error| {
            CommError::Transport(format!("no thread for communication: {error}"))
        })?;
        let made = made.recv().unwrap_or_else(|_| Err(CommError::Ended.into()));
        let (rank, size) = made?;
        let thread = Some(Thread { commands, handle, pool });
        Ok(Group { rank, size, local_size: size, timeout: None, thread })
    }

    /// The number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many of the processes share this machine, this one among them; all if that is not known.
    pub fn local_size(&self) -> usize {
        self.local_size
    }

    /// Whether this process speaks for the group: process 0.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// The same with a limit on how long nothing may arrive while something is expected, once it
    /// [watches](Group::watch). Without a limit it waits for ever.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Group {
        Group { timeout: Some(timeout), ..self }
    }

    /// The same with only this many of the processes on this machine.
    #[must_use]
    pub fn with_local_size(self, local_size: usize) -> Group {
        Group { local_size, ..self }
    }

    /// From now on, communication fails after the timeout. Before that, others may take any time to begin.
    pub fn watch(&self) {
        self.tell(Command::Timeout(self.timeout));
    }

    /// The bytes of process 0.
    ///
    /// # Errors
    /// If processes cannot go on together.
    pub fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, CommError> {
        if self.size == 1 {
            return Ok(bytes);
        }
        self.ask(|reply| Command::Broadcast { bytes, reply })
    }

    /// At process 0 the bytes of all, by rank; elsewhere nothing.
    ///
    /// # Errors
    /// If processes cannot go on together.
    pub fn gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, CommError> {
        if self.size == 1 {
            return Ok(vec![bytes]);
        }
        self.ask(|reply| Command::Gather { bytes, reply })
    }

    /// The bytes of all, by rank.
    ///
    /// # Errors
    /// If processes cannot go on together.
    pub fn exchange(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, CommError> {
        if self.size == 1 {
            return Ok(vec![bytes]);
        }
        self.ask(|reply| Command::Exchange { bytes, reply })
    }

    /// Starts to add up values over all processes, in the [tree](crate::tree).
    pub fn sum(&self, mut values: Vec<f32>, wire: Wire) -> Sum {
        wire.round(&mut values);
        let mut bucket =
            self.pool().map_or_else(Vec::new, |pool| pool.empty(wire.size() * values.len()));
        wire.encode(&values, &mut bucket);
        self.sum_bytes(bucket, wire)
    }

    /// The same of values as they travel.
    pub(crate) fn sum_bytes(&self, bucket: Vec<u8>, wire: Wire) -> Sum {
        let (reply, sums) = mpsc::channel();
        if self.size == 1 {
            let _ = reply.send(Ok(vec![Arc::new(bucket)]));
        } else {
            self.tell(Command::Sum { bucket, wire, reply });
        }
        Sum { wire, sums }
    }

    /// Memory for messages; none for a process alone, which has no messages.
    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.thread.as_ref().map(|thread| &*thread.pool)
    }

    /// Ends the group in order, before this process exits with `code`.
    ///
    /// # Errors
    /// If processes cannot go on together.
    pub fn finish(mut self, code: i32) -> Result<(), CommError> {
        if self.thread.is_some() {
            self.ask(|reply| Command::Finish { code, reply })?;
        }
        if let Some(Thread { commands, handle, .. }) = self.thread.take() {
            drop(commands);
            handle.join().map_err(|_| CommError::Ended)?;
        }
        Ok(())
    }

    /// Ends all processes after an error, as far as the transport can. The caller then exits with `code`.
    pub fn abort(&self, code: i32) {
        let _ = self.ask(|reply| Command::Abort { code, reply });
    }

    fn tell(&self, command: Command) {
        if let Some(thread) = &self.thread {
            // If the thread has ended, the next reply says so.
            let _ = thread.commands.send(command);
        }
    }

    fn ask<A>(&self, command: impl FnOnce(Reply<A>) -> Command) -> Result<A, CommError> {
        let (reply, answer) = mpsc::channel();
        self.tell(command(reply));
        answer.recv().unwrap_or(Err(CommError::Ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_process;

    #[test]
    fn only_the_buffers_of_sums_are_kept() {
        let processes = in_process(2).into_iter().map(|transport| {
            thread::spawn(move || {
                let group = Group::start(move || Ok::<_, CommError>(transport)).unwrap();
                for _ in 0..10 {
                    group.gather(vec![1; 100]).unwrap();
                    group.broadcast(vec![1; 100]).unwrap();
                }
                group.sum(vec![1.0; 1000], Wire::Fp32).wait().unwrap();
                let pool = group.thread.as_ref().map(|thread| Arc::clone(&thread.pool));
                group.finish(0).unwrap();
                pool.unwrap().capacities()
            })
        });
        let processes: Vec<_> = processes.collect();
        for process in processes {
            let kept = process.join().unwrap();
            // A process has half of the sum.
            assert!(!kept.is_empty() && kept.iter().all(|&bytes| bytes >= 2000), "{kept:?}");
        }
    }
}
