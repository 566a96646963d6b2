//! One model beside what its own library predicted.

use arborgate_forest::{Compiled, Element, Model, Options, Output, Processor};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use crate::common::naive;
use crate::common::reference::{Bound, Case, Rows};

/// How many rows there are, and in how many of them something differs.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Differs {
    pub(crate) rows: usize,
    pub(crate) margins: Part,
    pub(crate) values: Part,
    pub(crate) labels: usize,
}

/// Of margins or values: the rows in which they differ, and the largest differences.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) rows: usize,
    /// Units in the last place: of an `f32` where both are one.
    pub(crate) ulp: u64,
    pub(crate) relative: f64,
}

impl Differs {
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            margins: self.margins.with(other.margins),
            values: self.values.with(other.values),
            labels: self.labels + other.labels,
        }
    }
}

impl Part {
    fn with(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, ulp: self.ulp.max(other.ulp), relative: self.relative.max(other.relative) }
    }

    /// Counts a row, and says which of its numbers are farther off than is promised.
    fn row(
        &mut self,
        found: ArrayView1<'_, f64>,
        expected: ArrayView1<'_, f64>,
        promised: impl Fn() -> Bound,
    ) -> Vec<String> {
        let unlike = found.into_iter().zip(expected).filter(|(a, b)| !same(**a, **b));
        let unlike: Vec<(f64, f64)> = unlike.map(|(a, b)| (*a, *b)).collect();
        if unlike.is_empty() {
            return Vec::new();
        }
        let largest = |part: Self, (a, b): &(f64, f64)| {
            let relative = (a - b).abs() / a.abs().max(b.abs());
            part.with(Self { rows: 0, ulp: apart(*a, *b), relative })
        };
        *self = self.with(unlike.iter().fold(Self { rows: 1, ..Self::default() }, largest));
        let promised = promised();
        let broken = unlike.iter().filter(|(a, b)| !holds(promised, *a, *b));
        broken.map(|(a, b)| format!("{a:?}, its library says {b:?}")).collect()
    }
}

/// What is promised of ONNX: this part of the row's sum of absolute leaf values.
const OF_LEAVES: f64 = 1e-5;

/// What differs, and the rows that break what is promised.
///
/// # Errors
/// The model is refused, is another than the library says, or takes a row that the library refuses.
pub(crate) fn compare(case: &Case) -> Result<(Differs, Vec<String>), String> {
    let model = Model::read(&case.bytes, &Options::default()).map_err(|error| error.to_string())?;
    let facts = &case.facts;
    let source = model.source().to_string();
    if (source.as_str(), model.trees().len()) != (facts.source.as_str(), facts.trees) {
        return Err(format!("is {source} of {} trees, not {} of {}", model.trees().len(), facts.source, facts.trees));
    }
    let classes: Vec<Vec<String>> =
        model.classes().iter().map(|of| of.iter().map(ToString::to_string).collect()).collect();
    if classes != facts.classes {
        return Err(format!("has classes {classes:?}, not {:?}", facts.classes));
    }
    let compiled = Compiled::new(&model).map_err(|error| error.to_string())?;
    let taken = case.refused().is_some_and(|rows| match rows {
        Rows::Single(rows) => any_taken(&compiled, rows.view()),
        Rows::Double(rows) => any_taken(&compiled, rows.view()),
    });
    if taken {
        return Err("takes a row that its library refuses".to_owned());
    }
    match &case.rows {
        Rows::Single(rows) => of_rows(case, &model, &compiled, rows.view()),
        Rows::Double(rows) => of_rows(case, &model, &compiled, rows.view()),
    }
}

fn any_taken<T: Element>(compiled: &Compiled, rows: ArrayView2<'_, T>) -> bool {
    rows.axis_chunks_iter(Axis(0), 1).any(|row| predict(compiled, row).is_ok())
}

struct Found {
    margins: Array2<f64>,
    values: Array2<f64>,
    labels: Array2<u32>,
}

fn predict<T: Element>(compiled: &Compiled, rows: ArrayView2<'_, T>) -> Result<Found, String> {
    let mut margins = Array2::from_elem((rows.nrows(), compiled.margins_width()), f64::NAN);
    let mut values = Array2::from_elem((rows.nrows(), compiled.values_width()), f64::NAN);
    let mut labels = Array2::from_elem((rows.nrows(), compiled.labels_width()), u32::MAX);
    let mut out = Output { values: values.view_mut(), labels: labels.view_mut() };
    compiled.predict(rows, &mut out).map_err(|error| error.to_string())?;
    compiled.margins(rows, margins.view_mut()).map_err(|error| error.to_string())?;
    Ok(Found { margins, values, labels })
}

