//! What is answered, to whom.

use arborgate_tables::{Frame, Values};
use arborgate_testkit::system::{Credential, System};
use reqwest::Method;
use serde_json::Value;

use super::{CSV, boosted, deployed, flowers, iris, made, make, over, result, scored, see, succeeded};
use crate::support::{on_both_buses, problem, unique};

on_both_buses!(
    a_file_is_answered_as_score_answers_it,
    files_of_every_kind_are_read_and_written,
    names_of_the_registry_are_those_of_the_answers,
    events_tell_of_a_job_until_it_is_over,
    a_download_goes_on_where_it_broke,
    a_job_belongs_to_who_made_it,
    the_command_sends_waits_and_saves,
);

async fn user(system: &System) -> Credential {
    system.new_user(&unique("jobs"), "predictor").await.unwrap()
}

async fn a_file_is_answered_as_score_answers_it(system: &System) {
    let (model, ann) = (deployed(system, &iris()).await, user(system).await);
    let rows = flowers(70_000);
    let mut jobs = Vec::new();
    for (turn, kind) in ["label", "proba", "raw"].into_iter().enumerate() {
        let query = format!("?kind={kind}");
        let answer = make(system, turn, &model, &query, (CSV, rows.clone().into_bytes()), &ann).await;
        jobs.push((kind, made(&answer)));
    }
    for (kind, id) in jobs {
        let expected = scored(&iris(), ("rows.csv", rows.as_bytes()), "out.csv", kind, &[]).unwrap();
        assert!(succeeded(system, 1, &id, &ann).await == expected, "{kind}");
    }
    let few = flowers(700);
    let answer = make(system, 0, &model, "?kind=shap", (CSV, few.clone().into_bytes()), &ann).await;
    let expected = scored(&iris(), ("rows.csv", few.as_bytes()), "out.csv", "shap", &[]).unwrap();
    assert_eq!(
        String::from_utf8(succeeded(system, 0, &made(&answer), &ann).await).unwrap(),
        String::from_utf8(expected).unwrap()
    );
}

/// Rows of the boosted models by name, with categories and what is missing.
fn named_rows() -> String {
    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(boosted("lightgbm.rows.json")).unwrap()).unwrap();
    let mut text = String::from("plan,city,income,age\n");
    for row in rows {
        let cell = |name: &str| match &row["row"][name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        text.push_str(&[cell("plan"), cell("city"), cell("income"), cell("age")].join(","));
        text.push('\n');
    }
    text
}

async fn files_of_every_kind_are_read_and_written(system: &System) {
    let ann = user(system).await;
    let model = deployed(system, &boosted("lightgbm.txt")).await;
    let rows = named_rows();
    let answer = make(system, 0, &model, "", (CSV, rows.clone().into_bytes()), &ann).await;
    let expected = scored(&boosted("lightgbm.txt"), ("rows.csv", rows.as_bytes()), "out.csv", "proba", &[]).unwrap();
    assert!(succeeded(system, 0, &made(&answer), &ann).await == expected);

    let model = deployed(system, &iris()).await;
    let rows = flowers(5000);
    let columns: Vec<Vec<f64>> = {
        let cells: Vec<Vec<f64>> =
            rows.lines().skip(1).map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect()).collect();
        (0..4).map(|column| cells.iter().map(|row| row[column]).collect()).collect()
    };
    let arrow = {
        let names = ["sepal_length", "sepal_width", "petal_length", "petal_width"].map(str::to_owned);
        let columns = names.into_iter().zip(columns.clone()).map(|(name, values)| (name, Values::Floats(values)));
        Frame { columns: columns.collect() }.arrow().unwrap()
    };
    let npy = scored_as_npy(&columns);
    let parquet = scored(&iris(), ("rows.csv", rows.as_bytes()), "out.parquet", "raw", &[]).unwrap();
    let expected = |output: &str| scored(&iris(), ("rows.csv", rows.as_bytes()), output, "proba", &[]).unwrap();
    for (content_type, bytes) in
        [(CSV, rows.clone().into_bytes()), ("application/vnd.apache.arrow.stream", arrow), ("application/x-npy", npy)]
    {
        for output in ["csv", "npy", "parquet"] {
            let answer =
                make(system, 0, &model, &format!("?output={output}"), (content_type, bytes.clone()), &ann).await;
            let got = succeeded(system, 0, &made(&answer), &ann).await;
            assert!(got == expected(&format!("out.{output}")), "{content_type} {output}");
        }
    }
    // The margins of three classes are no rows of a model of four features, and its fault is told.
    let answer = make(system, 0, &model, "", ("application/vnd.apache.parquet", parquet.clone()), &ann).await;
    let job = over(system, 0, &made(&answer), &ann).await;
    let told = scored(&iris(), ("rows.parquet", &parquet), "out.csv", "proba", &[]).unwrap_err();
    let reason = job["reason"].as_str().unwrap().trim_start_matches("the file ");
    assert!(told.contains(reason.split(" (ignore_extra").next().unwrap()), "{job} {told}");
}

