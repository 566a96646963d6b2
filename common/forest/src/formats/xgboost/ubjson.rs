//! UBJSON as XGBoost writes and reads it (`src/common/json.cc`, `UBJReader`): lengths are `L` and eight bytes, numbers
//! are big-endian, arrays of numbers may name their type once. No other part of UBJSON.

use std::borrow::Cow;

use super::document::{Document, Kind, Member};
use crate::error::Error;

/// A cursor over bytes.
#[derive(Debug)]
pub(super) struct Ubjson<'b> {
    bytes: &'b [u8],
    at: usize,
}

/// How an array is written.
enum Array {
    /// Numbers of one type: how many.
    Typed(u8, usize),
    /// So many values.
    Counted(usize),
    /// Values to the `]`.
    Open,
}

impl<'b> Ubjson<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Nothing may follow.
    pub(super) fn end(self) -> Result<(), Error> {
        match self.rest().len() {
            0 => Ok(()),
            count => Err(Error::Trailing { of: "UBJSON model", offset: self.at, count }),
        }
    }

    fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn cut(&self) -> Error {
        self.wrong("the file ends here; it is cut off")
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], Error> {
        let taken = self.rest().get(..length).ok_or_else(|| self.cut())?;
        self.at += length;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let chunk = self.rest().first_chunk::<N>().copied().ok_or_else(|| self.cut())?;
        self.at += N;
        Ok(chunk)
    }

    fn peek(&self) -> Result<u8, Error> {
        self.rest().first().copied().ok_or_else(|| self.cut())
    }

    fn need(&mut self, marker: u8) -> Result<(), Error> {
        if self.peek()? == marker {
            self.at += 1;
            return Ok(());
        }
        Err(self.unlike(&format!("`{}`", char::from(marker))))
    }

    fn unlike(&self, expected: &str) -> Error {
        match self.peek() {
            Ok(byte) => self.wrong(format!("marker `{}` where {expected} was expected", byte.escape_ascii())),
            Err(cut) => cut,
        }
    }

    /// `L` and eight bytes; no more than the file has left.
    fn length(&mut self) -> Result<usize, Error> {
        self.need(b'L')?;
        let length = i64::from_be_bytes(self.chunk()?);
        let length = usize::try_from(length).ok().filter(|length| *length <= self.rest().len());
        length.ok_or_else(|| self.wrong("a length is more than the file has; it is cut off"))
    }

    fn bytes(&mut self) -> Result<&'b str, Error> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        str::from_utf8(bytes).map_err(|_| self.wrong("a string is no UTF-8"))
    }

    /// Opens an array. It has at least as many bytes as elements.
    fn open(&mut self) -> Result<Array, Error> {
        self.expect(Kind::Array)?;
        self.need(b'[')?;
        match self.peek()? {
            b'$' => {
                self.need(b'$')?;
                let [marker] = self.chunk()?;
                self.need(b'#')?;
                let count = self.length()?;
                let size =
                    size(marker).ok_or_else(|| self.wrong("an array is of a type that XGBoost does not write"))?;
                if count.checked_mul(size).is_none_or(|bytes| bytes > self.rest().len()) {
                    return Err(self.wrong("an array is longer than the file; it is cut off"));
                }
                Ok(Array::Typed(marker, count))
            }
            b'#' => {
                self.need(b'#')?;
                Ok(Array::Counted(self.length()?))
            }
            _ => Ok(Array::Open),
        }
    }

    /// The elements of an array whose type does not stand before it.
    fn untyped(&mut self, array: &Array, element: &mut dyn FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        match *array {
            Array::Counted(count) => (0..count).try_for_each(|_| element(self)),
            _ => {
                while self.peek()? != b']' {
                    element(self)?;
                }
                self.need(b']')
            }
        }
    }

    /// A number after its marker.
    fn number(&mut self, marker: u8) -> Result<i64, Error> {
        match marker {
            b'i' => self.chunk().map(i8::from_be_bytes).map(i64::from),
            b'U' => self.chunk().map(u8::from_be_bytes).map(i64::from),
            b'I' => self.chunk().map(i16::from_be_bytes).map(i64::from),
            b'l' => self.chunk().map(i32::from_be_bytes).map(i64::from),
            b'L' => self.chunk().map(i64::from_be_bytes),
            _ => Err(self.wrong("is no integer")),
        }
    }

    fn integer<T: TryFrom<i64>>(&mut self, marker: u8) -> Result<T, Error> {
        let number = match marker {
            b'T' => 1,
            b'F' => 0,
            _ => self.number(marker)?,
        };
        T::try_from(number).map_err(|_| self.wrong(format!("{number} is too large an integer here")))
    }
}

/// Bytes of a number.
fn size(marker: u8) -> Option<usize> {
    match marker {
        b'i' | b'U' => Some(1),
        b'I' => Some(2),
        b'l' | b'd' => Some(4),
        b'L' | b'D' => Some(8),
        _ => None,
    }
}

