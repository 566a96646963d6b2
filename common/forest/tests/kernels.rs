//! Whatever form a model takes and whatever instructions run it, it gives the bits that the obvious walk gives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/made_up.rs"]
mod made_up;

use arborgate_forest::{CategoryRule, Compiled, Model, Output, Precision, Processor};
use common::naive;
use made_up::{Random, Shape};
use ndarray::{Array2, Axis};
use proptest::prelude::*;

/// Every processor, every size of batch: the margins of all rows.
fn hold(model: &Model, rows: &Array2<f64>) {
    let expected: Vec<Vec<u64>> = rows
        .outer_iter()
        .map(|row| naive::margins(model, row.as_slice().unwrap()).iter().map(|x| x.to_bits()).collect())
        .collect();
    let compiled = Compiled::new(model).unwrap();
    for processor in Processor::all() {
        let compiled = compiled.clone().on(processor);
        for size in [rows.nrows(), 1, 2, 3, 4, 7, 8, 9, 20, 21, 29, 64, 65, 191, 192, 512] {
            for (number, part) in rows.axis_chunks_iter(Axis(0), size).enumerate() {
                let mut margins = Array2::zeros((part.nrows(), compiled.margins_width()));
                compiled.margins(part, margins.view_mut()).unwrap();
                for (at, margins) in margins.outer_iter().enumerate() {
                    let found: Vec<u64> = margins.iter().map(|x| x.to_bits()).collect();
                    let row = number * size + at;
                    assert_eq!(found, expected[row], "row {row} in {size}: {} {:?}", compiled.kernel(), rows.row(row));
                }
            }
        }
    }
}

fn hold_shape(shape: &Shape, seed: u64, rows: usize) -> String {
    let mut random = Random::new(seed);
    let model = shape.model(&mut random);
    hold(&model, &shape.rows(&mut random, rows));
    Compiled::new(&model).unwrap().kernel()
}

#[test]
fn flat_trees_are_masks_and_deep_ones_are_walked() {
    let kernel = hold_shape(&Shape { trees: 40, depth: 6, ..Shape::default() }, 1, 700);
    assert!(kernel.starts_with("masks"), "{kernel}");
    // every split asks something else
    let deep = Shape { trees: 3, depth: 11, keys: 60_000, ..Shape::default() };
    let kernel = hold_shape(&deep, 2, 300);
    assert!(kernel.starts_with("walk,"), "{kernel}");
}

#[test]
fn a_column_of_many_keys_is_cut_into_segments() {
    for precision in [Precision::Single, Precision::Double] {
        let shape = Shape { trees: 60, depth: 5, keys: 900, features: 2, precision, ..Shape::default() };
        let kernel = hold_shape(&shape, 3, 600);
        assert!(kernel.starts_with("masks"), "{kernel}");
    }
}

#[test]
fn many_categories_are_walked() {
    for category in [CategoryRule::Whole, CategoryRule::Truncated32, CategoryRule::Truncated64] {
        let few = Shape { trees: 30, depth: 4, categories: 200, category, ..Shape::default() };
        assert!(hold_shape(&few, 4, 600).starts_with("masks"));
        let many =
            Shape { trees: 2, depth: 8, prune: 0, features: 1, categories: 60_000, category, ..Shape::default() };
        assert!(hold_shape(&many, 5, 300).contains("walk"));
    }
}

