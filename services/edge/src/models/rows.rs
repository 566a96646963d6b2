//! JSON straight into a row matrix, with no tree of values between: every value is checked against the model's features
//! as it is read, and every fault is kept with its path, so that a caller hears of all of them at once. `plain` reads what
//! most programs send faster, and `visit` everything, when that gives up.

mod column;
mod options;
mod plain;
mod table;
mod tensors;
mod visit;

use std::collections::HashMap;
use std::sync::Arc;

use arborgate_contracts::registry::{Feature, Task};
use arborgate_contracts::{ErrorCode, Fault};
use bytes::Bytes;
use serde::Deserializer as _;

use super::ask::{Ask, Purpose};
use crate::front::pointer;
use crate::front::problem::Problem;
pub(crate) use column::EXACT;
use column::{Column, Scalar};
use plain::Bound;
use visit::Body;

pub use tensors::from_tensors;

/// Faults that are told of one request; more are counted.
const TOLD: usize = 64;

/// Rows of a request, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// How many.
    pub count: u32,
    /// Row after row.
    pub values: Vec<f64>,
    /// Whether they came as `{"rows": …}`: the answer has the same form.
    pub many: bool,
    /// What is asked of them.
    pub ask: Ask,
}

/// A model's features by name.
#[derive(Debug)]
pub struct Signature {
    names: Vec<Box<str>>,
    columns: Vec<Arc<Column>>,
    index: HashMap<Box<str>, usize>,
    task: Task,
    /// Of a model whose features are all numbers, and none is called `rows`.
    plain: Option<Vec<Bound>>,
}

impl Signature {
    /// Of the features and the task in a manifest.
    pub fn new(features: &[Feature], task: Task) -> Self {
        let names: Vec<Box<str>> = features.iter().map(|f| f.name.as_str().into()).collect();
        let index: HashMap<_, _> = names.iter().cloned().enumerate().map(|(i, name)| (name, i)).collect();
        let columns: Vec<Arc<Column>> = features.iter().map(|of| Arc::new(Column::new(of))).collect();
        let plain =
            if index.contains_key("rows") { None } else { columns.iter().map(|column| column.bound()).collect() };
        Self { names, columns, index, task, plain }
    }

    /// How many there are.
    pub fn columns(&self) -> usize {
        self.names.len()
    }

    /// Programs send features in order, so the next one is tried before the map.
    fn find(&self, name: &str, next: usize) -> Option<usize> {
        match self.names.get(next) {
            Some(expected) if &**expected == name => Some(next),
            _ => self.index.get(name).copied(),
        }
    }

    /// What a value in its place must be, for a fault.
    fn wanted(&self, column: usize) -> &str {
        self.columns.get(column).map_or("", |column| column.wanted())
    }

    fn missing_allowed(&self, column: usize) -> bool {
        self.columns.get(column).is_some_and(|column| column.may_miss)
    }

    fn name(&self, column: usize) -> &str {
        self.names.get(column).map_or("", |name| name)
    }
}

/// In which form rows come, and answers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text of RFC 8259.
    Json,
    /// Text of RFC 4180, with a header.
    Csv,
    /// A stream of Apache Arrow IPC.
    Arrow,
}

/// How a body is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Which options it may have.
    pub purpose: Purpose,
    /// What is asked unless the body says.
    pub ask: Ask,
    /// Rows, at most.
    pub most: u32,
    /// Whether a row of JSON may stand alone, and not only in `rows`.
    pub alone: bool,
}

/// Reads a body of any form.
pub fn parse_form(body: &Bytes, form: Form, signature: &Signature, reading: Reading) -> Result<Rows, Problem> {
    match form {
        Form::Json => parse(body, signature, reading),
        Form::Csv | Form::Arrow => table::parse(body.clone(), form, signature, reading),
    }
}

/// Reads JSON: one row by names, or `{"rows": […]}` of rows by names or positions; beside them what is asked, where no
/// feature has that name.
pub fn parse(body: &[u8], signature: &Signature, reading: Reading) -> Result<Rows, Problem> {
    let plain = signature.plain.as_ref().and_then(|columns| plain::read(body, columns, signature, reading));
    plain.map_or_else(|| parse_any(body, signature, reading), Ok)
}

/// The same of every form, and what is wrong with it.
fn parse_any(body: &[u8], signature: &Signature, reading: Reading) -> Result<Rows, Problem> {
    let (reader, outcome) = read(body, Reader::new(signature, reading));
    match outcome {
        Ok(()) if reader.faults.is_empty() => Ok(reader.rows()),
        Ok(()) => Err(reader.invalid()),
        Err(error) if is_overflow(&error) => Err(with_overflow(body, signature, reading)),
        Err(error) => Err(reader.unreadable(&error)),
    }
}

fn read<'s>(body: &[u8], mut reader: Reader<'s>) -> (Reader<'s>, serde_json::Result<()>) {
    let mut json = serde_json::Deserializer::from_slice(body);
    let outcome = json.deserialize_any(Body(&mut reader)).and_then(|()| json.end());
    (reader, outcome)
}

/// serde_json ends at a number beyond 64 bits, and says so by its text alone.
fn is_overflow(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("number out of range")
}

/// Reads once more, more slowly: each number as text, so that it is told in its place and what comes after it as well.
fn with_overflow(body: &[u8], signature: &Signature, reading: Reading) -> Problem {
    let (reader, outcome) = read(body, Reader { as_text: true, ..Reader::new(signature, reading) });
    match outcome {
        Ok(()) => reader.invalid(),
        Err(error) => reader.unreadable(&error),
    }
}

