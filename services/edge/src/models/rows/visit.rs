//! What serde calls for each value of a body: the matrix is filled as the text is read.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::options::{Given, Name};
use super::{At, Cell, Reader, Scalar, unknown};
use crate::models::ask::Purpose;

pub(super) const EXPECTED: &str = "an object: one row as {\"feature\": value, …}, or {\"rows\": [row, …]}";

/// The whole body.
pub(super) struct Body<'r, 's>(pub(super) &'r mut Reader<'s>);

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
                    return Err(A::Error::custom(alone(reader)));
                }
                reader.values.clear();
                map.next_value_seed(ManyRows(reader))?;
                return after_rows(reader, map);
            }
            if let Cell::Option(option) = reader.at.cell {
                map.next_value_seed(Given(reader, option))?;
                continue;
            }
            fields += 1;
            map.next_value_seed(Value(reader))?;
        }
        if reader.reading.purpose == Purpose::Instances {
            return Err(A::Error::custom("'instances' must be a list of rows"));
        }
        if !reader.reading.alone {
            return Err(A::Error::custom("'rows' is missing; must be a list of rows"));
        }
        reader.end_named_row();
        Ok(())
    }
}

fn alone(reader: &Reader<'_>) -> &'static str {
    match reader.reading.purpose {
        Purpose::Predict | Purpose::Explain => "'rows' must be the body's only field, beside what is asked of them",
        Purpose::Instances => "'instances' must be the body's only field",
    }
}

/// Options may stand there as well; names of features mean nothing.
fn after_rows<'de, A: MapAccess<'de>>(reader: &mut Reader<'_>, mut map: A) -> Result<(), A::Error> {
    while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
        let option = Name::find(&name, reader.reading.purpose).ok_or_else(|| A::Error::custom(alone(reader)))?;
        reader.at = At { row: None, cell: Cell::Option(option) };
        map.next_value_seed(Given(reader, option))?;
    }
    Ok(())
}

/// An object of what may stand after the rows.
pub(super) struct Rest<'r, 's>(pub(super) &'r mut Reader<'s>);

impl<'de> Visitor<'de> for Rest<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what is asked")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        after_rows(self.0, map)
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
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
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
        if self.top && reader.reading.purpose == Purpose::Instances {
            if name != "instances" {
                return Err(E::custom(alone(reader)));
            }
            reader.many = true;
            return Ok(());
        }
        let Some(column) = reader.signature.find(name, *self.next) else {
            if self.top && name == "rows" {
                reader.many = true;
                return Ok(());
            }
            if self.top
                && let Some(option) = Name::find(name, reader.reading.purpose)
            {
                reader.at.cell = Cell::Option(option);
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

/// What stands in the text where numbers are read as text.
enum Text<'de> {
    /// Not finite beyond 64 bits.
    Number(Scalar<'de>),
    Other(&'de RawValue),
}

impl<'de> Text<'de> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return Ok(Self::Other(raw));
        }
        let whole = text.parse().map(Scalar::Unsigned).or_else(|_| text.parse().map(Scalar::Signed));
        // JSON's numbers are numbers to Rust.
        Ok(Self::Number(whole.unwrap_or_else(|_| Scalar::Float(text.parse().unwrap_or(f64::INFINITY)))))
    }
}

/// Visits what was found to be no number.
fn visit<'de, V: Visitor<'de, Value = ()>, E: serde::de::Error>(text: &'de RawValue, visitor: V) -> Result<(), E> {
    serde_json::Deserializer::from_str(text.get()).deserialize_any(visitor).map_err(E::custom)
}

/// The list after `"rows":`.
struct ManyRows<'r, 's>(&'r mut Reader<'s>);

impl<'de> DeserializeSeed<'de> for ManyRows<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if !self.0.as_text {
            return deserializer.deserialize_any(self);
        }
        match Text::read(deserializer)? {
            Text::Number(_) => Err(D::Error::invalid_type(Unexpected::Other("a number"), &self)),
            Text::Other(text) => visit(text, self),
        }
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
            if reader.rows == reader.reading.most {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    break;
                }
                return Err(A::Error::custom(format!(
                    "'{}' must be at most {} rows",
                    reader.reading.purpose.rows(),
                    reader.reading.most
                )));
            }
            if seq.next_element_seed(OneRow(reader))?.is_none() {
                break;
            }
        }
        if reader.rows == 0 {
            return Err(A::Error::custom(format!("'{}' must be at least one row", reader.reading.purpose.rows())));
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
            "must be a row: an object of values by feature name, or a list of values in the features' order",
        );
        self.0.begin_row();
        self.0.rows += 1;
    }
}

impl<'de> DeserializeSeed<'de> for OneRow<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if !self.0.as_text {
            return deserializer.deserialize_any(self);
        }
        match Text::read(deserializer)? {
            Text::Number(_) => {
                self.wrong();
                Ok(())
            }
            Text::Other(text) => visit(text, self),
        }
    }
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

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.wrong();
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.wrong();
        Ok(())
    }
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
            Cell::None | Cell::Option(_) => None,
        }
    }

    fn scalar(self, given: Scalar<'_>) {
        if let Some(column) = self.column() {
            self.0.keep(column, given);
        }
    }

    fn wrong(self) {
        // An unknown field was told already.
        if let Some(column) = self.column() {
            let wanted = self.0.signature.wanted(column);
            self.0.fault(None, format!("must be {wanted}"));
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.column().is_none() {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ());
        }
        if !self.0.as_text {
            return deserializer.deserialize_any(self);
        }
        match Text::read(deserializer)? {
            Text::Number(number) => {
                self.scalar(number);
                Ok(())
            }
            Text::Other(text) => visit(text, self),
        }
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.scalar(Scalar::Float(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.scalar(Scalar::Unsigned(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.scalar(Scalar::Signed(value));
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool(value));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.scalar(Scalar::Text(value));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        if let Some(column) = self.column() {
            self.0.keep_missing(column);
        }
        Ok(())
    }

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
