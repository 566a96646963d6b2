//! What stands before the numbers of an npy file (numpy, `lib/_format_impl.py`): a magic, a version, and a Python dictionary.

use crate::column::Kind;
use crate::error::{Error, quoted};

pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Bytes of a header; only structured arrays of many fields have more.
pub(super) const LONGEST: usize = 64 << 10;

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) number: Number,
    /// Whether columns lie together.
    pub(super) fortran: bool,
    pub(super) rows: u64,
    pub(super) columns: usize,
}

/// What each number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) sort: Sort,
    pub(super) bytes: usize,
    pub(super) big_endian: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Float,
    Signed,
    Unsigned,
    Bool,
}

impl Number {
    pub(super) fn kind(self) -> Kind {
        match (self.sort, self.bytes) {
            (Sort::Float, 4) => Kind::Single,
            (Sort::Float, _) => Kind::Double,
            (Sort::Bool, _) => Kind::Bool,
            (_, 1 | 2) => Kind::Small,
            _ => Kind::Whole,
        }
    }

    fn of(descr: &str) -> Result<Self, Error> {
        let refused = |what: &str| {
            Error::content(format!(
                "its numbers are of type {}, {what}; cast them with .astype(\"float64\")",
                quoted(descr)
            ))
        };
        let (order, rest) = descr.split_at_checked(1).ok_or_else(|| refused("which is unknown"))?;
        let (sort, bytes) = rest.split_at_checked(1).ok_or_else(|| refused("which is unknown"))?;
        let sort = match sort {
            "f" => Sort::Float,
            "i" => Sort::Signed,
            "u" => Sort::Unsigned,
            "b" => Sort::Bool,
            "c" => return Err(refused("complex numbers")),
            "O" => return Err(refused("Python objects, which are not read")),
            "U" | "S" | "a" => return Err(refused("texts")),
            "M" | "m" => return Err(refused("times")),
            "V" => return Err(refused("raw bytes")),
            _ => return Err(refused("which is unknown")),
        };
        let bytes = match (sort, bytes) {
            (Sort::Float, "2") => return Err(refused("16-bit floats")),
            (Sort::Float, "16" | "12") => return Err(refused("long doubles")),
            (Sort::Float | Sort::Signed | Sort::Unsigned, "4") => 4,
            (Sort::Float | Sort::Signed | Sort::Unsigned, "8") => 8,
            (Sort::Signed | Sort::Unsigned | Sort::Bool, "1") => 1,
            (Sort::Signed | Sort::Unsigned, "2") => 2,
            _ => return Err(refused("which is unknown")),
        };
        match (order, bytes) {
            ("<", _) | ("|", 1) => Ok(Self { sort, bytes, big_endian: false }),
            (">", _) => Ok(Self { sort, bytes, big_endian: true }),
            _ => Err(refused("which is unknown")),
        }
    }
}

/// Reads the dictionary.
pub(super) fn parse(text: &str) -> Result<Header, Error> {
    let mut parser = Parser(text.trim());
    let malformed = || Error::content("its header is no npy header");
    let (mut number, mut fortran, mut shape) = (None, None, None);
    parser.token("{").ok_or_else(malformed)?;
    while parser.token("}").is_none() {
        let key = parser.text().ok_or_else(malformed)?;
        parser.token(":").ok_or_else(malformed)?;
        let twice = match key {
            "descr" if parser.0.trim_start().starts_with(['[', '(']) => {
                return Err(Error::content(
                    "it is a structured array; give a plain one (numpy.lib.recfunctions.structured_to_unstructured)",
                ));
            }
            "descr" => number.replace(Number::of(parser.text().ok_or_else(malformed)?)?).is_some(),
            "fortran_order" => fortran.replace(parser.truth().ok_or_else(malformed)?).is_some(),
            "shape" => shape.replace(parser.shape().ok_or_else(malformed)?).is_some(),
            _ => true,
        };
        // a dictionary ends, or goes on after a comma
        if twice || (parser.token(",").is_none() && !parser.0.trim_start().starts_with('}')) {
            return Err(malformed());
        }
    }
    let (Some(number), Some(fortran), Some(shape), "") = (number, fortran, shape, parser.0) else {
        return Err(malformed());
    };
    let [rows, columns] = *shape.as_slice() else {
        let shape: Vec<String> = shape.iter().map(u64::to_string).collect();
        return Err(Error::content(format!(
            "it has {} dimensions (shape {}) where 2 are needed, rows and columns; give array.reshape(-1, columns)",
            shape.len(),
            shape.join(" × ")
        )));
    };
    let columns = usize::try_from(columns).map_err(|_| malformed())?;
    Ok(Header { number, fortran, rows, columns })
}

