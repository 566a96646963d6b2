//! Every durable work queue and what it needs. A message is delivered at least once, to one of those who take from the
//! queue; who has not acknowledged it in time, and does not say that it goes on, is taken for dead.

use std::time::Duration;

/// What a queue needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSpec {
    /// `[a-z-]+`.
    pub name: &'static str,
    /// Messages that wait or are under way, at most; more are refused.
    pub max_messages: usize,
    /// The largest message, in bytes.
    pub max_message: usize,
    /// How long a message is left with who took it, after it was taken or work on it was last said to go on.
    pub ack_wait: Duration,
    /// How often a message is worked on. After that it is delivered only to be given up.
    pub max_deliver: u32,
}

/// Every queue.
pub const ALL: [&QueueSpec; 2] = [&crate::jobs::JOBS, &crate::jobs::CHUNKS];
