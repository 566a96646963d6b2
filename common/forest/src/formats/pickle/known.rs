//! The globals that a pickle may name, by heart. Anything else is refused where it is named.

use super::scikit;
pub(crate) use super::scikit::{Estimator, Loss, Part};
use crate::error::{Error, quote};

/// A class or function that a pickle named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// `copyreg._reconstructor`: how protocols 0 and 1 make an instance.
    Reconstructor,
    /// `builtins.object`, its second argument.
    Object,
    /// `_codecs.encode`: how protocols 0 to 2 write bytes.
    Encode,
    /// `numpy.ndarray` and `numpy.memmap`.
    Ndarray,
    /// `numpy.dtype`.
    Dtype,
    /// `numpy.core.multiarray._reconstruct`: makes an array, filled by `BUILD`.
    ArrayReconstruct,
    /// `numpy.core.numeric._frombuffer`: makes an array from bytes (protocol 5).
    FromBuffer,
    /// `numpy.core.multiarray.scalar`.
    Scalar,
    /// `joblib.numpy_pickle.NumpyArrayWrapper`.
    ArrayWrapper,
    /// `sklearn.tree._tree.Tree`.
    Tree,
    /// An estimator of scikit-learn.
    Estimator(Estimator),
    /// What stands before, around and within scikit-learn's estimators.
    Part(Part),
    /// A loss of scikit-learn.
    Loss(Loss),
    /// A type that numbers are given: `numpy.float64`, `int` and what numpy brings together with `f32` as `f64`.
    Float64,
    /// `numpy.float32`.
    Float32,
    /// `sklearn.preprocessing.LabelEncoder`.
    LabelEncoder,
    /// `collections.OrderedDict` and `defaultdict`: a dict, whatever it is called with.
    Dict,
    /// What LightGBM's Python makes of a model.
    LightGbm(LightGbm),
    /// A class of XGBoost's Python package.
    Xgboost(Xgboost),
    /// `builtins.bytearray`: how protocols below 5 write one.
    ByteArray,
    /// What is kept as it stands and never looked into: random generators, sets, metadata routing.
    Inert,
}

/// The classes of LightGBM that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LightGbm {
    Booster,
    Classifier,
    Regressor,
    Ranker,
}

/// XGBoost's estimators that are read, and what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Xgboost {
    Booster,
    Classifier,
    Regressor,
    Ranker,
    RfClassifier,
    RfRegressor,
}

impl Known {
    /// # Errors
    /// [`Error::Global`] for what is not in the list; `offset` is where the name stands.
    pub(super) fn find(module: &str, name: &str, offset: usize) -> Result<Self, Error> {
        known(module, name).ok_or_else(|| Error::Global {
            name: quote(&format!("{module}.{name}")),
            offset,
            advice: advice(module),
        })
    }
}

fn known(module: &str, name: &str) -> Option<Known> {
    match (module, name) {
        // protocols below 3 write Python 2's module names
        ("copyreg" | "copy_reg", "_reconstructor") => Some(Known::Reconstructor),
        ("builtins" | "__builtin__", "object") => Some(Known::Object),
        ("builtins" | "__builtin__", "set" | "frozenset") => Some(Known::Inert),
        ("builtins" | "__builtin__", "bytearray") => Some(Known::ByteArray),
        ("_codecs", "encode") => Some(Known::Encode),
        ("numpy", "ndarray" | "memmap") => Some(Known::Ndarray),
        ("numpy", "dtype") => Some(Known::Dtype),
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Some(Known::ArrayReconstruct),
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Some(Known::Scalar),
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Some(Known::FromBuffer),
        ("numpy.random._pickle", "__randomstate_ctor" | "__generator_ctor" | "__bit_generator_ctor")
        | ("numpy.random._mt19937", "MT19937")
        | ("numpy.random._pcg64", "PCG64" | "PCG64DXSM")
        | ("numpy.random._philox", "Philox")
        | ("numpy.random._sfc64", "SFC64")
        | ("numpy.random.bit_generator", "SeedSequence" | "__pyx_unpickle_SeedSequence")
        | ("functools", "partial")
        | ("builtins" | "__builtin__", "slice") => Some(Known::Inert),
        ("numpy", "float64" | "int64" | "int32") | ("builtins" | "__builtin__", "float" | "int") => {
            Some(Known::Float64)
        }
        ("numpy", "float32") => Some(Known::Float32),
        ("joblib.numpy_pickle", "NumpyArrayWrapper") => Some(Known::ArrayWrapper),
        ("xgboost.core" | "xgboost.sklearn", _) => xgboost(name).map(Known::Xgboost),
        ("xgboost.compat", "XGBoostLabelEncoder") | ("xgboost.callback", "EarlyStopping") => Some(Known::Inert),
        ("sklearn.preprocessing._label" | "sklearn.preprocessing.label", "LabelEncoder") => Some(Known::LabelEncoder),
        ("collections", "OrderedDict" | "defaultdict") => Some(Known::Dict),
        ("lightgbm.basic" | "lightgbm.sklearn", _) => lightgbm(name),
        _ if module == "_loss" || module.starts_with("sklearn.") => scikit::known(module, name),
        _ => None,
    }
}

fn lightgbm(name: &str) -> Option<Known> {
    match name {
        "Booster" => Some(Known::LightGbm(LightGbm::Booster)),
        "LGBMClassifier" => Some(Known::LightGbm(LightGbm::Classifier)),
        "LGBMRegressor" => Some(Known::LightGbm(LightGbm::Regressor)),
        "LGBMRanker" => Some(Known::LightGbm(LightGbm::Ranker)),
        // what training went on from; its trees are the booster's by now
        "_InnerPredictor" => Some(Known::Inert),
        _ => None,
    }
}

fn xgboost(name: &str) -> Option<Xgboost> {
    match name {
        "Booster" => Some(Xgboost::Booster),
        "XGBClassifier" => Some(Xgboost::Classifier),
        "XGBRegressor" => Some(Xgboost::Regressor),
        "XGBRanker" => Some(Xgboost::Ranker),
        "XGBRFClassifier" => Some(Xgboost::RfClassifier),
        "XGBRFRegressor" => Some(Xgboost::RfRegressor),
        _ => None,
    }
}

fn advice(module: &str) -> &'static str {
    let within =
        |package: &str| module.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if within("sklearn.model_selection") || within("sklearn.calibration") || within("sklearn.multioutput") {
        "save the fitted estimator itself (such as `search.best_estimator_`), not what wraps it"
    } else if within("sklearn.preprocessing") || within("sklearn.impute") || within("sklearn.compose") {
        "before the trees this version reads StandardScaler, MinMaxScaler, SimpleImputer, OrdinalEncoder, ColumnTransformer and FunctionTransformer(None)"
    } else if within("sklearn") {
        "of scikit-learn this version reads RandomForest, ExtraTrees, DecisionTree, ExtraTree, GradientBoosting, HistGradientBoosting and IsolationForest, alone or in a Pipeline"
    } else if within("lightgbm") {
        "of LightGBM this version reads Booster, LGBMClassifier, LGBMRegressor and LGBMRanker, and text by `save_model`"
    } else if within("xgboost") {
        "save the model by `save_model(\"model.json\")`"
    } else if within("catboost") {
        "this version reads scikit-learn's forests and trees only"
    } else if within("numpy") || within("pandas") {
        "save a model that was fitted on plain numpy arrays or data frames"
    } else {
        ""
    }
}
