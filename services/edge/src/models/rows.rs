//! JSON straight into a row matrix, with no tree of values between: every value is checked against the model's features
//! as it is read, and every fault is kept with its path, so that a caller hears of all of them at once.

use std::collections::HashMap;
use std::fmt;

use arborgate_contracts::registry::Feature;
use arborgate_contracts::{ErrorCode, Fault};
use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::front::problem::Problem;

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
}

/// A model's features by name.
#[derive(Debug)]
pub struct Signature {
    names: Vec<Box<str>>,
    missing: Vec<bool>,
    index: HashMap<Box<str>, usize>,
}

impl Signature {
    /// Of the features in a manifest.
    pub fn new(features: &[Feature]) -> Self {
        let names: Vec<Box<str>> = features.iter().map(|f| f.name.as_str().into()).collect();
        let index = names.iter().cloned().enumerate().map(|(i, name)| (name, i)).collect();
        Self { names, missing: features.iter().map(|f| f.missing).collect(), index }
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

    fn missing_allowed(&self, column: usize) -> bool {
        self.missing.get(column).copied().unwrap_or(false)
    }

    fn name(&self, column: usize) -> &str {
        self.names.get(column).map_or("", |name| name)
    }
}

/// Reads a body: one row by names, or `{"rows": […]}` of at most `most` rows by names or positions.
pub fn parse(body: &[u8], signature: &Signature, most: u32) -> Result<Rows, Problem> {
    let mut reader = Reader {
        signature,
        most,
        values: Vec::with_capacity(signature.columns()),
        rows: 0,
        many: false,
        faults: Vec::new(),
        untold: 0,
        seen: Vec::new(),
        at: At::default(),
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    let outcome = json.deserialize_any(Body(&mut reader)).and_then(|()| json.end());
    if let Err(error) = outcome {
        return Err(reader.unreadable(&error));
    }
    if !reader.faults.is_empty() {
        return Err(reader.invalid());
    }
    Ok(Rows { count: reader.rows, values: reader.values, many: reader.many })
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
}

struct Reader<'s> {
    signature: &'s Signature,
    most: u32,
    values: Vec<f64>,
    rows: u32,
    many: bool,
    faults: Vec<Fault>,
    untold: usize,
    /// For each column the row (from 1) that last gave it.
    seen: Vec<u32>,
    at: At,
}

/// A token of a JSON pointer (RFC 6901 section 3).
fn pointer_token(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}

impl Reader<'_> {
    fn pointer(&self, name: Option<&str>) -> String {
        let row = self.at.row.map_or(String::new(), |row| format!("/rows/{row}"));
        match (name, &self.at.cell) {
            (Some(name), _) => format!("{row}/{}", pointer_token(name)),
            (None, Cell::Column(column)) => format!("{row}/{}", pointer_token(self.signature.name(*column))),
            (None, Cell::Position(position)) => format!("{row}/{position}"),
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

    /// Keeps a number in its column of the row that is being read.
    fn keep(&mut self, column: usize, value: f64) {
        if value.is_finite() && value.abs() <= f64::from(f32::MAX) {
            let at = self.rows as usize * self.signature.columns() + column;
            if let Some(cell) = self.values.get_mut(at) {
                *cell = value;
            }
        } else {
            self.fault(None, "must be a number within the range of a 32-bit float");
        }
    }

    fn keep_missing(&mut self, column: usize) {
        if !self.signature.missing_allowed(column) {
            self.fault(None, "must be a number; this model was not trained with missing values");
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
                self.fault(Some(signature.name(column)), format!("is missing; must be a number{null}"));
            }
        }
        self.rows += 1;
    }

    fn invalid(mut self) -> Problem {
        if self.untold > 0 {
            let detail = format!("and {} faults more", self.untold);
            self.faults.push(Fault { pointer: String::new(), detail });
        }
        Problem::invalid(self.faults)
    }

    /// The body is not JSON, or not of a form that could be read on.
    fn unreadable(mut self, error: &serde_json::Error) -> Problem {
        let place = format!("line {} column {}", error.line(), error.column());
        let text = error.to_string();
        if text.contains("number out of range") {
            self.fault(None, format!("must be a number within the range of a 32-bit float ({place})"));
            return self.invalid();
        }
        if error.is_data() {
            // The forms that Body refuses; its texts are ours.
            let detail = text.split(" at line ").next().unwrap_or_default().to_owned();
            self.at = At::default();
            self.fault(None, detail);
            return self.invalid();
        }
        let reason = text.split(" at line ").next().unwrap_or_default().to_owned();
        Problem::new(ErrorCode::BadRequest, format!("the body is not JSON: {reason} at {place}"))
    }
}

const EXPECTED: &str = "an object: one row as {\"feature\": number, …}, or {\"rows\": [row, …]}";

/// The whole body.
struct Body<'r, 's>(&'r mut Reader<'s>);

impl<'de> Visitor<'de> for Body<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        reader.begin_row();
        let mut next = 0;
        let mut fields = 0;
        while let Some(()) = map.next_key_seed(Key { reader, next: &mut next, top: true })? {
            if matches!(reader.at.cell, Cell::None) && reader.many {
                if fields > 0 {
                    return Err(A::Error::custom("'rows' must be the body's only field"));
                }
                reader.values.clear();
                map.next_value_seed(ManyRows(reader))?;
                if map.next_key::<IgnoredAny>()?.is_some() {
                    return Err(A::Error::custom("'rows' must be the body's only field"));
                }
                return Ok(());
            }
            fields += 1;
            map.next_value_seed(Value(reader))?;
        }
        reader.end_named_row();
        Ok(())
    }
}

