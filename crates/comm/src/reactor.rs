//! The thread that communicates.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use crate::{
    CommError, Wire,
    pool::Pool,
    reduction::{Adder, Reduction},
    transport::{Completed, Ticket, Transport},
};

mod collectives;

/// What the thread is asked to do. All processes ask for the same in the same order, except for the last two.
pub(crate) enum Command {
    /// Adds up values over all processes.
    Sum { bucket: Vec<u8>, wire: Wire, reply: Reply<Sums> },
    /// Sends the bytes of process 0 to all.
    Broadcast { bytes: Vec<u8>, reply: Reply<Vec<u8>> },
    /// Brings the bytes of all to process 0.
    Gather { bytes: Vec<u8>, reply: Reply<Vec<Vec<u8>>> },
    /// Brings the bytes of all to all.
    Exchange { bytes: Vec<u8>, reply: Reply<Vec<Vec<u8>>> },
    /// Ends the group in order.
    Finish { code: i32, reply: Reply<()> },
    /// How long nothing may arrive while something is expected.
    Timeout(Option<Duration>),
    /// Ends all processes.
    Abort { code: i32, reply: Reply<()> },
}

/// The sums of each process's piece of a bucket, as they travel.
pub(crate) type Sums = Vec<Arc<Vec<u8>>>;

pub(crate) type Reply<T> = Sender<Result<T, CommError>>;

/// The shortest and the longest time between two looks at what has arrived.
const PAUSE: [Duration; 2] = [Duration::from_micros(50), Duration::from_micros(500)];

/// How long it looks on when nothing is under way any more: what was sent may still be in the transport's buffers.
const LINGER: Duration = Duration::from_millis(100);

/// The largest number of tags; every MPI has as many.
const TAGS: u64 = 1 << 15;

/// A message that is under way.
struct Message {
    /// The process at its other end.
    with: usize,
    /// The sum that it belongs to, and the step of that.
    of_sum: Option<(u64, Step)>,
    /// What is sent.
    sent: Option<Arc<Vec<u8>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Part,
    Sum,
}

struct Reactor<T> {
    transport: T,
    commands: Receiver<Command>,
    under_way: HashMap<Ticket, Message>,
    /// Messages that no sum has taken.
    arrived: HashMap<Ticket, Vec<u8>>,
    sums: VecDeque<(u64, Reduction, Reply<Sums>)>,
    adder: Adder,
    pool: Arc<Pool>,
    /// Number of the next command that sends.
    next: u64,
    timeout: Option<Duration>,
    /// When something last arrived, or was first expected.
    last: Instant,
}

/// Does what it is asked until the group ends.
pub(crate) fn run(transport: impl Transport, commands: Receiver<Command>, pool: Arc<Pool>) {
    let mut reactor = Reactor {
        transport,
        commands,
        under_way: HashMap::new(),
        arrived: HashMap::new(),
        sums: VecDeque::new(),
        adder: Adder::default(),
        pool,
        next: 0,
        timeout: None,
        last: Instant::now(),
    };
    if let Err(error) = reactor.serve() {
        reactor.fail(&error);
    }
}

