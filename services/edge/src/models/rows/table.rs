//! CSV and streams of Apache Arrow into a row matrix: columns by name, each value by the same rules as in JSON. The first
//! value at fault is told with its row, its line in a text, and its column.

use std::num::NonZeroUsize;
use std::sync::Arc;

use arborgate_contracts::{ErrorCode, Fault};
use arborgate_tables::{Cell, Convert, Error, Mismatch, Numbers, Table, Take, Wanted, Width, by_name};
use bytes::Bytes;

use super::column::{Column, Scalar};
use super::{Form, Reading, Rows, Signature, TOLD, unknown};
use crate::front::pointer;
use crate::front::problem::Problem;

/// Rows that are decoded together.
const BATCH: usize = 1024;

/// Reads a body of a form that is a table.
pub(super) fn parse(body: Bytes, form: Form, signature: &Signature, reading: Reading) -> Result<Rows, Problem> {
    let table = if form == Form::Arrow { Table::arrow(body) } else { Table::csv(body) };
    let table = table.map_err(refused)?;
    let names: Vec<&str> = signature.names.iter().map(|name| &**name).collect();
    let places = by_name(&names, table.columns(), false).map_err(|why| mismatched(why, signature))?;
    let wanted = places.into_iter().zip(&signature.columns);
    let wanted = wanted.map(|(column, of)| Wanted { column, take: take(of, form) }).collect();
    let batch = NonZeroUsize::new(BATCH).unwrap_or(NonZeroUsize::MIN);
    let mut values = Vec::new();
    let mut count = 0_u32;
    for block in table.blocks(wanted, Width::Double, batch).map_err(refused)? {
        let block = block.map_err(refused)?;
        count = count.saturating_add(u32::try_from(block.rows()).unwrap_or(u32::MAX));
        if count > reading.most {
            return Err(whole(format!("must be at most {} rows", reading.most)));
        }
        match &block.numbers {
            Numbers::Double(of) => values.extend(of.iter()),
            Numbers::Single(of) => values.extend(of.iter().map(|value| f64::from(*value))),
        }
    }
    if count == 0 {
        return Err(whole("must be at least one row".to_owned()));
    }
    if form == Form::Arrow {
        check(&values, signature)?;
    }
    Ok(Rows { count, values, many: true, ask: reading.ask })
}

/// Numbers of Arrow are taken as they are, and checked together afterwards.
fn take(column: &Arc<Column>, form: Form) -> Take {
    if form == Form::Arrow && column.bound().is_some() && !column.is_boolean() {
        return Take::Number;
    }
    let column = Arc::clone(column);
    let convert: Convert = Box::new(move |cell| match cell {
        Cell::Missing => column.missing(),
        Cell::Float(value) => column.take(Scalar::Float(value)),
        Cell::Signed(value) => column.take(Scalar::Signed(value)),
        Cell::Unsigned(value) => column.take(Scalar::Unsigned(value)),
        Cell::Bool(value) => column.take(Scalar::Bool(value)),
        Cell::Text(text) => column.take(Scalar::Text(text)),
        Cell::Written(text) => column.written(text),
    });
    Take::Cells(convert)
}

fn check(values: &[f64], signature: &Signature) -> Result<(), Problem> {
    let (mut faults, mut untold) = (Vec::new(), 0);
    for (row, values) in values.chunks(signature.columns().max(1)).enumerate() {
        for ((value, column), name) in values.iter().zip(&signature.columns).zip(&signature.names) {
            if column.bound().is_none() {
                continue;
            }
            let taken = if value.is_nan() { column.missing() } else { column.take(Scalar::Float(*value)) };
            let Err(detail) = taken else { continue };
            if faults.len() < TOLD {
                faults.push(Fault { pointer: format!("/rows/{row}/{}", pointer::token(name)), detail });
            } else {
                untold += 1;
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid_and_more(faults, untold)) }
}

fn whole(detail: String) -> Problem {
    Problem::invalid(vec![Fault { pointer: String::new(), detail }])
}

fn mismatched(why: Mismatch, signature: &Signature) -> Problem {
    let fault = |name: &String, detail: String| {
        let name = name.get(..name.floor_char_boundary(128)).unwrap_or_default();
        Fault { pointer: format!("/{}", pointer::token(name)), detail }
    };
    let missing = why.missing.iter().map(|name| fault(name, "is missing: there is no such column".to_owned()));
    let twice = why.twice.iter().map(|name| fault(name, "is the name of more than one column".to_owned()));
    let extra = why.extra.iter().map(|name| fault(name, unknown(signature)));
    let mut faults: Vec<Fault> = missing.chain(twice).chain(extra).collect();
    let untold = faults.len().saturating_sub(TOLD);
    faults.truncate(TOLD);
    Problem::invalid_and_more(faults, untold)
}

/// A body that is no table, or a value at fault.
fn refused(error: Error) -> Problem {
    let detail = error.to_string();
    match error {
        Error::Cell { row, .. } | Error::Ragged { row, .. } => {
            Problem::invalid(vec![Fault { pointer: format!("/rows/{}", row.saturating_sub(1)), detail }])
        }
        Error::Column { .. } => whole(detail),
        _ => Problem::new(ErrorCode::BadRequest, format!("the body can not be read: {detail}")),
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
