//! A table in memory, of columns of different kinds, and its bytes: what is small enough to be held whole.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    UInt32Array,
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Field, Schema};

use crate::error::Error;
use crate::write::Choices;

/// The values of a column, a value a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Floats of 64 bits.
    Floats(Vec<f64>),
    /// Whole numbers.
    Whole(Vec<u32>),
    /// Each one of a few: their places. One beyond is missing.
    OneOf(Choices, Vec<u32>),
}

/// A table: names and values, of equally many rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Frame {
    /// In their order.
    pub columns: Vec<(String, Values)>,
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Whole(values) | Self::OneOf(_, values) => values.len(),
        }
    }
}

impl Frame {
    fn rows(&self) -> usize {
        self.columns.iter().map(|(_, values)| values.len()).max().unwrap_or(0)
    }

    /// As CSV with a header; floats in the shortest text that reads back to the same bits.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn csv(&self) -> Result<Vec<u8>, Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let failed = |error: csv::Error| Error::Write(error.into());
        writer.write_record(self.columns.iter().map(|(name, _)| name)).map_err(failed)?;
        let texts: Vec<Vec<String>> = self
            .columns
            .iter()
            .map(|(_, values)| if let Values::OneOf(choices, _) = values { choices.texts() } else { Vec::new() })
            .collect();
        let (mut floats, mut row) = (ryu::Buffer::new(), csv::ByteRecord::new());
        for at in 0..self.rows() {
            row.clear();
            for ((_, values), texts) in self.columns.iter().zip(&texts) {
                match values {
                    Values::Floats(values) => {
                        row.push_field(values.get(at).map_or("", |value| floats.format(*value)).as_bytes());
                    }
                    Values::Whole(values) => {
                        row.push_field(values.get(at).map_or_else(String::new, u32::to_string).as_bytes());
                    }
                    Values::OneOf(_, places) => {
                        let text = places.get(at).and_then(|place| texts.get(*place as usize));
                        row.push_field(text.map_or("", String::as_str).as_bytes());
                    }
                }
            }
            writer.write_byte_record(&row).map_err(failed)?;
        }
        writer.into_inner().map_err(|error| Error::Write(std::io::Error::from(error.error().kind())))
    }

    /// As a stream of Apache Arrow IPC; texts as a dictionary.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn arrow(&self) -> Result<Vec<u8>, Error> {
        let failed = |error: ArrowError| Error::Write(std::io::Error::other(error));
        let arrays: Vec<ArrayRef> = self.columns.iter().map(|(_, values)| array(values)).collect();
        let field = |((name, _), array): (&(String, Values), &ArrayRef)| {
            Field::new(name, array.data_type().clone(), array.is_nullable())
        };
        let fields: Vec<Field> = self.columns.iter().zip(&arrays).map(field).collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(failed)?;
        let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(failed)?;
        writer.write(&batch).map_err(failed)?;
        writer.into_inner().map_err(failed)
    }
}

fn array(values: &Values) -> ArrayRef {
    match values {
        Values::Floats(values) => Arc::new(Float64Array::from(values.clone())),
        Values::Whole(values) => Arc::new(UInt32Array::from(values.clone())),
        Values::OneOf(choices, places) => {
            fn of<T: Copy>(choices: &[T], places: &[u32]) -> Vec<Option<T>> {
                places.iter().map(|place| choices.get(*place as usize).copied()).collect()
            }
            match choices {
                Choices::Whole(choices) => Arc::new(Int64Array::from(of(choices, places))),
                Choices::Numbers(choices) => Arc::new(Float64Array::from(of(choices, places))),
                Choices::Bool(choices) => Arc::new(BooleanArray::from(of(choices, places))),
                Choices::Text(choices) => dictionary(choices, places),
            }
        }
    }
}

fn dictionary(choices: &[String], places: &[u32]) -> ArrayRef {
    let known = |place: &u32| i32::try_from(*place).ok().filter(|_| (*place as usize) < choices.len());
    let keys: Int32Array = places.iter().map(known).collect();
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(choices));
    match DictionaryArray::<Int32Type>::try_new(keys, Arc::clone(&values)) {
        Ok(array) => Arc::new(array),
        // every key is below the number of values
        Err(_) => values,
    }
}
