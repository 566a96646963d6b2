//! What a feature takes, and which number a worker gets for it. It knows no JSON text and no row.

use arborgate_contracts::registry::{Domain, Feature, FeatureType, Unseen};
pub(super) use arborgate_forest::Scalar;
use arborgate_forest::{KnownCategories, Label, catboost_category};
use arborgate_tables::is_missing;
use serde_json::Value;

use super::plain::Bound;

/// A column of the matrix.
#[derive(Debug)]
pub(super) struct Column {
    kind: Kind,
    pub(super) may_miss: bool,
}

#[derive(Debug)]
enum Kind {
    Number(Number),
    Category(Box<KnownCategories>),
    Text,
}

/// Whole numbers up to this are floats, and no two are the same one (RFC 7493 section 2.2).
pub(crate) const EXACT: f64 = 9_007_199_254_740_991.0;

/// Which numbers are taken.
#[derive(Debug)]
struct Number {
    domain: Domain,
    /// Of a float that holds them: the greatest, and what it is called.
    float: (f64, &'static str),
    least: f64,
    most: f64,
    /// What one must be, for a fault.
    wanted: String,
}

impl Number {
    fn new(feature: &Feature, float: (f64, &'static str)) -> Self {
        let (least, most) = match feature.domain {
            Domain::Boolean => (Some(0.0), Some(1.0)),
            Domain::Real => (feature.min, feature.max),
            Domain::Integer => (feature.min.or(Some(-EXACT)), feature.max.or(Some(EXACT))),
        };
        let what = match feature.domain {
            Domain::Real => "a number",
            Domain::Integer => "a whole number",
            Domain::Boolean => "true or false",
        };
        let wanted = match (feature.min, feature.max) {
            (Some(min), Some(max)) => format!("{what} from {min} to {max}"),
            (Some(min), None) => format!("{what} from {min}"),
            (None, Some(max)) => format!("{what} up to {max}"),
            (None, None) => what.to_owned(),
        };
        let (least, most) = (least.unwrap_or(-float.0).max(-float.0), most.unwrap_or(float.0).min(float.0));
        Self { domain: feature.domain, float, least, most, wanted }
    }

    fn take(&self, given: Scalar<'_>) -> Result<f64, String> {
        let value = match given {
            Scalar::Bool(value) if self.domain == Domain::Boolean => Some(f64::from(u8::from(value))),
            given => given.number(),
        };
        match value {
            Some(value) if value.abs() > self.float.0 => {
                Err(format!("must be a number within the range of {}", self.float.1))
            }
            Some(value) if value >= self.least && value <= self.most && (!self.is_whole() || value.fract() == 0.0) => {
                Ok(value)
            }
            _ => Err(format!("must be {}", self.wanted)),
        }
    }

    fn is_whole(&self) -> bool {
        self.domain != Domain::Real
    }
}

impl Column {
    pub(super) fn new(feature: &Feature) -> Self {
        let number = |float| Kind::Number(Number::new(feature, float));
        let kind = match feature.kind {
            FeatureType::Number => number((f32::MAX.into(), "a 32-bit float")),
            FeatureType::Double | FeatureType::Code => number((f64::MAX, "a 64-bit float")),
            FeatureType::Category => Kind::Category(Box::new(known(feature))),
            FeatureType::Text => Kind::Text,
        };
        Self { kind, may_miss: feature.missing }
    }

    /// Of a column of numbers.
    pub(super) fn bound(&self) -> Option<Bound> {
        match &self.kind {
            Kind::Number(number) => {
                let Number { least, most, .. } = *number;
                Some(Bound { least, most, whole: number.is_whole(), missing: self.may_miss })
            }
            Kind::Category(_) | Kind::Text => None,
        }
    }

    /// Whether a boolean stands for a number.
    pub(super) fn is_boolean(&self) -> bool {
        matches!(&self.kind, Kind::Number(number) if number.domain == Domain::Boolean)
    }

    /// What it must be, for a fault: "a number".
    pub(super) fn wanted(&self) -> &str {
        match &self.kind {
            Kind::Number(number) => &number.wanted,
            Kind::Category(known) => known.wanted(),
            Kind::Text => "a text",
        }
    }

    /// The number of what is missing; else what is wrong with that.
    pub(super) fn missing(&self) -> Result<f64, String> {
        if self.may_miss {
            Ok(f64::NAN)
        } else {
            Err(format!("must be {}; this model was not trained with missing values", self.wanted()))
        }
    }

