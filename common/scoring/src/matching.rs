//! Which column of a table is which feature of the model, and what its cells become.

use arborgate_forest::{Categories, Feature, FeatureKind, KnownCategories, Model, Scalar, catboost_category};
use arborgate_tables::{Cell, Column, Convert, Format, Mismatch, Take, Wanted, Width, is_missing};

/// Columns that a message names, at most.
const NAMED: usize = 8;
/// Places of categories up to here are exact as floats of 32 bits.
const MOST_IN_SINGLE: usize = 1 << 24;

/// How columns are found.
#[derive(Debug, Clone, Copy)]
pub struct Matching {
    /// Else by their order.
    pub by_name: bool,
    /// Columns that are no features are left out.
    pub ignore_extra: bool,
    /// What a message names as the way to these.
    pub advice: Advice,
}

/// How who asks would say it.
#[derive(Debug, Clone, Copy)]
pub struct Advice {
    /// Not [`Matching::by_name`].
    pub by_order: &'static str,
    /// [`Matching::ignore_extra`].
    pub ignore_extra: &'static str,
}

/// A table as the model takes it.
#[derive(Debug)]
pub struct Matched {
    /// In the model's order.
    pub wanted: Vec<Wanted>,
    /// Which floats hold all of it.
    pub width: Width,
    /// What a message calls the columns.
    pub names: Vec<String>,
}

/// Finds the model's features among the columns of a table. `names` are those of the features, if others than the model's.
///
/// # Errors
/// What is wrong with the table ("has no column …").
pub fn matched(
    model: &Model,
    names: Option<Vec<&str>>,
    columns: &[Column],
    format: Format,
    matching: Matching,
) -> Result<Matched, String> {
    let places = match names.or_else(|| model.feature_names()) {
        Some(names) if matching.by_name => by_name(&names, columns, matching)?,
        _ => by_order(model.n_features(), columns, format)?,
    };
    let mut matched = Matched { wanted: Vec::new(), width: Width::Double, names: Vec::new() };
    let mut numbers = Vec::new();
    let mut wide = false;
    for (feature, place) in model.features().iter().zip(places) {
        let Some(column) = columns.get(place) else { continue };
        let (take, exact_in_single) = take(feature, model, format);
        if matches!(take, Take::Number) {
            numbers.push(&column.kind);
        }
        wide |= !exact_in_single;
        matched.wanted.push(Wanted { column: place, take });
        matched.names.push(column.shown(place));
    }
    if !wide {
        matched.width = Width::of(numbers);
    }
    Ok(matched)
}

fn by_order(features: usize, columns: &[Column], format: Format) -> Result<Vec<usize>, String> {
    if columns.len() == features {
        return Ok((0..features).collect());
    }
    let why = if format == Format::Npy { "" } else { " and columns are taken in their order, without names" };
    Err(format!("has {} columns, where the model has {features} features{why}", columns.len()))
}

fn by_name(names: &[&str], columns: &[Column], matching: Matching) -> Result<Vec<usize>, String> {
    let Matching { ignore_extra, advice, .. } = matching;
    let Mismatch { missing, twice, extra } = match arborgate_tables::by_name(names, columns, ignore_extra) {
        Ok(places) => return Ok(places),
        Err(mismatch) => mismatch,
    };
    let mut faults = Vec::new();
    if !missing.is_empty() {
        faults.push(format!("has no column {}, which the model needs", list(&missing)));
    }
    if !twice.is_empty() {
        faults.push(format!("has column {} more than once", list(&twice)));
    }
    if !extra.is_empty() {
        let what = if extra.len() == 1 { "which is no feature" } else { "which are no features" };
        faults.push(format!(
            "has column {}, {what} of the model ({} leaves such out)",
            list(&extra),
            advice.ignore_extra
        ));
    }
    if !missing.is_empty() && columns.len() == names.len() {
        let way = advice.by_order;
        faults.push(format!("has as many columns as the model has features ({way} takes them in their order)"));
    }
    Err(faults.join("; it "))
}

fn list(names: &[String]) -> String {
    let mut list: Vec<String> = names.iter().take(NAMED).map(|name| format!("{name:?}")).collect();
    if names.len() > NAMED {
        list.push(format!("… ({} in all)", names.len()));
    }
    list.join(", ")
}

/// How a feature's column is taken, and whether single floats hold what comes of it.
fn take(feature: &Feature, model: &Model, format: Format) -> (Take, bool) {
    match &feature.kind {
        FeatureKind::Number | FeatureKind::Category(Categories::Codes) => (Take::Number, true),
        // an array has no texts: to every library a number in it is a category's place
        FeatureKind::Category(Categories::Named(_)) if format == Format::Npy => (Take::Number, true),
        FeatureKind::Category(Categories::Named(labels)) => {
            let known = KnownCategories::new(labels, model.input().category.unseen());
            (Take::Cells(category(known)), labels.len() <= MOST_IN_SINGLE)
        }
        FeatureKind::Category(Categories::Hashed) => (Take::Cells(Box::new(hashed)), false),
    }
}

