//! What is written: columns of numbers, or columns whose every value is one of a few.

use std::io::{self, Seek, Write};

use ndarray::Array2;

use crate::csv_file::CsvWriter;
use crate::error::Error;
use crate::format::Format;
use crate::npy_file::NpyWriter;
use crate::parquet_file::ParquetWriter;

/// The columns of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Columns {
    /// Floats of 64 bits, by these names.
    Numbers(Vec<String>),
    /// For each name what its values are.
    OneOf(Vec<(String, Choices)>),
}

/// The values of a column; a row has the place of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Choices {
    /// Integers.
    Whole(Vec<i64>),
    /// Floats.
    Numbers(Vec<f64>),
    /// Booleans.
    Bool(Vec<bool>),
    /// Texts.
    Text(Vec<String>),
}

impl Choices {
    /// As they stand in a CSV.
    pub(crate) fn texts(&self) -> Vec<String> {
        let mut buffer = ryu::Buffer::new();
        match self {
            Self::Whole(values) => values.iter().map(i64::to_string).collect(),
            Self::Numbers(values) => values.iter().map(|value| buffer.format(*value).to_owned()).collect(),
            Self::Bool(values) => values.iter().map(bool::to_string).collect(),
            Self::Text(values) => values.clone(),
        }
    }
}

/// Some rows: of [`Columns::Numbers`] the numbers, of [`Columns::OneOf`] the places.
#[derive(Debug, Clone, PartialEq)]
pub enum Answers {
    /// In row-major order.
    Numbers(Array2<f64>),
    /// In row-major order.
    Places(Array2<u32>),
}

impl Answers {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        match self {
            Self::Numbers(of) => of.nrows(),
            Self::Places(of) => of.nrows(),
        }
    }
}

/// A file that is being written. It is whole after [`Writer::finish`].
pub struct Writer {
    sink: Box<dyn Sink>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// Where rows go.
pub(crate) trait Sink: Send {
    fn write(&mut self, rows: &Answers) -> io::Result<()>;
    fn finish(self: Box<Self>) -> io::Result<()>;
}

impl Writer {
    /// Begins a file.
    ///
    /// # Errors
    /// [`Error`], for columns that such a file can not hold.
    pub fn new(format: Format, to: impl Write + Seek + Send + 'static, columns: Columns) -> Result<Self, Error> {
        let sink: Box<dyn Sink> = match format {
            Format::Npy => Box::new(NpyWriter::new(to, columns)?),
            Format::Csv => Box::new(CsvWriter::new(to, columns)?),
            Format::Parquet => Box::new(ParquetWriter::new(to, columns)?),
        };
        Ok(Self { sink })
    }

    /// Writes rows of as many values as there are columns.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write(&mut self, rows: &Answers) -> Result<(), Error> {
        self.sink.write(rows).map_err(Error::Write)
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn finish(self) -> Result<(), Error> {
        self.sink.finish().map_err(Error::Write)
    }
}

impl Columns {
    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Numbers(names) => names.len(),
            Self::OneOf(columns) => columns.len(),
        }
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::Numbers(names) => names.iter().map(String::as_str).collect(),
            Self::OneOf(columns) => columns.iter().map(|(name, _)| name.as_str()).collect(),
        }
    }
}

/// Rows that are not of the file's columns.
pub(crate) fn other_columns() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "rows of other columns than the file's")
}
