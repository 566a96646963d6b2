//! A file that is opened, and the blocks that it is read in.

use std::fs::File;
use std::io::Cursor;
use std::num::NonZeroUsize;
use std::path::Path;

use bytes::Bytes;

use crate::arrow_stream::ArrowTable;
use crate::block::Block;
use crate::column::{Column, Wanted, Width};
use crate::csv_file::CsvTable;
use crate::error::Error;
use crate::format::Format;
use crate::npy_file::NpyTable;
use crate::parquet_file::ParquetTable;

/// A file, or bytes in memory, whose columns are known and none of whose rows was read.
#[derive(Debug)]
pub struct Table {
    source: Source,
    columns: Vec<Column>,
}

#[derive(Debug)]
enum Source {
    Npy(NpyTable),
    Csv(Box<CsvTable>),
    Parquet(Box<ParquetTable>),
    Arrow(Box<ArrowTable>),
}

impl Table {
    /// Reads what stands before the rows.
    ///
    /// # Errors
    /// [`Error`], for what is no such file.
    pub fn open(path: &Path, format: Format) -> Result<Self, Error> {
        Self::of_file(File::open(path).map_err(Error::Read)?, format)
    }

    /// The same of a file that is open, at its beginning.
    ///
    /// # Errors
    /// [`Error`], for what is no such file.
    pub fn of_file(file: File, format: Format) -> Result<Self, Error> {
        let about = file.metadata().map_err(Error::Read)?;
        if !about.is_file() {
            return Err(Error::NoFile);
        }
        let size = about.len();
        if size == 0 {
            return Err(Error::content(format!("it is empty, where a {format} file is needed")));
        }
        let (source, columns) = match format {
            Format::Npy => NpyTable::open(file, size).map(|(table, columns)| (Source::Npy(table), columns)),
            Format::Csv => {
                CsvTable::open(Box::new(file), size).map(|(table, columns)| (Source::Csv(Box::new(table)), columns))
            }
            Format::Parquet => {
                ParquetTable::open(file).map(|(table, columns)| (Source::Parquet(Box::new(table)), columns))
            }
        }?;
        Self::new(source, columns)
    }

    fn new(source: Source, columns: Vec<Column>) -> Result<Self, Error> {
        if columns.is_empty() {
            return Err(Error::content("it has no columns"));
        }
        Ok(Self { source, columns })
    }

    /// A CSV in memory.
    ///
    /// # Errors
    /// [`Error`], for what is none.
    pub fn csv(bytes: Bytes) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(Error::content("it is empty, where a CSV with a header is needed"));
        }
        let size = bytes.len() as u64;
        let (table, columns) = CsvTable::open(Box::new(Cursor::new(bytes)), size)?;
        Self::new(Source::Csv(Box::new(table)), columns)
    }

    /// A stream of Apache Arrow IPC in memory, not compressed by itself.
    ///
    /// # Errors
    /// [`Error`], for what is none.
    pub fn arrow(bytes: Bytes) -> Result<Self, Error> {
        let (table, columns) = ArrowTable::open(bytes)?;
        Self::new(Source::Arrow(Box::new(table)), columns)
    }

    /// The same in a file that is open, at its beginning. A batch is held whole; one of more than `batch` bytes is refused.
    ///
    /// # Errors
    /// [`Error`], for what is none.
    pub fn arrow_file(file: File, batch: u64) -> Result<Self, Error> {
        let (table, columns) = ArrowTable::open_file(Box::new(file), batch)?;
        Self::new(Source::Arrow(Box::new(table)), columns)
    }

    /// In the file's order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many rows the file says that it has; a CSV and a stream say nothing.
    pub fn rows(&self) -> Option<u64> {
        match &self.source {
            Source::Npy(table) => Some(table.rows()),
            Source::Csv(_) | Source::Arrow(_) => None,
            Source::Parquet(table) => Some(table.rows()),
        }
    }

    /// Reads the wanted columns in blocks of `batch` rows, the last one of fewer. What single floats do not hold is rounded.
    ///
    /// # Errors
    /// [`Error`], for a column that is not there or can not be taken so.
    pub fn blocks(self, wanted: Vec<Wanted>, width: Width, batch: NonZeroUsize) -> Result<Blocks, Error> {
        for wanted in &wanted {
            let Some(column) = self.columns.get(wanted.column) else {
                return Err(Error::content(format!("it has no column {}", wanted.column + 1)));
            };
            column.check(wanted.column, &wanted.take)?;
        }
        if wanted.is_empty() {
            return Err(Error::content("no column is wanted of it"));
        }
        let order = Order { wanted, width, batch: batch.get(), columns: self.columns };
        let reader: Box<dyn Reader> = match self.source {
            Source::Npy(table) => Box::new(table.read(order)),
            Source::Csv(table) => Box::new(table.read(order)),
            Source::Parquet(table) => Box::new(table.read(order)?),
            Source::Arrow(table) => Box::new(table.read(order)),
        };
        Ok(Blocks { reader, ended: false })
    }
}

/// What is wanted of a file.
pub(crate) struct Order {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) width: Width,
    pub(crate) batch: usize,
    /// Of the file.
    pub(crate) columns: Vec<Column>,
}

impl Order {
    /// A fault of a value; `row` from 0, `place` among the wanted.
    pub(crate) fn fault(&self, row: u64, line: Option<u64>, place: usize, message: String) -> Error {
        let column = self.wanted.get(place).map_or(0, |wanted| wanted.column);
        let column = self.columns.get(column).map_or_else(String::new, |of| of.shown(column));
        Error::Cell { row: row + 1, line, column, message }
    }
}

pub(crate) trait Reader: Send {
    /// The next rows, at least one; none at the end.
    fn next(&mut self) -> Result<Option<Block>, Error>;
    /// How many rows there will be in all, as far as is known by now.
    fn expected(&self) -> Option<u64>;
}

/// The blocks of a file, in order. Nothing follows an error.
pub struct Blocks {
    reader: Box<dyn Reader>,
    ended: bool,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Blocks {
    /// How many rows there will be in all: of a CSV an estimate by the bytes that were read.
    pub fn expected(&self) -> Option<u64> {
        self.reader.expected()
    }
}

impl Iterator for Blocks {
    type Item = Result<Block, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.reader.next().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}
