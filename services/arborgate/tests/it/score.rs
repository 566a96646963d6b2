//! `arborgate score`: rows of a file, answered into another, without a server.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use arborgate_forest::{Compiled, Explainer, Model, Options, Output as Predicted};
use arborgate_tables::{Answers, Columns, Format, Writer};
use ndarray::Array2;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::PROGRAM;

fn model(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/boosted").join(name);
    path.to_str().unwrap().to_owned()
}

fn iris() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/models/iris.joblib").to_owned()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("arborgate-score-").tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        name.to_owned()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs it in the folder.
    fn score(&self, model: &str, input: &str, output: &str, kind: &str, more: &[&str]) -> Output {
        let args = ["score", "--model", model, "--input", input, "--output", output, "--kind", kind];
        Command::new(PROGRAM).args(args).args(more).current_dir(self.0.path()).output().unwrap()
    }

    #[track_caller]
    fn works(&self, model: &str, input: &str, output: &str, kind: &str, more: &[&str]) -> String {
        let ran = self.score(model, input, output, kind, more);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && said.is_empty(), "{input} {kind}: {said}");
        String::from_utf8(ran.stdout).unwrap()
    }

    /// It says so, and leaves nothing.
    #[track_caller]
    fn fails(&self, model: &str, input: &str, kind: &str, more: &[&str], expected: &str) {
        let before = self.names();
        let ran = self.score(model, input, "refused.parquet", kind, more);
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(!ran.status.success() && said.contains(expected) && !said.contains("panicked"), "{input}: {said}");
        assert!(ran.stdout.is_empty());
        assert_eq!(self.names(), before);
    }

    fn names(&self) -> Vec<String> {
        let entries = self.0.path().read_dir().unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The cells of a CSV below its header, which is checked.
    #[track_caller]
    fn cells(&self, name: &str, header: &str) -> Vec<Vec<String>> {
        let text = self.text(name);
        let (first, rest) = text.split_once('\n').unwrap();
        assert_eq!(first, header);
        rest.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
    }
}

/// Rows by name, and what the library answers.
fn expected(file: &str) -> Vec<Value> {
    serde_json::from_str(&std::fs::read_to_string(model(file)).unwrap()).unwrap()
}

/// As a CSV, in another order than the model's; null is empty.
fn csv(rows: &[Value], names: &[&str]) -> String {
    let mut text = names.join(",") + "\n";
    for row in rows {
        let cells: Vec<String> = names
            .iter()
            .map(|name| match &row["row"][name] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
            .collect();
        writeln!(text, "{}", cells.join(",")).unwrap();
    }
    text
}

fn npy(folder: &Folder, name: &str, numbers: &Array2<f64>) -> String {
    let names = ["sepal_length", "sepal_width", "petal_length", "petal_width"].iter().take(numbers.ncols());
    let columns = Columns::Numbers(names.map(|name| (*name).to_owned()).collect());
    let file = std::fs::File::create(folder.path(name)).unwrap();
    let mut writer = Writer::new(Format::of(Path::new(name)).unwrap(), file, columns).unwrap();
    writer.write(&Answers::Numbers(numbers.clone())).unwrap();
    writer.finish().unwrap();
    name.to_owned()
}

/// Flowers that are none, in the ranges of those that are.
fn flowers(rows: usize) -> Array2<f64> {
    let mut state = 1_u64;
    Array2::from_shape_fn((rows, 4), |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 21)
    })
}

fn read(path: &str) -> Model {
    Model::read(&std::fs::read(path).unwrap(), &Options::default()).unwrap()
}

