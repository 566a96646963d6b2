//! JSON as XGBoost writes and reads it (`src/common/json.cc`): RFC 8259, and `NaN`, `Infinity` and `-Infinity`. Numbers
//! are rounded once to what is asked for, as XGBoost's `from_chars` and `strtof` do.

use std::borrow::Cow;

use super::document::{Document, Kind, Member};
use crate::error::Error;
use crate::limits::Limits;
use crate::model::Label;

/// A cursor over a text.
#[derive(Debug)]
pub(super) struct Json<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Json<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Nothing but white space may follow.
    pub(super) fn end(mut self) -> Result<(), Error> {
        self.space();
        match self.bytes.len() - self.at.min(self.bytes.len()) {
            0 => Ok(()),
            count => Err(Error::Trailing { of: "JSON model", offset: self.at, count }),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// The next byte that is no white space, if it is this one.
    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, byte: u8) -> Result<(), Error> {
        if self.take(byte) { Ok(()) } else { Err(self.unlike(&format!("`{}`", char::from(byte)))) }
    }

    fn unlike(&self, expected: &str) -> Error {
        match self.peek() {
            Some(byte) => self.wrong(format!("`{}` where {expected} was expected", byte.escape_ascii())),
            None => self.wrong("the file ends here; it is cut off"),
        }
    }

    /// A number as it is written.
    fn number(&mut self) -> Result<&'b str, Error> {
        self.space();
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().position(|byte| !is_digit(byte)).unwrap_or(rest.len());
        match rest.get(..length).map(str::from_utf8) {
            Some(Ok(token)) if length > 0 => {
                self.at += length;
                Ok(token)
            }
            _ => Err(self.unlike("a number")),
        }
    }

    /// `NaN` and the infinities, which are no numbers of JSON.
    fn word(&mut self) -> Option<f32> {
        let words = [("NaN", f32::NAN), ("Infinity", f32::INFINITY), ("-Infinity", f32::NEG_INFINITY)];
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (word, value) = words.into_iter().find(|(word, _)| rest.starts_with(word.as_bytes()))?;
        self.at += word.len();
        Some(value)
    }

    fn literal(&mut self, word: &str) -> bool {
        let found = self.bytes.get(self.at..).unwrap_or_default().starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    pub(super) fn float(&mut self) -> Result<f32, Error> {
        self.space();
        match self.peek() {
            Some(b'N' | b'I' | b'-') if let Some(word) = self.word() => Ok(word),
            _ => {
                let token = self.number()?;
                token.parse().map_err(|_| self.wrong(format!("`{token}` is no number")))
            }
        }
    }

    fn integer<T: TryFrom<i64>>(&mut self) -> Result<T, Error> {
        self.space();
        let number = match self.peek() {
            Some(b't') if self.literal("true") => 1,
            Some(b'f') if self.literal("false") => 0,
            _ => self.int()?,
        };
        T::try_from(number).map_err(|_| self.wrong(format!("{number} is too large an integer here")))
    }

    /// A class of the scikit-learn wrapper.
    pub(super) fn label(&mut self, limits: &Limits) -> Result<Label, Error> {
        match self.kind()? {
            Kind::Text => self.name(limits).map(Label::Text),
            Kind::Bool => Ok(Label::Bool(self.integer::<u8>()? == 1)),
            _ => {
                let token = self.number()?;
                let int = token.parse().map(Label::Int);
                let label = int.or_else(|_| token.parse().map(Label::Float));
                label.map_err(|_| self.wrong(format!("`{token}` is no class")))
            }
        }
    }

    /// `[` was taken; calls `element` for each.
    fn rest_of_array(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        if self.take(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.take(b',') {
                return self.need(b']');
            }
        }
    }

    fn open_array(&mut self) -> Result<(), Error> {
        self.expect(Kind::Array)?;
        self.need(b'[')
    }
}

