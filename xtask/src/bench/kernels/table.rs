//! A model's table: µs a call, and how ours compares with what is wanted of it.

use std::fmt::Write as _;

use super::cells::{Cells, Pace};
use super::engine::{Engine, Part};
use super::model::Model;
use super::process::Facts;

/// Two threads are wanted to be so much faster than one from so many rows.
const TWO_THREADS: (f64, usize) = (1.9, 4_096);

/// A model's part of what is printed.
pub(super) struct Table {
    pub(super) text: String,
    /// Each ratio that falls short of its target.
    pub(super) short: Vec<String>,
    /// Whether ours predicts anything else than the library.
    pub(super) wrong: bool,
}

/// What is above all tables: where and how this was measured.
pub(super) fn head(versions: &[String], pace: Pace, processor_time: bool) -> String {
    let clock = if processor_time { "processor time" } else { "the clock" };
    let Pace { rounds, seconds, .. } = pace;
    let machine = machine().unwrap_or_else(|| "an unknown machine".to_owned());
    format!(
        "## The forest: `cargo xtask bench kernels`\n\nOne run on {machine}, of {}.\n\n\
         µs a call by {clock}, each call with other rows than the one before: the lower quartile of a turn, and the best of up \
         to {rounds} turns of {seconds} s, in which all engines of a model take turns. Engines marked (C) are called from C, \
         ours from Rust, the others from Python.\n\n",
        versions.join(", ")
    )
}

/// Its processor, how many, and what else it does.
fn machine() -> Option<String> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let cpus = read("/proc/cpuinfo")?;
    let name = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "))?.1.to_owned();
    let count = std::thread::available_parallelism().ok()?;
    let load = read("/proc/loadavg")?.split_once(' ')?.0.to_owned();
    Some(format!("{count} processors, {name}, load average {load} before"))
}

/// What is below all tables.
pub(super) fn end(short: &[String]) -> String {
    match short {
        [] => "No ratio falls short of its target.\n".to_owned(),
        short => format!("Short of their targets:\n\n- {}\n", short.join("\n- ")),
    }
}

pub(super) fn of(model: &Model, part: Part, sizes: &[usize], threads: &[usize], cells: &Cells) -> Table {
    let of_what = if part == Part::Contributions { ": contributions (SHAP)" } else { "" };
    let mut lines = vec![format!("### {}{of_what}", model.title()), String::new()];
    lines.extend(facts(model, part, cells));
    lines.push(String::new());
    let heads: String = sizes.iter().map(|size| format!(" {} |", grouped(*size as f64))).collect();
    lines.push(format!("| µs a call; rows: | threads |{heads}"));
    lines.push(format!("|---|--:|{}", "--:|".repeat(sizes.len())));
    let mut short = Vec::new();
    for threads in threads {
        lines.extend(engines(part, sizes, *threads, cells));
        for ratios in ratios(model, part, sizes, *threads, cells) {
            lines.push(ratios.line());
            short.extend(ratios.short(model, part));
        }
    }
    lines.push(String::new());
    let notes: Vec<String> =
        cells.left.iter().map(|left| format!("- {}", left.line(part))).chain(wrong(part, cells)).collect();
    if !notes.is_empty() {
        lines.extend(notes);
        lines.push(String::new());
    }
    let wrong = cells.facts.iter().any(|(engine, _, facts)| *engine == Engine::Arborgate && facts.differ > 0);
    Table { text: lines.join("\n") + "\n", short, wrong }
}