/// A field's name: sets where the reader stands.
struct Key<'r, 's> {
    reader: &'r mut Reader<'s>,
    next: &'r mut usize,
    top: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a feature's name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
        let reader = self.reader;
        reader.at.cell = Cell::None;
        let Some(column) = reader.signature.find(name, *self.next) else {
            if self.top && name == "rows" {
                reader.many = true;
                return Ok(());
            }
            reader.fault(Some(name), unknown(reader.signature));
            return Ok(());
        };
        *self.next = column + 1;
        reader.at.cell = Cell::Column(column);
        let this = reader.rows + 1;
        match reader.seen.get_mut(column) {
            Some(row) if *row == this => reader.fault(None, "is given twice"),
            Some(row) => *row = this,
            None => {}
        }
        Ok(())
    }
}

fn unknown(signature: &Signature) -> String {
    let names: Vec<&str> = signature.names.iter().take(16).map(|name| &**name).collect();
    let more = if signature.names.len() > 16 { ", …" } else { "" };
    format!("is not a feature of this model; its features are {}{more}", names.join(", "))
}

/// The list after `"rows":`.
struct ManyRows<'r, 's>(&'r mut Reader<'s>);

impl<'de> DeserializeSeed<'de> for ManyRows<'_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ManyRows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("'rows' to be a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let reader = self.0;
        reader.seen.iter_mut().for_each(|row| *row = 0);
        loop {
            reader.at = At { row: Some(reader.rows), cell: Cell::None };
            if reader.rows == reader.most {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    break;
                }
                return Err(A::Error::custom(format!("'rows' must be at most {} rows", reader.most)));
            }
            if seq.next_element_seed(OneRow(reader))?.is_none() {
                break;
            }
        }
        if reader.rows == 0 {
            return Err(A::Error::custom("'rows' must be at least one row"));
        }
        Ok(())
    }
}

/// A row in a list: an object or a list.
struct OneRow<'r, 's>(&'r mut Reader<'s>);

impl OneRow<'_, '_> {
    /// Something else stands where a row should: told, and counted so that later paths are right.
    fn wrong(self) {
        self.0.fault(
            None,
            "must be a row: an object of numbers by feature name, or a list of numbers in the features' order",
        );
        self.0.begin_row();
        self.0.rows += 1;
    }
}

impl<'de> DeserializeSeed<'de> for OneRow<'_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! scalars_are_wrong {
    () => {
        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            self.wrong();
            Ok(())
        }
        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            self.wrong();
            Ok(())
        }
    };
}

impl<'de> Visitor<'de> for OneRow<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        reader.begin_row();
        let mut next = 0;
        while let Some(()) = map.next_key_seed(Key { reader, next: &mut next, top: false })? {
            map.next_value_seed(Value(reader))?;
        }
        reader.end_named_row();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let reader = self.0;
        reader.begin_row();
        let columns = reader.signature.columns();
        let mut given = 0;
        while given < columns {
            reader.at.cell = Cell::Position(given);
            if seq.next_element_seed(Value(reader))?.is_none() {
                break;
            }
            given += 1;
        }
        reader.at.cell = Cell::None;
        if given == columns {
            while seq.next_element::<IgnoredAny>()?.is_some() {
                given += 1;
            }
        }
        if given != columns {
            reader.fault(None, format!("has {given} values; must have {columns}"));
        }
        reader.rows += 1;
        Ok(())
    }

    scalars_are_wrong!();
    fn visit_unit<E>(self) -> Result<(), E> {
        self.wrong();
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.wrong();
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.wrong();
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.wrong();
        Ok(())
    }
}

/// One cell. A value of a wrong type is told and passed over.
struct Value<'r, 's>(&'r mut Reader<'s>);

impl Value<'_, '_> {
    fn column(&self) -> Option<usize> {
        match self.0.at.cell {
            Cell::Column(column) | Cell::Position(column) => Some(column),
            Cell::None => None,
        }
    }

    fn number(self, value: f64) {
        if let Some(column) = self.column() {
            self.0.keep(column, value);
        }
    }

    fn wrong(self) {
        // An unknown field was told already.
        if self.column().is_some() {
            self.0.fault(None, "must be a number");
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.column().is_none() {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ());
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.number(value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.number(value as f64);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.number(value as f64);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        if let Some(column) = self.column() {
            self.0.keep_missing(column);
        }
        Ok(())
    }

    scalars_are_wrong!();

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.wrong();
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.wrong();
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
