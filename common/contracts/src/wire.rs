//! The binary layout of predictions: one message carries segments, one for each caller. All numbers are little-endian.
//!
//! Request:
//!
//! | bytes | what |
//! |---|---|
//! | 2 | `AP` |
//! | 1 | layout version: 1, or 2 if anything else is asked than values and labels |
//! | 1 | only in layout 2: what is asked, the sum of 1 (values), 2 (labels), 4 (margins), 8 (leaves), 16 (contributions) |
//! | 1 + n | length of the model's name, the name |
//! | 1 + n | length of the version, the version |
//! | 4 | columns a row |
//! | 4 | segments, then for each: |
//! | 4 | milliseconds left until its deadline |
//! | 25 | trace id (16), span id (8), flags (1), big-endian as in `traceparent`; all zero: none |
//! | 1 + n | length of the grant, the grant: by what the caller may predict |
//! | 4 | rows |
//! | 8 × rows × columns | the rows, 64-bit floats; NaN is a missing value |
//!
//! Reply:
//!
//! | bytes | what |
//! |---|---|
//! | 2 + 1 | `AR`, 1 |
//! | 4 | width: floats a row, of what is asked: values, then margins, then for each margin each feature's contribution and the base |
//! | 4 | indexes a row, of what is asked: labels (one an output of a classifier, none of a regressor), then a leaf a tree |
//! | 4 | segments, in the request's order, then for each: |
//! | 1 | 0: answered; 1: refused |
//! | answered: 4, 4 | microseconds waited, microseconds computed |
//! | 4 | rows |
//! | 8 × rows × width | floats, row after row |
//! | 4 × rows × labels | indexes, row after row; of a label: of the predicted class among the classes |
//! | refused: 4 + n | length of the JSON of a [`ServiceError`](crate::ServiceError), the JSON |

//!
//! A worker that speaks layout 1 alone answers whatever it can answer; what it can not is refused as another version.

mod asked;
mod cursor;
mod reply;
mod request;

pub use asked::Asked;
pub use reply::{Answer, Reply, ReplyWriter};
pub use request::{BatchHeader, PredictRequest, RequestWriter, Segment, segment_size};

/// Layout version of replies, and of requests for values and labels.
pub const LAYOUT: u8 = 1;
/// Layout version of requests that say what is asked.
pub const LAYOUT_ASKING: u8 = 2;

/// A message is not of the layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It ends before it should.
    #[error("message ends at byte {at}, where {what} should be")]
    Truncated {
        /// Its length.
        at: usize,
        /// What was being read.
        what: &'static str,
    },
    /// It holds what can not be.
    #[error("message has an illegal {what} at byte {at}")]
    Illegal {
        /// Where.
        at: usize,
        /// What was being read.
        what: &'static str,
    },
    /// It goes on after its end.
    #[error("message has {extra} bytes after its end")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// Another layout version.
    #[error("message has layout version {found}, this binary speaks {LAYOUT} and, of requests, {LAYOUT_ASKING}")]
    Version {
        /// As the message says.
        found: u8,
    },
}

#[cfg(test)]
mod tests;
