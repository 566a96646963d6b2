//! The forest's kernels beside every engine that can run the same model, in one run: one table a model. The models, their
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
use engine::Engine;
use model::Model;
use prepare::Places;
use process::Process;

/// What is compared, and how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Of these models only: iris, cancer, xgb, multi, lgbm, catboost
    #[arg(long, value_delimiter = ',', default_values = model::NAMES)]
    models: Vec<String>,
    /// With these engines only
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Engine::ALL)]
    engines: Vec<Engine>,
    /// Rows a call
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64, 512, 4_096, 65_536])]
    rows: Vec<usize>,
    /// Threads
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// Each cell is measured this often, in turns with the other engines, and the quickest turn is taken
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// For each turn
    #[arg(long, default_value_t = 0.08)]
    seconds: f64,
    /// Few and short turns, for a first look
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// Count the time of the processor, not of the clock: where other work runs; means something for one thread only
    #[arg(long)]
    processor_time: bool,
    /// Where trained models are kept
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Train the models, compile what is compiled, and measure nothing
    #[arg(long)]
    prepare: bool,
}

impl Options {
    fn pace(&self) -> Pace {
        match self.quick {
            true => Pace { rounds: 3, seconds: 0.04, longest: 0.5 },
            false => Pace { rounds: self.rounds, seconds: self.seconds, longest: 4.0 },
        }
    }
}

/// Prepares what is not there yet, measures and prints the tables.
pub(crate) fn run(options: &Options) -> Result {
    if let Some(threads) = options.threads.iter().find(|threads| !(1..=2).contains(*threads)) {
        return Err(Error::Wrong(format!("{threads} threads are not measured, one or two are")));
    }
    let places = Places::new(options.folder.clone())?;
    let mut models = Vec::new();
    for name in &options.models {
        let model = places.model(name)?;
        let mut cells = Cells::default();
        let mut ready = Vec::new();
        for engine in options.engines.iter().copied().filter(|engine| engine.knows(&model)) {
            match places.make(engine, &model) {
                Ok(()) => ready.push(engine),
                Err(reason) => cells.left.push(Left { engine, threads: None, reason }),
            }
        }
        models.push((model, ready, cells));
    }
    if options.prepare {
        let left = models.iter().flat_map(|(model, _, cells)| cells.left.iter().map(move |left| (model, left)));
        left.for_each(|(model, left)| println!("{}: {left}", model.name));
        return Ok(());
    }
    print!("{}", table::head(&places.versions()?, options.pace(), options.processor_time));
    let mut short = Vec::new();
    let mut wrong = Vec::new();
    for (model, ready, mut cells) in models {
        eprintln!("measuring {}", model.name);
        for threads in &options.threads {
            measure(options, &places, &model, &ready, *threads, &mut cells);
        }
        let table = table::of(&model, &options.rows, &options.threads, &cells);
        print!("{}", table.text);
        short.extend(table.short);
        wrong.extend(table.wrong.then_some(model.name));
    }
    print!("{}", table::end(&short));
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Error::Wrong(format!("other predictions than the library's: {}", wrong.join(", "))))
    }
}

/// Fills the cells of one number of threads. An engine that can not go on is left out, with its reason.
fn measure(options: &Options, places: &Places, model: &Model, ready: &[Engine], threads: usize, cells: &mut Cells) {
    let mut running = Vec::new();
    let able = |engine: &Engine| engine.takes(threads) && cells.left.iter().all(|left| left.engine != *engine);
    for engine in ready.iter().copied().filter(able).collect::<Vec<_>>() {
        let command = places.command(engine, model, threads).map_err(|error| error.with_causes());
        match command.and_then(|command| Process::start(command, options.processor_time)) {
            Ok((process, facts)) => {
                cells.facts.push((engine, threads, facts));
                running.push((engine, process));
            }
            Err(reason) => cells.left.push(Left { engine, threads: Some(threads), reason }),
        }
    }
    for size in &options.rows {
        cells::measure(&mut running, threads, *size, options.pace(), cells);
    }
}
