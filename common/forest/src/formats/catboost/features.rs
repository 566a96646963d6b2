//! `features_info`: the columns, and the conditions that trees number (`split_index`): each border of each number, then each
//! value of each one-hot category (`catboost/libs/model/model.cpp`, `TModelTrees::CalcBinFeatures`).

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{CTR, MADE, json};
use crate::error::Error;
use crate::limits::Limits;
use crate::model::{Categories, Feature, FeatureKind};

const PATH: &str = "features_info";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    float_features: Option<Vec<RawNumber>>,
    categorical_features: Option<Vec<RawCategory>>,
    ctrs: Option<IgnoredAny>,
    text_features: Option<IgnoredAny>,
    embedding_features: Option<IgnoredAny>,
    /// Texts of the categories of the pool that the model was saved with; not all that may come.
    #[serde(rename = "cat_features_hash")]
    _hashes: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNumber {
    feature_index: usize,
    flat_feature_index: usize,
    feature_id: Option<String>,
    feature_name: Option<String>,
    has_nans: bool,
    nan_value_treatment: Missing,
    borders: Option<Vec<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCategory {
    feature_index: usize,
    flat_feature_index: usize,
    feature_id: Option<String>,
    feature_name: Option<String>,
    values: Option<Vec<i32>>,
    #[serde(rename = "string_values")]
    _texts: Option<IgnoredAny>,
}

/// What NaN becomes: itself, which is above nothing; −∞; or ∞.
#[derive(Deserialize, Clone, Copy, PartialEq)]
enum Missing {
    #[serde(rename = "AsIs")]
    Itself,
    #[serde(rename = "AsFalse")]
    Below,
    #[serde(rename = "AsTrue")]
    Above,
}

/// The columns and the conditions over them.
pub(super) struct Features {
    pub(super) list: Vec<Feature>,
    numbers: Vec<Number>,
    categories: Vec<Category>,
}

struct Number {
    column: u32,
    /// Of its first condition.
    start: usize,
    borders: Vec<f32>,
    missing_below: bool,
}

struct Category {
    column: u32,
    /// Of its first condition.
    start: usize,
    values: Vec<i32>,
}

/// What `split_index` stands for.
pub(super) enum Condition {
    /// Whether number `index` is above the border.
    Above { index: usize, column: u32, border: f32, missing_below: bool },
    /// Whether category `index` has the hash.
    Is { index: usize, column: u32, value: i32 },
}

impl Features {
    pub(super) fn read(text: &str, raw: &RawValue, limits: &Limits) -> Result<Self, Error> {
        let raw: Raw = json::part(text, raw, PATH)?;
        let refused = [("ctrs", &raw.ctrs, CTR), ("text_features", &raw.text_features, MADE)];
        for (name, found, advice) in refused.into_iter().chain([("embedding_features", &raw.embedding_features, MADE)])
        {
            if found.is_some() {
                return Err(Error::content(format!("{PATH}.{name}"), None, format!("the model {advice}")));
            }
        }
        let (numbers, categories) =
            (raw.float_features.unwrap_or_default(), raw.categorical_features.unwrap_or_default());
        let count = numbers.len() + categories.len();
        if count > limits.max_features {
            return Err(Error::limit("features", limits.max_features));
        }
        let mut columns = Columns { list: vec![None; count], limits };
        let mut start = 0;
        let mut features = Self { list: Vec::new(), numbers: Vec::new(), categories: Vec::new() };
        for (at, number) in numbers.into_iter().enumerate() {
            let place = Place { kind: "float_features", at };
            place.numbered(number.feature_index)?;
            let names = [number.feature_id, number.feature_name];
            let column = columns.add(&place, number.flat_feature_index, names, FeatureKind::Number)?;
            let borders = place.borders(&number.borders.unwrap_or_default())?;
            let missing_below = !(number.has_nans && number.nan_value_treatment == Missing::Above);
            features.numbers.push(Number { column, start, missing_below, borders });
            start += features.numbers.last().map_or(0, |number| number.borders.len());
        }
        for (at, category) in categories.into_iter().enumerate() {
            let place = Place { kind: "categorical_features", at };
            place.numbered(category.feature_index)?;
            let names = [category.feature_id, category.feature_name];
            let column =
                columns.add(&place, category.flat_feature_index, names, FeatureKind::Category(Categories::Hashed))?;
            let values = category.values.unwrap_or_default();
            place.distinct(&values)?;
            features.categories.push(Category { column, start, values });
            start += features.categories.last().map_or(0, |category| category.values.len());
        }
        features.list = columns.finish();
        Ok(features)
    }

    /// What a `split_index` stands for; `None` if there are fewer conditions.
    pub(super) fn condition(&self, split: usize) -> Option<Condition> {
        // of several that start there all but the last have no conditions
        let at = self.categories.partition_point(|category| category.start <= split);
        if let Some((index, category)) = at.checked_sub(1).and_then(|at| Some((at, self.categories.get(at)?))) {
            let value = *category.values.get(split - category.start)?;
            return Some(Condition::Is { index, column: category.column, value });
        }
        let index = self.numbers.partition_point(|number| number.start <= split).checked_sub(1)?;
        let number = self.numbers.get(index)?;
        let border = *number.borders.get(split - number.start)?;
        Some(Condition::Above { index, column: number.column, border, missing_below: number.missing_below })
    }
}

/// A feature's place in the file.
struct Place {
    kind: &'static str,
    at: usize,
}

impl Place {
    fn fault(&self, name: &str, message: impl Into<String>) -> Error {
        Error::content(format!("{PATH}.{}[{}].{name}", self.kind, self.at), None, message)
    }

    fn numbered(&self, index: usize) -> Result<(), Error> {
        if index == self.at { Ok(()) } else { Err(self.fault("feature_index", format!("is {index}, not its place"))) }
    }

    /// As the library has them: `f32`, ascending. A border that is none would be above or below everything.
    #[expect(clippy::cast_possible_truncation, reason = "the cast is the library's")]
    fn borders(&self, borders: &[f64]) -> Result<Vec<f32>, Error> {
        let borders: Vec<f32> = borders.iter().map(|border| *border as f32).collect();
        if let Some(at) = borders.iter().position(|border| !border.is_finite()) {
            return Err(self.fault(&format!("borders[{at}]"), "is infinite as a 32-bit float"));
        }
        if !borders.is_sorted_by(|a, b| a < b) {
            return Err(self.fault("borders", "are not ascending"));
        }
        Ok(borders)
    }

    /// The library merges the bits of values that are alike.
    fn distinct(&self, values: &[i32]) -> Result<(), Error> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        if sorted.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(self.fault("values", "has a value twice")) }
    }
}

