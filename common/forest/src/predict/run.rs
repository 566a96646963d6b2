//! Sends rows to the form that their model has, in blocks that suit their number, and hands each row's margins on.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use ndarray::{ArrayView2, s};

use super::element::Element;
use super::few::{self, FewScratch};
use super::finish::{combine, finish};
use super::isa::{Isa, WORD, portable::Portable};
#[cfg(target_arch = "x86_64")]
use super::isa::{avx2, avx512};
use super::masks::{self, Mask as _, MaskScratch, Narrow, Wide};
use super::side_by_side::{self, ManyScratch};
use super::sums::Sums;
use super::walk::{self, WalkScratch};
use crate::compiled::{Answer, Compiled, Engine, Few, Form, Plain, Trees};
use crate::model::{Decision, Precision};

/// Words of rows in a large block.
const LARGE: usize = Wide::WORDS;
/// Rows from which a large block is better than small ones.
const LARGE_ROWS: usize = 3 * WORD;

/// The instructions that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// AVX-512 with BW, DQ, VL and VBMI.
    Avx512,
    /// AVX2.
    Avx2,
    /// Any processor.
    Portable,
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avx512 => "AVX-512",
            Self::Avx2 => "AVX2",
            Self::Portable => "portable",
        })
    }
}

impl Processor {
    /// All that this processor has, the best first.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if avx2::available() {
                all.insert(0, Self::Avx2);
            }
            if avx512::available() {
                all.insert(0, Self::Avx512);
            }
        }
        all
    }

    /// The best that this processor has.
    pub fn detect() -> Self {
        Self::all().first().copied().unwrap_or(Self::Portable)
    }
}

thread_local! {
    /// Kept, so that a thread's later calls allocate nothing.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    numbers: Vec<f64>,
    margins: Vec<f64>,
    labels: Vec<u32>,
    few: FewScratch,
    many: ManyScratch,
    large: MaskScratch<Wide>,
    small: MaskScratch<Narrow>,
    walk: WalkScratch,
    single: Vec<f32>,
    double: Vec<f64>,
}

impl Compiled {
    /// Calls `found` with each row's margins, and the labels that its leaf says; the rows were checked.
    pub(super) fn run<T: Element>(&self, rows: ArrayView2<'_, T>, mut found: impl FnMut(&[f64], &[u32])) {
        SCRATCH.with_borrow_mut(|scratch| match &self.trees {
            Trees::Plain(plain) => {
                for row in rows.outer_iter() {
                    few::numbers(&self.answer, row, &mut scratch.numbers);
                    self.plain(plain, scratch);
                    found(&scratch.margins, &scratch.labels);
                }
            }
            Trees::Fast(engine) if rows.nrows() <= engine.few_rows => {
                for row in rows.outer_iter() {
                    few::numbers(&self.answer, row, &mut scratch.numbers);
                    let mut sums = self.start(engine, 1, scratch);
                    let work = One { engine };
                    match self.processor {
                        #[cfg(target_arch = "x86_64")]
                        Processor::Avx512 => one_on_avx512(&work, scratch, &mut sums),
                        #[cfg(target_arch = "x86_64")]
                        Processor::Avx2 => one_on_avx2(&work, scratch, &mut sums),
                        _ => one_on_any(&work, scratch, &mut sums),
                    }
                    self.finish_block(engine, (1, 1), sums, scratch, &mut found);
                }
            }
            Trees::Fast(engine) => self.blocks(engine, rows, scratch, &mut found),
        });
    }

    fn plain(&self, plain: &Plain, scratch: &mut Scratch) {
        let Answer { sum, .. } = &self.answer;
        let Scratch { numbers, margins, labels, .. } = scratch;
        margins.clone_from(&sum.start);
        let mut first = true;
        plain.leaves(numbers, |target, values, named| {
            let to = match target {
                Some(target) => margins.get_mut(target..=target).unwrap_or_default(),
                None => &mut margins[..],
            };
            for (so_far, value) in to.iter_mut().zip(values) {
                *so_far = combine(sum.combine, sum.precision, first, *so_far, *value);
            }
            labels.clear();
            labels.extend_from_slice(named);
            first = false;
        });
        finish(&sum.finish, sum.precision, margins);
    }

