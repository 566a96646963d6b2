//! The estimators: what all have, and a tree alone or a forest of them.

use super::attributes::{Attributes, Reader};
use super::classes::Place;
use super::table::{Table, Takes};
use super::tree::{Shape, tree};
use super::version::Version;
use super::{LIBRARY, gradient_boosting, hist_gradient_boosting, isolation_forest, missing, preprocessing};
use crate::error::Error;
use crate::formats::pickle::known::{Estimator, Known};
use crate::formats::pickle::value::Value;
use crate::link::Link;
use crate::model::{Combine, Decision, Finish, Label, Model, Parts, Precision, Source, Sum, Task, Tree};

impl Estimator {
    fn name(self) -> &'static str {
        match self {
            Self::DecisionTreeClassifier => "DecisionTreeClassifier",
            Self::DecisionTreeRegressor => "DecisionTreeRegressor",
            Self::ExtraTreeClassifier => "ExtraTreeClassifier",
            Self::ExtraTreeRegressor => "ExtraTreeRegressor",
            Self::RandomForestClassifier => "RandomForestClassifier",
            Self::RandomForestRegressor => "RandomForestRegressor",
            Self::ExtraTreesClassifier => "ExtraTreesClassifier",
            Self::ExtraTreesRegressor => "ExtraTreesRegressor",
            Self::GradientBoostingClassifier => "GradientBoostingClassifier",
            Self::GradientBoostingRegressor => "GradientBoostingRegressor",
            Self::HistGradientBoostingClassifier => "HistGradientBoostingClassifier",
            Self::HistGradientBoostingRegressor => "HistGradientBoostingRegressor",
            Self::IsolationForest => "IsolationForest",
        }
    }

    fn task(self) -> Task {
        match self {
            Self::DecisionTreeClassifier
            | Self::ExtraTreeClassifier
            | Self::RandomForestClassifier
            | Self::ExtraTreesClassifier
            | Self::GradientBoostingClassifier
            | Self::HistGradientBoostingClassifier => Task::Classification,
            Self::IsolationForest => Task::OutlierDetection,
            _ => Task::Regression,
        }
    }

    /// What a forest's `estimators_` are; nothing for a tree.
    fn members(self) -> Option<Self> {
        match self {
            Self::RandomForestClassifier => Some(Self::DecisionTreeClassifier),
            Self::RandomForestRegressor => Some(Self::DecisionTreeRegressor),
            Self::ExtraTreesClassifier => Some(Self::ExtraTreeClassifier),
            Self::ExtraTreesRegressor => Some(Self::ExtraTreeRegressor),
            _ => None,
        }
    }
}

/// An estimator without its input.
pub(super) struct Body {
    pub(super) n_outputs: usize,
    pub(super) classes: Vec<Vec<Label>>,
    pub(super) sum: Sum,
    pub(super) link: Link,
    pub(super) decision: Decision,
    pub(super) trees: Vec<Tree>,
    pub(super) takes: Takes,
}

/// `table`: what the steps of a pipeline made of the input; nothing if the estimator stands alone.
pub(super) fn model(reader: &mut Reader<'_>, value: Value, path: &str, table: Option<Table>) -> Result<Model, Error> {
    let Some(Known::Estimator(estimator)) = reader.class(value) else {
        let message =
            format!("is {} where an estimator was expected; save the estimator alone", reader.arena.kind(value));
        let path = if path.is_empty() { "the pickle" } else { path };
        return Err(Error::content(path, reader.arena.offset(value), message));
    };
    let (attributes, version) = reader.part(value, path)?;
    let mut table = match table {
        Some(table) => table,
        None => input(reader, &attributes)?,
    };
    preprocessing::check_width(&attributes, &table)?;
    let body = match estimator {
        Estimator::GradientBoostingClassifier | Estimator::GradientBoostingRegressor => {
            gradient_boosting::body(reader, &attributes, version, estimator.task(), table.columns.len())?
        }
        Estimator::HistGradientBoostingClassifier | Estimator::HistGradientBoostingRegressor => {
            hist_gradient_boosting::body(reader, &attributes, version, estimator.task(), &mut table)?
        }
        Estimator::IsolationForest => isolation_forest::body(reader, &attributes, version, &mut table)?,
        _ => body(reader, &attributes, version, estimator)?,
    };
    let (features, input, columns) = table.finish(body.takes, if path.is_empty() { "the model" } else { path })?;
    Model::new(Parts {
        task: estimator.task(),
        features,
        input,
        columns,
        n_outputs: body.n_outputs,
        classes: body.classes,
        sum: body.sum,
        link: body.link,
        decision: body.decision,
        trees: body.trees,
        source: Source {
            library: LIBRARY.into(),
            version: reader.version().to_owned(),
            class: estimator.name().into(),
        },
    })
}

