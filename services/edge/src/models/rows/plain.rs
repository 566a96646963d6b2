//! The form that programs send, read at one go: `{"rows":[[…],…]}` of numbers and `null`. It names no fault: a body of any
//! other form, and one with anything wrong, is left to the reader that does. What is read here, that one reads alike.

use serde::Deserializer as _;

use super::visit::Rest;
use super::{Reader, Reading, Rows, Signature};

/// Bytes after the rows that may hold what is asked.
const LONGEST_REST: usize = 4096;

/// Of a column of numbers the least and the greatest, whether all are whole, and whether one may be missing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) whole: bool,
    pub(super) missing: bool,
}

/// The rows, if the body is of this form and nothing is wrong with it; `columns` are the signature's.
pub(super) fn read(body: &[u8], columns: &[Bound], signature: &Signature, reading: Reading) -> Option<Rows> {
    let mut text = Text { rest: body };
    text.take(b'{')?;
    text.peek()?;
    let name = text.rest.strip_prefix(b"\"")?.strip_prefix(reading.purpose.rows().as_bytes())?;
    text.rest = name.strip_prefix(b"\"")?;
    text.take(b':')?;
    text.take(b'[')?;
    let mut values = Vec::new();
    let mut count = 0;
    loop {
        if count == reading.most {
            return None;
        }
        let before = text.rest.len();
        text.row(columns, &mut values)?;
        count += 1;
        if count == 1 {
            // As many rows more as there is room for, if they are as long.
            let more = text.rest.len() / (before - text.rest.len()).max(1);
            values.reserve(more.min(reading.most as usize) * columns.len());
        }
        match text.next()? {
            b',' => {}
            b']' => break,
            _ => return None,
        }
    }
    let mut reader = Reader::new(signature, reading);
    match text.next()? {
        b'}' if text.peek().is_none() => {}
        b',' => asked(text.rest, &mut reader)?,
        _ => return None,
    }
    (reader.rows, reader.values, reader.many) = (count, values, true);
    Some(reader.rows())
}

/// What stands after the rows and a comma: what is asked of them.
fn asked(rest: &[u8], reader: &mut Reader<'_>) -> Option<()> {
    if rest.len() > LONGEST_REST {
        return None;
    }
    let object = [b"{", rest].concat();
    let mut json = serde_json::Deserializer::from_slice(&object);
    json.deserialize_map(Rest(reader)).and_then(|()| json.end()).ok()?;
    // A comma is followed by something.
    (reader.faults.is_empty() && !reader.given.is_empty()).then_some(())
}

/// JSON that is read from its front.
struct Text<'b> {
    rest: &'b [u8],
}

/// Powers of ten that a float of 64 bits holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Whole numbers below are exact as floats of 64 bits.
const EXACT: u64 = 1 << 53;
/// So many digits are below 2^64.
const DIGITS: usize = 19;

impl<'b> Text<'b> {
    /// The first byte that is no space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let first = self.peek();
        self.rest = self.rest.split_first().map_or(&[], |(_, rest)| rest);
        first
    }

    #[inline]
    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    fn row(&mut self, columns: &[Bound], values: &mut Vec<f64>) -> Option<()> {
        self.take(b'[')?;
        let mut first = true;
        for bound in columns {
            if !std::mem::take(&mut first) {
                self.take(b',')?;
            }
            let value = match self.peek()? {
                b'n' if bound.missing => self.null()?,
                _ => self.number()?,
            };
            // NaN, which stands for what is missing, is neither less nor greater.
            if value < bound.least || value > bound.most || (bound.whole && value.fract() != 0.0 && !value.is_nan()) {
                return None;
            }
            values.push(value);
        }
        self.take(b']')
    }

    fn null(&mut self) -> Option<f64> {
        self.rest = self.rest.strip_prefix(b"null")?;
        Some(f64::NAN)
    }

    /// A number as RFC 8259 has it, correctly rounded. One of so few digits that both its digits and the power of ten are
    /// exact is one division away; the library reads the others.
    #[inline]
    fn number(&mut self) -> Option<f64> {
        let (negative, text) = match self.rest {
            [b'-', text @ ..] => (true, text),
            text => (false, text),
        };
        let (mut digits, rest) = Digits::read(text);
        if digits.count == 0 || (digits.count > 1 && text.first() == Some(&b'0')) {
            return None;
        }
        let (mut places, mut rest) = (0, rest);
        if let [b'.', text @ ..] = rest {
            let whole = digits.count;
            (digits, rest) = digits.more(text);
            places = digits.count - whole;
            if places == 0 {
                return None;
            }
        }
        let exact = digits.count <= DIGITS && digits.value < EXACT;
        let value = match (TENS.get(places), rest) {
            (_, [b'e' | b'E', text @ ..]) => {
                rest = exponent(text)?;
                None
            }
            (Some(ten), _) if exact => Some(digits.value as f64 / ten),
            _ => None,
        };
        let value = match value {
            Some(value) if negative => -value,
            Some(value) => value,
            None => self
                .rest
                .get(..self.rest.len() - rest.len())
                .and_then(|text| str::from_utf8(text).ok()?.parse().ok())?,
        };
        self.rest = rest;
        Some(value)
    }
}

/// After the letter: a sign, perhaps, and digits. What comes after them.
fn exponent(text: &[u8]) -> Option<&[u8]> {
    let text = match text {
        [b'+' | b'-', text @ ..] => text,
        text => text,
    };
    let (digits, rest) = Digits::read(text);
    (digits.count > 0).then_some(rest)
}

/// Digits, and their number while it is below 2^64.
struct Digits {
    value: u64,
    count: usize,
}

impl Digits {
    #[inline]
    fn read(text: &[u8]) -> (Self, &[u8]) {
        Self { value: 0, count: 0 }.more(text)
    }

    #[inline]
    fn more(mut self, mut text: &[u8]) -> (Self, &[u8]) {
        while let [digit @ b'0'..=b'9', rest @ ..] = text {
            self.value = self.value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.count += 1;
            text = rest;
        }
        (self, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<(f64, &str)> {
        let mut text = Text { rest: text.as_bytes() };
        let value = text.number()?;
        Some((value, std::str::from_utf8(text.rest).unwrap()))
    }

    #[test]
    fn numbers_are_jsons_and_correctly_rounded() {
        for text in [
            "0",
            "-0",
            "-0.0",
            "0.1",
            "5.1",
            "1e0",
            "1E+2",
            "1e-400",
            "123456789012345678901234567890",
            "9007199254740993",
            "0.000000000000000000000000000001",
            "2.2250738585072011e-308",
            "1.7976931348623157e308",
            "4.9e-324",
            "1e23",
            "9007199254740991.5",
            "0.30000000000000004",
            "18446744073709551615",
            "-18446744073709551616",
            "8.5e22",
            "1e400",
        ] {
            let (value, rest) = number(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((value.to_bits(), rest), (text.parse::<f64>().unwrap().to_bits(), ""), "{text}");
        }
        for text in ["", "-", "+1", ".5", "1.", "1.e5", "01", "-01", "1e", "1e+", "00", "NaN", "inf", "-inf", "e5", "x"]
        {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(number("1.5,2"), Some((1.5, ",2")));
        assert_eq!(number("0x10"), Some((0.0, "x10")));
    }
}