#[test]
fn rows_by_name_are_what_the_library_answers() {
    let folder = Folder::new();
    for (file, rows, names) in [
        ("lightgbm.txt", "lightgbm.rows.json", &["plan", "city", "income", "age"][..]),
        ("xgboost.json", "xgboost.rows.json", &["city", "age", "plan", "income"]),
    ] {
        let expected = expected(rows);
        let input = folder.put("rows.csv", csv(&expected, names));
        for batch in ["1", "7", "1000"] {
            folder.works(&model(file), &input, "p.csv", "proba", &["--force", "--batch", batch, "--threads", "3"]);
            folder.works(&model(file), &input, "l.csv", "label", &["--force", "--batch", batch]);
            let probabilities = folder.cells("p.csv", "0,1,2");
            assert_eq!(probabilities.len(), expected.len());
            let labels = folder.cells("l.csv", "label");
            for ((cells, label), expected) in probabilities.iter().zip(&labels).zip(&expected) {
                for (class, cell) in ["0", "1", "2"].iter().zip(cells) {
                    let probability = expected["probabilities"][class].as_f64().unwrap();
                    assert_eq!(cell.parse::<f64>().unwrap().to_bits(), probability.to_bits(), "{file} {expected}");
                }
                assert_eq!(label[0], expected["prediction"].to_string(), "{file}");
            }
        }
    }
    let expected = expected("catboost.rows.json");
    let input = folder.put("rows.csv", csv(&expected, &["plan", "city", "income", "age"]));
    folder.works(&model("catboost.json"), &input, "p.csv", "proba", &["--force"]);
    for (cells, expected) in folder.cells("p.csv", "prediction").iter().zip(&expected) {
        assert_eq!(cells[0].parse::<f64>().unwrap(), expected["prediction"].as_f64().unwrap());
    }
}

#[test]
fn every_format_gives_the_same_and_what_the_whole_gives() {
    let folder = Folder::new();
    let (path, rows) = (iris(), flowers(1000));
    let compiled = Compiled::new(&read(&path)).unwrap();
    let (mut values, mut labels) = (Array2::zeros((1000, 3)), Array2::zeros((1000, 1)));
    compiled.predict(rows.view(), &mut Predicted { values: values.view_mut(), labels: labels.view_mut() }).unwrap();
    for input in ["x.npy", "x.csv", "x.parquet"] {
        npy(&folder, input, &rows);
        folder.works(&path, input, "p.csv", "proba", &["--force", "--batch", "64"]);
        let cells = folder.cells("p.csv", "0,1,2");
        let found: Vec<u64> = cells.iter().flatten().map(|cell| cell.parse::<f64>().unwrap().to_bits()).collect();
        assert!(found.iter().eq(values.iter().map(|value| value.to_bits()).collect::<Vec<_>>().iter()), "{input}");
        folder.works(&path, input, "l.csv", "label", &["--force", "--threads", "1"]);
        let found: Vec<u32> = folder.cells("l.csv", "label").iter().map(|cells| cells[0].parse().unwrap()).collect();
        assert_eq!(found, labels.iter().copied().collect::<Vec<_>>(), "{input}");
    }
    // written in another format and read again, all is as it was
    for output in ["p.npy", "p.parquet"] {
        folder.works(&path, "x.npy", output, "proba", &[]);
    }
    let there = std::fs::read(folder.path("p.npy")).unwrap();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    assert!(there.ends_with(&bytes) && String::from_utf8_lossy(&there[..128]).contains("'shape': (1000, 3)"));
    assert_eq!(folder.names(), ["l.csv", "p.csv", "p.npy", "p.parquet", "x.csv", "x.npy", "x.parquet"]);
}

