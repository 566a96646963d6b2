//! The Open Inference Protocol over HTTP, and KServe's V1 `:predict`: requests as its clients send them, and bad ones.

mod refused;
mod repository;

use std::io::Read;

use arborgate_testkit::system::{Answer, Credential, System};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{on_both_buses, pack, predict_soon, problem_as, put_model, secure, unique};

on_both_buses!(
    the_server_and_its_models_say_what_they_are,
    a_matrix_is_answered_in_json_and_binary,
    a_raw_body_is_the_only_input,
    outputs_go_by_name,
    categories_come_as_texts,
    packed_bodies_are_unpacked,
    instances_are_predicted,
    what_is_asked_is_counted,
);

const INFER: &str = "/v2/models/iris/infer";
const ROWS: [[f32; 4]; 3] = [[5.1, 3.5, 1.4, 0.2], [6.9, 3.1, 5.4, 2.1], [5.7, 2.6, 3.5, 1.0]];

fn f32s() -> Vec<u8> {
    ROWS.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
}

fn binary(json: &Value, buffers: &[&[u8]]) -> (Vec<u8>, usize) {
    let json = json.to_string().into_bytes();
    let len = json.len();
    ([json, buffers.concat()].concat(), len)
}

/// Sends a body without a content type, as tritonclient does.
async fn send(system: &System, path: &str, who: &Credential, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut request = who.apply(system.request(0, Method::POST, path)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    system.send(request).await.unwrap()
}

async fn infer(system: &System, who: &Credential, json: &Value, buffers: &[&[u8]]) -> Answer {
    let (body, len) = binary(json, buffers);
    send(system, INFER, who, &[("Inference-Header-Content-Length", &len.to_string())], body).await
}

/// The JSON of an answer in binary, and its buffers.
fn split(answer: &Answer) -> (Value, Vec<u8>) {
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/octet-stream"), "{}", answer.text());
    let len: usize = answer.header("inference-header-content-length").parse().unwrap();
    let (json, buffers) = answer.body.split_at(len);
    (serde_json::from_slice(json).unwrap(), buffers.to_vec())
}

/// A refusal of the protocol is plain JSON that has `error` beside the problem's members.
#[track_caller]
fn refused(answer: &Answer, status: u16) -> String {
    let detail = problem_as(answer, status, "application/json");
    let error = answer.json()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with(detail.trim_end_matches("; see errors")), "{error}");
    error
}

async fn predictor(system: &System) -> Credential {
    system.new_user(&unique("oip"), "predictor").await.unwrap()
}

