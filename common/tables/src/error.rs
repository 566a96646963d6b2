//! Why a table can not be read or written. Rows are counted from 1, without a header. Text from a file stands in it escaped
//! and cut.

use std::io;

/// What is wrong, where, and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system's.
    #[error("reading failed")]
    Read(#[source] io::Error),
    /// The system's.
    #[error("writing failed")]
    Write(#[source] io::Error),
    /// A folder, a device.
    #[error("it is no plain file")]
    NoFile,
    /// Another kind of file, or a table that is not taken.
    #[error("{0}")]
    Content(String),
    /// A column that is not taken.
    #[error("column {column} {message}")]
    Column {
        /// Its name in quotes, or its number.
        column: String,
        /// What is wrong.
        message: String,
    },
    /// A row of another length.
    #[error("row {row} (line {line}) has {found} cells where the header has {expected}")]
    Ragged {
        /// Which.
        row: u64,
        /// Where it begins.
        line: u64,
        /// Cells.
        found: u64,
        /// Cells of the header.
        expected: u64,
    },
    /// A value that is not taken.
    #[error("row {row}{}, column {column} {message}", at(.line))]
    Cell {
        /// Which.
        row: u64,
        /// Where the row begins, in a text.
        line: Option<u64>,
        /// Its name in quotes, or its number.
        column: String,
        /// What is wrong.
        message: String,
    },
    /// What was read before was fine.
    #[error("the file is damaged, after row {rows}: {message}")]
    Damaged {
        /// Rows before.
        rows: u64,
        /// What the decoder says.
        message: String,
    },
}

impl Error {
    pub(crate) fn content(message: impl Into<String>) -> Self {
        Self::Content(message.into())
    }
}

fn at(line: &Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(" (line {line})"))
}

/// Text from a file, fit for a message: in quotes, escaped, and cut after 80 characters.
pub(crate) fn quoted(text: &str) -> String {
    let cut = text.char_indices().nth(80).and_then(|(at, _)| text.get(..at));
    cut.map_or_else(|| format!("{text:?}"), |cut| format!("{cut:?}…"))
}
