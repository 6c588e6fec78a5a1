//! A run that is blocked by the test, so that signals arrive in the middle of it on any machine.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, ChildStderr, Command, Stdio},
};

use super::{Finished, Sandbox};

/// A `resnet train` that has printed an epoch on stderr, and is blocked printing it on stdout,
/// whose pipe is full. It has not saved that epoch yet.
pub(crate) struct Held {
    args: String,
    child: Child,
    /// Its stderr so far.
    output: String,
    stderr: BufReader<ChildStderr>,
    /// The other end of its stdout.
    stdout: UnixStream,
}

impl Held {
    /// Trains until an epoch ends.
    pub(crate) fn at_the_end_of_an_epoch(s: &Sandbox, args: &[&str]) -> Held {
        let (stdout, theirs) = UnixStream::pair().expect("a pair of sockets");
        fill(&theirs);
        let mut command = s.command(args);
        command.arg("--json").stdout(OwnedFd::from(theirs)).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut output = String::new();
        while !output.lines().last().unwrap_or_default().contains(": train loss ") {
            let read = stderr.read_line(&mut output).expect("UTF-8");
            assert!(read > 0, "it ended before an epoch did: {output}");
        }
        Held { args: args.join(" "), child, output, stderr, stdout }
    }

    /// Sends a signal: `-TERM`, ...
    pub(crate) fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(kill.expect("kill").success());
    }

    /// Unblocks the run, and waits for its end.
    pub(crate) fn finish(mut self) -> Finished {
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).expect("UTF-8");
        Finished { stdout: stdout.trim_start().to_owned(), ..self.end() }
    }

    /// Waits for its end while it stays blocked.
    pub(crate) fn end(mut self) -> Finished {
        self.stderr.read_to_string(&mut self.output).expect("UTF-8");
        let status = self.child.wait().expect("it ends");
        Finished {
            args: self.args,
            code: status.code(),
            stdout: String::new(),
            stderr: self.output,
        }
    }
}

/// Fills a socket with line feeds.
fn fill(mut socket: &UnixStream) {
    socket.set_nonblocking(true).expect("a non-blocking socket");
    for length in [4096, 1] {
        loop {
            match socket.write(&[b'\n'; 4096][..length]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    socket.set_nonblocking(false).expect("a blocking socket");
}
