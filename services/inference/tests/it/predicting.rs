//! Rows to answers.

use std::sync::Arc;
use std::time::Duration;

use arborgate_bus::local::Config as LocalConfig;
use arborgate_bus::{Meta, RequestError};
use arborgate_contracts::wire::Reply;
use arborgate_contracts::{ErrorCode, Subject};
use arborgate_inference::Config;
use bytes::Bytes;
use ndarray::Array2;

use crate::support::*;

fn code(reply: &Reply, segment: usize) -> Option<ErrorCode> {
    reply.segments[segment].as_ref().err().map(|error| error.code)
}

#[tokio::test]
async fn by_the_group_and_by_the_workers_own_subject() {
    let system = System::new().await;
    system.add("iris", "1", IRIS).await;
    let worker = system.worker("w1").await;
    let row = setosa();
    let (values, labels) = expected(IRIS, row.view());
    assert_eq!(labels, [0]);
    for subject in [Subject::predict(&name("iris"), &version("1")), worker.direct()] {
        let message = Message::new("iris", "1", 4).rows(row.as_slice().unwrap(), 1);
        let reply = system.ask(&subject, message).await.unwrap();
        assert_eq!((reply.width, reply.labels), (3, 1));
        let answer = reply.segments[0].as_ref().unwrap();
        assert_eq!((bits(&answer.values), &answer.labels), (bits(&values), &labels));
    }
    assert_eq!(worker.metric("inference_rows_total"), 2.0);
    assert_eq!(worker.metric("inference_models_loaded"), 1.0);
}

#[tokio::test]
async fn every_kind_of_model_answers_as_the_file_says() {
    let system = System::new().await;
    let files = [("iris", IRIS, 4), ("diabetes", DIABETES, 10), ("pair", PAIR, 4), ("missing", MISSING, 4)];
    for (model, file, _) in files {
        system.add(model, "1.0", file).await;
    }
    let worker = system.worker("w1").await;
    assert_eq!(worker.running.loaded().len(), 4);
    for (model, file, columns) in files {
        let rows = rows(37, columns, 1);
        let answer = system.predict(model, "1.0", &rows).await.unwrap();
        let (values, labels) = expected(file, rows.view());
        assert_eq!(bits(&answer.values), bits(&values), "{model}");
        assert_eq!(answer.labels, labels, "{model}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_at_once_each_get_their_own() {
    let system = Arc::new(System::new().await);
    system.add("iris", "1", IRIS).await;
    system.add("diabetes", "1", DIABETES).await;
    let worker = system.worker("w1").await;
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let system = Arc::clone(&system);
            tokio::spawn(async move {
                let (model, file, columns) =
                    if caller % 4 == 0 { ("diabetes", DIABETES, 10) } else { ("iris", IRIS, 4) };
                let rows = rows(caller % 7 + 1, columns, caller);
                let (values, labels) = expected(file, rows.view());
                for _ in 0..20 {
                    let answer = system.predict(model, "1", &rows).await.unwrap();
                    assert_eq!((bits(&answer.values), &answer.labels), (bits(&values), &labels));
                }
            })
        })
        .collect();
    for caller in callers {
        soon(caller).await.unwrap();
    }
    let rows: usize = (0..64).map(|caller| (caller % 7 + 1) * 20).sum();
    assert_eq!(worker.metric("inference_rows_total"), rows as f64);
    assert!(worker.metric("inference_batches_total") <= 64.0 * 20.0);
}

#[tokio::test]
async fn one_message_carries_many_callers() {
    let system = System::new().await;
    system.add("iris", "1", IRIS).await;
    let worker = system.worker("w1").await;
    let all: Vec<_> = (1..40).map(|n| rows(n, 4, n)).collect();
    let message = all
        .iter()
        .fold(Message::new("iris", "1", 4), |message, rows| message.rows(rows.as_slice().unwrap(), rows.nrows()));
    let reply = system.ask(&worker.direct(), message).await.unwrap();
    assert_eq!(reply.segments.len(), all.len());
    for (segment, rows) in reply.segments.iter().zip(&all) {
        let answer = segment.as_ref().unwrap();
        assert_eq!(bits(&answer.values), bits(&expected(IRIS, rows.view()).0));
    }
}

#[tokio::test]
async fn ten_thousand_rows_come_back_in_order() {
    let system = System::new().await;
    system.add("iris", "1", IRIS).await;
    let worker = system.worker("w1").await;
    let rows = rows(10_000, 4, 3);
    let answer = system.predict("iris", "1", &rows).await.unwrap();
    let (values, labels) = expected(IRIS, rows.view());
    assert_eq!(answer.rows, 10_000);
    assert!(bits(&answer.values) == bits(&values) && answer.labels == labels);
    // They were divided.
    assert!(worker.metric("inference_batches_total") >= 2.0);
}

