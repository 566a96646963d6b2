//! From a category as people write it, a text or a number, to the number that stands for it.

use std::collections::HashMap;

use super::{CategoryRule, Label};

/// Categories that [`KnownCategories::wanted`] names, at most.
const NAMED: usize = 16;

/// A value as it stands in somebody's data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// A number with a fraction, or beyond the integers.
    Float(f64),
    /// A whole number, not negative.
    Unsigned(u64),
    /// A whole number.
    Signed(i64),
    /// A boolean.
    Bool(bool),
    /// A text.
    Text(&'a str),
}

impl Scalar<'_> {
    /// As a number; a text and a boolean are none.
    #[expect(clippy::cast_precision_loss, reason = "a model's numbers are floats")]
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(value),
            Self::Unsigned(value) => Some(value as f64),
            Self::Signed(value) => Some(value as f64),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }
}

/// What becomes of a category that a model was not trained with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseen {
    /// It is refused.
    Refused,
    /// It counts as missing: it is given as NaN.
    Missing,
    /// The model decides: it is given as −1.
    Passed,
}

impl CategoryRule {
    /// What the library of such a model does with a category of [`super::Categories::Named`] that is not there.
    pub fn unseen(self) -> Unseen {
        match self {
            // XGBoost raises an error
            Self::Truncated32 => Unseen::Refused,
            // LightGBM takes none of what pandas knows as missing
            Self::Truncated64 => Unseen::Missing,
            // the encoder of a pipeline refuses it, or has a value for it
            Self::Whole => Unseen::Passed,
        }
    }
}

/// A number without loss: 2 and 2.0 are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Exact {
    Whole(i128),
    Other(u64),
}

impl Exact {
    #[expect(clippy::cast_possible_truncation, reason = "a whole float of that size is an i128")]
    fn of(value: f64) -> Self {
        if value.fract() == 0.0 && value.abs() < 1e30 {
            Self::Whole(value as i128)
        } else {
            Self::Other(value.to_bits())
        }
    }
}

/// The categories of a feature of [`super::Categories::Named`], and which number stands for each.
#[derive(Debug, Clone)]
pub struct KnownCategories {
    texts: HashMap<Box<str>, u32>,
    numbers: HashMap<Exact, u32>,
    yes: Option<u32>,
    no: Option<u32>,
    unseen: Unseen,
    wanted: String,
}

impl KnownCategories {
    /// The category at place i is given as i.
    pub fn new(categories: &[Label], unseen: Unseen) -> Self {
        let (mut texts, mut numbers, mut yes, mut no) = (HashMap::new(), HashMap::new(), None, None);
        for (place, category) in (0..).zip(categories) {
            match category {
                Label::Text(text) => drop(texts.insert(text.as_str().into(), place)),
                Label::Bool(true) => yes = Some(place),
                Label::Bool(false) => no = Some(place),
                Label::Int(value) => drop(numbers.insert(Exact::Whole((*value).into()), place)),
                Label::Float(value) => drop(numbers.insert(Exact::of(*value), place)),
            }
        }
        let mut named: Vec<String> = categories.iter().take(NAMED).map(shown).collect();
        if categories.len() > NAMED {
            named.push(format!("… ({} in all)", categories.len()));
        }
        let wanted = format!("one of the categories {}", named.join(", "));
        Self { texts, numbers, yes, no, unseen, wanted }
    }

    /// What a value must be, for a message: some of the categories.
    pub fn wanted(&self) -> &str {
        &self.wanted
    }

    /// The number that stands for a value; `None`: it is refused. A value of a type that no category has is never one that
    /// was only not seen.
    pub fn take(&self, given: Scalar<'_>) -> Option<f64> {
        let (_, has_such) = self.find(given);
        self.place(given).or(match self.unseen {
            Unseen::Missing if has_such => Some(f64::NAN),
            Unseen::Passed if has_such => Some(-1.0),
            _ => None,
        })
    }

    /// The place of a value that is one of the categories.
    pub fn place(&self, given: Scalar<'_>) -> Option<f64> {
        self.find(given).0.map(f64::from)
    }

