//! What a feature takes, and which number a worker gets for it. It knows no JSON text and no row.

use std::collections::HashMap;

use arborgate_contracts::registry::{Feature, FeatureType, Unseen};
use arborgate_forest::catboost_category;
use serde_json::Value;

/// Categories that a fault names, at most.
const NAMED: usize = 16;

/// A value as it stands in a body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar<'a> {
    Float(f64),
    Unsigned(u64),
    Signed(i64),
    Bool(bool),
    Text(&'a str),
}

impl Scalar<'_> {
    #[expect(clippy::cast_precision_loss, reason = "a model's numbers are floats")]
    fn number(self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(value),
            Self::Unsigned(value) => Some(value as f64),
            Self::Signed(value) => Some(value as f64),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }
}

/// A column of the matrix.
#[derive(Debug)]
pub(super) struct Column {
    kind: Kind,
    pub(super) missing: bool,
}

#[derive(Debug)]
enum Kind {
    Number { most: f64, range: &'static str },
    Category(Box<Known>),
    Text,
}

impl Column {
    pub(super) fn new(feature: &Feature) -> Self {
        let double = Kind::Number { most: f64::MAX, range: "a 64-bit float" };
        let kind = match feature.kind {
            FeatureType::Number => Kind::Number { most: f32::MAX.into(), range: "a 32-bit float" },
            FeatureType::Double | FeatureType::Code => double,
            FeatureType::Category => Kind::Category(Box::new(Known::new(&feature.categories, feature.unseen))),
            FeatureType::Text => Kind::Text,
        };
        Self { kind, missing: feature.missing }
    }

    /// What it must be, for a fault: "a number".
    pub(super) fn wanted(&self) -> &str {
        match &self.kind {
            Kind::Number { .. } => "a number",
            Kind::Category(known) => &known.wanted,
            Kind::Text => "a text",
        }
    }

    /// The number that stands for a value; else what is wrong with it.
    pub(super) fn take(&self, given: Scalar<'_>) -> Result<f64, String> {
        let taken = match &self.kind {
            Kind::Number { most, range } => match given.number() {
                Some(value) if value.abs() <= *most => Some(value),
                Some(_) => return Err(format!("must be a number within the range of {range}")),
                None => None,
            },
            Kind::Category(known) => known.take(given),
            Kind::Text => match given {
                Scalar::Text(text) => Some(catboost_category(text).into()),
                Scalar::Unsigned(whole) => Some(catboost_category(&whole.to_string()).into()),
                Scalar::Signed(whole) => Some(catboost_category(&whole.to_string()).into()),
                Scalar::Float(_) | Scalar::Bool(_) => None,
            },
        };
        taken.ok_or_else(|| format!("must be {}", self.wanted()))
    }
}

/// A number without loss: 2 and 2.0 are the same.
#[derive(Debug, PartialEq, Eq, Hash)]
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

/// The categories that a model was trained with.
#[derive(Debug)]
struct Known {
    texts: HashMap<Box<str>, u32>,
    numbers: HashMap<Exact, u32>,
    yes: Option<u32>,
    no: Option<u32>,
    unseen: Unseen,
    wanted: String,
}

impl Known {
    fn new(categories: &[Value], unseen: Unseen) -> Self {
        let (mut texts, mut numbers, mut yes, mut no) = (HashMap::new(), HashMap::new(), None, None);
        for (place, category) in (0..).zip(categories) {
            match category {
                Value::String(text) => drop(texts.insert(text.as_str().into(), place)),
                Value::Bool(true) => yes = Some(place),
                Value::Bool(false) => no = Some(place),
                Value::Number(number) => {
                    let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
                    let exact = whole.map(Exact::Whole).or_else(|| number.as_f64().map(Exact::of));
                    if let Some(exact) = exact {
                        numbers.insert(exact, place);
                    }
                }
                Value::Null | Value::Array(_) | Value::Object(_) => {}
            }
        }
        let mut named: Vec<String> = categories.iter().take(NAMED).map(Value::to_string).collect();
        if categories.len() > NAMED {
            named.push(format!("… ({} in all)", categories.len()));
        }
        let wanted = format!("one of the categories {}", named.join(", "));
        Self { texts, numbers, yes, no, unseen, wanted }
    }

