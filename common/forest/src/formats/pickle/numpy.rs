//! numpy's dtypes and arrays, as its `__reduce__` and joblib write them. Elements stay bytes until they are asked for.

use std::rc::Rc;

use super::value::{Arena, Bytes, SLOT, Value};
use crate::error::{Error, quote};

/// Fields of one record, and dimensions of one array, at most.
const MAX_FIELDS: usize = 64;
const MAX_RANK: usize = 32;

/// Of one element.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dtype {
    pub(crate) kind: Kind,
    /// Bytes.
    pub(crate) size: usize,
    pub(crate) big_endian: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Bool,
    Int,
    Uint,
    Float,
    /// UTF-32, filled with zeros.
    Text,
    /// Bytes, or a record whose fields did not come yet.
    Opaque,
    Object,
    Record(Vec<Field>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: Box<str>,
    pub(crate) dtype: Dtype,
    /// From the start of the record, in bytes.
    pub(crate) offset: usize,
}

impl Dtype {
    /// From the text that numpy reduces a dtype to, such as `i8`, `U10`, `V64`.
    fn parse(text: &str) -> Option<Self> {
        let (big_endian, rest) = match text.strip_prefix(['<', '|', '>']) {
            Some(rest) => (text.starts_with('>'), rest),
            None => (false, text),
        };
        let mut chars = rest.chars();
        let letter = chars.next()?;
        let digits = chars.as_str();
        let count = if letter == 'O' && digits.is_empty() { 8 } else { digits.parse::<u32>().ok()? as usize };
        let (kind, size) = match (letter, count) {
            ('b', 1) => (Kind::Bool, 1),
            ('i', 1 | 2 | 4 | 8) => (Kind::Int, count),
            ('u', 1 | 2 | 4 | 8) => (Kind::Uint, count),
            ('f', 4 | 8) => (Kind::Float, count),
            ('U', 1..) => (Kind::Text, count.checked_mul(4)?),
            ('S' | 'V', 1..) => (Kind::Opaque, count),
            ('O', 4 | 8) => (Kind::Object, 8),
            _ => return None,
        };
        Some(Self { kind, size, big_endian })
    }

    /// The name that numpy gives it, for messages.
    pub(crate) fn name(&self) -> String {
        let order = if self.big_endian { ">" } else { "<" };
        match &self.kind {
            Kind::Bool => "bool".to_owned(),
            Kind::Int => format!("{order}i{}", self.size),
            Kind::Uint => format!("{order}u{}", self.size),
            Kind::Float => format!("{order}f{}", self.size),
            Kind::Text => format!("{order}U{}", self.size / 4),
            Kind::Opaque => format!("V{}", self.size),
            Kind::Object => "object".to_owned(),
            Kind::Record(fields) => format!("a record of {} fields", fields.len()),
        }
    }

    pub(crate) fn fields(&self) -> Option<&[Field]> {
        match &self.kind {
            Kind::Record(fields) => Some(fields),
            _ => None,
        }
    }

    /// One element as an integer.
    pub(crate) fn int(&self, element: &[u8]) -> Option<i64> {
        match self.kind {
            Kind::Int => {
                let word = self.word(element)?;
                let unused = 64_u32.checked_sub(u32::try_from(self.size).ok()?.checked_mul(8)?)?;
                Some((word << unused).cast_signed() >> unused)
            }
            Kind::Uint => i64::try_from(self.word(element)?).ok(),
            _ => None,
        }
    }

    /// One element as a float.
    pub(crate) fn float(&self, element: &[u8]) -> Option<f64> {
        match (&self.kind, self.size) {
            (Kind::Float, 8) => Some(f64::from_bits(self.word(element)?)),
            (Kind::Float, 4) => Some(f64::from(f32::from_bits(u32::try_from(self.word(element)?).ok()?))),
            _ => None,
        }
    }

    /// One element as `f64`, if it is a number or a boolean.
    fn number(&self, element: &[u8]) -> Option<f64> {
        match self.kind {
            Kind::Float => self.float(element),
            Kind::Int | Kind::Uint => self.int(element).map(|int| int as f64),
            Kind::Bool => self.bool(element).map(f64::from),
            _ => None,
        }
    }

    /// One element as a boolean.
    pub(crate) fn bool(&self, element: &[u8]) -> Option<bool> {
        match (&self.kind, element) {
            (Kind::Bool, [byte]) => Some(*byte != 0),
            _ => None,
        }
    }