#[test]
fn contributions_have_the_features_names() {
    let folder = Folder::new();
    let expected = expected("lightgbm.rows.json");
    let input = folder.put("rows.csv", csv(&expected, &["age", "income", "city", "plan"]));
    folder.works(&model("lightgbm.txt"), &input, "s.csv", "shap", &["--batch", "9"]);
    folder.works(&model("lightgbm.txt"), &input, "r.csv", "raw", &[]);
    let header: Vec<String> = (0..3).map(|c| format!("{c}/age,{c}/income,{c}/city,{c}/plan,{c}/base")).collect();
    let sums = folder.cells("s.csv", &header.join(","));
    for (parts, raw) in sums.iter().zip(folder.cells("r.csv", "0,1,2")) {
        for (parts, raw) in parts.chunks(5).zip(raw) {
            let sum: f64 = parts.iter().map(|part| part.parse::<f64>().unwrap()).sum();
            assert!((sum - raw.parse::<f64>().unwrap()).abs() < 1e-9, "{parts:?} {raw}");
        }
    }
    let catboost = Explainer::new(&read(&model("catboost.json"))).unwrap();
    assert_eq!(catboost.width(), 5);
    folder.works(&model("catboost.json"), &input, "c.csv", "shap", &[]);
    folder.cells("c.csv", "age,income,city,plan,base");
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let folder = Folder::new();
    let lightgbm = model("lightgbm.txt");
    let input = folder.put("x.csv", "age,income,city,extra\n1,2,rome,4\n");
    let told = "x.csv has no column \"plan\", which the model needs; it has column \"extra\", which is no feature";
    folder.fails(&lightgbm, &input, "proba", &[], told);
    let input = folder.put("x.csv", "age,income,city,plan,extra\n1,2,rome,10,4\n");
    folder.fails(&lightgbm, &input, "proba", &[], "column \"extra\", which is no feature of the model (--ignore-extra");
    folder.works(&lightgbm, &input, "p.csv", "proba", &["--ignore-extra"]);
    let input = folder.put("x.csv", "a,b,c,d\n1,2,rome,10\n");
    folder.fails(&lightgbm, &input, "proba", &[], "(--by-order takes them in their order)");
    let before = folder.text("p.csv");
    folder.works(&lightgbm, &input, "p.csv", "proba", &["--by-order", "--force"]);
    assert_eq!(folder.text("p.csv"), before);
    let input = folder.put("x.csv", "a,b,c\n1,2,3\n");
    folder.fails(&iris(), &input, "proba", &["--by-order"], "x.csv has 3 columns, where the model has 4 features");
    npy(&folder, "x.npy", &flowers(3).slice(ndarray::s![.., ..2]).to_owned());
    folder.fails(&iris(), "x.npy", "proba", &[], "x.npy has 2 columns, where the model has 4 features");
    folder.fails(
        &model("catboost.json"),
        &input,
        "label",
        &[],
        "is a regressor and has no classes; its values are --kind proba",
    );
}

#[test]
fn faults_of_the_input_say_where() {
    let folder = Folder::new();
    let (lightgbm, xgboost, head) =
        (model("lightgbm.txt"), model("xgboost.json"), "age,income,city,plan\n1,2,rome,10\n");
    let fails = |name: &str, bytes: &[u8], model: &str, told: &str| {
        let input = folder.put(name, bytes);
        for more in [&[][..], &["--batch", "1"], &["--threads", "4", "--json"]] {
            folder.fails(model, &input, "proba", more, told);
        }
    };
    let text = |more: &str| [head, more].concat().into_bytes();
    fails(
        "x.csv",
        &text("3,4,rome\n"),
        &lightgbm,
        "x.csv can not be scored: row 2 (line 3) has 3 cells where the header has 4",
    );
    fails(
        "x.csv",
        &text("3,much,rome,10\n"),
        &lightgbm,
        "row 2 (line 3), column \"income\" must be a number, not \"much\"",
    );
    fails(
        "x.csv",
        &text("3,4,oslo,10\n"),
        &xgboost,
        "row 2 (line 3), column \"city\" must be one of the categories \"berlin\"",
    );
    fails(
        "x.csv",
        &text("3,4,rome,gold\n"),
        &lightgbm,
        "row 2 (line 3), column \"plan\" must be one of the categories 10, 20, 30",
    );
    fails(
        "x.csv",
        &text("3,4,,ten\n"),
        &model("catboost.json"),
        "row 2, column \"city\" is missing, which this model does not take",
    );
    fails("x.csv", b"", &lightgbm, "it is empty");
    fails("x.npy", b"", &iris(), "it is empty");
    fails("x.parquet", b"", &lightgbm, "it is empty");
    fails("x.parquet", b"PAR1 and more, but no footer PAR1", &lightgbm, "it is no Parquet file, or a damaged one");
    fails(
        "x.npy",
        b"\x93NUMPY\x01\0\x10\0{'descr': '<f8'",
        &iris(),
        "x.npy can not be scored: it is cut off within its header",
    );
    fails("x.txt", b"1", &iris(), "x.txt must end in .npy, .csv or .parquet");

    let infinite =
        Array2::from_shape_fn((700, 4), |(row, column)| if (row, column) == (650, 2) { f64::INFINITY } else { 1.0 });
    npy(&folder, "x.npy", &infinite);
    folder.fails(&iris(), "x.npy", "proba", &["--batch", "64"], "row 651, column 3 is infinite");
    folder.fails("nowhere.json", "x.npy", "proba", &[], "can not read nowhere.json");
    let whole = std::fs::read(folder.path("x.npy")).unwrap();
    folder.put("x.npy", &whole[..whole.len() - 8]);
    folder.fails(&iris(), "x.npy", "proba", &[], "it is cut off: its header says 700 rows of 4 numbers");
    npy(&folder, "x.parquet", &infinite);
    let whole = std::fs::read(folder.path("x.parquet")).unwrap();
    folder.put("x.parquet", &whole[..whole.len() - 100]);
    folder.fails(&iris(), "x.parquet", "proba", &[], "it is no Parquet file, or a damaged one");
    folder.fails(&iris(), "nowhere.csv", "proba", &[], "can not be scored");
    folder.fails(&iris(), "x.npy", "proba", &["--batch", "0"], "0 is not in 1..");
    folder.fails(&iris(), "x.npy", "proba", &["--threads", "0"], "--threads");
}