/// What is left of a Python literal.
struct Parser<'a>(&'a str);

impl<'a> Parser<'a> {
    fn token(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(token)?;
        Some(())
    }

    /// A text without escapes: numpy writes no others.
    fn text(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (text, rest) = rest.get(1..)?.split_once(quote)?;
        self.0 = rest;
        (!text.contains('\\')).then_some(text)
    }

    fn truth(&mut self) -> Option<bool> {
        let truth = self.token("True").map(|()| true);
        truth.or_else(|| self.token("False").map(|()| false))
    }

    fn shape(&mut self) -> Option<Vec<u64>> {
        self.token("(")?;
        let (inside, rest) = self.0.split_once(')')?;
        self.0 = rest;
        let mut sizes: Vec<&str> = inside.split(',').map(str::trim).collect();
        // one comma may stand after the last
        if sizes.last().is_some_and(|last| last.is_empty()) {
            sizes.pop();
        }
        // Python 2 wrote an L after a long number
        let size = |size: &str| size.strip_suffix('L').unwrap_or(size).parse().ok();
        sizes.into_iter().map(size).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_numpy_are_read() {
        let f8 = Number { sort: Sort::Float, bytes: 8, big_endian: false };
        let expected = Header { number: f8, fortran: false, rows: 150, columns: 4 };
        for text in [
            "{'descr': '<f8', 'fortran_order': False, 'shape': (150, 4), }   \n",
            "{\"shape\":(150L,4L,),\"descr\":\"<f8\",\"fortran_order\":False}",
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        let header = parse("{'descr': '>i2', 'fortran_order': True, 'shape': (0, 7)}").unwrap();
        assert!(header.fortran && header.rows == 0 && header.number.big_endian && header.number.bytes == 2);
        let header = parse("{'descr': '|b1', 'fortran_order': False, 'shape': (2, 1)}").unwrap();
        assert_eq!(header.number.kind(), Kind::Bool);
    }

    #[test]
    fn what_is_not_taken_is_named() {
        let descr = |descr: &str| format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1, 1), }}");
        for (text, told) in [
            (descr("[('a', '<f8'), ('b', '<f8')]"), "a structured array"),
            (descr("'|O'"), "Python objects"),
            (descr("'<U5'"), "texts"),
            (descr("'<M8[ns]'"), "times"),
            (descr("'<c16'"), "complex"),
            (descr("'<f2'"), "16-bit floats"),
            (descr("'<f16'"), "long doubles"),
            (descr("'|V8'"), "raw bytes"),
            (descr("'<f3'"), "unknown"),
            (descr("'|f8'"), "unknown"),
            (descr("''"), "unknown"),
            (descr("'é'"), "unknown"),
            (
                "{'descr': '<f8', 'fortran_order': False, 'shape': (150,), }".to_owned(),
                "it has 1 dimensions (shape 150)",
            ),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (), }".to_owned(), "it has 0 dimensions"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2, 3), }".to_owned(), "it has 3 dimensions"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }".to_owned(), "no npy header"),
            (
                "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999, 2), }".to_owned(),
                "no npy header",
            ),
            ("{'descr': '<f8', 'fortran_order': 0, 'shape': (1, 2), }".to_owned(), "no npy header"),
            ("{'descr': '<f8', 'shape': (1, 2), }".to_owned(), "no npy header"),
            ("{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }".to_owned(), "no npy header"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), 'x': 1}".to_owned(), "no npy header"),
            ("{'descr': '<f8' 'fortran_order': False, 'shape': (1, 2)}".to_owned(), "no npy header"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2)} x".to_owned(), "no npy header"),
            ("{".to_owned(), "no npy header"),
            (String::new(), "no npy header"),
        ] {
            let said = parse(&text).unwrap_err().to_string();
            assert!(said.contains(told), "{text}: {said}");
        }
    }
}
