//! numpy's files of one array.

mod header;
mod read;
mod write;

pub(crate) use read::NpyTable;
pub(crate) use write::NpyWriter;
