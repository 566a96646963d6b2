//! `Pipeline` and `ColumnTransformer`, by scikit-learn's `pipeline.py` and `compose/_column_transformer.py`: which step gets
//! which columns. At the end stands an estimator.

use super::attributes::{Attributes, Reader};
use super::table::{Made, Table};
use super::{encoder, estimator, preprocessing};
use crate::error::Error;
use crate::formats::pickle::known::{Known, Part};
use crate::formats::pickle::value::Value;
use crate::model::Model;

/// Pipelines and column transformers within each other.
const MAX_DEPTH: usize = 16;

/// The estimator that the pickle holds, alone or at the end of a pipeline.
pub(super) fn model(reader: &mut Reader<'_>) -> Result<Model, Error> {
    let (mut value, mut path) = (reader.root, String::new());
    let mut table: Option<Table> = None;
    for depth in 0..MAX_DEPTH {
        if reader.class(value) != Some(Known::Part(Part::Pipeline)) {
            return estimator::model(reader, value, &path, table);
        }
        let (attributes, _) = reader.part(value, &path)?;
        let steps = steps(reader, &attributes)?;
        let Some((last, before)) = steps.split_last() else { return Err(attributes.fault("steps", "is empty")) };
        if table.is_none() {
            table = input(reader, &steps, depth)?;
        }
        let Some(table) = &mut table else {
            return Err(attributes.fault("steps", "does not say how many features it has"));
        };
        for (path, step) in before {
            apply(reader, *step, path, table, depth)?;
        }
        (path, value) = last.clone();
    }
    Err(too_deep(&path))
}

fn too_deep(path: &str) -> Error {
    Error::content(path, None, format!("is nested more than {MAX_DEPTH} deep"))
}

/// Path and value of each step.
fn steps(reader: &Reader<'_>, of: &Attributes<'_>) -> Result<Vec<(String, Value)>, Error> {
    let step = |(at, step): (usize, &Value)| match reader.arena.tuple(*step) {
        Some([_, step]) => Ok((format!("{}[{at}]", of.path_of("steps")), *step)),
        _ => Err(of.fault("steps", format!("has no name and estimator at place {at}"))),
    };
    of.list("steps")?.iter().enumerate().map(step).collect()
}

/// What goes in, as the first step says that says it; those before it change no column.
fn input(reader: &mut Reader<'_>, steps: &[(String, Value)], depth: usize) -> Result<Option<Table>, Error> {
    if depth > MAX_DEPTH {
        return Err(too_deep(steps.first().map_or("steps", |(path, _)| path)));
    }
    for (path, step) in steps {
        if is_nothing(reader, *step) || reader.class(*step).is_none() {
            continue;
        }
        let attributes = reader.attributes(*step, path)?;
        if reader.class(*step) == Some(Known::Part(Part::Pipeline)) {
            let inner = self::steps(reader, &attributes)?;
            if let Some(table) = input(reader, &inner, depth + 1)? {
                return Ok(Some(table));
            }
        } else if attributes.find("n_features_in_")?.is_some() {
            return estimator::input(reader, &attributes).map(Some);
        }
    }
    Ok(None)
}

fn is_nothing(reader: &Reader<'_>, step: Value) -> bool {
    step == Value::None || reader.arena.text(step) == Some("passthrough")
}

/// One step that is no estimator.
fn apply(reader: &mut Reader<'_>, step: Value, path: &str, table: &mut Table, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(too_deep(path));
    }
    if is_nothing(reader, step) {
        return Ok(());
    }
    let Some(Known::Part(part)) = reader.class(step) else {
        let message = format!("is {}, no step that is read before the trees", reader.arena.kind(step));
        return Err(Error::content(path, reader.arena.offset(step), message));
    };
    let (of, version) = reader.part(step, path)?;
    match part {
        Part::Pipeline => {
            for (path, step) in steps(reader, &of)? {
                apply(reader, step, &path, table, depth + 1)?;
            }
            Ok(())
        }
        Part::ColumnTransformer => columns(reader, &of, table, depth, false),
        Part::StandardScaler => preprocessing::standard_scaler(reader, &of, version, table),
        Part::MinMaxScaler => preprocessing::min_max_scaler(reader, &of, table),
        Part::SimpleImputer => preprocessing::imputer(reader, &of, version, table),
        Part::OrdinalEncoder => encoder::encoder(reader, &of, table),
        Part::FunctionTransformer => preprocessing::function(&of, table, false),
        Part::DummyClassifier | Part::DummyRegressor | Part::TreePredictor | Part::BinMapper => {
            Err(Error::content(path, reader.arena.offset(step), "is no step that makes columns"))
        }
    }
}