#[test]
fn without_rows_there_is_a_file_without_rows() {
    let folder = Folder::new();
    let input = folder.put("x.csv", "age,income,city,plan\n");
    folder.works(&model("lightgbm.txt"), &input, "p.csv", "proba", &[]);
    assert_eq!(folder.text("p.csv"), "0,1,2\n");
    for output in ["p.npy", "p.parquet"] {
        folder.works(&model("lightgbm.txt"), &input, output, "proba", &[]);
        assert!(std::fs::metadata(folder.path(output)).unwrap().len() > 100);
    }
    npy(&folder, "x.npy", &flowers(0));
    assert!(folder.works(&iris(), "x.npy", "l.npy", "label", &[]).starts_with("0 rows in l.npy"));
}

#[test]
fn files_that_are_there_stay() {
    let folder = Folder::new();
    npy(&folder, "x.npy", &flowers(5));
    folder.put("refused.parquet", "mine");
    folder.fails(&iris(), "x.npy", "proba", &[], "refused.parquet is there already; give --force to replace it");
    assert_eq!(folder.text("refused.parquet"), "mine");
    std::fs::hard_link(folder.path("x.npy"), folder.path("same.npy")).unwrap();
    for output in ["x.npy", "./x.npy", "same.npy"] {
        let ran = folder.score(&iris(), "x.npy", output, "proba", &["--force"]);
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(!ran.status.success() && said.contains("is x.npy itself; write into another file"), "{output}: {said}");
    }
    let ran = folder.score(&iris(), "x.npy", "no/such/folder/p.csv", "proba", &[]);
    assert!(String::from_utf8(ran.stderr).unwrap().contains("can not write no/such/folder/p.csv"));
    let ran = folder.score(&iris(), "x.npy", "p.txt", "proba", &[]);
    assert!(String::from_utf8(ran.stderr).unwrap().contains("p.txt must end in .npy, .csv or .parquet"));
    assert_eq!(folder.names(), ["refused.parquet", "same.npy", "x.npy"]);
    let said = folder.works(&iris(), "x.npy", "refused.parquet", "proba", &["--force"]);
    assert!(said.starts_with("5 rows in refused.parquet, "), "{said}");
}

#[test]
fn what_it_took_is_told_as_json() {
    let folder = Folder::new();
    npy(&folder, "x.npy", &flowers(5000));
    let said = folder.works(&iris(), "x.npy", "p.parquet", "proba", &["--json", "--threads", "2"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["rows"], &said["threads"]), (&5000.into(), &2.into()));
    for part in ["reading", "predicting", "writing", "total"] {
        let seconds = said["seconds"][part].as_f64().unwrap();
        assert!(seconds > 0.0 && seconds < 60.0, "{part} {seconds}");
    }
    assert!(said["rows_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn interrupted_it_leaves_nothing() {
    let folder = Folder::new();
    npy(&folder, "x.npy", &flowers(2_000_000));
    let args = ["score", "--model", &iris(), "--input", "x.npy", "--output", "p.csv", "--kind", "shap"];
    let mut child = Command::new(PROGRAM)
        .args(args)
        .current_dir(folder.0.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while folder.names().len() == 1 {
        assert!(began.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(), "nothing was begun");
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert_eq!(said, "arborgate: interrupted; p.csv was not written\n");
    assert_eq!(folder.names(), ["x.npy"]);
}