    /// One element as a text, without the zeros at its end.
    pub(crate) fn text(&self, element: &[u8]) -> Option<String> {
        if self.kind != Kind::Text {
            return None;
        }
        let read =
            |bytes: &[u8; 4]| if self.big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) };
        let (chars, rest) = element.as_chunks::<4>();
        let text: Option<String> = chars.iter().map(|bytes| char::from_u32(read(bytes))).collect();
        text.filter(|_| rest.is_empty()).map(|text| text.trim_end_matches('\0').to_owned())
    }

    fn word(&self, element: &[u8]) -> Option<u64> {
        if element.len() != self.size || self.size > 8 {
            return None;
        }
        let mut word = [0; 8];
        if self.big_endian {
            word.iter_mut().rev().zip(element.iter().rev()).for_each(|(to, from)| *to = *from);
            Some(u64::from_be_bytes(word))
        } else {
            word.iter_mut().zip(element).for_each(|(to, from)| *to = *from);
            Some(u64::from_le_bytes(word))
        }
    }
}

/// An array of any rank; rank 0 is a scalar.
#[derive(Debug)]
pub(crate) struct Array<'a> {
    pub(crate) dtype: Rc<Dtype>,
    pub(crate) shape: Vec<usize>,
    /// The first index moves fastest.
    pub(crate) fortran: bool,
    pub(crate) data: Data<'a>,
}

#[derive(Debug)]
pub(crate) enum Data<'a> {
    Raw(Bytes<'a>),
    Objects(Vec<Value>),
}

impl<'a> Array<'a> {
    /// # Errors
    /// When `data` is not exactly what `shape` and `dtype` say.
    pub(super) fn new(
        dtype: Rc<Dtype>,
        shape: Vec<usize>,
        fortran: bool,
        data: Data<'a>,
        offset: usize,
    ) -> Result<Self, Error> {
        let count = count(&shape).ok_or_else(|| Error::pickle(offset, "an array's shape overflows"))?;
        let fits = match &data {
            Data::Raw(bytes) => {
                dtype.kind != Kind::Object && count.checked_mul(dtype.size) == Some(bytes.as_slice().len())
            }
            Data::Objects(values) => dtype.kind == Kind::Object && count == values.len(),
        };
        if !fits {
            let message = format!("an array of {} with shape {shape:?} has data of another size", dtype.name());
            return Err(Error::pickle(offset, message));
        }
        Ok(Self { dtype, shape, fortran: fortran && count > 1, data })
    }

    /// The elements in row-major order, as bytes. Nothing for objects, and for a matrix in column-major order.
    pub(crate) fn elements(&self) -> Option<std::slice::ChunksExact<'_, u8>> {
        match &self.data {
            Data::Raw(bytes) if !self.fortran || self.shape.len() < 2 => {
                Some(bytes.as_slice().chunks_exact(self.dtype.size))
            }
            _ => None,
        }
    }

    /// All elements as `f64`, if they are numbers or booleans.
    pub(crate) fn numbers(&self) -> Option<impl Iterator<Item = f64> + '_> {
        let numbers: Option<Vec<f64>> = self.elements()?.map(|element| self.dtype.number(element)).collect();
        numbers.map(Vec::into_iter)
    }

    /// All elements as booleans, if they are booleans or bytes.
    pub(crate) fn flags(&self) -> Option<impl Iterator<Item = bool> + '_> {
        let flag = |element: &[u8]| {
            self.dtype.bool(element).or_else(|| Some(self.dtype.int(element)? != 0).filter(|_| self.dtype.size == 1))
        };
        let flags: Option<Vec<bool>> = self.elements()?.map(flag).collect();
        flags.map(Vec::into_iter)
    }

    /// All elements as integers, if they are.
    pub(crate) fn ints(&self) -> Option<impl Iterator<Item = i64> + '_> {
        let ints: Option<Vec<i64>> = self.elements()?.map(|element| self.dtype.int(element)).collect();
        ints.map(Vec::into_iter)
    }
}

pub(super) fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |count, side| count.checked_mul(*side))
}

/// A tuple of sides, or one side.
pub(super) fn shape(arena: &Arena<'_>, value: Value, offset: usize) -> Result<Vec<usize>, Error> {
    let one = [value];
    let sides = match arena.tuple(value) {
        Some(sides) => sides,
        None => &one,
    };
    let side = |side: &Value| arena.int(*side).and_then(|side| usize::try_from(side).ok());
    let shape: Option<Vec<usize>> = sides.iter().take(MAX_RANK + 1).map(side).collect();
    shape
        .filter(|shape| shape.len() <= MAX_RANK)
        .ok_or_else(|| Error::pickle(offset, format!("{} is no shape of an array", arena.kind(value))))
}

