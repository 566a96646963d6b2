//! What stands behind the trees: importances, parameters, a parser's settings, and the categories of a pandas frame.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::lines::{Line, Lines};
use crate::error::{Error, quote};
use crate::limits::Limits;
use crate::model::Label;

/// What of it says how rows are given.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Columns that training was told are categories.
    pub(super) categorical: Vec<usize>,
    /// For each column of pandas' type `category`, ordered ones included, what its codes stand for; the text does not say which
    /// columns these are.
    pub(super) pandas: Option<Vec<Vec<Label>>>,
}

const PANDAS: &str = "pandas_categorical:";
const CATEGORICAL: &str = "[categorical_feature: ";

impl Tail {
    /// After `end of trees`.
    pub(super) fn read(lines: &mut Lines<'_>, limits: &Limits) -> Result<Self, Error> {
        let mut tail = Self::default();
        let mut met: Vec<&str> = Vec::new();
        while let Some(line) = lines.next_filled()? {
            let section = line.text.split_inclusive(':').next().unwrap_or_default();
            match section {
                _ if met.contains(&section) => {
                    return Err(Error::content(format!("`{}`", quote(section)), line.offset, "stands there twice"));
                }
                "feature_importances:" | "feature importances:" if section == line.text => {
                    while lines.next()?.is_some_and(|line| !line.text.is_empty()) {}
                }
                "parameters:" if section == line.text => tail.parameters(lines, &line, limits)?,
                "parser:" if section == line.text => {
                    skip_to(lines, &line, "end of parser", |_| Ok(()))?;
                }
                PANDAS => tail.pandas = categories(&line, limits)?,
                _ => {
                    let message = "follows the trees and is not known here";
                    return Err(Error::content(format!("`{}`", quote(line.text)), line.offset, message));
                }
            }
            met.push(section);
        }
        Ok(tail)
    }

    fn parameters(&mut self, lines: &mut Lines<'_>, section: &Line<'_>, limits: &Limits) -> Result<(), Error> {
        skip_to(lines, section, "end of parameters", |line| {
            let list = line.text.strip_prefix(CATEGORICAL).and_then(|list| list.strip_suffix(']'));
            // of the command line it may be names, which then say nothing here
            let columns = list.and_then(|list| list.split(',').map(|at| at.parse().ok()).collect::<Option<Vec<_>>>());
            if let Some(columns) = columns {
                if columns.len() > limits.max_features {
                    return Err(Error::limit("features", limits.max_features));
                }
                self.categorical = columns;
            }
            Ok(())
        })
    }
}

/// Calls `each` with the lines before one that is `end`.
fn skip_to<'a>(
    lines: &mut Lines<'a>,
    section: &Line<'_>,
    end: &str,
    mut each: impl FnMut(&Line<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    while let Some(line) = lines.next()? {
        if line.text == end {
            return Ok(());
        }
        each(&line)?;
    }
    Err(Error::content(section.text, section.offset, format!("has no `{end}`; the text is cut off")))
}

fn categories(line: &Line<'_>, limits: &Limits) -> Result<Option<Vec<Vec<Label>>>, Error> {
    let json = line.text.get(PANDAS.len()..).unwrap_or_default();
    let fault = |message: &str| Error::content("pandas_categorical", line.offset, message);
    // as many as there are categories, which take up to 48 bytes each; in a long list they differ, so are no single digits
    if json.bytes().filter(|byte| *byte == b',').count() > json.len() / 3 + (1 << 16) {
        return Err(fault("holds more categories than its size justifies"));
    }
    let lists: Option<List<List<One>>> =
        serde_json::from_str(json).map_err(|error| fault(&quote(&error.to_string())))?;
    let Some(List(lists)) = lists else { return Ok(None) };
    for List(list) in &lists {
        if list.iter().any(|One(label)| matches!(label, Label::Text(text) if text.len() > limits.max_text)) {
            return Err(Error::limit("bytes of a name or label", limits.max_text));
        }
        if has_twins(list) {
            return Err(fault("has a category twice"));
        }
    }
    Ok(Some(lists.into_iter().map(|List(list)| list.into_iter().map(|One(label)| label).collect()).collect()))
}

fn has_twins(list: &[One]) -> bool {
    fn key(One(label): &One) -> (u8, u64, &str) {
        match label {
            Label::Int(int) => (0, int.cast_unsigned(), ""),
            Label::Float(float) => (1, float.to_bits(), ""),
            Label::Bool(bool) => (2, u64::from(*bool), ""),
            Label::Text(text) => (3, 0, text),
        }
    }
    let mut order: Vec<&One> = list.iter().collect();
    order.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    order.iter().zip(order.iter().skip(1)).any(|(a, b)| key(a) == key(b))
}

/// A list that takes little more room than it needs while it grows.
struct List<T>(Vec<T>);

/// One category, as Python's `json` writes it.
struct One(Label);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for One {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneVisitor).map(Self)
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            if values.len() == values.capacity() {
                values.reserve_exact(values.len() / 4 + 4);
            }
            values.push(value);
        }
        Ok(List(values))
    }
}

struct OneVisitor;

impl Visitor<'_> for OneVisitor {
    type Value = Label;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a category: a text, a number or a boolean")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Label, E> {
        Ok(Label::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Label, E> {
        Ok(Label::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Label, E> {
        i64::try_from(value).map(Label::Int).map_err(|_| E::custom("a category needs more than 64 bits"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Label, E> {
        Ok(Label::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Label, E> {
        Ok(Label::Text(value.to_owned()))
    }
}