    /// The number of a text that may stand for anything, as in a CSV.
    pub(super) fn written(&self, text: &str) -> Result<f64, String> {
        let value = match &self.kind {
            Kind::Number(_) if self.is_boolean() && text.eq_ignore_ascii_case("true") => 1.0,
            Kind::Number(_) if self.is_boolean() && text.eq_ignore_ascii_case("false") => 0.0,
            Kind::Number(_) => arborgate_tables::number(text)?,
            Kind::Category(known) => {
                known.written(text, is_missing(text)).ok_or_else(|| format!("must be {}", self.wanted()))?
            }
            // In a CSV only what is empty is missing: any other text may be a category.
            Kind::Text if text.is_empty() => f64::NAN,
            Kind::Text => return self.take(Scalar::Text(text)),
        };
        match &self.kind {
            _ if value.is_nan() => self.missing(),
            Kind::Number(_) => self.take(Scalar::Float(value)),
            Kind::Category(_) | Kind::Text => Ok(value),
        }
    }

    /// The number that stands for a value; else what is wrong with it.
    pub(super) fn take(&self, given: Scalar<'_>) -> Result<f64, String> {
        let taken = match &self.kind {
            Kind::Number(number) => return number.take(given),
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

fn known(feature: &Feature) -> KnownCategories {
    let categories: Vec<Label> = feature.categories.iter().map(label).collect();
    let unseen = match feature.unseen {
        Unseen::Refused => arborgate_forest::Unseen::Refused,
        Unseen::Missing => arborgate_forest::Unseen::Missing,
        Unseen::Passed => arborgate_forest::Unseen::Passed,
    };
    KnownCategories::new(&categories, unseen)
}

/// What the manifest was made from; what is no category there is none here, and keeps its place.
fn label(category: &Value) -> Label {
    match category {
        Value::String(text) => Label::Text(text.clone()),
        Value::Bool(value) => Label::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Label::Int(whole),
            None => Label::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Label::Float(f64::NAN),
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
    fn a_text_is_the_number_that_catboost_has_for_it() {
        let column = Column::new(&Feature::number("t", FeatureType::Text, false));
        assert_eq!(column.take(Scalar::Text("3")), Ok(593_172_586.0));
        assert_eq!(column.take(Scalar::Unsigned(3)), Ok(593_172_586.0));
        assert_eq!(column.take(Scalar::Signed(-3)), Ok(1_837_837_212.0));
        assert_eq!(column.take(Scalar::Float(0.5)).unwrap_err(), "must be a text");
    }

    #[test]
    fn a_number_is_of_its_domain_and_range() {
        let number = |domain, min, max| {
            Column::new(&Feature { domain, min, max, ..Feature::number("n", FeatureType::Number, false) })
        };
        let age = number(Domain::Integer, Some(0.0), Some(120.0));
        assert_eq!((age.take(Scalar::Unsigned(0)), age.take(Scalar::Float(120.0))), (Ok(0.0), Ok(120.0)));
        for wrong in [Scalar::Signed(-1), Scalar::Float(1.5), Scalar::Unsigned(121), Scalar::Bool(true)] {
            assert_eq!(age.take(wrong).unwrap_err(), "must be a whole number from 0 to 120", "{wrong:?}");
        }
        let flag = number(Domain::Boolean, None, None);
        assert_eq!((flag.take(Scalar::Bool(true)), flag.take(Scalar::Unsigned(0))), (Ok(1.0), Ok(0.0)));
        assert_eq!((flag.written("True"), flag.written("0")), (Ok(1.0), Ok(0.0)));
        for wrong in [Scalar::Unsigned(2), Scalar::Float(0.5), Scalar::Text("true")] {
            assert_eq!(flag.take(wrong).unwrap_err(), "must be true or false", "{wrong:?}");
        }
        let cold = number(Domain::Real, None, Some(-0.5));
        assert_eq!((cold.take(Scalar::Float(-0.5)), cold.wanted()), (Ok(-0.5), "a number up to -0.5"));
        assert!(cold.take(Scalar::Float(-1e300)).unwrap_err().contains("32-bit"));
    }

    #[test]
    fn a_code_is_any_number() {
        let column = Column::new(&Feature::number("t", FeatureType::Code, false));
        assert_eq!(column.take(Scalar::Unsigned(3)), Ok(3.0));
        assert_eq!(column.take(Scalar::Text("3")).unwrap_err(), "must be a number");
    }
}