/// Of the model, and whether what ours predicts is right.
fn facts(model: &Model, part: Part, cells: &Cells) -> Vec<String> {
    let mut lines = vec![format!("{} splits.", grouped(model.splits as f64))];
    let ours = cells.facts.iter().find(|(engine, ..)| *engine == Engine::Arborgate);
    if let Some((_, _, facts)) = ours {
        let splits = facts.splits.unwrap_or(model.splits);
        let mut line = format!("Arborgate: {}", facts.kernel.as_deref().unwrap_or("?"));
        if let (Some(bytes), Some(compile)) = (facts.bytes, facts.compile_ms) {
            // Writing to a String can not fail.
            let _ = write!(line, "; {} bytes compiled", grouped(bytes as f64));
            if let Some(of_leaves) = facts.leaf_bytes {
                let each = bytes.saturating_sub(of_leaves) as f64 / splits.max(1) as f64;
                let (of_leaves, splits) = (grouped(of_leaves as f64), grouped(splits as f64));
                let _ = write!(
                    line,
                    ", {of_leaves} of them leaves' numbers: the rest is {each:.1} a split node of {splits}"
                );
            }
            let _ = write!(line, "; compiled in {compile:.1} ms");
        }
        let _ = write!(line, "; read in {:.1} ms", facts.load_ms);
        lines.push(line + ".");
        lines.push(verdict(model, part, facts));
    }
    let mut loads: Vec<String> = Vec::new();
    for (engine, threads, facts) in &cells.facts {
        if *threads == 1 && *engine != Engine::Arborgate {
            loads.push(format!("{} {:.0}", engine.shown(part), facts.load_ms));
        }
    }
    if !loads.is_empty() {
        lines.push(format!("Others load in, ms: {}.", loads.join(", ")));
    }
    lines
}

fn verdict(model: &Model, part: Part, facts: &Facts) -> String {
    let Facts { differ, largest, .. } = facts;
    let (compared, bound) = (grouped(facts.compared as f64), model.bound());
    match (part, differ) {
        (Part::Predictions, 0) => {
            format!("Its predictions equal the library's to the bit: {compared} compared, none differs.")
        }
        (Part::Predictions, _) => {
            format!("**{differ} of {compared} predictions differ** from the library's, by up to {largest:e}.")
        }
        (Part::Contributions, 0) => format!(
            "Its contributions are the library's, within {bound:e} of the sum of a row's: {compared} rows compared, {largest:.1e} \
             at most."
        ),
        (Part::Contributions, _) => format!(
            "**Contributions to {differ} of {compared} rows differ** from the library's by more than {bound:e} of the row's sum, \
             by up to {largest:e}."
        ),
    }
}

fn engines(part: Part, sizes: &[usize], threads: usize, cells: &Cells) -> Vec<String> {
    let row = |engine: Engine| {
        let times: Vec<Option<f64>> = sizes.iter().map(|size| cells.us(engine, threads, *size)).collect();
        let shown = |us: &Option<f64>| us.map_or(" |".to_owned(), |us| format!(" {} |", grouped(us)));
        let texts: String = times.iter().map(shown).collect();
        times.iter().any(Option::is_some).then(|| format!("| {} | {threads} |{texts}", engine.shown(part)))
    };
    Engine::ALL.into_iter().filter_map(row).collect()
}

/// How often a time is ours, and how often it should be.
struct Ratio {
    ratio: f64,
    target: Option<f64>,
}

/// A line of them.
struct Ratios {
    name: String,
    threads: usize,
    /// By rows; `None` where one of the times is not there.
    cells: Vec<(usize, Option<Ratio>)>,
}

/// Those below the lines of so many threads: to the best other, to the one that targets are about, to ours on one thread.
fn ratios(model: &Model, part: Part, sizes: &[usize], threads: usize, cells: &Cells) -> Vec<Ratios> {
    let line = |name: String, of: &dyn Fn(usize) -> Option<Ratio>| {
        let cells = sizes.iter().map(|size| (*size, of(*size))).collect();
        Ratios { name, threads, cells }
    };
    let ours = |size| cells.us(Engine::Arborgate, threads, size);
    let to = |other: Option<f64>, size, target| Some(Ratio { ratio: other? / ours(size)?, target });
    let target = |size| model.target(part, size).filter(|_| threads == 1);
    let mut all = Vec::new();
    let rival = model.rival(part);
    let of_rival = |size| rival.and_then(|rival| cells.us(rival, threads, size));
    if sizes.iter().any(|size| cells.best(threads, *size) != of_rival(*size)) {
        all.push(line("the best other ÷ Arborgate".to_owned(), &|size| {
            to(cells.best(threads, size), size, target(size).filter(|_| rival.is_none()))
        }));
    }
    all.extend(rival.map(|rival| {
        line(format!("{} ÷ Arborgate", rival.shown(part)), &|size| to(of_rival(size), size, target(size)))
    }));
    all.extend((threads == 2).then(|| {
        line("Arborgate, one thread ÷ two".to_owned(), &|size| {
            let target = (size >= TWO_THREADS.1).then_some(TWO_THREADS.0);
            Some(Ratio { ratio: cells.us(Engine::Arborgate, 1, size)? / ours(size)?, target })
        })
    }));
    // a line without any ratio says nothing
    all.retain(|line| line.cells.iter().any(|(_, ratio)| ratio.is_some()));
    all
}