fn category(known: KnownCategories) -> Convert {
    Box::new(move |cell| {
        let taken = match cell {
            Cell::Missing => Some(f64::NAN),
            Cell::Written(text) => known.written(text, is_missing(text)),
            Cell::Float(value) => known.take(Scalar::Float(value)),
            Cell::Signed(value) => known.take(Scalar::Signed(value)),
            Cell::Unsigned(value) => known.take(Scalar::Unsigned(value)),
            Cell::Bool(value) => known.take(Scalar::Bool(value)),
            Cell::Text(text) => known.take(Scalar::Text(text)),
        };
        taken.ok_or_else(|| format!("must be {}", known.wanted()))
    })
}

/// What CatBoost has for a category's text. In a CSV only what is empty is missing: any other text may be a category.
fn hashed(cell: Cell<'_>) -> Result<f64, String> {
    match cell {
        Cell::Missing | Cell::Written("") => Ok(f64::NAN),
        Cell::Text(text) | Cell::Written(text) => Ok(catboost_category(text).into()),
        Cell::Signed(whole) => Ok(catboost_category(&whole.to_string()).into()),
        Cell::Unsigned(whole) => Ok(catboost_category(&whole.to_string()).into()),
        Cell::Float(_) | Cell::Bool(_) => Err("must be a text or a whole number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use arborgate_forest::{CategoryRule, Label};
    use arborgate_tables::Kind;

    use super::*;

    fn columns(names: &[&str]) -> Vec<Column> {
        names.iter().map(|name| Column { name: Some((*name).to_owned()), kind: Kind::Written }).collect()
    }

    fn ignoring(ignore_extra: bool) -> Matching {
        let advice = Advice { by_order: "--by-order", ignore_extra: "--ignore-extra" };
        Matching { by_name: true, ignore_extra, advice }
    }

    #[test]
    fn columns_are_found_by_name() {
        let table = columns(&["b", "x", "a"]);
        assert_eq!(by_name(&["a", "b"], &table, ignoring(true)), Ok(vec![2, 0]));
        let told = by_name(&["a", "b"], &table, ignoring(false)).unwrap_err();
        assert_eq!(told, "has column \"x\", which is no feature of the model (--ignore-extra leaves such out)");
        let told = by_name(&["a", "c\n", "d"], &table, ignoring(true)).unwrap_err();
        assert!(told.starts_with("has no column \"c\\n\", \"d\", which the model needs; it has as many"), "{told}");
        let told = by_name(&["a"], &columns(&["a", "a"]), ignoring(false)).unwrap_err();
        assert_eq!(told, "has column \"a\" more than once");
        let many: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(by_name(&many, &columns(&["a"]), ignoring(true)).unwrap_err().contains("\"7\", … (20 in all), which"));
    }

    #[test]
    fn without_names_their_number_must_fit() {
        assert_eq!(by_order(2, &columns(&["b", "a"]), Format::Csv), Ok(vec![0, 1]));
        let told = by_order(3, &columns(&["b", "a"]), Format::Csv).unwrap_err();
        assert!(told.starts_with("has 2 columns, where the model has 3 features and columns"), "{told}");
    }

    #[test]
    fn a_written_category_is_what_fits() {
        let labels = [Label::Text("NA".to_owned()), Label::Int(10), Label::Bool(true), Label::Text("7".to_owned())];
        let known = KnownCategories::new(&labels, CategoryRule::Truncated64.unseen());
        for (text, place) in [("NA", 0.0), ("10", 1.0), (" 10.0 ", 1.0), ("True", 2.0), ("7", 3.0)] {
            assert_eq!(known.written(text, is_missing(text)), Some(place), "{text}");
        }
        for missing in ["", "nan", "oslo", "11"] {
            assert!(known.written(missing, is_missing(missing)).unwrap().is_nan(), "{missing}");
        }
        let numbers = KnownCategories::new(&[Label::Int(10)], CategoryRule::Truncated64.unseen());
        assert_eq!(numbers.written("oslo", false), None, "never seen, and no number either");
        assert!(numbers.written("11", false).unwrap().is_nan());
        let refusing = KnownCategories::new(&labels, CategoryRule::Truncated32.unseen());
        assert_eq!(
            category(refusing)(Cell::Written("oslo")).unwrap_err(),
            "must be one of the categories \"NA\", 10, true, \"7\""
        );
    }

    #[test]
    fn a_hash_is_of_a_text_or_a_whole_number() {
        let three = Ok(593_172_586.0);
        assert_eq!(hashed(Cell::Text("3")), three);
        assert_eq!(hashed(Cell::Written("3")), three);
        assert_eq!(hashed(Cell::Signed(3)), three);
        assert_eq!(hashed(Cell::Unsigned(3)), three);
        assert!(hashed(Cell::Missing).unwrap().is_nan() && hashed(Cell::Written("")).unwrap().is_nan());
        assert!(!hashed(Cell::Written("NA")).unwrap().is_nan());
        assert!(hashed(Cell::Float(3.5)).is_err());
    }
}
