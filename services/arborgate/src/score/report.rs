//! How far the work is, on a terminal, and what it took.

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::json;

use crate::console;
use crate::error::Error;

const KNOWN: &str = "{bar:30} {human_pos} of {human_len} rows, {rows_per_second}/s, {eta} left";
const UNKNOWN: &str = "{spinner} {human_pos} rows, {rows_per_second}/s";

/// Counts rows and seconds.
pub(super) struct Report {
    bar: ProgressBar,
    known: bool,
    rows: u64,
    threads: NonZeroUsize,
    began: Instant,
    /// Of the one thread that reads.
    pub(super) reading: Duration,
    /// Of all threads that predict together.
    pub(super) predicting: Duration,
    writing: Duration,
}

impl Report {
    pub(super) fn new(threads: NonZeroUsize, began: Instant) -> Self {
        // hidden where standard error is no terminal
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        set_style(&bar, UNKNOWN);
        let zero = Duration::ZERO;
        Self { bar, known: false, rows: 0, threads, began, reading: zero, predicting: zero, writing: zero }
    }

    /// More rows were written.
    pub(super) fn progress(&mut self, rows: u64, expected: Option<u64>) {
        self.rows += rows;
        if let Some(expected) = expected {
            self.bar.set_length(expected.max(self.rows));
            if !self.known {
                set_style(&self.bar, KNOWN);
                self.known = true;
            }
        }
        self.bar.set_position(self.rows);
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Counts what writing takes.
    pub(super) fn writing<T>(&mut self, write: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let written = write();
        self.writing += began.elapsed();
        written
    }

    /// Says what was done.
    #[expect(clippy::cast_precision_loss, reason = "a figure for a person")]
    pub(super) fn tell(&self, output: &Path, as_json: bool) -> Result<(), Error> {
        let total = self.began.elapsed();
        let a_second = self.rows as f64 / total.as_secs_f64().max(1e-9);
        if as_json {
            let seconds = |of: Duration| (of.as_secs_f64() * 1e6).round() / 1e6;
            return console::json(&json!({
                "rows": self.rows,
                "threads": self.threads,
                "seconds": {
                    "reading": seconds(self.reading),
                    "predicting": seconds(self.predicting),
                    "writing": seconds(self.writing),
                    "total": seconds(total),
                },
                "rows_per_second": a_second.round(),
            }));
        }
        let (rows, a_second) = (HumanCount(self.rows), whole(a_second));
        console::print(&format!("{rows} rows in {}, {a_second} a second\n", output.display()))
    }
}

fn set_style(bar: &ProgressBar, template: &str) {
    // indicatif's own `per_sec` has four decimals
    let per_second = |state: &ProgressState, to: &mut dyn Write| {
        let _ = write!(to, "{}", whole(state.per_sec()));
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key("rows_per_second", per_second));
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure for a person, never negative")]
fn whole(a_second: f64) -> HumanCount {
    HumanCount(a_second.round() as u64)
}
