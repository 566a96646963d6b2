//! The binary layout of predictions: one message carries segments, one for each caller. All numbers are little-endian.
//!
//! Request:
//!
//! | bytes | what |
//! |---|---|
//! | 2 | `AP` |
//! | 1 | layout version, 1 |
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
//! | 4 | width: values a row |
//! | 4 | labels a row: outputs of a classifier, 0 for a regressor |
//! | 4 | segments, in the request's order, then for each: |
//! | 1 | 0: answered; 1: refused |
//! | answered: 4, 4 | microseconds waited, microseconds computed |
//! | 4 | rows |
//! | 8 × rows × width | values |
//! | 4 × rows × labels | indexes of the predicted classes |
//! | refused: 4 + n | length of the JSON of a [`ServiceError`](crate::ServiceError), the JSON |

mod cursor;
mod reply;
mod request;

pub use reply::{Answer, Reply, ReplyWriter};
pub use request::{BatchHeader, PredictRequest, RequestWriter, Segment, segment_size};

/// Layout version of both messages.
pub const LAYOUT: u8 = 1;

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
    #[error("message has layout version {found}, this binary speaks {LAYOUT}")]
    Version {
        /// As the message says.
        found: u8,
    },
}

#[cfg(test)]
mod tests;
