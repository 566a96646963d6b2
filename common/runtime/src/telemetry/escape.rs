//! Text of others, shown with every character escaped that could end a line, drive a terminal or reorder what is read: in
//! the fields of a text log line, and wherever a person reads it. `tracing-subscriber` does this for values shown by `Debug`, not for `%` (`Display`) and messages.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Formats `message key=value …`.
#[derive(Clone, Copy, Debug)]
pub(super) struct EscapedFields;

impl<'writer> FormatFields<'writer> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = FieldVisitor { out: &mut writer, first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct FieldVisitor<'a> {
    out: &'a mut dyn Write,
    first: bool,
    result: fmt::Result,
}

impl FieldVisitor<'_> {
    fn field(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // `log.target` and the like, which the bridge from `log` adds and the formatter shows by itself
        if self.result.is_err() || field.name().starts_with("log.") {
            return;
        }
        let space = if std::mem::take(&mut self.first) { "" } else { " " };
        let name = if field.name() == "message" { ("", "") } else { (field.name(), "=") };
        self.result =
            write!(self.out, "{space}{}{}", name.0, name.1).and_then(|()| Escaping(self.out).write_fmt(value));
    }
}

impl Visit for FieldVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.field(field, format_args!("{value}"));
        } else {
            self.field(field, format_args!("{value:?}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, format_args!("{value:?}"));
    }
}

/// A text that came from elsewhere, for a terminal.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Writing to a String can not fail.
    let _ = Escaping(&mut out).write_str(text);
    out
}

struct Escaping<'a>(&'a mut dyn Write);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_dangerous) {
            let (clean, tail) = rest.split_at(at);
            self.0.write_str(clean)?;
            let mut chars = tail.chars();
            if let Some(found) = chars.next() {
                write!(self.0, "{}", found.escape_default())?;
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Controls (C0 with escape and newline, DEL, C1), Unicode's line and paragraph separators, and its bidirectional
/// controls, by which a text can be made to look like another.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Sink {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn logged(write: impl FnOnce()) -> String {
        let sink = Sink::default();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(EscapedFields)
            .with_ansi(false)
            .without_time()
            .with_writer(sink.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, write);
        let bytes = sink.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    const EVIL: &str = "bob\n2026-01-01T00:00:00Z  INFO admin signed in\r\x1b[2J\u{9b}31m\u{85}\u{2028}\u{202e}\0";

    #[test]
    fn no_text_forges_a_line() {
        let text = logged(|| {
            let span = tracing::info_span!("request", path = %EVIL, peer = EVIL, late = tracing::field::Empty);
            span.record("late", tracing::field::display(EVIL));
            let _entered = span.enter();
            tracing::info!(user = %EVIL, agent = EVIL, debug = ?EVIL, "signed in: {EVIL}");
            tracing::info!(error = &io::Error::other(EVIL) as &(dyn std::error::Error + 'static));
        });
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(|line| line.trim_start().starts_with("INFO request{")), "{text}");
        let found: Vec<char> = text.chars().filter(|c| is_dangerous(*c) && *c != '\n').collect();
        assert!(found.is_empty(), "{found:?}");
        assert!(text.contains(r"user=bob\n2026-01-01"), "{text}");
        assert!(text.contains(r"\u{1b}[2J\u{9b}31m\u{85}\u{2028}\u{202e}\u{0}"), "{text}");
        assert!(text.contains(r"late=bob\n"), "{text}");
    }

    #[test]
    fn what_is_harmless_stays_as_it_is() {
        let text = logged(|| tracing::info!(count = 3, ok = true, name = "Zoë", path = %"/a b", "größer"));
        assert_eq!(
            text.trim_end(),
            " INFO arborgate_runtime::telemetry::escape::tests: größer count=3 ok=true name=\"Zoë\" path=/a b"
        );
    }

    proptest::proptest! {
        #[test]
        fn every_text_stays_on_its_line(text: String) {
            let mut out = String::new();
            Escaping(&mut out).write_str(&text).unwrap();
            proptest::prop_assert!(!out.contains(is_dangerous));
            if !text.contains(is_dangerous) {
                proptest::prop_assert_eq!(out, text);
            }
        }
    }
}