/// A tree or a forest of them.
fn body(reader: &mut Reader<'_>, of: &Attributes<'_>, version: Version, estimator: Estimator) -> Result<Body, Error> {
    let shape = shape(reader, of, estimator, version)?;
    let classes = classes(reader, of, &shape)?;
    let (trees, missing) = match estimator.members() {
        Some(member) => forest(reader, of, member, &shape)?,
        None => alone(reader, of, estimator, &shape)?,
    };
    let margins = shape.n_classes.iter().sum();
    // -0.0 is what adding changes nothing: a tree alone says what its leaf says
    let start = if shape.alone { -0.0 } else { 0.0 };
    let finish = if shape.alone { Finish::Nothing } else { Finish::Divide(trees.len() as f64) };
    Ok(Body {
        n_outputs: shape.n_classes.len(),
        classes,
        sum: Sum { combine: Combine::Add, precision: Precision::Double, start: vec![start; margins], finish },
        link: Link::Identity,
        decision: match (shape.classifier, shape.alone) {
            (false, _) => Decision::None,
            (true, true) => Decision::Leaf,
            (true, false) => Decision::LargestValue,
        },
        trees,
        takes: Takes { precision: Precision::Single, missing, infinite: false },
    })
}

/// The columns of the input, as an object says that was fitted on them.
pub(super) fn input(reader: &mut Reader<'_>, of: &Attributes<'_>) -> Result<Table, Error> {
    let n_features = positive(of, "n_features_in_")?;
    if n_features > reader.limits.max_features {
        return Err(Error::limit("features", reader.limits.max_features));
    }
    Ok(Table::new(feature_names(reader, of, n_features)?))
}

/// Features, outputs and numbers of classes, as the estimator says.
fn shape(reader: &Reader<'_>, of: &Attributes<'_>, estimator: Estimator, version: Version) -> Result<Shape, Error> {
    let n_features = positive(of, "n_features_in_")?;
    let n_outputs = positive(of, "n_outputs_")?;
    if n_outputs > reader.limits.max_outputs {
        return Err(Error::limit("outputs", reader.limits.max_outputs));
    }
    let classifier = estimator.task() == Task::Classification;
    let n_classes = if classifier { n_classes(reader, of, n_outputs)? } else { vec![1; n_outputs] };
    if n_classes.contains(&0) {
        return Err(of.fault("n_classes_", "is 0 for an output"));
    }
    if n_classes.iter().any(|count| *count > reader.limits.max_classes) {
        return Err(Error::limit("classes of an output", reader.limits.max_classes));
    }
    Ok(Shape { n_features, n_classes, classifier, alone: estimator.members().is_none(), version })
}

fn positive(of: &Attributes<'_>, name: &str) -> Result<usize, Error> {
    match of.count(name)? {
        0 => Err(of.fault(name, "is 0")),
        count => Ok(count),
    }
}

/// `n_classes_`: a number for one output; a list or an array for several.
fn n_classes(reader: &Reader<'_>, of: &Attributes<'_>, n_outputs: usize) -> Result<Vec<usize>, Error> {
    let value = of.get("n_classes_")?;
    let arena = reader.arena;
    let counts: Option<Vec<i64>> = if let Some(count) = arena.int(value) {
        Some(vec![count])
    } else if let Some(list) = arena.list(value) {
        list.iter().take(n_outputs + 1).map(|count| arena.int(*count)).collect()
    } else {
        let array = arena.array(value).filter(|array| array.shape == [n_outputs]);
        array.and_then(|array| array.ints()).map(Iterator::collect)
    };
    let counts: Option<Vec<usize>> =
        counts.and_then(|counts| counts.into_iter().map(|count| usize::try_from(count).ok()).collect());
    counts.filter(|counts| counts.len() == n_outputs).ok_or_else(|| {
        of.fault("n_classes_", format!("does not give a number of classes for each of {n_outputs} outputs"))
    })
}

/// `feature_names_in_`, absent where the model was fitted on an array.
fn feature_names(reader: &mut Reader<'_>, of: &Attributes<'_>, count: usize) -> Result<Vec<Option<String>>, Error> {
    const NAME: &str = "feature_names_in_";
    if of.find(NAME)?.is_none() {
        return Ok(vec![None; count]);
    }
    let (value, array) = of.array(NAME)?;
    let names = reader.names(&Place { path: &of.path_of(NAME), value }, array)?;
    if names.len() != count {
        return Err(of.fault(NAME, format!("has {} names for {count} features", names.len())));
    }
    Ok(names.into_iter().map(Some).collect())
}

