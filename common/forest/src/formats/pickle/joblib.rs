//! What joblib puts into a pickle in place of an array: a wrapper that describes it, and right after the wrapper the
//! array itself. Follows joblib's `numpy_pickle.py`.

use std::rc::Rc;

use super::known::Known;
use super::numpy::{self, Array, Data, Dtype, Kind};
use super::opcode::Cursor;
use super::value::{Arena, Bytes, Value};
use crate::error::Error;

/// Attributes of a wrapper, at most.
const MAX_ATTRIBUTES: usize = 16;

/// A `NumpyArrayWrapper`.
pub(super) struct Wrapper {
    dtype: Rc<Dtype>,
    shape: Vec<usize>,
    fortran: bool,
    /// Whether padding stands before the data: since joblib 1.2.
    padded: bool,
}

impl Wrapper {
    pub(super) fn new(arena: &Arena<'_>, state: Value, offset: usize) -> Result<Self, Error> {
        let wrong = |message: &str| Error::pickle(offset, format!("joblib's array wrapper {message}"));
        let entries = arena.dict(state).filter(|entries| entries.len() <= MAX_ATTRIBUTES);
        let entries = entries.ok_or_else(|| wrong("has no state"))?;
        let get = |name: &str| entries.iter().find(|(key, _)| arena.text(*key) == Some(name)).map(|(_, value)| *value);
        if get("subclass") != Some(Value::Global(Known::Ndarray)) {
            return Err(wrong("is for a subclass of numpy's array"));
        }
        let fortran = match get("order").and_then(|order| arena.text(order)) {
            Some("C") => false,
            Some("F") => true,
            _ => return Err(wrong("does not say its order")),
        };
        let padded = match get("numpy_array_alignment_bytes") {
            None | Some(Value::None) => false,
            Some(Value::Int(1..=128)) => true,
            Some(_) => return Err(wrong("has an alignment that is no number of bytes")),
        };
        let (Some(shape), Some(dtype)) = (get("shape"), get("dtype")) else {
            return Err(wrong("has no shape or no dtype"));
        };
        let shape = numpy::shape(arena, shape, offset)?;
        Ok(Self { dtype: numpy::dtype(arena, dtype, offset)?, shape, fortran, padded })
    }

    /// Whether a whole pickle follows in place of bytes.
    pub(super) fn is_nested(&self) -> bool {
        self.dtype.kind == Kind::Object
    }

    /// Takes the array's bytes.
    pub(super) fn read<'a>(self, cursor: &mut Cursor<'a>) -> Result<Array<'a>, Error> {
        if self.padded {
            let offset = cursor.offset();
            let padding = usize::from(cursor.u8("an array's padding")?);
            if cursor.take(padding, "an array's padding")?.iter().any(|byte| *byte != 0xff) {
                return Err(Error::pickle(offset, "the padding before an array is not 0xff"));
            }
        }
        let offset = cursor.offset();
        let size = numpy::count(&self.shape).and_then(|count| count.checked_mul(self.dtype.size));
        let size = size.ok_or_else(|| Error::pickle(offset, "an array's shape overflows"))?;
        let data = Data::Raw(Bytes::File(cursor.take(size, "an array")?));
        Array::new(self.dtype, self.shape, self.fortran, data, offset)
    }
}
