//! Rows and answers as CSV and Apache Arrow, packed and not.

use std::io::Read;

use arborgate_tables::{Choices, Frame, Table, Values};
use arborgate_testkit::system::{Answer, Credential, System};
use reqwest::Method;
use serde_json::json;

use crate::support::{on_both_buses, pack, problem, secure, unique};

on_both_buses!(
    tables_are_answered_as_json_is,
    an_answer_has_the_form_that_is_accepted,
    explanations_are_tables_as_well,
    wrong_tables_are_told_with_their_place,
    packed_bodies_are_unpacked_within_the_limit,
    large_answers_are_packed_for_who_takes_it,
);

const ARROW: &str = "application/vnd.apache.arrow.stream";
const PREDICT: &str = "/v1/models/iris/predict";
const CSV: &str =
    "petal_width,petal_length,sepal_width,sepal_length\n0.2,1.4,3.5,5.1\n2.3,5.2,3.0,6.7\n1.3,4.5,2.8,5.7\n";

struct Sent<'s> {
    path: &'s str,
    headers: &'s [(&'s str, &'s str)],
    body: Vec<u8>,
}

impl Sent<'_> {
    async fn to(self, system: &System, edge: usize, who: &Credential) -> Answer {
        let request = system.request(edge, Method::POST, self.path).body(self.body);
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        system.send(who.apply(request)).await.unwrap()
    }
}

fn arrow() -> Vec<u8> {
    let floats = |values: [f64; 3]| Values::Floats(values.to_vec());
    let columns = [
        ("sepal_length", floats([5.1, 6.7, 5.7])),
        ("petal_length", floats([1.4, 5.2, 4.5])),
        ("sepal_width", Values::OneOf(Choices::Numbers(vec![3.5, 3.0, 2.8]), vec![0, 1, 2])),
        ("petal_width", floats([0.2, 2.3, 1.3])),
    ];
    Frame { columns: columns.map(|(name, values)| (name.to_owned(), values)).to_vec() }.arrow().unwrap()
}

async fn tables_are_answered_as_json_is(system: &System) {
    let who = system.new_user(&unique("tables"), "predictor").await.unwrap();
    let rows = json!({"rows": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [5.7, 2.8, 4.5, 1.3]]});
    let expected = system.post_json(PREDICT, &rows, &who).await.unwrap().json();
    for edge in 0..system.edges() {
        for path in [PREDICT, "/v1/models/iris/versions/1/predict"] {
            for (kind, body) in [
                ("text/csv", CSV.as_bytes().to_vec()),
                ("text/csv; charset=utf-8", CSV.replace('\n', "\r\n").into()),
                (ARROW, arrow()),
            ] {
                let sent = Sent { path, headers: &[("Content-Type", kind)], body };
                let answer = sent.to(system, edge, &who).await;
                assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
                secure(&answer);
                assert_eq!(answer.json(), expected, "{kind}");
            }
        }
    }
    let path = format!("{PREDICT}?output=label,margins");
    let sent = Sent { path: &path, headers: &[("Content-Type", "text/csv")], body: CSV.into() };
    let answer = sent.to(system, 0, &who).await.json();
    let keys: Vec<_> = answer["predictions"][0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["label", "margins", "prediction"]);
}

