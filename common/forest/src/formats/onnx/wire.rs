//! Protobuf as it stands in the bytes: a message is walked field by field, without a copy and with each field's place. It
//! knows no schema. (A decoder that builds every message first would take far more memory than a hostile file has bytes,
//! and would pass over the fields that it does not know.)

use crate::error::Error;

/// A message, or any other run of bytes with its length before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'b> {
    pub(super) bytes: &'b [u8],
    /// Where they begin in the file.
    pub(super) offset: usize,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Held<'b> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(Bytes<'b>),
}

/// A field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'b> {
    pub(super) number: u64,
    /// Where it begins in the file.
    pub(super) offset: usize,
    pub(super) held: Held<'b>,
}

pub(super) fn fault(offset: usize, message: impl Into<String>) -> Error {
    Error::content("the protobuf", offset, message)
}

impl<'b> Bytes<'b> {
    pub(super) fn fields(self) -> Fields<'b> {
        Fields { rest: self.bytes, end: self.offset.saturating_add(self.bytes.len()) }
    }

    /// As text of at most so many bytes.
    pub(super) fn text(self, most: usize) -> Result<&'b str, Error> {
        if self.bytes.len() > most {
            return Err(Error::limit("bytes of a name or label", most));
        }
        std::str::from_utf8(self.bytes).map_err(|_| fault(self.offset, "a text is not UTF-8"))
    }
}

impl<'b> Field<'b> {
    pub(super) fn bytes(&self) -> Result<Bytes<'b>, Error> {
        match self.held {
            Held::Bytes(bytes) => Ok(bytes),
            _ => Err(self.unlike("bytes")),
        }
    }

    pub(super) fn int(&self) -> Result<i64, Error> {
        match self.held {
            Held::Varint(value) => Ok(value.cast_signed()),
            _ => Err(self.unlike("a whole number")),
        }
    }

    pub(super) fn float(&self) -> Result<f32, Error> {
        match self.held {
            Held::Fixed32(word) => Ok(f32::from_le_bytes(word)),
            _ => Err(self.unlike("a float")),
        }
    }

    fn unlike(&self, expected: &str) -> Error {
        fault(self.offset, format!("field {} does not hold {expected}", self.number))
    }

    /// All whole numbers of the field, packed or not.
    pub(super) fn ints(&self, each: &mut impl FnMut(i64)) -> Result<(), Error> {
        let Held::Bytes(Bytes { bytes, offset }) = self.held else {
            each(self.int()?);
            return Ok(());
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = offset + (bytes.len() - rest.len());
            each(varint(&mut rest).ok_or_else(|| fault(at, "a whole number is cut off or too long"))?.cast_signed());
        }
        Ok(())
    }

    /// All floats of the field, packed or not.
    pub(super) fn floats(&self, each: &mut impl FnMut(f32)) -> Result<(), Error> {
        match self.held {
            Held::Bytes(packed) => words(packed)?.iter().for_each(|word| each(f32::from_le_bytes(*word))),
            _ => each(self.float()?),
        }
        Ok(())
    }

    /// All doubles of the field, packed or not.
    pub(super) fn doubles(&self, each: &mut impl FnMut(f64)) -> Result<(), Error> {
        match self.held {
            Held::Bytes(packed) => words(packed)?.iter().for_each(|word| each(f64::from_le_bytes(*word))),
            Held::Fixed64(word) => each(f64::from_le_bytes(word)),
            _ => return Err(self.unlike("a double")),
        }
        Ok(())
    }
}

/// Numbers of one width, after one another without a gap.
pub(super) fn words<const WIDTH: usize>(packed: Bytes<'_>) -> Result<&[[u8; WIDTH]], Error> {
    match packed.bytes.as_chunks() {
        (words, []) => Ok(words),
        _ => Err(fault(packed.offset, format!("holds no whole count of numbers of {WIDTH} bytes"))),
    }
}

/// Of a message, in order.
#[derive(Debug, Clone)]
pub(super) struct Fields<'b> {
    rest: &'b [u8],
    end: usize,
}

impl<'b> Fields<'b> {
    fn take(&mut self, offset: usize) -> Result<Field<'b>, Error> {
        let cut = || fault(offset, "a field is cut off or no field");
        let key = varint(&mut self.rest).ok_or_else(cut)?;
        let held = match key & 7 {
            0 => Held::Varint(varint(&mut self.rest).ok_or_else(cut)?),
            1 => Held::Fixed64(*split(&mut self.rest, 8).and_then(<[u8]>::as_array).ok_or_else(cut)?),
            5 => Held::Fixed32(*split(&mut self.rest, 4).and_then(<[u8]>::as_array).ok_or_else(cut)?),
            2 => {
                let length = varint(&mut self.rest).and_then(|length| usize::try_from(length).ok()).ok_or_else(cut)?;
                let offset = self.end - self.rest.len();
                Held::Bytes(Bytes { bytes: split(&mut self.rest, length).ok_or_else(cut)?, offset })
            }
            _ => return Err(cut()),
        };
        Ok(Field { number: key >> 3, offset, held })
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<Field<'b>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.take(self.end - self.rest.len());
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

fn split<'b>(rest: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length_read_and_longer_ones_do_not() {
        let read = |bytes: &[u8]| varint(&mut &bytes[..]);
        assert_eq!(read(&[0x00]), Some(0));
        assert_eq!(read(&[0xac, 0x02]), Some(300));
        let minus_one = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(read(&minus_one), Some(u64::MAX));
        assert_eq!(read(&[0xff; 10]), None);
        assert_eq!(read(&[0x80; 11]), None);
        assert_eq!(read(&[0x80]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn fields_carry_their_place() {
        // 1: 7; 2: [3: 1.0]
        let bytes = [0x08, 7, 0x12, 5, 0x1d, 0, 0, 0x80, 0x3f];
        let fields: Vec<_> = Bytes { bytes: &bytes, offset: 100 }.fields().map(Result::unwrap).collect();
        assert_eq!((fields[0].number, fields[0].offset, fields[0].int().unwrap()), (1, 100, 7));
        let inner = fields[1].bytes().unwrap();
        assert_eq!(inner.offset, 104);
        assert_eq!(inner.fields().next().unwrap().unwrap().float().unwrap(), 1.0);
        for end in [1, 3, 6, 8] {
            assert!(Bytes { bytes: &bytes[..end], offset: 0 }.fields().any(|field| field.is_err()), "{end}");
        }
    }
}
