//! What the limiter is asked. It knows no policy: each request says its limit, so that the edge's configuration is the
//! one place of policies. The edge makes `key` of the policy and whom it counts, hashed, so that no name of a client
//! stands in a bucket.

use serde::{Deserialize, Serialize};

use crate::name::RequestId;
use crate::operation::operation;

/// At most `permits` in any window of `window_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limit {
    /// Permits in any window; at least 1.
    pub permits: u32,
    /// 1 to 86,400,000.
    pub window_ms: u32,
}

/// May this request pass? A sliding log: at most `limit.permits` in any window, across all edges. The same `id` again
/// is the same question, answered alike and counted once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decide {
    /// Policy and whom it counts, hashed: hex.
    pub key: String,
    /// What holds.
    pub limit: Limit,
    /// Of this request.
    pub id: RequestId,
    /// Throttling: the longest that the caller would wait; 0 refuses at once. A permit may then be given for a moment
    /// in the future, `wait_ms` from now.
    pub max_wait_ms: u32,
}

/// What the limiter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether the request may pass (after `wait_ms`).
    pub allowed: bool,
    /// Permits left now.
    pub remaining: u32,
    /// Until a permit is free again: the `t` of `RateLimit`, and `Retry-After` when refused.
    pub reset_ms: u32,
    /// Throttling: how long to wait before going on.
    pub wait_ms: u32,
}
operation!(Decide => Decision, Limiter, "decide", Safe, 500);

/// Borrow permits in advance, for a limit that is too high to ask for each request. A permit counts from when it is
/// lent until a window after its loan ends, so the sum exceeds the limit in no window. The same `id` again is the same
/// loan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Borrow {
    /// Policy and whom it counts, hashed: hex.
    pub key: String,
    /// What holds.
    pub limit: Limit,
    /// Of this loan.
    pub id: RequestId,
    /// How many the edge would like.
    pub want: u32,
    /// Earlier loans of this edge that are over, and how many of each were spent: at most [`Self::MOST_RETURNED`].
    pub returned: Vec<Returned>,
}

impl Borrow {
    /// How many loans one question gives back.
    pub const MOST_RETURNED: usize = 256;
}

/// A loan that is over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Returned {
    /// The loan's.
    pub id: RequestId,
    /// How many of its permits were spent; the others are free at once.
    pub spent: u32,
}

/// A loan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loan {
    /// How many: fewer than wanted, or none, when little is left.
    pub granted: u32,
    /// For how long they may be spent, from when the edge *sent* the request.
    pub valid_ms: u32,
    /// Permits left after this loan.
    pub remaining: u32,
    /// When none are granted: until some are free again.
    pub reset_ms: u32,
}
operation!(Borrow => Loan, Limiter, "borrow", Safe, 500);
