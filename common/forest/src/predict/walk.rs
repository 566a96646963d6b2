//! Many rows through deep trees: a block's ranks first, then one tree after another, several rows at once.
#![expect(clippy::indexing_slicing, reason = "a form's constructor checked what every index here comes from")]

use ndarray::ArrayView2;

use super::element::Element;
use super::few::step;
use super::input::Numbers;
use super::isa::Isa;
use super::masks::rank_column;
use super::sums::Sums;
use crate::compiled::{Answer, LEAF, Layout, Part, Values, WalkForm};

/// Rows at once.
const LANES: usize = 8;

/// Memory that is used again.
#[derive(Default)]
pub(super) struct WalkScratch {
    numbers: Numbers,
    /// Of one column.
    ranks: Vec<u16>,
    /// Row after row, one for each lookup.
    rows: Vec<u16>,
    leaves: Vec<u32>,
}

/// Adds the leaves of the part's trees for a block of rows, of which the sums have room for `room`.
#[inline(always)]
pub(super) fn run<I: Isa, T: Element>(
    (part, form): (&Part, &WalkForm),
    answer: &Answer,
    rows: ArrayView2<'_, T>,
    scratch: &mut WalkScratch,
    (sums, room): (&mut Sums, usize),
) {
    let WalkScratch { numbers, ranks, rows: ranked, leaves } = scratch;
    let width = form.lookups.len();
    ranks.resize(rows.nrows(), 0);
    ranked.resize(rows.nrows() * width, 0);
    for (place, lookup) in form.lookups.iter().enumerate() {
        rank_column::<I, T>(lookup, answer, rows, numbers, ranks);
        for (row, rank) in ranks.iter().enumerate() {
            ranked[row * width + place] = *rank;
        }
    }
    leaves.resize(rows.nrows(), 0);
    for (number, tree) in form.trees.iter().enumerate() {
        for (lanes, leaves) in leaves.chunks_mut(LANES).enumerate() {
            descend(form, tree.root, &ranked[lanes * LANES * width..], width, leaves);
        }
        let to = To { layout: &part.layout, number, of_tree: tree.leaves, room };
        match (&part.values, &mut *sums) {
            (Values::Single(values), Sums::Single(sums)) => to.add(&values[tree.values..], leaves, sums),
            (Values::Double(values), Sums::Double(sums)) => to.add(&values[tree.values..], leaves, sums),
            _ => {}
        }
    }
}

/// Each row's leaf of one tree, for at most [`LANES`] rows.
#[inline(always)]
fn descend(form: &WalkForm, root: u32, ranked: &[u16], width: usize, leaves: &mut [u32]) {
    let mut at = [LEAF; LANES];
    at[..leaves.len()].fill(root);
    let mut under_way = root & LEAF == 0;
    while under_way {
        under_way = false;
        for (lane, at) in at.iter_mut().enumerate() {
            let walks = *at & LEAF == 0;
            if walks {
                *at = step(form, &form.splits[*at as usize], |lookup| ranked[lane * width + lookup]);
            }
            under_way |= walks;
        }
    }
    leaves.iter_mut().zip(at).for_each(|(leaf, at)| *leaf = at & !LEAF);
}

/// Where one tree's leaves go.
struct To<'p> {
    layout: &'p Layout,
    /// Of the tree.
    number: usize,
    /// Leaves of the tree.
    of_tree: usize,
    /// Rows that the sums have room for.
    room: usize,
}

impl To<'_> {
    #[inline(always)]
    fn add<F: Copy + std::ops::AddAssign>(&self, values: &[F], leaves: &[u32], sums: &mut [F]) {
        match self.layout {
            Layout::Targets(targets) => {
                let sums = &mut sums[targets[self.number] as usize * self.room..];
                sums.iter_mut().zip(leaves).for_each(|(sum, leaf)| *sum += values[*leaf as usize]);
            }
            Layout::Columns(_) => {
                for (column, sums) in sums.chunks_exact_mut(self.room).enumerate() {
                    let values = &values[column * self.of_tree..];
                    sums.iter_mut().zip(leaves).for_each(|(sum, leaf)| *sum += values[*leaf as usize]);
                }
            }
            Layout::Rows => {
                let each = sums.len() / self.room;
                for (sums, leaf) in sums.chunks_exact_mut(each).zip(leaves) {
                    let values = &values[*leaf as usize * each..];
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += *value);
                }
            }
        }
    }
}
