use arborgate_contracts::registry::{Class, Feature, MANIFEST_FORMAT};
use arborgate_contracts::wire::Answer;
use serde_json::json;

use super::super::{Filled, OutputTensor, buffer, written};
use super::*;

pub(super) fn manifest(task: Task, classes: &[&[Value]], features: Vec<Feature>) -> Manifest {
    let class = |value: &Value| Class { value: value.clone(), label: format!("is {value}") };
    Manifest {
        format: MANIFEST_FORMAT,
        model: "m".parse().unwrap(),
        version: "1".parse().unwrap(),
        digest: String::new(),
        size: 0,
        object: String::new(),
        source: String::new(),
        task,
        features,
        classes: classes.iter().map(|output| output.iter().map(class).collect()).collect(),
        outputs: classes.len().max(1) as u32,
        margins: 0,
        trees: 2,
        nodes: 1,
        created_at: String::new(),
        created_by: String::new(),
        description: String::new(),
        labels: Default::default(),
        provenance: None,
        example: None,
    }
}

fn numbers(count: usize) -> Vec<Feature> {
    (0..count).map(|i| Feature::number(format!("x{i}"), FeatureType::Number, false)).collect()
}

fn classifier() -> Outputs {
    Outputs::new(&manifest(Task::Classification, &[&[json!(3), json!(5), json!(7)]], numbers(4)))
}

fn named(name: &str, parameters: Parameters) -> Requested {
    Requested { name: name.to_owned(), parameters }
}

fn planned(outputs: &Outputs, requested: &[Requested]) -> Result<Plan, Vec<String>> {
    let mut faults = Faults::default();
    let plan = outputs.plan(Some(requested), &Parameters::default(), &mut faults);
    faults.or(plan).map_err(|problem| problem.faults.into_iter().map(|fault| fault.pointer).collect())
}

#[test]
fn metadata_says_what_a_model_takes_and_gives() {
    let outputs = classifier();
    let described: Vec<_> = outputs.described().into_iter().map(|d| (d.name, d.datatype.name(), d.shape)).collect();
    assert_eq!(outputs.inputs(), [Described { name: "input__0".into(), datatype: Datatype::Fp32, shape: vec![-1, 4] }]);
    let one = |name: &str, datatype, shape: &[i64]| (name.to_owned(), datatype, shape.to_vec());
    assert_eq!(
        described,
        [
            one("prediction", "INT64", &[-1]),
            one("probabilities", "FP64", &[-1, 3]),
            one("label", "BYTES", &[-1]),
            one("margins", "FP64", &[-1, 3]),
            one("leaves", "UINT32", &[-1, 2]),
            one("contributions", "FP64", &[-1, 3, 5]),
        ]
    );
    let mut features = numbers(1);
    features.push(Feature { categories: vec![json!("a")], ..Feature::number("c", FeatureType::Category, true) });
    features.push(Feature { categories: vec![json!(4)], ..Feature::number("d", FeatureType::Category, true) });
    let regressor = Outputs::new(&manifest(Task::Regression, &[], features));
    let inputs: Vec<_> = regressor.inputs().iter().map(|d| (d.name.as_str(), d.datatype.name())).collect();
    assert_eq!(inputs, [("x0", "FP32"), ("c", "BYTES"), ("d", "INT64")]);
    assert_eq!(regressor.described()[0].datatype, Datatype::Fp64);
}

#[test]
fn outputs_go_by_their_names_elsewhere_as_well() {
    let outputs = classifier();
    for (name, asked) in [
        ("prediction", Asked::LABELS),
        ("predict", Asked::LABELS),
        ("output__0", Asked::LABELS),
        ("output-0", Asked::LABELS),
        ("label", Asked::LABELS),
        ("predict_proba", Asked::VALUES),
        ("probabilities", Asked::VALUES),
        ("margins", Asked::MARGINS),
        ("leaves", Asked::LEAVES),
        ("contributions", Asked::CONTRIBUTIONS),
    ] {
        let plan = planned(&outputs, &[named(name, Parameters::default())]).unwrap();
        assert_eq!((plan.asked, plan.wanted[0].name.as_str()), (asked, name));
    }
    let default = outputs.plan(None, &Parameters::default(), &mut Faults::default());
    assert_eq!((default.asked, default.wanted.len()), (Asked::DEFAULT, 2));
    let np = Parameters { content_type: Some("np".into()), ..Parameters::default() };
    assert_eq!(outputs.plan(None, &np, &mut Faults::default()).wanted.len(), 1);
    let wrong = [named("score", Parameters::default()), named("x", Parameters::default())];
    assert_eq!(planned(&outputs, &wrong).unwrap_err(), ["/outputs/0/name", "/outputs/1/name"]);
    let twice = [named("label", Parameters::default()), named("label", Parameters::default())];
    assert_eq!(planned(&outputs, &twice).unwrap_err(), ["/outputs/1/name"]);
}

fn answer() -> Answer {
    let values = vec![0.1, 0.2, 0.7, 0.5, 0.3, 0.2];
    Answer { queued_us: 0, computed_us: 0, rows: 2, values, labels: vec![2, 0] }
}

