//! LightGBM's text models and pickles predict what that LightGBM predicted, to the bit; what is no such model is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/pickler.rs"]
mod pickler;

use std::path::Path;

use arborgate_forest::{
    Categories, Compiled, Error, FeatureKind, Label, Limits, Model, Options, Output, Rounds, Task, Test,
};
use common::naive;
use common::reference::{Case, cases};
use ndarray::{Array2, arr2};
use pickler::{Py, dict, pickle, reduce, text};
use proptest::prelude::*;

#[test]
fn every_file_predicts_the_same_bits() {
    let compared: usize = cases("lightgbm").iter().map(|case| case.hold(&Options::default())).sum();
    assert!(compared > 5_000, "{compared}");
}

fn read(bytes: &[u8]) -> Result<Model, Error> {
    Model::read(bytes, &Options::default())
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lightgbm/4.7.0").join(name)).unwrap()
}

const HEAD: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\n\
                    objective=regression\nfeature_names=a b\nfeature_infos=[-1:2] -1:0:1:33\ntree_sizes=SIZES\n\n";

/// Feature a at most 0.5, then feature b among 1 and 33.
const TREE: &str = "num_leaves=3\nnum_cat=1\nsplit_feature=0 1\nsplit_gain=2.5 1\nthreshold=0.5 0\ndecision_type=2 1\n\
                    left_child=-1 -2\nright_child=1 -3\nleaf_value=1.5 -2 1e-3\nleaf_weight=1 2 3\nleaf_count=10 20 30\n\
                    internal_value=0 0\ninternal_weight=6 5\ninternal_count=60 50\ncat_boundaries=0 2\n\
                    cat_threshold=2 2\nis_linear=0\nshrinkage=1\n\n\n";

const LINEAR: &str =
    "is_linear=1\nleaf_const=1 2 3\nnum_features=1 0 2\nleaf_features=0  0 1 \nleaf_coeff=0.5  1 -1 \n";

const TAIL: &str = "end of trees\n\nfeature_importances:\na=1\nb=1\n\nparameters:\n[boosting: gbdt]\n\
                    [categorical_feature: 1]\n\nend of parameters\n\npandas_categorical:null\n";

/// A text of two such trees, each change made wherever its left side stands; the sizes are right unless they are changed.
fn model(changes: &[(&str, &str)]) -> String {
    let changed = |part: &str| changes.iter().fold(part.to_owned(), |part, (from, to)| part.replace(from, to));
    let trees: Vec<String> = (0..2).map(|number| changed(&format!("Tree={number}\n{TREE}"))).collect();
    let sizes = format!("{} {}", trees[0].len(), trees[1].len());
    let head = changed(HEAD).replace("SIZES", &sizes);
    format!("{head}{}{}{}", trees[0], trees[1], changed(TAIL))
}

fn margins(model: &Model, rows: &Array2<f64>) -> Vec<f64> {
    let compiled = Compiled::new(model).unwrap();
    let mut margins = Array2::zeros((rows.nrows(), compiled.margins_width()));
    compiled.margins(rows.view(), margins.view_mut()).unwrap();
    margins.into_iter().collect()
}

#[test]
fn a_text_written_here_reads() {
    let model = read(model(&[]).as_bytes()).unwrap();
    assert_eq!((model.task(), model.source().to_string().as_str()), (Task::Regression, "LightGBM v4 regression"));
    assert_eq!(model.feature_names().unwrap(), ["a", "b"]);
    assert_eq!(model.features()[0].kind, FeatureKind::Number);
    assert_eq!(model.features()[1].kind, FeatureKind::Category(Categories::Codes));
    let tree = &model.trees()[0];
    assert_eq!(tree.sets(), [[1, 33]]);
    assert_eq!(tree.cover(), [60., 50., 10., 20., 30.]);
    assert_eq!(tree.gain(), [2.5, 1., 0., 0., 0.]);
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let rows = arr2(&[[0.5, nan], [nan, nan], [0.6, 1.9], [0.6, 33.], [inf, 2.], [1., -0.5], [1., -1.], [1., nan]]);
    let expected = [1.5, 1.5, -2., -2., 1e-3, 1e-3, 1e-3, 1e-3].map(|leaf| leaf + leaf);
    assert_eq!(margins(&model, &rows), expected);
}

