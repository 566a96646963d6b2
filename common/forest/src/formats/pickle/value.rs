//! What a pickle becomes: inert values in one arena, which refer to each other by number. So nothing is built by
//! recursion, a cycle is only a number, and what is shared is there once.

use std::borrow::Cow;
use std::rc::Rc;

use super::known::Known;
use super::numpy::{Array, Dtype};
use crate::error::Error;
use crate::limits::Limits;

/// A value on the stack, in the memo or in a container.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Global(Known),
    Ref(Id),
}

/// The number of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id(u32);

/// A value that does not fit beside its kind.
#[derive(Debug)]
pub(crate) enum Object<'a> {
    Text(Cow<'a, str>),
    Bytes(Bytes<'a>),
    /// An integer of more than 64 bits; only random generators have them.
    BigInt,
    Tuple(Box<[Value]>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// Never looked into.
    Set,
    Dtype(Rc<Dtype>),
    Array(Box<Array<'a>>),
    Instance(Box<Instance>),
}

/// Bytes of the file, or bytes that an old protocol wrote as text.
#[derive(Debug, Clone)]
pub(crate) enum Bytes<'a> {
    File(&'a [u8]),
    Decoded(Rc<[u8]>),
}

impl Bytes<'_> {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::File(bytes) => bytes,
            Self::Decoded(bytes) => bytes,
        }
    }
}

/// An object of a known class: what it was made with, and the state that `BUILD` gave it.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) class: Known,
    pub(crate) args: Value,
    pub(crate) state: Option<Value>,
}

/// Bytes charged for one entry of the arena, and for one value in a container, the room that a growing vector leaves
/// empty included.
const ENTRY: usize = 64;
pub(super) const SLOT: usize = 24;

/// All objects of a pickle, and the account of what they cost.
#[derive(Debug)]
pub(crate) struct Arena<'a> {
    entries: Vec<(usize, Object<'a>)>,
    left: usize,
    max_objects: usize,
}

impl<'a> Arena<'a> {
    /// `size` is that of the file: what may be built is in proportion to it.
    pub(super) fn new(size: usize, limits: &Limits) -> Self {
        let left = size.saturating_mul(8).saturating_add(1 << 20);
        Self { entries: Vec::new(), left, max_objects: limits.max_pickle_objects }
    }

    /// Takes `bytes` from the account.
    pub(super) fn charge(&mut self, bytes: usize, offset: usize) -> Result<(), Error> {
        self.left = self.left.checked_sub(bytes).ok_or(Error::Amplification { offset })?;
        Ok(())
    }

    pub(super) fn add(&mut self, offset: usize, object: Object<'a>) -> Result<Value, Error> {
        let inner = match &object {
            Object::Tuple(values) => values.len().saturating_mul(SLOT),
            Object::Text(Cow::Owned(text)) => text.len(),
            Object::Bytes(Bytes::Decoded(bytes)) => bytes.len(),
            Object::Array(_) | Object::Instance(_) | Object::Dtype(_) => 2 * ENTRY,
            _ => 0,
        };
        self.charge(inner.saturating_add(ENTRY), offset)?;
        let number = u32::try_from(self.entries.len()).ok().filter(|_| self.entries.len() < self.max_objects);
        let number = number.ok_or_else(|| Error::limit("objects of a pickle", self.max_objects))?;
        self.entries.push((offset, object));
        Ok(Value::Ref(Id(number)))
    }

    pub(crate) fn get(&self, value: Value) -> Option<&Object<'a>> {
        match value {
            Value::Ref(Id(number)) => self.entries.get(number as usize).map(|(_, object)| object),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, value: Value) -> Option<&mut Object<'a>> {
        match value {
            Value::Ref(Id(number)) => self.entries.get_mut(number as usize).map(|(_, object)| object),
            _ => None,
        }
    }

    /// Where in the file a value was made, if it is an object.
    pub(crate) fn offset(&self, value: Value) -> Option<usize> {
        match value {
            Value::Ref(Id(number)) => self.entries.get(number as usize).map(|(offset, _)| *offset),
            _ => None,
        }
    }

    pub(crate) fn text(&self, value: Value) -> Option<&str> {
        match self.get(value) {
            Some(Object::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self, value: Value) -> Option<&[u8]> {
        match self.get(value) {
            Some(Object::Bytes(bytes)) => Some(bytes.as_slice()),
            _ => None,
        }
    }

    pub(crate) fn tuple(&self, value: Value) -> Option<&[Value]> {
        match self.get(value) {
            Some(Object::Tuple(values)) => Some(values),
            _ => None,
        }
    }

    pub(crate) fn list(&self, value: Value) -> Option<&[Value]> {
        match self.get(value) {
            Some(Object::List(values)) => Some(values),
            _ => None,
        }
    }

    pub(crate) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.get(value) {
            Some(Object::Dict(entries)) => Some(entries),
            _ => None,
        }
    }

    pub(crate) fn array(&self, value: Value) -> Option<&Array<'a>> {
        match self.get(value) {
            Some(Object::Array(array)) => Some(array),
            _ => None,
        }
    }

    pub(crate) fn dtype(&self, value: Value) -> Option<&Dtype> {
        match self.get(value) {
            Some(Object::Dtype(dtype)) => Some(dtype),
            _ => None,
        }
    }

    pub(crate) fn instance(&self, value: Value) -> Option<&Instance> {
        match self.get(value) {
            Some(Object::Instance(instance)) => Some(instance),
            _ => None,
        }
    }

    /// An integer, plain or as a numpy scalar.
    pub(crate) fn int(&self, value: Value) -> Option<i64> {
        match value {
            Value::Int(int) => Some(int),
            _ => self.array(value).filter(|array| array.shape.is_empty()).and_then(|array| array.ints()?.next()),
        }
    }

    /// A number of any kind, plain or as a numpy scalar.
    pub(crate) fn number(&self, value: Value) -> Option<f64> {
        match value {
            Value::Float(float) => Some(float),
            Value::Int(int) => Some(int as f64),
            _ => self.array(value).filter(|array| array.shape.is_empty()).and_then(|array| array.numbers()?.next()),
        }
    }

    /// A boolean, plain or as a numpy scalar.
    pub(crate) fn bool(&self, value: Value) -> Option<bool> {
        match value {
            Value::Bool(bool) => Some(bool),
            Value::Int(int @ (0 | 1)) => Some(int == 1),
            _ => self.array(value).filter(|array| array.shape.is_empty()).and_then(|array| array.flags()?.next()),
        }
    }

    /// What it is, in Python's words.
    pub(crate) fn kind(&self, value: Value) -> &'static str {
        match value {
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Int(_) => "an int",
            Value::Float(_) => "a float",
            Value::Global(_) => "a class or function",
            Value::Ref(_) => match self.get(value) {
                Some(Object::Text(_)) => "a str",
                Some(Object::Bytes(_)) => "bytes",
                Some(Object::BigInt) => "a large int",
                Some(Object::Tuple(_)) => "a tuple",
                Some(Object::List(_)) => "a list",
                Some(Object::Dict(_)) => "a dict",
                Some(Object::Set) => "a set",
                Some(Object::Dtype(_)) => "a numpy dtype",
                Some(Object::Array(_)) => "a numpy array",
                Some(Object::Instance(_)) => "an object",
                None => "nothing",
            },
        }
    }
}