    /// None: not taken. A value of a type that no category has is never one that was only not seen.
    fn take(&self, given: Scalar<'_>) -> Option<f64> {
        let (place, has_such) = match given {
            Scalar::Text(text) => (self.texts.get(text), !self.texts.is_empty()),
            Scalar::Float(value) => (self.numbers.get(&Exact::of(value)), !self.numbers.is_empty()),
            Scalar::Unsigned(value) => (self.numbers.get(&Exact::Whole(value.into())), !self.numbers.is_empty()),
            Scalar::Signed(value) => (self.numbers.get(&Exact::Whole(value.into())), !self.numbers.is_empty()),
            Scalar::Bool(true) => (self.yes.as_ref(), self.no.is_some()),
            Scalar::Bool(false) => (self.no.as_ref(), self.yes.is_some()),
        };
        match (place, self.unseen) {
            (Some(place), _) => Some((*place).into()),
            (None, Unseen::Missing) if has_such => Some(f64::NAN),
            (None, Unseen::Passed) if has_such => Some(-1.0),
            (None, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn category(categories: Value, unseen: Unseen) -> Column {
        let Value::Array(categories) = categories else { panic!("no list") };
        let kind = FeatureType::Category;
        Column::new(&Feature { categories, unseen, ..Feature::number("c", kind, true) })
    }

    #[test]
    fn a_category_is_its_place() {
        let column = category(json!(["red", 2, 2.5, true, "2", 9007199254740993_i64]), Unseen::Refused);
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
            assert_eq!(column.take(given), Ok(place), "{given:?}");
        }
        let wanted = "must be one of the categories \"red\", 2, 2.5, true, \"2\", 9007199254740993";
        for given in
            [Scalar::Text("Red"), Scalar::Unsigned(9_007_199_254_740_992), Scalar::Bool(false), Scalar::Float(2.1)]
        {
            assert_eq!(column.take(given).unwrap_err(), wanted, "{given:?}");
        }
    }

    #[test]
    fn what_was_not_seen_is_what_the_model_makes_of_it() {
        let missing = category(json!(["red"]), Unseen::Missing);
        assert!(missing.take(Scalar::Text("blue")).unwrap().is_nan());
        assert_eq!(category(json!(["red"]), Unseen::Passed).take(Scalar::Text("blue")), Ok(-1.0));
        // Of another type it is a mistake.
        assert_eq!(missing.take(Scalar::Unsigned(0)).unwrap_err(), "must be one of the categories \"red\"");
    }

    #[test]
    fn of_many_categories_a_few_are_named() {
        let many: Vec<String> = (0..40).map(|n| format!("c{n}")).collect();
        let told = category(json!(many), Unseen::Refused).take(Scalar::Text("x")).unwrap_err();
        assert!(told.contains("\"c15\", … (40 in all)") && !told.contains("c16"), "{told}");
    }

    #[test]
    fn a_text_is_the_number_that_catboost_has_for_it() {
        let column = Column::new(&Feature::number("t", FeatureType::Text, false));
        assert_eq!(column.take(Scalar::Text("3")), Ok(593_172_586.0));
        assert_eq!(column.take(Scalar::Unsigned(3)), Ok(593_172_586.0));
        assert_eq!(column.take(Scalar::Signed(-3)), Ok(1_837_837_212.0));
        assert_eq!(column.take(Scalar::Float(0.5)).unwrap_err(), "must be a text");
    }

    #[test]
    fn a_code_is_any_number() {
        let column = Column::new(&Feature::number("t", FeatureType::Code, false));
        assert_eq!(column.take(Scalar::Unsigned(3)), Ok(3.0));
        assert_eq!(column.take(Scalar::Text("3")).unwrap_err(), "must be a number");
    }
}
