//! As tensors, on the CPU, a model gives the bits that it gives compiled, and that the obvious walk gives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/made_up.rs"]
mod made_up;

use arborgate_forest::{
    CategoryRule, Combine, Compiled, Decision, Device, Element, Finish, Limits, Linear, Model, Node, Options, Output,
    Parts, Precision, PredictError, Split, TensorError, TensorModel, Test, Tree, TreeParts,
};
use common::reference::{Rows, cases, shap_cases};
use common::{VERSIONS, bits, naive};
use made_up::{Random, Shape};
use ndarray::{Array2, ArrayView2, Axis, s};
use proptest::prelude::*;

fn on_cpu(model: &Model) -> TensorModel {
    TensorModel::new(model, &Device::Cpu).unwrap()
}

/// Values, labels and margins.
type Answer = (Array2<f64>, Array2<u32>, Array2<f64>);

/// Of rows, in buffers filled with nonsense before.
fn answer<T: Element>(model: &TensorModel, rows: ArrayView2<'_, T>) -> Result<Answer, TensorError> {
    let mut values = Array2::from_elem((rows.nrows(), model.values_width()), f64::NAN);
    let mut labels = Array2::from_elem((rows.nrows(), model.labels_width()), u32::MAX);
    let mut margins = Array2::from_elem((rows.nrows(), model.margins_width()), f64::NAN);
    model.predict(rows, &mut Output { values: values.view_mut(), labels: labels.view_mut() })?;
    model.margins(rows, margins.view_mut())?;
    Ok((values, labels, margins))
}

/// What was held.
#[derive(Debug, Default)]
struct Held {
    models: usize,
    rows: usize,
    /// Models whose leaves say the label; that ask for categories; of linear leaves; that are no sum.
    said: usize,
    categories: usize,
    linear: usize,
    extremes: usize,
}

impl Held {
    fn rows(&mut self, name: &str, bytes: &[u8], rows: &Rows) {
        match rows {
            Rows::Single(rows) => self.model(name, bytes, rows.view()),
            Rows::Double(rows) => self.model(name, bytes, rows.view()),
        }
    }