/// The columns as an array of numpy: version 1.0, C order.
fn scored_as_npy(columns: &[Vec<f64>]) -> Vec<u8> {
    let rows = columns[0].len();
    let mut head = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, {}), }}", columns.len());
    while (10 + head.len() + 1) % 64 != 0 {
        head.push(' ');
    }
    head.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(head.len()).unwrap().to_le_bytes());
    bytes.extend(head.bytes());
    (0..rows).for_each(|row| columns.iter().for_each(|column| bytes.extend(column[row].to_le_bytes())));
    bytes
}

async fn names_of_the_registry_are_those_of_the_answers(system: &System) {
    let ann = user(system).await;
    let rows = "petal_width,petal_length,sepal_width,sepal_length,note\n0.2,1.4,3.5,5.1,x\n2.3,5.2,3.0,6.7,y\n";
    let answer = make(system, 0, "iris", "?kind=label", (CSV, rows.into()), &ann).await;
    let job = over(system, 0, &made(&answer), &ann).await;
    let reason = "the file has column \"note\", which is no feature of the model (ignore_extra=true leaves such out)";
    assert_eq!(job["reason"], reason);
    let query = "?kind=label&ignore_extra=true";
    let answer = make(system, 0, "iris/versions/1", query, (CSV, rows.into()), &ann).await;
    let text = String::from_utf8(succeeded(system, 0, &made(&answer), &ann).await).unwrap();
    assert_eq!(text, "label\nsetosa\nvirginica\n");
    let answer = make(system, 0, "iris", "?ignore_extra=true", (CSV, rows.into()), &ann).await;
    let text = String::from_utf8(succeeded(system, 0, &made(&answer), &ann).await).unwrap();
    assert!(text.starts_with("setosa,versicolor,virginica\n1.0,0.0,0.0\n"), "{text}");
}

/// The fields of each event, and comments as a field without a name.
async fn events(system: &System, id: &str, last: Option<&str>, who: &Credential) -> Vec<Vec<(String, String)>> {
    let request = who.apply(system.request(0, Method::GET, &format!("/v1/jobs/{id}/events")));
    let request = last.into_iter().fold(request, |request, last| request.header("Last-Event-ID", last));
    let answer = system.send(request).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let text = answer.text();
    let field = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_owned(), value.trim_start().to_owned())
    };
    text.split("\n\n").filter(|event| !event.is_empty()).map(|event| event.lines().map(field).collect()).collect()
}

fn of<'e>(event: &'e [(String, String)], name: &str) -> &'e str {
    event.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
}

async fn events_tell_of_a_job_until_it_is_over(system: &System) {
    let ann = user(system).await;
    let model = deployed(system, &iris()).await;
    let answer = make(system, 0, &model, "", (CSV, flowers(100_000).into_bytes()), &ann).await;
    let id = made(&answer);
    let told = events(system, &id, None, &ann).await;
    assert_eq!(of(&told[0], "retry"), "2000");
    let told: Vec<_> = told.into_iter().filter(|event| !of(event, "event").is_empty()).collect();
    let (end, before) = told.split_last().unwrap();
    assert_eq!(of(end, "event"), "end");
    let job: Value = serde_json::from_str(of(end, "data")).unwrap();
    assert_eq!(job, see(system, 0, &id, &ann).await.json());
    assert_eq!((job["state"].as_str(), job["rows_done"].as_u64()), (Some("succeeded"), Some(100_000)));
    assert!(!before.is_empty());
    let mut rows = 0;
    for event in before {
        assert_eq!(of(event, "event"), "progress");
        let job: Value = serde_json::from_str(of(event, "data")).unwrap();
        assert!(["queued", "running"].contains(&job["state"].as_str().unwrap()) && job["id"] == id.as_str());
        assert!(job["rows_done"].as_u64().unwrap() >= rows);
        rows = job["rows_done"].as_u64().unwrap();
    }
    let ids: Vec<u64> = told.iter().map(|event| of(event, "id").parse().unwrap()).collect();
    assert!(ids.is_sorted());
    // Who comes back, also with what it saw last, learns that it is over.
    for last in [None, Some("1"), Some(of(end, "id")), Some("nonsense")] {
        let told = events(system, &id, last, &ann).await;
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(of(&told[1], "event"), "end");
    }
}

async fn a_download_goes_on_where_it_broke(system: &System) {
    let ann = user(system).await;
    let model = deployed(system, &iris()).await;
    let answer = make(system, 0, &model, "", (CSV, flowers(20_000).into_bytes()), &ann).await;
    let id = made(&answer);
    let whole = succeeded(system, 0, &id, &ann).await;
    let size = whole.len();
    let part = async |range: &str, tag: Option<&str>| {
        let request = ann.apply(system.request(1, Method::GET, &format!("/v1/jobs/{id}/result")));
        let request = request.header("Range", range);
        let request = tag.into_iter().fold(request, |request, tag| request.header("If-Range", tag));
        system.send(request).await.unwrap()
    };
    for (range, from, to) in [
        ("bytes=0-".to_owned(), 0, size),
        (format!("bytes={}-", size / 2), size / 2, size),
        ("bytes=5-9".to_owned(), 5, 10),
        ("bytes=-7".to_owned(), size - 7, size),
    ] {
        let got = part(&range, None).await;
        assert_eq!(got.status, 206, "{range}");
        assert_eq!(got.header("content-range"), format!("bytes {from}-{}/{size}", to - 1));
        assert_eq!(got.header("content-length"), (to - from).to_string());
        assert!(got.body == whole[from..to], "{range}");
    }
    let tag = result(system, 0, &id, &ann).await.header("etag").to_owned();
    assert_eq!(part("bytes=5-", Some(&tag)).await.status, 206);
    for (range, tag) in [("bytes=5-", Some("\"another\"")), ("rows=1-", None), ("bytes=0-1,4-5", None)] {
        let got = part(range, tag).await;
        assert!(got.status == 200 && got.body == whole, "{range}");
    }
    assert!(problem(&part(&format!("bytes={size}-"), None).await, 416).contains(&size.to_string()));
}

