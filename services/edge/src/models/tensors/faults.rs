//! What is wrong with a request, so that all of it is told at once.

use arborgate_contracts::Fault;

use crate::front::problem::Problem;

/// Faults that are told of one request; more are counted.
const TOLD: usize = 64;

/// Faults so far.
#[derive(Debug, Default)]
pub struct Faults {
    told: Vec<Fault>,
    untold: usize,
}

impl Faults {
    /// One more. The texts are made only if it is told.
    pub fn push(&mut self, pointer: impl FnOnce() -> String, detail: impl Into<String>) {
        if self.told.len() < TOLD {
            self.told.push(Fault { pointer: pointer(), detail: detail.into() });
        } else {
            self.untold += 1;
        }
    }

    /// One more, at a place that is known already.
    pub fn at(&mut self, pointer: &str, detail: impl Into<String>) {
        self.push(|| pointer.to_owned(), detail);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// `value`, if nothing is wrong.
    pub fn or<T>(self, value: T) -> Result<T, Problem> {
        if self.told.is_empty() { Ok(value) } else { Err(self.problem()) }
    }

    /// As the caller reads them.
    pub fn problem(self) -> Problem {
        Problem::invalid_and_more(self.told, self.untold)
    }
}