async fn an_answer_has_the_form_that_is_accepted(system: &System) {
    let who = system.new_user(&unique("accept"), "predictor").await.unwrap();
    for edge in 0..system.edges() {
        let sent =
            Sent { path: PREDICT, headers: &[("Content-Type", "text/csv"), ("Accept", "text/csv")], body: CSV.into() };
        let answer = sent.to(system, edge, &who).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/csv"), "{}", answer.text());
        secure(&answer);
        assert!(answer.header("server-timing").contains("inference"));
        let text = answer.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "prediction,label,probabilities.setosa,probabilities.versicolor,probabilities.virginica");
        assert_eq!((lines[1], lines.len()), ("0,setosa,1.0,0.0,0.0", 4));
        assert!(lines[2].starts_with("2,virginica,") && lines[3].starts_with("1,versicolor,"), "{text}");

        let accept = format!("text/html, {ARROW}");
        let sent = Sent { path: PREDICT, headers: &[("Content-Type", ARROW), ("Accept", &accept)], body: arrow() };
        let answer = sent.to(system, edge, &who).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, ARROW), "{}", answer.text());
        let table = Table::arrow(answer.body.clone().into()).unwrap();
        let names: Vec<_> = table.columns().iter().map(|column| column.name.clone().unwrap()).collect();
        assert_eq!(names.join(","), lines[0]);
        // One row by names in JSON, as a table of one row.
        let body =
            json!({"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}).to_string();
        let headers = [("Content-Type", "application/json"), ("Accept", "text/csv")];
        let answer = Sent { path: "/predict", headers: &headers, body: body.into() }.to(system, edge, &who).await;
        assert_eq!(answer.text().lines().nth(1), Some("0,setosa,1.0,0.0,0.0"), "{}", answer.text());
    }
}

async fn explanations_are_tables_as_well(system: &System) {
    let who = system.new_user(&unique("explain"), "predictor").await.unwrap();
    let headers = [("Content-Type", "text/csv"), ("Accept", "text/csv")];
    let sent = Sent { path: "/v1/models/iris/explain?top_k=2", headers: &headers, body: CSV.into() };
    let answer = sent.to(system, 0, &who).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    assert_eq!(text.lines().next(), Some("row,label,feature,contribution,base"));
    assert_eq!(text.lines().count(), 1 + 3 * 3 * 2);
    for (query, told) in
        [("top_k=0", "top_k: must be at least 1"), ("top_k=x", "top_k: "), ("output=label", "output: ")]
    {
        let path = format!("/v1/models/iris/explain?{query}");
        let refused = Sent { path: &path, headers: &headers, body: CSV.into() }.to(system, 0, &who).await;
        assert!(problem(&refused, 422).starts_with(told), "{}", refused.text());
    }
    let path = format!("{PREDICT}?output=label,shap");
    let answer = Sent { path: &path, headers: &headers, body: CSV.into() }.to(system, 0, &who).await;
    problem(&answer, 422);
    assert_eq!(answer.pointers(), ["output"]);
}

async fn wrong_tables_are_told_with_their_place(system: &System) {
    let who = system.new_user(&unique("wrong-table"), "predictor").await.unwrap();
    let post = async |kind: &str, body: Vec<u8>| {
        Sent { path: PREDICT, headers: &[("Content-Type", kind)], body }.to(system, 0, &who).await
    };
    let csv = async |text: String| post("text/csv", text.into_bytes()).await;
    let answer = csv(CSV.replace("petal_width", "petal_breadth")).await;
    problem(&answer, 422);
    assert_eq!(answer.pointers(), ["/petal_width", "/petal_breadth"]);
    for (from, to, told) in [
        ("2.3,5.2", "2.3,x", "row 2 (line 3), column \"petal_length\" must be a number"),
        ("2.3,5.2", "2.3", "row 2 (line 3) has 3 cells where the header has 4"),
        ("2.3,5.2", "2.3,1e39", "32-bit float"),
    ] {
        let answer = csv(CSV.replace(from, to)).await;
        assert!(problem(&answer, 422).contains(told), "{}", answer.text());
        assert_eq!(answer.pointers(), ["/rows/1"]);
    }
    problem(&csv(String::new()).await, 400);
    let many = format!("{}{}", CSV, "1,1,1,1\n".repeat(10_000));
    assert!(problem(&csv(many).await, 422).contains("at most 10000 rows"));
    let whole = arrow();
    for cut in (0..whole.len() - 8).step_by(97) {
        problem(&post(ARROW, whole[..cut].to_vec()).await, 400);
    }
    problem(&post(ARROW, CSV.into()).await, 400);
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../common/tables/tests/fixtures");
    let lz4 = std::fs::read(fixtures.join("lz4.arrows")).unwrap();
    assert!(problem(&post(ARROW, lz4).await, 400).contains("compress"));
    let pyarrow = std::fs::read(fixtures.join("pyarrow.arrows")).unwrap();
    let answer = post(ARROW, pyarrow).await;
    problem(&answer, 422);
    assert!(answer.pointers().iter().any(|pointer| pointer == "/sepal_length"), "{}", answer.text());
    assert!(problem(&post("text/tab-separated-values", CSV.into()).await, 415).contains("text/csv"));
}

