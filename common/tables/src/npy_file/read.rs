//! Reads an array where it lies, some rows at a time.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use super::header::{self, Header, LONGEST, MAGIC, Number, Sort};
use crate::block::{Block, Float, block};
use crate::column::{Cell, Column, Take, Width};
use crate::error::Error;
use crate::read::{Order, Reader};

/// Columns of an array.
const MOST_COLUMNS: usize = 1 << 20;

/// An array whose header was read.
#[derive(Debug)]
pub(crate) struct NpyTable {
    file: File,
    header: Header,
    /// Where the numbers begin.
    start: u64,
}

impl NpyTable {
    pub(crate) fn open(file: File, size: u64) -> Result<(Self, Vec<Column>), Error> {
        let (text, start) = header_text(&file)?;
        let header = header::parse(&text)?;
        let numbers = u128::from(header.rows) * header.columns as u128;
        let (wanted, there) =
            (numbers.saturating_mul(header.number.bytes as u128), u128::from(size.saturating_sub(start)));
        if wanted != there {
            let (Header { rows, columns, number, .. }, what) =
                (header, if wanted > there { "it is cut off" } else { "something follows the array" });
            return Err(Error::content(format!(
                "{what}: its header says {rows} rows of {columns} numbers of {} bytes, {wanted} bytes, where there are {there}",
                number.bytes
            )));
        }
        // the file's size holds them where there are rows
        if header.columns > MOST_COLUMNS {
            return Err(Error::content(format!("it has {} columns, more than are read", header.columns)));
        }
        let column = Column { name: None, kind: header.number.kind() };
        Ok((Self { file, header, start }, vec![column; header.columns]))
    }

    pub(crate) fn rows(&self) -> u64 {
        self.header.rows
    }

    pub(crate) fn read(self, order: Order) -> NpyReader {
        NpyReader { table: self, order, next: 0, bytes: Vec::new() }
    }
}

/// The header's dictionary, and where it ends.
fn header_text(file: &File) -> Result<(String, u64), Error> {
    let cut = |error: std::io::Error| match error.kind() {
        ErrorKind::UnexpectedEof => Error::content("it is cut off within its header"),
        _ => Error::Read(error),
    };
    let mut magic = [0; 8];
    let known = match file.read_exact_at(&mut magic, 0) {
        Ok(()) => magic.starts_with(MAGIC),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(Error::Read(error)),
    };
    if !known {
        return Err(Error::content("it is no npy file, by its first bytes (numpy.save writes one)"));
    }
    let [.., major, minor] = magic;
    let (length, from) = match (major, minor) {
        (1, 0) => {
            let mut length = [0; 2];
            file.read_exact_at(&mut length, 8).map_err(cut)?;
            (usize::from(u16::from_le_bytes(length)), 10)
        }
        (2 | 3, 0) => {
            let mut length = [0; 4];
            file.read_exact_at(&mut length, 8).map_err(cut)?;
            (usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX), 12)
        }
        _ => {
            return Err(Error::content(format!(
                "it is of npy version {major}.{minor}, where 1.0, 2.0 and 3.0 are read"
            )));
        }
    };
    if length > LONGEST {
        return Err(Error::content(format!(
            "its header has {length} bytes; a plain array's has few (is it structured?)"
        )));
    }
    let mut text = vec![0; length];
    file.read_exact_at(&mut text, from).map_err(cut)?;
    // Latin-1 before version 3, of which a plain array needs no more than ASCII
    let text = String::from_utf8(text).map_err(|_| Error::content("its header is no npy header"))?;
    Ok((text, from + length as u64))
}

pub(crate) struct NpyReader {
    table: NpyTable,
    order: Order,
    next: u64,
    bytes: Vec<u8>,
}

impl Reader for NpyReader {
    fn next(&mut self) -> Result<Option<Block>, Error> {
        let left = usize::try_from(self.table.header.rows - self.next).unwrap_or(usize::MAX);
        let rows = self.order.batch.min(left);
        if rows == 0 {
            return Ok(None);
        }
        self.load(rows).map_err(Error::Read)?;
        let block = match self.order.width {
            Width::Single => self.decode::<f32>(rows)?,
            Width::Double => self.decode::<f64>(rows)?,
        };
        self.next += rows as u64;
        Ok(block)
    }

    fn expected(&self) -> Option<u64> {
        Some(self.table.header.rows)
    }
}

