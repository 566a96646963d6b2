//! Measures all engines of a model in turns, so that what disturbs the machine disturbs all of them.

use std::fmt;
use std::time::Instant;

use super::engine::Engine;
use super::process::{Facts, Process};

/// After so many seconds a cell has no further round.
const LONGEST_CELL: f64 = 4.0;

/// What was measured of a model.
#[derive(Default)]
pub(super) struct Cells {
    /// Engine, threads, rows a call, µs a call.
    pub(super) measured: Vec<(Engine, usize, usize, f64)>,
    pub(super) facts: Vec<(Engine, usize, Facts)>,
    pub(super) left: Vec<Left>,
}

/// An engine that is left out.
pub(super) struct Left {
    pub(super) engine: Engine,
    /// Of this many, if not of all.
    pub(super) threads: Option<usize>,
    pub(super) reason: String,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, threads, reason } = self;
        match threads {
            Some(2..) => write!(f, "{engine} on two threads is left out: {reason}"),
            _ => write!(f, "{engine} is left out: {reason}"),
        }
    }
}

impl Cells {
    pub(super) fn us(&self, engine: Engine, threads: usize, size: usize) -> Option<f64> {
        let of = self.measured.iter().find(|cell| (cell.0, cell.1, cell.2) == (engine, threads, size));
        of.map(|cell| cell.3)
    }

    /// The fastest of the others.
    pub(super) fn best(&self, threads: usize, size: usize) -> Option<f64> {
        let others = Engine::ALL.into_iter().filter(|engine| *engine != Engine::Arborgate);
        others.filter_map(|engine| self.us(engine, threads, size)).min_by(f64::total_cmp)
    }
}

/// One column of all engines: each warms up, then all are measured in turns. Who fails is left out from there on.
pub(super) fn measure(
    running: &mut Vec<(Engine, Process)>,
    threads: usize,
    size: usize,
    (rounds, seconds): (usize, f64),
    cells: &mut Cells,
) {
    let mut column: Vec<(Engine, Vec<f64>, f64)> = Vec::new();
    for round in 0..=rounds {
        running.retain_mut(|(engine, process)| {
            if !engine.measures(size) {
                return true;
            }
            let spent = column.iter().find(|of| of.0 == *engine).map_or(0.0, |of| of.2);
            if spent > LONGEST_CELL {
                return true;
            }
            let start = Instant::now();
            match process.measure(size, if round == 0 { seconds / 2.0 } else { seconds }) {
                Ok(us) => {
                    let spent = start.elapsed().as_secs_f64();
                    match column.iter_mut().find(|of| of.0 == *engine) {
                        Some((_, times, so_far)) => {
                            times.push(us);
                            *so_far += spent;
                        }
                        None => column.push((*engine, vec![us], spent)),
                    }
                    true
                }
                Err(reason) => {
                    cells.left.push(Left { engine: *engine, threads: Some(threads), reason });
                    false
                }
            }
        });
    }
    for (engine, times, _) in column {
        // the first was the warm-up, unless that alone took all the time
        let times = times.get(1..).filter(|times| !times.is_empty()).unwrap_or(&times);
        cells.measured.extend(median(times).map(|us| (engine, threads, size, us)));
    }
}

fn median(times: &[f64]) -> Option<f64> {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}
