//! Writes CSV: floats in the shortest text that reads back to the same bits.

use std::io::{self, BufWriter, Write};

use crate::error::Error;
use crate::write::{Answers, Columns, Sink, other_columns};

const BUFFER: usize = 1 << 20;

pub(crate) struct CsvWriter<W: Write> {
    writer: csv::Writer<BufWriter<W>>,
    /// For each column the texts of its values; none of numbers.
    choices: Vec<Vec<String>>,
}

impl<W: Write> CsvWriter<W> {
    pub(crate) fn new(to: W, columns: Columns) -> Result<Self, Error> {
        let mut writer = csv::Writer::from_writer(BufWriter::with_capacity(BUFFER, to));
        writer.write_record(columns.names()).map_err(|error| Error::Write(error.into()))?;
        let choices = match columns {
            Columns::Numbers(_) => Vec::new(),
            Columns::OneOf(columns) => columns.into_iter().map(|(_, choices)| choices.texts()).collect(),
        };
        Ok(Self { writer, choices })
    }
}

impl<W: Write + Send> Sink for CsvWriter<W> {
    fn write(&mut self, rows: &Answers) -> io::Result<()> {
        let Self { writer, choices } = self;
        match rows {
            Answers::Numbers(rows) if choices.is_empty() => {
                let mut buffer = ryu::Buffer::new();
                for row in rows.outer_iter() {
                    for value in row {
                        writer.write_field(buffer.format(*value))?;
                    }
                    writer.write_record(None::<&[u8]>)?;
                }
            }
            Answers::Places(rows) if rows.ncols() == choices.len() => {
                for row in rows.outer_iter() {
                    for (place, choices) in row.iter().zip(&*choices) {
                        writer.write_field(choices.get(*place as usize).ok_or_else(other_columns)?)?;
                    }
                    writer.write_record(None::<&[u8]>)?;
                }
            }
            _ => return Err(other_columns()),
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let buffered = self.writer.into_inner().map_err(|error| io::Error::from(error.error().kind()))?;
        buffered.into_inner().map_err(io::IntoInnerError::into_error)?.flush()
    }
}