    fn model<T: Element>(&mut self, name: &str, bytes: &[u8], rows: ArrayView2<'_, T>) {
        let model = Model::read(bytes, &Options::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (compiled, tensors) = (Compiled::new(&model).unwrap(), on_cpu(&model));
        let (mut values, mut labels) = common::predict(&compiled, rows).unwrap();
        let mut margins = Array2::zeros((rows.nrows(), compiled.margins_width()));
        compiled.margins(rows, margins.view_mut()).unwrap();
        for part in [s![.., ..], s![..1, ..]] {
            let found = answer(&tensors, rows.slice(part)).unwrap();
            (values, labels) = (values.slice(part).to_owned(), labels.slice(part).to_owned());
            margins = margins.slice(part).to_owned();
            assert_eq!(bits(&found.0), bits(&values), "{name}: values");
            assert_eq!(found.1, labels, "{name}: labels");
            assert_eq!(bits(&found.2), bits(&margins), "{name}: margins");
        }
        self.models += 1;
        self.rows += rows.nrows();
        self.said += usize::from(model.decision() == Decision::Leaf);
        self.categories += usize::from(model.trees().iter().any(|tree| !tree.sets().is_empty()));
        self.linear += usize::from(model.trees().iter().any(|tree| !tree.linear().is_empty()));
        self.extremes += usize::from(model.sum().combine != Combine::Add);
    }
}

/// Holds all of a library.
fn hold(library: &str) -> Held {
    let mut held = Held::default();
    for case in cases(library) {
        held.rows(&case.name(), &case.bytes, &case.rows);
    }
    held
}

#[test]
fn scikit_learns_models() {
    let mut held = Held::default();
    for case in VERSIONS.iter().flat_map(|version| common::cases(version)) {
        held.model(&case.file, &case.bytes, case.rows.view());
    }
    assert!(held.models >= 130 && held.rows > 5_000 && held.said > 0, "{held:?}");
}

#[test]
fn scikit_learns_boosted_models() {
    let held = hold("sklearn_boosting");
    assert!(held.models >= 110 && held.categories > 0, "{held:?}");
}

#[test]
fn xgboosts_models() {
    let held = hold("xgboost");
    assert!(held.models >= 180 && held.categories > 0, "{held:?}");
}

#[test]
fn lightgbms_models() {
    let held = hold("lightgbm");
    assert!(held.models >= 97 && held.categories > 0 && held.linear > 0, "{held:?}");
}

#[test]
fn catboosts_models() {
    let held = hold("catboost");
    assert!(held.models >= 50 && held.categories > 0, "{held:?}");
}

#[test]
fn onnx_models() {
    let held = hold("onnx");
    assert!(held.models >= 100 && held.extremes > 0, "{held:?}");
}

#[test]
fn the_models_that_libraries_explained() {
    let mut held = Held::default();
    for case in shap_cases() {
        held.rows(&case.facts.file, &case.bytes, &case.rows);
    }
    assert!(held.models >= 35, "{held:?}");
}

/// Holds a made-up model against the obvious walk. That rounds a leaf of an extreme, which no reader makes of linear leaves,
/// only in the end: those are held against the compiled form alone.
fn hold_naive(model: &Model, rows: &Array2<f64>) {
    let (_, _, margins) = answer(&on_cpu(model), rows.view()).unwrap();
    let compiled = Compiled::new(model).unwrap();
    let mut same = Array2::zeros(margins.dim());
    compiled.margins(rows.view(), same.view_mut()).unwrap();
    assert_eq!(bits(&margins), bits(&same), "not as compiled: {}", compiled.kernel());
    if model.sum().combine != Combine::Add && model.trees().iter().any(|tree| !tree.linear().is_empty()) {
        return;
    }
    for (row, found) in rows.outer_iter().zip(margins.outer_iter()) {
        let expected: Vec<u64> = naive::margins(model, row.as_slice().unwrap()).iter().map(|x| x.to_bits()).collect();
        assert_eq!(found.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), expected, "{row:?}");
    }
}

fn hold_shape(shape: &Shape, seed: u64, rows: usize) {
    let mut random = Random::new(seed);
    let model = shape.model(&mut random);
    hold_naive(&model, &shape.rows(&mut random, rows));
}

/// The same model with other parts.
fn changed(model: &Model, change: impl FnOnce(&mut Parts)) -> Model {
    let mut parts = Parts {
        task: model.task(),
        features: model.features().to_vec(),
        input: model.input(),
        columns: model.columns().to_vec(),
        n_outputs: model.n_outputs(),
        classes: model.classes().to_vec(),
        sum: model.sum().clone(),
        link: model.link().clone(),
        decision: model.decision(),
        trees: model.trees().to_vec(),
        source: model.source().clone(),
    };
    change(&mut parts);
    Model::new(parts).unwrap()
}

#[test]
fn more_rows_and_trees_than_are_worked_on_at_once() {
    hold_shape(&Shape { trees: 150, depth: 3, margins: 3, ..Shape::default() }, 1, 9_000);
    hold_shape(&Shape { trees: 70, depth: 2, margins: 5, wide: true, ..Shape::default() }, 2, 5_000);
}

#[test]
fn large_sets_of_categories_are_searched() {
    for category in [CategoryRule::Whole, CategoryRule::Truncated32, CategoryRule::Truncated64] {
        for (categories, features) in [(1, 1), (60_000, 1), (9, 2)] {
            let shape = Shape { trees: 12, depth: 7, prune: 0, features, categories, category, ..Shape::default() };
            hold_shape(&shape, 3, 600);
        }
    }
}

#[test]
fn trees_without_a_split_and_no_trees_at_all() {
    for (trees, depth) in [(5, 0), (0, 0)] {
        for (margins, wide, linear) in [(1, false, false), (1, true, true), (3, false, true), (3, true, false)] {
            hold_shape(&Shape { trees, depth, margins, wide, linear, ..Shape::default() }, 4, 50);
        }
    }
}

