//! `OrdinalEncoder`, by scikit-learn's `preprocessing/_encoders.py`: categories become their places. A text comes as the place
//! of its category; what is no such place stands for any text that the encoder does not know.

use super::attributes::{Attributes, Reader};
use super::preprocessing::check_width;
use super::table::{Dtype, Table};
use crate::error::Error;
use crate::formats::pickle::known::Known;
use crate::formats::pickle::numpy::{Array, Data, Kind};
use crate::formats::pickle::value::Value;
use crate::model::{Categories, Encoding, FeatureKind, Label, Precision, Step};

/// What an encoder does with all its columns.
struct Settings {
    /// Of what it does not know; `None`: it refuses.
    unknown: Option<f64>,
    /// Of what is missing, where that is a category.
    missing: f64,
    dtype: Dtype,
}

/// The categories of one column.
struct ColumnCategories {
    labels: Kinds,
    /// Whether what is missing is one of them.
    missing: bool,
}

enum Kinds {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

pub(super) fn encoder(reader: &mut Reader<'_>, of: &Attributes<'_>, table: &mut Table) -> Result<(), Error> {
    check_width(of, table)?;
    let settings = settings(reader, of)?;
    let all = of.list("categories_")?;
    if all.len() != table.columns.len() {
        return Err(of.fault("categories_", format!("are of {} columns, not {}", all.len(), table.columns.len())));
    }
    for (at, categories) in all.iter().enumerate() {
        let path = format!("{}[{at}]", of.path_of("categories_"));
        let array = reader.arena.array(*categories);
        let array =
            array.ok_or_else(|| Error::content(&*path, reader.arena.offset(*categories), "is no numpy array"))?;
        reader.claim(*categories, &path)?;
        let known = categories_of(reader, array, *categories, &path)?;
        encode(table, at, known, &settings, &path)?;
    }
    Ok(())
}

fn settings(reader: &Reader<'_>, of: &Attributes<'_>) -> Result<Settings, Error> {
    if let Some(value) = of.find("_infrequent_enabled")?
        && reader.arena.bool(value) != Some(false)
    {
        let message = "groups infrequent categories, which is not read; leave min_frequency and max_categories away";
        return Err(of.fault("_infrequent_enabled", message));
    }
    let unknown = match of.text("handle_unknown")? {
        "error" => None,
        "use_encoded_value" => Some(of.number("unknown_value")?),
        _ => return Err(of.fault("handle_unknown", "is neither error nor use_encoded_value")),
    };
    let missing = match of.find("encoded_missing_value")? {
        Some(_) => of.number("encoded_missing_value")?,
        None => f64::NAN,
    };
    let dtype = match of.get("dtype")? {
        Value::Global(Known::Float64) => Dtype::Double,
        Value::Global(Known::Float32) => Dtype::Single,
        _ => return Err(of.fault("dtype", "is none of float64, float32, int64 and int32")),
    };
    Ok(Settings { unknown, missing, dtype })
}

fn encode(table: &mut Table, at: usize, known: ColumnCategories, settings: &Settings, path: &str) -> Result<(), Error> {
    let Some(column) = table.columns.get_mut(at) else { return Ok(()) };
    let feature = column.feature;
    let fresh = column.steps.is_empty() && !column.coded;
    let fill = column.fill.take();
    let (categories, kind) = match known.labels {
        Kinds::Numbers(_) if fill.is_some() => {
            return Err(Error::content(path, None, "are numbers where the step before fills with a text"));
        }
        Kinds::Numbers(numbers) => {
            column.steps.push(Step::Refuse { missing: false, infinite: Some(Precision::Double) });
            (numbers, Categories::Codes)
        }
        Kinds::Texts(_) if !fresh => {
            return Err(Error::content(path, None, "are texts where the step before gives numbers"));
        }
        Kinds::Texts(mut texts) => {
            let places = (0_u32..).zip(&texts).map(|(place, _)| f64::from(place)).collect();
            if let Some(fill) = fill {
                let place = texts.iter().position(|text| *text == fill).unwrap_or_else(|| {
                    texts.push(fill);
                    texts.len() - 1
                });
                column.steps.push(Step::Fill(place as f64));
            }
            (places, Categories::Named(texts.into_iter().map(Label::Text).collect()))
        }
    };
    let missing = if known.missing { Some(settings.missing) } else { settings.unknown };
    column.steps.push(match settings.dtype {
        Dtype::Single => Step::Narrow,
        Dtype::AsInput | Dtype::Double => Step::Widen,
    });
    // a narrowed number is compared before it is
    let cast = if settings.dtype == Dtype::Single { column.steps.pop() } else { None };
    let encoding = Encoding { categories, missing, unknown: settings.unknown };
    column.steps.push(Step::Encode(Box::new(encoding)));
    column.steps.extend(cast);
    column.precision = settings.dtype;
    column.coded = true;
    if fresh { table.mean(feature, FeatureKind::Category(kind), path) } else { Ok(()) }
}

/// What is missing stands last among the categories, if at all.
fn categories_of(
    reader: &mut Reader<'_>,
    array: &Array<'_>,
    value: Value,
    path: &str,
) -> Result<ColumnCategories, Error> {
    let wrong = |reader: &Reader<'_>, message: &str| Error::content(path, reader.arena.offset(value), message);
    if array.shape.len() != 1 {
        return Err(wrong(reader, "has more dimensions than one"));
    }
    let mut missing = false;
    let labels = match &array.data {
        Data::Objects(values) => objects(reader, values, &mut missing, path)?,
        Data::Raw(_) if array.dtype.kind == Kind::Text => {
            let limit = reader.limits.max_text;
            if array.dtype.size / 4 > limit {
                return Err(Error::limit("bytes of a name or label", limit));
            }
            let elements = array.elements().ok_or_else(|| wrong(reader, "is no vector"))?;
            reader.spend(elements.len().saturating_mul(array.dtype.size), path)?;
            let texts: Option<Vec<String>> = elements.map(|element| array.dtype.text(element)).collect();
            Some(Kinds::Texts(texts.ok_or_else(|| wrong(reader, "has what is no text"))?))
        }
        Data::Raw(bytes) => {
            reader.spend(bytes.as_slice().len(), path)?;
            let numbers = array.numbers().ok_or_else(|| wrong(reader, "has a type that no category has"))?;
            let mut numbers: Vec<f64> = numbers.collect();
            missing = numbers.pop_if(|last| last.is_nan()).is_some();
            Some(Kinds::Numbers(numbers))
        }
    };
    let mut labels = labels.ok_or_else(|| wrong(reader, "has neither texts alone nor numbers alone"))?;
    let distinct = match &mut labels {
        Kinds::Numbers(numbers) => {
            // so that no zero is negative
            numbers.iter_mut().for_each(|number| *number += 0.0);
            !numbers.iter().any(|number| number.is_nan()) && numbers.is_sorted_by(|a, b| a < b)
        }
        Kinds::Texts(texts) => {
            let mut seen: Vec<&String> = texts.iter().collect();
            seen.sort_unstable();
            seen.is_sorted_by(|a, b| a < b)
        }
    };
    if !distinct {
        return Err(wrong(reader, "names a category twice, or numbers not in order"));
    }
    Ok(ColumnCategories { labels, missing })
}

fn objects(reader: &mut Reader<'_>, values: &[Value], missing: &mut bool, path: &str) -> Result<Option<Kinds>, Error> {
    let is_missing = |value: &Value| matches!(value, Value::None) || matches!(value, Value::Float(x) if x.is_nan());
    let values = match values.split_last() {
        Some((last, rest)) if is_missing(last) => {
            *missing = true;
            rest
        }
        _ => values,
    };
    let texts: Option<Vec<&str>> = values.iter().map(|value| reader.arena.text(*value)).collect();
    if let Some(texts) = texts {
        for text in &texts {
            if text.len() > reader.limits.max_text {
                return Err(Error::limit("bytes of a name or label", reader.limits.max_text));
            }
            reader.spend(text.len(), path)?;
        }
        return Ok(Some(Kinds::Texts(texts.into_iter().map(str::to_owned).collect())));
    }
    let number = |value: &Value| reader.arena.bool(*value).map(f64::from).or_else(|| reader.arena.number(*value));
    let numbers: Option<Vec<f64>> = values.iter().map(number).collect();
    Ok(numbers.map(Kinds::Numbers))
}
