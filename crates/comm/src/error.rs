use std::time::Duration;

/// Why processes cannot go on together.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommError {
    /// A call of the transport failed; what it says.
    #[error("{0}")]
    Transport(String),
    /// A message has another length than expected.
    #[error(
        "process {from} sent {found} bytes where {expected} were expected: are all processes of one version?"
    )]
    Length {
        /// The sender.
        from: usize,
        /// Bytes that were expected.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// Nothing arrived for too long.
    #[error(
        "no answer from {} for {} (--comm-timeout): is the machine up, and the network between them?",
        processes(.waiting_for), seconds(*.timeout)
    )]
    Timeout {
        /// The processes that messages are missing from, or to, without those that wait for others of them.
        waiting_for: Vec<usize>,
        /// How long nothing arrived.
        timeout: Duration,
    },
    /// The thread that communicates has ended after an error before.
    #[error("communication has ended")]
    Ended,
}

impl CommError {
    /// The processes that it is about, as far as it knows them.
    pub fn processes(&self) -> &[usize] {
        match self {
            Self::Timeout { waiting_for, .. } => waiting_for,
            Self::Length { from, .. } => std::slice::from_ref(from),
            Self::Transport(_) | Self::Ended => &[],
        }
    }
}

fn processes(numbers: &[usize]) -> String {
    let list: Vec<String> = numbers.iter().take(8).map(ToString::to_string).collect();
    let more = if numbers.len() > 8 { ", ..." } else { "" };
    let name = if numbers.len() == 1 { "process" } else { "processes" };
    format!("{name} {}{more}", list.join(", "))
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}