fn of_rows<T: Element + Into<f64>>(
    case: &Case,
    model: &Model,
    compiled: &Compiled,
    rows: ArrayView2<'_, T>,
) -> Result<(Differs, Vec<String>), String> {
    let found = predict(compiled, rows)?;
    steady(compiled, rows, &found)?;
    for (what, found, expected, may_miss) in [
        ("margins", found.margins.ncols(), case.margins.ncols(), true),
        ("values", found.values.ncols(), case.values.ncols(), false),
        ("labels", found.labels.ncols(), case.labels.ncols(), true),
    ] {
        if found != expected && !(may_miss && expected == 0) {
            return Err(format!("has {found} {what} a row, its library {expected}"));
        }
    }
    let mut differs = Differs { rows: rows.nrows(), ..Differs::default() };
    let mut broken = Vec::new();
    for row in 0..rows.nrows() {
        let promised = |bound: Bound| match model.source().library.as_str() {
            "ONNX" => Bound::Absolute(OF_LEAVES * leaves(model, rows.row(row))),
            _ => bound,
        };
        if case.margins.ncols() > 0 {
            let (found, expected) = (found.margins.row(row), case.margins.row(row));
            let lines = differs.margins.row(found, expected, || promised(case.facts.margins));
            broken.extend(lines.into_iter().map(|line| format!("row {row}: margins: {line}")));
        }
        let (found_values, expected) = (found.values.row(row), case.values.row(row));
        let lines = differs.values.row(found_values, expected, || promised(case.facts.values));
        broken.extend(lines.into_iter().map(|line| format!("row {row}: values: {line}")));
        if case.labels.ncols() > 0 && found.labels.row(row) != case.labels.row(row) {
            differs.labels += 1;
            let (ours, theirs) = (found.labels.row(row), case.labels.row(row));
            if !(case.labels.ncols() == 1 && tie(expected, ours[0], theirs[0], promised(case.facts.values))) {
                broken.push(format!("row {row}: labels: {ours}, its library says {theirs}"));
            }
        }
    }
    Ok((differs, broken))
}

/// Whether a difference within what is promised of values decides between two labels.
fn tie(values: ArrayView1<'_, f64>, ours: u32, theirs: u32, promised: Bound) -> bool {
    match values.len() {
        1 => holds(promised, values[0], 0.0),
        _ => holds(promised, values[ours as usize], values[theirs as usize]),
    }
}

/// Neither the batch nor the instructions change a bit.
fn steady<T: Element>(compiled: &Compiled, rows: ArrayView2<'_, T>, found: &Found) -> Result<(), String> {
    let of = |part: &Found, from: usize| {
        let same_numbers = |part: &Array2<f64>, whole: &Array2<f64>| {
            let whole = whole.slice(ndarray::s![from..from + part.nrows(), ..]);
            part.iter().zip(whole).all(|(a, b)| same(*a, *b))
        };
        let labels = found.labels.slice(ndarray::s![from..from + part.labels.nrows(), ..]);
        same_numbers(&part.margins, &found.margins)
            && same_numbers(&part.values, &found.values)
            && part.labels == labels
    };
    for processor in Processor::all() {
        let compiled = compiled.clone().on(processor);
        for size in [1, 7, 64, rows.nrows().max(1)] {
            for (number, part) in rows.axis_chunks_iter(Axis(0), size).enumerate() {
                if !of(&predict(&compiled, part)?, number * size) {
                    return Err(format!("predicts other bits, {size} rows together on {processor}"));
                }
            }
        }
    }
    Ok(())
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

fn holds(promised: Bound, a: f64, b: f64) -> bool {
    match promised {
        Bound::Bits => false,
        Bound::Ulp(most) => a.is_nan() == b.is_nan() && apart(a, b) <= most,
        Bound::Absolute(most) => (a - b).abs() <= most,
    }
}

/// How many numbers of their kind lie between them, and one.
fn apart(a: f64, b: f64) -> u64 {
    let single = |x: f64| f64::from(x as f32).to_bits() == x.to_bits();
    let place = |sign: bool, rest: u64| if sign { -i128::from(rest) } else { i128::from(rest) };
    let place = |x: f64| match single(a) && single(b) {
        true => place(x.is_sign_negative(), u64::from((x as f32).abs().to_bits())),
        false => place(x.is_sign_negative(), x.abs().to_bits()),
    };
    u64::try_from((place(a) - place(b)).abs()).unwrap_or(u64::MAX)
}

/// The sum of the absolute values of the leaves that a row ends in.
fn leaves<T: Element + Into<f64>>(model: &Model, row: ArrayView1<'_, T>) -> f64 {
    let row: Vec<f64> = row.iter().map(|x| (*x).into()).collect();
    let row: Vec<f64> = match model.columns() {
        [] => row,
        columns => columns.iter().map(|column| column.double(row[column.feature as usize])).collect(),
    };
    let of = |tree: &arborgate_forest::Tree| {
        let each = if tree.target().is_some() { 1 } else { model.n_margins() };
        let leaf = naive::leaf(model, tree, &row);
        tree.values()[leaf * each..(leaf + 1) * each].iter().map(|value| value.abs()).sum::<f64>()
    };
    model.trees().iter().map(of).sum()
}
