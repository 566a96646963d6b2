//! Files of rows and the answers to them, as a model has it: which column is which feature, what the columns of the answers
//! are called, what a row that the model does not take is told as. The same for `arborgate score` and for jobs, so that
//! both write the same. It computes nothing, and knows no server.

mod answers;
mod matching;

pub use answers::{Shown, check, columns, fault};
pub use matching::{Advice, Matched, Matching, matched};
