//! Measures predictions for `cargo xtask bench kernels`, or by hand:
//!
//! ```text
//! kernels MODEL ROWS.npy EXPECTED.npy [--threads 2] [--sizes 1,64,4096] [--seconds 0.5] [--processor avx2]
//!     [--contributions 1e-9]
//! ```
//!
//! Loads, compares with the library's own predictions to the bit, and says so in a line of JSON. Or it explains, and
//! compares with the library's contributions, of which a row's may be that part of their sizes' sum off. Then µs a call for
//! batches that are each the next rows of ROWS.npy: of the sizes given, or of each line "SIZE SECONDS" of its input; the
//! lower quartile of many short parts. With `PROCESSOR_TIME` in the environment it is processor time, for a machine with
//! other work.
#![allow(clippy::print_stdout, reason = "it speaks to whoever started it")]

use std::error::Error;
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use arborgate_forest::{Compiled, Element, Explainer, Model, Options, Output, Processor};
use ndarray::{Array2, ArrayView2, Axis, s};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

/// Rows below which two threads are not worth their waiting for each other.
const WORTH_SPLITTING: usize = 128;
const SPINS: usize = 20_000;
/// What is measured at once: too short for much to come between, too long for the clock.
const PART: Duration = Duration::from_micros(500);

struct Arguments {
    model: PathBuf,
    rows: PathBuf,
    expected: PathBuf,
    threads: usize,
    sizes: Vec<usize>,
    seconds: f64,
    processor: Option<Processor>,
    contributions: Option<f64>,
}

fn arguments() -> Result<Arguments> {
    let mut named = Vec::new();
    let mut files = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.strip_prefix("--") {
            Some(name) => named.push((name.to_owned(), words.next().ok_or("an option without a value")?)),
            None => files.push(PathBuf::from(word)),
        }
    }
    let [model, rows, expected] = <[PathBuf; 3]>::try_from(files).map_err(|_| "kernels MODEL ROWS EXPECTED [--…]")?;
    let (sizes, processor, contributions) = (vec![], None, None);
    let mut all = Arguments { model, rows, expected, threads: 1, sizes, seconds: 0.5, processor, contributions };
    for (name, value) in named {
        match name.as_str() {
            "threads" => all.threads = value.parse()?,
            "seconds" => all.seconds = value.parse()?,
            "sizes" => all.sizes = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "processor" => all.processor = Some(processor_named(&value)?),
            "contributions" => all.contributions = Some(value.parse()?),
            _ => return Err(format!("no option --{name}").into()),
        }
    }
    Ok(all)
}

fn processor_named(name: &str) -> Result<Processor> {
    let plain = |processor: &Processor| processor.to_string().replace('-', "").to_lowercase();
    let found = Processor::all().into_iter().find(|processor| plain(processor) == name.replace('-', ""));
    found.ok_or_else(|| format!("this processor has no {name}").into())
}

fn main() -> Result {
    let arguments = arguments()?;
    let file = std::fs::read(&arguments.rows)?;
    match npy(&file, f32::from_le_bytes) {
        Ok(rows) => run(&arguments, rows),
        Err(_) => run(&arguments, npy(&file, f64::from_le_bytes)?),
    }
}

fn run<T: Element + Send + Sync + 'static>(arguments: &Arguments, rows: Array2<T>) -> Result {
    let rows = Arc::new(rows);
    let expected = npy(&std::fs::read(&arguments.expected)?, f64::from_le_bytes)?;
    let start = clock();
    let bytes = std::fs::read(&arguments.model)?;
    let model = Model::read(&bytes, &Options::default())?;
    let load = clock() - start;
    let start = clock();
    let work = Work::new(&model, arguments)?;
    let compile = clock() - start;
    let splits: usize = model.trees().iter().map(|tree| tree.nodes().len() - tree.leaves()).sum();
    let (compared, differ, largest) = match arguments.contributions {
        Some(bound) => compare_contributions(&work, &rows, &expected, bound)?,
        None => compare(&work, &rows, &expected)?,
    };
    let ready = json!({
        "load_ms": load.as_secs_f64() * 1e3,
        "compile_ms": compile.as_secs_f64() * 1e3,
        "kernel": work.kernel(),
        "splits": splits,
        "bytes": work.bytes(),
        "leaf_bytes": work.leaf_bytes(),
        "compared": compared,
        "differ": differ,
        "largest": largest,
    });
    println!("{ready}");
    let mut bench = Bench::new(Arc::new(work), rows, arguments.threads);
    if arguments.sizes.is_empty() {
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            let (size, seconds) = line.trim().split_once(' ').ok_or("not \"SIZE SECONDS\"")?;
            bench.say(size.parse()?, seconds.parse()?)?;
        }
    }
    for size in &arguments.sizes {
        bench.say(*size, arguments.seconds / 4.0)?;
        bench.say(*size, arguments.seconds)?;
    }
    Ok(())
}

/// Values and labels.
type Buffers = (Array2<f64>, Array2<u32>);

/// What is measured.
enum Work {
    Predict(Box<Compiled>),
    Explain(Box<Explainer>),
}

