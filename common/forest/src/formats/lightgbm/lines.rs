//! Lines of a text and their `key=value` groups, each with where it stands.

use crate::error::{Error, quote};

/// A line that is not empty, without its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    pub(super) offset: usize,
}

/// What is left of a text.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The next line, empty or not; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line<'a>>, Error> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let (line, length) = rest.split_once('\n').map_or((rest, rest.len()), |(line, _)| (line, line.len() + 1));
        let offset = self.at;
        if let Some(place) = line.find('\r') {
            let message = "has a carriage return: its line ends were converted, so LightGBM can not read it either; \
                           copy the file as binary";
            return Err(Error::content("the text", offset + place, message));
        }
        self.at += length;
        Ok(Some(Line { text: line, offset }))
    }

    /// The next line that is not empty.
    pub(super) fn next_filled(&mut self) -> Result<Option<Line<'a>>, Error> {
        while let Some(line) = self.next()? {
            if !line.text.is_empty() {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// Skips empty lines.
    pub(super) fn skip_empty(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.len() - rest.trim_start_matches('\n').len();
    }
}

/// The value of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) key: &'static str,
    pub(super) text: &'a str,
    pub(super) offset: usize,
}

impl Value<'_> {
    pub(super) fn fault(&self, message: impl Into<String>) -> Error {
        Error::content(self.key, self.offset, message)
    }
}

/// Keys and values up to an empty line.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    values: Vec<Value<'a>>,
    offset: usize,
}

impl<'a> Keys<'a> {
    /// Each of `known` may stand there once, those of `bare` without a value, and nothing else.
    pub(super) fn read(lines: &mut Lines<'a>, known: &[&'static str], bare: &[&'static str]) -> Result<Self, Error> {
        let mut keys = Self { values: Vec::new(), offset: lines.offset() };
        loop {
            let line = lines.next()?;
            let line = line.ok_or_else(|| Error::content("the text", lines.offset(), "is cut off"))?;
            if line.text.is_empty() {
                return Ok(keys);
            }
            let (name, text) = match line.text.split_once('=') {
                Some((name, text)) => (name, Some(text)),
                None => (line.text, None),
            };
            let list = if text.is_some() { known } else { bare };
            let Some(key) = list.iter().find(|key| **key == name) else {
                let message = "is not known here; LightGBM 2.3 to 4 writes no such line";
                return Err(Error::content(format!("`{}`", quote(name)), line.offset, message));
            };
            if keys.find(key).is_some() {
                return Err(Error::content(*key, line.offset, "stands there twice"));
            }
            let text = text.unwrap_or_default();
            keys.values.push(Value { key, text, offset: line.offset + line.text.len() - text.len() });
        }
    }

    pub(super) fn find(&self, key: &str) -> Option<Value<'a>> {
        self.values.iter().find(|value| value.key == key).copied()
    }

    pub(super) fn get(&self, key: &'static str) -> Result<Value<'a>, Error> {
        self.find(key).ok_or_else(|| Error::content(key, self.offset, "is missing"))
    }
}
