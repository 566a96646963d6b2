//! Reads CSV row by row. All is text until a column is wanted as numbers.

use std::fmt::Debug;
use std::io::{self, Read};

use csv::{ByteRecord, Position, ReaderBuilder};

use crate::block::{Block, Float, block};
use crate::column::{Cell, Column, Kind, Take, Width, number};
use crate::error::{Error, quoted};
use crate::read::{Order, Reader};

/// Bytes of a row: a quote that is not closed would take the rest of the file for one cell.
const LONGEST_ROW: u64 = 64 << 20;
/// Bytes that are read at once.
const BUFFER: usize = 1 << 20;

/// Where a text comes from.
pub(crate) trait Input: Read + Send + Debug {}
impl<R: Read + Send + Debug> Input for R {}

/// A text whose header was read.
#[derive(Debug)]
pub(crate) struct CsvTable {
    reader: csv::Reader<Counted>,
    size: u64,
}

/// Counts what was read, and ends rows that are too long.
#[derive(Debug)]
struct Counted {
    from: Box<dyn Input>,
    read: u64,
    row_began: u64,
    /// Whether the first line ends with CR LF; `None` before its end.
    has_cr: Option<bool>,
    last: u8,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read.saturating_sub(self.row_began) > LONGEST_ROW + BUFFER as u64 {
            let why = format!("a row has more than {LONGEST_ROW} bytes; is a quote not closed?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let count = self.from.read(into)?;
        self.read += count as u64;
        let read = into.get(..count).unwrap_or_default();
        if self.has_cr.is_none()
            && let Some(end) = read.iter().position(|byte| *byte == b'\n')
        {
            let before = end.checked_sub(1).map_or(Some(self.last), |at| read.get(at).copied());
            self.has_cr = Some(before == Some(b'\r'));
        }
        self.last = read.last().copied().unwrap_or(self.last);
        Ok(count)
    }
}

impl Counted {
    /// Where a row begins; a CSV reader has taken the CR before it, and not the LF, and counts by that.
    fn line(&self, position: Option<&Position>) -> Option<u64> {
        position.map(|at| at.line() + u64::from(self.has_cr == Some(true)))
    }
}

impl CsvTable {
    /// `size` is how many bytes there will be, as far as is known.
    pub(crate) fn open(from: Box<dyn Input>, size: u64) -> Result<(Self, Vec<Column>), Error> {
        let counted = Counted { from, read: 0, row_began: 0, has_cr: None, last: 0 };
        let buffer = usize::try_from(size).map_or(BUFFER, |size| size.clamp(1, BUFFER));
        let mut reader = ReaderBuilder::new().buffer_capacity(buffer).from_reader(counted);
        let header = reader.byte_headers().map_err(|error| failed(error, 0, |at| at.map(Position::line)))?;
        if header.is_empty() {
            return Err(Error::content("it has no header, only empty lines"));
        }
        let name = |name: &[u8]| String::from_utf8(name.to_vec());
        let names: Vec<String> = header
            .iter()
            .map(name)
            .collect::<Result<_, _>>()
            .map_err(|_| Error::content("its header is no UTF-8 text; save the file as UTF-8"))?;
        if names.iter().any(|name| name.contains('\0')) {
            return Err(Error::content("it is no text: there are zero bytes in its header"));
        }
        // places, as pandas names columns, may be names
        let is_data = |name: &String| name.parse::<f64>().is_ok() && !name.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(number) = names.iter().find(|name| is_data(name)) {
            return Err(Error::content(format!(
                "its first line has the number {} where a column's name is needed; a CSV begins with a header",
                quoted(number)
            )));
        }
        let columns = names.into_iter().map(|name| Column { name: Some(name), kind: Kind::Written }).collect();
        Ok((Self { reader, size }, columns))
    }

    pub(crate) fn read(self, order: Order) -> CsvReader {
        CsvReader { table: self, order, next: 0, record: ByteRecord::new(), held: None }
    }
}

fn failed(error: csv::Error, rows: u64, line: impl Fn(Option<&Position>) -> Option<u64>) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            Error::Damaged { rows, message: error.to_string() }
        }
        csv::ErrorKind::Io(error) => Error::Read(error),
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = line(pos.as_ref()).unwrap_or(0);
            Error::Ragged { row: rows + 1, line, found: len, expected: expected_len }
        }
        other => Error::Damaged { rows, message: format!("{other:?}") },
    }
}

pub(crate) struct CsvReader {
    table: CsvTable,
    order: Order,
    next: u64,
    record: ByteRecord,
    /// A fault of a row, until the rows before it were given.
    held: Option<Error>,
}

impl Reader for CsvReader {
    fn next(&mut self) -> Result<Option<Block>, Error> {
        match self.order.width {
            Width::Single => self.block::<f32>(),
            Width::Double => self.block::<f64>(),
        }
    }

    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a guess")]
    fn expected(&self) -> Option<u64> {
        let read = self.table.reader.position().byte();
        (read > 0).then(|| (self.next as f64 / read as f64 * self.table.size as f64) as u64)
    }
}

impl CsvReader {
    fn block<T: Float>(&mut self) -> Result<Option<Block>, Error> {
        if let Some(error) = self.held.take() {
            return Err(error);
        }
        let first = self.next;
        let mut values: Vec<T> = Vec::new();
        while self.next - first < self.order.batch as u64 {
            match self.row(&mut values) {
                Ok(true) => self.next += 1,
                Ok(false) => break,
                Err(error) if self.next == first => return Err(error),
                Err(error) => {
                    // rows before it may have a fault of their own, which is told first
                    self.held = Some(error);
                    values.truncate(usize::try_from(self.next - first).unwrap_or(0) * self.order.wanted.len());
                    break;
                }
            }
        }
        if values.is_empty() { Ok(None) } else { Ok(block(first, values, self.order.wanted.len(), false)) }
    }

    /// Whether there was one.
    fn row<T: Float>(&mut self, values: &mut Vec<T>) -> Result<bool, Error> {
        let Self { table, order, next, record, .. } = self;
        let counted = table.reader.get_mut();
        counted.row_began = counted.read;
        let read = table.reader.read_byte_record(record);
        let counted = table.reader.get_ref();
        if !read.map_err(|error| failed(error, *next, |at| counted.line(at)))? {
            return Ok(false);
        }
        for (place, wanted) in order.wanted.iter().enumerate() {
            let fault = |message| order.fault(*next, counted.line(record.position()), place, message);
            let bytes = record.get(wanted.column).unwrap_or_default();
            let text = std::str::from_utf8(bytes).map_err(|_| fault("is no UTF-8 text".to_owned()))?;
            values.push(match &wanted.take {
                Take::Number => T::double(number(text).map_err(fault)?),
                Take::Cells(convert) => T::double(convert(Cell::Written(text)).map_err(fault)?),
            });
        }
        Ok(true)
    }
}
