//! The bytes of a pickle: a bounded cursor, and the numbers and texts that opcodes carry. Follows CPython's
//! `Lib/pickletools.py`.

use std::borrow::Cow;

use crate::error::{Error, quote};

pub(super) const MARK: u8 = b'(';
pub(super) const STOP: u8 = b'.';
pub(super) const POP: u8 = b'0';
pub(super) const POP_MARK: u8 = b'1';
pub(super) const DUP: u8 = b'2';
pub(super) const FLOAT: u8 = b'F';
pub(super) const INT: u8 = b'I';
pub(super) const BININT: u8 = b'J';
pub(super) const BININT1: u8 = b'K';
pub(super) const LONG: u8 = b'L';
pub(super) const BININT2: u8 = b'M';
pub(super) const NONE: u8 = b'N';
pub(super) const REDUCE: u8 = b'R';
pub(super) const UNICODE: u8 = b'V';
pub(super) const BINUNICODE: u8 = b'X';
pub(super) const APPEND: u8 = b'a';
pub(super) const BUILD: u8 = b'b';
pub(super) const GLOBAL: u8 = b'c';
pub(super) const DICT: u8 = b'd';
pub(super) const EMPTY_DICT: u8 = b'}';
pub(super) const APPENDS: u8 = b'e';
pub(super) const GET: u8 = b'g';
pub(super) const BINGET: u8 = b'h';
pub(super) const INST: u8 = b'i';
pub(super) const LONG_BINGET: u8 = b'j';
pub(super) const LIST: u8 = b'l';
pub(super) const EMPTY_LIST: u8 = b']';
pub(super) const PUT: u8 = b'p';
pub(super) const BINPUT: u8 = b'q';
pub(super) const LONG_BINPUT: u8 = b'r';
pub(super) const SETITEM: u8 = b's';
pub(super) const TUPLE: u8 = b't';
pub(super) const EMPTY_TUPLE: u8 = b')';
pub(super) const SETITEMS: u8 = b'u';
pub(super) const BINFLOAT: u8 = b'G';
pub(super) const PROTO: u8 = 0x80;
pub(super) const NEWOBJ: u8 = 0x81;
pub(super) const TUPLE1: u8 = 0x85;
pub(super) const TUPLE2: u8 = 0x86;
pub(super) const TUPLE3: u8 = 0x87;
pub(super) const NEWTRUE: u8 = 0x88;
pub(super) const NEWFALSE: u8 = 0x89;
pub(super) const LONG1: u8 = 0x8a;
pub(super) const LONG4: u8 = 0x8b;
pub(super) const BINBYTES: u8 = b'B';
pub(super) const SHORT_BINBYTES: u8 = b'C';
pub(super) const SHORT_BINUNICODE: u8 = 0x8c;
pub(super) const BINUNICODE8: u8 = 0x8d;
pub(super) const BINBYTES8: u8 = 0x8e;
pub(super) const EMPTY_SET: u8 = 0x8f;
pub(super) const ADDITEMS: u8 = 0x90;
pub(super) const FROZENSET: u8 = 0x91;
pub(super) const STACK_GLOBAL: u8 = 0x93;
pub(super) const MEMOIZE: u8 = 0x94;
pub(super) const FRAME: u8 = 0x95;
pub(super) const BYTEARRAY8: u8 = 0x96;

/// Why an opcode that exists is refused.
pub(super) fn refused(opcode: u8) -> &'static str {
    match opcode {
        b'P' | b'Q' => "a persistent id, which only its writer can resolve",
        b'S' | b'T' | b'U' => "a str of Python 2; save the model with Python 3",
        b'o' => "OBJ, which Python 3 does not write",
        0x82..=0x84 => "an extension code, which only its writer can resolve",
        0x92 => "NEWOBJ_EX, an object made with keyword arguments",
        0x97 | 0x98 => "an out-of-band buffer, whose bytes are not in this file",
        _ => "no opcode of any pickle protocol",
    }
}