#[test]
fn what_lies_near_zero_is_zero() {
    let zero = f64::from(1e-35_f32);
    let rows =
        arr2(&[[zero, 0.], [zero.next_up(), 0.], [-zero, 0.], [(-zero).next_down(), 0.], [-0.0, 0.], [f64::NAN, 0.]]);
    // what is kept of a number, by LightGBM, and where NaN goes: to 0, or left
    let seen = [0., zero.next_up(), 0., (-zero).next_down(), 0.];
    for threshold in [0.0, 1e-36, -1e-36, zero, -zero, zero.next_up(), (-zero).next_down(), 1e-310, -1e-310] {
        for (kind, nan_left) in [("0", 0.0 <= threshold), ("2", 0.0 <= threshold), ("10", true), ("8", false)] {
            let changes = [
                ("threshold=0.5 0", &*format!("threshold={threshold:e} 0")),
                ("decision_type=2", &*format!("decision_type={kind}")),
            ];
            let found = margins(&read(model(&changes).as_bytes()).unwrap(), &rows);
            let left = seen.map(|x| x <= threshold).into_iter().chain([nan_left]);
            let expected: Vec<f64> = left.map(|left| if left { 3.0 } else { 0.002 }).collect();
            assert_eq!(found, expected, "{threshold:e} {kind}");
        }
        for (kind, missing_left) in [("4", false), ("6", true)] {
            let changes = [
                ("threshold=0.5 0", &*format!("threshold={threshold:e} 0")),
                ("decision_type=2", &*format!("decision_type={kind}")),
            ];
            let found = margins(&read(model(&changes).as_bytes()).unwrap(), &rows);
            let left = |x: f64| if x == 0.0 { missing_left } else { x <= threshold };
            let expected: Vec<f64> = seen.into_iter().chain([0.0]).map(|x| if left(x) { 3.0 } else { 0.002 }).collect();
            assert_eq!(found, expected, "{threshold:e} {kind}");
        }
    }
    let linear =
        read(model(&[("is_linear=0\n", LINEAR), ("leaf_const=1 2 3", "leaf_const=0 2 3")]).as_bytes()).unwrap();
    assert_eq!(
        margins(&linear, &arr2(&[[9e-36, 0.], [2e-35, 0.], [0.25, 0.], [1.0, 0.0], [1.0, f64::NAN]])),
        [0., 2e-35, 0.25, 8.0, 0.002]
    );
}

/// The message without each ` (byte N)`.
fn without_places(error: &Error) -> String {
    let said = error.to_string();
    let mut parts = said.split(" (byte ");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |said, part| said + part.split_once(')').unwrap().1)
}

#[track_caller]
fn refused(changes: &[(&str, &str)], expected: &str) {
    let text = model(changes);
    for (from, _) in changes {
        assert!(
            from.starts_with("Tree=")
                || HEAD.contains(from)
                || TREE.contains(from)
                || TAIL.contains(from)
                || LINEAR.contains(from),
            "{from}"
        );
    }
    let error = read(text.as_bytes()).expect_err(expected);
    if let Error::Content { path, offset: Some(offset), .. } = &error {
        let key = path.rsplit(", ").next().unwrap().trim_matches('`');
        let at_value = text[..*offset].ends_with(&format!("{key}=")) || text[*offset..].starts_with(key);
        assert!(
            at_value || error.to_string().contains("is missing") || path == "the text" || path.starts_with("tree"),
            "{error}"
        );
    }
    let said = without_places(&error);
    assert!(said.contains(expected), "{said}");
}

