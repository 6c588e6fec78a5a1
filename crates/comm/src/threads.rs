//! A group of threads in one process, for tests.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use crate::{
    CommError,
    transport::{Completed, Ticket, Transport},
};

/// Messages that have arrived, by sender and tag.
type Letters = HashMap<(usize, u16), VecDeque<Vec<u8>>>;

/// A member of a group within one process.
#[derive(Debug)]
pub struct InProcess {
    rank: usize,
    shared: Arc<Shared>,
    tickets: u64,
    sent: Vec<Ticket>,
    receiving: Vec<Receiving>,
    finished: bool,
}

#[derive(Debug)]
struct Receiving {
    ticket: Ticket,
    from: usize,
    tag: u16,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Shared {
    /// By receiver.
    boxes: Vec<Mutex<Letters>>,
    /// Whether a member has ended before its time.
    broken: AtomicBool,
}

/// The members of a group of `size`, by rank.
pub fn in_process(size: usize) -> Vec<InProcess> {
    let boxes = (0..size).map(|_| Mutex::default()).collect();
    let shared = Arc::new(Shared { boxes, broken: AtomicBool::new(false) });
    let member = |rank| InProcess {
        rank,
        shared: Arc::clone(&shared),
        tickets: 0,
        sent: Vec::new(),
        receiving: Vec::new(),
        finished: false,
    };
    (0..size).map(member).collect()
}

impl InProcess {
    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}

impl Transport for InProcess {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.boxes.len()
    }

    fn send(
        &mut self,
        to: usize,
        tag: u16,
        bytes: &Arc<Vec<u8>>,
        range: Range<usize>,
    ) -> Result<Ticket, CommError> {
        let mut letters = self.shared.boxes[to].lock().expect("no panic with the lock");
        letters.entry((self.rank, tag)).or_default().push_back(bytes[range].to_vec());
        drop(letters);
        let ticket = self.ticket();
        self.sent.push(ticket);
        Ok(ticket)
    }

    fn receive(&mut self, from: usize, tag: u16, buffer: Vec<u8>) -> Result<Ticket, CommError> {
        let ticket = self.ticket();
        self.receiving.push(Receiving { ticket, from, tag, buffer });
        Ok(ticket)
    }

    fn poll(&mut self, completed: &mut Vec<Completed>) -> Result<(), CommError> {
        // Before the letters are looked at: a member may send its last and end.
        let broken = self.shared.broken.load(SeqCst);
        let before = completed.len();
        completed.extend(self.sent.drain(..).map(|ticket| Completed { ticket, received: None }));
        let mut letters = self.shared.boxes[self.rank].lock().expect("no panic with the lock");
        let mut waiting = Vec::new();
        for receiving in self.receiving.drain(..) {
            let Receiving { ticket, from, tag, .. } = receiving;
            let Some(letter) = letters.get_mut(&(from, tag)).and_then(VecDeque::pop_front) else {
                waiting.push(receiving);
                continue;
            };
            let (expected, found) = (receiving.buffer.len(), letter.len());
            if expected != found {
                return Err(CommError::Length { from, expected, found });
            }
            completed.push(Completed { ticket, received: Some(letter) });
        }
        self.receiving = waiting;
        if broken && completed.len() == before && !self.receiving.is_empty() {
            return Err(CommError::Transport("another process has ended".to_owned()));
        }
        Ok(())
    }

    fn finish(&mut self, _: i32) -> Result<(), CommError> {
        self.finished = true;
        Ok(())
    }

    fn abort(&mut self, _: i32) {
        self.shared.broken.store(true, SeqCst);
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        if !self.finished {
            self.shared.broken.store(true, SeqCst);
        }
    }
}
