//! The names of scikit-learn that a pickle may hold, versions 1.1 to 1.9.

use super::known::Known;

/// The estimators that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Estimator {
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
}

/// What stands before, around and within estimators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Pipeline,
    ColumnTransformer,
    StandardScaler,
    MinMaxScaler,
    SimpleImputer,
    OrdinalEncoder,
    FunctionTransformer,
    DummyClassifier,
    DummyRegressor,
    TreePredictor,
    BinMapper,
}

/// How a loss has margins become values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    Identity,
    Log,
    Binomial,
    Multinomial,
    Exponential,
    /// `sklearn.ensemble._gb_losses`, to 1.3; the others there are [`Loss::Identity`].
    OldBinomial,
    OldMultinomial,
    OldExponential,
}

/// `module` is scikit-learn's, or `_loss`: its Cython losses call themselves so in some versions.
pub(super) fn known(module: &str, name: &str) -> Option<Known> {
    match module {
        "sklearn.tree._tree" if name == "Tree" => Some(Known::Tree),
        "sklearn.tree._classes"
        | "sklearn.ensemble._forest"
        | "sklearn.ensemble._gb"
        | "sklearn.ensemble._hist_gradient_boosting.gradient_boosting"
        | "sklearn.ensemble._iforest" => estimator(module, name).map(Known::Estimator),
        "sklearn._loss.loss" => loss(name).map(Known::Loss),
        "sklearn.ensemble._gb_losses" => old_loss(name).map(Known::Loss),
        "_loss" | "sklearn._loss._loss" => cython_loss(name).then_some(Known::Inert),
        "sklearn._loss.link" => {
            matches!(name, "Interval" | "IdentityLink" | "LogLink" | "LogitLink" | "HalfLogitLink" | "MultinomialLogit")
                .then_some(Known::Inert)
        }
        _ => part(module, name).map(Known::Part).or_else(|| inert(module, name).then_some(Known::Inert)),
    }
}

fn estimator(module: &str, name: &str) -> Option<Estimator> {
    Some(match (module.rsplit('.').next()?, name) {
        ("_classes", "DecisionTreeClassifier") => Estimator::DecisionTreeClassifier,
        ("_classes", "DecisionTreeRegressor") => Estimator::DecisionTreeRegressor,
        ("_classes", "ExtraTreeClassifier") => Estimator::ExtraTreeClassifier,
        ("_classes", "ExtraTreeRegressor") => Estimator::ExtraTreeRegressor,
        ("_forest", "RandomForestClassifier") => Estimator::RandomForestClassifier,
        ("_forest", "RandomForestRegressor") => Estimator::RandomForestRegressor,
        ("_forest", "ExtraTreesClassifier") => Estimator::ExtraTreesClassifier,
        ("_forest", "ExtraTreesRegressor") => Estimator::ExtraTreesRegressor,
        ("_gb", "GradientBoostingClassifier") => Estimator::GradientBoostingClassifier,
        ("_gb", "GradientBoostingRegressor") => Estimator::GradientBoostingRegressor,
        ("gradient_boosting", "HistGradientBoostingClassifier") => Estimator::HistGradientBoostingClassifier,
        ("gradient_boosting", "HistGradientBoostingRegressor") => Estimator::HistGradientBoostingRegressor,
        ("_iforest", "IsolationForest") => Estimator::IsolationForest,
        _ => return None,
    })
}

fn part(module: &str, name: &str) -> Option<Part> {
    Some(match (module, name) {
        ("sklearn.pipeline", "Pipeline") => Part::Pipeline,
        ("sklearn.compose._column_transformer", "ColumnTransformer") => Part::ColumnTransformer,
        ("sklearn.preprocessing._data", "StandardScaler") => Part::StandardScaler,
        ("sklearn.preprocessing._data", "MinMaxScaler") => Part::MinMaxScaler,
        ("sklearn.impute._base", "SimpleImputer") => Part::SimpleImputer,
        ("sklearn.preprocessing._encoders", "OrdinalEncoder") => Part::OrdinalEncoder,
        ("sklearn.preprocessing._function_transformer", "FunctionTransformer") => Part::FunctionTransformer,
        ("sklearn.dummy", "DummyClassifier") => Part::DummyClassifier,
        ("sklearn.dummy", "DummyRegressor") => Part::DummyRegressor,
        ("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor") => Part::TreePredictor,
        ("sklearn.ensemble._hist_gradient_boosting.binning", "_BinMapper") => Part::BinMapper,
        _ => return None,
    })
}

fn inert(module: &str, name: &str) -> bool {
    matches!(
        (module, name),
        ("sklearn.utils._metadata_requests", "MetadataRequest" | "MethodMetadataRequest")
            | ("sklearn.compose._column_transformer", "_RemainderColsList" | "make_column_selector")
            | ("sklearn.utils._bunch" | "sklearn.utils", "Bunch")
            // of HistGradientBoosting's own preprocessor: named, never run
            | ("sklearn.utils.validation", "check_array")
    )
}

fn loss(name: &str) -> Option<Loss> {
    Some(match name {
        "HalfSquaredError" | "AbsoluteError" | "PinballLoss" | "HuberLoss" => Loss::Identity,
        "HalfPoissonLoss" | "HalfGammaLoss" => Loss::Log,
        "HalfBinomialLoss" => Loss::Binomial,
        "HalfMultinomialLoss" => Loss::Multinomial,
        "ExponentialLoss" => Loss::Exponential,
        _ => return None,
    })
}

fn old_loss(name: &str) -> Option<Loss> {
    Some(match name {
        "LeastSquaresError" | "LeastAbsoluteError" | "HuberLossFunction" | "QuantileLossFunction" => Loss::Identity,
        "BinomialDeviance" => Loss::OldBinomial,
        "MultinomialDeviance" => Loss::OldMultinomial,
        "ExponentialLoss" => Loss::OldExponential,
        _ => return None,
    })
}

fn cython_loss(name: &str) -> bool {
    matches!(
        name.strip_prefix("__pyx_unpickle_").unwrap_or(name),
        "CyHalfSquaredError"
            | "CyAbsoluteError"
            | "CyPinballLoss"
            | "CyHuberLoss"
            | "CyHalfPoissonLoss"
            | "CyHalfGammaLoss"
            | "CyHalfBinomialLoss"
            | "CyHalfMultinomialLoss"
            | "CyExponentialLoss"
    )
}
