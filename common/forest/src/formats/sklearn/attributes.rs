//! Attributes of the objects in a pickle, by name, with where they stand for the errors. Keeps account of what was used,
//! so that a small file can not become a large model by naming one array often.

use std::collections::HashSet;

use super::version::Version;
use crate::error::Error;
use crate::formats::pickle::Pickle;
use crate::formats::pickle::known::Known;
use crate::formats::pickle::numpy::Array;
use crate::formats::pickle::value::{Arena, Value};
use crate::limits::Limits;

/// Attributes of one object, at most; so a lookup takes no time that matters.
const MAX_ATTRIBUTES: usize = 256;

/// The pickle under reading.
pub(in crate::formats) struct Reader<'p> {
    pub(in crate::formats) arena: &'p Arena<'p>,
    pub(in crate::formats) root: Value,
    pub(in crate::formats) limits: &'p Limits,
    used: HashSet<crate::formats::pickle::value::Id>,
    /// Bytes of arrays that may still be taken: each byte of the file at most once.
    left: usize,
    /// Bytes that may still be taken for what the file says once and the model holds several times, or wider: columns, sets.
    copies: usize,
    pub(in crate::formats) nodes: usize,
    /// Of the library, as the outermost object says; each other must say the same.
    version: Option<(&'p str, Version)>,
}

impl<'p> Reader<'p> {
    pub(in crate::formats) fn new(pickle: &'p Pickle<'p>, limits: &'p Limits) -> Self {
        let Pickle { arena, root, size } = pickle;
        let copies = size.saturating_mul(8).saturating_add(1 << 20);
        Self { arena, root: *root, limits, used: HashSet::new(), left: *size, copies, nodes: 0, version: None }
    }

    /// Marks an object as part of the model; it may be so once.
    pub(in crate::formats) fn claim(&mut self, value: Value, path: &str) -> Result<(), Error> {
        match value {
            Value::Ref(id) if !self.used.insert(id) => {
                Err(Error::content(path, self.arena.offset(value), "stands in the model a second time"))
            }
            _ => Ok(()),
        }
    }

    /// Takes bytes of the file into the model.
    pub(in crate::formats) fn spend(&mut self, bytes: usize, path: &str) -> Result<(), Error> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| Error::content(path, None, "shares its bytes with another array"))?;
        Ok(())
    }

    /// Takes from what may be copied.
    pub(super) fn copy(&mut self, bytes: usize, path: &str) -> Result<(), Error> {
        let left = self.copies.checked_sub(bytes);
        self.copies = left.ok_or_else(|| {
            Error::content(path, None, "makes far more of columns or categories than the file has bytes")
        })?;
        Ok(())
    }

    /// An object of scikit-learn as a part of the model: its attributes, and the version that made it.
    pub(super) fn part(&mut self, object: Value, path: &str) -> Result<(Attributes<'p>, Version), Error> {
        self.claim(object, if path.is_empty() { "the model" } else { path })?;
        let attributes = self.attributes(object, path)?;
        let text = attributes.text("_sklearn_version")?;
        let version = match self.version {
            None => Version::parse(text, "_sklearn_version")?,
            Some((outer, version)) if outer == text => version,
            Some((outer, _)) => {
                return Err(attributes.fault("_sklearn_version", format!("is not {outer}, as of the whole")));
            }
        };
        self.version = Some((text, version));
        Ok((attributes, version))
    }

    /// What the outermost object says of the version.
    pub(super) fn version(&self) -> &'p str {
        self.version.map_or("", |(text, _)| text)
    }

    /// A vector of `length` numbers.
    pub(super) fn numbers(&mut self, of: &Attributes<'_>, name: &str, length: usize) -> Result<Vec<f64>, Error> {
        let (value, array) = of.array(name)?;
        let numbers = array.numbers().filter(|_| array.shape == [length]);
        let numbers = numbers.ok_or_else(|| {
            let (found, dtype) = (&array.shape, array.dtype.name());
            of.fault(name, format!("has shape {found:?} of {dtype} where {length} numbers were expected"))
        })?;
        self.claim(value, &of.path_of(name))?;
        self.spend(length.saturating_mul(array.dtype.size), &of.path_of(name))?;
        Ok(numbers.collect())
    }

    /// The attributes of an instance, which are its state.
    pub(in crate::formats) fn attributes(&self, object: Value, path: &str) -> Result<Attributes<'p>, Error> {
        let state = self.arena.instance(object).and_then(|instance| instance.state);
        let entries = state.and_then(|state| self.arena.dict(state));
        let offset = self.arena.offset(object);
        let entries = entries.ok_or_else(|| Error::content(path, offset, "has no attributes"))?;
        if entries.len() > MAX_ATTRIBUTES {
            return Err(Error::content(path, offset, format!("has more than {MAX_ATTRIBUTES} attributes")));
        }
        Ok(Attributes { arena: self.arena, entries, path: path.to_owned(), offset })
    }

    pub(in crate::formats) fn class(&self, object: Value) -> Option<Known> {
        self.arena.instance(object).map(|instance| instance.class)
    }
}