/// Where the machine stands in the file.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn offset(&self) -> usize {
        self.at
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `count` bytes, which are there.
    pub(super) fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| {
            let message = format!("{what} needs {count} bytes and the file has {} left", self.remaining());
            Error::pickle(self.at, message)
        })?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Error> {
        let at = self.at;
        self.take(N, what)?.try_into().map_err(|_| Error::pickle(at, what))
    }

    pub(super) fn u8(&mut self, what: &str) -> Result<u8, Error> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Error> {
        self.array("a number").map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        self.array("a number").map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Error> {
        self.array("a number").map(u64::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Error> {
        self.array("a number").map(i32::from_le_bytes)
    }

    pub(super) fn f64_be(&mut self) -> Result<f64, Error> {
        self.array("a float").map(f64::from_be_bytes)
    }

    /// Bytes whose number stands before them as a number of `width` bytes.
    pub(super) fn counted(&mut self, width: usize, what: &str) -> Result<&'a [u8], Error> {
        let count = match width {
            1 => u64::from(self.u8(what)?),
            4 => u64::from(self.u32()?),
            _ => self.u64()?,
        };
        self.take(usize::try_from(count).unwrap_or(usize::MAX), what)
    }

    pub(super) fn counted_text(&mut self, width: usize) -> Result<&'a str, Error> {
        let at = self.at;
        std::str::from_utf8(self.counted(width, "a text")?).map_err(|_| Error::pickle(at, "a text is not UTF-8"))
    }

    /// Up to the next line feed, which is taken too.
    pub(super) fn line(&mut self) -> Result<&'a [u8], Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n');
        let length = length.ok_or_else(|| Error::pickle(self.at, "a line has no end"))?;
        let line = self.take(length, "a line")?;
        self.at += 1;
        Ok(line)
    }

    pub(super) fn text_line(&mut self) -> Result<&'a str, Error> {
        let at = self.at;
        std::str::from_utf8(self.line()?).map_err(|_| Error::pickle(at, "a line is not UTF-8"))
    }

    /// A decimal number on a line, in the words of Python's `int`.
    pub(super) fn number_line<T: std::str::FromStr>(&mut self, suffix: &str) -> Result<T, Error> {
        let at = self.at;
        let line = self.text_line()?;
        let digits = line.strip_suffix(suffix).unwrap_or(line);
        digits.parse().map_err(|_| Error::pickle(at, format!("`{}` is no number that fits here", quote(line))))
    }
}

/// A little-endian two's complement of any length, as `LONG1` has it; `None` if it needs more than 64 bits.
pub(super) fn long(bytes: &[u8]) -> Option<i64> {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    let (low, high) = bytes.split_at(bytes.len().min(8));
    let mut word = [fill; 8];
    word.iter_mut().zip(low).for_each(|(to, from)| *to = *from);
    let value = i64::from_le_bytes(word);
    (high.iter().all(|byte| *byte == fill) && (value < 0) == negative).then_some(value)
}

/// Python's `raw-unicode-escape`: Latin-1, and `\uXXXX` and `\UXXXXXXXX`.
pub(super) fn raw_unicode_escape(line: &[u8], offset: usize) -> Result<Cow<'_, str>, Error> {
    if line.is_ascii() && !line.contains(&b'\\') {
        return std::str::from_utf8(line).map(Cow::Borrowed).map_err(|_| Error::pickle(offset, "a text is damaged"));
    }
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    loop {
        let (escape, after) = match rest {
            [] => return Ok(Cow::Owned(text)),
            [b'\\', b'u', after @ ..] => (4, after),
            [b'\\', b'U', after @ ..] => (8, after),
            [byte, after @ ..] => {
                text.push(char::from(*byte));
                rest = after;
                continue;
            }
        };
        let digits = after.get(..escape).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        text.push(code.ok_or_else(|| Error::pickle(offset, "a text has an escape that is no character"))?);
        rest = after.get(escape..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_as_python_writes_them() {
        let cases: &[(&[u8], Option<i64>)] = &[
            (b"", Some(0)),
            (b"\xff\x00", Some(255)),
            (b"\xff", Some(-1)),
            (b"\xff\x7f", Some(32767)),
            (b"\x00\x80", Some(-32768)),
            (b"\xff\xff\xff\xff\xff\xff\xff\x7f", Some(i64::MAX)),
            (b"\x00\x00\x00\x00\x00\x00\x00\x80", Some(i64::MIN)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\x00", None),
            (b"\x00\x00\x00\x00\x00\x00\x00\x00\x01", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(long(bytes), *expected, "{bytes:?}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(raw_unicode_escape(b"plain", 0).unwrap(), "plain");
        assert_eq!(raw_unicode_escape(b"\\u000a\xe9\\U0001f600\\x", 0).unwrap(), "\n\u{e9}\u{1f600}\\x");
        for bad in [&b"\\u00"[..], b"\\ud800", b"\\uzzzz", b"\\Uffffffff"] {
            assert!(raw_unicode_escape(bad, 0).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_length_never_passes_the_end() {
        for bytes in [&b"\xff\xff\xff\xff\xff\xff\xff\xffab"[..], b"\x03\0\0\0\0\0\0\0ab"] {
            assert!(Cursor::new(bytes).counted(8, "bytes").is_err());
        }
    }
}
