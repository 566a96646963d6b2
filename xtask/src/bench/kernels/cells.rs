//! Measures all engines of a model in turns, so that what disturbs the machine disturbs all of them.

use std::time::Instant;

use super::engine::{Engine, Part};
use super::process::{Facts, Process};

/// How long each cell is measured.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// Turns; the quickest of them is what counts.
    pub(super) rounds: usize,
    /// For each of them.
    pub(super) seconds: f64,
    /// After so many a cell has no further round.
    pub(super) longest: f64,
    /// A cell is left empty where a call takes longer, by what fewer rows took.
    pub(super) longest_call: f64,
}

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

impl Left {
    pub(super) fn line(&self, part: Part) -> String {
        let Self { engine, threads, reason } = self;
        let on = if *threads == Some(2) { " on two threads" } else { "" };
        format!("{}{on} is left out: {reason}", engine.shown(part))
    }
}

impl Cells {
    pub(super) fn us(&self, engine: Engine, threads: usize, size: usize) -> Option<f64> {
        let of = self.measured.iter().find(|cell| (cell.0, cell.1, cell.2) == (engine, threads, size));
        of.map(|cell| cell.3)
    }

    /// What a call may take, by the last two sizes that were measured: some engines take long before the first row.
    fn guess(&self, engine: Engine, threads: usize, size: usize) -> Option<f64> {
        let mut last = self.measured.iter().rev().filter(|cell| (cell.0, cell.1) == (engine, threads));
        let (one, two) = (last.next()?, last.next()?);
        let each = (one.3 - two.3) / (one.2 as f64 - two.2 as f64);
        Some(one.3 + each * (size as f64 - one.2 as f64))
    }

    /// The fastest of the others.
    pub(super) fn best(&self, threads: usize, size: usize) -> Option<f64> {
        let others = Engine::ALL.into_iter().filter(|engine| *engine != Engine::Arborgate);
        others.filter_map(|engine| self.us(engine, threads, size)).min_by(f64::total_cmp)
    }
}

/// One column of all engines: each warms up, then all are measured in turns. Who fails is left out from there on.
///
/// The quickest turn counts: what else runs on the machine only ever adds, and a turn is many calls over many rows.
pub(super) fn measure(
    running: &mut Vec<(Engine, Process)>,
    threads: usize,
    size: usize,
    pace: Pace,
    cells: &mut Cells,
) {
    let mut column: Vec<Turns> = Vec::new();
    let too_long: Vec<Engine> = running
        .iter()
        .map(|(engine, _)| *engine)
        .filter(|engine| cells.guess(*engine, threads, size).is_some_and(|us| us > pace.longest_call * 1e6))
        .collect();
    for round in 0..=pace.rounds {
        running.retain_mut(|(engine, process)| {
            let at = column.iter().position(|of| of.engine == *engine);
            let spent = at.and_then(|at| column.get(at)).map_or(0.0, |of| of.spent);
            if !engine.measures(size) || spent > pace.longest || too_long.contains(engine) {
                return true;
            }
            let start = Instant::now();
            match process.measure(size, if round == 0 { pace.seconds / 2.0 } else { pace.seconds }) {
                Ok(us) => {
                    let spent = start.elapsed().as_secs_f64();
                    match at.and_then(|at| column.get_mut(at)) {
                        Some(of) => {
                            of.us = if round == 1 { us } else { of.us.min(us) };
                            of.spent += spent;
                        }
                        None => column.push(Turns { engine: *engine, us, spent }),
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
    cells.measured.extend(column.into_iter().map(|of| (of.engine, threads, size, of.us)));
}

/// An engine's in one column.
struct Turns {
    engine: Engine,
    /// The quickest; of the warm-up if that alone took all the time.
    us: f64,
    spent: f64,
}
