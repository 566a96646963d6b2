//! A model of 500 XGBoost trees served by Arborgate, all in one and over NATS, in each form of body; and by what users would
//! otherwise take, with the same rows, in one run. And what a swap of the model under load costs.

mod others;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kernels;
use super::load::{self, Cell, Load};
use super::servers::{self, Setup};
use crate::command;
use crate::error::{Error, Result};
use crate::workspace::{self, Profile};

/// Each cell is measured this often, in turns, and the median is taken.
const ROUNDS: usize = 3;
const COUNTS: [usize; 3] = [1, 32, 4096];
/// No limit is reached, and all are counted.
const CONFIG: &str = r#"
[[edge.policies]]
name = "token"
operations = ["token"]
by = "address"
permits = 1000
window = "1m"

[[edge.policies]]
name = "predict"
operations = ["predict", "predict_model", "infer_model"]
by = "principal"
permits = 100000000
window = "1m"

[edge.flood]
per_second = 1000000
burst = 1000000

[auth]
token_life = "1h"
"#;

/// What a body is, and how it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Binary,
    Arrow,
}

impl Form {
    const ALL: [Self; 3] = [Self::Json, Self::Binary, Self::Arrow];

    fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Binary => "OIP binary",
            Self::Arrow => "Arrow",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Json | Self::Arrow => "/v1/models/xgb/predict",
            Self::Binary => "/v2/models/xgb/infer",
        }
    }
}

/// Something that is measured.
struct Row<'s> {
    setup: &'s Setup,
    /// What is sent.
    what: String,
    rows: usize,
    connections: usize,
    load: Load<'s>,
}

/// A row with what was measured.
struct Measured {
    server: &'static str,
    what: String,
    rows: usize,
    connections: usize,
    cell: Cell,
}

/// Where everything is.
struct Places {
    work: PathBuf,
    tls: PathBuf,
    ca: PathBuf,
    bodies: PathBuf,
    xgb: PathBuf,
    iris: PathBuf,
    load: PathBuf,
}

/// Runs it and prints the tables.
pub(crate) fn run() -> Result {
    let binary = workspace::arborgate(Profile::Release)?;
    let [xgb, iris] = kernels::models(["xgb", "iris"])?;
    let work = tempfile::tempdir().map_err(Error::io("make a folder"))?;
    let place = |name: &str| work.path().join(name);
    let places = Places {
        work: work.path().to_owned(),
        tls: place("tls"),
        ca: place("tls").join("ca.pem"),
        bodies: place("bodies"),
        xgb,
        iris,
        load: load::program()?,
    };
    servers::certificates(&binary, &places.tls)?;
    let others = others::Others::install()?;
    others.bodies(&places)?;
    let config = place("bench.toml");
    fs::write(&config, CONFIG).map_err(Error::io("write a configuration"))?;
    let ours = [
        servers::all_in_one(&binary, &config, &places.work, &places.tls)?,
        servers::over_nats(&binary, &config, &places.work, &places.tls, &servers::ROLES)?,
    ];
    for setup in &ours {
        add(setup, &places, "1", "")?;
    }
    let theirs = others.start(&places)?;
    let mut rows = Vec::new();
    for setup in &ours {
        rows.extend(rows_of(setup, &places)?);
    }
    rows.extend(others.rows(&theirs, &places));
    let measured = measure(rows)?;
    table::print(&measured);
    println!("\nOne connection, all in one: the share of the time that the kernel takes\n");
    alone(&ours[0], &places)?;
    swap(&ours[0], &places)?;
    ours.into_iter().chain(theirs).try_for_each(Setup::end)
}

fn connections(rows: usize) -> usize {
    if rows > 1000 { 4 } else { 64 }
}

fn rows_of<'s>(setup: &'s Setup, places: &'s Places) -> Result<Vec<Row<'s>>> {
    let mut rows = vec![Row {
        setup,
        what: "JSON, /predict of iris".to_owned(),
        rows: 1,
        connections: 64,
        load: ours(setup, places, 64),
    }];
    for count in COUNTS {
        for form in Form::ALL {
            let connections = connections(count);
            let load = asking(ours(setup, places, connections), places, form, count)?;
            rows.push(Row { setup, what: form.name().to_owned(), rows: count, connections, load });
        }
    }
    Ok(rows)
}

fn ours<'s>(setup: &'s Setup, places: &'s Places, connections: usize) -> Load<'s> {
    Load { ca: Some(&places.ca), token: setup.token.as_deref(), ..Load::of(&places.load, &setup.address, connections) }
}

