//! A row for a manifest, near the thresholds of the canary's, with the answer that the model gives to it: what a document
//! shows is true. It is predicted as clients will send it.

use arborgate_contracts::registry::{Domain, Example, Feature, FeatureType};
use arborgate_forest::catboost_category;
use ndarray::{Array2, Axis};
use serde_json::Value;

use crate::artifact::{Artifact, canary_rows, trial};

/// What stands for a category of a feature that takes any text.
const TEXT: &str = "a";

/// The example; none where the model gives no finite answer to it, or takes no such row.
pub(super) fn of(artifact: &Artifact, features: &[Feature]) -> Option<Example> {
    let canary = canary_rows(&artifact.model);
    let near = canary.axis_iter(Axis(0)).next_back()?;
    let cells = features.iter().zip(near).map(|(feature, near)| cell(feature, *near));
    let (row, numbers): (Vec<Value>, Vec<f64>) = cells.unzip();
    let numbers = Array2::from_shape_vec((1, numbers.len()), numbers).ok()?;
    let (values, labels) = trial(&artifact.compiled, &numbers).ok()?;
    let (values, labels) = (values.into_raw_vec_and_offset().0, labels.into_raw_vec_and_offset().0);
    values.iter().all(|value| value.is_finite()).then_some(Example { row, values, labels })
}

/// A value as a client sends it, and the number that a worker gets for it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place is small"
)]
fn cell(feature: &Feature, near: f64) -> (Value, f64) {
    match feature.kind {
        FeatureType::Category => {
            let place = if feature.categories.len() as f64 > near { near as usize } else { 0 };
            (feature.categories.get(place).cloned().unwrap_or_default(), place as f64)
        }
        FeatureType::Text => (TEXT.into(), catboost_category(TEXT).into()),
        FeatureType::Number | FeatureType::Double | FeatureType::Code => number(feature, near),
    }
}

/// One that the feature takes.
fn number(feature: &Feature, near: f64) -> (Value, f64) {
    let (least, most) = (feature.min.unwrap_or(f64::MIN), feature.max.unwrap_or(f64::MAX));
    let within = |number: f64| number.max(least).min(most);
    match feature.domain {
        Domain::Real => {
            let number = within(rounded(near));
            (number.into(), number)
        }
        Domain::Integer => {
            // Of a range without a whole number there is none.
            let number = within(near).round().max(least.ceil()).min(most.floor());
            let text = format!("{number:.0}").parse::<i64>();
            (text.map_or_else(|_| number.into(), Value::from), number)
        }
        Domain::Boolean => ((near > 0.0).into(), f64::from(u8::from(near > 0.0))),
    }
}

/// To three digits: a threshold is the middle of two values, which nobody sends.
fn rounded(number: f64) -> f64 {
    format!("{number:.2e}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_that_people_write() {
        for (near, number) in [(2.449_999_988_079_071, 2.45), (0.0, 0.0), (-12_345.678, -12_300.0), (1e-40, 1e-40)] {
            assert_eq!(rounded(near).to_bits(), f64::to_bits(number), "{near}");
        }
    }

    #[test]
    fn a_number_is_one_that_the_feature_takes() {
        let of = |domain, min, max| Feature { domain, min, max, ..Feature::number("n", FeatureType::Number, false) };
        assert_eq!(cell(&of(Domain::Real, Some(3.0), None), 2.449), (3.0.into(), 3.0));
        assert_eq!(cell(&of(Domain::Real, None, Some(1.5)), 2.449), (1.5.into(), 1.5));
        assert_eq!(cell(&of(Domain::Integer, Some(0.5), Some(7.9)), 0.2), (1.into(), 1.0));
        assert_eq!(cell(&of(Domain::Integer, Some(0.5), Some(7.9)), 9.5), (7.into(), 7.0));
        assert_eq!(cell(&of(Domain::Boolean, None, None), 0.5), (true.into(), 1.0));
    }

    #[test]
    fn a_category_is_one_of_the_feature() {
        let categories = vec!["rome".into(), "paris".into()];
        let feature = Feature { categories, ..Feature::number("city", FeatureType::Category, false) };
        assert_eq!(cell(&feature, 1.0), ("paris".into(), 1.0));
        assert_eq!(cell(&feature, 7.0), ("rome".into(), 0.0));
        assert_eq!(cell(&feature, -3.0), ("rome".into(), 0.0));
    }
}