    /// The number that stands for a text which may stand for anything, as in a CSV. One that is a category is that category,
    /// also where it looks like a number or like what is missing, which the caller says.
    pub fn written(&self, text: &str, is_missing: bool) -> Option<f64> {
        let trimmed = text.trim_ascii();
        let number = || {
            let whole = trimmed.parse().map(Scalar::Signed).or_else(|_| trimmed.parse().map(Scalar::Unsigned));
            whole.ok().or_else(|| trimmed.parse().map(Scalar::Float).ok())
        };
        let truth = || match trimmed {
            "true" | "True" | "TRUE" => Some(Scalar::Bool(true)),
            "false" | "False" | "FALSE" => Some(Scalar::Bool(false)),
            _ => None,
        };
        let readings = [Some(Scalar::Text(text)), number(), truth()].into_iter().flatten();
        if let Some(place) = readings.clone().find_map(|reading| self.place(reading)) {
            return Some(place);
        }
        if is_missing {
            return Some(f64::NAN);
        }
        // what was not seen, of the types that categories have
        readings.into_iter().find_map(|reading| self.take(reading))
    }

    /// The place, and whether there are categories of this type.
    fn find(&self, given: Scalar<'_>) -> (Option<u32>, bool) {
        let number = |exact| (self.numbers.get(&exact).copied(), !self.numbers.is_empty());
        match given {
            Scalar::Text(text) => (self.texts.get(text).copied(), !self.texts.is_empty()),
            Scalar::Float(value) => number(Exact::of(value)),
            Scalar::Unsigned(value) => number(Exact::Whole(value.into())),
            Scalar::Signed(value) => number(Exact::Whole(value.into())),
            Scalar::Bool(true) => (self.yes, self.no.is_some()),
            Scalar::Bool(false) => (self.no, self.yes.is_some()),
        }
    }
}

/// As JSON has it: a text in quotes, so that it is no number.
fn shown(label: &Label) -> String {
    let json = match label {
        Label::Text(text) => serde_json::to_string(text),
        Label::Float(value) if value.is_finite() => serde_json::to_string(value),
        other => return other.to_string(),
    };
    json.unwrap_or_else(|_| label.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<Label> {
        let text = |text: &str| Label::Text(text.to_owned());
        vec![
            text("red"),
            Label::Int(2),
            Label::Float(2.5),
            Label::Bool(true),
            text("2"),
            Label::Int(9_007_199_254_740_993),
        ]
    }

    #[test]
    fn a_category_is_its_place() {
        let known = KnownCategories::new(&labels(), Unseen::Refused);
        for (given, place) in [
            (Scalar::Text("red"), 0.0),
            (Scalar::Unsigned(2), 1.0),
            (Scalar::Signed(2), 1.0),
            (Scalar::Float(2.0), 1.0),
            (Scalar::Float(2.5), 2.0),
            (Scalar::Bool(true), 3.0),
            (Scalar::Text("2"), 4.0),
            (Scalar::Unsigned(9_007_199_254_740_993), 5.0),
        ] {
            assert_eq!(known.take(given), Some(place), "{given:?}");
        }
        for given in
            [Scalar::Text("Red"), Scalar::Unsigned(9_007_199_254_740_992), Scalar::Bool(false), Scalar::Float(2.1)]
        {
            assert_eq!(known.take(given), None, "{given:?}");
        }
        assert_eq!(known.wanted(), "one of the categories \"red\", 2, 2.5, true, \"2\", 9007199254740993");
    }

    #[test]
    fn what_was_not_seen_is_what_the_model_makes_of_it() {
        let red = [Label::Text("red".to_owned())];
        let missing = KnownCategories::new(&red, CategoryRule::Truncated64.unseen());
        assert!(missing.take(Scalar::Text("blue")).unwrap().is_nan());
        assert_eq!(missing.place(Scalar::Text("blue")), None);
        assert_eq!(KnownCategories::new(&red, CategoryRule::Whole.unseen()).take(Scalar::Text("blue")), Some(-1.0));
        assert_eq!(KnownCategories::new(&red, CategoryRule::Truncated32.unseen()).take(Scalar::Text("blue")), None);
        // of another type it is a mistake
        assert_eq!(missing.take(Scalar::Unsigned(0)), None);
    }

    #[test]
    fn of_many_categories_a_few_are_named() {
        let many: Vec<Label> = (0..40).map(|n| Label::Text(format!("c{n}"))).collect();
        let known = KnownCategories::new(&many, Unseen::Refused);
        assert!(known.wanted().ends_with("\"c15\", … (40 in all)"), "{}", known.wanted());
    }
}