    fn blocks<T: Element>(
        &self,
        engine: &Engine,
        rows: ArrayView2<'_, T>,
        scratch: &mut Scratch,
        found: &mut impl FnMut(&[f64], &[u32]),
    ) {
        let mut from = 0;
        while from < rows.nrows() {
            let left = rows.nrows() - from;
            let side_by_side = left <= engine.side_by_side;
            let room = if left >= LARGE_ROWS && !side_by_side { LARGE * WORD } else { WORD };
            let block = rows.slice(s![from..from + left.min(room), ..]);
            let mut sums = self.start(engine, room, scratch);
            let work = Work { engine, answer: &self.answer, room, side_by_side };
            match self.processor {
                #[cfg(target_arch = "x86_64")]
                Processor::Avx512 => on_avx512(&work, block, scratch, &mut sums),
                #[cfg(target_arch = "x86_64")]
                Processor::Avx2 => on_avx2(&work, block, scratch, &mut sums),
                _ => on_any(&work, block, scratch, &mut sums),
            }
            self.finish_block(engine, (block.nrows(), room), sums, scratch, found);
            from += block.nrows();
        }
    }

    /// Hands on the sums of some rows, which have room for more.
    fn finish_block(
        &self,
        engine: &Engine,
        (rows, room): (usize, usize),
        sums: Sums,
        scratch: &mut Scratch,
        found: &mut impl FnMut(&[f64], &[u32]),
    ) {
        let Scratch { margins, labels, .. } = scratch;
        let Answer { sum, decision, .. } = &self.answer;
        let width = sum.start.len();
        margins.resize(rows * width, 0.0);
        let at = At { by_rows: engine.by_rows, width: engine.width, room };
        match &sums {
            Sums::Single(sums) => at.take(sums, 0..width, margins, f64::from),
            Sums::Double(sums) => at.take(sums, 0..width, margins, |sum| sum),
        }
        let labels_width = if *decision == Decision::Leaf { engine.width - width } else { 0 };
        labels.resize(rows * labels_width, 0);
        if labels_width > 0 {
            // small whole numbers
            match &sums {
                Sums::Single(sums) => at.take(sums, width..engine.width, labels, |sum| sum as u32),
                Sums::Double(sums) => at.take(sums, width..engine.width, labels, |sum| sum as u32),
            }
        }
        match sums {
            Sums::Single(sums) => scratch.single = sums,
            Sums::Double(sums) => scratch.double = sums,
        }
        finish(&sum.finish, sum.precision, margins);
        let mut labels = labels.chunks_exact(labels_width.max(1));
        for margins in margins.chunks_exact(width) {
            found(margins, labels.next().unwrap_or_default());
        }
    }

    /// Sums of a block that nothing was added to.
    #[expect(clippy::cast_possible_truncation, reason = "the sum is of that precision")]
    fn start(&self, engine: &Engine, room: usize, scratch: &mut Scratch) -> Sums {
        let labels = engine.width - self.answer.sum.start.len();
        let start = self.answer.sum.start.iter().copied().chain(std::iter::repeat_n(0.0, labels));
        match engine.precision {
            Precision::Single => {
                let mut sums = std::mem::take(&mut scratch.single);
                fill(&mut sums, start.map(|start| start as f32), room, engine.by_rows);
                Sums::Single(sums)
            }
            Precision::Double => {
                let mut sums = std::mem::take(&mut scratch.double);
                fill(&mut sums, start, room, engine.by_rows);
                Sums::Double(sums)
            }
        }
    }
}

/// The same numbers for each of so many rows.
fn fill<T: Copy>(sums: &mut Vec<T>, start: impl Iterator<Item = T> + Clone, rows: usize, by_rows: bool) {
    sums.clear();
    if rows == 1 {
        sums.extend(start);
    } else if by_rows {
        (0..rows).for_each(|_| sums.extend(start.clone()));
    } else {
        start.for_each(|start| sums.extend(std::iter::repeat_n(start, rows)));
    }
}

/// Where the sums of a block's rows stand.
struct At {
    by_rows: bool,
    /// Sums a row.
    width: usize,
    /// Rows.
    room: usize,
}

impl At {
    /// Some sums of each row that `to` has room for, row after row.
    fn take<S: Copy, D>(&self, sums: &[S], which: Range<usize>, to: &mut [D], cast: impl Fn(S) -> D) {
        let each = which.len();
        if self.room == 1 {
            to.iter_mut().zip(sums.iter().skip(which.start)).for_each(|(to, sum)| *to = cast(*sum));
            return;
        }
        if self.by_rows {
            for (sums, to) in sums.chunks_exact(self.width).zip(to.chunks_exact_mut(each)) {
                let sums = sums.iter().skip(which.start);
                to.iter_mut().zip(sums).for_each(|(to, sum)| *to = cast(*sum));
            }
            return;
        }
        for (place, sums) in sums.chunks_exact(self.room).skip(which.start).take(each).enumerate() {
            let to = to.iter_mut().skip(place).step_by(each);
            to.zip(sums).for_each(|(to, sum)| *to = cast(*sum));
        }
    }
}