async fn the_server_and_its_models_say_what_they_are(system: &System) {
    let who = predictor(system).await;
    let get = async |path: &str| system.get(path, &who).await.unwrap();
    for (path, member) in [("/v2/health/live", "live"), ("/v2/health/ready", "ready")] {
        let answer = system.get(path, &Credential::None).await.unwrap();
        assert_eq!((answer.status, answer.json()), (200, json!({member: true})));
        secure(&answer);
    }
    let server = system.get("/v2/", &Credential::None).await.unwrap().json();
    assert_eq!(server["name"], "arborgate");
    assert!(server["extensions"].as_array().unwrap().contains(&json!("binary_tensor_data")));
    assert!(get("/v2/models").await.json()["models"].as_array().unwrap().contains(&json!("iris")));
    for path in ["/v2/models/iris", "/v2/models/iris/versions/1"] {
        let metadata = get(path).await.json();
        assert_eq!((&metadata["name"], &metadata["platform"]), (&json!("iris"), &json!("arborgate_forest")));
        assert!(metadata["versions"].as_array().unwrap().contains(&json!("1")));
        assert_eq!(metadata["inputs"], json!([{"name": "input__0", "datatype": "FP32", "shape": [-1, 4]}]));
        assert_eq!(metadata["outputs"][1], json!({"name": "probabilities", "datatype": "FP64", "shape": [-1, 3]}));
    }
    for path in ["/v2/models/iris/ready", "/v2/models/iris/versions/1/ready"] {
        assert_eq!(get(path).await.json(), json!({"name": "iris", "ready": true}));
    }
    for path in ["", "/ready", "/stats", "/versions/1", "/versions/1/ready", "/versions/1/stats"] {
        refused(&get(&format!("/v2/models/not-there{path}")).await, 404);
        let answer = system.get(&format!("/v2/models/iris{path}"), &Credential::None).await.unwrap();
        refused(&answer, 401);
    }
    refused(&get("/v2/models/iris/versions/9").await, 404);
    refused(&get("/v2/nothing").await, 404);
    refused(&get("/v2/models/iris/infer").await, 405);
    let indexed = async |body: &str| send(system, "/v2/repository/index", &who, &[], body.into()).await;
    for body in ["", "{}", r#"{"ready": true}"#] {
        let answer = indexed(body).await;
        let iris = json!({"name": "iris", "version": "1", "state": "READY", "reason": ""});
        assert!(answer.json().as_array().unwrap().contains(&iris), "{}", answer.text());
    }
    refused(&indexed(r#"{"ready": 1}"#).await, 422);
    refused(&indexed("x").await, 400);
}

async fn a_matrix_is_answered_in_json_and_binary(system: &System) {
    let who = predictor(system).await;
    let plain = json!({"rows": ROWS.map(|row| row.map(f64::from))});
    let expected = system.post_json("/v1/models/iris/predict", &plain, &who).await.unwrap().json();
    let classes: Vec<i64> = (0..3).map(|i| expected["predictions"][i]["prediction"].as_i64().unwrap()).collect();
    let setosa = expected["predictions"][0]["probabilities"]["setosa"].as_f64().unwrap();
    assert_eq!(classes, [0, 2, 1]);

    let flat: Vec<f32> = ROWS.concat();
    for (id, data) in [("flat", json!(flat)), ("nested", json!(ROWS))] {
        let input = json!({"name": "input__0", "shape": [3, 4], "datatype": "FP32", "data": data});
        let answer = system.post_json(INFER, &json!({"id": id, "inputs": [input]}), &who).await.unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{}", answer.text());
        assert!(answer.header("server-timing").contains("inference"));
        secure(&answer);
        let json = answer.json();
        assert_eq!((&json["model_name"], &json["id"]), (&json!("iris"), &json!(id)));
        assert_eq!(
            json["outputs"][0],
            json!({"name": "prediction", "datatype": "INT64", "shape": [3], "data": classes})
        );
        assert_eq!(json["outputs"][1]["shape"], json!([3, 3]));
        assert_eq!(json["outputs"][1]["data"][0].as_f64(), Some(setosa));
    }
    let f64s: Vec<u8> = flat.iter().flat_map(|value| f64::from(*value).to_le_bytes()).collect();
    for (datatype, buffer) in [("FP32", f32s()), ("FP64", f64s)] {
        let input = json!({"name": "input__0", "shape": [3, 4], "datatype": datatype,
            "parameters": {"binary_data_size": buffer.len()}});
        let request = json!({"inputs": [input], "parameters": {"binary_data_output": true}});
        let (json, buffers) = split(&infer(system, &who, &request, &[&buffer]).await);
        assert_eq!(json["outputs"][0]["parameters"], json!({"binary_data_size": 24}));
        assert_eq!(buffers[..24], classes.iter().flat_map(|class| class.to_le_bytes()).collect::<Vec<_>>());
        assert_eq!((buffers.len(), &buffers[24..32]), (24 + 72, &setosa.to_le_bytes()[..]));
        // Without being asked for binary, the answer is JSON alone.
        let input = request["inputs"][0].clone();
        let answer = infer(system, &who, &json!({"inputs": [input]}), &[&buffer]).await;
        assert!(answer.status == 200 && answer.header("inference-header-content-length").is_empty());
        assert_eq!(answer.json()["outputs"][0]["data"], json!(classes));
    }
}

async fn a_raw_body_is_the_only_input(system: &System) {
    let who = predictor(system).await;
    let raw = async |body: Vec<u8>| {
        let headers = [("Inference-Header-Content-Length", "0"), ("Content-Type", "application/octet-stream")];
        send(system, INFER, &who, &headers, body).await
    };
    let (json, buffers) = split(&raw(f32s()[..16].to_vec()).await);
    assert_eq!((&json["outputs"][0]["shape"], buffers.len()), (&json!([1]), 8 + 24));
    for wrong in [0, 1, 15, 17] {
        assert!(refused(&raw(vec![0; wrong]).await, 422).contains("takes 16"));
    }
    // 16 bytes that are called JSON are no row.
    let headers = [("Inference-Header-Content-Length", "0"), ("Content-Type", "application/json")];
    assert!(refused(&send(system, INFER, &who, &headers, vec![0; 16]).await, 400).contains("the body is raw"));
}

async fn outputs_go_by_name(system: &System) {
    let who = predictor(system).await;
    let names = ["output__0", "predict_proba", "label", "margins", "leaves", "contributions"];
    let outputs: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    let input = json!({"name": "predict", "shape": [3, 4], "datatype": "FP32", "data": ROWS});
    let request = json!({"inputs": [input], "outputs": outputs});
    let answer = system.post_json(INFER, &request, &who).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = answer.json();
    let given: Vec<&str> = told["outputs"].as_array().unwrap().iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert_eq!(given, names);
    assert_eq!(told["outputs"][2]["data"], json!(["setosa", "virginica", "versicolor"]));
    let rows = json!({"rows": ROWS.map(|row| row.map(f64::from)), "output": ["margins", "leaves"]});
    let plain = system.post_json("/v1/models/iris/predict", &rows, &who).await.unwrap().json();
    let explained = json!({"rows": ROWS.map(|row| row.map(f64::from))});
    let explained = system.post_json("/v1/models/iris/explain", &explained, &who).await.unwrap().json();
    let (margins, leaves, contributions) = (&told["outputs"][3], &told["outputs"][4], &told["outputs"][5]);
    assert_eq!(contributions["shape"], json!([3, 3, 5]));
    for row in 0..3 {
        let predicted = &plain["predictions"][row];
        for class in 0..3 {
            assert_eq!(margins["data"][row * 3 + class], predicted["margins"][class]);
            let of = &explained["explanations"][row]["outputs"][class];
            let at = (row * 3 + class) * 5;
            assert_eq!(contributions["data"][at], of["contributions"][0]["contribution"]);
            assert_eq!(contributions["data"][at + 4], of["base"]);
        }
        assert_eq!(leaves["data"][row * leaves["shape"][1].as_u64().unwrap() as usize], predicted["leaves"][0]);
    }
    let binary = json!({"name": "label", "parameters": {"binary_data": true}});
    let class = json!({"name": "output__0", "parameters": {"classification": 2, "binary_data": false}});
    let request =
        json!({"inputs": request["inputs"], "outputs": [class, binary], "parameters": {"binary_data_output": true}});
    let (json, buffers) = split(&infer(system, &who, &request, &[]).await);
    assert_eq!(json["outputs"][0]["data"][0], "1.000000:0:setosa");
    assert_eq!(buffers[..10], *b"\x06\0\0\0setosa");
    let answer = infer(system, &who, &json!({"inputs": request["inputs"], "outputs": [{"name": "score"}]}), &[]).await;
    assert!(refused(&answer, 422).contains("prediction, label, probabilities, margins, leaves, contributions"));
    assert_eq!(answer.pointers(), ["/outputs/0/name"]);
}

/// Adds the model of CatBoost that the tests have, and gives its path and its rows.
async fn categorical(system: &System, who: &Credential) -> (String, Vec<Value>) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/boosted");
    let model = unique("categorical");
    let file = std::fs::read(folder.join("catboost.json")).unwrap();
    assert_eq!(put_model(system, &format!("/v1/models/{model}/versions/1"), file).await.status, 201);
    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.join("catboost.rows.json")).unwrap()).unwrap();
    let rows: Vec<Value> = rows.into_iter().map(|row| row["row"].clone()).collect();
    let body = json!({"rows": rows});
    for edge in 0..system.edges() {
        predict_soon(system, edge, &format!("/v1/models/{model}/predict"), &body, who).await;
    }
    (model, rows)
}