/// The preprocessor that `HistGradientBoosting` makes for itself since 1.4: an encoder, then the columns that are numbers.
pub(super) fn own_preprocessor(
    reader: &mut Reader<'_>,
    value: Value,
    path: &str,
    table: &mut Table,
) -> Result<(), Error> {
    if reader.class(value) != Some(Known::Part(Part::ColumnTransformer)) {
        let message = format!("is {} where a ColumnTransformer was expected", reader.arena.kind(value));
        return Err(Error::content(path, reader.arena.offset(value), message));
    }
    let (of, _) = reader.part(value, path)?;
    columns(reader, &of, table, 0, true)
}

/// `own`: of `HistGradientBoosting`.
fn columns(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    table: &mut Table,
    depth: usize,
    own: bool,
) -> Result<(), Error> {
    preprocessing::check_width(of, table)?;
    if of.flag("sparse_output_")? {
        return Err(of.fault("sparse_output_", "is true; sparse columns are not read"));
    }
    if of.get("transformer_weights")? != Value::None {
        return Err(of.fault("transformer_weights", "is given, which is not read; leave it away"));
    }
    let all = std::mem::take(&mut table.columns);
    let mut asked = vec![false; all.len()];
    let mut joined: Vec<Made> = Vec::with_capacity(all.len());
    for (at, entry) in of.list("transformers_")?.iter().enumerate() {
        let path = format!("{}[{at}]", of.path_of("transformers_"));
        let Some(&[name, step, _]) = reader.arena.tuple(*entry) else {
            return Err(Error::content(path, reader.arena.offset(*entry), "is no name, step and columns"));
        };
        if reader.arena.text(step) == Some("drop") {
            continue;
        }
        table.columns = select(reader, of, name, &all, &mut asked, &path)?;
        if table.columns.is_empty() {
            continue;
        }
        if joined.len().saturating_add(table.columns.len()) > reader.limits.max_features {
            return Err(Error::limit("columns", reader.limits.max_features));
        }
        if own && reader.class(step) == Some(Known::Part(Part::FunctionTransformer)) {
            let (of, _) = reader.part(step, &path)?;
            preprocessing::function(&of, table, true)?;
        } else {
            apply(reader, step, &path, table, depth + 1)?;
        }
        joined.append(&mut table.columns);
    }
    table.columns = joined;
    table.dropped.extend(all.into_iter().zip(asked).filter(|(_, asked)| !asked).map(|(column, _)| column));
    table.stack(&of.path_of("transformers_"))
}

/// The columns that a step gets.
fn select(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    name: Value,
    all: &[Made],
    asked: &mut [bool],
    path: &str,
) -> Result<Vec<Made>, Error> {
    const INDICES: &str = "_transformer_to_input_indices";
    let arena = reader.arena;
    let (Some(name), Some(entries)) = (arena.text(name), arena.dict(of.get(INDICES)?)) else {
        return Err(of.fault(INDICES, "is no dict of names"));
    };
    let mut found = entries.iter().filter(|(key, _)| arena.text(*key) == Some(name));
    let (Some((_, indices)), None) = (found.next(), found.next()) else {
        return Err(of.fault(INDICES, format!("does not name the columns of {path} once")));
    };
    let indices = arena.list(*indices).ok_or_else(|| of.fault(INDICES, "does not list its columns"))?;
    let mut selected = Vec::new();
    for index in indices {
        let index = arena.int(*index).and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX);
        let (Some(column), Some(asked)) = (all.get(index), asked.get_mut(index)) else {
            return Err(of.fault(INDICES, format!("asks for a column beyond {}", all.len())));
        };
        *asked = true;
        selected.push(column.copy(reader, path)?);
    }
    Ok(selected)
}