#[test]
fn what_the_head_may_not_say_is_refused() {
    for (from, to, expected) in [
        ("version=v4", "version=v2", "version: is `v2`; this reader knows v3 and v4; load it with LightGBM"),
        ("version=v4\n", "", "version: is missing"),
        ("label_index=0", "label_index=0\nlabel_index=0", "label_index: stands there twice"),
        ("label_index=0", "weird=1", "`weird`: is not known here"),
        ("label_index=0", "weird", "`weird`: is not known here"),
        ("num_class=1\n", "num_class=0\n", "num_class: is 0"),
        ("num_class=1\n", "num_class=-1\n", "is `-1` where a count was expected"),
        ("num_class=1\n", "num_class=3\n", "num_tree_per_iteration: is `1` for 3 classes"),
        ("max_feature_idx=1", "max_feature_idx=4294967295", "features: more than the limit"),
        ("max_feature_idx=1", "max_feature_idx=2", "feature_names: has 2 entries for 3 features"),
        ("feature_infos=[-1:2] ", "feature_infos=", "feature_infos: has 1 entries for 2"),
        ("max_feature_idx=1", "max_feature_idx=0", "has 2 entries for 1 features"),
        ("=regression", "=survival", "objective: is `survival`; this reader knows binary, multiclass"),
        ("=regression", "=regression alpha:1", "is `regression alpha:1`; this reader knows"),
        ("=regression", "=binary", "has no sigmoid above 0"),
        ("=regression", "=binary sigmoid:-1", "has no sigmoid above 0"),
        ("=regression", "=binary sigmoid:x", "has a sigmoid that is no number"),
        ("=regression", "=binary sigmoid:1 sigmoid:2", "has `sigmoid:2` twice"),
        ("=regression", "=binary sigmoid:1 sqrt", "is `binary sigmoid:1 sqrt`; this"),
        ("=regression", "=multiclass num_class:1", "is `multiclass num_class:1` for 1 classes"),
        ("=regression", "=multiclassova num_class:3 sigmoid:1", "for 1 classes"),
        ("tree_sizes=SIZES", "tree_sizes=1 2", "tree_sizes: says 1 of tree 0, which has 317 bytes"),
        ("tree_sizes=SIZES", "tree_sizes=317", "says nothing of tree 1"),
        ("tree_sizes=SIZES", "tree_sizes=SIZES 7", "is for more trees than the 2 that are there"),
        ("tree\n", "trees\n", "not a model file"),
    ] {
        refused(&[(from, to)], expected);
    }
    refused(&[("num_class=1\n", "num_class=2\n"), ("iteration=1", "iteration=2")], "is `regression` for 2 classes");
    let three =
        [("num_class=1\n", "num_class=3\n"), ("iteration=1", "iteration=3"), ("regression", "multiclass num_class:3")];
    refused(&three, "has 2 trees for 3 classes");
}