async fn a_job_belongs_to_who_made_it(system: &System) {
    let (ann, ben, admin) = (user(system).await, user(system).await, system.admin().await.unwrap());
    let rows = flowers(10);
    let id = made(&make(system, 0, "iris", "?by_order=true", (CSV, rows.clone().into_bytes()), &ann).await);
    succeeded(system, 0, &id, &ann).await;
    let listed = async |who: &Credential| {
        let list = system.get("/v1/jobs", who).await.unwrap().json();
        list.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&ann).await, std::slice::from_ref(&id));
    assert!(listed(&ben).await.is_empty());
    assert!(listed(&admin).await.contains(&id));
    let ask = async |method: Method, end: &str, who: &Credential| {
        system.send(who.apply(system.request(0, method, &format!("/v1/jobs/{id}{end}")))).await.unwrap()
    };
    let unknown = system.get("/v1/jobs/00000000000070008000000000000000", &ben).await.unwrap();
    for (method, end) in [(Method::GET, ""), (Method::GET, "/events"), (Method::GET, "/result"), (Method::DELETE, "")] {
        let refused = ask(method, end, &ben).await;
        assert_eq!(problem(&refused, 404), problem(&unknown, 404), "{end}");
    }
    // An administrator sees and removes, and reads nobody's rows.
    assert_eq!(ask(Method::GET, "", &admin).await.json()["owner"], see(system, 0, &id, &ann).await.json()["owner"]);
    problem(&ask(Method::GET, "/result", &admin).await, 404);
    assert_eq!(ask(Method::DELETE, "", &admin).await.status, 204);
    problem(&see(system, 1, &id, &ann).await, 404);
    assert!(listed(&ann).await.is_empty());
    for wrong in ["x", "..", "%2e%2e", "*", "00000000000070008000000000000000%00"] {
        let refused = system.get(&format!("/v1/jobs/{wrong}"), &ann).await.unwrap();
        assert_eq!(refused.status, 404, "{wrong}");
    }
}

async fn the_command_sends_waits_and_saves(system: &System) {
    let model = deployed(system, &iris()).await;
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("rows.csv"), folder.path().join("out.csv"));
    let rows = flowers(30_000);
    std::fs::write(&input, &rows).unwrap();
    let args = |output: &std::path::Path| {
        let (input, output) = (input.to_str().unwrap().to_owned(), output.to_str().unwrap().to_owned());
        ["jobs", "run", &input, "--model", &model, "--kind", "proba", "--output", &output].map(str::to_owned)
    };
    let ran = system.cli(args(&output)).await.unwrap();
    assert!(ran.success && ran.stdout.starts_with("30,000 rows in "), "{ran:?}");
    let expected = scored(&iris(), ("rows.csv", rows.as_bytes()), "out.csv", "proba", &[]).unwrap();
    assert!(std::fs::read(&output).unwrap() == expected);
    // What is there is left alone, before anything is sent.
    let again = system.cli(args(&output)).await.unwrap();
    assert!(!again.success && again.stderr.contains("is there already"), "{again:?}");

    std::fs::write(&input, "sepal_length,sepal_width,petal_length,petal_width\n1,2,3,4\n1,2,what,4\n").unwrap();
    let other = folder.path().join("other.csv");
    let failed = system.cli(args(&other)).await.unwrap();
    let reason = "row 2 (line 3), column \"petal_length\" must be a number, not \"what\"";
    assert!(!failed.success && failed.stderr.contains(reason), "{failed:?}");
    assert!(!other.exists());
    let json = system.cli(["jobs", "list", "--json"]).await.unwrap();
    let list: Value = serde_json::from_str(&json.stdout).unwrap();
    let mine = list.as_array().unwrap().iter().find(|job| job["model"] == model.as_str() && job["state"] == "failed");
    let id = mine.unwrap()["id"].as_str().unwrap();
    let shown = system.cli(["jobs", "show", id]).await.unwrap();
    assert!(shown.success && shown.stdout.contains("failed") && shown.stdout.contains(reason), "{shown:?}");
    let removed = system.cli(["jobs", "cancel", id]).await.unwrap();
    assert!(removed.success && removed.stdout.contains("removed job"), "{removed:?}");
    assert!(!system.cli(["jobs", "show", id]).await.unwrap().success);
}