/// One row's work.
struct One<'c> {
    engine: &'c Engine,
}

impl One<'_> {
    /// Adds all trees to the sums.
    #[inline(always)]
    fn run<I: Isa>(&self, scratch: &mut Scratch, sums: &mut Sums) {
        let Scratch { numbers, few, .. } = scratch;
        for part in &self.engine.parts {
            match &part.form {
                Form::Masks(form) => few::masks::<I>(part, form, numbers, few, sums),
                Form::Walk(form) => few::walk::<I>(part, form, numbers, few, sums),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "a processor was detected before this is called")]
fn one_on_avx512(work: &One<'_>, scratch: &mut Scratch, sums: &mut Sums) {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,popcnt")]
    fn run(work: &One<'_>, scratch: &mut Scratch, sums: &mut Sums) {
        work.run::<avx512::Avx512>(scratch, sums);
    }
    // SAFETY: `Processor::Avx512` is only where `avx512::available` said so
    unsafe { run(work, scratch, sums) }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "a processor was detected before this is called")]
fn one_on_avx2(work: &One<'_>, scratch: &mut Scratch, sums: &mut Sums) {
    #[target_feature(enable = "avx2")]
    fn run(work: &One<'_>, scratch: &mut Scratch, sums: &mut Sums) {
        work.run::<avx2::Avx2>(scratch, sums);
    }
    // SAFETY: `Processor::Avx2` is only where `avx2::available` said so
    unsafe { run(work, scratch, sums) }
}

/// Not once for each caller.
#[inline(never)]
fn one_on_any(work: &One<'_>, scratch: &mut Scratch, sums: &mut Sums) {
    work.run::<Portable>(scratch, sums);
}

/// One block's work.
struct Work<'c> {
    engine: &'c Engine,
    answer: &'c Answer,
    room: usize,
    side_by_side: bool,
}

impl Work<'_> {
    #[inline(always)]
    fn run<I: Isa, T: Element>(&self, rows: ArrayView2<'_, T>, scratch: &mut Scratch, sums: &mut Sums) {
        for part in &self.engine.parts {
            match &part.form {
                Form::Masks(form) if self.side_by_side => {
                    if let Few::SideBySide(trees) = &form.few {
                        side_by_side::many::<I, T>((part, form, trees), self.answer, rows, &mut scratch.many, sums);
                    }
                }
                Form::Masks(form) if self.room == WORD => {
                    masks::run::<I, T, Narrow>((part, form), self.answer, rows, &mut scratch.small, sums);
                }
                Form::Masks(form) => {
                    masks::run::<I, T, Wide>((part, form), self.answer, rows, &mut scratch.large, sums);
                }
                Form::Walk(form) => {
                    walk::run::<I, T>((part, form), self.answer, rows, &mut scratch.walk, (sums, self.room));
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "a processor was detected before this is called")]
fn on_avx512<T: Element>(work: &Work<'_>, rows: ArrayView2<'_, T>, scratch: &mut Scratch, sums: &mut Sums) {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,popcnt")]
    fn run<T: Element>(work: &Work<'_>, rows: ArrayView2<'_, T>, scratch: &mut Scratch, sums: &mut Sums) {
        work.run::<avx512::Avx512, T>(rows, scratch, sums);
    }
    // SAFETY: `Processor::Avx512` is only where `avx512::available` said so
    unsafe { run(work, rows, scratch, sums) }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "a processor was detected before this is called")]
fn on_avx2<T: Element>(work: &Work<'_>, rows: ArrayView2<'_, T>, scratch: &mut Scratch, sums: &mut Sums) {
    #[target_feature(enable = "avx2")]
    fn run<T: Element>(work: &Work<'_>, rows: ArrayView2<'_, T>, scratch: &mut Scratch, sums: &mut Sums) {
        work.run::<avx2::Avx2, T>(rows, scratch, sums);
    }
    // SAFETY: `Processor::Avx2` is only where `avx2::available` said so
    unsafe { run(work, rows, scratch, sums) }
}

/// Not once for each caller.
#[inline(never)]
fn on_any<T: Element>(work: &Work<'_>, rows: ArrayView2<'_, T>, scratch: &mut Scratch, sums: &mut Sums) {
    work.run::<Portable, T>(rows, scratch, sums);
}
