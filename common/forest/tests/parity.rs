//! Every reference file is read and predicts what its own scikit-learn predicted, to the bit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use arborgate_forest::{Compiled, Model, Options, PredictError, Task};
use common::{VERSIONS, bits, cases, file, predict};
use ndarray::{Array2, Axis, s};

#[test]
fn every_file_predicts_the_same_bits() {
    let mut compared = 0;
    for case in VERSIONS.iter().flat_map(|version| cases(version)) {
        let name = format!("{} {}", case.version, case.file);
        let model = Model::read(&case.bytes, &Options::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(model.source().to_string(), format!("scikit-learn {} {}", case.version, case.class), "{name}");
        assert_eq!(model.trees().len(), case.trees, "{name}");
        assert_eq!(model.n_features(), case.rows.ncols(), "{name}");
        assert_eq!(model.missing_allowed(), case.takes_nan, "{name}");
        let classes: Vec<Vec<String>> =
            model.classes().iter().map(|of| of.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(classes, case.classes, "{name}");
        let is_classifier = case.class.ends_with("Classifier");
        assert_eq!(model.task() == Task::Classification, is_classifier, "{name}");
        match model.feature_names() {
            Some(names) => assert_eq!(names, case.names, "{name}"),
            None => assert!(case.names.is_empty(), "{name}"),
        }
        let compiled = Compiled::new(&model).unwrap();
        let (values, labels) = predict(&compiled, case.rows.view()).unwrap();
        assert_eq!(bits(&values), bits(&case.values), "{name}");
        assert_eq!(labels, case.labels, "{name}");
        compared += case.rows.nrows();
    }
    assert!(compared > 5_000, "{compared}");
}

#[test]
fn batch_size_and_layout_change_nothing() {
    for case in cases("1.9.1") {
        let model = Model::read(&case.bytes, &Options::default()).unwrap();
        let compiled = Compiled::new(&model).unwrap();
        // more than one block of 64 rows
        let times = 200 / case.rows.nrows() + 1;
        let rows = ndarray::concatenate(Axis(0), &vec![case.rows.view(); times]).unwrap();
        let (whole, whole_labels) = predict(&compiled, rows.view()).unwrap();
        for size in [1, 2, 7, 8, 9, 63, 64, 65, rows.nrows()] {
            for (number, chunk) in rows.axis_chunks_iter(Axis(0), size).enumerate() {
                let (values, labels) = predict(&compiled, chunk).unwrap();
                let range = number * size..number * size + chunk.nrows();
                assert_eq!(bits(&values), bits(&whole.slice(s![range.clone(), ..]).to_owned()), "{} {size}", case.file);
                assert_eq!(labels, whole_labels.slice(s![range, ..]), "{} {size}", case.file);
            }
        }
        let columns_first = Array2::from_shape_vec(rows.raw_dim().into_shape_f(), rows.t().iter().copied().collect());
        let (values, _) = predict(&compiled, columns_first.unwrap().view()).unwrap();
        assert_eq!(bits(&values), bits(&whole));
    }
}

trait IntoShapeF {
    fn into_shape_f(self) -> ndarray::Shape<ndarray::Ix2>;
}

impl IntoShapeF for ndarray::Ix2 {
    fn into_shape_f(self) -> ndarray::Shape<ndarray::Ix2> {
        use ndarray::ShapeBuilder;
        self.f()
    }
}

#[test]
fn refuses_the_rows_that_scikit_learn_refuses() {
    for case in VERSIONS.iter().flat_map(|version| cases(version)) {
        let compiled = Compiled::new(&Model::read(&case.bytes, &Options::default()).unwrap()).unwrap();
        let mut rows = Array2::zeros((70, compiled.n_features()));
        let feature = compiled.n_features() - 1;
        // half way between f32::MAX and the next that there would be: what is below rounds to f32::MAX and is taken
        let too_large = f64::from(f32::MAX) + 2.0_f64.powi(103);
        rows[[66, feature]] = too_large.next_down();
        assert!(predict(&compiled, rows.view()).is_ok());
        for bad in [f64::INFINITY, f64::NEG_INFINITY, too_large, -too_large, -1e300] {
            rows[[66, feature]] = bad;
            assert_eq!(predict(&compiled, rows.view()), Err(PredictError::TooLarge { row: 66, feature }), "{bad}");
        }
        rows[[66, feature]] = f64::NAN;
        let expected = if case.takes_nan { None } else { Some(PredictError::Missing { row: 66, feature }) };
        assert_eq!(predict(&compiled, rows.view()).err(), expected, "{} {}", case.version, case.file);
    }
}

#[test]
fn refuses_rows_and_buffers_of_another_shape() {
    let compiled = Compiled::new(&Model::read(&file("1.9.1", "rf_iris.joblib"), &Options::default()).unwrap()).unwrap();
    let rows = Array2::<f64>::zeros((2, 5));
    assert_eq!(predict(&compiled, rows.view()), Err(PredictError::RowLength { expected: 4, found: 5 }));
    let rows = Array2::<f64>::zeros((2, 4));
    let run = |values: (usize, usize), labels: (usize, usize)| {
        let (mut values, mut labels) = (Array2::zeros(values), Array2::zeros(labels));
        let mut out = arborgate_forest::Output { values: values.view_mut(), labels: labels.view_mut() };
        compiled.predict(rows.view(), &mut out)
    };
    assert_eq!(run((2, 3), (2, 1)), Ok(()));
    let wrong = |what, expected, found| Err(PredictError::Buffer { what, expected, found });
    assert_eq!(run((3, 3), (2, 1)), wrong("values", (2, 3), (3, 3)));
    assert_eq!(run((2, 2), (2, 1)), wrong("values", (2, 3), (2, 2)));
    assert_eq!(run((2, 3), (2, 0)), wrong("labels", (2, 1), (2, 0)));
    let (mut values, mut labels) = (Array2::zeros((3, 2)), Array2::zeros((2, 1)));
    let mut out = arborgate_forest::Output { values: values.view_mut().reversed_axes(), labels: labels.view_mut() };
    assert!(matches!(compiled.predict(rows.view(), &mut out), Err(PredictError::Buffer { what: "values", .. })));
    let none = Array2::<f64>::zeros((0, 4));
    assert_eq!(predict(&compiled, none.view()).unwrap().0.dim(), (0, 3));
}

#[test]
fn the_demonstration_model_reads() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../services/arborgate/models/iris.joblib");
    let model = Model::read(&std::fs::read(path).unwrap(), &Options::default()).unwrap();
    assert_eq!(model.feature_names().unwrap(), ["sepal_length", "sepal_width", "petal_length", "petal_width"]);
    let (values, labels) =
        predict(&Compiled::new(&model).unwrap(), ndarray::arr2(&[[5.1, 3.5, 1.4, 0.2]]).view()).unwrap();
    assert_eq!((values[[0, 0]], labels[[0, 0]]), (1.0, 0));
}
