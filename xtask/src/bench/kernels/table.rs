//! A model's table: µs a call, and how ours compares with what is wanted of it.

use std::fmt::Write as _;

use super::cells::Cells;
use super::engine::Engine;
use super::model::Model;

/// Two threads are wanted to be so much faster than one from so many rows.
const TWO_THREADS: (f64, usize) = (1.9, 4_096);

pub(super) fn of(model: &Model, sizes: &[usize], threads: &[usize], cells: &Cells) -> String {
    let mut lines = vec![format!("### {}", model.title()), String::new()];
    lines.extend(facts(model, cells));
    lines.push(String::new());
    let heads: String = sizes.iter().map(|size| format!(" {} |", grouped(*size as f64))).collect();
    lines.push(format!("| µs a call | threads |{heads}"));
    lines.push(format!("|---|--:|{}", "--:|".repeat(sizes.len())));
    for threads in threads {
        lines.extend(engines(sizes, *threads, cells));
        lines.push(ratios("**the best other ÷ Arborgate**", *threads, sizes, |size| {
            let target = (*threads == 1 && model.rival().is_none()).then(|| model.target(size));
            Some((cells.best(*threads, size)? / cells.us(Engine::Arborgate, *threads, size)?, target))
        }));
        if let Some(rival) = model.rival() {
            lines.push(ratios(&format!("**{rival} ÷ Arborgate**"), *threads, sizes, |size| {
                let us = |engine| cells.us(engine, *threads, size);
                let target = (*threads == 1).then(|| model.target(size));
                Some((us(rival)? / us(Engine::Arborgate)?, target))
            }));
        }
    }
    if threads.contains(&1) && threads.contains(&2) {
        lines.push(ratios("**Arborgate, one thread ÷ two**", 2, sizes, |size| {
            let us = |threads| cells.us(Engine::Arborgate, threads, size);
            Some((us(1)? / us(2)?, (size >= TWO_THREADS.1).then_some(TWO_THREADS.0)))
        }));
    }
    lines.push(String::new());
    lines.extend(cells.left.iter().map(|left| format!("- {left}")));
    lines.extend(wrong(cells));
    lines.push(String::new());
    lines.join("\n") + "\n"
}

/// Of the model, and whether what ours predicts is right.
fn facts(model: &Model, cells: &Cells) -> Vec<String> {
    let mut lines = vec![format!("{} splits.", grouped(model.splits as f64))];
    let ours = cells.facts.iter().find(|(engine, ..)| *engine == Engine::Arborgate);
    if let Some((_, _, facts)) = ours {
        let splits = facts.splits.unwrap_or(model.splits);
        let mut line = format!("Arborgate: {}", facts.kernel.as_deref().unwrap_or("?"));
        if let (Some(bytes), Some(compile)) = (facts.bytes, facts.compile_ms) {
            let each = bytes as f64 / splits.max(1) as f64;
            let bytes = grouped(bytes as f64);
            // Writing to a String can not fail.
            let _ = write!(line, "; {bytes} bytes compiled, leaves included: {each:.1} a split node of {splits}");
            let _ = write!(line, "; compiled in {compile:.1} ms");
        }
        let _ = write!(line, "; read in {:.1} ms", facts.load_ms);
        lines.push(line + ".");
        let (compared, differ) = (grouped(facts.compared as f64), facts.differ);
        lines.push(match differ {
            0 => format!("Its predictions equal the library's to the bit: {compared} compared, none differs."),
            _ => format!(
                "**{differ} of {compared} predictions differ** from the library's, by up to {:e}.",
                facts.largest
            ),
        });
    }
    let mut loads: Vec<String> = Vec::new();
    for (engine, threads, facts) in &cells.facts {
        if *threads == 1 && *engine != Engine::Arborgate {
            loads.push(format!("{engine} {:.0}", facts.load_ms));
        }
    }
    if !loads.is_empty() {
        lines.push(format!("Others load in, ms: {}.", loads.join(", ")));
    }
    lines
}

fn engines(sizes: &[usize], threads: usize, cells: &Cells) -> Vec<String> {
    let row = |engine: Engine| {
        let times: Vec<Option<f64>> = sizes.iter().map(|size| cells.us(engine, threads, *size)).collect();
        let shown = |us: &Option<f64>| us.map_or(" |".to_owned(), |us| format!(" {} |", grouped(us)));
        let texts: String = times.iter().map(shown).collect();
        times.iter().any(Option::is_some).then(|| format!("| {engine} | {threads} |{texts}"))
    };
    Engine::ALL.into_iter().filter_map(row).collect()
}

/// Ratios with their targets; those that fall short say so.
fn ratios(name: &str, threads: usize, sizes: &[usize], of: impl Fn(usize) -> Option<(f64, Option<f64>)>) -> String {
    let mut line = format!("| {name} | {threads} |");
    for size in sizes {
        line += &match of(*size) {
            None => " |".to_owned(),
            Some((ratio, None)) => format!(" {ratio:.2} |"),
            Some((ratio, Some(target))) if ratio < target => format!(" {ratio:.2} **< {target}** |"),
            Some((ratio, Some(target))) => format!(" {ratio:.2} ≥ {target} |"),
        };
    }
    line
}

/// A benchmark of a wrong answer is worthless: who gives one is named.
fn wrong(cells: &Cells) -> Vec<String> {
    let line = |(engine, threads, facts): &(Engine, usize, super::process::Facts)| {
        let others = *engine != Engine::Arborgate && *threads == 1 && facts.differ > 0;
        let (differ, compared, largest) = (facts.differ, facts.compared, facts.largest);
        others
            .then(|| format!("- {engine}: {differ} of {compared} rows are more than 1e-4 off, by up to {largest:.2e}"))
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
        let text = of(&model, &[1, 4_096], &[1, 2], &cells);
        for line in [
            "| µs a call | threads | 1 | 4,096 |",
            "| XGBoost (C) | 1 | 400 | 6,000 |",
            "| oneDAL | 1 | 30 | |",
            "| **the best other ÷ Arborgate** | 1 | 3.00 **< 4** | 6.00 ≥ 5 |",
            "| **Arborgate, one thread ÷ two** | 2 | | 1.82 **< 1.9** |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
