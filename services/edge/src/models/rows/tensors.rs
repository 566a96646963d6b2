//! Tensors into a row matrix: one of N rows, or one a feature, each value by the same rules as in JSON.
//!
//! Which of both it is: `content_type` `np` of the request means that its only input is the matrix, `pd` that each input is a
//! feature; without it a single input is the matrix, unless it has a feature's name and one element a row. A feature's tensor
//! is `[N]` or `[N, 1]`, the matrix `[N, features]`.
//!
//! A datatype is held: an integer that it can not hold, or a fraction in one, is refused. Beyond that numbers of any datatype
//! are taken for numbers, BOOL as 0 and 1 as numpy and pandas have it; a text never is. A category is given as it was in the
//! data frame, a text as BYTES; `null` and NaN are missing.

use std::fmt::Write as _;

use super::{Bound, Reading, Rows, Scalar, Signature};
use crate::models::tensors::{Datatype, Element, Elements, Faults, MATRIX, Place, Take, Tensor};

/// Where a tensor's elements go.
#[derive(Debug, Clone, Copy)]
enum Target {
    Matrix,
    Column(usize),
}

/// Reads the inputs of a request; `content_type` is the request's own. None, or rows that are none, where there are faults.
pub fn from_tensors(
    inputs: &[Tensor<'_>],
    content_type: Option<&str>,
    signature: &Signature,
    reading: Reading,
    faults: &mut Faults,
) -> Option<Rows> {
    let targets = targets(inputs, content_type, signature, faults);
    let rows = rows(&targets, signature, reading, faults).filter(|_| faults.is_empty())?;
    let mut values = Vec::new();
    for (tensor, target) in &targets {
        fill(tensor, *target, rows, signature, &mut values, faults);
    }
    // Checked against `most`.
    let count = u32::try_from(rows).unwrap_or(u32::MAX);
    Some(Rows { count, values, many: true, ask: reading.ask })
}

/// What each input is.
fn targets<'t, 'a>(
    inputs: &'t [Tensor<'a>],
    content_type: Option<&str>,
    signature: &Signature,
    faults: &mut Faults,
) -> Vec<(&'t Tensor<'a>, Target)> {
    let codec = content_type.filter(|codec| ["np", "pd"].contains(codec));
    match (codec, inputs) {
        (Some("np"), [first, rest @ ..]) => {
            for other in rest {
                faults.at(&other.pointer, "must not be there: with content_type np the first input is the matrix");
            }
            vec![(first, Target::Matrix)]
        }
        (None, [only]) if !is_feature(only, signature) => {
            if only.content_type.as_deref() != Some("np") && !MATRIX.contains(&&*only.name) {
                let known = if signature.columns() > 1 {
                    "is neither a feature of this model nor the matrix"
                } else {
                    "is not the input of this model"
                };
                faults.at(&format!("{}/name", only.pointer), format!("{known}; call the matrix {}", MATRIX.join(", ")));
            }
            vec![(only, Target::Matrix)]
        }
        _ => columns(inputs, signature, faults),
    }
}

/// Whether a single input is a feature and not the matrix.
fn is_feature(input: &Tensor<'_>, signature: &Signature) -> bool {
    let one_a_row = matches!(input.shape.as_slice(), [_] | [_, 1]);
    one_a_row && signature.index.contains_key(&*input.name)
}

/// Each input a feature.
fn columns<'t, 'a>(
    inputs: &'t [Tensor<'a>],
    signature: &Signature,
    faults: &mut Faults,
) -> Vec<(&'t Tensor<'a>, Target)> {
    let mut seen = vec![false; signature.columns()];
    let mut all = Vec::with_capacity(inputs.len());
    for (at, input) in inputs.iter().enumerate() {
        let Some(column) = signature.find(&input.name, at) else {
            faults.push(|| format!("{}/name", input.pointer), super::unknown(signature));
            continue;
        };
        match seen.get_mut(column) {
            Some(true) => faults.push(|| format!("{}/name", input.pointer), "is the name of another input as well"),
            Some(seen) => *seen = true,
            None => {}
        }
        all.push((input, Target::Column(column)));
    }
    for (column, seen) in seen.iter().enumerate() {
        if !seen {
            let wanted = signature.wanted(column);
            let detail = format!("has no input '{}', which must be {wanted}", signature.name(column));
            faults.push(|| "/inputs".to_owned(), detail);
        }
    }
    all
}