pub(super) fn dtype(arena: &Arena<'_>, value: Value, offset: usize) -> Result<Rc<Dtype>, Error> {
    match arena.get(value) {
        Some(super::value::Object::Dtype(dtype)) => Ok(Rc::clone(dtype)),
        _ => Err(Error::pickle(offset, format!("{} where a numpy dtype was expected", arena.kind(value)))),
    }
}

/// `numpy.dtype(text, align, copy)`.
pub(super) fn make_dtype(arena: &Arena<'_>, args: &[Value], offset: usize) -> Result<Rc<Dtype>, Error> {
    let text = match args {
        [text] | [text, Value::Bool(_) | Value::Int(0 | 1), Value::Bool(_) | Value::Int(0 | 1)] => arena.text(*text),
        _ => None,
    };
    let text = text.ok_or_else(|| Error::pickle(offset, "numpy.dtype was given other arguments than numpy writes"))?;
    let dtype = Dtype::parse(text).ok_or_else(|| {
        let message = format!("numpy dtype `{}` is none that a forest has", quote(text));
        Error::pickle(offset, message)
    })?;
    Ok(Rc::new(dtype))
}

/// `dtype.__setstate__`: `(3, order, None, names, fields, itemsize, alignment, flags)`.
pub(super) fn set_dtype_state(arena: &Arena<'_>, dtype: &Dtype, state: Value, offset: usize) -> Result<Dtype, Error> {
    let Some([Value::Int(3), order, Value::None, names, fields, size, Value::Int(_), Value::Int(_)]) =
        arena.tuple(state)
    else {
        return Err(Error::pickle(
            offset,
            "a numpy dtype has a state that is not read (metadata, subarray or version)",
        ));
    };
    let order = arena.text(*order).unwrap_or_default();
    let big_endian = match order {
        "<" | "|" => false,
        ">" => true,
        _ => return Err(Error::pickle(offset, format!("`{}` is no byte order", quote(order)))),
    };
    let mut dtype = Dtype { big_endian, ..dtype.clone() };
    if *size != Value::Int(-1) && arena.int(*size).and_then(|size| usize::try_from(size).ok()) != Some(dtype.size) {
        return Err(Error::pickle(offset, "a numpy dtype gives two sizes"));
    }
    match (names, fields) {
        (Value::None, Value::None) => {}
        _ if dtype.kind == Kind::Opaque => {
            dtype.kind = Kind::Record(record(arena, *names, *fields, dtype.size, offset)?)
        }
        _ => return Err(Error::pickle(offset, "a numpy dtype has fields and is no record")),
    }
    Ok(dtype)
}

fn record(arena: &Arena<'_>, names: Value, fields: Value, size: usize, offset: usize) -> Result<Vec<Field>, Error> {
    let wrong = |message: &str| Error::pickle(offset, format!("a numpy record {message}"));
    let (Some(names), Some(fields)) = (arena.tuple(names), arena.dict(fields)) else {
        return Err(wrong("has no names or no fields"));
    };
    if names.len() > MAX_FIELDS || names.len() != fields.len() {
        return Err(wrong("has too many fields, or names them twice"));
    }
    let mut record = Vec::with_capacity(names.len());
    for name in names {
        let name =
            arena.text(*name).filter(|name| name.len() <= 256).ok_or_else(|| wrong("has a field with no name"))?;
        let mut found = fields.iter().filter(|(key, _)| arena.text(*key) == Some(name));
        let (Some((_, field)), None) = (found.next(), found.next()) else {
            return Err(wrong("names a field that is not there, or is there twice"));
        };
        let Some([dtype_of_field, at]) = arena.tuple(*field) else {
            return Err(wrong("has a field without a dtype and an offset"));
        };
        let field_dtype = dtype(arena, *dtype_of_field, offset)?;
        let at = arena.int(*at).and_then(|at| usize::try_from(at).ok());
        let at = at.filter(|at| at.checked_add(field_dtype.size).is_some_and(|end| end <= size));
        let at = at.ok_or_else(|| wrong("has a field outside of it"))?;
        if !matches!(field_dtype.kind, Kind::Bool | Kind::Int | Kind::Uint | Kind::Float) {
            return Err(wrong("has a field that is no number"));
        }
        record.push(Field { name: name.into(), dtype: (*field_dtype).clone(), offset: at });
    }
    Ok(record)
}