#[test]
fn an_answer_is_tensors_in_json_and_binary() {
    let outputs = classifier();
    let binary = Parameters { binary_data: Some(true), ..Parameters::default() };
    let requested =
        [named("predict", binary.clone()), named("label", Parameters::default()), named("predict_proba", binary)];
    let plan = planned(&outputs, &requested).unwrap();
    let tensors = outputs.tensors(&plan, &answer());
    let whole = written("m", "1", Some("7"), &tensors);
    let (json, buffers) = whole.body.split_at(whole.json.unwrap());
    let json: Value = serde_json::from_slice(json).unwrap();
    assert_eq!((&json["model_name"], &json["model_version"], &json["id"]), (&json!("m"), &json!("1"), &json!("7")));
    assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], 16);
    assert_eq!(json["outputs"][1]["data"], json!(["is 7", "is 3"]));
    assert_eq!(json["outputs"][2]["shape"], json!([2, 3]));
    let mut expected: Vec<u8> = [7_i64, 3].iter().flat_map(|value| value.to_le_bytes()).collect();
    expected.extend(answer().values.iter().flat_map(|value| value.to_le_bytes()));
    assert_eq!(buffers, expected);
}

#[test]
fn classes_are_told_by_their_probabilities() {
    let outputs = classifier();
    let two = Parameters { classification: Some(2), ..Parameters::default() };
    for name in ["probabilities", "output__0"] {
        let plan = planned(&outputs, &[named(name, two.clone())]).unwrap();
        let tensors = outputs.tensors(&plan, &answer());
        let texts = ["0.700000:2:is 7", "0.200000:1:is 5", "0.500000:0:is 3", "0.300000:1:is 5"];
        let filled = Filled::Bytes(texts.into_iter().map(Into::into).collect());
        assert_eq!(tensors, [OutputTensor { name, shape: vec![2, 2], filled, binary: false }]);
    }
    for (name, count) in [("leaves", 2), ("probabilities", 0)] {
        let wrong = Parameters { classification: Some(count), ..Parameters::default() };
        assert_eq!(planned(&outputs, &[named(name, wrong)]).unwrap_err(), ["/outputs/0/parameters/classification"]);
    }
    let many = Parameters { classification: Some(u64::MAX), ..Parameters::default() };
    assert_eq!(planned(&outputs, &[named("probabilities", many)]).unwrap().wanted[0].classification, Some(3));
}

#[test]
fn everything_of_a_row_is_found_in_its_place() {
    let outputs = classifier();
    let names = ["contributions", "leaves", "margins", "probabilities", "prediction"];
    let requested: Vec<_> = names.iter().map(|name| named(name, Parameters::default())).collect();
    let plan = planned(&outputs, &requested).unwrap();
    // 3 values, 3 margins, 3 × 5 contributions; 1 label, 2 leaves.
    let row = |from: u32| (from..from + 21).map(f64::from);
    let answer = Answer {
        queued_us: 0,
        computed_us: 0,
        rows: 2,
        values: row(0).chain(row(100)).collect(),
        labels: vec![1, 10, 11, 2, 20, 21],
    };
    let tensors = outputs.tensors(&plan, &answer);
    let floats = |from: u32, count: u32| {
        Filled::Fp64((from..from + count).chain(100 + from..100 + from + count).map(f64::from).collect())
    };
    assert_eq!((&tensors[0].shape[..], &tensors[0].filled), (&[2, 3, 5][..], &floats(6, 15)));
    assert_eq!((&tensors[1].shape[..], &tensors[1].filled), (&[2, 2][..], &Filled::Uint32(vec![10, 11, 20, 21])));
    assert_eq!((&tensors[2].shape[..], &tensors[2].filled), (&[2, 3][..], &floats(3, 3)));
    assert_eq!((&tensors[3].shape[..], &tensors[3].filled), (&[2, 3][..], &floats(0, 3)));
    assert_eq!((&tensors[4].shape[..], &tensors[4].filled), (&[2][..], &Filled::Int64(vec![5, 7])));
}

#[test]
fn several_outputs_follow_one_another_in_a_row() {
    let several = manifest(Task::Classification, &[&[json!("a"), json!("b")], &[json!("c"), json!("d")]], numbers(1));
    let outputs = Outputs::new(&several);
    let plan = planned(&outputs, &[named("prediction", Parameters::default())]).unwrap();
    let answer = Answer { queued_us: 0, computed_us: 0, rows: 2, values: Vec::new(), labels: vec![0, 1, 1, 0] };
    let tensors = outputs.tensors(&plan, &answer);
    let texts = Filled::Bytes(["a", "d", "b", "c"].into_iter().map(Into::into).collect());
    assert_eq!((&tensors[0].shape[..], &tensors[0].filled), (&[2, 2][..], &texts));
    let mut out = Vec::new();
    buffer(&mut out, &tensors[0].filled);
    assert_eq!(out, b"\x01\0\0\0a\x01\0\0\0d\x01\0\0\0b\x01\0\0\0c");
}
