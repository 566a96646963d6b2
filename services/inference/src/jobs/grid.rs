//! Rows of numbers, and rows of answers, as a file of a job: a head of 16 bytes, then the values row after row,
//! little-endian. Written and read by workers of one release; another layout is refused.

use arborgate_tables::{Answers, Numbers};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use ndarray::Array2;

const MAGIC: &[u8; 4] = b"ARBG";
const LAYOUT: u8 = 1;
const HEAD: usize = 16;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A float of 32 bits.
    Single = 1,
    /// A float of 64 bits.
    Double = 2,
    /// The place of a class.
    Place = 3,
}

impl Of {
    fn bytes(self) -> usize {
        match self {
            Self::Single | Self::Place => 4,
            Self::Double => 8,
        }
    }

    fn read(code: u8) -> Option<Self> {
        [Self::Single, Self::Double, Self::Place].into_iter().find(|of| *of as u8 == code)
    }
}

/// Why bytes are no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a file between the steps of a job can not be read: was it written by another release?")]
pub(super) struct Unreadable;

/// Rows that are gathered until they are as many as are wanted.
pub(super) struct Gathered {
    of: Of,
    columns: usize,
    rows: usize,
    bytes: BytesMut,
}

impl Gathered {
    pub(super) fn new(of: Of, columns: usize) -> Self {
        let mut bytes = BytesMut::new();
        bytes.resize(HEAD, 0);
        Self { of, columns, rows: 0, bytes }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds rows `from` to `to` of a block.
    pub(super) fn add(&mut self, numbers: &Numbers, from: usize, to: usize) {
        match numbers {
            Numbers::Single(of) => rows(of, from, to).for_each(|value| self.bytes.put_f32_le(value)),
            Numbers::Double(of) => rows(of, from, to).for_each(|value| self.bytes.put_f64_le(value)),
        }
        self.rows += to - from;
    }

    /// All of it, with its head.
    pub(super) fn finish(mut self) -> Bytes {
        head(&mut self.bytes, self.of, self.columns, self.rows);
        self.bytes.freeze()
    }
}

fn rows<T: Copy>(of: &Array2<T>, from: usize, to: usize) -> impl Iterator<Item = T> {
    of.outer_iter().skip(from).take(to - from).flat_map(|row| row.into_iter().copied())
}

fn head(bytes: &mut [u8], of: Of, columns: usize, rows: usize) {
    let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX).to_le_bytes();
    let head = [MAGIC.as_slice(), &[LAYOUT, of as u8, 0, 0], &count(columns), &count(rows)].concat();
    if let Some(place) = bytes.get_mut(..HEAD) {
        place.copy_from_slice(&head);
    }
}

/// Answers as bytes.
pub(super) fn of_answers(answers: &Answers) -> Bytes {
    let (of, columns, rows) = match answers {
        Answers::Numbers(values) => (Of::Double, values.ncols(), values.nrows()),
        Answers::Places(places) => (Of::Place, places.ncols(), places.nrows()),
    };
    let mut bytes = BytesMut::with_capacity(HEAD + rows * columns * of.bytes());
    bytes.resize(HEAD, 0);
    match answers {
        Answers::Numbers(values) => values.iter().for_each(|value| bytes.put_f64_le(*value)),
        Answers::Places(places) => places.iter().for_each(|place| bytes.put_u32_le(*place)),
    }
    head(&mut bytes, of, columns, rows);
    bytes.freeze()
}

/// The head of bytes, and what is after it, which is as long as the head says.
fn split(mut bytes: Bytes) -> Result<(Of, usize, usize, Bytes), Unreadable> {
    if bytes.len() < HEAD || !bytes.starts_with(MAGIC) || bytes.get(4) != Some(&LAYOUT) {
        return Err(Unreadable);
    }
    let of = bytes.get(5).and_then(|code| Of::read(*code)).ok_or(Unreadable)?;
    bytes.advance(8);
    let (columns, rows) = (bytes.get_u32_le() as usize, bytes.get_u32_le() as usize);
    let length = rows.checked_mul(columns).and_then(|values| values.checked_mul(of.bytes()));
    if length != Some(bytes.len()) {
        return Err(Unreadable);
    }
    Ok((of, columns, rows, bytes))
}

/// Rows of numbers, as 64 bits: so many columns, and the values row after row.
pub(super) fn numbers(bytes: Bytes) -> Result<(usize, Vec<f64>), Unreadable> {
    let (of, columns, rows, mut bytes) = split(bytes)?;
    let mut values = Vec::with_capacity(rows * columns);
    match of {
        Of::Single => values.extend((0..rows * columns).map(|_| f64::from(bytes.get_f32_le()))),
        Of::Double => values.extend((0..rows * columns).map(|_| bytes.get_f64_le())),
        Of::Place => return Err(Unreadable),
    }
    Ok((columns, values))
}

/// Answers.
pub(super) fn answers(bytes: Bytes) -> Result<Answers, Unreadable> {
    let (of, columns, rows, mut bytes) = split(bytes)?;
    let shape = (rows, columns);
    match of {
        Of::Double => {
            let values = (0..rows * columns).map(|_| bytes.get_f64_le()).collect();
            Array2::from_shape_vec(shape, values).map(Answers::Numbers).map_err(|_| Unreadable)
        }
        Of::Place => {
            let places = (0..rows * columns).map(|_| bytes.get_u32_le()).collect();
            Array2::from_shape_vec(shape, places).map(Answers::Places).map_err(|_| Unreadable)
        }
        Of::Single => Err(Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let single = Numbers::Single(array![[1.5_f32, f32::NAN], [-0.0, 3.0], [0.1, 7.0]]);
        let mut gathered = Gathered::new(Of::Single, 2);
        gathered.add(&single, 1, 3);
        gathered.add(&single, 0, 1);
        assert_eq!(gathered.rows(), 3);
        let (columns, values) = numbers(gathered.finish()).unwrap();
        let expected = [-0.0, 3.0, f64::from(0.1_f32), 7.0, 1.5, f64::NAN];
        assert_eq!(columns, 2);
        assert_eq!(values.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), expected.map(f64::to_bits));

        // Column after column in memory, as Parquet is read.
        let double = Numbers::Double(array![[1.0, 2.0], [3.0, 4.0]].reversed_axes());
        let mut gathered = Gathered::new(Of::Double, 2);
        gathered.add(&double, 0, 2);
        assert_eq!(numbers(gathered.finish()).unwrap(), (2, vec![1.0, 3.0, 2.0, 4.0]));

        for given in [Answers::Numbers(array![[1.0, f64::INFINITY]]), Answers::Places(array![[1], [u32::MAX]])] {
            assert_eq!(answers(of_answers(&given)).unwrap(), given);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), whole in any::<bool>()) {
            let mut bytes = bytes;
            if whole && bytes.len() >= HEAD {
                bytes[..4].copy_from_slice(MAGIC);
                bytes[4] = LAYOUT;
                bytes[5] %= 4;
            }
            let bytes = Bytes::from(bytes);
            let _ = (numbers(bytes.clone()), answers(bytes));
        }
    }
}