/// How many rows there are, as every shape says, and as there can be with the elements that are there.
fn rows(
    targets: &[(&Tensor<'_>, Target)],
    signature: &Signature,
    reading: Reading,
    faults: &mut Faults,
) -> Option<usize> {
    let mut all: Option<(u64, &str)> = None;
    for (tensor, target) in targets {
        let mut fault = |detail: String| faults.push(|| format!("{}/shape", tensor.pointer), detail);
        let columns = signature.columns() as u64;
        let (rows, width) = match (target, tensor.shape.as_slice()) {
            (Target::Column(_), [rows] | [rows, 1]) => (*rows, 1),
            (Target::Matrix, [rows, width]) if *width == columns => (*rows, *width),
            (Target::Matrix, [rows]) if columns == 1 => (*rows, 1),
            (Target::Matrix, _) => {
                fault(format!("must be [N, {columns}], a value for each feature in each of N rows"));
                continue;
            }
            (Target::Column(_), _) => {
                fault("must be [N] or [N, 1], a value for each of N rows".to_owned());
                continue;
            }
        };
        if rows == 0 {
            fault("must have at least one row".to_owned());
        } else if rows > u64::from(reading.most) {
            fault(format!("must have at most {} rows", reading.most));
        } else if let Some((other, pointer)) = all.filter(|(other, _)| *other != rows) {
            fault(format!("has {rows} rows, and {pointer} has {other}"));
        } else if let Err(detail) = enough(tensor, rows.saturating_mul(width)) {
            faults.push(|| tensor.pointer.clone(), detail);
        } else {
            all = all.or(Some((rows, &tensor.pointer)));
        }
    }
    all.and_then(|(rows, _)| usize::try_from(rows).ok())
}

/// That as many elements as the shape says can be there: nothing is allocated by a number that a client only claims.
fn enough(tensor: &Tensor<'_>, wanted: u64) -> Result<(), String> {
    let (Tensor { datatype, elements, shape, .. }, name) = (tensor, tensor.datatype.name());
    if let (Elements::Raw(bytes), Some(size)) = (elements, datatype.size()) {
        let bytes = bytes.len() as u64;
        let needed = wanted.saturating_mul(size as u64);
        if bytes != needed {
            return Err(format!("has {bytes} bytes; its shape {shape:?} of {name} takes {needed}"));
        }
    }
    if (elements.at_most(*datatype) as u64) < wanted {
        return Err(format!("has fewer elements than the {wanted} of its shape {shape:?}"));
    }
    Ok(())
}

fn fill(
    tensor: &Tensor<'_>,
    target: Target,
    rows: usize,
    signature: &Signature,
    values: &mut Vec<f64>,
    faults: &mut Faults,
) {
    if let (Target::Matrix, Elements::Raw(bytes), Some(bound)) = (target, &tensor.elements, signature.bound())
        && copied(bytes, tensor.datatype, bound, values)
    {
        return;
    }
    let width = match target {
        Target::Matrix => signature.columns(),
        Target::Column(_) => 1,
    };
    // As many bytes as that, at least, were sent.
    values.resize(rows * signature.columns(), f64::NAN);
    let wanted = rows * width;
    let mut sink = Sink { tensor, target, signature, values, faults, wanted, at: 0 };
    let read = tensor.elements.each(tensor.datatype, &tensor.shape, &mut sink);
    let given = sink.at;
    match read {
        Err(detail) => {
            let place = if matches!(tensor.elements, Elements::Json { .. }) { "/data" } else { "" };
            faults.push(|| format!("{}{place}", tensor.pointer), detail);
        }
        Ok(()) if given != wanted => {
            let detail = format!("has {given} elements; its shape {:?} has {wanted}", tensor.shape);
            faults.push(|| tensor.pointer.clone(), detail);
        }
        Ok(()) => {}
    }
}

/// A matrix of floats whose columns are all numbers, at once; false if a value is not within the bound: then each is looked
/// at by itself.
fn copied(bytes: &[u8], datatype: Datatype, bound: Bound, values: &mut Vec<f64>) -> bool {
    match datatype {
        Datatype::Fp64 => values.extend(bytes.as_chunks::<8>().0.iter().map(|of| f64::from_le_bytes(*of))),
        Datatype::Fp32 => values.extend(bytes.as_chunks::<4>().0.iter().map(|of| f64::from(f32::from_le_bytes(*of)))),
        _ => return false,
    }
    // Without a branch, so that many are looked at together. NaN is neither below nor above.
    let within = if bound.missing {
        !values.iter().fold(false, |beyond, value| beyond | (*value < bound.least) | (*value > bound.most))
    } else {
        values.iter().fold(true, |within, value| within & (*value >= bound.least) & (*value <= bound.most))
    };
    if !within {
        values.clear();
    }
    within
}

impl Signature {
    /// A bound that holds for every column; none where a column is no number, or of whole ones.
    fn bound(&self) -> Option<Bound> {
        let mut all = Bound { least: f64::MIN, most: f64::MAX, whole: false, missing: true };
        for column in &self.columns {
            let Bound { least, most, whole, missing } = column.bound()?;
            if whole {
                return None;
            }
            let (least, most) = (all.least.max(least), all.most.min(most));
            all = Bound { least, most, whole, missing: all.missing && missing };
        }
        Some(all)
    }
}

/// Puts elements into their cells.
struct Sink<'s, 't, 'a> {
    tensor: &'t Tensor<'a>,
    target: Target,
    signature: &'s Signature,
    values: &'s mut Vec<f64>,
    faults: &'s mut Faults,
    wanted: usize,
    at: usize,
}

impl Take for Sink<'_, '_, '_> {
    fn take(&mut self, element: Element<'_>, place: Place) {
        let at = self.at;
        self.at += 1;
        if at >= self.wanted {
            return;
        }
        let columns = self.signature.columns().max(1);
        let (cell, column) = match self.target {
            Target::Matrix => (at, at % columns),
            Target::Column(column) => (at * columns + column, column),
        };
        let Some(of) = self.signature.columns.get(column) else { return };
        let taken = match element {
            Element::Wrong(detail) => Err(detail),
            Element::Missing => of.missing(),
            Element::Value(Scalar::Float(value)) if value.is_nan() => of.missing(),
            Element::Value(Scalar::Bool(value)) if of.bound().is_some() => of.take(Scalar::Unsigned(value.into())),
            Element::Value(value) => of.take(value),
        };
        match taken {
            Ok(value) => {
                if let Some(cell) = self.values.get_mut(cell) {
                    *cell = value;
                }
            }
            Err(detail) => {
                let name = self.signature.name(column);
                let row = cell / columns;
                let tensor = self.tensor;
                self.faults.push(
                    || format!("{}{}", tensor.pointer, within(place, at, &tensor.shape)),
                    format!("row {row}, feature '{name}': {detail}"),
                );
            }
        }
    }
}

/// An element's place within its tensor, as the rest of a JSON pointer.
fn within(place: Place, at: usize, shape: &[u64]) -> String {
    match place {
        Place::None => String::new(),
        Place::Flat => format!("/data/{at}"),
        Place::Nested => {
            let mut text = "/data".to_owned();
            let mut block: u64 = shape.iter().product();
            let mut rest = at as u64;
            for dimension in shape {
                block /= (*dimension).max(1);
                let _ = write!(text, "/{}", rest / block.max(1));
                rest %= block.max(1);
            }
            text
        }
    }
}

#[cfg(test)]
#[path = "tensors_tests.rs"]
mod tests;
