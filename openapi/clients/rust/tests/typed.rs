//! The typed operations of the generated Rust client against a running server, which has the models `iris` and `awkward`:
//! `BASE_URL`, `CA_FILE` and `ADMIN_PASSWORD` say which. Run by `cargo xtask test`.

use arborgate_client::apis::configuration::Configuration;
use arborgate_client::apis::deployed_api::{predict_awkward, predict_iris, predict_iris_rows};
use arborgate_client::apis::predictions_api::predict_model;
use arborgate_client::apis::{Error, token_api};
use arborgate_client::models::{
    AwkwardClassValue, AwkwardRow, AwkwardSepalLengthCmF3Value, IrisClass, IrisLabel, IrisRow, IrisRows, RowsRequest,
};
use tokio::sync::OnceCell;

fn required(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// One for all: signing in is limited.
static TOKEN: OnceCell<String> = OnceCell::const_new();

/// Signed in as the administrator.
async fn connect() -> Configuration {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(required("CA_FILE")).unwrap()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
    let mut configuration = Configuration { base_path: required("BASE_URL"), client, ..Configuration::default() };
    let sign_in = async || {
        let password = required("ADMIN_PASSWORD");
        token_api::token(&configuration, "admin", &password, Some("password")).await.unwrap().access_token
    };
    let token = TOKEN.get_or_init(sign_in).await.clone();
    configuration.oauth_access_token = Some(token);
    configuration
}

const SETOSA: IrisRow =
    IrisRow { sepal_length: Some(5.1), sepal_width: Some(3.5), petal_length: Some(1.4), petal_width: Some(0.2) };
const VIRGINICA: IrisRow =
    IrisRow { sepal_length: Some(6.7), sepal_width: Some(3.0), petal_length: Some(5.2), petal_width: Some(2.3) };

#[tokio::test]
async fn a_row_has_a_field_for_each_feature() {
    let answer = predict_iris(&connect().await, SETOSA).await.unwrap();
    assert_eq!((answer.prediction, answer.label), (IrisClass::Class0, IrisLabel::Setosa));
    assert_eq!(answer.probabilities.setosa, 1.0);
}

#[tokio::test]
async fn rows_are_answered_in_order() {
    let rows = IrisRows::new(vec![VIRGINICA, SETOSA]);
    let answer = predict_iris_rows(&connect().await, rows).await.unwrap();
    let labels: Vec<IrisLabel> = answer.predictions.iter().map(|one| one.label).collect();
    assert_eq!(labels, [IrisLabel::Virginica, IrisLabel::Setosa]);
}

#[tokio::test]
async fn names_that_are_no_identifiers_lead_to_their_features() {
    let row = AwkwardRow {
        feature_1st: Some(30.0),
        sepal_length_cm_f1: None,
        class_: Some(AwkwardClassValue::NewYork),
        sepal_length_cm_f3: Some(AwkwardSepalLengthCmF3Value::Category20),
    };
    let told = predict_awkward(&connect().await, row).await.unwrap().probabilities;
    assert!((told.low_risk_f0 + told.low_risk_f1 + told.ue9 - 1.0).abs() < 1e-5);
}

#[tokio::test]
async fn a_refusal_names_the_place() {
    let nothing = predict_model(&connect().await, "iris", RowsRequest::new(), None).await.unwrap_err();
    let Error::ResponseError(refused) = nothing else { panic!("{nothing}") };
    assert_eq!(refused.status, 422);
    assert!(refused.content.contains("/petal_width"), "{}", refused.content);
}
