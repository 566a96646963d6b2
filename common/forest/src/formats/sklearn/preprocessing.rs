//! The steps that make columns out of columns, each alone: scikit-learn's `preprocessing/_data.py`,
//! `preprocessing/_function_transformer.py` and `impute/_base.py`.

use super::attributes::{Attributes, Reader};
use super::table::{Dtype, Table};
use super::version::Version;
use crate::error::Error;
use crate::formats::pickle::numpy::{Data, Kind};
use crate::formats::pickle::value::Value;
use crate::model::{Precision, Step};

/// Whether a step was fitted on as many columns as it gets.
pub(super) fn check_width(of: &Attributes<'_>, table: &Table) -> Result<(), Error> {
    let (expected, found) = (of.count("n_features_in_")?, table.columns.len());
    if expected == found {
        return Ok(());
    }
    Err(of.fault("n_features_in_", format!("is {expected} where the step before gives {found} columns")))
}

pub(super) fn standard_scaler(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    version: Version,
    table: &mut Table,
) -> Result<(), Error> {
    check_width(of, table)?;
    table.refuse_infinite();
    let width = table.columns.len();
    // since 1.8 the parameters are cast to the input's type first
    let rounded = version.minor >= 8;
    if of.flag("with_mean")? {
        let means = reader.numbers(of, "mean_", width)?;
        let step = if rounded { Step::SubtractRounded } else { Step::Subtract };
        table.each(|at| means.get(at).copied().map(step));
    }
    if of.flag("with_std")? {
        let scales = reader.numbers(of, "scale_", width)?;
        let step = if rounded { Step::DivideRounded } else { Step::Divide };
        table.each(|at| scales.get(at).copied().map(step));
    }
    Ok(())
}

pub(super) fn min_max_scaler(reader: &mut Reader<'_>, of: &Attributes<'_>, table: &mut Table) -> Result<(), Error> {
    check_width(of, table)?;
    table.refuse_infinite();
    let width = table.columns.len();
    let scales = reader.numbers(of, "scale_", width)?;
    let least = reader.numbers(of, "min_", width)?;
    table.each(|at| scales.get(at).copied().map(Step::Multiply));
    table.each(|at| least.get(at).copied().map(Step::Add));
    if of.flag("clip")? {
        let range = reader.arena.tuple(of.get("feature_range")?);
        let range = range.and_then(|range| match range {
            [low, high] => Some((reader.arena.number(*low)?, reader.arena.number(*high)?)),
            _ => None,
        });
        let (low, high) = range.ok_or_else(|| of.fault("feature_range", "is no pair of numbers"))?;
        table.each(|_| Some(Step::Clip(low, high)));
    }
    Ok(())
}

/// `own`: of `HistGradientBoosting`'s preprocessor, whose function is `check_array`, which changes nothing here.
pub(super) fn function(of: &Attributes<'_>, table: &mut Table, own: bool) -> Result<(), Error> {
    if own {
        return Ok(());
    }
    if of.get("func")? != Value::None {
        let message =
            "is a function, and this reader runs nothing; FunctionTransformer(None) and \"passthrough\" are read";
        return Err(of.fault("func", message));
    }
    if of.flag("validate")? {
        table.each(|_| Some(Step::Refuse { missing: true, infinite: Some(Precision::Double) }));
    }
    Ok(())
}

/// What an imputer gives in place of what is missing.
enum Statistic {
    Number(f64),
    Text(String),
}

pub(super) fn imputer(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    version: Version,
    table: &mut Table,
) -> Result<(), Error> {
    check_width(of, table)?;
    let strategy = of.text("strategy")?;
    if !matches!(strategy, "mean" | "median" | "most_frequent" | "constant") {
        return Err(of.fault("strategy", "is none of mean, median, most_frequent and constant"));
    }
    if !of.number("missing_values").is_ok_and(f64::is_nan) {
        return Err(of.fault("missing_values", "is not NaN; bring what is missing into the data as NaN"));
    }
    if of.flag("add_indicator")? {
        return Err(of.fault("add_indicator", "adds columns, which is not read; use add_indicator=False"));
    }
    let keep_empty = match of.find("keep_empty_features")? {
        Some(_) => of.flag("keep_empty_features")?,
        None => false,
    };
    let keep = if version.minor >= 8 { keep_empty } else { keep_empty || strategy == "constant" };
    let statistics = statistics(reader, of, table.columns.len())?;
    let fitted = of.get("_fit_dtype")?;
    let objects = reader.arena.dtype(fitted).map(|dtype| dtype.kind == Kind::Object);
    let objects = objects.ok_or_else(|| of.unlike("_fit_dtype", fitted, "a numpy dtype"))?;
    // since 1.8 they are cast to the type that was fitted on
    let narrow = match of.find("_fill_dtype")?.and_then(|value| reader.arena.dtype(value)) {
        Some(dtype) => version.minor >= 8 && dtype.kind == Kind::Float && dtype.size == 4,
        None => false,
    };
    if !objects {
        table.refuse_infinite();
    }
    let mut columns = Vec::with_capacity(table.columns.len());
    for (mut column, statistic) in std::mem::take(&mut table.columns).into_iter().zip(statistics) {
        match statistic {
            Statistic::Number(value) if value.is_nan() && !keep => {
                table.dropped.push(column);
                continue;
            }
            Statistic::Text(_) if !objects || !column.steps.is_empty() || column.fill.is_some() => {
                return Err(of.fault("statistics_", "fills a column of numbers with a text"));
            }
            Statistic::Text(text) => column.fill = Some(text),
            Statistic::Number(value) => {
                if objects && column.precision != Dtype::Double {
                    column.precision = Dtype::Double;
                    column.steps.push(Step::Widen);
                }
                column.steps.push(Step::Fill(if narrow { rounded(value) } else { value }));
            }
        }
        columns.push(column);
    }
    table.columns = columns;
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
fn rounded(value: f64) -> f64 {
    f64::from(value as f32)
}

fn statistics(reader: &mut Reader<'_>, of: &Attributes<'_>, width: usize) -> Result<Vec<Statistic>, Error> {
    const NAME: &str = "statistics_";
    let (value, array) = of.array(NAME)?;
    let Data::Objects(values) = &array.data else {
        return Ok(reader.numbers(of, NAME, width)?.into_iter().map(Statistic::Number).collect());
    };
    reader.claim(value, &of.path_of(NAME))?;
    if array.shape != [width] {
        return Err(of.fault(NAME, format!("has shape {:?} where [{width}] was expected", array.shape)));
    }
    let mut statistics = Vec::with_capacity(width);
    for value in values {
        statistics.push(match (reader.arena.text(*value), reader.arena.number(*value)) {
            (Some(text), _) => {
                reader.spend(text.len(), &of.path_of(NAME))?;
                Statistic::Text(text.to_owned())
            }
            (None, Some(number)) => Statistic::Number(number),
            (None, None) => return Err(of.fault(NAME, format!("has {}", reader.arena.kind(*value)))),
        });
    }
    Ok(statistics)
}