#[tokio::test]
async fn each_segment_is_refused_for_itself() {
    let system = System::new().await;
    system.add("iris", "1", OLD).await;
    let worker = system.worker_with("w1", Config { threads: 1, queue_rows: 10, ..Config::default() }).await;
    let row = [5.1, 3.5, 1.4, 0.2];
    let (with_nan, infinite) = ([5.1, f64::NAN, 1.4, 0.2], [5.1, 3.5, f64::INFINITY, 0.2]);
    let long = Duration::from_secs(30);
    let message = Message::new("iris", "1", 4)
        .rows(&row, 1)
        .segment(&row, 1, Duration::ZERO, "role:predictor")
        .segment(&row, 1, long, "")
        .rows(&with_nan, 1)
        .rows(&infinite, 1)
        .rows(&[], 0)
        .rows(&row.repeat(11), 11)
        .rows(&row, 1);
    let reply = system.ask(&worker.direct(), message).await.unwrap();
    let codes: Vec<_> = (0..8).map(|segment| code(&reply, segment)).collect();
    let expected = [
        None,
        Some(ErrorCode::DeadlineExceeded),
        Some(ErrorCode::Forbidden),
        Some(ErrorCode::Invalid),
        Some(ErrorCode::Invalid),
        Some(ErrorCode::Invalid),
        Some(ErrorCode::TooLarge),
        None,
    ];
    assert_eq!(codes, expected);
    let detail = |segment: usize| reply.segments[segment].as_ref().unwrap_err().detail.clone();
    assert_eq!(detail(3), "row 0, column 1 is missing (NaN), which this model does not take");
    assert_eq!(detail(4), "row 0, column 2 is infinite or too large for a 32-bit float");
    let counted = worker.metrics();
    for reason in ["deadline", "forbidden", "too_large"] {
        assert_eq!(counted[&format!("inference_refused_total{{reason=\"{reason}\"}}")], 1.0, "{reason}");
    }
    assert_eq!(counted["inference_refused_total{reason=\"invalid\"}"], 3.0);
    assert_eq!(counted["inference_rows_total"], 2.0);
}

#[tokio::test]
async fn nan_is_a_value_where_the_model_says_so() {
    let system = System::new().await;
    system.add("missing", "1", MISSING).await;
    let _worker = system.worker("w1").await;
    let rows = Array2::from_shape_vec((1, 4), vec![5.1, f64::NAN, 1.4, f64::NAN]).unwrap();
    let answer = system.predict("missing", "1", &rows).await.unwrap();
    assert_eq!(bits(&answer.values), bits(&expected(MISSING, rows.view()).0));
}

#[tokio::test]
async fn rows_of_another_width_are_refused() {
    let system = System::new().await;
    system.add("iris", "1", IRIS).await;
    let _worker = system.worker("w1").await;
    let error = system.predict("iris", "1", &rows(2, 3, 0)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    assert_eq!(error.detail, "rows have 3 values; the model takes 4");
}

#[tokio::test]
async fn what_is_not_held_or_not_readable_is_said_so() {
    let system = System::new().await;
    system.add("iris", "1", IRIS).await;
    let worker = system.worker("w1").await;
    let ask = |payload: Bytes| {
        let (bus, subject) = (system.bus.clone(), worker.direct());
        async move {
            match bus.request(&subject, payload, Meta::within(Duration::from_secs(30))).await {
                Err(RequestError::Service(error)) => error.code,
                other => panic!("{other:?}"),
            }
        }
    };
    let row = [0.0; 4];
    assert_eq!(ask(Message::new("iris", "2", 4).rows(&row, 1).finish()).await, ErrorCode::Unavailable);
    assert_eq!(ask(Message::new("roses", "1", 4).rows(&row, 1).finish()).await, ErrorCode::Unavailable);
    let whole = Message::new("iris", "1", 4).rows(&row, 1).finish();
    for cut in 0..whole.len() {
        assert_eq!(ask(whole.slice(..cut)).await, ErrorCode::BadRequest, "{cut}");
    }
    let nobody = system.ask(&Subject::predict(&name("iris"), &version("2")), Message::new("iris", "2", 4)).await;
    assert!(matches!(nobody, Err(RequestError::NoResponders { .. })), "{nobody:?}");
}

#[tokio::test]
async fn an_answer_that_does_not_fit_a_message_is_refused_before_it_is_computed() {
    let system = System::with(LocalConfig { max_payload: 64 << 10, ..LocalConfig::default() }).await;
    // Four values in, five out, and two labels.
    system.add("pair", "1", PAIR).await;
    let worker = system.worker("w1").await;
    let error = system.predict("pair", "1", &rows(1_500, 4, 0)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert_eq!(worker.metric("inference_rows_total"), 0.0);
    // Each would fit alone.
    let half = rows(800, 4, 0);
    let half = half.as_slice().unwrap();
    let message = Message::new("pair", "1", 4).rows(half, 800).rows(half, 800);
    let reply = system.ask(&worker.direct(), message).await.unwrap();
    assert_eq!((code(&reply, 0), code(&reply, 1)), (None, Some(ErrorCode::Overloaded)));
}

#[tokio::test]
async fn work_whose_caller_has_gone_is_not_done() {
    let system = System::new().await;
    system.add("iris", "1", IRIS).await;
    let config = Config { threads: 1, queue_rows: 1_000_000, ..Config::default() };
    let worker = system.worker_with("w1", config).await;
    let many = rows(60_000, 4, 0);
    let mut going: Vec<_> = (0..4)
        .map(|_| {
            let message = Message::new("iris", "1", 4).rows(many.as_slice().unwrap(), 60_000).finish();
            let (bus, subject) = (system.bus.clone(), worker.direct());
            Box::pin(async move { bus.request(&subject, message, Meta::within(Duration::from_secs(30))).await })
        })
        .collect();
    for request in &mut going {
        // Queued: a handler runs in its caller's task.
        assert!(futures_util::poll!(request).is_pending());
    }
    drop(going);
    system.predict("iris", "1", &setosa()).await.unwrap();
    assert!(worker.metric("inference_rows_total") < 4.0 * 60_000.0);
    assert!(worker.metric("inference_refused_total{reason=\"caller_gone\"}") >= 1.0);
}