/// Few rows go through trees that stand side by side, where a processor can and the trees are many and alike.
#[test]
fn few_rows_have_a_form_that_suits_the_trees() {
    let usual = || Shape { trees: 137, features: 6, keys: 40, ..Shape::default() };
    let several = || Shape { margins: 3, wide: true, ..usual() };
    for (form, shape) in [
        ("side by side", Shape { depth: 1, prune: 0, ..usual() }),
        ("side by side", Shape { depth: 6, prune: 0, ..several() }),
        ("side by side", Shape { depth: 8, prune: 0, trees: 70, ..usual() }),
        ("side by side", Shape { depth: 6, prune: 8, ..several() }),
        ("side by side", Shape { trees: 20, depth: 5, ..usual() }),
        // columns in two registers
        ("side by side", Shape { depth: 6, prune: 8, features: 25, ..usual() }),
        ("side by side", Shape { depth: 6, prune: 8, categories: 60, features: 2, ..usual() }),
        ("side by side", Shape { depth: 6, prune: 8, categories: 60, features: 25, ..usual() }),
        // too few
        ("masks,", Shape { trees: 3, depth: 6, ..usual() }),
        // more columns than a byte of two registers can name
        ("masks,", Shape { trees: 200, depth: 6, prune: 40, features: 300, ..usual() }),
    ] {
        let kernel = hold_shape(&shape, 9, 70);
        assert!(
            kernel.contains(form) || Processor::detect() != Processor::Avx512,
            "{kernel}, not {form} of {} trees of depth {}, {} features",
            shape.trees,
            shape.depth,
            shape.features
        );
    }
}

#[test]
fn trees_without_a_split_and_no_trees_at_all() {
    for (trees, depth) in [(5, 0), (0, 0)] {
        for margins in [1, 3] {
            hold_shape(&Shape { trees, depth, margins, ..Shape::default() }, 6, 100);
        }
    }
}

#[test]
fn more_questions_than_one_form_takes_make_several() {
    let shape = Shape { trees: 400, depth: 7, keys: 6_000, features: 9, margins: 3, ..Shape::default() };
    hold_shape(&shape, 7, 130);
}

#[test]
fn rows_of_either_precision_and_any_layout_say_the_same() {
    let shape = Shape { trees: 30, depth: 5, margins: 2, ..Shape::default() };
    let mut random = Random::new(8);
    let model = shape.model(&mut random);
    let compiled = Compiled::new(&model).unwrap();
    let single = shape.rows(&mut random, 333).mapv(|x| x as f32);
    let double = single.mapv(f64::from);
    let columns_first = Array2::from_shape_fn((double.ncols(), double.nrows()), |(c, r)| double[[r, c]]);
    let margins = |fill: &dyn Fn(&mut Array2<f64>)| {
        let mut out = Array2::zeros((333, compiled.margins_width()));
        fill(&mut out);
        out.mapv(f64::to_bits)
    };
    let expected = margins(&|out| compiled.margins(double.view(), out.view_mut()).unwrap());
    assert_eq!(margins(&|out| compiled.margins(single.view(), out.view_mut()).unwrap()), expected);
    assert_eq!(margins(&|out| compiled.margins(columns_first.t(), out.view_mut()).unwrap()), expected);
    assert_eq!(
        margins(&|out| compiled.margins(double.slice(ndarray::s![..;1, ..]), out.view_mut()).unwrap()),
        expected
    );
    let mut values = Array2::zeros((333, compiled.values_width()));
    let mut labels = Array2::zeros((333, 0));
    compiled.predict(single.view(), &mut Output { values: values.view_mut(), labels: labels.view_mut() }).unwrap();
    assert_eq!(values.mapv(f64::to_bits), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_model_gives_the_obvious_bits(
        seed in any::<u64>(),
        trees in prop_oneof![3 => 0_usize..40, 1 => 40_usize..150],
        depth in 0_usize..9,
        prune in 0_u64..60,
        features in 1_usize..6,
        keys in 1_usize..600,
        categories in prop::sample::select(vec![0_usize, 1, 7, 254, 255, 300]),
        margins in 1_usize..6,
        wide: bool,
        linear in prop::sample::select(vec![false, false, false, true]),
        single: bool,
        single_sum: bool,
        category in prop::sample::select(vec![CategoryRule::Whole, CategoryRule::Truncated32, CategoryRule::Truncated64]),
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
        hold_shape(&shape, seed, rows);
    }
}
