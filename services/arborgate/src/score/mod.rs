//! `arborgate score`: a model answers every row of a file, without a server. One thread reads and decodes ahead, some
//! predict, one writes; a file takes memory for some blocks of its rows, however large it is.

mod answer;
mod pipeline;
mod report;

use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arborgate_contracts::jobs;
use arborgate_scoring::{Advice, Matching, Shown};
use arborgate_tables::{Format, Table, Writer};
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::Error;
use crate::model_file::ReadingOptions;
use crate::new_file::{NewFile, check_place};
use answer::Work;
use report::Report;

/// Bytes of a block, if nobody says how many rows it has: it and its answers stay near the processor.
const BLOCK: usize = 2 << 20;
/// Rows of a block, at most and at least, if nobody says.
const ROWS: (usize, usize) = (64, 8192);

#[derive(Debug, Clone, Args)]
pub(crate) struct ScoreOptions {
    /// A model's file, as its library saved it; the README says which are read
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// Rows: .npy, .csv with a header, or .parquet. Columns are matched by name if the model has names; npy by order
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Where to: .npy, .csv or .parquet; must not be there yet
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// What is answered
    #[arg(long, value_enum)]
    pub kind: Kind,
    /// Threads that predict; as many as there are processors without it
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Rows that are predicted together; without it as many as have a suitable size
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub batch: Option<u32>,
    /// Leave out columns that are no features of the model
    #[arg(long)]
    pub ignore_extra: bool,
    /// Take columns in their order, whatever their names
    #[arg(long, conflicts_with = "ignore_extra")]
    pub by_order: bool,
    /// Take the place of a file that is there
    #[arg(long)]
    pub force: bool,
    /// Print rows and seconds as JSON: reading and writing by one thread each, predicting by all of its threads together
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub reading: ReadingOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Of a classifier the predicted class, as the model's file has it
    Label,
    /// Of a classifier the probability of each class; else the predicted values
    Proba,
    /// Margins: what the trees sum to
    Raw,
    /// What each feature contributed to each margin, and the base
    Shap,
}

impl From<Kind> for jobs::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Label => Self::Label,
            Kind::Proba => Self::Proba,
            Kind::Raw => Self::Raw,
            Kind::Shap => Self::Shap,
        }
    }
}

/// Runs the command.
pub(crate) async fn run(options: ScoreOptions) -> Result<(), Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let input = options.input.clone();
    // listened to before anything is written
    let told = |kind| signal(kind).map_err(Error::Runtime);
    let (mut interrupt, mut terminate, mut hang_up) =
        (told(SignalKind::interrupt())?, told(SignalKind::terminate())?, told(SignalKind::hangup())?);
    let mut scoring = tokio::task::spawn_blocking({
        let stop = Arc::clone(&stop);
        move || score(&options, &stop)
    });
    let ended = tokio::select! {
        ended = &mut scoring => ended,
        _ = interrupt.recv() => stopped(&stop, scoring).await,
        _ = terminate.recv() => stopped(&stop, scoring).await,
        _ = hang_up.recv() => stopped(&stop, scoring).await,
    };
    ended.unwrap_or_else(|_| Err(broken(&input)))
}

type Scoring = tokio::task::JoinHandle<Result<(), Error>>;

/// What was begun is removed before the process ends.
async fn stopped(stop: &AtomicBool, scoring: Scoring) -> Result<Result<(), Error>, tokio::task::JoinError> {
    stop.store(true, Ordering::Relaxed);
    scoring.await
}

fn score(options: &ScoreOptions, stop: &AtomicBool) -> Result<(), Error> {
    let ScoreOptions { model: model_path, input, output, kind, .. } = options;
    let began = Instant::now();
    let (from, to) = (format_of(input)?, format_of(output)?);
    check_place(output, options.force)?;
    check_other(output, input)?;
    check_other(output, model_path)?;
    let table = Table::open(input, from).map_err(unscored(input))?;
    let (model, _) = options.reading.read(model_path)?;
    let kind = (*kind).into();
    let work = Work::new(&model, kind, model_path)?;
    let advice = Advice { by_order: "--by-order", ignore_extra: "--ignore-extra" };
    let by_name = from != Format::Npy && !options.by_order;
    let matching = Matching { by_name, ignore_extra: options.ignore_extra, advice };
    let matched = arborgate_scoring::matched(&model, None, table.columns(), from, matching)
        .map_err(|message| Error::Unfit { path: input.clone(), message })?;
    let batch = batch(options, model.n_features().max(work.width()));
    let blocks = table.blocks(matched.wanted, matched.width, batch).map_err(unscored(input))?;
    let file = NewFile::create(output, options.force)?;
    let unwritten = |source| Error::Table { what: "written", path: output.clone(), source };
    let mut writer = Writer::new(to, file.file()?, arborgate_scoring::columns(&model, kind, &Shown::of(&model)))
        .map_err(unwritten)?;
    let threads = options.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let mut report = Report::new(threads, began);
    let run = pipeline::Run { work: &work, names: &matched.names, threads, stop };
    let written = run
        .go(blocks, &mut writer, &mut report)
        .and_then(|()| report.writing(|| writer.finish()).map_err(pipeline::Failed::Writing));
    report.clear();
    match written {
        _ if stop.load(Ordering::Relaxed) => return Err(Error::Interrupted { path: output.clone() }),
        Ok(()) => {}
        Err(pipeline::Failed::Reading(source)) => return Err(unscored(input)(source)),
        Err(pipeline::Failed::Writing(source)) => return Err(unwritten(source)),
        Err(pipeline::Failed::Broken) => return Err(broken(input)),
    }
    report.writing(|| file.keep())?;
    report.tell(output, options.json)
}

/// A thread panicked, which was told.
fn broken(input: &Path) -> Error {
    Error::Unfit { path: input.to_owned(), message: "was not scored: a thread ended unexpectedly".to_owned() }
}

fn unscored(input: &Path) -> impl Fn(arborgate_tables::Error) -> Error + use<> {
    let path = input.to_owned();
    move |source| Error::Table { what: "scored", path: path.clone(), source }
}

fn format_of(path: &Path) -> Result<Format, Error> {
    Format::of(path).ok_or_else(|| Error::Unfit {
        path: path.to_owned(),
        message: "must end in .npy, .csv or .parquet, which says what it is".to_owned(),
    })
}

/// Also by another name, of which the file itself knows nothing.
fn check_other(output: &Path, other: &Path) -> Result<(), Error> {
    let place = |path: &Path| path.metadata().ok().map(|about| (about.dev(), about.ino()));
    match (place(output), place(other)) {
        (Some(output_place), Some(other_place)) if output_place == other_place => Err(Error::Unfit {
            path: output.to_owned(),
            message: format!("is {} itself; write into another file", other.display()),
        }),
        _ => Ok(()),
    }
}

fn batch(options: &ScoreOptions, width: usize) -> NonZeroUsize {
    let rows = options.batch.map_or_else(
        || (BLOCK / (8 * width.max(1))).clamp(ROWS.0, ROWS.1),
        |rows| usize::try_from(rows).unwrap_or(usize::MAX),
    );
    NonZeroUsize::new(rows).unwrap_or(NonZeroUsize::MIN)
}