impl<T: Transport> Reactor<T> {
    fn serve(&mut self) -> Result<(), CommError> {
        let mut pause = PAUSE[0];
        loop {
            let is_idle = self.under_way.is_empty() && self.last.elapsed() > LINGER;
            let command = match is_idle {
                true => self.commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => self.commands.recv_timeout(pause),
            };
            match command {
                Ok(Command::Sum { bucket, wire, reply }) => self.start_sum(bucket, wire, reply)?,
                Ok(Command::Broadcast { bytes, reply }) => {
                    let bytes = self.broadcast(bytes)?;
                    let _ = reply.send(Ok(bytes));
                }
                Ok(Command::Gather { bytes, reply }) => {
                    let all = self.gather(bytes)?;
                    let _ = reply.send(Ok(all));
                }
                Ok(Command::Exchange { bytes, reply }) => {
                    let all = self.exchange(bytes)?;
                    let _ = reply.send(Ok(all));
                }
                Ok(Command::Timeout(timeout)) => {
                    (self.timeout, self.last) = (timeout, Instant::now())
                }
                Ok(Command::Finish { code, reply }) => {
                    // Process 0 may still be writing what the others no longer wait for.
                    if let Err(error) = self.exchange(Vec::new()) {
                        let _ = reply.send(Err(error.clone()));
                        return Err(error);
                    }
                    while !self.under_way.is_empty() {
                        self.wait()?;
                    }
                    let _ = reply.send(self.transport.finish(code));
                    return Ok(());
                }
                Ok(Command::Abort { code, reply }) => {
                    self.transport.abort(code);
                    let _ = reply.send(Ok(()));
                    return Ok(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The group was dropped.
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            let moved = self.poll()?;
            pause = if moved { PAUSE[0] } else { (2 * pause).min(PAUSE[1]) };
        }
    }

    /// After an error nothing is sent any more: all that is asked for fails.
    fn fail(&mut self, error: &CommError) {
        for (_, _, reply) in self.sums.drain(..) {
            let _ = reply.send(Err(error.clone()));
        }
        for command in self.commands.iter() {
            let error = Err(error.clone());
            // Nobody may be waiting any more.
            let _ = match command {
                Command::Sum { reply, .. } => reply.send(error.map(|()| Vec::new())).is_ok(),
                Command::Broadcast { reply, .. } => reply.send(error.map(|()| Vec::new())).is_ok(),
                Command::Gather { reply, .. } | Command::Exchange { reply, .. } => {
                    reply.send(error.map(|()| Vec::new())).is_ok()
                }
                Command::Finish { reply, .. } => reply.send(error).is_ok(),
                Command::Timeout(_) => true,
                Command::Abort { code, reply } => {
                    self.transport.abort(code);
                    let _ = reply.send(Ok(()));
                    return;
                }
            };
        }
    }

    fn tag(number: u64, step: Step) -> u16 {
        ((2 * number + u64::from(step == Step::Sum)) % TAGS) as u16
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn send(
        &mut self,
        to: usize,
        tag: u16,
        bytes: &Arc<Vec<u8>>,
        range: std::ops::Range<usize>,
        of_sum: Option<(u64, Step)>,
    ) -> Result<(), CommError> {
        let ticket = self.transport.send(to, tag, bytes, range)?;
        self.add(ticket, Message { with: to, of_sum, sent: Some(Arc::clone(bytes)) });
        Ok(())
    }

    fn receive(
        &mut self,
        from: usize,
        tag: u16,
        len: usize,
        of_sum: Option<(u64, Step)>,
    ) -> Result<Ticket, CommError> {
        // The pool is for large messages; small ones would take its buffers.
        let buffer = if of_sum.is_some() { self.pool.filled(len) } else { vec![0; len] };
        let ticket = self.transport.receive(from, tag, buffer)?;
        self.add(ticket, Message { with: from, of_sum, sent: None });
        Ok(ticket)
    }

    fn add(&mut self, ticket: Ticket, message: Message) {
        if self.under_way.is_empty() {
            self.last = Instant::now();
        }
        self.under_way.insert(ticket, message);
    }

    fn others(&self) -> impl Iterator<Item = usize> + use<T> {
        let rank = self.transport.rank();
        // Each begins with its next neighbour, so that not all send to process 0 first.
        let size = self.transport.size();
        (1..size).map(move |distance| (rank + distance) % size)
    }

    fn start_sum(
        &mut self,
        bucket: Vec<u8>,
        wire: Wire,
        reply: Reply<Sums>,
    ) -> Result<(), CommError> {
        let (rank, size, number) = (self.transport.rank(), self.transport.size(), self.number());
        let reduction = Reduction::new(rank, size, wire, bucket);
        for with in self.others() {
            let (own, theirs) = (reduction.piece(rank).len(), reduction.piece(with));
            let [part, sum] = [Step::Part, Step::Sum].map(|step| Self::tag(number, step));
            self.receive(with, part, own, Some((number, Step::Part)))?;
            self.receive(with, sum, theirs.len(), Some((number, Step::Sum)))?;
            let of_sum = Some((number, Step::Part));
            self.send(with, part, reduction.bucket(), theirs, of_sum)?;
        }
        self.sums.push_back((number, reduction, reply));
        Ok(())
    }

    /// Takes a message of a sum.
    fn move_sum(
        &mut self,
        number: u64,
        step: Step,
        from: usize,
        bytes: Vec<u8>,
    ) -> Result<(), CommError> {
        let place = self.sums.iter().position(|sum| sum.0 == number);
        let place = place.expect("a sum with messages");
        let reduction = &mut self.sums[place].1;
        match step {
            Step::Sum => reduction.set_sum(from, bytes),
            Step::Part => {
                let sum = reduction.add_part(from, bytes, &mut self.adder, &self.pool);
                let (tag, of_sum) = (Self::tag(number, Step::Sum), Some((number, Step::Sum)));
                if let Some(sum) = sum {
                    for to in self.others() {
                        self.send(to, tag, &sum, 0..sum.len(), of_sum)?;
                    }
                }
            }
        }
        if self.sums[place].1.is_complete()
            && let Some((_, reduction, reply)) = self.sums.remove(place)
        {
            // Nobody may be waiting any more.
            let _ = reply.send(Ok(reduction.into_sums(&self.pool)));
        }
        Ok(())
    }

    /// Moves on what is under way; whether anything did.
    fn poll(&mut self) -> Result<bool, CommError> {
        let mut completed = Vec::new();
        self.transport.poll(&mut completed)?;
        let moved = !completed.is_empty();
        if moved {
            self.last = Instant::now();
        }
        for Completed { ticket, received } in completed {
            let message = self.under_way.remove(&ticket).expect("a message under way");
            match (received, message.of_sum) {
                (Some(bytes), Some((number, step))) => {
                    self.move_sum(number, step, message.with, bytes)?
                }
                (Some(bytes), None) => drop(self.arrived.insert(ticket, bytes)),
                (None, Some(_)) => message.sent.into_iter().for_each(|sent| self.pool.give(sent)),
                // Small ones would fill the pool, and large ones of no sum would stay in it.
                (None, None) => {}
            }
        }
        match self.timeout {
            Some(timeout) if !self.under_way.is_empty() && self.last.elapsed() > timeout => {
                Err(CommError::Timeout { waiting_for: self.silent(), timeout })
            }
            _ => Ok(moved),
        }
    }

    /// The processes that are waited for. One that sends no sum may itself wait for a part of another.
    fn silent(&self) -> Vec<usize> {
        let is_sum = |message: &&Message| {
            message.sent.is_none() && matches!(message.of_sum, Some((_, Step::Sum)))
        };
        let (sums, others): (Vec<&Message>, Vec<&Message>) =
            self.under_way.values().partition(is_sum);
        let silent = if others.is_empty() { sums } else { others };
        let mut silent: Vec<usize> = silent.into_iter().map(|message| message.with).collect();
        silent.sort_unstable();
        silent.dedup();
        silent
    }

    /// Polls after a pause.
    fn wait(&mut self) -> Result<(), CommError> {
        if !self.poll()? {
            std::thread::sleep(2 * PAUSE[0]);
        }
        Ok(())
    }

    /// Waits for a message.
    fn take(&mut self, ticket: Ticket) -> Result<Vec<u8>, CommError> {
        loop {
            if let Some(bytes) = self.arrived.remove(&ticket) {
                return Ok(bytes);
            }
            self.wait()?;
        }
    }
}