impl<'b> Document<'b> for Ubjson<'b> {
    fn position(&self) -> usize {
        self.at
    }

    fn seek(&mut self, position: usize) {
        self.at = position;
    }

    fn kind(&mut self) -> Result<Kind, Error> {
        match self.peek()? {
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b'S' => Ok(Kind::Text),
            b'T' | b'F' => Ok(Kind::Bool),
            b'Z' => Ok(Kind::Null),
            b'i' | b'U' | b'I' | b'l' | b'L' | b'd' | b'D' => Ok(Kind::Number),
            _ => Err(self.unlike("a value")),
        }
    }

    fn members(&mut self, member: &mut Member<'_, 'b, Self>) -> Result<(), Error> {
        self.need(b'{')?;
        while self.peek()? != b'}' {
            let key = self.bytes()?;
            member(self, &Cow::Borrowed(key))?;
        }
        self.need(b'}')
    }

    fn elements(&mut self, element: &mut dyn FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        match self.open()? {
            Array::Typed(..) => Err(self.wrong("an array of numbers where other values were expected")),
            array => self.untyped(&array, element),
        }
    }

    fn text(&mut self) -> Result<Cow<'b, str>, Error> {
        self.expect(Kind::Text)?;
        self.need(b'S')?;
        self.bytes().map(Cow::Borrowed)
    }

    fn ints<T: TryFrom<i64>>(&mut self, out: &mut Vec<T>) -> Result<(), Error> {
        match self.open()? {
            Array::Typed(marker, count) => {
                out.reserve(count);
                for _ in 0..count {
                    out.push(self.integer(marker)?);
                }
                Ok(())
            }
            array => self.untyped(&array, &mut |document| {
                let [marker] = document.chunk()?;
                out.push(document.integer(marker)?);
                Ok(())
            }),
        }
    }

    fn floats(&mut self, out: &mut Vec<f32>) -> Result<(), Error> {
        match self.open()? {
            Array::Typed(b'd', count) => {
                let bytes = self.take(count * 4)?;
                out.extend(bytes.as_chunks::<4>().0.iter().map(|word| f32::from_be_bytes(*word)));
                Ok(())
            }
            Array::Typed(..) => Err(self.wrong("an array of integers or doubles where 32-bit floats were expected")),
            array => self.untyped(&array, &mut |document| {
                document.need(b'd')?;
                out.push(f32::from_be_bytes(document.chunk()?));
                Ok(())
            }),
        }
    }

    fn int(&mut self) -> Result<i64, Error> {
        let [marker] = self.chunk()?;
        self.number(marker)
    }

    fn skip_scalar(&mut self) -> Result<(), Error> {
        let [marker] = self.chunk()?;
        self.take(size(marker).unwrap_or(0)).map(drop)
    }

    fn skip_array(&mut self) -> Result<bool, Error> {
        let start = self.at;
        let Array::Typed(marker, count) = self.open()? else {
            self.at = start;
            return Ok(false);
        };
        self.take(count.saturating_mul(size(marker).unwrap_or(0)))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(count: i64) -> Vec<u8> {
        [b"L".as_slice(), &count.to_be_bytes()].concat()
    }

    #[test]
    fn numbers_of_each_width() {
        let mut out: Vec<i32> = Vec::new();
        let typed = [b"[$U#".as_slice(), &length(3), &[1, 0, 255]].concat();
        Ubjson::new(&typed).ints(&mut out).unwrap();
        let mixed = b"[i\xffU\xffI\xff\xfel\x7f\xff\xff\xffTF]";
        Ubjson::new(mixed).ints(&mut out).unwrap();
        assert_eq!(out, [1, 0, 255, -1, 255, -2, i32::MAX, 1, 0]);
    }

    #[test]
    fn lengths_beyond_the_file_take_no_memory() {
        for count in [i64::MAX, -1, 1 << 40, 4] {
            for marker in *b"dlLiU" {
                let bytes = [b"[$", [marker].as_slice(), b"#", &length(count), &[0; 3]].concat();
                assert!(Ubjson::new(&bytes).floats(&mut Vec::new()).is_err());
                assert!(Ubjson::new(&bytes).ints(&mut Vec::<i32>::new()).is_err());
                assert!(Ubjson::new(&bytes).skip().is_err());
            }
            let bytes = [b"[#".as_slice(), &length(count), b"i\x01"].concat();
            assert!(Ubjson::new(&bytes).ints(&mut Vec::<i32>::new()).is_err());
            let bytes = [b"S".as_slice(), &length(count), b"abc"].concat();
            assert!(Ubjson::new(&bytes).text().is_err());
        }
    }

    #[test]
    fn skips_to_a_bounded_depth() {
        Ubjson::new(&[b"[".repeat(60), b"]".repeat(60)].concat()).skip().unwrap();
        assert!(Ubjson::new(&b"[".repeat(1_000_000)).skip().is_err());
    }
}
