//! Rows to whatever of their answers is asked: labels or values alone, margins, leaves, contributions.

use std::sync::Arc;

use arborgate_contracts::wire::{Answer, Asked};
use arborgate_contracts::{ErrorCode, ServiceError};
use arborgate_forest::{Compiled, Explainer, Leaves, Model, Options};
use ndarray::Array2;

use crate::support::*;

/// A model whose leaves are linear functions.
const LINEAR: &[u8] = include_bytes!("../../../../common/forest/tests/fixtures/lightgbm/4.7.0/linear.txt");

async fn ask(system: &System, model: &str, asked: Asked, rows: &Array2<f64>) -> Result<Answer, ServiceError> {
    system.predict_asking(model, "1", asked, rows).await
}

/// Each row's floats, or indexes, in columns.
fn table<T: Clone>(values: &[T], rows: usize) -> Array2<T> {
    Array2::from_shape_vec((rows, values.len() / rows), values.to_vec()).unwrap()
}

#[tokio::test]
async fn each_kind_is_the_models_own_and_nothing_comes_beside_it() {
    let system = System::new().await;
    for (model, file, _) in files() {
        system.add(model, "1", file).await;
    }
    let _worker = system.worker("w1").await;
    for (model, file, columns) in files() {
        let rows = rows(70, columns, 1);
        let read = Model::read(file, &Options::default()).unwrap();
        let (values, labels) = expected(file, rows.view());
        let compiled = Compiled::new(&read).unwrap();
        let mut margins = Array2::zeros((70, compiled.margins_width()));
        compiled.margins(rows.view(), margins.view_mut()).unwrap();
        let explainer = Explainer::new(&read).unwrap();
        let mut contributions = Array2::zeros((70, explainer.width()));
        explainer.explain(rows.view(), contributions.view_mut()).unwrap();
        let finder = Leaves::new(&read);
        let mut leaves = Array2::zeros((70, finder.width()));
        finder.find(rows.view(), leaves.view_mut()).unwrap();

        let only = ask(&system, model, Asked::VALUES, &rows).await.unwrap();
        assert_eq!((bits(&only.values), only.labels.len()), (bits(&values), 0), "{model}");
        let only = ask(&system, model, Asked::MARGINS, &rows).await.unwrap();
        assert_eq!((bits(&only.values), only.labels.len()), (bits(margins.as_slice().unwrap()), 0), "{model}");
        let only = ask(&system, model, Asked::LEAVES, &rows).await.unwrap();
        assert_eq!((only.values.len(), table(&only.labels, 70)), (0, leaves.clone()), "{model}");
        let only = ask(&system, model, Asked::CONTRIBUTIONS, &rows).await.unwrap();
        assert_eq!((bits(&only.values), only.labels.len()), (bits(contributions.as_slice().unwrap()), 0), "{model}");

        let all = Asked::DEFAULT.and(Asked::MARGINS).and(Asked::LEAVES).and(Asked::CONTRIBUTIONS);
        let together = ask(&system, model, all, &rows).await.unwrap();
        let floats = ndarray::concatenate![ndarray::Axis(1), table(&values, 70), margins, contributions];
        assert_eq!(table(&together.values, 70), floats, "{model}");
        let indexes = ndarray::concatenate![ndarray::Axis(1), table(&labels, 70), leaves];
        assert_eq!(table(&together.labels, 70), indexes, "{model}");
    }
}

fn files() -> [(&'static str, &'static [u8], usize); 3] {
    [("iris", IRIS, 4), ("diabetes", DIABETES, 10), ("pair", PAIR, 4)]
}

#[tokio::test]
async fn what_a_model_has_not_is_refused_with_the_reason() {
    let system = System::new().await;
    system.add("linear", "1", LINEAR).await;
    system.add("diabetes", "1", DIABETES).await;
    let _worker = system.worker("w1").await;
    let columns = Model::read(LINEAR, &Options::default()).unwrap().n_features();
    for _ in 0..2 {
        let refused = ask(&system, "linear", Asked::CONTRIBUTIONS, &rows(2, columns, 0)).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Invalid);
        assert!(refused.detail.contains("can not be explained: tree 0 has linear leaves"), "{}", refused.detail);
    }
    assert!(ask(&system, "linear", Asked::LEAVES, &rows(2, columns, 0)).await.is_ok());
    let refused = ask(&system, "diabetes", Asked::LABELS, &rows(2, 10, 0)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_ask_for_different_things_at_once_each_get_their_own() {
    let system = Arc::new(System::new().await);
    system.add("iris", "1", IRIS).await;
    let worker = system.worker("w1").await;
    let explainer = Explainer::new(&Model::read(IRIS, &Options::default()).unwrap()).unwrap();
    let callers: Vec<_> = (0..24)
        .map(|caller| {
            let (system, explainer) = (Arc::clone(&system), explainer.clone());
            tokio::spawn(async move {
                let rows = rows(caller % 5 + 1, 4, caller);
                let (values, labels) = expected(IRIS, rows.view());
                let mut contributions = Array2::zeros((rows.nrows(), explainer.width()));
                explainer.explain(rows.view(), contributions.view_mut()).unwrap();
                for _ in 0..10 {
                    match caller % 3 {
                        0 => {
                            let answer = ask(&system, "iris", Asked::LABELS, &rows).await.unwrap();
                            assert_eq!((answer.values.len(), &answer.labels), (0, &labels));
                        }
                        1 => {
                            let answer = ask(&system, "iris", Asked::CONTRIBUTIONS, &rows).await.unwrap();
                            assert_eq!(bits(&answer.values), bits(contributions.as_slice().unwrap()));
                        }
                        _ => {
                            let answer = system.predict("iris", "1", &rows).await.unwrap();
                            assert_eq!((bits(&answer.values), &answer.labels), (bits(&values), &labels));
                        }
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        soon(caller).await.unwrap();
    }
    let all: usize = (0..24).map(|caller| (caller % 5 + 1) * 10).sum();
    assert_eq!(worker.metric("inference_rows_total"), all as f64);
}

#[tokio::test]
async fn rows_that_can_not_be_predicted_can_not_be_explained() {
    let system = System::new().await;
    system.add("iris", "1", OLD).await;
    let _worker = system.worker("w1").await;
    let rows = Array2::from_shape_vec((2, 4), vec![5.1, 3.5, 1.4, 0.2, 5.1, f64::NAN, 1.4, 0.2]).unwrap();
    for asked in [Asked::CONTRIBUTIONS, Asked::LEAVES, Asked::MARGINS, Asked::LABELS] {
        let refused = ask(&system, "iris", asked, &rows).await.unwrap_err();
        assert_eq!(refused.detail, "row 1, column 1 is missing (NaN), which this model does not take");
    }
}

/// The model is read again when it is first explained: an artifact that is gone by then is no reason to predict no more.
#[tokio::test]
async fn without_its_file_a_model_still_predicts() {
    let system = System::new().await;
    let registered = system.add("iris", "1", IRIS).await;
    let _worker = system.worker("w1").await;
    system.objects.delete(&registered.manifest.object).await.unwrap();
    let refused = ask(&system, "iris", Asked::CONTRIBUTIONS, &setosa()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unavailable);
    assert!(ask(&system, "iris", Asked::MARGINS, &setosa()).await.is_ok());
    system.predict("iris", "1", &setosa()).await.unwrap();
    system.put(&registered.manifest.object, IRIS).await;
    assert!(ask(&system, "iris", Asked::CONTRIBUTIONS, &setosa()).await.is_ok());
}
