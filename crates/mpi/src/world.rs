//! `MPI_COMM_WORLD` as a transport of bytes.

use std::{
    ffi::c_int,
    mem::{ManuallyDrop, MaybeUninit},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use resnet_comm::{CommError, Completed, MOST_BYTES, Ticket, Transport};

use crate::{
    abi::{Abi, MOST_STATUS_BYTES},
    functions::Functions,
};

/// How long `MPI_Abort` may take.
const ABORT: Duration = Duration::from_secs(5);

/// How long `MPI_Finalize` may take, when all messages have arrived. MPICH 4.0 may never come back from it over TCP.
const FINALIZE: Duration = Duration::from_secs(10);

/// How long launchers have to read why: that of MPICH loses what it has not read when it hears of the abort.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Tags are below this.
const TAGS: u16 = 1 << 15;

/// The group after `MPI_Init_thread`, in the thread that called it. `H` is the type of handles.
///
/// Invariant: MPI is initialized unless `ended`; `functions` and `abi` are of one library, which is loaded for
/// good; until a request is complete, the buffer of its message is neither freed nor, by others, used.
pub(crate) struct World<H> {
    functions: Functions<H>,
    abi: Abi<H>,
    rank: usize,
    size: usize,
    requests: Vec<H>,
    /// The message of each request.
    messages: Vec<Message>,
    /// What `MPI_Testsome` writes: indices of requests, and their statuses.
    indices: Vec<c_int>,
    statuses: Vec<u64>,
    next: u64,
    ended: bool,
}

struct Message {
    ticket: Ticket,
    /// The other process.
    peer: usize,
    /// MPI uses it until the request is complete. If that is never seen, it is leaked.
    buffer: ManuallyDrop<Buffer>,
}

enum Buffer {
    Sent { _bytes: Arc<Vec<u8>> },
    Received(Vec<u8>),
}

impl<H: Copy> World<H> {
    /// # Safety
    /// MPI must be initialized by this thread. `functions` and `abi` must be of the library that is, and
    /// `rank` and `size` what it says.
    pub(crate) unsafe fn new(
        functions: Functions<H>,
        abi: Abi<H>,
        rank: usize,
        size: usize,
    ) -> Self {
        Self {
            functions,
            abi,
            rank,
            size,
            requests: Vec::new(),
            messages: Vec::new(),
            indices: Vec::new(),
            statuses: Vec::new(),
            next: 0,
            ended: false,
        }
    }

    /// Checks what MPI would not survive, and gives the arguments as MPI takes them.
    fn arguments(
        &self,
        peer: usize,
        tag: u16,
        bytes: usize,
    ) -> Result<(c_int, c_int, c_int), CommError> {
        assert!(peer < self.size && peer != self.rank, "process {peer} of {}", self.size);
        assert!(tag < TAGS, "tag {tag}");
        assert!(bytes <= MOST_BYTES, "a message of {bytes} bytes");
        if self.ended {
            return Err(CommError::Ended);
        }
        Ok((peer as c_int, tag.into(), bytes as c_int))
    }

    fn started(&mut self, request: H, peer: usize, buffer: Buffer) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.requests.push(request);
        self.messages.push(Message { ticket, peer, buffer: ManuallyDrop::new(buffer) });
        ticket
    }

    fn check(&self, code: c_int, doing: &str) -> Result<(), CommError> {
        if code == 0 { Ok(()) } else { Err(self.error(code, doing)) }
    }

    fn error(&self, code: c_int, doing: &str) -> CommError {
        // SAFETY: MPI is initialized, and this is its thread: `self` cannot leave it.
        let text = unsafe { self.functions.error_text(code) };
        CommError::Transport(format!("MPI, {doing}: {text}"))
    }

    /// Lets MPI work where nothing is under way here: what was sent may still be in its own buffers, and needs
    /// calls to leave them.
    fn advance(&mut self) -> Result<(), CommError> {
        let Some(other) = (0..self.size).find(|&other| other != self.rank) else { return Ok(()) };
        let mut found = 0;
        let status = self.room(1).0;
        // SAFETY: the invariant; `found` and a status are valid for what MPI writes.
        let code = unsafe {
            (self.functions.iprobe)(other as c_int, 0, self.abi.world, &mut found, status.cast())
        };
        self.check(code, "looking for messages")
    }

    /// Room for statuses and indices of `count` requests. Statuses are zero, which means no error.
    fn room(&mut self, count: usize) -> (*mut u64, *mut c_int) {
        self.statuses.clear();
        self.statuses.resize(count * MOST_STATUS_BYTES / size_of::<u64>(), 0);
        self.indices.resize(count, 0);
        (self.statuses.as_mut_ptr(), self.indices.as_mut_ptr())
    }

    /// The error code in status `i`.
    fn status_error(&self, i: usize) -> c_int {
        let at = i * self.abi.status_bytes + self.abi.status_error;
        let word = self.statuses[at / 8].to_ne_bytes();
        c_int::from_ne_bytes(std::array::from_fn(|byte| word[at % 8 + byte]))
    }

    /// The number of bytes of the message that status `i` is of.
    fn status_count(&self, i: usize) -> Result<usize, CommError> {
        let mut count = 0;
        let code = {
            let statuses = self.statuses.as_ptr().cast::<u8>();
            // SAFETY: `MPI_Testsome` wrote status `i` there; `count` is valid for what MPI writes.
            unsafe {
                let status = statuses.add(i * self.abi.status_bytes);
                (self.functions.get_count)(status.cast(), self.abi.byte, &mut count)
            }
        };
        self.check(code, "counting bytes")?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// The error of one of the first `count` requests that are complete, or else `code` itself.
    fn failure(&self, code: c_int, count: usize) -> CommError {
        let failed = (0..count).map(|i| (i, self.status_error(i))).find(|(_, code)| *code != 0);
        let Some((i, code)) = failed else { return self.error(code, "waiting for messages") };
        let message = &self.messages[self.indices[i] as usize];
        let peer = message.peer;
        let Buffer::Received(bytes) = &*message.buffer else {
            return self.error(code, &format!("sending to process {peer}"));
        };
        let mut class = 0;
        // SAFETY: the invariant; `class` is valid for what MPI writes.
        if unsafe { (self.functions.error_class)(code, &mut class) } == 0
            && class == self.abi.truncated
        {
            return CommError::Transport(format!(
                "process {peer} sent more than the {} bytes expected: are all processes of one version?",
                bytes.len()
            ));
        }
        self.error(code, &format!("receiving from process {peer}"))
    }
}

impl<H: Copy> Transport for World<H> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn send(
        &mut self,
        to: usize,
        tag: u16,
        bytes: &Arc<Vec<u8>>,
        range: Range<usize>,
    ) -> Result<Ticket, CommError> {
        let part = &bytes[range];
        let (peer, tag, count) = self.arguments(to, tag, part.len())?;
        let (byte, world) = (self.abi.byte, self.abi.world);
        let mut request = MaybeUninit::uninit();
        // SAFETY: the invariant. MPI reads `count` bytes until the request is complete; until then `started`
        // holds a count of the `Arc`, so that they are neither freed nor changed.
        let code = unsafe {
            let part = part.as_ptr().cast();
            (self.functions.isend)(part, count, byte, peer, tag, world, request.as_mut_ptr())
        };
        self.check(code, &format!("sending to process {to}"))?;
        // SAFETY: MPI wrote the request.
        let request = unsafe { request.assume_init() };
        Ok(self.started(request, to, Buffer::Sent { _bytes: Arc::clone(bytes) }))
    }

    fn receive(&mut self, from: usize, tag: u16, mut buffer: Vec<u8>) -> Result<Ticket, CommError> {
        let (peer, tag, count) = self.arguments(from, tag, buffer.len())?;
        let (byte, world) = (self.abi.byte, self.abi.world);
        let mut request = MaybeUninit::uninit();
        // SAFETY: the invariant. MPI writes `count` bytes at most until the request is complete; until then
        // `started` keeps the buffer, which nothing else reads or writes. (What Open MPI does to longer messages,
        // `Mpi` says.)
        let code = unsafe {
            let bytes = buffer.as_mut_ptr().cast();
            (self.functions.irecv)(bytes, count, byte, peer, tag, world, request.as_mut_ptr())
        };
        self.check(code, &format!("receiving from process {from}"))?;
        // SAFETY: MPI wrote the request.
        let request = unsafe { request.assume_init() };
        Ok(self.started(request, from, Buffer::Received(buffer)))
    }

    fn poll(&mut self, completed: &mut Vec<Completed>) -> Result<(), CommError> {
        if self.ended {
            return Err(CommError::Ended);
        }
        if self.requests.is_empty() {
            return self.advance();
        }
        let count = self.requests.len();
        let (statuses, indices) = self.room(count);
        let mut done = 0;
        // SAFETY: the invariant; there is room for `count` indices and statuses, the latter aligned to 8 bytes.
        let code = unsafe {
            let requests = self.requests.as_mut_ptr();
            (self.functions.testsome)(count as c_int, requests, &mut done, indices, statuses.cast())
        };
        // It is negative (`MPI_UNDEFINED`) if no request is active.
        let done = usize::try_from(done).unwrap_or(0);
        if code != 0 {
            return Err(self.failure(code, done));
        }
        // From the last request: what takes the place of one that is removed was seen before.
        let mut order: Vec<_> = (0..done).map(|i| (self.indices[i] as usize, i)).collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        for (index, i) in order {
            self.requests.swap_remove(index);
            let Message { ticket, peer, buffer } = self.messages.swap_remove(index);
            let received = match ManuallyDrop::into_inner(buffer) {
                Buffer::Sent { .. } => None,
                Buffer::Received(bytes) => {
                    let (expected, found) = (bytes.len(), self.status_count(i)?);
                    if found != expected {
                        return Err(CommError::Length { from: peer, expected, found });
                    }
                    Some(bytes)
                }
            };
            completed.push(Completed { ticket, received });
        }
        Ok(())
    }

    fn finish(&mut self, code: i32) -> Result<(), CommError> {
        if self.ended {
            return Err(CommError::Ended);
        }
        if !self.requests.is_empty() {
            let count = self.requests.len();
            return Err(CommError::Transport(format!(
                "{count} messages are still under way at the end"
            )));
        }
        self.ended = true;
        let is_over = exit_after(FINALIZE, code);
        // SAFETY: MPI was initialized by this thread, and not finalized before: `ended` was false.
        let error = unsafe { (self.functions.finalize)() };
        is_over.store(true, Ordering::SeqCst);
        match error {
            0 => Ok(()),
            error => Err(CommError::Transport(format!("MPI_Finalize: error {error}"))),
        }
    }

    fn abort(&mut self, code: i32) {
        if !self.ended {
            exit_after(ABORT, code);
            thread::sleep(LAST_WORDS);
            // SAFETY: the invariant.
            unsafe { (self.functions.abort)(self.abi.world, code) };
        }
        exit(code)
    }
}

/// Ends this process after a time, unless what is returned is true then. Without a thread to do it, MPI's own way is
/// still the best there is.
fn exit_after(time: Duration, code: i32) -> Arc<AtomicBool> {
    let is_over = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&is_over);
    let _ = thread::Builder::new().spawn(move || {
        thread::sleep(time);
        if !watched.load(Ordering::SeqCst) {
            exit(code);
        }
    });
    is_over
}

/// Ends this process without the handlers of libraries, which may wait for others.
fn exit(code: i32) -> ! {
    // SAFETY: it asks nothing of its caller.
    unsafe { libc::_exit(code) }
}