/// The same with rows of the model.
fn asking<'s>(load: Load<'s>, places: &Places, form: Form, count: usize) -> Result<Load<'s>> {
    let body = |name: &str| places.bodies.join(format!("{count}.{name}"));
    let (file, headers) = match form {
        Form::Json => ("json", vec!["Content-Type: application/json".to_owned()]),
        Form::Arrow => (
            "arrow",
            vec![
                "Content-Type: application/vnd.apache.arrow.stream".to_owned(),
                "Accept: application/vnd.apache.arrow.stream".to_owned(),
            ],
        ),
        Form::Binary => {
            let length = fs::read_to_string(body("bin.length")).map_err(Error::io("read a body"))?;
            let length = format!("Inference-Header-Content-Length: {length}");
            ("bin", vec!["Content-Type: application/octet-stream".to_owned(), length])
        }
    };
    Ok(Load { path: Some(form.path()), headers, body: Some(body(file)), ..load })
}

fn measure(rows: Vec<Row<'_>>) -> Result<Vec<Measured>> {
    let mut cells: Vec<Vec<Cell>> = rows.iter().map(|_| Vec::new()).collect();
    for round in 1..=ROUNDS {
        for (row, cells) in rows.iter().zip(&mut cells) {
            eprintln!("round {round} of {ROUNDS}: {}, {}, {} rows", row.setup.name, row.what, row.rows);
            cells.push(row.load.measure(row.setup)?);
        }
    }
    let measured = rows.into_iter().zip(cells).map(|(row, cells)| {
        let Row { setup, what, rows, connections, .. } = row;
        Measured { server: setup.name, what, rows, connections, cell: load::median(cells) }
    });
    Ok(measured.collect())
}

/// What of a request's time the kernel takes when nothing else is asked.
fn alone(setup: &Setup, places: &Places) -> Result {
    println!("| rows | form | p50 µs | computing µs | share |\n|--:|---|--:|--:|--:|");
    for count in COUNTS {
        for form in Form::ALL {
            let load = asking(ours(setup, places, 1), places, form, count)?;
            let cells: Vec<Cell> = (0..ROUNDS).map(|_| load.measure(setup)).collect::<Result<_>>()?;
            let Cell { p50_us, computed_us, .. } = load::median(cells);
            let share = 100.0 * computed_us / p50_us;
            println!("| {count} | {} | {p50_us:.0} | {computed_us:.0} | {share:.0} % |", form.name());
        }
    }
    Ok(())
}

/// Adds the model to a server.
fn add(setup: &Setup, places: &Places, version: &str, query: &str) -> Result {
    let url = format!("https://{}/v1/models/xgb/versions/{version}{query}", setup.address);
    let token = setup.token.as_deref().unwrap_or_default();
    let mut curl = command::program("curl");
    curl.args(["--silent", "--show-error", "--fail", "--request", "PUT", "--output", "/dev/null", "--cacert"]);
    curl.arg(&places.ca).args(["--header", &format!("Authorization: Bearer {token}")]);
    curl.args(["--header", "Content-Type: application/octet-stream", "--upload-file"]);
    command::run_within(Duration::from_secs(120), curl.arg(places.xgb.join("model.json")).arg(url))
}

/// The 99th percentile of each second while the model is swapped, under the load of 64 connections.
fn swap(setup: &Setup, places: &Places) -> Result {
    const SECONDS: f64 = 10.0;
    const AT: Duration = Duration::from_secs(5);
    println!("\nA swap at 64 connections, all in one, in the sixth second: p99 µs of each second\n");
    add(setup, places, "2", "?promote=false")?;
    let load = asking(ours(setup, places, 64), places, Form::Json, 1)?;
    let promote = || {
        let url = format!("https://{}/v1/models/xgb/versions/2/promote", setup.address);
        let token = setup.token.as_deref().unwrap_or_default();
        let mut curl = command::program("curl");
        curl.args(["--silent", "--show-error", "--fail", "--request", "POST", "--output", "/dev/null", "--cacert"]);
        curl.arg(&places.ca).args(["--header", &format!("Authorization: Bearer {token}")]);
        command::run_within(Duration::from_secs(30), curl.arg(url))
    };
    let upload = || add(setup, places, "3", "?promote=true");
    let swaps: [(&str, &(dyn Fn() -> Result + Sync)); 2] =
        [("promoting a version that is held", &promote), ("uploading, checking and promoting", &upload)];
    for (what, swap) in swaps {
        let seen = std::thread::scope(|scope| {
            let loading = scope.spawn(|| load.run(SECONDS));
            std::thread::sleep(AT);
            let swapped = swap();
            let seen = loading.join().map_err(|_| Error::Wrong("the load panicked".to_owned()))?;
            swapped.and(seen)
        })?;
        let seconds: Vec<String> = seen.p99_us_by_second.iter().map(|us| format!("{us:.0}")).collect();
        println!("{what}: {}", seconds.join(", "));
    }
    Ok(())
}

/// A path as text for a program's environment.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
