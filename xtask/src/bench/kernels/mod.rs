//! The forest's kernels beside every engine that can run the same model, in one run: one table a model, and one of what it
//! takes to explain predictions. The models, their
//! training and the engines' programs are in `xtask/bench`; what they need and make is kept in `.tools/bench`.

mod cells;
mod engine;
mod model;
mod prepare;
mod process;
mod table;

use std::path::PathBuf;

use crate::error::{Error, Result};
use cells::{Cells, Left, Pace};
use engine::{Engine, Part};
use model::Model;
use prepare::Places;
use process::Process;

/// The folders of trained models, trained where they are not yet.
pub(super) fn models<const N: usize>(names: [&str; N]) -> Result<[PathBuf; N]> {
    let places = Places::new(None)?;
    let mut folders = names.map(|_| PathBuf::new());
    for (name, folder) in names.iter().zip(&mut folders) {
        *folder = places.model(name)?.folder;
    }
    Ok(folders)
}

/// What is compared, and how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Of these models only: iris, cancer, xgb, multi, lgbm, catboost
    #[arg(long, value_delimiter = ',', default_values = model::NAMES)]
    models: Vec<String>,
    /// Of these only
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [Part::Predictions, Part::Contributions])]
    parts: Vec<Part>,
    /// With these engines only
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Engine::ALL)]
    engines: Vec<Engine>,
    /// Rows a call; else 1, 8, 64, 512, 4096 and 65536, and to contributions 1, 64, 512 and 4096
    #[arg(long, value_delimiter = ',')]
    rows: Vec<usize>,
    /// Threads; contributions are measured on one
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// Each cell is measured this often, in turns with the other engines, and the quickest turn is taken
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// For each turn
    #[arg(long, default_value_t = 0.08)]
    seconds: f64,
    /// Few and short turns, and no calls of more than five seconds: for a first look
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// Count the time of the processor, not of the clock, where other work runs: for one thread only
    #[arg(long)]
    processor_time: bool,
    /// Where trained models are kept
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Train the models, compile what is compiled, and measure nothing: half an hour or more of two cores, once
    #[arg(long)]
    prepare: bool,
}

impl Options {
    fn rows(&self, part: Part) -> &[usize] {
        if self.rows.is_empty() { part.rows() } else { &self.rows }
    }

    fn threads(&self) -> Vec<usize> {
        // the time of two threads is the sum of theirs, with what they wait for each other
        self.threads.iter().copied().filter(|threads| *threads == 1 || !self.processor_time).collect()
    }

    fn pace(&self) -> Pace {
        match self.quick {
            true => Pace { rounds: 3, seconds: 0.04, longest: 0.5, longest_call: 5.0 },
            false => Pace { rounds: self.rounds, seconds: self.seconds, longest: 4.0, longest_call: f64::INFINITY },
        }
    }
}

/// Prepares what is not there yet, measures and prints the tables.
pub(crate) fn run(options: &Options) -> Result {
    if let Some(threads) = options.threads.iter().find(|threads| !(1..=2).contains(*threads)) {
        return Err(Error::Wrong(format!("{threads} threads are not measured, one or two are")));
    }
    let places = Places::new(options.folder.clone())?;
    let mut tasks = Vec::new();
    for name in &options.models {
        let model = places.model(name)?;
        tasks.extend(options.parts.iter().map(|part| Task::new(options, &places, model.clone(), *part)));
    }
    if options.prepare {
        for Task { model, part, cells, .. } in &tasks {
            cells.left.iter().for_each(|left| println!("{}: {}", model.name, left.line(*part)));
        }
        return Ok(());
    }
    print!("{}", table::head(&places.versions(), options.pace(), options.processor_time));
    let mut short = Vec::new();
    let mut wrong = Vec::new();
    for mut task in tasks {
        for threads in options.threads() {
            task.measure(options, &places, threads);
        }
        let table = table::of(&task.model, task.part, options.rows(task.part), &options.threads(), &task.cells);
        print!("{}", table.text);
        short.extend(table.short);
        wrong.extend(table.wrong.then_some(task.model.name));
    }
    print!("{}", table::end(&short));
    match wrong.as_slice() {
        [] => Ok(()),
        wrong => Err(Error::Wrong(format!("not what the library says: {}", wrong.join(", ")))),
    }
}

/// One table.
struct Task {
    model: Model,
    part: Part,
    ready: Vec<Engine>,
    cells: Cells,
}

impl Task {
    /// Makes what its engines need.
    fn new(options: &Options, places: &Places, model: Model, part: Part) -> Self {
        let mut task = Self { model, part, ready: Vec::new(), cells: Cells::default() };
        let expected = places.expected(&task.model, part);
        for engine in options.engines.iter().copied().filter(|engine| engine.knows(&task.model, part)) {
            match expected.clone().and_then(|()| places.make(engine, &task.model, part)) {
                Ok(()) => task.ready.push(engine),
                Err(reason) => task.cells.left.push(Left { engine, threads: None, reason }),
            }
        }
        task
    }

    /// Fills the cells of one number of threads. An engine that can not go on is left out, with its reason.
    fn measure(&mut self, options: &Options, places: &Places, threads: usize) {
        let Self { model, part, ready, cells } = self;
        let able =
            |engine: &&Engine| engine.takes(threads, *part) && cells.left.iter().all(|left| left.engine != **engine);
        let able: Vec<Engine> = ready.iter().filter(able).copied().collect();
        if able.is_empty() {
            return;
        }
        eprintln!("measuring {}: {part:?}, threads: {threads}", model.name);
        let mut running = Vec::new();
        for engine in able {
            let command = places.command(engine, model, *part, threads).map_err(|error| error.with_causes());
            match command.and_then(|command| Process::start(command, options.processor_time)) {
                Ok((process, facts)) => {
                    cells.facts.push((engine, threads, facts));
                    running.push((engine, process));
                }
                Err(reason) => cells.left.push(Left { engine, threads: Some(threads), reason }),
            }
        }
        for size in options.rows(*part) {
            cells::measure(&mut running, threads, *size, options.pace(), cells);
        }
    }
}
