//! What rows cost in each form, so that as many as come are taken as they cost least. In processor cycles, roughly, as measured.

use super::engine::{Form, Part};
use super::few::Few;

/// Rows that are taken at once, between one and a small block.
const EIGHT: usize = 8;
/// So many rows one by one cost as much as eight together.
const FEW: usize = 3;

/// Of all parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Costs {
    row: f64,
    /// None: rows can not be taken eight by eight.
    eight: Option<f64>,
    /// Of 64 rows.
    block: f64,
}

impl Costs {
    /// Trees are at most `depth` deep.
    pub(super) fn new(parts: &[Part], depth: usize) -> Self {
        let mut costs = Self { row: 1.0, eight: Some(1.0), block: 1.0 };
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
                    costs.eight = costs.eight.filter(|_| matches!(form.few, Few::Bits(_)));
                    if let (Some(eight), Few::Bits(bits)) = (&mut costs.eight, &form.few) {
                        let words = bits.columns.len() as f64 / 64.0;
                        *eight += lookups * 82.0 + words * 38.0 + trees * (61.0 + 19.0 * form.sets.len() as f64);
                    }
                }
                // a block of these rows is walked as well, eight of a tree at once
                Form::Walk(form) => {
                    let levels = form.trees.len() as f64 * depth as f64;
                    costs.row += levels * 4.0;
                    costs.block += levels * 32.0;
                    costs.eight = None;
                }
            }
        }
        costs
    }

    /// So many rows are better taken one by one.
    pub(super) fn few_rows(&self) -> usize {
        if self.eight.is_some() { FEW } else { (self.block / self.row) as usize }
    }

    /// So many rows are better taken eight by eight than as a block.
    pub(super) fn eights(&self) -> usize {
        self.eight.map_or(0, |eight| EIGHT * (self.block / eight) as usize)
    }
}