impl<'b> Document<'b> for Json<'b> {
    fn position(&self) -> usize {
        self.at
    }

    fn seek(&mut self, position: usize) {
        self.at = position;
    }

    fn kind(&mut self) -> Result<Kind, Error> {
        self.space();
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(b'-' | b'0'..=b'9' | b'N' | b'I') => Ok(Kind::Number),
            _ => Err(self.unlike("a value")),
        }
    }

    fn members(&mut self, member: &mut Member<'_, 'b, Self>) -> Result<(), Error> {
        self.need(b'{')?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.text()?;
            self.need(b':')?;
            member(self, &key)?;
            if !self.take(b',') {
                return self.need(b'}');
            }
        }
    }

    fn elements(&mut self, element: &mut dyn FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.need(b'[')?;
        self.rest_of_array(element)
    }

    fn text(&mut self) -> Result<Cow<'b, str>, Error> {
        self.expect(Kind::Text)?;
        let start = self.at;
        let rest = self.bytes.get(start + 1..).unwrap_or_default();
        let mut bytes = rest.iter().enumerate();
        let mut escaped = false;
        let end = loop {
            match bytes.next() {
                Some((at, b'"')) => break at,
                Some((_, b'\\')) => {
                    escaped = true;
                    bytes.next();
                }
                Some(_) => {}
                None => return Err(self.wrong("a string has no end; the file is cut off")),
            }
        };
        let quoted = self.bytes.get(start..start + end + 2).unwrap_or_default();
        let text = if escaped {
            serde_json::from_slice(quoted).map(Cow::Owned).ok()
        } else {
            str::from_utf8(rest.get(..end).unwrap_or_default()).map(Cow::Borrowed).ok()
        };
        let text = text.ok_or_else(|| self.wrong("is no string of UTF-8"))?;
        self.at = start + end + 2;
        Ok(text)
    }

    fn ints<T: TryFrom<i64>>(&mut self, out: &mut Vec<T>) -> Result<(), Error> {
        self.open_array()?;
        self.rest_of_array(|json| {
            out.push(json.integer()?);
            Ok(())
        })
    }

    fn floats(&mut self, out: &mut Vec<f32>) -> Result<(), Error> {
        self.open_array()?;
        self.rest_of_array(|json| {
            out.push(json.float()?);
            Ok(())
        })
    }

    fn int(&mut self) -> Result<i64, Error> {
        let token = self.number()?;
        token.parse().map_err(|_| self.wrong(format!("`{token}` is no integer")))
    }

    fn skip_scalar(&mut self) -> Result<(), Error> {
        self.space();
        let known = ["true", "false", "null"].iter().any(|word| self.literal(word));
        if known || self.word().is_some() { Ok(()) } else { self.number().map(drop) }
    }

    fn skip_array(&mut self) -> Result<bool, Error> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(text: &str) -> Result<Vec<f32>, Error> {
        let mut out = Vec::new();
        let mut json = Json::new(text.as_bytes());
        json.floats(&mut out)?;
        json.end()?;
        Ok(out)
    }

    #[test]
    fn rounds_once() {
        // between 1 and its successor, a hair above the middle: by way of f64 it becomes the even one, which is 1
        let text = "1.00000005960464477540000000000000001";
        assert_eq!(text.parse::<f64>().unwrap() as f32, 1.0);
        assert_eq!(floats(&format!("[{text}]")).unwrap(), [1.0_f32.next_up()]);
    }

    #[test]
    fn takes_what_json_has_not() {
        let found = floats(" [ NaN ,Infinity, -Infinity,-0E0 , 5E-1,1e-50,1E40] ").unwrap();
        assert!(found[0].is_nan());
        assert_eq!(found[1..], [f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.5, 0.0, f32::INFINITY]);
        assert!(found[3].is_sign_negative());
    }

    #[test]
    fn refuses_what_is_no_json() {
        for text in
            ["[1,]", "[1 2]", "[", "[1", "1", "[inf]", "[nan]", "[0x1]", "[1e]", "[,]", "[]]", "[\"1\"]", "[--1]"]
        {
            assert!(floats(text).is_err(), "{text}");
        }
    }

    #[test]
    fn strings() {
        let text = |text: &str| Json::new(text.as_bytes()).text().map(Cow::into_owned);
        assert_eq!(text(r#" "plain""#).unwrap(), "plain");
        assert_eq!(text(r#""a\"b\\\u00e9\ud83c\udf33""#).unwrap(), "a\"b\\é🌳");
        for bad in ["\"", "\"\\", "\"\\q\"", "\"\\ud800\"", "x"] {
            assert!(text(bad).is_err(), "{bad}");
        }
        assert!(Json::new(b"\"\xff\"").text().is_err());
    }

    #[test]
    fn skips_to_a_bounded_depth() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let skip = |text: &str| {
            let mut json = Json::new(text.as_bytes());
            json.skip().and_then(|()| json.end())
        };
        skip(&nested(60)).unwrap();
        skip(r#"{"a":[1,{"b":null}],"c":true,"d":-Infinity,"e":"x"}"#).unwrap();
        assert!(skip(&nested(1_000_000)).is_err());
        assert!(skip("[tru]").is_err());
    }
}