/// Columns by their place in a row.
struct Columns<'l> {
    list: Vec<Option<Feature>>,
    limits: &'l Limits,
}

impl Columns<'_> {
    fn add(
        &mut self,
        place: &Place,
        column: usize,
        names: [Option<String>; 2],
        kind: FeatureKind,
    ) -> Result<u32, Error> {
        let count = self.list.len();
        let name = names.into_iter().flatten().find(|name| !name.is_empty());
        if name.as_ref().is_some_and(|name| name.len() > self.limits.max_text) {
            return Err(Error::limit("bytes of a name or label", self.limits.max_text));
        }
        let missing_allowed = kind == FeatureKind::Number;
        match self.list.get_mut(column) {
            Some(slot @ None) => *slot = Some(Feature { name, kind, missing_allowed }),
            Some(Some(_)) => {
                return Err(place.fault("flat_feature_index", format!("is {column}, as another feature's")));
            }
            None => {
                let message = format!("is {column} where the file lists {count} features; {MADE}");
                return Err(place.fault("flat_feature_index", message));
            }
        }
        u32::try_from(column).map_err(|_| Error::limit("features", u32::MAX as usize))
    }

    /// CatBoost calls a feature without a name by its number.
    fn finish(self) -> Vec<Feature> {
        let mut list: Vec<Feature> = self.list.into_iter().flatten().collect();
        if list.iter().any(|feature| feature.name.is_some()) {
            for (column, feature) in list.iter_mut().enumerate() {
                feature.name.get_or_insert_with(|| column.to_string());
            }
        }
        list
    }
}