#[test]
fn what_a_tree_may_not_say_is_refused() {
    for (from, to, expected) in [
        ("num_leaves=3", "num_leaves=0", "tree 0, num_leaves: is 0"),
        ("num_leaves=3", "num_leaves=4294967295", "nodes of all trees: more than the limit"),
        ("num_leaves=3", "num_leaves=4", "leaf_value: has 3 numbers where 4 belong"),
        ("num_leaves=3", "num_leaves=2", "has more than the 2 numbers that belong here"),
        ("num_leaves=3\n", "", "tree 0, num_leaves: is missing"),
        ("num_leaves=3", "num_leaves=3\nnum_leaves=3", "tree 0, num_leaves: stands there twice"),
        ("num_leaves=3", "num_branches=3", "tree 0, `num_branches`: is not known"),
        ("num_leaves=3", "num_leaves", "tree 0, `num_leaves`: is not known"),
        ("left_child=-1", "left_child=7", "left_child: names 7, of 2 splits and 3 leaves"),
        ("left_child=-1", "left_child=-4", "names -4, of 2 splits and 3 leaves"),
        ("left_child=-1", "left_child=-2147483648", "names -2147483648"),
        ("left_child=-1", "left_child=2147483648", "has `2147483648` where an int was expected"),
        ("left_child=-1", "left_child=0", "tree 0, node 0: has two parents, or is its own ancestor"),
        ("left_child=-1", "left_child=1", "tree 0, node 1: has two parents"),
        ("left_child=-1", "left_child=-3", "tree 0, node 4: has two parents"),
        ("split_feature=0", "split_feature=2", "tree 0, node 0: splits on feature 2, of 2"),
        ("split_feature=0", "split_feature=-1", "has `-1` where an int of at least 0 was expected"),
        ("threshold=0.5", "threshold=nan", "has `nan` where a number was expected"),
        ("threshold=0.5", "threshold=0x1p3", "has `0x1p3` where a number was expected"),
        ("threshold=0.5 0", "threshold=0.5 1", "names set 1 of categories, of 1"),
        ("threshold=0.5 0", "threshold=0.5 0.5", "names set 0.5 of categories"),
        ("threshold=0.5 0", "threshold=0.5 -1", "names set -1 of categories"),
        ("decision_type=2", "decision_type=12", "decision_type: has 12, which no split"),
        ("decision_type=2", "decision_type=16", "has 16, which no split"),
        ("leaf_value=1.5", "leaf_value=nan", "has `nan` where a finite number was expected"),
        ("leaf_value=1.5", "leaf_value=-inf", "has `-inf` where a finite number was expected"),
        ("leaf_value=1.5", "leaf_value=1e999", "has `1e999` where a finite number was expected"),
        ("leaf_count=10", "leaf_count=-10", "has `-10` where an int of at least 0"),
        ("split_gain=2.5", "split_gain=high", "has `high` where a number was expected"),
        ("num_cat=1", "num_cat=0", "names set 0 of categories, of 0"),
        ("num_cat=1", "num_cat=3", "is 3 where there are 2 splits"),
        ("cat_boundaries=0 2", "cat_boundaries=0 1", "has more than the 1 numbers that belong here"),
        ("cat_boundaries=0 2", "cat_boundaries=0 4000000000", "has 2 numbers where 4000000000 belong"),
        ("cat_boundaries=0 2", "cat_boundaries=1 2", "does not ascend from 0"),
        ("cat_boundaries=0 2\n", "", "cat_boundaries: is missing"),
        ("cat_threshold=2", "cat_threshold=4294967296", "has `4294967296` where an int"),
        ("is_linear=0", "is_linear=2", "is `2` where 0 or 1 was expected"),
        ("is_linear=0", "is_linear=1", "leaf_const: is missing"),
        ("Tree=1", "Tree=2", "tree 1: begins with `Tree=2` in place of `Tree=1`"),
    ] {
        refused(&[(from, to)], expected);
    }
    for (from, to, expected) in [
        ("leaf_features=0", "leaf_features=2", "a linear leaf asks for a feature beyond 2"),
        ("num_features=1 0 2", "num_features=1 0 1", "has more than the 2 numbers that belong here"),
        ("num_features=1 0 2", "num_features=4294967295 4294967295 4294967295", "numbers where 12884901885 belong"),
        ("leaf_coeff=0.5", "leaf_coeff=inf", "has `inf` where a finite number was expected"),
        ("leaf_const=1", "leaf_const=nan", "has `nan` where a finite number was expected"),
    ] {
        refused(&[("is_linear=0\n", LINEAR), (from, to)], expected);
    }
}

#[test]
fn what_follows_the_trees_is_known_or_refused() {
    for (from, to, expected) in [
        ("end of parameters\n", "", "parameters:: has no `end of parameters`"),
        ("end of trees\n\n", "end of trees\n\nmore\n\n", "`more`: follows the trees and is not known here"),
        ("end of trees", "end of tree", "tree 2: begins with `end of tree` in place of `Tree=2`"),
        (":null\n", ":[[\"x\"]\n", "pandas_categorical: EOF"),
        (":null\n", ":[[null]]\n", "expected a category"),
        (":null\n", ":[[\"x\", \"y\", \"x\"]]\n", "has a category twice"),
        (":null\n", ":[[1e999]]\n", "out of range"),
        (":null\n", ":null\npandas_categorical:null\n", "stands there twice"),
    ] {
        refused(&[(from, to)], expected);
    }
    let limits = Limits { max_text: 3, ..Limits::default() };
    let named = model(&[(":null\n", ":[[\"long\"]]\n")]);
    assert!(matches!(Model::read(named.as_bytes(), &limits.into()), Err(Error::Limit { .. })));
}