#[test]
fn trees_of_several_kinds_keep_their_order() {
    for (seed, sum) in [(5, Precision::Single), (6, Precision::Double)] {
        let shape = || Shape { trees: 9, margins: 3, sum, ..Shape::default() };
        let mut random = Random::new(seed);
        let one = shape().model(&mut random);
        let others = [
            Shape { wide: true, ..shape() }.model(&mut random),
            Shape { linear: true, ..shape() }.model(&mut random),
            shape().model(&mut random),
        ];
        let model = changed(&one, |parts| {
            parts.trees.extend(others.iter().flat_map(|other| other.trees()).cloned());
        });
        hold_naive(&model, &shape().rows(&mut random, 300));
    }
}

#[test]
fn a_linear_leaf_of_fewer_terms_keeps_the_sign_of_zero() {
    let split =
        Split { column: 0, test: Test::AtMost(0.0), left: 1, right: 2, missing_left: true, zero_is_missing: false };
    let parts = TreeParts {
        nodes: vec![Node::Split(split), Node::Leaf(0), Node::Leaf(1)],
        target: Some(0),
        values: vec![-0.0, 1.0],
        linear: vec![
            Linear { constant: -0.0, terms: vec![] },
            Linear { constant: 0.5, terms: vec![(0, 2.0), (0, -0.25)] },
        ],
        ..TreeParts::default()
    };
    let tree = Tree::new(parts, &Limits::default()).unwrap();
    let plain = Shape { trees: 0, features: 1, sum: Precision::Double, ..Shape::default() }.model(&mut Random::new(1));
    let model = changed(&plain, |parts| {
        (parts.sum.start, parts.sum.finish, parts.trees) = (vec![-0.0], Finish::Nothing, vec![tree]);
    });
    let rows = ndarray::arr2(&[[-1.0], [3.0], [f64::NAN]]);
    hold_naive(&model, &rows);
    assert_eq!(
        bits(&answer(&on_cpu(&model), rows.view()).unwrap().2).into_raw_vec_and_offset().0,
        [(-0.0_f64).to_bits(), 5.75_f64.to_bits(), (-0.0_f64).to_bits()]
    );
}

#[test]
fn the_smallest_and_the_largest_leaf() {
    for combine in [Combine::Min, Combine::Max] {
        for (wide, sum) in [(false, Precision::Single), (true, Precision::Double)] {
            // more trees than go down at once: only the first of all replaces the start
            let shape = Shape { trees: 70, margins: 2, wide, sum, ..Shape::default() };
            let mut random = Random::new(7);
            let model = changed(&shape.model(&mut random), |parts| parts.sum.combine = combine);
            hold_naive(&model, &shape.rows(&mut random, 300));
        }
    }
}

#[test]
fn rows_of_either_precision_and_any_layout_say_the_same() {
    let shape = Shape { trees: 30, depth: 5, margins: 2, ..Shape::default() };
    let mut random = Random::new(8);
    let model = on_cpu(&shape.model(&mut random));
    let single = shape.rows(&mut random, 333).mapv(|x| x as f32);
    let double = single.mapv(f64::from);
    let columns_first = Array2::from_shape_fn((double.ncols(), double.nrows()), |(c, r)| double[[r, c]]);
    let expected = bits(&answer(&model, double.view()).unwrap().2);
    assert_eq!(bits(&answer(&model, single.view()).unwrap().2), expected);
    assert_eq!(bits(&answer(&model, columns_first.t()).unwrap().2), expected);
    for size in [1, 2, 64] {
        for (number, part) in double.axis_chunks_iter(Axis(0), size).enumerate() {
            let rows = number * size..number * size + part.nrows();
            assert_eq!(bits(&answer(&model, part).unwrap().2), expected.slice(s![rows, ..]));
        }
    }
    assert_eq!(answer(&model, double.slice(s![..0, ..])).unwrap().0.dim(), (0, 2));
}

