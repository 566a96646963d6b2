//! The estimators: a tree alone, or a forest of them.

use super::attributes::{Attributes, Reader};
use super::classes::Place;
use super::tree::{Shape, tree};
use super::version::Version;
use super::{LIBRARY, missing};
use crate::error::Error;
use crate::formats::pickle::known::{Estimator, Known};
use crate::formats::pickle::value::Value;
use crate::link::Link;
use crate::model::{
    CategoryRule, Combine, Decision, Feature, FeatureKind, Finish, Input, Label, Model, Parts, Precision, Source, Sum,
    Task, Tree,
};

/// `check_array` with `DTYPE`, which is `f32`: to the nearest, and what is infinite then is refused.
const INPUT: Input = Input { precision: Precision::Single, infinite_allowed: false, category: CategoryRule::Whole };

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
        }
    }

    fn task(self) -> Task {
        match self {
            Self::DecisionTreeClassifier
            | Self::ExtraTreeClassifier
            | Self::RandomForestClassifier
            | Self::ExtraTreesClassifier => Task::Classification,
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

pub(super) fn model(reader: &mut Reader<'_>) -> Result<Model, Error> {
    let root = reader.root;
    let Some(Known::Estimator(estimator)) = reader.class(root) else {
        let message =
            format!("is {} where an estimator was expected; save the estimator alone", reader.arena.kind(root));
        return Err(Error::content("the pickle", reader.arena.offset(root), message));
    };
    reader.claim(root, "the model")?;
    let attributes = reader.attributes(root, "")?;
    let version = attributes.text("_sklearn_version")?;
    let shape = shape(reader, &attributes, estimator, Version::parse(version, "_sklearn_version")?)?;
    let names = feature_names(reader, &attributes, shape.n_features)?;
    let classes = classes(reader, &attributes, &shape)?;
    let (trees, missing_allowed) = match estimator.members() {
        Some(member) => forest(reader, &attributes, member, version, &shape)?,
        None => alone(reader, &attributes, estimator, &shape)?,
    };
    let feature = |name| Feature { name, kind: FeatureKind::Number, missing_allowed };
    let margins = shape.n_classes.iter().sum();
    // -0.0 is what adding changes nothing: a tree alone says what its leaf says
    let start = if shape.alone { -0.0 } else { 0.0 };
    let finish = if shape.alone { Finish::Nothing } else { Finish::Divide(trees.len() as f64) };
    Model::new(Parts {
        task: estimator.task(),
        features: names.into_iter().map(feature).collect(),
        input: INPUT,
        columns: Vec::new(),
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
        source: Source { library: LIBRARY.into(), version: version.to_owned(), class: estimator.name().into() },
    })
}

/// Features, outputs and numbers of classes, as the estimator says.
fn shape(reader: &Reader<'_>, of: &Attributes<'_>, estimator: Estimator, version: Version) -> Result<Shape, Error> {
    let n_features = positive(of, "n_features_in_")?;
    if n_features > reader.limits.max_features {
        return Err(Error::limit("features", reader.limits.max_features));
    }
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
    let names = reader.names(&Place { path: NAME, value }, array)?;
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
    let mut classes = Vec::with_capacity(arrays.len());
    for (value, expected) in arrays.iter().zip(&shape.n_classes) {
        let array = reader.arena.array(*value).ok_or_else(|| of.fault(NAME, "is no numpy array"))?;
        let labels = reader.labels(&Place { path: NAME, value: *value }, array)?;
        if labels.len() != *expected {
            return Err(of.fault(NAME, format!("has {} classes where n_classes_ says {expected}", labels.len())));
        }
        classes.push(labels);
    }
    Ok(classes)
}

fn alone(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    estimator: Estimator,
    shape: &Shape,
) -> Result<(Vec<Tree>, bool), Error> {
    let missing = missing_allowed(of, estimator, shape)?;
    let tree = tree(reader, of.get("tree_")?, "tree_", shape)?;
    Ok((vec![tree], missing))
}

fn forest(
    reader: &mut Reader<'_>,
    of: &Attributes<'_>,
    member: Estimator,
    version: &str,
    shape: &Shape,
) -> Result<(Vec<Tree>, bool), Error> {
    let estimators = of.list("estimators_")?;
    if estimators.is_empty() {
        return Err(of.fault("estimators_", "is empty"));
    }
    if estimators.len() > reader.limits.max_trees {
        return Err(Error::limit("trees", reader.limits.max_trees));
    }
    let mut trees = Vec::with_capacity(estimators.len());
    let mut missing = None;
    for (number, value) in estimators.iter().enumerate() {
        let path = format!("estimators_[{number}]");
        if reader.class(*value) != Some(Known::Estimator(member)) {
            let message = format!("is {} where a {} was expected", reader.arena.kind(*value), member.name());
            return Err(Error::content(path, reader.arena.offset(*value), message));
        }
        reader.claim(*value, &path)?;
        let attributes = reader.attributes(*value, &path)?;
        if attributes.text("_sklearn_version")? != version {
            return Err(attributes.fault("_sklearn_version", format!("is not {version}, as the forest's")));
        }
        if missing.is_none() {
            missing = Some(missing_allowed(&attributes, member, shape)?);
        }
        trees.push(tree(reader, attributes.get("tree_")?, &attributes.path_of("tree_"), shape)?);
    }
    Ok((trees, missing.unwrap_or(false)))
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