async fn categories_come_as_texts(system: &System) {
    let who = predictor(system).await;
    let (model, rows) = categorical(system, &who).await;
    let metadata = system.get(&format!("/v2/models/{model}"), &who).await.unwrap().json();
    let plain = system.post_json(&format!("/v1/models/{model}/predict"), &json!({"rows": rows}), &who).await.unwrap();
    let mut texts = 0;
    let column = |input: &Value| -> (Value, Vec<u8>) {
        let values: Vec<Value> = rows.iter().map(|row| row[input["name"].as_str().unwrap()].clone()).collect();
        let datatype = input["datatype"].as_str().unwrap();
        let bytes = values.iter().flat_map(|value| match datatype {
            "BYTES" => {
                let text = value.as_str().unwrap();
                [&u32::try_from(text.len()).unwrap().to_le_bytes()[..], text.as_bytes()].concat()
            }
            "FP32" => (value.as_f64().unwrap_or(f64::NAN) as f32).to_le_bytes().to_vec(),
            _ => value.as_f64().unwrap_or(f64::NAN).to_le_bytes().to_vec(),
        });
        (
            json!({"name": input["name"], "datatype": datatype, "shape": [rows.len(), 1], "data": values}),
            bytes.collect(),
        )
    };
    let (mut inputs, mut buffers) = (Vec::new(), Vec::new());
    for input in metadata["inputs"].as_array().unwrap() {
        texts += usize::from(input["datatype"] == "BYTES");
        let (input, bytes) = column(input);
        inputs.push(input);
        buffers.push(bytes);
    }
    assert!(texts > 0, "{metadata}");
    let path = format!("/v2/models/{model}/infer");
    let request = json!({"inputs": inputs, "parameters": {"content_type": "pd"}});
    let answer = system.post_json(&path, &request, &who).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let predicted: Vec<Value> =
        plain.json()["predictions"].as_array().unwrap().iter().map(|one| one["prediction"].clone()).collect();
    assert_eq!(answer.json()["outputs"][0]["data"], json!(predicted));
    for (input, buffer) in inputs.iter_mut().zip(&buffers) {
        input.as_object_mut().unwrap().remove("data");
        input["parameters"] = json!({"binary_data_size": buffer.len()});
    }
    let slices: Vec<&[u8]> = buffers.iter().map(Vec::as_slice).collect();
    let (body, len) = binary(&json!({"inputs": inputs}), &slices);
    let answer = send(system, &path, &who, &[("Inference-Header-Content-Length", &len.to_string())], body).await;
    assert_eq!((answer.status, &answer.json()["outputs"][0]["data"]), (200, &json!(predicted)), "{}", answer.text());
    // One buffer cut short by a text that goes past its end.
    let last = buffers.iter().rposition(|_| true).unwrap();
    let (body, len) = binary(&json!({"inputs": inputs}), &slices[..last]);
    let answer = send(system, &path, &who, &[("Inference-Header-Content-Length", &len.to_string())], body).await;
    refused(&answer, 422);
    assert_eq!(answer.pointers(), [format!("/inputs/{last}/parameters/binary_data_size")]);
}