impl Work {
    fn new(model: &Model, arguments: &Arguments) -> Result<Self> {
        if arguments.contributions.is_some() {
            let mut explainer = Explainer::new(model)?;
            if let Some(processor) = arguments.processor {
                explainer = explainer.on(processor);
            }
            return Ok(Self::Explain(Box::new(explainer)));
        }
        let mut compiled = Compiled::new(model)?;
        if let Some(processor) = arguments.processor {
            compiled = compiled.on(processor);
        }
        Ok(Self::Predict(Box::new(compiled)))
    }

    fn kernel(&self) -> String {
        match self {
            Self::Predict(compiled) => compiled.kernel(),
            Self::Explain(_) => "TreeSHAP".to_owned(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Predict(compiled) => compiled.bytes(),
            Self::Explain(explainer) => explainer.bytes(),
        }
    }

    fn leaf_bytes(&self) -> Option<usize> {
        match self {
            Self::Predict(compiled) => Some(compiled.leaf_bytes()),
            Self::Explain(_) => None,
        }
    }

    /// Of values and of labels, of which contributions have none.
    fn widths(&self) -> (usize, usize) {
        match self {
            Self::Predict(compiled) => (compiled.values_width(), compiled.labels_width()),
            Self::Explain(explainer) => (explainer.width(), 0),
        }
    }

    /// The buffers are for as many rows.
    fn run<T: Element>(&self, rows: ArrayView2<'_, T>, (values, labels): &mut Buffers) -> Result {
        let (values, labels) = (values.view_mut(), labels.view_mut());
        match self {
            Self::Predict(compiled) => compiled.predict(rows, &mut Output { values, labels })?,
            Self::Explain(explainer) => explainer.explain(rows, values)?,
        }
        Ok(())
    }

    fn buffers(&self, rows: usize) -> Buffers {
        let (values, labels) = self.widths();
        (Array2::zeros((rows, values)), Array2::zeros((rows, labels)))
    }
}

/// A table of floats of `N` bytes in row-major order, in numpy's format 1.
fn npy<T, const N: usize>(file: &[u8], number: fn([u8; N]) -> T) -> Result<Array2<T>> {
    let (start, rest) = file.split_first_chunk::<10>().ok_or("a .npy that is cut")?;
    let &[0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, low, high] = start else {
        return Err("no .npy of format 1".into());
    };
    let (header, data) = rest.split_at_checked(u16::from_le_bytes([low, high]).into()).ok_or("a .npy that is cut")?;
    let header = str::from_utf8(header)?;
    if !header.contains(&format!("'<f{N}'")) || !header.contains("'fortran_order': False") {
        return Err(format!("no floats of {N} bytes in row-major order: {header}").into());
    }
    let shape =
        header.split_once('(').and_then(|(_, rest)| rest.split_once(')')).and_then(|(shape, _)| shape.split_once(", "));
    let (rows, columns) = shape.ok_or("a .npy that is no table")?;
    let numbers = data.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect();
    Ok(Array2::from_shape_vec((rows.parse()?, columns.parse()?), numbers)?)
}

/// Rows compared, rows of which any value has other bits, and the largest difference: of all rows at once, and of the
/// first ones by one, by eight and by 64.
fn compare<T: Element>(work: &Work, rows: &Array2<T>, expected: &Array2<f64>) -> Result<(usize, usize, f64)> {
    let (mut compared, mut differ, mut largest) = (0, 0, 0.0_f64);
    for (size, most) in [(rows.nrows(), rows.nrows()), (1, 500), (8, 1_000), (64, 4_096)] {
        let most = most.min(rows.nrows());
        for (at, part) in rows.slice(s![..most, ..]).axis_chunks_iter(Axis(0), size).enumerate() {
            let mut buffers = work.buffers(part.nrows());
            work.run(part, &mut buffers)?;
            for (found, expected) in buffers.0.outer_iter().zip(expected.outer_iter().skip(at * size)) {
                // of two classes boosters give the second one's probability only
                let skip = found.len() - expected.len();
                let pairs = || found.iter().skip(skip).zip(expected);
                compared += 1;
                differ += usize::from(pairs().any(|(found, expected)| found.to_bits() != expected.to_bits()));
                largest = pairs().fold(largest, |largest, (found, expected)| largest.max((found - expected).abs()));
            }
        }
    }
    Ok((compared, differ, largest))
}

/// Rows compared, rows in which any contribution is too far off, and the farthest, as parts of the rows' sums of sizes.
fn compare_contributions<T: Element>(
    work: &Work,
    rows: &Array2<T>,
    expected: &Array2<f64>,
    bound: f64,
) -> Result<(usize, usize, f64)> {
    let compared = expected.nrows().min(rows.nrows());
    let mut buffers = work.buffers(compared);
    let values = &buffers.0;
    if values.ncols() != expected.ncols() {
        return Err(format!("{} contributions a row, expected are {}", values.ncols(), expected.ncols()).into());
    }
    work.run(rows.slice(s![..compared, ..]), &mut buffers)?;
    let off = buffers.0.outer_iter().zip(expected.outer_iter()).map(|(found, expected)| {
        let sum: f64 = expected.iter().map(|number| number.abs()).sum();
        let pairs = found.iter().zip(expected);
        pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max) / sum.max(f64::MIN_POSITIVE)
    });
    let off: Vec<f64> = off.collect();
    Ok((compared, off.iter().filter(|off| **off > bound).count(), off.into_iter().fold(0.0, f64::max)))
}