impl Ratios {
    fn line(&self) -> String {
        let mut line = format!("| **{}** | {} |", self.name, self.threads);
        for (_, ratio) in &self.cells {
            line += &match ratio {
                None => " |".to_owned(),
                Some(Ratio { ratio, target: None }) => format!(" {ratio:.2} |"),
                Some(Ratio { ratio, target: Some(target) }) if ratio < target => {
                    format!(" {ratio:.2} **< {target}** |")
                }
                Some(Ratio { ratio, target: Some(target) }) => format!(" {ratio:.2} ≥ {target} |"),
            };
        }
        line
    }

    fn short(&self, model: &Model, part: Part) -> Vec<String> {
        let of_what = if part == Part::Contributions { " contributions" } else { "" };
        let short = self.cells.iter().filter_map(|(size, ratio)| match ratio {
            Some(Ratio { ratio, target: Some(target) }) if ratio < target => {
                let size = grouped(*size as f64);
                Some(format!("{}{of_what}, rows {size}: {} {ratio:.2}, wanted {target}", model.name, self.name))
            }
            _ => None,
        });
        short.collect()
    }
}

/// A benchmark of a wrong answer is worthless: who gives one is named.
fn wrong(part: Part, cells: &Cells) -> Vec<String> {
    let line = |(engine, threads, facts): &(Engine, usize, Facts)| {
        let others = *engine != Engine::Arborgate && *threads == 1 && facts.differ > 0;
        let (differ, compared, largest) = (facts.differ, facts.compared, facts.largest);
        others.then(|| {
            format!(
                "- {}: {differ} of {compared} rows are more than 1e-4 off, by up to {largest:.2e}",
                engine.shown(part)
            )
        })
    };
    cells.facts.iter().filter_map(line).collect()
}

/// Three digits that mean something, and commas between thousands.
fn grouped(number: f64) -> String {
    let digits = match number {
        ..10.0 if number.fract() != 0.0 => 2,
        ..100.0 if number.fract() != 0.0 => 1,
        _ => 0,
    };
    let text = format!("{number:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::super::model::Library;
    use super::*;

    #[test]
    fn numbers_are_short_and_grouped() {
        for (number, text) in
            [(0.456, "0.46"), (12.34, "12.3"), (123.4, "123"), (65_536.0, "65,536"), (1e6, "1,000,000")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn the_table_compares_with_the_best_other_and_says_what_falls_short() {
        let model = Model {
            name: "xgb".to_owned(),
            folder: "x".into(),
            library: Library::Xgboost,
            file: "x".into(),
            splits: 10,
        };
        let mut cells = Cells::default();
        for (engine, threads, size, us) in [
            (Engine::Arborgate, 1, 1, 10.0),
            (Engine::Xgboost, 1, 1, 400.0),
            (Engine::Onedal, 1, 1, 30.0),
            (Engine::Arborgate, 1, 4_096, 1_000.0),
            (Engine::Xgboost, 1, 4_096, 6_000.0),
            (Engine::Arborgate, 2, 4_096, 550.0),
        ] {
            cells.measured.push((engine, threads, size, us));
        }
        let Table { text, short, wrong } = of(&model, Part::Predictions, &[1, 4_096], &[1, 2], &cells);
        for line in [
            "| µs a call; rows: | threads | 1 | 4,096 |",
            "| XGBoost (C) | 1 | 400 | 6,000 |",
            "| oneDAL | 1 | 30 | |",
            "| **the best other ÷ Arborgate** | 1 | 3.00 **< 4** | 6.00 ≥ 5 |",
            "| **Arborgate, one thread ÷ two** | 2 | | 1.82 **< 1.9** |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!wrong);
        let expected = [
            "xgb, rows 1: the best other ÷ Arborgate 3.00, wanted 4",
            "xgb, rows 4,096: Arborgate, one thread ÷ two 1.82, wanted 1.9",
        ];
        assert_eq!(short, expected);
    }
}
