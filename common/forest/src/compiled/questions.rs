//! What trees ask, each question once: thresholds of columns and sets of categories, and the lookups that answer them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use super::lookup::{Keys, Lookup, MISSING, OTHER, round_down};
use super::masks::SEGMENT;
use crate::model::{Model, Precision, Split, Test, Tree};

/// Categories of a column, at most: a question about it takes a bit for each.
const MOST_CATEGORIES: usize = 510;
/// Questions that stand in one word of [`SetTable::bits`].
const WORD: usize = 64;

/// The sets that are asked of one column of categories.
#[derive(Debug, Clone)]
pub(crate) struct SetTable {
    /// Which lookup.
    pub(crate) lookup: usize,
    /// Its questions, and as many after them as fill a word.
    pub(crate) tests: Range<usize>,
    /// For each category, for another one and for NaN: a bit for each question that it passes. A word after the last.
    bits: Vec<u64>,
    categories: usize,
}

impl SetTable {
    fn new(lookup: usize, categories: usize, first: usize, sets: &[Members]) -> Option<Self> {
        let words = sets.len().div_ceil(WORD);
        let mut bits = vec![0_u64; words * (categories + 2) + 1];
        for (at, (members, missing)) in sets.iter().enumerate() {
            let missing = missing.then_some(categories + 1);
            for row in members.iter().map(|rank| usize::from(*rank)).chain(missing) {
                *bits.get_mut(row * words + at / WORD)? |= 1 << (at % WORD);
            }
        }
        Some(Self { lookup, tests: first..first + words * WORD, bits, categories })
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.bits)
    }

    /// What a rank passes: a word for 64 questions, and one more.
    #[inline(always)]
    pub(crate) fn row(&self, rank: u16) -> &[u64] {
        let row = match rank {
            MISSING => self.categories + 1,
            OTHER => self.categories,
            rank => usize::from(rank),
        };
        let words = self.tests.len() / WORD;
        self.bits.get(row * words..=(row + 1) * words).unwrap_or_default()
    }
}

/// A set while the form is built: the ranks of its categories, and whether NaN is one.
type Members = (Vec<u16>, bool);

/// A question while the form is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Ask {
    /// Lookup, segment, where NaN goes, bound: in the order in which the columns stand.
    Bound(usize, u16, bool, u8),
    /// Lookup, place among its sets.
    Set(usize, usize),
}

/// The questions of some trees, collected.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    numeric: BTreeMap<(u32, bool), BTreeSet<Bits>>,
    categories: BTreeMap<u32, BTreeSet<i64>>,
}

/// A threshold that sorts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Bits(i64);

impl Bits {
    fn new(x: f64) -> Self {
        // -0.0 and 0.0 compare the same
        let bits = (x + 0.0).to_bits().cast_signed();
        Self(if bits < 0 { bits ^ i64::MAX } else { bits })
    }

    fn get(self) -> f64 {
        f64::from_bits((if self.0 < 0 { self.0 ^ i64::MAX } else { self.0 }).cast_unsigned())
    }
}

impl Asked {
    pub(crate) fn add(&mut self, tree: &Tree, precision: Precision) {
        for split in tree.splits() {
            match split.test {
                Test::AtMost(threshold) => {
                    let threshold =
                        if precision == Precision::Single { f64::from(round_down(threshold)) } else { threshold };
                    let keys = self.numeric.entry((split.column, split.zero_is_missing)).or_default();
                    keys.insert(Bits::new(threshold));
                }
                Test::OneOf(set) => {
                    let set = tree.sets().get(set as usize).into_iter().flatten();
                    self.categories.entry(split.column).or_default().extend(set);
                }
            }
        }
    }