#[test]
fn the_categories_of_pandas_name_codes() {
    let kind = |changes: &[(&str, &str)]| read(model(changes).as_bytes()).unwrap().features()[1].kind.clone();
    let list = (0..40).map(|code| format!("\"c{code}\"")).collect::<Vec<_>>().join(", ");
    let named = kind(&[(":null\n", &format!(":[[{list}]]\n"))]);
    let labels = (0..40).map(|code| Label::Text(format!("c{code}"))).collect();
    assert_eq!(named, FeatureKind::Category(Categories::Named(labels)));
    // too few for the codes that training met; or of an ordered column too, which is a number to the trees
    for lists in ["[[\"x\"]]".to_owned(), format!("[[{list}], [1, 2.5, true]]"), "[]".to_owned()] {
        assert_eq!(kind(&[(":null\n", &format!(":{lists}\n"))]), FeatureKind::Category(Categories::Codes), "{lists}");
    }
    let model = read(&fixture("pandas.txt")).unwrap();
    assert_eq!(model.feature_names().unwrap(), ["a", "b=2", "c", "größe", "colour"]);
    let names = ["black", "blue", "green", "grey", "red", "white", "–"].map(|name| Label::Text(name.to_owned()));
    let FeatureKind::Category(Categories::Named(found)) = &model.features()[4].kind else { panic!() };
    assert!(found.iter().all(|name| names.contains(name)) && found.len() > 4);
}

#[test]
fn limits_hold() {
    let read = |limits: Limits| Model::read(model(&[]).as_bytes(), &limits.into()).unwrap_err().to_string();
    assert!(read(Limits { max_trees: 1, ..Limits::default() }).contains("trees: more than the limit of 1"));
    assert!(
        read(Limits { max_nodes: 9, ..Limits::default() }).contains("nodes of all trees: more than the limit of 9")
    );
    assert!(read(Limits { max_depth: 1, ..Limits::default() }).contains("depth of a tree"));
    assert!(read(Limits { max_features: 1, ..Limits::default() }).contains("features"));
    assert!(read(Limits { max_text: 0, ..Limits::default() }).contains("bytes of a name"));
}

#[test]
fn a_text_that_is_cut_off_is_refused() {
    let text = model(&[]);
    let end = text.find("end of trees").unwrap() + "end of trees".len();
    for cut in 0..text.len() {
        let result = read(&text.as_bytes()[..cut]);
        assert!(result.is_err() || cut >= end, "{cut}");
    }
    let said = read(&text.as_bytes()[..end - 12]).unwrap_err().to_string();
    assert!(said.contains("cut off"), "{said}");
    let said = read(model(&[("\n", "\r\n")]).as_bytes()).unwrap_err().to_string();
    assert!(said.contains("has a carriage return"), "{said}");
    let said = read(b"tree\nversion=v4\nfeature_names=\xff\n").unwrap_err().to_string();
    assert!(said.contains("is no UTF-8"), "{said}");
    let said = read(&fixture("dump.json")).unwrap_err().to_string();
    assert!(said.contains("a LightGBM JSON dump") && said.contains("booster.save_model"), "{said}");
}

fn case(name: &str) -> Case {
    cases("lightgbm").into_iter().find(|case| case.name() == name).unwrap()
}

#[test]
fn rounds_after_the_best_are_taken_if_asked_for() {
    let case = case("4.7.0/stopped.p2.pickle");
    let trees = |rounds| {
        let options = Options { rounds, ..Options::default() };
        Model::read(&case.bytes, &options).unwrap().trees().len()
    };
    assert_eq!((trees(Rounds::AsSaved), trees(Rounds::Best)), (case.facts.trees, case.facts.trees));
    assert!(trees(Rounds::All) > case.facts.trees);
}

fn object(name: &'static str, attributes: &[(&str, Py)]) -> Py {
    let module = if name == "Booster" { "lightgbm.basic" } else { "lightgbm.sklearn" };
    Py::Build(Box::new(Py::NewObj(Box::new(Py::Global(module, name)))), Box::new(dict(attributes)))
}

