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
use cells::{Cells, Left};
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
    sizes: Vec<usize>,
    /// Threads
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// Each cell is measured this often, in turns with the other engines, and the median is taken
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// For each of them
    #[arg(long, default_value_t = 0.2)]
    seconds: f64,
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

/// Prepares what is not there yet, measures and prints the tables.
pub(crate) fn run(options: &Options) -> Result {
    if let Some(threads) = options.threads.iter().find(|threads| !(1..=2).contains(*threads)) {
        return Err(Error::Wrong(format!("{threads} threads are not measured, one or two are")));
    }
    let places = Places::new(options.folder.clone())?;
    let mut models = Vec::new();
    for name in &options.models {
        let model = places.model(name)?;
        let mut ready = Vec::new();
        let mut left = Vec::new();
        for engine in options.engines.iter().copied().filter(|engine| engine.knows(&model)) {
            match places.make(engine, &model) {
                Ok(()) => ready.push(engine),
                Err(reason) => left.push(Left { engine, threads: None, reason }),
            }
        }
        models.push((model, ready, left));
    }
    for (model, ready, left) in models {
        if options.prepare {
            left.iter().for_each(|left| println!("{}: {left}", model.name));
            continue;
        }
        eprintln!("measuring {}", model.name);
        let mut cells = Cells { left, ..Cells::default() };
        for threads in &options.threads {
            measure(options, &places, &model, &ready, *threads, &mut cells)?;
        }
        print!("{}", table::of(&model, &options.sizes, &options.threads, &cells));
    }
    Ok(())
}

fn measure(
    options: &Options,
    places: &Places,
    model: &Model,
    ready: &[Engine],
    threads: usize,
    cells: &mut Cells,
) -> Result {
    let mut running = Vec::new();
    for engine in ready.iter().copied().filter(|engine| engine.takes(threads)) {
        match Process::start(places.command(engine, model, threads)?, options.processor_time) {
            Ok((process, facts)) => {
                cells.facts.push((engine, threads, facts));
                running.push((engine, process));
            }
            Err(reason) => cells.left.push(Left { engine, threads: Some(threads), reason }),
        }
    }
    for size in &options.sizes {
        cells::measure(&mut running, threads, *size, (options.rounds, options.seconds), cells);
    }
    Ok(())
}