/// Of one object.
pub(in crate::formats) struct Attributes<'p> {
    arena: &'p Arena<'p>,
    entries: &'p [(Value, Value)],
    path: String,
    offset: Option<usize>,
}

impl<'p> Attributes<'p> {
    /// `None` if it is absent.
    pub(in crate::formats) fn find(&self, name: &str) -> Result<Option<Value>, Error> {
        let mut found = self.entries.iter().filter(|(key, _)| self.arena.text(*key) == Some(name));
        match (found.next(), found.next()) {
            (found, None) => Ok(found.map(|(_, value)| *value)),
            _ => Err(self.fault(name, "stands there twice")),
        }
    }

    pub(in crate::formats) fn get(&self, name: &str) -> Result<Value, Error> {
        self.find(name)?.ok_or_else(|| self.fault(name, "is missing; was the model fitted?"))
    }

    /// A number that is no less than 0.
    pub(in crate::formats) fn count(&self, name: &str) -> Result<usize, Error> {
        let value = self.get(name)?;
        let count = self.arena.int(value).and_then(|int| usize::try_from(int).ok());
        count.ok_or_else(|| self.unlike(name, value, "an int of at least 0"))
    }

    pub(in crate::formats) fn text(&self, name: &str) -> Result<&'p str, Error> {
        let value = self.get(name)?;
        self.arena.text(value).ok_or_else(|| self.unlike(name, value, "a str"))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Error> {
        let value = self.get(name)?;
        self.arena.bool(value).ok_or_else(|| self.unlike(name, value, "a bool"))
    }

    pub(super) fn number(&self, name: &str) -> Result<f64, Error> {
        let value = self.get(name)?;
        self.arena.number(value).ok_or_else(|| self.unlike(name, value, "a number"))
    }

    pub(in crate::formats) fn array(&self, name: &str) -> Result<(Value, &'p Array<'p>), Error> {
        let value = self.get(name)?;
        let array = self.arena.array(value).ok_or_else(|| self.unlike(name, value, "a numpy array"))?;
        Ok((value, array))
    }

    pub(in crate::formats) fn list(&self, name: &str) -> Result<&'p [Value], Error> {
        let value = self.get(name)?;
        self.arena.list(value).ok_or_else(|| self.unlike(name, value, "a list"))
    }

    pub(in crate::formats) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(in crate::formats) fn fault(&self, name: &str, message: impl Into<String>) -> Error {
        let offset = self.entries.iter().find(|(key, _)| self.arena.text(*key) == Some(name));
        let offset = offset.and_then(|(_, value)| self.arena.offset(*value)).or(self.offset);
        Error::content(self.path_of(name), offset, message)
    }

    pub(super) fn unlike(&self, name: &str, value: Value, expected: &str) -> Error {
        self.fault(name, format!("is {} where {expected} was expected", self.arena.kind(value)))
    }
}
