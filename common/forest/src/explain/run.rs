//! Takes rows in blocks through all trees, with the instructions that the processor has.

use std::cell::RefCell;

use ndarray::{ArrayView2, s};

use super::answers::{Block, WORD};
use super::form::Form;
use super::kernel::{self, Levels};
#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
use super::vector::{Plain, Vector};
use super::{Explainer, scale};
use crate::predict::{Element, Processor};

/// Rows from which a block has room for [`WORD`]; and from which for eight.
const MANY: usize = 28;
const SOME: usize = 3;
/// Deeper trees than this would take too much memory for many rows at once.
const DEEP: usize = 256;

thread_local! {
    /// Kept, so that a thread's later calls allocate nothing.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    block: Block,
    bits: Vec<u64>,
    levels: Levels,
    /// For each margin, for each player, for each row of the block.
    sums: Vec<f64>,
}

impl Explainer {
    /// `out` has [`Explainer::width`] numbers for each row.
    pub(super) fn run<T: Element>(&self, rows: ArrayView2<'_, T>, out: &mut [f64]) {
        let deep = self.form.trees.iter().any(|tree| tree.depth > DEEP);
        let mut out = out.chunks_exact_mut(self.width());
        SCRATCH.with_borrow_mut(|scratch| {
            let mut from = 0;
            while from < rows.nrows() {
                let left = rows.nrows() - from;
                let room = match left {
                    MANY.. if !deep => WORD,
                    SOME.. => 8,
                    _ => 1,
                };
                let count = left.min(room);
                scratch.block.fill(&self.form, self.input, &self.columns, rows.slice(s![from..from + count, ..]));
                scratch.sums.clear();
                scratch.sums.resize(self.base.len() * self.form.players.len() * room, 0.0);
                match self.processor {
                    #[cfg(target_arch = "x86_64")]
                    Processor::Avx512 => on_avx512(&self.form, scratch, room),
                    #[cfg(target_arch = "x86_64")]
                    Processor::Avx2 => on_avx2(&self.form, scratch, room),
                    _ => on_any(&self.form, scratch, room),
                }
                for (row, out) in out.by_ref().take(count).enumerate() {
                    self.finish(row, room, &scratch.sums, out);
                }
                from += count;
            }
        });
    }

    fn finish(&self, row: usize, room: usize, sums: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        let mut sums = sums.iter().skip(row).step_by(room);
        for (out, base) in out.chunks_exact_mut(self.n_features() + 1).zip(&self.base) {
            for (feature, sum) in self.form.players.iter().zip(&mut sums) {
                if let Some(out) = out.get_mut(*feature as usize) {
                    *out = scale(&self.finish, *sum);
                }
            }
            if let Some(last) = out.last_mut() {
                *last = *base;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "a processor was detected before this is called")]
fn on_avx512(form: &Form, scratch: &mut Scratch, room: usize) {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,popcnt,lzcnt")]
    fn run(form: &Form, scratch: &mut Scratch, room: usize) {
        block::<Avx512>(form, scratch, room);
    }
    // SAFETY: `Processor::Avx512` is only where its features were found
    unsafe { run(form, scratch, room) }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "a processor was detected before this is called")]
fn on_avx2(form: &Form, scratch: &mut Scratch, room: usize) {
    #[target_feature(enable = "avx2")]
    fn run(form: &Form, scratch: &mut Scratch, room: usize) {
        block::<Avx2>(form, scratch, room);
    }
    // SAFETY: `Processor::Avx2` is only where its features were found
    unsafe { run(form, scratch, room) }
}

/// Not once for each caller.
#[inline(never)]
fn on_any(form: &Form, scratch: &mut Scratch, room: usize) {
    block::<Plain>(form, scratch, room);
}

/// Adds what all trees say of the block's rows.
#[inline(always)]
fn block<V: Vector<Lanes = [f64; 8]>>(form: &Form, scratch: &mut Scratch, room: usize) {
    match room {
        1 => trees::<f64, 1, 1>(form, scratch),
        8 => trees::<V, 8, 1>(form, scratch),
        _ => trees::<V, 8, 8>(form, scratch),
    }
}

#[inline(always)]
fn trees<V: Vector<Lanes = [f64; L]>, const L: usize, const G: usize>(form: &Form, scratch: &mut Scratch) {
    let Scratch { block, bits, levels, sums } = scratch;
    let players = form.players.len();
    let (margins, sums) = (form.mean.len(), sums.as_chunks_mut::<L>().0.as_chunks_mut::<G>().0);
    for tree in &form.trees {
        block.ask(tree, L * G, bits);
        let Some(rule) = form.rules.get(tree.rule) else { continue };
        let (first, each) = tree.target.map_or((0, margins), |target| (target, 1));
        for margin in 0..each {
            let values = (tree.values.get(margin..).unwrap_or_default(), each);
            let to = (first + margin) * players..(first + margin + 1) * players;
            let to = sums.get_mut(to).unwrap_or_default();
            for points in &rule.runs {
                // no closure: it would not be compiled for the instructions that this is compiled for
                match rule.run {
                    1 => kernel::explain::<V, 1, L, G>(tree, values, points, bits, levels, to),
                    2 => kernel::explain::<V, 2, L, G>(tree, values, points, bits, levels, to),
                    3 => kernel::explain::<V, 3, L, G>(tree, values, points, bits, levels, to),
                    4 => kernel::explain::<V, 4, L, G>(tree, values, points, bits, levels, to),
                    5 => kernel::explain::<V, 5, L, G>(tree, values, points, bits, levels, to),
                    6 => kernel::explain::<V, 6, L, G>(tree, values, points, bits, levels, to),
                    _ => kernel::explain::<V, 8, L, G>(tree, values, points, bits, levels, to),
                }
            }
        }
    }
}
