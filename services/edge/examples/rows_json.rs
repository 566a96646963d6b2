//! How fast JSON becomes rows: 4096 of 32 numbers, in one thread, beside `serde_json::Value`. The best of several runs.
//!
//! ```sh
//! cargo run --release -p arborgate-edge --example rows_json
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for people who work on this")]

use std::time::Instant;

use arborgate_contracts::registry::{Feature, FeatureType, Task};
use arborgate_edge::models::ask::{Ask, Purpose};
use arborgate_edge::models::rows::{Reading, Signature, parse};
use rand::RngExt;

const ROWS: usize = 4096;
const COLUMNS: usize = 32;
const RUNS: usize = 31;

/// Numbers as text: name, and what is written of one.
type Form = (&'static str, fn(f64) -> String);

const FORMS: [Form; 5] = [
    ("64-bit floats, about 17 digits", |x| format!("{x:?}")),
    ("32-bit floats, about 8 digits", |x| format!("{:?}", x as f32)),
    ("one place after the point", |x| format!("{x:.1}")),
    ("whole numbers", |x| format!("{:.0}", x * 10.0)),
    ("64-bit floats, spaces between", |x| format!(" {x:?}")),
];

fn body(write: fn(f64) -> String) -> String {
    let mut random = rand::rng();
    let mut row = || {
        let cells: Vec<String> = (0..COLUMNS).map(|_| write(random.random_range(-10.0..10.0))).collect();
        format!("[{}]", cells.join(","))
    };
    let rows: Vec<String> = (0..ROWS).map(|_| row()).collect();
    format!("{{\"rows\":[{}]}}", rows.join(","))
}

/// Megabytes a second.
fn speed<T>(bytes: usize, mut read: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let began = Instant::now();
        let read = read();
        best = best.min(began.elapsed().as_secs_f64());
        drop(read);
    }
    bytes as f64 / best / 1e6
}

fn main() {
    let features: Vec<Feature> =
        (0..COLUMNS).map(|i| Feature::number(format!("x{i}"), FeatureType::Double, true)).collect();
    let signature = Signature::new(&features, Task::Classification);
    let reading = Reading { purpose: Purpose::Predict, ask: Ask::of(Purpose::Predict), most: ROWS as u32, alone: true };
    println!("{:32} {:>9} {:>12} {:>20} {:>18}", "numbers", "bytes", "rows, MB/s", "with a fault, MB/s", "Value, MB/s");
    for (name, write) in FORMS {
        let body = body(write);
        let bytes = body.as_bytes();
        // At the very end, so that all of it is read twice.
        let faulty = format!("{},\"no-such\":1}}", body.strip_suffix('}').unwrap());
        let rows = speed(bytes.len(), || parse(bytes, &signature, reading).unwrap());
        let fault = speed(faulty.len(), || parse(faulty.as_bytes(), &signature, reading).unwrap_err());
        let value = speed(bytes.len(), || serde_json::from_slice::<serde_json::Value>(bytes).unwrap());
        println!("{name:32} {:>9} {rows:>12.0} {fault:>20.0} {value:>18.0}", bytes.len());
    }
}