impl NpyReader {
    /// The bytes of some rows; of a Fortran array those of the wanted columns, one column after another.
    fn load(&mut self, rows: usize) -> std::io::Result<()> {
        let NpyTable { file, header, start } = &self.table;
        let each = header.number.bytes;
        if header.fortran {
            self.bytes.resize(rows * each * self.order.wanted.len(), 0);
            for (bytes, wanted) in self.bytes.chunks_exact_mut(rows * each).zip(&self.order.wanted) {
                let at = wanted.column as u64 * header.rows + self.next;
                file.read_exact_at(bytes, start + at * each as u64)?;
            }
        } else {
            let row = header.columns * each;
            self.bytes.resize(rows * row, 0);
            file.read_exact_at(&mut self.bytes, start + self.next * row as u64)?;
        }
        if header.number.big_endian {
            self.bytes.chunks_exact_mut(each).for_each(<[u8]>::reverse);
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a model's numbers are floats")]
    fn decode<T: Float>(&self, rows: usize) -> Result<Option<Block>, Error> {
        let Number { sort, bytes, .. } = self.table.header.number;
        let mut values = match (sort, bytes) {
            (Sort::Float, 4) => self.each(|b| T::single(f32::from_le_bytes(b))),
            (Sort::Float, _) => self.each(|b| T::double(f64::from_le_bytes(b))),
            (Sort::Signed, 1) => self.each(|b| T::single(i8::from_le_bytes(b).into())),
            (Sort::Signed, 2) => self.each(|b| T::single(i16::from_le_bytes(b).into())),
            (Sort::Signed, 4) => self.each(|b| T::double(i32::from_le_bytes(b).into())),
            (Sort::Signed, _) => self.each(|b| T::double(i64::from_le_bytes(b) as f64)),
            (Sort::Unsigned, 1) => self.each(|b| T::single(u8::from_le_bytes(b).into())),
            (Sort::Unsigned, 2) => self.each(|b| T::single(u16::from_le_bytes(b).into())),
            (Sort::Unsigned, 4) => self.each(|b| T::double(u32::from_le_bytes(b).into())),
            (Sort::Unsigned, _) => self.each(|b| T::double(u64::from_le_bytes(b) as f64)),
            (Sort::Bool, _) => self.each(|b: [u8; 1]| T::single(if b == [0] { 0.0 } else { 1.0 })),
        };
        self.cells(rows, &mut values)?;
        Ok(block(self.next, values, self.order.wanted.len(), self.table.header.fortran))
    }

    fn each<const N: usize, T: Float>(&self, decode: impl Fn([u8; N]) -> T) -> Vec<T> {
        let numbers = self.bytes.as_chunks::<N>().0;
        let wanted = &self.order.wanted;
        let all = wanted.iter().enumerate().all(|(place, wanted)| wanted.column == place);
        let columns = self.table.header.columns;
        if self.table.header.fortran || (all && wanted.len() == columns) {
            return numbers.iter().map(|bytes| decode(*bytes)).collect();
        }
        let mut values = Vec::with_capacity(numbers.len() / columns * wanted.len());
        for row in numbers.chunks_exact(columns) {
            values.extend(wanted.iter().map(|wanted| row.get(wanted.column).map_or(T::NAN, |bytes| decode(*bytes))));
        }
        values
    }

    /// Over the columns whose cells are taken each by itself.
    fn cells<T: Float>(&self, rows: usize, values: &mut [T]) -> Result<(), Error> {
        let Header { number, fortran, columns, .. } = self.table.header;
        let width = self.order.wanted.len();
        for (place, wanted) in self.order.wanted.iter().enumerate() {
            let Take::Cells(convert) = &wanted.take else { continue };
            for row in 0..rows {
                let (from, to) = match fortran {
                    true => (place * rows + row, place * rows + row),
                    false => (row * columns + wanted.column, row * width + place),
                };
                let bytes = self.bytes.get(from * number.bytes..).unwrap_or_default();
                let value = convert(cell(number, bytes))
                    .map_err(|message| self.order.fault(self.next + row as u64, None, place, message))?;
                if let Some(to) = values.get_mut(to) {
                    *to = T::double(value);
                }
            }
        }
        Ok(())
    }
}

/// The number at the beginning, little-endian.
fn cell(number: Number, bytes: &[u8]) -> Cell<'static> {
    let mut eight = [0; 8];
    eight.iter_mut().zip(bytes.iter().take(number.bytes)).for_each(|(to, byte)| *to = *byte);
    let whole = u64::from_le_bytes(eight);
    // the sign is the highest bit of the bytes that there are
    let unused = 64 - 8 * number.bytes.clamp(1, 8);
    match (number.sort, number.bytes) {
        (Sort::Float, 4) => Cell::float(f32::from_bits(u32::try_from(whole).unwrap_or_default()).into()),
        (Sort::Float, _) => Cell::float(f64::from_bits(whole)),
        (Sort::Signed, _) => Cell::Signed((whole << unused).cast_signed() >> unused),
        (Sort::Unsigned, _) => Cell::Unsigned(whole),
        (Sort::Bool, _) => Cell::Bool(whole != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_its_number() {
        let number = |sort, bytes| Number { sort, bytes, big_endian: false };
        assert_eq!(cell(number(Sort::Signed, 2), &[0xfe, 0xff, 1]), Cell::Signed(-2));
        assert_eq!(cell(number(Sort::Signed, 8), &(-5_i64).to_le_bytes()), Cell::Signed(-5));
        assert_eq!(cell(number(Sort::Unsigned, 1), &[255, 1]), Cell::Unsigned(255));
        assert_eq!(cell(number(Sort::Float, 4), &0.5_f32.to_le_bytes()), Cell::Float(0.5));
        assert_eq!(cell(number(Sort::Float, 8), &f64::NAN.to_le_bytes()), Cell::Missing);
        assert_eq!(cell(number(Sort::Bool, 1), &[1]), Cell::Bool(true));
    }
}