/// `classes_`: an array for one output, a list of arrays for several.
fn classes(reader: &mut Reader<'_>, of: &Attributes<'_>, shape: &Shape) -> Result<Vec<Vec<Label>>, Error> {
    const NAME: &str = "classes_";
    if !shape.classifier {
        return Ok(Vec::new());
    }
    let value = of.get(NAME)?;
    let one = [value];
    let arrays: &[Value] =
        if shape.n_classes.len() == 1 && reader.arena.list(value).is_none() { &one } else { of.list(NAME)? };
    if arrays.len() != shape.n_classes.len() {
        return Err(of.fault(NAME, format!("is for {} outputs of {}", arrays.len(), shape.n_classes.len())));
    }
    let each = arrays.iter().zip(&shape.n_classes);
    each.map(|(value, expected)| classes_of_one(reader, of, *value, *expected)).collect()
}

fn classes_of_one(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    value: Value,
    expected: usize,
) -> Result<Vec<Label>, Error> {
    const NAME: &str = "classes_";
    let array = reader.arena.array(value).ok_or_else(|| of.fault(NAME, "is no numpy array"))?;
    let labels = reader.labels(&Place { path: &of.path_of(NAME), value }, array)?;
    if labels.len() != expected {
        return Err(of.fault(NAME, format!("has {} classes where n_classes_ says {expected}", labels.len())));
    }
    Ok(labels)
}

/// `classes_` of a boosted classifier: two or more.
pub(super) fn boosted_classes(reader: &mut Reader<'_>, of: &Attributes<'_>) -> Result<Vec<Label>, Error> {
    const NAME: &str = "classes_";
    let (value, array) = of.array(NAME)?;
    let labels = reader.labels(&Place { path: &of.path_of(NAME), value }, array)?;
    if labels.len() < 2 {
        return Err(of.fault(NAME, format!("has {} classes; scikit-learn predicts with two or more", labels.len())));
    }
    Ok(labels)
}

fn alone(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    estimator: Estimator,
    shape: &Shape,
) -> Result<(Vec<Tree>, bool), Error> {
    let missing = missing_allowed(of, estimator, shape)?;
    let tree = tree(reader, of.get("tree_")?, &of.path_of("tree_"), shape)?;
    Ok((vec![tree], missing))
}

fn forest(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    member: Estimator,
    shape: &Shape,
) -> Result<(Vec<Tree>, bool), Error> {
    let estimators = of.list("estimators_")?;
    check_count(reader, of, estimators.len())?;
    let mut trees = Vec::with_capacity(estimators.len());
    let mut missing = None;
    for (number, value) in estimators.iter().enumerate() {
        let path = format!("{}[{number}]", of.path_of("estimators_"));
        let attributes = self::member(reader, *value, &path, member)?;
        if missing.is_none() {
            missing = Some(missing_allowed(&attributes, member, shape)?);
        }
        trees.push(tree(reader, attributes.get("tree_")?, &attributes.path_of("tree_"), shape)?);
    }
    Ok((trees, missing.unwrap_or(false)))
}

/// Whether there are as many trees as may be.
pub(super) fn check_count(reader: &Reader<'_>, of: &Attributes<'_>, count: usize) -> Result<(), Error> {
    if count == 0 {
        return Err(of.fault("estimators_", "is empty"));
    }
    if count > reader.limits.max_trees {
        return Err(Error::limit("trees", reader.limits.max_trees));
    }
    Ok(())
}

/// The attributes of one of an ensemble's estimators.
pub(super) fn member<'p>(
    reader: &mut Reader<'p>,
    value: Value,
    path: &str,
    expected: Estimator,
) -> Result<Attributes<'p>, Error> {
    if reader.class(value) != Some(Known::Estimator(expected)) {
        let message = format!("is {} where a {} was expected", reader.arena.kind(value), expected.name());
        return Err(Error::content(path, reader.arena.offset(value), message));
    }
    Ok(reader.part(value, path)?.0)
}

fn missing_allowed(of: &Attributes<'_>, estimator: Estimator, shape: &Shape) -> Result<bool, Error> {
    Ok(missing::allowed(missing::Question {
        version: shape.version,
        in_forest: !shape.alone,
        extra: matches!(estimator, Estimator::ExtraTreeClassifier | Estimator::ExtraTreeRegressor),
        classifier: shape.classifier,
        splitter: of.text("splitter")?,
        criterion: of.text("criterion")?,
        monotonic: of.find("monotonic_cst")?.is_some_and(|value| value != Value::None),
    }))
}
