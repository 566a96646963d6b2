//! The table, and each target beside what was measured.

use super::Measured;

pub(super) fn print(measured: &[Measured]) {
    println!(
        "| server | body | rows | connections | processor time a request, µs | requests/s | rows/s | p50 µs | p99 µs |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|");
    for Measured { server, what, rows, connections, cell } in measured {
        println!(
            "| {server} | {what} | {rows} | {connections} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} |",
            cell.cpu_us,
            cell.per_second,
            cell.per_second * *rows as f64,
            cell.p50_us,
            cell.p99_us
        );
    }
    println!("\n| target | wanted | measured |\n|---|--:|--:|");
    let cpu = |server: &str, what: &str, rows: usize| {
        let found = measured.iter().find(|m| m.server == server && m.what == what && m.rows == rows);
        found.map_or(f64::NAN, |m| m.cell.cpu_us)
    };
    let (one, iris) = (cpu("all in one", "JSON", 1), cpu("all in one", "JSON, /predict of iris", 1));
    let best = cpu("FastAPI, onnxruntime, TLS, JWT, 2 workers", "JSON, iris", 1);
    for (what, wanted, ratio) in [
        ("one row by JSON ÷ /predict of iris", "1.3", one / iris),
        ("FastAPI with XGBoost ÷ all in one, one row", "50", cpu("FastAPI, XGBoost", "JSON", 1) / one),
        ("MLServer ÷ all in one, one row", "25", cpu("MLServer", "JSON", 1) / one),
        ("the best Python ÷ all in one, iris", "15", best / iris),
    ] {
        println!("| {what} | {wanted} | {ratio:.2} |");
    }
}
