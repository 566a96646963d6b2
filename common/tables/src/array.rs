//! From an array of Arrow to numbers.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, downcast_dictionary_array};
use arrow_schema::DataType;

use crate::block::Float;
use crate::column::{Cell, Convert, Kind};

/// What a column of such arrays holds.
pub(crate) fn kind(of: &DataType) -> Kind {
    match of {
        DataType::Float32 => Kind::Single,
        DataType::Float64 => Kind::Double,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => Kind::Small,
        DataType::Int32 | DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Kind::Whole,
        DataType::Boolean => Kind::Bool,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
        DataType::Dictionary(_, values) => kind(values),
        other => Kind::Other(other.to_string()),
    }
}

/// The decoders take what a file says for true in places, and panic where it is not.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("its parts do not fit each other".to_owned()))
}

/// A row of the array, and what is wrong there.
type Fault = (usize, String);

/// Each value as a number, NaN where there is none.
#[expect(clippy::cast_precision_loss, reason = "a model's numbers are floats")]
pub(crate) fn numbers<T: Float>(array: &dyn Array, to: &mut Vec<T>) -> Result<(), Fault> {
    match array.data_type() {
        DataType::Float32 => primitive::<Float32Type, T>(array, T::single, to),
        DataType::Float64 => primitive::<Float64Type, T>(array, T::double, to),
        DataType::Int8 => primitive::<Int8Type, T>(array, |x| T::single(x.into()), to),
        DataType::Int16 => primitive::<Int16Type, T>(array, |x| T::single(x.into()), to),
        DataType::Int32 => primitive::<Int32Type, T>(array, |x| T::double(x.into()), to),
        DataType::Int64 => primitive::<Int64Type, T>(array, |x| T::double(x as f64), to),
        DataType::UInt8 => primitive::<UInt8Type, T>(array, |x| T::single(x.into()), to),
        DataType::UInt16 => primitive::<UInt16Type, T>(array, |x| T::single(x.into()), to),
        DataType::UInt32 => primitive::<UInt32Type, T>(array, |x| T::double(x.into()), to),
        DataType::UInt64 => primitive::<UInt64Type, T>(array, |x| T::double(x as f64), to),
        _ => each(array, &|cell| Ok(number(cell)), to)?,
    }
    Ok(())
}

fn primitive<A: ArrowPrimitiveType, T: Float>(array: &dyn Array, cast: impl Fn(A::Native) -> T, to: &mut Vec<T>) {
    let array = array.as_primitive::<A>();
    let begin = to.len();
    to.extend(array.values().iter().map(|value| cast(*value)));
    if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
        let values = to.get_mut(begin..).unwrap_or_default();
        values.iter_mut().zip(nulls).filter(|(_, there)| !there).for_each(|(value, _)| *value = T::NAN);
    }
}

/// Of a boolean, and of a dictionary's values.
#[expect(clippy::cast_precision_loss, reason = "a model's numbers are floats")]
fn number(cell: Cell<'_>) -> f64 {
    match cell {
        Cell::Float(value) => value,
        Cell::Signed(value) => value as f64,
        Cell::Unsigned(value) => value as f64,
        Cell::Bool(value) => f64::from(u8::from(value)),
        Cell::Missing | Cell::Text(_) | Cell::Written(_) => f64::NAN,
    }
}

/// What each cell becomes.
pub(crate) fn cells<T: Float>(array: &dyn Array, convert: &Convert, to: &mut Vec<T>) -> Result<(), Fault> {
    each(array, convert, to)
}

