//! JSON's faults as this crate tells them: with the path, and the byte in the whole file.

use std::fmt;

use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::Error;

/// Of what serde says, at most so many characters.
const SAID: usize = 200;

/// The whole file.
pub(super) fn whole<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| fault(text, text, "the file", &error))
}

/// One member, which stands at `path`.
pub(super) fn part<'t, T: Deserialize<'t>>(whole: &str, raw: &'t RawValue, path: &str) -> Result<T, Error> {
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let inner = match error.path().to_string() {
            inner if inner == "." => path.to_owned(),
            inner if inner.starts_with('[') => format!("{path}{inner}"),
            inner => format!("{path}.{inner}"),
        };
        fault(whole, raw.get(), &inner, error.inner())
    })
}

/// As [`part`], by a seed that keeps its own account of the path.
pub(super) fn seeded<'t, S: DeserializeSeed<'t>>(raw: &'t RawValue, seed: S) -> Result<S::Value, serde_json::Error> {
    seed.deserialize(&mut serde_json::Deserializer::from_str(raw.get()))
}

/// `part` is a slice of `whole`.
pub(super) fn fault(whole: &str, part: &str, path: &str, error: &serde_json::Error) -> Error {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    let line = part.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(&*said, |(said, _)| said);
    Error::content(shown(path), start + line + error.column().saturating_sub(1), shown(said))
}

/// Text that may hold text from the file: nothing in it moves a cursor or hides.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(SAID) {
        match character {
            '"' | '\'' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    if text.chars().nth(SAID).is_some() {
        shown.push('…');
    }
    shown
}

/// Numbers in an array; one alone; none, as `null`.
pub(super) struct Numbers(pub(super) Vec<f64>);

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNumbers).map(Self)
    }
}

struct AnyNumbers;

impl<'de> Visitor<'de> for AnyNumbers {
    type Value = Vec<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or an array of numbers")
    }

    fn visit_unit<E>(self) -> Result<Vec<f64>, E> {
        Ok(Vec::new())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Vec<f64>, E> {
        Ok(vec![number])
    }

    #[expect(clippy::cast_precision_loss, reason = "to the nearest, as any number here")]
    fn visit_u64<E>(self, number: u64) -> Result<Vec<f64>, E> {
        Ok(vec![number as f64])
    }

    #[expect(clippy::cast_precision_loss, reason = "to the nearest, as any number here")]
    fn visit_i64<E>(self, number: i64) -> Result<Vec<f64>, E> {
        Ok(vec![number as f64])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Vec<f64>, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = array.next_element()? {
            numbers.push(number);
        }
        Ok(numbers)
    }
}