#[test]
fn refuses_what_the_compiled_model_refuses() {
    let refused = |error: TensorError| match error {
        TensorError::Rows(error) => error,
        other => panic!("{other}"),
    };
    let mut kinds = [0; 2];
    for case in ["1.1.3", "1.9.1"].into_iter().flat_map(common::cases) {
        let model = on_cpu(&Model::read(&case.bytes, &Options::default()).unwrap());
        let feature = model.n_features() - 1;
        let mut rows = Array2::zeros((70, model.n_features()));
        rows[[66, feature]] = f64::INFINITY;
        let too_large = PredictError::TooLarge { row: 66, feature };
        assert_eq!(answer(&model, rows.view()).map_err(refused).unwrap_err(), too_large, "{}", case.file);
        rows[[66, feature]] = f64::NAN;
        let missing = (!case.takes_nan).then_some(PredictError::Missing { row: 66, feature });
        assert_eq!(answer(&model, rows.view()).map_err(refused).err(), missing, "{}", case.file);
        kinds[usize::from(case.takes_nan)] += 1;
    }
    assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");

    let bytes = common::file("1.9.1", "rf_iris.joblib");
    let model = on_cpu(&Model::read(&bytes, &Options::default()).unwrap());
    let wrong = answer(&model, Array2::<f64>::zeros((2, 5)).view()).map_err(refused).unwrap_err();
    assert_eq!(wrong, PredictError::RowLength { expected: 4, found: 5 });
    let run = |values: (usize, usize), labels: (usize, usize)| {
        let (mut values, mut labels) = (Array2::zeros(values), Array2::zeros(labels));
        let mut out = Output { values: values.view_mut(), labels: labels.view_mut() };
        model.predict(Array2::<f64>::zeros((2, 4)).view(), &mut out).map_err(refused)
    };
    let wrong = |what, expected, found| Err(PredictError::Buffer { what, expected, found });
    assert_eq!(run((2, 3), (2, 1)), Ok(()));
    assert_eq!(run((3, 3), (2, 1)), wrong("values", (2, 3), (3, 3)));
    assert_eq!(run((2, 3), (2, 0)), wrong("labels", (2, 1), (2, 0)));
    let mut margins = Array2::zeros((2, 2));
    let found = model.margins(Array2::<f64>::zeros((2, 4)).view(), margins.view_mut()).map_err(refused);
    assert_eq!(found, wrong("margins", (2, 3), (2, 2)));
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_device_that_was_not_compiled_in_says_so() {
    let error = TensorError::from(Device::new_cuda(0).unwrap_err());
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(matches!(error, TensorError::Device(_)) && why.contains("cuda"), "{why}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_model_gives_the_obvious_bits(
        seed in any::<u64>(),
        trees in 0_usize..40,
        depth in 0_usize..9,
        prune in 0_u64..60,
        features in 1_usize..6,
        keys in 1_usize..600,
        categories in prop::sample::select(vec![0_usize, 1, 7, 254, 300]),
        margins in 1_usize..6,
        wide: bool,
        linear in prop::sample::select(vec![false, false, true]),
        single: bool,
        single_sum: bool,
        category in prop::sample::select(vec![CategoryRule::Whole, CategoryRule::Truncated32, CategoryRule::Truncated64]),
        combine in prop::sample::select(vec![Combine::Add, Combine::Add, Combine::Min, Combine::Max]),
        rows in 1_usize..300,
    ) {
        let precision = |single| if single { Precision::Single } else { Precision::Double };
        let shape = Shape {
            trees, depth, prune, features, keys, categories, margins, wide,
            linear: linear && !(wide && margins > 1),
            precision: precision(single),
            sum: precision(single_sum),
            category,
            cover: false,
        };
        let mut random = Random::new(seed);
        let model = changed(&shape.model(&mut random), |parts| parts.sum.combine = combine);
        hold_naive(&model, &shape.rows(&mut random, rows));
    }
}