#[test]
fn pickles_that_are_not_as_lightgbm_writes_them_are_refused() {
    let whole = || text(&model(&[]));
    let booster = |attributes: &[(&str, Py)]| object("Booster", attributes);
    let good = pickle(&object("LGBMRegressor", &[("_Booster", booster(&[("handle", whole())]))]));
    assert_eq!(read(&good).unwrap().source().to_string(), "LightGBM v4 LGBMRegressor");
    let early = dict(&[("pred_early_stop", Py::Bool(true))]);
    let broken = text(&model(&[("num_leaves=3", "num_leaves=0")]));
    let ordered = reduce(Py::Global("collections", "OrderedDict"), vec![]);
    for (value, expected) in [
        (booster(&[]), "handle: is missing"),
        (booster(&[("handle", Py::None)]), "handle: is no text"),
        (booster(&[("handle", whole()), ("handle", whole())]), "handle: stands there twice"),
        (booster(&[("_handle", whole()), ("best_iteration", text("x"))]), "best_iteration: is no int"),
        (booster(&[("_handle", broken)]), "_handle: tree 0, num_leaves, byte 193 of it"),
        (booster(&[("_handle", text("tree"))]), "_handle: the text, byte 4 of it"),
        (object("LGBMRegressor", &[("_Booster", Py::None)]), "_Booster: is None of another kind"),
        (object("LGBMRegressor", &[]), "_Booster: is missing; was the model fitted?"),
        (object("LGBMRanker", &[("_other_params", early)]), "pred_early_stop: leaves trees out"),
        (object("LGBMClassifier", &[("_Booster", booster(&[("handle", whole())]))]), "_le: is missing"),
        (object("LGBMModel", &[]), "refuses the global `lightgbm.sklearn.LGBMModel`"),
        (ordered, "is a dict where an estimator was expected"),
        (Py::NewObj(Box::new(Py::Global("lightgbm.basic", "Booster"))), "has no attributes"),
    ] {
        let said = without_places(&read(&pickle(&value)).expect_err(expected));
        assert!(said.contains(expected), "{said}");
    }
}

/// What reads compiles, and predicts as the obvious way does.
fn check(bytes: &[u8]) {
    let Ok(model) = read(bytes) else { return };
    let compiled = Compiled::new(&model).unwrap();
    let row: Vec<f64> = (0..model.n_features()).map(|feature| feature as f64 * 0.7 - 1.0).collect();
    let rows = Array2::from_shape_vec((1, row.len()), row.clone()).unwrap();
    let bits = |margins: &[f64]| margins.iter().map(|margin| margin.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&margins(&model, &rows)), bits(&naive::margins(&model, &row)));
    let mut values = Array2::zeros((1, compiled.values_width()));
    let mut labels = Array2::zeros((1, compiled.labels_width()));
    compiled.predict(rows.view(), &mut Output { values: values.view_mut(), labels: labels.view_mut() }).unwrap();
    for split in model.trees().iter().flat_map(|tree| tree.splits()) {
        assert!(!matches!(split.test, Test::AtMost(threshold) if threshold.is_nan()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_file_never_panics(
        file in 0_usize..6,
        at in any::<prop::sample::Index>(),
        cut in 0_usize..12,
        with in "[-0-9 =\\n.e:]{0,9}",
    ) {
        let names = ["binary.txt", "multiclass.txt", "categories.txt", "linear.txt", "pandas.txt", "booster.p4.pickle"];
        let mut bytes = fixture(names[file]);
        let head = bytes.windows(12).position(|window| window == b"end of trees").unwrap();
        let at = at.index(head + 100);
        bytes.splice(at..(at + cut).min(bytes.len()), with.bytes());
        check(&bytes);
        // LightGBM's check of sizes would hide most of it
        let text = String::from_utf8_lossy(&bytes).replace("tree_sizes=", "tree_sizes_");
        check(text.replacen("\ntree_sizes_", "\nlabel_", 1).as_bytes());
    }
}
