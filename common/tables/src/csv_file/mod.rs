//! Text, separated by commas, with a header.

mod read;
mod write;

pub(crate) use read::{CsvTable, Input};
pub(crate) use write::CsvWriter;
