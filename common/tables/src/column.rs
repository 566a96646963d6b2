//! Columns: what a file says of them, and what a reader wants of them.

use std::fmt;

use crate::error::{Error, quoted};

/// A column of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// None in npy.
    pub name: Option<String>,
    /// What it holds.
    pub kind: Kind,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Floats of 32 bits.
    Single,
    /// Floats of 64 bits.
    Double,
    /// Integers of up to 16 bits, which floats of 32 bits hold.
    Small,
    /// Integers of 32 and 64 bits.
    Whole,
    /// Booleans.
    Bool,
    /// Texts.
    Text,
    /// Texts that may stand for anything: CSV knows no types.
    Written,
    /// What is not read; the type's name.
    Other(String),
}

impl Column {
    /// For a message: its name in quotes, or its number from 1 on.
    pub fn shown(&self, place: usize) -> String {
        self.name.as_deref().map_or_else(|| (place + 1).to_string(), quoted)
    }

    /// Whether it can be taken so.
    pub(crate) fn check(&self, place: usize, take: &Take) -> Result<(), Error> {
        let wrong = |message: String| Err(Error::Column { column: self.shown(place), message });
        match (&self.kind, take) {
            (Kind::Other(kind), _) => {
                wrong(format!("is of type {kind}, which is not read; cast it to a number or a text"))
            }
            (Kind::Text, Take::Number) => wrong("holds texts where numbers are needed".to_owned()),
            _ => Ok(()),
        }
    }
}

/// A value as a file has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// Null, NaN.
    Missing,
    /// A number.
    Float(f64),
    /// A whole number.
    Signed(i64),
    /// A whole number, not negative.
    Unsigned(u64),
    /// A boolean.
    Bool(bool),
    /// A text.
    Text(&'a str),
    /// A text that may stand for anything, also for what is missing.
    Written(&'a str),
}

impl Cell<'_> {
    pub(crate) fn float(value: f64) -> Self {
        if value.is_nan() { Self::Missing } else { Self::Float(value) }
    }
}

/// Whether a text of a CSV stands for what is missing.
pub fn is_missing(text: &str) -> bool {
    let text = text.trim_ascii();
    text.is_empty() || ["nan", "na", "n/a", "<na>", "null", "none"].iter().any(|known| text.eq_ignore_ascii_case(known))
}

/// The number that a text of a CSV is; NaN where it stands for what is missing.
///
/// # Errors
/// What is wrong with it.
pub fn number(text: &str) -> Result<f64, String> {
    let trimmed = text.trim_ascii();
    match trimmed {
        "true" | "True" | "TRUE" => Ok(1.0),
        "false" | "False" | "FALSE" => Ok(0.0),
        _ => match trimmed.parse() {
            Ok(value) => Ok(value),
            Err(_) if is_missing(trimmed) => Ok(f64::NAN),
            Err(_) => Err(format!("must be a number, not {}", quoted(text))),
        },
    }
}

/// What a cell becomes, or what is wrong with it ("must be a text").
pub type Convert = Box<dyn Fn(Cell<'_>) -> Result<f64, String> + Send>;

/// How a column is taken.
pub enum Take {
    /// As numbers. Whole ones become the nearest float, booleans 0 and 1, what is missing NaN.
    Number,
    /// Each cell by itself.
    Cells(Convert),
}

impl fmt::Debug for Take {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "Number",
            Self::Cells(_) => "Cells",
        })
    }
}

/// A column of the blocks.
#[derive(Debug)]
pub struct Wanted {
    /// Its place in the file.
    pub column: usize,
    /// How it is taken.
    pub take: Take,
}

/// Of which floats blocks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// 32 bits.
    Single,
    /// 64 bits.
    Double,
}

impl Width {
    /// What numpy makes of columns side by side: 32 bits hold floats of 32 bits, small integers and booleans beside one.
    pub fn of<'a>(kinds: impl IntoIterator<Item = &'a Kind>) -> Self {
        let mut any = false;
        for kind in kinds {
            match kind {
                Kind::Single => any = true,
                Kind::Small | Kind::Bool => {}
                _ => return Self::Double,
            }
        }
        if any { Self::Single } else { Self::Double }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_beside_each_other_as_in_numpy() {
        use Kind::{Bool, Double, Single, Small, Whole};
        assert_eq!(Width::of(&[Single, Small, Bool]), Width::Single);
        for wide in [&[Single, Double][..], &[Single, Whole], &[Small, Bool], &[]] {
            assert_eq!(Width::of(wide), Width::Double, "{wide:?}");
        }
    }

    #[test]
    fn what_is_missing_in_a_text() {
        for text in ["", " ", "NaN", "nan", "NA", "n/a", "<NA>", "NULL", "None"] {
            assert!(is_missing(text), "{text}");
        }
        for text in ["0", "-", "nano", "missing"] {
            assert!(!is_missing(text), "{text}");
        }
    }
}
