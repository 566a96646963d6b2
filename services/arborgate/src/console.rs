//! What a person reads on the terminal: results to standard output, failures to standard error.

use std::error::Error as StdError;
use std::io::{self, Write};

use arborgate_runtime::telemetry::escaped;

use crate::error::Error;

/// Writes to standard output and sends it on.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::Output)
}

/// Writes a server's answer as JSON.
pub(crate) fn json(answer: &serde_json::Value) -> Result<(), Error> {
    print(&as_json(answer))
}

/// What the writer of JSON leaves is escaped as well where a terminal would obey it.
fn as_json(answer: &serde_json::Value) -> String {
    let mut text = String::new();
    for c in format!("{answer:#}\n").chars() {
        match c {
            '\n' | ' '..='~' => text.push(c),
            // All that is dangerous is of one UTF-16 unit.
            c if escaped(c.encode_utf8(&mut [0; 4])).starts_with('\\') => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => text.push(c),
        }
    }
    text
}

/// Tells a failure with its causes.
pub(crate) fn fail(error: &Error) {
    let mut text = format!("arborgate: {error}");
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        // Transparent errors repeat their source.
        if !text.ends_with(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    // With standard error gone there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Rows under their heads, in columns.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| escaped(cell)).collect()).collect();
    let width = |column: usize, head: &str| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
            .max(head.len())
    };
    let widths: Vec<usize> = heads.iter().enumerate().map(|(column, head)| width(column, head)).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut heads.iter().copied());
    for row in &rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_server_sent_does_not_drive_the_terminal() {
        let rows = vec![vec!["\u{1b}[2J\u{202e}x\n".to_owned()]];
        assert_eq!(super::table(&["NAME"], &rows), "NAME\n\\u{1b}[2J\\u{202e}x\\n\n");
        let answer = serde_json::json!({"a": "\u{1b}\u{9b}\u{202e}\\é\n"});
        let text = super::as_json(&answer);
        assert!(!text.trim_end().contains(|c: char| c != '\n' && c.is_control()) && text.contains('é'), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), answer);
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["a".to_owned(), "b".to_owned()], vec!["long".to_owned(), "é".to_owned()]];
        assert_eq!(super::table(&["NAME", "X"], &rows), "NAME  X\na     b\nlong  é\n");
    }
}