/// `ndarray.__setstate__`: `(1, shape, dtype, is_fortran, data)`.
pub(super) fn array_from_state<'a>(arena: &mut Arena<'a>, state: Value, offset: usize) -> Result<Array<'a>, Error> {
    let Some(&[Value::Int(1), sides, of, order, data]) = arena.tuple(state) else {
        return Err(Error::pickle(offset, "a numpy array has a state of another version"));
    };
    let fortran = match order {
        Value::Bool(fortran) => fortran,
        Value::Int(order @ (0 | 1)) => order == 1,
        _ => return Err(Error::pickle(offset, "a numpy array does not say its order")),
    };
    let shape = shape(arena, sides, offset)?;
    let dtype = dtype(arena, of, offset)?;
    let data = match arena.get(data) {
        Some(super::value::Object::Bytes(bytes)) => Data::Raw(bytes.clone()),
        Some(super::value::Object::List(values)) => {
            let count = values.len();
            arena.charge(count.saturating_mul(SLOT), offset)?;
            Data::Objects(arena.list(data).unwrap_or_default().to_vec())
        }
        _ => return Err(Error::pickle(offset, format!("a numpy array has {} as data", arena.kind(data)))),
    };
    Array::new(dtype, shape, fortran, data, offset)
}

/// `_frombuffer(bytes, dtype, shape, order)`.
pub(super) fn array_from_buffer<'a>(arena: &Arena<'a>, args: &[Value], offset: usize) -> Result<Array<'a>, Error> {
    let &[data, of, sides, order] = args else {
        return Err(Error::pickle(offset, "numpy's _frombuffer was given other arguments than numpy writes"));
    };
    let fortran = match arena.text(order) {
        Some("C") => false,
        Some("F") => true,
        _ => return Err(Error::pickle(offset, "a numpy array does not say its order")),
    };
    let Some(super::value::Object::Bytes(bytes)) = arena.get(data) else {
        return Err(Error::pickle(offset, format!("a numpy array has {} as data", arena.kind(data))));
    };
    let bytes = bytes.clone();
    Array::new(dtype(arena, of, offset)?, shape(arena, sides, offset)?, fortran, Data::Raw(bytes), offset)
}

/// `scalar(dtype, bytes)`: an array of rank 0.
pub(super) fn scalar<'a>(arena: &Arena<'a>, args: &[Value], offset: usize) -> Result<Array<'a>, Error> {
    let &[of, data] = args else {
        return Err(Error::pickle(offset, "numpy's scalar was given other arguments than numpy writes"));
    };
    let Some(super::value::Object::Bytes(bytes)) = arena.get(data) else {
        return Err(Error::pickle(offset, format!("a numpy scalar has {} as data", arena.kind(data))));
    };
    Array::new(dtype(arena, of, offset)?, Vec::new(), false, Data::Raw(bytes.clone()), offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_each_kind_and_order() {
        let int = |text: &str, bytes: &[u8]| Dtype::parse(text).unwrap().int(bytes);
        assert_eq!(int("<i8", &(-5_i64).to_le_bytes()), Some(-5));
        assert_eq!(int(">i8", &(-5_i64).to_be_bytes()), Some(-5));
        assert_eq!(int("i1", &[0xff]), Some(-1));
        assert_eq!(int(">i2", &[0x80, 0]), Some(-32768));
        assert_eq!(int("u1", &[0xff]), Some(255));
        assert_eq!(int(">u4", &[0, 0, 1, 2]), Some(258));
        assert_eq!(int("u8", &[0xff; 8]), None);
        assert_eq!(int("i4", &[0; 8]), None);
        assert_eq!(int("f8", &[0; 8]), None);
        let float = |text: &str, bytes: &[u8]| Dtype::parse(text).unwrap().float(bytes);
        assert_eq!(float("f8", &0.1_f64.to_le_bytes()), Some(0.1));
        assert_eq!(float(">f4", &0.1_f32.to_be_bytes()), Some(f64::from(0.1_f32)));
        let text = |name: &str, bytes: &[u8]| Dtype::parse(name).unwrap().text(bytes);
        assert_eq!(text("U2", &[b'a', 0, 0, 0, 0, 0, 0, 0]).as_deref(), Some("a"));
        assert_eq!(text(">U2", &[0, 0, 0, b'a', 0, 1, 0xf6, 0]).as_deref(), Some("a\u{1f600}"));
        assert_eq!(text("U1", &[0, 0xd8, 0, 0]), None);
    }

    #[test]
    fn refuses_dtypes_that_no_forest_has() {
        for text in ["", "c16", "M8", "f2", "f16", "i3", "U0", "V0", "S0", "U99999999999", "i", "T16", "=i8"] {
            assert_eq!(Dtype::parse(text), None, "{text}");
        }
    }
}
