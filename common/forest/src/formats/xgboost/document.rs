//! What JSON and UBJSON have in common: values one after another, pulled by who knows what should come. It knows no
//! model, builds no tree of values, and leaves out what nobody asks for.

use std::borrow::Cow;

use crate::error::{Error, quote};
use crate::limits::Limits;

/// Members of one object, at most; so a look for the same key twice takes no time that matters.
const MAX_MEMBERS: usize = 256;

/// Objects and arrays within each other, at most.
const MAX_DEPTH: usize = 64;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    Text,
    Number,
    Bool,
    Null,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Bool => "a boolean",
            Self::Null => "null",
        }
    }
}

/// What is done with a member of an object: the document stands at its value.
pub(super) type Member<'m, 'b, D> = dyn FnMut(&mut D, &Cow<'b, str>) -> Result<(), Error> + 'm;

/// A place in a file. Every error says where, from the outermost value on.
pub(super) trait Document<'b>: Sized {
    /// Bytes before the next value.
    fn position(&self) -> usize;

    /// Back, or forth, to a place where a value begins.
    fn seek(&mut self, position: usize);

    fn kind(&mut self) -> Result<Kind, Error>;

    /// Calls `member` for each key. It must take the value.
    fn members(&mut self, member: &mut Member<'_, 'b, Self>) -> Result<(), Error>;

    /// Calls `element` for each element, which it must take.
    fn elements(&mut self, element: &mut dyn FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error>;

    fn text(&mut self) -> Result<Cow<'b, str>, Error>;

    /// Integers; booleans are 0 and 1.
    fn ints<T: TryFrom<i64>>(&mut self, out: &mut Vec<T>) -> Result<(), Error>;

    /// Rounded once, to `f32`.
    fn floats(&mut self, out: &mut Vec<f32>) -> Result<(), Error>;

    fn int(&mut self) -> Result<i64, Error>;

    /// Takes a number, a boolean or null, whatever it is.
    fn skip_scalar(&mut self) -> Result<(), Error>;

    /// Takes an array of plain numbers at once, if that can be done; else nothing.
    fn skip_array(&mut self) -> Result<bool, Error>;

    fn wrong(&self, message: impl Into<String>) -> Error {
        Error::content("", self.position(), message)
    }

    fn expect(&mut self, expected: Kind) -> Result<(), Error> {
        match self.kind()? {
            kind if kind == expected => Ok(()),
            kind => Err(self.wrong(format!("is {} where {} was expected", kind.name(), expected.name()))),
        }
    }

    /// An object; the same key twice is refused.
    fn object(&mut self, member: &mut Member<'_, 'b, Self>) -> Result<(), Error> {
        self.expect(Kind::Object)?;
        let mut keys: Vec<Cow<'b, str>> = Vec::new();
        self.members(&mut |document, key| {
            if keys.contains(key) {
                return Err(under(document.wrong("stands there twice"), &quote(key)));
            }
            if keys.len() >= MAX_MEMBERS {
                return Err(document.wrong(format!("has more than {MAX_MEMBERS} members")));
            }
            member(document, key).map_err(|error| under(error, &quote(key)))?;
            keys.push(key.clone());
            Ok(())
        })
    }

    /// An array; `element` is told how many came before.
    fn array(&mut self, element: &mut dyn FnMut(&mut Self, usize) -> Result<(), Error>) -> Result<(), Error> {
        self.expect(Kind::Array)?;
        let mut count = 0;
        self.elements(&mut |document| {
            element(document, count).map_err(|error| under(error, &format!("[{count}]")))?;
            count += 1;
            Ok(())
        })
    }

    /// Takes a value that nobody asks for.
    fn skip(&mut self) -> Result<(), Error> {
        skip(self, MAX_DEPTH)
    }

    /// A text of no more than [`Limits::max_text`] bytes.
    fn name(&mut self, limits: &Limits) -> Result<String, Error> {
        let text = self.text()?;
        if text.len() > limits.max_text {
            return Err(Error::limit("bytes of a name or label", limits.max_text));
        }
        Ok(text.into_owned())
    }

    /// A number of at least 0, written as a text: XGBoost's parameters are all texts.
    fn count(&mut self) -> Result<usize, Error> {
        let text = self.text()?;
        text.parse().map_err(|_| self.wrong(format!("is `{}` where a number was expected", quote(&text))))
    }
}

fn skip<'b, D: Document<'b>>(document: &mut D, depth: usize) -> Result<(), Error> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(document.wrong(format!("is nested deeper than {MAX_DEPTH}")));
    };
    match document.kind()? {
        Kind::Object => document.members(&mut |document, _| skip(document, depth)),
        Kind::Array if document.skip_array()? => Ok(()),
        Kind::Array => document.elements(&mut |document| skip(document, depth)),
        Kind::Text => document.text().map(drop),
        Kind::Number | Kind::Bool | Kind::Null => document.skip_scalar(),
    }
}

/// Says in what value the fault stands.
pub(super) fn under(error: Error, step: &str) -> Error {
    match error {
        Error::Content { path, offset, message } => {
            let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            Error::Content { path: format!("{step}{dot}{path}"), offset, message }
        }
        Error::Tree { node, message } => Error::Content { path: format!("{step}, node {node}"), offset: None, message },
        Error::Model { message } => Error::Content { path: step.to_owned(), offset: None, message },
        other => other,
    }
}