/// Rows that are predicted again and again.
struct Bench<T> {
    work: Arc<Work>,
    rows: Arc<Array2<T>>,
    /// Of the next batch.
    first: usize,
    other: Option<Other>,
}

impl<T: Element + Send + Sync + 'static> Bench<T> {
    fn new(work: Arc<Work>, rows: Arc<Array2<T>>, threads: usize) -> Self {
        let other = (threads > 1).then(|| Other::new(work.clone(), rows.clone()));
        Self { work, rows, first: 0, other }
    }

    /// The lower quartile: what else runs here only ever adds.
    fn say(&mut self, size: usize, seconds: f64) -> Result {
        if size == 0 || size > self.rows.nrows() {
            return Err(format!("no batch of {size}").into());
        }
        let splits = self.other.is_some() && size >= WORTH_SPLITTING;
        let own = if splits { size / 2 } else { size };
        let mut buffers = self.work.buffers(own);
        let (mut parts, mut calls) = (Vec::new(), 1);
        let start = clock();
        let mut end = start;
        while parts.is_empty() || (end - start).as_secs_f64() < seconds {
            let begun = end;
            for _ in 0..calls {
                self.next(size, own, &mut buffers)?;
            }
            end = clock();
            parts.push((end - begun).as_secs_f64() / f64::from(calls));
            if end - begun < PART {
                parts.clear();
                calls *= 2;
            }
        }
        parts.sort_by(f64::total_cmp);
        let us = parts.get(parts.len() / 4).map(|part| part * 1e6);
        println!("{}", json!({"size": size, "us": us}));
        Ok(())
    }

    fn next(&mut self, size: usize, own: usize, buffers: &mut Buffers) -> Result {
        if self.first + size > self.rows.nrows() {
            self.first = 0;
        }
        let (first, width) = (self.first, self.rows.ncols());
        self.first += size;
        let other = self.other.as_ref().filter(|_| own < size);
        if let Some(other) = other {
            other.ask(first + own, first + size);
        }
        let rows = self.rows.as_slice().and_then(|rows| rows.get(first * width..(first + own) * width));
        self.work.run(ArrayView2::from_shape((own, width), rows.unwrap_or_default())?, buffers)?;
        if let Some(other) = other { other.wait() } else { Ok(()) }
    }
}

/// A thread that stays: it spins for a while for its next rows, then sleeps.
struct Other {
    shared: Arc<Shared>,
    thread: thread::Thread,
}

#[derive(Default)]
struct Shared {
    first: AtomicUsize,
    end: AtomicUsize,
    asked: AtomicUsize,
    done: AtomicUsize,
    failed: AtomicUsize,
}

impl Other {
    fn new<T: Element + Send + Sync + 'static>(work: Arc<Work>, rows: Arc<Array2<T>>) -> Self {
        let shared = Arc::new(Shared::default());
        let its = shared.clone();
        let thread = thread::spawn(move || {
            let mut buffers = work.buffers(0);
            for seen in 0.. {
                let mut spins = 0;
                while its.asked.load(Ordering::Acquire) == seen {
                    spins += 1;
                    if spins < SPINS { std::hint::spin_loop() } else { thread::park() }
                }
                let part = its.first.load(Ordering::Relaxed)..its.end.load(Ordering::Relaxed);
                if buffers.0.nrows() != part.len() {
                    buffers = work.buffers(part.len());
                }
                if work.run(rows.slice(s![part, ..]), &mut buffers).is_err() {
                    its.failed.store(1, Ordering::Relaxed);
                }
                its.done.store(seen + 1, Ordering::Release);
            }
        });
        Self { shared, thread: thread.thread().clone() }
    }

    fn ask(&self, first: usize, end: usize) {
        self.shared.first.store(first, Ordering::Relaxed);
        self.shared.end.store(end, Ordering::Relaxed);
        self.shared.asked.fetch_add(1, Ordering::Release);
        self.thread.unpark();
    }

    fn wait(&self) -> Result {
        let asked = self.shared.asked.load(Ordering::Relaxed);
        let mut spins = 0;
        while self.shared.done.load(Ordering::Acquire) != asked {
            spins += 1;
            if spins < SPINS { std::hint::spin_loop() } else { thread::yield_now() }
        }
        if self.shared.failed.load(Ordering::Relaxed) == 0 { Ok(()) } else { Err("the other thread failed".into()) }
    }
}

/// The time since some moment, or the processor time of this process.
fn clock() -> Duration {
    static ID: OnceLock<ClockId> = OnceLock::new();
    let id = ID.get_or_init(|| match std::env::var_os("PROCESSOR_TIME") {
        Some(_) => ClockId::ProcessCPUTime,
        None => ClockId::Monotonic,
    });
    Duration::try_from(clock_gettime(*id)).unwrap_or_default()
}
