//! What rows cost in each form, so that as many as come are taken as they cost least. In processor cycles, roughly, as measured.

use super::engine::{Form, Part};
use super::few::Few;

/// Rows of a small block.
const WORD: usize = 64;
/// Rows that go through trees side by side at once.
const EIGHT: usize = 8;
/// So many rows one by one cost as much as eight together.
const FEW: usize = 3;
/// What a large block costs, in small ones.
const LARGE: f64 = 1.8;

/// Of all parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Costs {
    row: f64,
    /// None: the trees do not all stand side by side.
    side_by_side: Option<SideBySideCosts>,
    /// Of 64 rows.
    block: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct SideBySideCosts {
    /// However many rows there are.
    call: f64,
    /// Of eight rows.
    eight: f64,
}

impl Costs {
    /// Trees are at most `depth` deep.
    pub(super) fn new(parts: &[Part], depth: usize) -> Self {
        let mut costs = Self { row: 1.0, side_by_side: Some(SideBySideCosts { call: 1.0, eight: 1.0 }), block: 1.0 };
        for part in parts {
            match &part.form {
                Form::Masks(form) => {
                    let (lookups, tests) = (form.lookups.len() as f64, form.tests() as f64);
                    costs.row += lookups * 30.0 + tests / 24.0;
                    costs.block += lookups * 150.0 + tests * 3.0;
                    for tree in form.trees() {
                        costs.row += tree.depth as f64 * 2.5 + 15.0;
                        costs.block += if tree.is_oblivious { 80.0 } else { tree.leaves() as f64 * 8.0 + 70.0 };
                    }
                    let trees = form.trees().len() as f64;
                    costs.side_by_side = costs.side_by_side.filter(|_| matches!(form.few, Few::SideBySide(_)));
                    if let (Some(costs), Few::SideBySide(side)) = (&mut costs.side_by_side, &form.few) {
                        let steps = side.steps.len() as f64;
                        costs.call += lookups * 250.0 + trees * 10.0;
                        costs.eight += steps * (20.0 + 38.0 * form.sets.len() as f64) + trees * 10.0;
                    }
                }
                // a block of these rows is walked as well, eight of a tree at once
                Form::Walk(form) => {
                    let levels = form.trees.len() as f64 * depth as f64;
                    costs.row += levels * 4.0;
                    costs.block += levels * 32.0;
                    costs.side_by_side = None;
                }
            }
        }
        costs
    }

    /// So many rows are better taken one by one.
    pub(super) fn few_rows(&self) -> usize {
        if self.side_by_side.is_some() { FEW } else { (self.block / self.row) as usize }
    }

    /// So many rows are better taken through trees side by side than as a block.
    pub(super) fn side_by_side(&self) -> usize {
        let Some(SideBySideCosts { call, eight }) = self.side_by_side else { return 0 };
        let instead_of = |block: f64| EIGHT * ((block - call) / eight).max(0.0) as usize;
        let small = instead_of(self.block);
        if small < WORD { small } else { instead_of(self.block * LARGE).max(WORD) }
    }
}
