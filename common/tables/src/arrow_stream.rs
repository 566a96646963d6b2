//! Reads the stream format of Apache Arrow IPC, as pandas and polars write it, from bytes in memory, of which batches are
//! views, or from a file, of which one batch is in memory. A block has as many rows as are wanted at most, whatever the
//! stream's batches have.

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use bytes::Bytes;

use crate::array::{self, guarded, kind};
use crate::block::{Block, Float, block};
use crate::column::{Column, Take, Width};
use crate::csv_file::Input;
use crate::error::Error;
use crate::read::{Order, Reader};

/// Bytes of a file that are read at once.
const PIECE: usize = 1 << 20;

/// A stream whose schema was read.
#[derive(Debug)]
pub(crate) struct ArrowTable {
    decoder: StreamDecoder,
    rest: Buffer,
    /// Where the rest comes from, if not all of it is there.
    more: Option<More>,
    /// The batch that was read with the schema, and the rows of it that were given.
    batch: Option<RecordBatch>,
}

#[derive(Debug)]
struct More {
    from: Box<dyn Input>,
    /// Bytes of a batch, at most.
    most: u64,
    /// Bytes read since the last one.
    read: u64,
}

impl More {
    /// The next bytes; none at the end.
    fn next(&mut self) -> Result<Buffer, String> {
        if self.read > self.most {
            let megabytes = self.most >> 20;
            return Err(format!("a batch has more than {megabytes} MiB; write it in smaller ones"));
        }
        let mut piece = vec![0; PIECE];
        let mut filled = 0;
        while let Some(free) = piece.get_mut(filled..).filter(|free| !free.is_empty()) {
            match self.from.read(free) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        piece.truncate(filled);
        self.read += filled as u64;
        Ok(Buffer::from(piece))
    }
}

fn refused(message: &str) -> Error {
    // What arrow-ipc says where it was built without these codecs.
    if message.contains("decompression requires") {
        return Error::content(
            "its batches are compressed within the stream, which is not read; write it without `compression`",
        );
    }
    Error::content(format!("it is no Arrow IPC stream, or a damaged one: {message}"))
}

impl ArrowTable {
    pub(crate) fn open(bytes: Bytes) -> Result<(Self, Vec<Column>), Error> {
        Self::begin(Buffer::from(bytes), None)
    }

    pub(crate) fn open_file(from: Box<dyn Input>, most: u64) -> Result<(Self, Vec<Column>), Error> {
        Self::begin(Buffer::from(Vec::<u8>::new()), Some(More { from, most, read: 0 }))
    }

    fn begin(rest: Buffer, more: Option<More>) -> Result<(Self, Vec<Column>), Error> {
        let mut table = Self { decoder: StreamDecoder::new(), rest, more, batch: None };
        let first = guarded(|| {
            while table.batch.is_none() && table.decoder.schema().is_none() {
                table.batch = table.step()?;
                if table.rest.is_empty() && !table.refill()? {
                    break;
                }
            }
            Ok(())
        });
        first.map_err(|message| refused(&message))?;
        let schema = table.decoder.schema().ok_or_else(|| refused("it has no schema"))?;
        let column =
            |field: &arrow_schema::FieldRef| Column { name: Some(field.name().clone()), kind: kind(field.data_type()) };
        let columns = schema.fields().iter().map(column).collect();
        Ok((table, columns))
    }

    /// Decodes what is there, up to the next batch.
    fn step(&mut self) -> Result<Option<RecordBatch>, String> {
        let batch = self.decoder.decode(&mut self.rest).map_err(|error| error.to_string())?;
        if let (Some(_), Some(more)) = (&batch, &mut self.more) {
            more.read = 0;
        }
        Ok(batch)
    }

    /// More bytes; false: there are none.
    fn refill(&mut self) -> Result<bool, String> {
        if let Some(more) = &mut self.more {
            self.rest = more.next()?;
        }
        Ok(!self.rest.is_empty())
    }

    pub(crate) fn read(self, order: Order) -> ArrowReader {
        ArrowReader { table: self, order, next: 0 }
    }

    /// The next batch that has rows; none at the end.
    fn fill(&mut self) -> Result<Option<RecordBatch>, String> {
        loop {
            let batch = match self.batch.take() {
                Some(batch) => Some(batch),
                None => self.step()?,
            };
            match batch {
                Some(batch) if batch.num_rows() > 0 => return Ok(Some(batch)),
                Some(_) => {}
                None if self.refill()? => {}
                None => return self.decoder.finish().map(|()| None).map_err(|error| error.to_string()),
            }
        }
    }
}

pub(crate) struct ArrowReader {
    table: ArrowTable,
    order: Order,
    next: u64,
}

impl Reader for ArrowReader {
    fn next(&mut self) -> Result<Option<Block>, Error> {
        let (next, table) = (self.next, &mut self.table);
        let filled = guarded(|| table.fill());
        let filled = filled.map_err(|message| match refused(&message) {
            error if next == 0 => error,
            _ => Error::Damaged { rows: next, message },
        })?;
        let Some(batch) = filled else { return Ok(None) };
        let rows = batch.num_rows().min(self.order.batch);
        if rows < batch.num_rows() {
            self.table.batch = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        let batch = batch.slice(0, rows);
        let block = match self.order.width {
            Width::Single => self.block::<f32>(&batch),
            Width::Double => self.block::<f64>(&batch),
        }?;
        self.next += rows as u64;
        Ok(block)
    }

    fn expected(&self) -> Option<u64> {
        None
    }
}

impl ArrowReader {
    fn block<T: Float>(&self, batch: &RecordBatch) -> Result<Option<Block>, Error> {
        let (rows, width) = (batch.num_rows(), self.order.wanted.len());
        let mut values: Vec<T> = Vec::with_capacity(rows * width);
        for (place, wanted) in self.order.wanted.iter().enumerate() {
            let Some(column) = batch.columns().get(wanted.column) else {
                return Err(Error::Damaged { rows: self.next, message: "a column is not there".to_owned() });
            };
            match &wanted.take {
                Take::Number => array::numbers(column, &mut values),
                Take::Cells(convert) => array::cells(column, convert, &mut values),
            }
            .map_err(|(row, message)| self.order.fault(self.next + row as u64, None, place, message))?;
        }
        Ok(block(self.next, values, width, true))
    }
}