/// Where the reader stands, for a fault's path.
#[derive(Debug, Default, Clone)]
struct At {
    row: Option<u32>,
    cell: Cell,
}

#[derive(Debug, Default, Clone)]
enum Cell {
    #[default]
    None,
    Column(usize),
    Position(usize),
    Option(options::Name),
}

struct Reader<'s> {
    signature: &'s Signature,
    reading: Reading,
    ask: Ask,
    /// Options that were given.
    given: Vec<options::Name>,
    values: Vec<f64>,
    rows: u32,
    many: bool,
    faults: Vec<Fault>,
    untold: usize,
    /// For each column the row (from 1) that last gave it.
    seen: Vec<u32>,
    at: At,
    /// Numbers are read as text: one of them is beyond 64 bits.
    as_text: bool,
}

/// What is wrong with a name that is none of the features.
fn unknown(signature: &Signature) -> String {
    let names: Vec<&str> = signature.names.iter().take(16).map(|name| &**name).collect();
    let more = if signature.names.len() > 16 { ", …" } else { "" };
    format!("is not a feature of this model; its features are {}{more}", names.join(", "))
}

impl<'s> Reader<'s> {
    fn new(signature: &'s Signature, reading: Reading) -> Self {
        Self {
            signature,
            reading,
            ask: reading.ask,
            given: Vec::new(),
            values: Vec::with_capacity(signature.columns()),
            rows: 0,
            many: false,
            faults: Vec::new(),
            untold: 0,
            seen: Vec::new(),
            at: At::default(),
            as_text: false,
        }
    }

    fn pointer(&self, name: Option<&str>) -> String {
        let row = self.at.row.map_or(String::new(), |row| format!("/{}/{row}", self.reading.purpose.rows()));
        match (name, &self.at.cell) {
            (Some(name), _) => format!("{row}/{}", pointer::token(name)),
            (None, Cell::Column(column)) => format!("{row}/{}", pointer::token(self.signature.name(*column))),
            (None, Cell::Position(position)) => format!("{row}/{position}"),
            (None, Cell::Option(option)) => format!("{row}/{}", option.text()),
            (None, Cell::None) => row,
        }
    }

    fn fault(&mut self, name: Option<&str>, detail: impl Into<String>) {
        if self.faults.len() < TOLD {
            // A client's own name comes back cut: it may be as long as the body.
            let name = name.map(|n| n.get(..n.floor_char_boundary(128)).unwrap_or_default());
            self.faults.push(Fault { pointer: self.pointer(name), detail: detail.into() });
        } else {
            self.untold += 1;
        }
    }

    fn fault_at(&mut self, pointer: &str, detail: String) {
        if self.faults.len() < TOLD {
            self.faults.push(Fault { pointer: pointer.to_owned(), detail });
        } else {
            self.untold += 1;
        }
    }

    /// Keeps a value in its column of the row that is being read.
    fn keep(&mut self, column: usize, given: Scalar<'_>) {
        let signature = self.signature;
        match signature.columns.get(column).map(|of| of.take(given)) {
            Some(Ok(value)) => {
                let at = self.rows as usize * signature.columns() + column;
                if let Some(cell) = self.values.get_mut(at) {
                    *cell = value;
                }
            }
            Some(Err(wrong)) => self.fault(None, wrong),
            None => {}
        }
    }

    fn keep_missing(&mut self, column: usize) {
        if !self.signature.missing_allowed(column) {
            let wanted = self.signature.wanted(column);
            self.fault(None, format!("must be {wanted}; this model was not trained with missing values"));
        }
    }

    fn begin_row(&mut self) {
        self.values.resize((self.rows as usize + 1) * self.signature.columns(), f64::NAN);
        self.seen.resize(self.signature.columns(), 0);
    }

    /// After the last field of a row by names: what was not given?
    fn end_named_row(&mut self) {
        self.at.cell = Cell::None;
        let this = self.rows + 1;
        for column in 0..self.signature.columns() {
            let given = self.seen.get(column).is_some_and(|row| *row == this);
            if !given {
                // Also where a missing value is one: what was forgotten is not the same as null.
                let null = if self.signature.missing_allowed(column) { " or null" } else { "" };
                let signature = self.signature;
                let wanted = signature.wanted(column);
                self.fault(Some(signature.name(column)), format!("is missing; must be {wanted}{null}"));
            }
        }
        self.rows += 1;
    }

    fn rows(self) -> Rows {
        Rows { count: self.rows, values: self.values, many: self.many, ask: self.ask }
    }

    fn invalid(self) -> Problem {
        Problem::invalid_and_more(self.faults, self.untold)
    }

    /// The body is not JSON, or not of a form that could be read on.
    fn unreadable(mut self, error: &serde_json::Error) -> Problem {
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or_default();
        if error.is_data() {
            // The forms that Body refuses; its texts are ours.
            self.at = At::default();
            self.fault(None, reason);
            return self.invalid();
        }
        if is_overflow(error) {
            // The whole body is a number: all others are told in their places.
            self.at = At::default();
            self.fault(None, format!("must be {}", visit::EXPECTED));
            return self.invalid();
        }
        let place = format!("line {} column {}", error.line(), error.column());
        Problem::new(ErrorCode::BadRequest, format!("the body is not JSON: {reason} at {place}"))
    }
}

#[cfg(test)]
mod tests;
