//! Tree ensembles without the library that trained them: a file becomes one [`Model`], a model becomes [`Compiled`],
//! and that predicts what the file's own library predicts, to the bit.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use arborgate_forest::{Compiled, Model, Options, Output};
//! use ndarray::{Array2, array};
//!
//! let model = Model::read(&std::fs::read("model.pkl")?, &Options::default())?;
//! let compiled = Compiled::new(&model)?;
//! let rows = array![[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]];
//! let mut values = Array2::zeros((rows.nrows(), compiled.values_width()));
//! let mut labels = Array2::zeros((rows.nrows(), compiled.labels_width()));
//! compiled.predict(rows.view(), &mut Output { values: values.view_mut(), labels: labels.view_mut() })?;
//! # Ok(()) }
//! ```
//!
//! [`Explainer`] says what each feature contributed to a row's margins, [`Leaves`] in which leaf of each tree the row ends,
//! [`Model::importance`] what a feature matters to the model.
//!
//! # What it reads
//!
//! | library | file | estimators |
//! |---|---|---|
//! | scikit-learn 1.1 to 1.9 | `joblib.dump` and `pickle.dump`, protocols 0 to 5; plain, zlib, gzip, bz2, xz, lzma, lz4 | `RandomForest`, `ExtraTrees`, `DecisionTree`, `ExtraTree`, `GradientBoosting`, `HistGradientBoosting`, each as classifier and regressor, one output or several where it exists; `IsolationForest`; alone or in a `Pipeline` after `StandardScaler`, `MinMaxScaler`, `SimpleImputer`, `OrdinalEncoder`, `ColumnTransformer`, `FunctionTransformer(None)` |
//! | LightGBM 2.3 to 4 | `Booster.save_model` text, versions 3 and 4; `pickle` and `joblib` as above | gbdt, dart and random forests of every objective, linear trees, categories; `Booster`, `LGBMClassifier`, `LGBMRegressor`, `LGBMRanker` |
//! | CatBoost 1.0 to 1.2 | `save_model(…, format="json")` | oblivious, depthwise and lossguide trees over numbers and one-hot categories ([`catboost_category`]), every loss of its own |
//! | ONNX (skl2onnx, onnxmltools, others) | IR 3 to 14, ai.onnx.ml 1 to 5 | graphs that are a chain around one `TreeEnsembleClassifier`, `TreeEnsembleRegressor` or `TreeEnsemble`, as converters write them of forests and boosting: `Scaler`, `Imputer`, arithmetic by constants, picked and joined columns before it; `ZipMap`, `LabelEncoder`, `Cast`, `Normalizer` (L1) after it |
//! | XGBoost 1.0 to 3.4 | `save_model` as JSON and UBJSON; `joblib.dump` and `pickle.dump` (since 1.3); compressed as above | gbtree and DART, every objective, several outputs (also in one tree), categories (since 1.7.3), by `Booster` and by the scikit-learn wrapper |
//! | this crate | [`Model::write`] | every [`Model`], to the bit |
//!
//! A file is known by its content, never by its name. What is not in the table is refused with an [`Error`] that says
//! what it looks like, where, and what would work instead.
//!
//! # What it promises
//!
//! - Probabilities, labels and values equal scikit-learn's bit for bit (with `n_jobs=None`: threads of a forest may add in
//!   any order there, here never). They do not depend on how many rows are predicted together.
//! - So do the margins and values of its boosting and isolation forests where numpy takes `exp`, `log` and `pow` from the C
//!   library. Its vectorised ones (AVX-512) differ in the last place, and with the processor: values are then within 4 units
//!   there, a few more for several classes of `GradientBoosting` before 1.4, whose start numpy takes the logarithm of too.
//! - A pipeline's text categories are given as their places among those of its encoder ([`Categories::Named`]).
//! - LightGBM's margins, values and labels are its own bit for bit, as it predicts after loading the file again
//!   (`cross_entropy_lambda`: as since 3.3); rows may hold NaN, infinities and unseen categories.
//! - Margins and values of XGBoost equal those of the version that saved the file bit for bit, as `Booster.predict` gives
//!   them (`inplace_predict` rounds DART otherwise). Classifiers give what `XGBClassifier` gives: of two classes `[1 - v, v]`,
//!   whatever number v the objective has, and the second class where v is above one half; `multi:softmax` gives
//!   probabilities by XGBoost's own softmax, where the wrapper takes another.
//! - Input is refused where scikit-learn refuses it: what is infinite as `f32`, NaN where that version and estimator take
//!   none ([`Model::missing_allowed`]), and what a step of a pipeline refuses, such as a category that its encoder does not
//!   know.
//! - Of CatBoost also the margins (`RawFormulaVal`) and all values equal the trained model's bit for bit; with AVX2 it takes
//!   `exp` in groups of four, which is what is repeated here. `RMSEWithUncertainty` gives mean and variance, as `predict` does.
//!   A category is given as the number that [`catboost_category`] has for its text.
//! - Of ONNX, values and labels equal onnxruntime's (1.32, one thread) bit for bit, also where it differs from the operators'
//!   description (a lone target knows no `LOGISTIC`). Where rows are of doubles and the model takes floats, they are cast first.
//! - Contributions ([`Explainer`]) are the exact Shapley values of the trees, as `pred_contribs` of XGBoost, `pred_contrib` of
//!   LightGBM, `shap.TreeExplainer` (`tree_path_dependent`) for scikit-learn, and `ShapValues` of CatBoost weigh them, in
//!   `f64`: within 1e-9 of the sum of a row's contributions' sizes where the library has doubles, 1e-5 where it has floats. They
//!   and their base sum to the margin. CatBoost must have loaded its model again: of trees that are not oblivious, the
//!   one just trained gives other numbers, which do not sum to its margins. Of `IsolationForest` the margin is the sum of the
//!   trees' depths, where shap explains their mean. Linear leaves and trees without cover are refused ([`ExplainError`]).
//! - Reading runs nothing that the file says, builds only the classes it knows, and allocates in proportion to the
//!   bytes it has seen, below [`Limits`].
//!
//! What all this was held against, and how to repeat it: `PARITY.md` beside the crate's manifest; how fast it is:
//! `BENCHMARKS.md` at the workspace's root.
//!
//! # Its own file
//!
//! [`Model::write`] writes safetensors: the trees as tensors, in the narrowest types that hold them exactly, and the rest of the
//! model as JSON in the header. It is small and is read in milliseconds; the same model gives the same bytes. It has a
//! format version, and an older version refuses what a newer one wrote.
//!
//! # Through tensors
//!
//! With the feature `candle`, `TensorModel` runs every [`Model`] by tensor operations of `candle-core`, on a device of its. It
//! takes, refuses and answers what [`Compiled`] does, and adds the trees in the same order and precision:
//!
#![cfg_attr(feature = "candle", doc = "```no_run")]
#![cfg_attr(not(feature = "candle"), doc = "```ignore")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use arborgate_forest::{Device, Model, Options, TensorModel};
//! use ndarray::{Array2, array};
//!
//! let model = Model::read(&std::fs::read("model.pkl")?, &Options::default())?;
//! // `Device::new_cuda(0)?` with the feature `cuda`
//! let tensors = TensorModel::new(&model, &Device::Cpu)?;
//! let rows = array![[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]];
//! let mut margins = Array2::zeros((rows.nrows(), tensors.margins_width()));
//! tensors.margins(rows.view(), margins.view_mut())?;
//! # Ok(()) }
//! ```
//!
//! On the CPU it gives the bits that [`Compiled`] gives, of every reference file and of made-up models of every shape. It is
//! the reference there, and not a faster way: it takes 10 to 200 times as long (one thread, with AVX-512).
//!
//! With the feature `cuda`, which takes NVIDIA's toolkit to compile, it asks only for operations that candle has there, and
//! of them only comparisons, additions, multiplications and casts to the nearest, each by itself, for which IEEE 754 leaves no
//! choice. The bits should therefore be the same there too. **It was neither compiled nor run nor measured on such a device.**
//!
//! # Map
//!
//! `formats` finds out what the bytes are and has a reader for each format, which ends in a [`Model`]; `model` holds only legal
//! ensembles and says by which rules they are summed; `link` has each library's transforms; `compiled` lays a model out and
//! `predict` runs it; `explain` lays it out in its own way, for contributions, and `tensors` in another, for other devices;
//! `leaves` walks it as it is. Nothing behind `formats` knows a file.

mod compiled;
mod error;
mod explain;
mod formats;
mod leaves;
mod limits;
mod link;
mod model;
mod predict;
#[cfg(feature = "candle")]
mod tensors;

pub use compiled::{CompileError, Compiled};
pub use error::Error;
pub use explain::{ExplainError, Explainer, ImportanceKind};
pub use formats::catboost_category;
pub use leaves::Leaves;
pub use limits::{Limits, Options, Rounds};
pub use link::{
    CatBoostLink, LightGbmConvert, LightGbmLink, Link, OnnxLink, OnnxPair, OnnxTransform, SklearnLink, XgboostCurve,
    XgboostLink,
};
pub use model::{
    Categories, CategoryRule, Column, Combine, Decision, Encoding, Feature, FeatureKind, Finish, Input,
    KnownCategories, Label, Linear, Model, Node, Parts, Precision, Scalar, Source, Split, Step, Sum, Task, Test, Tree,
    TreeParts, Unseen,
};
pub use predict::{Element, Output, PredictError, Processor};
#[cfg(feature = "candle")]
pub use tensors::{Device, TensorError, TensorModel};