async fn packed_bodies_are_unpacked(system: &System) {
    let who = predictor(system).await;
    let many: Vec<u8> = (0..200).flat_map(|_| f32s()).collect();
    let input = json!({"name": "input__0", "shape": [600, 4], "datatype": "FP32",
        "parameters": {"binary_data_size": many.len()}});
    let request = json!({"inputs": [input], "parameters": {"binary_data_output": true}});
    let (body, len) = binary(&request, &[&many]);
    let (_, plain) = split(&infer(system, &who, &request, &[&many]).await);
    for coding in ["gzip", "deflate"] {
        let packed = pack(coding, &body);
        let length = len.to_string();
        let headers = [
            ("Inference-Header-Content-Length", length.as_str()),
            ("Content-Encoding", coding),
            ("Accept-Encoding", coding),
        ];
        let answer = send(system, INFER, &who, &headers, packed.clone()).await;
        assert_eq!((answer.status, answer.header("content-encoding")), (200, coding));
        let len: usize = answer.header("inference-header-content-length").parse().unwrap();
        let mut unpacked = Vec::new();
        match coding {
            "gzip" => flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut unpacked).unwrap(),
            _ => flate2::read::ZlibDecoder::new(&answer.body[..]).read_to_end(&mut unpacked).unwrap(),
        };
        assert_eq!(unpacked[len..], plain);
        refused(&send(system, INFER, &who, &headers, packed[..packed.len() - 9].to_vec()).await, 400);
    }
}

