//! Contributions are the Shapley values of the trees, and each library's own; importances are each library's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/made_up.rs"]
mod made_up;

use arborgate_forest::{
    CategoryRule, Column, Combine, Compiled, Decision, ExplainError, Explainer, Feature, FeatureKind, Finish,
    ImportanceKind, Input, Limits, Linear, Link, Model, Node, Options, Parts, Precision, PredictError, Processor,
    Source, Split, Step, Sum, Task, Test, Tree, TreeParts,
};
use common::naive;
use common::reference::{Rows, shap_cases};
use made_up::{Random, Shape};
use ndarray::{Array2, Axis, arr2};
use proptest::prelude::*;

fn explain(explainer: &Explainer, rows: &Array2<f64>) -> Array2<f64> {
    let mut out = Array2::from_elem((rows.nrows(), explainer.width()), f64::NAN);
    explainer.explain(rows.view(), out.view_mut()).unwrap();
    out
}

fn near(found: &[f64], expected: &[f64], bound: f64, place: &str) {
    assert_eq!(found.len(), expected.len(), "{place}");
    let all: f64 = expected.iter().map(|part| part.abs()).sum();
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= bound * all, "{place}, {at}: {found:?} where {expected:?} is right");
    }
}

#[test]
fn contributions_and_importances_are_the_librarys() {
    let mut rows_compared = 0;
    for case in shap_cases() {
        let name = &case.facts.file;
        let model = Model::read(&case.bytes, &Options::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(model.source().library, case.facts.library, "{name}");
        let explainer = Explainer::new(&model).unwrap();
        let mut found = Array2::from_elem(case.contributions.dim(), f64::NAN);
        match &case.rows {
            Rows::Single(rows) => explainer.explain(rows.view(), found.view_mut()).unwrap(),
            Rows::Double(rows) => explainer.explain(rows.view(), found.view_mut()).unwrap(),
        }
        for ((number, found), expected) in found.outer_iter().enumerate().zip(case.contributions.outer_iter()) {
            let (found, expected) = (found.to_vec(), expected.to_vec());
            let each = model.n_features() + 1;
            for (found, expected) in found.chunks(each).zip(expected.chunks(each)) {
                near(found, expected, case.facts.bound, &format!("{name}, row {number}"));
            }
        }
        rows_compared += found.nrows();
        let kinds = [(ImportanceKind::Gain, &case.gain), (ImportanceKind::Splits, &case.splits)];
        for (kind, expected) in kinds.into_iter().filter(|(_, expected)| expected.ncols() > 0) {
            let found = model.importance(kind).unwrap();
            near(&found, expected.as_slice().unwrap(), 1e-6, &format!("{name}, {kind:?}"));
        }
        let gain = model.importance(ImportanceKind::Gain);
        match model.source().class.as_str() {
            "IsolationForest" => assert_eq!(gain, None, "{name}"),
            _ if case.facts.library == "CatBoost" => assert_eq!(gain, None, "{name}"),
            // a sum, not shares of 1
            class if class.starts_with("Hist") => assert!(gain.unwrap().iter().sum::<f64>() > 2.0, "{name}"),
            _ => assert!(gain.is_some(), "{name}"),
        }
    }
    assert!(rows_compared > 500, "{rows_compared}");
}

/// By full enumeration, and the sum by the margin.
fn hold(model: &Model, rows: &Array2<f64>) {
    let found = explain(&Explainer::new(model).unwrap(), rows);
    let compiled = Compiled::new(model).unwrap();
    let mut margins = Array2::zeros((rows.nrows(), compiled.margins_width()));
    compiled.margins(rows.view(), margins.view_mut()).unwrap();
    for (number, row) in rows.outer_iter().enumerate() {
        let found = found.row(number);
        let expected = naive::contributions(model, row.as_slice().unwrap());
        let found = found.as_slice().unwrap().chunks(model.n_features() + 1);
        for (margin, (found, expected)) in found.zip(&expected).enumerate() {
            near(found, expected, 1e-12, &format!("row {number}, margin {margin}"));
            let (sum, all): (f64, f64) = (found.iter().sum(), found.iter().map(|part| part.abs()).sum());
            assert!((sum - margins[[number, margin]]).abs() <= 1e-5 * all, "row {number}: {sum}");
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_batch_the_threads_or_the_processor() {
    for (depth, features) in [(3, 4), (9, 40), (13, 20), (18, 30)] {
        let prune = if depth > 10 { 25 } else { 5 };
        let (margins, categories, cover) = (2, 9, true);
        let shape = Shape { trees: 7, depth, prune, features, margins, categories, cover, ..Shape::default() };
        let mut random = Random::new(depth as u64);
        let model = shape.model(&mut random);
        let rows = shape.rows(&mut random, 150);
        let explainer = Explainer::new(&model).unwrap();
        let expected = explain(&explainer, &rows).mapv(f64::to_bits);
        for processor in Processor::all() {
            let explainer = explainer.clone().on(processor);
            for size in [150, 1, 2, 3, 8, 9, 27, 28, 64, 65] {
                let parts = rows.axis_chunks_iter(Axis(0), size).map(|part| explain(&explainer, &part.to_owned()));
                let parts: Vec<Array2<u64>> = parts.map(|part| part.mapv(f64::to_bits)).collect();
                let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
                assert_eq!(ndarray::concatenate(Axis(0), &views).unwrap(), expected, "{processor}, {size} together");
            }
        }
        let threads = std::thread::scope(|scope| {
            let all: Vec<_> = (0..3).map(|_| scope.spawn(|| explain(&explainer, &rows).mapv(f64::to_bits))).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(threads.iter().all(|found| *found == expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn contributions_are_shapley_values(
        seed in any::<u64>(),
        trees in 0_usize..6,
        depth in 0_usize..9,
        prune in 0_u64..60,
        features in 1_usize..9,
        keys in 1_usize..60,
        categories in prop::sample::select(vec![0_usize, 1, 7, 300, 5000]),
        margins in 1_usize..4,
        wide: bool,
        single: bool,
        category in prop::sample::select(vec![CategoryRule::Whole, CategoryRule::Truncated32, CategoryRule::Truncated64]),
        rows in 1_usize..40,
    ) {
        let precision = if single { Precision::Single } else { Precision::Double };
        let shape = Shape {
            trees, depth, prune, features, keys, categories, margins, wide, precision, sum: precision, category,
            cover: true, ..Shape::default()
        };
        let mut random = Random::new(seed);
        let model = shape.model(&mut random);
        hold(&model, &shape.rows(&mut random, rows.min(400 >> features.min(8))));
    }
}

/// A chain: each split asks a feature of its own, and goes on to the right.
fn chain(length: u32) -> TreeParts {
    let mut parts = TreeParts { target: Some(0), ..TreeParts::default() };
    for at in 0..length {
        let test = Test::AtMost(0.0);
        let (left, right) = (2 * at + 1, 2 * at + 2);
        parts.nodes.push(Node::Split(Split {
            column: at,
            test,
            left,
            right,
            missing_left: false,
            zero_is_missing: false,
        }));
        parts.nodes.push(Node::Leaf(at));
    }
    parts.nodes.push(Node::Leaf(length));
    parts.values = (0..=length).map(f64::from).collect();
    let cover = |at: usize| 0.97_f64.powi(at.div_euclid(2) as i32) * if at % 2 == 1 { 0.03 } else { 1.0 };
    parts.cover = (0..parts.nodes.len()).map(cover).collect();
    parts
}

fn parts(tree: TreeParts, features: usize) -> Parts {
    let feature = Feature { name: None, kind: FeatureKind::Number, missing_allowed: false };
    Parts {
        task: Task::Regression,
        features: vec![feature; features],
        input: Input { precision: Precision::Double, infinite_allowed: false, category: CategoryRule::Whole },
        columns: Vec::new(),
        n_outputs: 1,
        classes: Vec::new(),
        sum: Sum { combine: Combine::Add, precision: Precision::Double, start: vec![0.5], finish: Finish::Nothing },
        link: Link::Identity,
        decision: Decision::None,
        trees: vec![Tree::new(tree, &Limits::default()).unwrap()],
        source: Source { library: "made up".into(), version: "1".into(), class: "chain".into() },
    }
}

#[test]
fn a_way_of_hundreds_of_features_adds_up() {
    for length in [1, 2, 15, 16, 17, 33, 150, 700] {
        let model = Model::new(parts(chain(length), length as usize)).unwrap();
        let mut random = Random::new(3);
        let rows = Array2::from_shape_fn((40, length as usize), |(row, _)| random.below(20 * row as u64 + 2) as f64);
        let explainer = Explainer::new(&model).unwrap();
        let found = explain(&explainer, &rows);
        for (row, found) in rows.outer_iter().zip(found.outer_iter()) {
            let margin = naive::margins(&model, row.as_slice().unwrap())[0];
            let all: f64 = found.iter().map(|part| part.abs()).sum();
            assert!((found.sum() - margin).abs() <= 1e-12 * all, "{length}: {} for {margin}", found.sum());
        }
    }
}

#[test]
fn columns_count_for_the_feature_they_are_made_from() {
    let mut all = parts(chain(5), 3);
    let column = |feature, step: f64| Column { feature, steps: vec![Step::Subtract(step)] };
    all.columns = vec![column(2, 0.1), column(0, 0.0), column(2, 0.7), column(1, 0.5), column(0, 0.3)];
    let model = Model::new(all).unwrap();
    hold(&model, &arr2(&[[0.2, 0.6, 0.5], [0.5, 0.4, 0.9], [-1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]));
    assert_eq!(Explainer::new(&model).unwrap().width(), 4);
}

#[test]
fn what_can_not_be_explained_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut TreeParts), combine| {
        let mut tree = chain(2);
        change(&mut tree);
        let mut all = parts(tree, 2);
        all.sum.combine = combine;
        Explainer::new(&Model::new(all).unwrap()).map(|_| ()).unwrap_err()
    };
    let add = Combine::Add;
    assert_eq!(refused(&|tree| tree.cover.clear(), add), ExplainError::NoCover { tree: 0 });
    assert_eq!(refused(&|tree| tree.cover[2] = -1.0, add), ExplainError::Cover { tree: 0, node: 2 });
    assert_eq!(refused(&|tree| tree.cover[3] = f64::NAN, add), ExplainError::Cover { tree: 0, node: 3 });
    assert_eq!(refused(&|tree| tree.cover[4] = f64::INFINITY, add), ExplainError::Cover { tree: 0, node: 4 });
    assert_eq!(refused(&|tree| tree.values[1] = f64::INFINITY, add), ExplainError::Value { tree: 0 });
    let linear = |tree: &mut TreeParts| tree.linear = vec![Linear::default(); 3];
    assert_eq!(refused(&linear, add), ExplainError::Linear { tree: 0 });
    assert_eq!(refused(&|_| {}, Combine::Min), ExplainError::NoSum);
    assert_eq!(refused(&|_| {}, Combine::Max), ExplainError::NoSum);
    assert!(ExplainError::NoCover { tree: 3 }.to_string().contains("tree 3"));
}

#[test]
fn rows_are_refused_as_by_predict() {
    let model = Model::new(parts(chain(2), 2)).unwrap();
    let (explainer, compiled) = (Explainer::new(&model).unwrap(), Compiled::new(&model).unwrap());
    for rows in [arr2(&[[1.0, 2.0], [f64::NAN, 0.0]]), arr2(&[[1.0, f64::INFINITY]])] {
        let mut out = Array2::zeros((rows.nrows(), 3));
        let mut margins = Array2::zeros((rows.nrows(), 1));
        let error = explainer.explain(rows.view(), out.view_mut()).unwrap_err();
        assert_eq!(error, compiled.margins(rows.view(), margins.view_mut()).unwrap_err());
    }
    let rows = arr2(&[[1.0, 2.0, 3.0]]);
    let mut out = Array2::zeros((1, 3));
    let error = explainer.explain(rows.view(), out.view_mut()).unwrap_err();
    assert_eq!(error, PredictError::RowLength { expected: 2, found: 3 });
    let rows = arr2(&[[1.0_f32, 2.0]]);
    let mut wrong = Array2::zeros((1, 2));
    let error = explainer.explain(rows.view(), wrong.view_mut()).unwrap_err();
    assert!(matches!(error, PredictError::Buffer { what: "contributions", expected: (1, 3), found: (1, 2) }));
    explainer.explain(rows.view(), out.view_mut()).unwrap();
    let none = Array2::<f64>::zeros((0, 2));
    explainer.explain(none.view(), Array2::zeros((0, 3)).view_mut()).unwrap();
}
