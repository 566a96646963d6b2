//! The elements of a tensor, wherever they are: passed on one by one, in their order, without a copy of them.

use std::fmt;

use arborgate_forest::Scalar;
use bytes::Bytes;
use half::f16;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::datatype::Datatype;
use super::numbers::{Number, whole};

/// Where they are.
#[derive(Debug, Clone, Copy)]
pub enum Elements<'a> {
    /// JSON: a list, or lists in lists as the shape has them.
    Json {
        /// The list.
        text: &'a str,
        /// Whether an empty object stands for NaN in it.
        nan: bool,
    },
    /// Little-endian, one after another; a text after its length in four bytes.
    Raw(&'a [u8]),
    /// As a message of gRPC has them.
    Bools(&'a [bool]),
    /// As a message of gRPC has them.
    Ints(&'a [i32]),
    /// As a message of gRPC has them.
    Longs(&'a [i64]),
    /// As a message of gRPC has them.
    Uints(&'a [u32]),
    /// As a message of gRPC has them.
    Ulongs(&'a [u64]),
    /// As a message of gRPC has them.
    Floats(&'a [f32]),
    /// As a message of gRPC has them.
    Doubles(&'a [f64]),
    /// As a message of gRPC has them.
    Texts(&'a [Bytes]),
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Element<'a> {
    /// `null` or NaN in JSON.
    Missing,
    /// A value of the datatype; NaN is missing as well.
    Value(Scalar<'a>),
    /// None of the datatype: what it must be.
    Wrong(String),
}

/// How an element's place is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// By its number.
    Flat,
    /// By its place in each of the lists.
    Nested,
    /// It has none beside the tensor's.
    None,
}

/// What takes elements.
pub trait Take {
    /// The next.
    fn take(&mut self, element: Element<'_>, place: Place);
}

impl Elements<'_> {
    /// How many there can be at most, before any is looked at.
    pub fn at_most(&self, datatype: Datatype) -> usize {
        match self {
            // Each but the last takes a comma.
            Self::Json { text, .. } => text.len() / 2 + 1,
            Self::Raw(bytes) => bytes.len() / datatype.size().unwrap_or(4),
            Self::Bools(of) => of.len(),
            Self::Ints(of) => of.len(),
            Self::Longs(of) => of.len(),
            Self::Uints(of) => of.len(),
            Self::Ulongs(of) => of.len(),
            Self::Floats(of) => of.len(),
            Self::Doubles(of) => of.len(),
            Self::Texts(of) => of.len(),
        }
    }

    /// Passes all on; else what is wrong with the whole.
    pub fn each(&self, datatype: Datatype, shape: &[u64], into: &mut impl Take) -> Result<(), String> {
        let mut value = |scalar| into.take(Element::Value(scalar), Place::None);
        match self {
            Self::Json { text, nan } => return json(text, *nan, datatype, shape, into),
            Self::Raw(bytes) => return raw(bytes, datatype, into),
            Self::Bools(of) => of.iter().for_each(|of| value(Scalar::Bool(*of))),
            Self::Longs(of) => of.iter().for_each(|of| value(Scalar::Signed(*of))),
            Self::Ulongs(of) => of.iter().for_each(|of| value(Scalar::Unsigned(*of))),
            Self::Floats(of) => of.iter().for_each(|of| value(Scalar::Float((*of).into()))),
            Self::Doubles(of) => of.iter().for_each(|of| value(Scalar::Float(*of))),
            // Of smaller integers as well, which may not hold them.
            Self::Ints(of) => of.iter().for_each(|of| into.take(whole(Some((*of).into()), datatype), Place::None)),
            Self::Uints(of) => of.iter().for_each(|of| into.take(whole(Some((*of).into()), datatype), Place::None)),
            Self::Texts(of) => of.iter().for_each(|of| into.take(text(of), Place::None)),
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Element<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Element::Value(Scalar::Text(text)),
        Err(_) => Element::Wrong("must be a text in UTF-8".to_owned()),
    }
}

fn raw(bytes: &[u8], datatype: Datatype, into: &mut impl Take) -> Result<(), String> {
    fn all<const N: usize>(bytes: &[u8], into: &mut impl Take, read: impl Fn([u8; N]) -> Element<'static>) {
        // That there is no rest was looked at with the shape.
        bytes.as_chunks::<N>().0.iter().for_each(|chunk| into.take(read(*chunk), Place::None));
    }
    let (unsigned, signed) = (|of| Element::Value(Scalar::Unsigned(of)), |of| Element::Value(Scalar::Signed(of)));
    let float = |of| Element::Value(Scalar::Float(of));
    match datatype {
        Datatype::Bytes => return texts(bytes, into),
        Datatype::Bool => all(bytes, into, |[of]| match of {
            0 | 1 => Element::Value(Scalar::Bool(of == 1)),
            _ => Element::Wrong("must be a byte 0 or 1, as BOOL is".to_owned()),
        }),
        Datatype::Uint8 => all(bytes, into, |[of]| unsigned(of.into())),
        Datatype::Uint16 => all(bytes, into, |of| unsigned(u16::from_le_bytes(of).into())),
        Datatype::Uint32 => all(bytes, into, |of| unsigned(u32::from_le_bytes(of).into())),
        Datatype::Uint64 => all(bytes, into, |of| unsigned(u64::from_le_bytes(of))),
        Datatype::Int8 => all(bytes, into, |of| signed(i8::from_le_bytes(of).into())),
        Datatype::Int16 => all(bytes, into, |of| signed(i16::from_le_bytes(of).into())),
        Datatype::Int32 => all(bytes, into, |of| signed(i32::from_le_bytes(of).into())),
        Datatype::Int64 => all(bytes, into, |of| signed(i64::from_le_bytes(of))),
        Datatype::Fp16 => all(bytes, into, |of| float(f16::from_le_bytes(of).to_f64())),
        Datatype::Fp32 => all(bytes, into, |of| float(f32::from_le_bytes(of).into())),
        Datatype::Fp64 => all(bytes, into, |of| float(f64::from_le_bytes(of))),
    }
    Ok(())
}

fn texts(bytes: &[u8], into: &mut impl Take) -> Result<(), String> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let (len, after) = rest.split_first_chunk::<4>().ok_or_else(|| {
            format!("ends at byte {} of its buffer, within the length that begins at {at}", bytes.len())
        })?;
        let len = u32::from_le_bytes(*len);
        let whole = usize::try_from(len).ok().and_then(|len| after.split_at_checked(len));
        let (own, after) = whole
            .ok_or_else(|| format!("has a text of {len} bytes at byte {at} of its buffer, past whose end it goes"))?;
        into.take(text(own), Place::None);
        rest = after;
    }
    Ok(())
}

fn json(text: &str, nan: bool, datatype: Datatype, shape: &[u64], into: &mut impl Take) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let mut reader = Reader { datatype, shape, nan, nested: None, into };
    let read = json.deserialize_seq(List { reader: &mut reader, level: 0 }).and_then(|()| json.end());
    read.map_err(|error| {
        let told = error.to_string();
        told.split(" at line ").next().unwrap_or_default().to_owned()
    })
}

struct Reader<'r, T> {
    datatype: Datatype,
    shape: &'r [u64],
    nan: bool,
    /// Whether lists are in lists, as the first says.
    nested: Option<bool>,
    into: &'r mut T,
}

impl<T: Take> Reader<'_, T> {
    fn take(&mut self, element: Element<'_>) {
        let place = if self.nested == Some(true) { Place::Nested } else { Place::Flat };
        self.into.take(element, place);
    }
}

/// A list at a level of the shape.
struct List<'r, 'i, T> {
    reader: &'r mut Reader<'i, T>,
    level: usize,
}

impl<'de, T: Take> DeserializeSeed<'de> for List<'_, '_, T> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Take> Visitor<'de> for List<'_, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { reader, level } = self;
        let mut given: u64 = 0;
        while seq.next_element_seed(One { reader, level })?.is_some() {
            given += 1;
        }
        let wanted = reader.shape.get(level);
        if reader.nested == Some(true) && wanted.is_some_and(|wanted| *wanted != given) {
            let wanted = wanted.copied().unwrap_or_default();
            return Err(A::Error::custom(format!(
                "has a list of {given} in its lists of level {}, where its shape has {wanted}",
                level + 1
            )));
        }
        Ok(())
    }
}

/// An element, or a list of them.
struct One<'r, 'i, T> {
    reader: &'r mut Reader<'i, T>,
    level: usize,
}

impl<T: Take> One<'_, '_, T> {
    /// An element stands at the last level, or directly in the only list.
    fn element<E: serde::de::Error>(self, element: Element<'_>) -> Result<(), E> {
        let nested = *self.reader.nested.get_or_insert(false);
        if nested && self.level + 1 != self.reader.shape.len() {
            return Err(E::custom(format!(
                "has an element in its lists of level {}, where its shape has lists",
                self.level + 1
            )));
        }
        self.reader.take(element);
        Ok(())
    }
}

impl<'de, T: Take> DeserializeSeed<'de> for One<'_, '_, T> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Take> Visitor<'de> for One<'_, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an element")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        let element = Number::Float(value).element(self.reader.datatype);
        self.element(element)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        let element = Number::Unsigned(value).element(self.reader.datatype);
        self.element(element)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        let element = Number::Signed(value).element(self.reader.datatype);
        self.element(element)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        let element = match self.reader.datatype {
            Datatype::Bool => Element::Value(Scalar::Bool(value)),
            Datatype::Bytes => Element::Wrong("must be a text, as BYTES is".to_owned()),
            other => Element::Wrong(format!("must be a number, as {} is", other.name())),
        };
        self.element(element)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        let element = match self.reader.datatype {
            Datatype::Bytes => Element::Value(Scalar::Text(value)),
            Datatype::Bool => Element::Wrong("must be true or false, as BOOL is".to_owned()),
            other => Element::Wrong(format!("must be a number, as {} is", other.name())),
        };
        self.element(element)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.element(Element::Missing)
    }

    /// Only an empty one, which stands for NaN.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() || !self.reader.nan {
            return Err(A::Error::custom("has an object among its elements"));
        }
        self.element(Element::Missing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        let Self { reader, level } = self;
        let nested = *reader.nested.get_or_insert(true);
        if !nested || level + 1 >= reader.shape.len() {
            return Err(A::Error::custom(format!(
                "has a list in its lists of level {}, where its shape has elements",
                level + 1
            )));
        }
        List { reader, level: level + 1 }.visit_seq(seq)
    }
}

#[cfg(test)]
mod tests;
