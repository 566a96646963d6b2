use std::collections::BTreeMap;

use arborgate_contracts::registry::{Class, Feature, FeatureType, MANIFEST_FORMAT};
use serde_json::{Value, json};

use super::*;

fn manifest(task: Task, classes: Vec<Vec<Class>>, outputs: u32) -> Manifest {
    Manifest {
        format: MANIFEST_FORMAT,
        model: "iris".parse().unwrap(),
        version: "1".parse().unwrap(),
        digest: String::new(),
        size: 0,
        object: String::new(),
        source: String::new(),
        task,
        features: vec![Feature::number("x", FeatureType::Number, false)],
        classes,
        outputs,
        margins: 1,
        trees: 1,
        nodes: 1,
        created_at: String::new(),
        created_by: String::new(),
        description: String::new(),
        labels: BTreeMap::new(),
        provenance: None,
        example: None,
    }
}

fn class(value: Value, label: &str) -> Class {
    Class { value, label: label.to_owned() }
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn ask(asked: Asked) -> Ask {
    Ask { asked, top_k: None }
}

fn default() -> Ask {
    ask(Asked::DEFAULT)
}

fn answer(rows: u32, values: &[f64], labels: &[u32]) -> Answer {
    Answer { queued_us: 0, computed_us: 0, rows, values: values.into(), labels: labels.into() }
}

#[test]
fn a_classifier_answers_with_class_label_and_probabilities() {
    let classes = vec![vec![class(json!(0), "se\"tosa"), class(json!(1), "other")]];
    let template = Template::new(&manifest(Task::Classification, classes, 1));
    let expected = json!({
        "prediction": 1, "label": "other", "probabilities": {"se\"tosa": 0.1, "other": 0.9}, "model": "iris", "version": "1"
    });
    assert_eq!(read(&template.one(&answer(1, &[0.1, 0.9], &[1]), default())), expected);
    let many = read(&template.many(&answer(2, &[0.1, 0.9, 1.0, 0.0], &[1, 0]), default()));
    assert_eq!(many["predictions"][0]["label"], "other");
    assert_eq!(
        many["predictions"][1],
        json!({"prediction": 0, "label": "se\"tosa", "probabilities": {"se\"tosa": 1.0, "other": 0.0}})
    );
}

#[test]
fn nothing_is_told_but_what_was_asked() {
    let classes = vec![vec![class(json!(0), "no"), class(json!(1), "yes")]];
    let classifier = Template::new(&manifest(Task::Classification, classes, 1));
    let one = |template: &Template, asked, values: &[f64], labels: &[u32]| {
        let mut read = read(&template.one(&answer(1, values, labels), ask(asked)));
        let tail = read.as_object_mut().unwrap();
        assert!(tail.remove("model").is_some() && tail.remove("version").is_some());
        read
    };
    let (label, values) = (Asked::LABELS, Asked::VALUES);
    let (margins, leaves) = (Asked::MARGINS, Asked::LEAVES);
    assert_eq!(one(&classifier, label, &[], &[1]), json!({"prediction": 1, "label": "yes"}));
    assert_eq!(one(&classifier, values, &[0.1, 0.9], &[]), json!({"probabilities": {"no": 0.1, "yes": 0.9}}));
    assert_eq!(one(&classifier, margins, &[2.5], &[]), json!({"margins": [2.5]}));
    assert_eq!(one(&classifier, leaves, &[], &[7, 0, 3]), json!({"leaves": [7, 0, 3]}));
    assert_eq!(
        one(&classifier, label.and(values).and(margins).and(leaves), &[0.1, 0.9, 2.5], &[1, 7, 0]),
        json!({"prediction": 1, "label": "yes", "probabilities": {"no": 0.1, "yes": 0.9}, "margins": [2.5], "leaves": [7, 0]})
    );
    let regressor = Template::new(&manifest(Task::Regression, vec![], 1));
    let both = Asked::DEFAULT.and(margins);
    assert_eq!(one(&regressor, both, &[0.5, 1.5], &[]), json!({"prediction": 0.5, "margins": [1.5]}));
    let many = read(&classifier.many(&answer(2, &[], &[1, 2, 3, 4]), ask(leaves)));
    assert_eq!(many["predictions"], json!([{"leaves": [1, 2]}, {"leaves": [3, 4]}]));
}

#[test]
fn tables_have_a_column_for_each_member_of_the_json() {
    let classes = vec![vec![class(json!(0), "no"), class(json!(1), "y,es")]];
    let classifier = Template::new(&manifest(Task::Classification, classes, 1));
    let csv = |template: &Template, answer: &Answer, ask| {
        String::from_utf8(template.frame(answer, ask).csv().unwrap()).unwrap()
    };
    let two = answer(2, &[0.1, 0.9, 1.0, 0.0], &[1, 0]);
    assert_eq!(
        csv(&classifier, &two, default()),
        "prediction,label,probabilities.no,\"probabilities.y,es\"\n1,\"y,es\",0.1,0.9\n0,no,1.0,0.0\n"
    );
    let all = Asked::DEFAULT.and(Asked::MARGINS).and(Asked::LEAVES);
    let two = answer(2, &[0.1, 0.9, 2.5, 1.0, 0.0, -2.5], &[1, 7, 8, 0, 9, 3]);
    assert_eq!(csv(&classifier, &two, ask(all)).lines().nth(2).unwrap(), "0,no,1.0,0.0,-2.5,9,3",);
    let pair = vec![vec![class(json!("a"), "a"), class(json!("b"), "b")], vec![class(json!(true), "yes")]];
    let pair = Template::new(&manifest(Task::Classification, pair, 2));
    assert_eq!(
        csv(&pair, &answer(1, &[0.25, 0.75, 1.0], &[1, 0]), default()),
        "prediction.0,prediction.1,label.0,label.1,probabilities.0.a,probabilities.0.b,probabilities.1.yes\n\
         b,true,b,yes,0.25,0.75,1.0\n"
    );
    let regressor = Template::new(&manifest(Task::Regression, vec![], 1));
    assert_eq!(csv(&regressor, &answer(2, &[1.5, 2.5], &[]), default()), "prediction\n1.5\n2.5\n");
    let outlier = vec![vec![class(json!(-1), "-1"), class(json!(1), "1")]];
    let outlier = Template::new(&manifest(Task::OutlierDetection, outlier, 1));
    assert_eq!(csv(&outlier, &answer(1, &[-0.125], &[0]), default()), "prediction,label,score\n-1,-1,-0.125\n");
}

#[test]
fn a_table_of_explanations_has_a_row_for_each_contribution() {
    let classes = vec![vec![class(json!(0), "no"), class(json!(1), "yes")]];
    let template = Template::new(&manifest(Task::Classification, classes, 1));
    let explained = answer(2, &[0.5, 0.25, -0.5, 0.25], &[]);
    let asked = Ask { asked: Asked::CONTRIBUTIONS, top_k: Some(3) };
    assert_eq!(
        String::from_utf8(template.frame(&explained, asked).csv().unwrap()).unwrap(),
        "row,label,feature,contribution,base\n0,yes,x,0.5,0.25\n1,yes,x,-0.5,0.25\n"
    );
    assert_eq!(
        read(&template.many(&explained, asked))["explanations"][1],
        json!({"outputs": [{"label": "yes", "base": 0.25, "contributions": [{"feature": "x", "contribution": -0.5}]}]})
    );
}

#[test]
fn several_outputs_are_lists() {
    let classes = vec![vec![class(json!("a"), "a"), class(json!("b"), "b")], vec![class(json!(true), "yes")]];
    let template = Template::new(&manifest(Task::Classification, classes, 2));
    let read = read(&template.one(&answer(1, &[0.25, 0.75, 1.0], &[1, 0]), default()));
    assert_eq!(read["prediction"], json!(["b", true]));
    assert_eq!(read["probabilities"], json!([{"a": 0.25, "b": 0.75}, {"yes": 1.0}]));
}

#[test]
fn an_outlier_detector_answers_with_class_and_score() {
    let classes = vec![vec![class(json!(-1), "-1"), class(json!(1), "1")]];
    let template = Template::new(&manifest(Task::OutlierDetection, classes, 1));
    let expected = json!({"prediction": -1, "label": "-1", "score": -0.125, "model": "iris", "version": "1"});
    assert_eq!(read(&template.one(&answer(1, &[-0.125], &[0]), default())), expected);
}

#[test]
fn a_regressor_answers_with_values_to_the_bit() {
    let value = 0.1 + 0.2;
    let template = Template::new(&manifest(Task::Regression, vec![], 1));
    let one = read(&template.one(&answer(1, &[value], &[]), default()));
    assert_eq!(one["prediction"].as_f64().unwrap().to_bits(), f64::to_bits(value));
    let template = Template::new(&manifest(Task::Regression, vec![], 2));
    let many = read(&template.many(&answer(2, &[1.0, 2.0, 3.0, 4.0], &[]), default()));
    assert_eq!(many["predictions"], json!([{"prediction": [1.0, 2.0]}, {"prediction": [3.0, 4.0]}]));
}