async fn instances_are_predicted(system: &System) {
    let who = predictor(system).await;
    let path = "/v1/models/iris:predict";
    let named = json!({"sepal_length": 6.9, "sepal_width": 3.1, "petal_length": 5.4, "petal_width": 2.1});
    let body = json!({"instances": [[5.1, 3.5, 1.4, 0.2], named]});
    let answer = system.post_json(path, &body, &who).await.unwrap();
    assert_eq!((answer.status, answer.json()), (200, json!({"predictions": [0, 2]})));
    refused(&system.post_json("/v1/models/not-there:predict", &body, &who).await.unwrap(), 404);
    refused(&system.post_json(path, &body, &Credential::None).await.unwrap(), 401);
    for (body, pointers) in [
        (json!({}), vec![""]),
        (json!({"rows": [[1, 2, 3, 4]]}), vec![""]),
        (json!({"instances": []}), vec![""]),
        (json!({"instances": [[1, 2, 3]]}), vec!["/instances/0"]),
        (
            json!({"instances": [[1, 2, 3, "x"], {"sepal_length": 1}]}),
            vec!["/instances/0/3", "/instances/1/sepal_width", "/instances/1/petal_length", "/instances/1/petal_width"],
        ),
        (json!({"instances": [[1, 2, 3, 4]], "output": ["leaves"]}), vec![""]),
    ] {
        let answer = system.post_json(path, &body, &who).await.unwrap();
        refused(&answer, 422);
        assert_eq!(answer.pointers(), pointers, "{body}");
    }
}

async fn what_is_asked_is_counted(system: &System) {
    let who = predictor(system).await;
    let (model, rows) = categorical(system, &who).await;
    let stats = async || {
        let path = format!("/v2/models/{model}/stats");
        // Each edge counts for itself; requests of a test go to the first.
        system.get(&path, &who).await.unwrap().json()["model_stats"][0].clone()
    };
    let before = stats().await;
    let body = json!({"rows": rows});
    let count = rows.len() as u64;
    let answer = system.post_json(&format!("/v1/models/{model}/predict"), &body, &who).await.unwrap();
    assert_eq!(answer.status, 200);
    let wrong = json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1]}]});
    refused(&system.post_json(&format!("/v2/models/{model}/infer"), &wrong, &who).await.unwrap(), 422);
    let after = stats().await;
    let more = |pointer: &str| {
        after.pointer(pointer).unwrap().as_u64().unwrap() - before.pointer(pointer).unwrap().as_u64().unwrap()
    };
    assert_eq!((more("/inference_count"), more("/execution_count")), (count, 1));
    assert_eq!((more("/inference_stats/success/count"), more("/inference_stats/fail/count")), (1, 1));
    assert!(more("/inference_stats/success/ns") >= more("/inference_stats/compute_infer/ns"));
    assert!(after["last_inference"].as_u64().unwrap() > 1_600_000_000_000);
    let all = system.get("/v2/models/stats", &who).await.unwrap().json();
    assert!(all["model_stats"].as_array().unwrap().iter().any(|one| one["name"] == model.as_str()));
}
