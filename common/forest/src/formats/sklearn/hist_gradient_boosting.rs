//! `HistGradientBoostingClassifier` and `HistGradientBoostingRegressor`, by scikit-learn's
//! `ensemble/_hist_gradient_boosting/{gradient_boosting,predictor,binning}.py` and `_predictor.pyx` there.

use super::attributes::{Attributes, Reader};
use super::estimator::{self, Body};
use super::pipeline;
use super::predictor::{Known as KnownCategories, Set, predictor};
use super::table::{Table, Takes};
use super::version::Version;
use crate::error::Error;
use crate::formats::pickle::known::{Known, Loss, Part};
use crate::formats::pickle::value::Value;
use crate::link::{Link, SklearnLink};
use crate::model::{Categories, Combine, Decision, FeatureKind, Finish, Precision, Step, Sum, Task, Tree};

pub(super) fn body(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    version: Version,
    task: Task,
    table: &mut Table,
) -> Result<Body, Error> {
    if version.minor >= 4 {
        let value = of.get("_preprocessor")?;
        if value != Value::None {
            pipeline::own_preprocessor(reader, value, &of.path_of("_preprocessor"), table)?;
        }
    }
    let value = of.get("_loss")?;
    let Some(Known::Loss(loss)) = reader.class(value) else {
        return Err(of.unlike("_loss", value, "a loss of scikit-learn"));
    };
    let classes = match task {
        Task::Classification => vec![estimator::boosted_classes(reader, of)?],
        _ => Vec::new(),
    };
    let n_classes = classes.first().map_or(1, Vec::len);
    let (margins, link) = match (loss, task == Task::Classification) {
        (Loss::Identity, false) => (1, Link::Identity),
        (Loss::Log, false) => (1, Link::Sklearn(SklearnLink::Log)),
        (Loss::Binomial, true) if n_classes == 2 => (1, Link::Sklearn(SklearnLink::Logit)),
        (Loss::Multinomial, true) if n_classes > 2 => {
            (n_classes, Link::Sklearn(SklearnLink::Softmax { pairwise: false }))
        }
        _ => return Err(of.fault("_loss", format!("is no loss for {n_classes} classes"))),
    };
    let known = known_categories(reader, of, version, table)?;
    let decision = match (task, version.minor) {
        (Task::Classification, 0..5) => Decision::LargestValue,
        (Task::Classification, _) if margins == 1 => Decision::MarginAbove(0.0),
        (Task::Classification, _) => Decision::LargestMargin,
        _ => Decision::None,
    };
    let start = start(reader, of, margins)?;
    Ok(Body {
        n_outputs: 1,
        classes,
        sum: Sum { combine: Combine::Add, precision: Precision::Double, start, finish: Finish::Nothing },
        link,
        decision,
        trees: trees(reader, of, &known, margins)?,
        takes: Takes { precision: Precision::Double, missing: true, infinite: true },
    })
}

/// `_baseline_prediction`: a number, or one for each class.
fn start(reader: &Reader<'_>, of: &Attributes<'_>, margins: usize) -> Result<Vec<f64>, Error> {
    const NAME: &str = "_baseline_prediction";
    let value = of.get(NAME)?;
    let numbers = match reader.arena.number(value) {
        Some(number) => Some(vec![number]),
        None => {
            let array = reader.arena.array(value).filter(|array| array.shape.iter().product::<usize>() == margins);
            array.and_then(|array| array.numbers()).map(Iterator::collect)
        }
    };
    let numbers = numbers.filter(|numbers| numbers.len() == margins && numbers.iter().all(|x| x.is_finite()));
    // added to zeros
    let numbers = numbers.map(|numbers| numbers.into_iter().map(|x| 0.0 + x).collect());
    numbers.ok_or_else(|| of.fault(NAME, format!("is not {margins} finite numbers")))
}

/// For each column the categories that were there in training, if they are categories.
fn known_categories(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    version: Version,
    table: &mut Table,
) -> Result<KnownCategories, Error> {
    let mapper = of.get("_bin_mapper")?;
    let path = of.path_of("_bin_mapper");
    if reader.class(mapper) != Some(Known::Part(Part::BinMapper)) {
        return Err(of.unlike("_bin_mapper", mapper, "a _BinMapper"));
    }
    let (mapper, _) = reader.part(mapper, &path)?;
    let (_, array) = mapper.array("is_categorical_")?;
    let width = table.columns.len();
    let flags = array.flags().filter(|_| array.shape == [width]);
    let flags = flags.ok_or_else(|| mapper.fault("is_categorical_", format!("is not {width} flags")))?;
    let bins = mapper.list("bin_thresholds_")?;
    if bins.len() != width {
        return Err(mapper.fault("bin_thresholds_", format!("is for {} columns, not {width}", bins.len())));
    }
    let mut known = Vec::with_capacity(width);
    for (at, (flag, bins)) in flags.zip(bins).enumerate() {
        if !flag {
            known.push(None);
            continue;
        }
        let mut set = Set::default();
        let numbers = reader.arena.array(*bins).and_then(|array| array.numbers());
        let numbers = numbers.ok_or_else(|| mapper.fault("bin_thresholds_", "has what are no numbers"))?;
        for category in numbers {
            let wrong = || mapper.fault("bin_thresholds_", format!("has {category:?}, which is no category"));
            set.insert(category).ok_or_else(wrong)?;
        }
        known.push(Some(set));
        if version.minor < 4 {
            cut(table, at, version, &path)?;
        }
    }
    Ok(known)
}

/// Before 1.4 a category is the number itself, cut to a byte.
fn cut(table: &mut Table, at: usize, version: Version, path: &str) -> Result<(), Error> {
    let Some(column) = table.columns.get_mut(at) else { return Ok(()) };
    let fresh = column.steps.is_empty().then_some(column.feature);
    column.steps.push(Step::Byte { negative: version.minor < 2 });
    match fresh {
        Some(feature) => table.mean(feature, FeatureKind::Category(Categories::Codes), path),
        None => Ok(()),
    }
}

/// `_predictors`: for each iteration a list with a tree for each margin.
fn trees(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    known: &KnownCategories,
    margins: usize,
) -> Result<Vec<Tree>, Error> {
    const NAME: &str = "_predictors";
    let iterations = of.list(NAME)?;
    estimator::check_count(reader, of, iterations.len().saturating_mul(margins))?;
    let mut trees = Vec::with_capacity(iterations.len());
    for (at, iteration) in iterations.iter().enumerate() {
        let predictors = reader.arena.list(*iteration).filter(|predictors| predictors.len() == margins);
        let predictors = predictors.ok_or_else(|| of.fault(NAME, format!("has not {margins} trees at place {at}")))?;
        for (target, value) in (0_u32..).zip(predictors) {
            let path = format!("{}[{at}][{target}]", of.path_of(NAME));
            trees.push(predictor(reader, *value, &path, known, target)?);
        }
    }
    Ok(trees)
}