type Converting<'c> = &'c dyn Fn(Cell<'_>) -> Result<f64, String>;

fn each<T: Float>(array: &dyn Array, convert: Converting<'_>, to: &mut Vec<T>) -> Result<(), Fault> {
    match array.data_type() {
        DataType::Dictionary(..) => dictionary(array, convert, to),
        DataType::Boolean => push(array.as_boolean().iter().map(|value| value.map(Cell::Bool)), convert, to),
        DataType::Utf8 => push(array.as_string::<i32>().iter().map(|text| text.map(Cell::Text)), convert, to),
        DataType::LargeUtf8 => push(array.as_string::<i64>().iter().map(|text| text.map(Cell::Text)), convert, to),
        DataType::Utf8View => push(array.as_string_view().iter().map(|text| text.map(Cell::Text)), convert, to),
        DataType::Float32 => whole::<Float32Type, T>(array, |x| Cell::float(x.into()), convert, to),
        DataType::Float64 => whole::<Float64Type, T>(array, Cell::float, convert, to),
        DataType::Int8 => whole::<Int8Type, T>(array, |x| Cell::Signed(x.into()), convert, to),
        DataType::Int16 => whole::<Int16Type, T>(array, |x| Cell::Signed(x.into()), convert, to),
        DataType::Int32 => whole::<Int32Type, T>(array, |x| Cell::Signed(x.into()), convert, to),
        DataType::Int64 => whole::<Int64Type, T>(array, Cell::Signed, convert, to),
        DataType::UInt8 => whole::<UInt8Type, T>(array, |x| Cell::Unsigned(x.into()), convert, to),
        DataType::UInt16 => whole::<UInt16Type, T>(array, |x| Cell::Unsigned(x.into()), convert, to),
        DataType::UInt32 => whole::<UInt32Type, T>(array, |x| Cell::Unsigned(x.into()), convert, to),
        DataType::UInt64 => whole::<UInt64Type, T>(array, Cell::Unsigned, convert, to),
        other => Err((0, format!("is of type {other}, which is not read"))),
    }
}

fn whole<A: ArrowPrimitiveType, T: Float>(
    array: &dyn Array,
    cell: impl Fn(A::Native) -> Cell<'static>,
    convert: Converting<'_>,
    to: &mut Vec<T>,
) -> Result<(), Fault> {
    push(array.as_primitive::<A>().iter().map(|value| value.map(&cell)), convert, to)
}

fn push<'a, T: Float>(
    cells: impl Iterator<Item = Option<Cell<'a>>>,
    convert: Converting<'_>,
    to: &mut Vec<T>,
) -> Result<(), Fault> {
    for (row, cell) in cells.enumerate() {
        to.push(T::double(convert(cell.unwrap_or(Cell::Missing)).map_err(|message| (row, message))?));
    }
    Ok(())
}

/// Each value of the dictionary that a row has is converted once. What no row has takes no memory, however long the
/// dictionary is.
fn dictionary<T: Float>(array: &dyn Array, convert: Converting<'_>, to: &mut Vec<T>) -> Result<(), Fault> {
    let (keys, values) = keys(array)?;
    let mut converted: HashMap<Option<usize>, T> = HashMap::new();
    for (row, key) in keys.into_iter().enumerate() {
        let value = match (converted.get(&key), key) {
            (Some(value), _) => *value,
            (None, Some(key)) if key < values.len() => {
                one(&values.slice(key, 1), convert).map_err(|message| (row, message))?
            }
            (None, Some(_)) => return Err((row, "is beyond its dictionary".to_owned())),
            (None, None) => convert(Cell::Missing).map(T::double).map_err(|message| (row, message))?,
        };
        converted.insert(key, value);
        to.push(value);
    }
    Ok(())
}

fn one<T: Float>(array: &dyn Array, convert: Converting<'_>) -> Result<T, String> {
    let mut one = Vec::with_capacity(1);
    each(array, convert, &mut one).map_err(|(_, message)| message)?;
    Ok(one.first().copied().unwrap_or(T::NAN))
}

fn keys(array: &dyn Array) -> Result<(Vec<Option<usize>>, ArrayRef), Fault> {
    downcast_dictionary_array! {
        array => Ok((array.keys_iter().collect(), ArrayRef::clone(array.values()))),
        _ => Err((0, "is no dictionary".to_owned())),
    }
}