    /// `None` if a column has more keys than a rank can count.
    pub(crate) fn lookups(&self, model: &Model) -> Option<Lookups> {
        let mut lookups = Lookups::default();
        let input = model.input();
        for ((column, zero_is_missing), thresholds) in &self.numeric {
            let thresholds: Vec<f64> = thresholds.iter().map(|bits| bits.get()).collect();
            lookups.numeric.insert((*column, *zero_is_missing), lookups.all.len());
            let feature = model.features().get(*column as usize);
            let refused = model.columns().is_empty() && feature.is_some_and(|feature| !feature.missing_allowed);
            lookups.never_missing.push(refused && !zero_is_missing);
            lookups.all.push(Lookup::numeric(*column, *zero_is_missing, input.precision, &thresholds)?);
        }
        for (column, categories) in &self.categories {
            lookups.categories.insert(*column, lookups.all.len());
            if categories.len() >= OTHER as usize {
                return None;
            }
            let keys = Keys::Categories(input.category, categories.iter().copied().collect());
            lookups.all.push(Lookup { column: *column, zero_is_missing: false, keys });
        }
        Some(lookups)
    }
}

/// Lookups, and which is whose.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    pub(crate) all: Vec<Lookup>,
    numeric: HashMap<(u32, bool), usize>,
    categories: HashMap<u32, usize>,
    /// Of the first ones: whether rows with NaN there are refused.
    never_missing: Vec<bool>,
}

impl Lookups {
    /// Which lookup answers a split.
    pub(crate) fn of(&self, split: &Split) -> Option<usize> {
        match split.test {
            Test::AtMost(_) => self.numeric.get(&(split.column, split.zero_is_missing)).copied(),
            Test::OneOf(_) => self.categories.get(&split.column).copied(),
        }
    }
}

/// Questions of some trees and the sets among them.
pub(crate) struct Questions<'l> {
    lookups: &'l Lookups,
    /// Of each lookup.
    sets: BTreeMap<usize, Vec<Members>>,
    known: HashMap<(usize, Members), usize>,
    /// Whether a set that is asked again is another question.
    repeats: bool,
}

impl<'l> Questions<'l> {
    pub(crate) fn new(lookups: &'l Lookups, repeats: bool) -> Self {
        Self { lookups, sets: BTreeMap::new(), known: HashMap::new(), repeats }
    }

    /// Whether at most every third set is one that was there before.
    pub(crate) fn are_mostly_different(&self) -> bool {
        let all: usize = self.sets.values().map(Vec::len).sum();
        2 * all <= 3 * self.known.len()
    }

    /// For each lookup the sets that are asked of it, in the order in which they were first asked; their questions are numbered
    /// from `first` on. None in place of one that is too large.
    pub(crate) fn tables(&self, first: usize) -> impl Iterator<Item = (usize, Option<SetTable>)> {
        let mut first = first;
        self.sets.iter().map(move |(lookup, sets)| {
            let table = self.lookups.all.get(*lookup).and_then(|of| SetTable::new(*lookup, of.len(), first, sets));
            first = table.as_ref().map_or(first, |table| table.tests.end);
            (*lookup, table)
        })
    }

    /// `None` where a byte is too small.
    pub(crate) fn ask(&mut self, tree: &Tree, split: &Split) -> Option<Ask> {
        let lookup = self.lookups.of(split)?;
        match split.test {
            Test::AtMost(threshold) => {
                let place = self.lookups.all.get(lookup)?.place(threshold)? as usize;
                let segment = u16::try_from(place / SEGMENT).ok()?;
                let bound = u8::try_from(place % SEGMENT).ok()?;
                // what never happens must not make two questions of one
                let never = self.lookups.never_missing.get(lookup).copied().unwrap_or(false);
                Some(Ask::Bound(lookup, segment, split.missing_left && !never, bound))
            }
            Test::OneOf(set) => {
                let Keys::Categories(_, keys) = &self.lookups.all.get(lookup)?.keys else { return None };
                if keys.len() > MOST_CATEGORIES {
                    return None;
                }
                let rank = |category: &i64| keys.binary_search(category).ok().map(|place| place as u16);
                let members: Vec<u16> = tree.sets().get(set as usize)?.iter().map(rank).collect::<Option<_>>()?;
                let members = (members, split.missing_left);
                let sets = self.sets.entry(lookup).or_default();
                let place = *self.known.entry((lookup, members.clone())).or_insert(sets.len());
                if place < sets.len() && !self.repeats {
                    return Some(Ask::Set(lookup, place));
                }
                sets.push(members);
                Some(Ask::Set(lookup, sets.len() - 1))
            }
        }
    }
}
