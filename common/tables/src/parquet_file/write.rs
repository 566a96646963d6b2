//! Writes Parquet.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use ndarray::{ArrayView1, ArrayView2};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::error::Error;
use crate::write::{Answers, Choices, Columns, Sink, other_columns};

/// Bytes of a row group, about: it stays in memory until it is whole.
const ROW_GROUP: usize = 64 << 20;
const WRITTEN_BY: &str = concat!("arborgate ", env!("CARGO_PKG_VERSION"));

pub(crate) struct ParquetWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
    columns: Columns,
}

impl<W: Write + Send> ParquetWriter<W> {
    pub(crate) fn new(to: W, columns: Columns) -> Result<Self, Error> {
        let field = |name: &str, kind| Field::new(name, kind, false);
        let fields: Vec<Field> = match &columns {
            Columns::Numbers(names) => names.iter().map(|name| field(name, DataType::Float64)).collect(),
            Columns::OneOf(columns) => columns.iter().map(|(name, choices)| field(name, kind(choices))).collect(),
        };
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(WRITTEN_BY.to_owned())
            // predictions are seldom alike, labels always
            .set_dictionary_enabled(matches!(columns, Columns::OneOf(_)))
            .build();
        let writer =
            ArrowWriter::try_new(to, Arc::clone(&schema), Some(properties)).map_err(failed).map_err(Error::Write)?;
        Ok(Self { writer, schema, columns })
    }
}

fn kind(choices: &Choices) -> DataType {
    match choices {
        Choices::Whole(_) => DataType::Int64,
        Choices::Numbers(_) => DataType::Float64,
        Choices::Bool(_) => DataType::Boolean,
        Choices::Text(_) => DataType::Utf8,
    }
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

fn numbers(rows: ArrayView2<'_, f64>) -> Vec<ArrayRef> {
    let column =
        |column: ArrayView1<'_, f64>| Arc::new(Float64Array::from_iter_values(column.iter().copied())) as ArrayRef;
    rows.columns().into_iter().map(column).collect()
}

fn chosen(places: ArrayView1<'_, u32>, choices: &Choices) -> Option<ArrayRef> {
    let places = places.iter().map(|place| *place as usize);
    Some(match choices {
        Choices::Whole(of) => {
            Arc::new(Int64Array::from(places.map(|place| of.get(place).copied()).collect::<Option<Vec<_>>>()?))
        }
        Choices::Numbers(of) => {
            Arc::new(Float64Array::from(places.map(|place| of.get(place).copied()).collect::<Option<Vec<_>>>()?))
        }
        Choices::Bool(of) => {
            Arc::new(BooleanArray::from(places.map(|place| of.get(place).copied()).collect::<Option<Vec<_>>>()?))
        }
        Choices::Text(of) => Arc::new(StringArray::from(
            places.map(|place| of.get(place).map(String::as_str)).collect::<Option<Vec<_>>>()?,
        )),
    })
}

impl<W: Write + Send> Sink for ParquetWriter<W> {
    fn write(&mut self, rows: &Answers) -> io::Result<()> {
        let arrays = match (rows, &self.columns) {
            (Answers::Numbers(rows), Columns::Numbers(_)) => numbers(rows.view()),
            (Answers::Places(rows), Columns::OneOf(columns)) => {
                let each = rows.columns().into_iter().zip(columns);
                let arrays: Option<Vec<_>> = each.map(|(places, (_, choices))| chosen(places, choices)).collect();
                arrays.ok_or_else(other_columns)?
            }
            _ => return Err(other_columns()),
        };
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(|_| other_columns())?;
        self.writer.write(&batch).map_err(failed)?;
        if self.writer.in_progress_size() > ROW_GROUP {
            self.writer.flush().map_err(failed)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.writer.into_inner().map_err(failed)?.flush()
    }
}