async fn packed_bodies_are_unpacked_within_the_limit(system: &System) {
    let who = system.new_user(&unique("packed"), "predictor").await.unwrap();
    let json = json!({"rows": [[5.1, 3.5, 1.4, 0.2]]}).to_string();
    for edge in 0..system.edges() {
        for coding in ["gzip", "zstd"] {
            for (kind, body) in
                [("application/json", json.clone().into_bytes()), ("text/csv", CSV.into()), (ARROW, arrow())]
            {
                let headers = [("Content-Type", kind), ("Content-Encoding", coding)];
                let packed = pack(coding, &body);
                let answer =
                    Sent { path: PREDICT, headers: &headers, body: packed.clone() }.to(system, edge, &who).await;
                assert_eq!((answer.status, &answer.json()["predictions"][0]["label"]), (200, &json!("setosa")));
                let cut = packed[..packed.len() - 3].to_vec();
                problem(&Sent { path: PREDICT, headers: &headers, body: cut }.to(system, edge, &who).await, 400);
                problem(&Sent { path: PREDICT, headers: &headers, body }.to(system, edge, &who).await, 400);
            }
            let headers = [("Content-Type", "application/json"), ("Content-Encoding", coding)];
            let bomb = pack(coding, &vec![b' '; 256 << 20]);
            assert!(bomb.len() < 1 << 20);
            let answer = Sent { path: PREDICT, headers: &headers, body: bomb }.to(system, edge, &who).await;
            assert!(problem(&answer, 413).contains("16777216"), "{}", answer.text());
        }
    }
    for coding in ["br", "gzip, gzip"] {
        let headers = [("Content-Type", "application/json"), ("Content-Encoding", coding)];
        let answer = Sent { path: PREDICT, headers: &headers, body: json.clone().into() }.to(system, 0, &who).await;
        assert!(problem(&answer, 415).contains("zstd"), "{}", answer.text());
    }
}

async fn large_answers_are_packed_for_who_takes_it(system: &System) {
    let who = system.new_user(&unique("large"), "predictor").await.unwrap();
    let rows: Vec<_> = (0..500).map(|_| [5.1, 3.5, 1.4, 0.2]).collect();
    let body = json!({"rows": rows}).to_string();
    let post = async |accept: &str, body: &str| {
        let headers = [("Content-Type", "application/json"), ("Accept-Encoding", accept)];
        Sent { path: PREDICT, headers: &headers, body: body.into() }.to(system, 0, &who).await
    };
    let plain = post("identity", &body).await;
    assert!(plain.headers.get("content-encoding").is_none());
    for (accept, coding) in [("gzip", "gzip"), ("gzip, deflate, br, zstd", "zstd"), ("zstd;q=0.2, gzip;q=0.3", "gzip")]
    {
        let answer = post(accept, &body).await;
        assert_eq!((answer.status, answer.header("content-encoding")), (200, coding));
        assert_eq!(answer.header("vary"), "Accept, Accept-Encoding");
        assert!(answer.body.len() < plain.body.len() / 10);
        let mut unpacked = Vec::new();
        match coding {
            "gzip" => drop(flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut unpacked).unwrap()),
            _ => unpacked = zstd::stream::decode_all(&answer.body[..]).unwrap(),
        }
        assert_eq!(unpacked, plain.body.to_vec());
    }
    let small = post("gzip", &json!({"rows": [[5.1, 3.5, 1.4, 0.2]]}).to_string()).await;
    assert!(small.status == 200 && small.headers.get("content-encoding").is_none());
}
