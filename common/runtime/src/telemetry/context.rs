//! W3C trace context (<https://www.w3.org/TR/trace-context/>): the `traceparent` of the current span, and a parent from
//! another process. `tracestate` is not carried.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

static EXPORTING: AtomicBool = AtomicBool::new(false);

pub(super) fn set_exporting(on: bool) {
    EXPORTING.store(on, Ordering::Relaxed);
}

/// Whether spans are exported by this process.
pub fn is_exporting() -> bool {
    EXPORTING.load(Ordering::Relaxed)
}

const LENGTH: usize = 55;

/// A valid `traceparent` of version 00, such as `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Traceparent {
    trace: u128,
    span: u64,
    flags: u8,
}

/// Why a text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
pub struct NotTraceparent;

impl Traceparent {
    /// Whether the trace is kept.
    pub fn is_sampled(&self) -> bool {
        self.flags & TraceFlags::SAMPLED.to_u8() != 0
    }

    fn of(context: &SpanContext) -> Option<Self> {
        context.is_valid().then(|| Self {
            trace: u128::from_be_bytes(context.trace_id().to_bytes()),
            span: u64::from_be_bytes(context.span_id().to_bytes()),
            flags: context.trace_flags().to_u8() & TraceFlags::SAMPLED.to_u8(),
        })
    }

    fn to_context(self) -> SpanContext {
        SpanContext::new(
            TraceId::from_bytes(self.trace.to_be_bytes()),
            SpanId::from_bytes(self.span.to_be_bytes()),
            TraceFlags::new(self.flags),
            true,
            TraceState::NONE,
        )
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl fmt::Debug for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Traceparent {
    type Err = NotTraceparent;

    /// A later version than 00 may have more fields; they are left out, as section 4 of the recommendation asks.
    fn from_str(text: &str) -> Result<Self, NotTraceparent> {
        let (known, more) = text.split_at_checked(LENGTH).ok_or(NotTraceparent)?;
        if !known.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')) {
            return Err(NotTraceparent);
        }
        let mut parts = known.split('-');
        let mut part = |length: usize| parts.next().filter(|part| part.len() == length).ok_or(NotTraceparent);
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let later = version != "00" && (more.is_empty() || more.starts_with('-'));
        if version == "ff" || !(later || more.is_empty()) {
            return Err(NotTraceparent);
        }
        let trace = u128::from_str_radix(trace, 16).map_err(|_| NotTraceparent)?;
        let span = u64::from_str_radix(span, 16).map_err(|_| NotTraceparent)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NotTraceparent)? & TraceFlags::SAMPLED.to_u8();
        if trace == 0 || span == 0 { Err(NotTraceparent) } else { Ok(Self { trace, span, flags }) }
    }
}

/// The current span's, to be sent with a request. None where nothing is exported or no span is current.
pub fn current_traceparent() -> Option<Traceparent> {
    if !is_exporting() {
        return None;
    }
    // not `Span::current()`, which may be a span of another library that is logged and not exported
    Context::map_current(|context| Traceparent::of(context.span().span_context()))
}

/// Makes a span the child of one in another process. Only before the span was entered or asked for its own
/// `traceparent`. A text that is no `traceparent` is left out, so that the span begins a trace of its own.
pub fn set_parent(span: &Span, traceparent: &str) {
    if !is_exporting() {
        return;
    }
    let Ok(parent) = traceparent.parse::<Traceparent>() else { return };
    let context = Context::new().with_remote_span_context(parent.to_context());
    if let Err(error) = span.set_parent(context) {
        tracing::debug!(%error, "a span was given its parent too late");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn valid_ones_are_read() {
        let read: Traceparent = EXAMPLE.parse().unwrap();
        assert_eq!(read.to_string(), EXAMPLE);
        assert!(read.is_sampled());
        assert_eq!(Traceparent::of(&read.to_context()), Some(read));
        // a later version, with and without more fields; unknown flags are dropped
        for later in ["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what", &EXAMPLE.replacen("00", "01", 1)]
        {
            assert_eq!(later.parse(), Ok(read));
        }
        assert_eq!(EXAMPLE.replace("-01", "-ff").parse(), Ok(read));
        assert!(!EXAMPLE.replace("-01", "-00").parse::<Traceparent>().unwrap().is_sampled());
    }

    #[test]
    fn invalid_ones_are_refused() {
        let wrong = [
            "",
            "00",
            &EXAMPLE.to_uppercase(),
            &EXAMPLE.replacen("00", "ff", 1),
            &EXAMPLE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &EXAMPLE.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &format!("{EXAMPLE}-more"),
            &format!("{EXAMPLE}\n"),
            &EXAMPLE.replacen("4bf92", "4b-92", 1),
            &EXAMPLE.replacen("4bf92", "+bf92", 1),
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Traceparent>(), Err(NotTraceparent), "{text}");
        }
    }

    #[test]
    fn nothing_is_done_where_nothing_is_exported() {
        assert!(!is_exporting());
        assert_eq!(current_traceparent(), None);
        let span = crate::request_span!("request", id = 1);
        assert!(span.is_none());
        set_parent(&span, EXAMPLE);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(.{0,80}|[0-9a-f-]{50,60})") {
            if let Ok(read) = text.parse::<Traceparent>() {
                prop_assert!(text.starts_with(&read.to_string()[..2]) || text.len() >= LENGTH);
                prop_assert_eq!(read.to_string().parse(), Ok(read));
            }
        }

        #[test]
        fn what_is_shown_is_read_back(trace in 1u128.., span in 1u64.., sampled: bool) {
            let made = Traceparent { trace, span, flags: u8::from(sampled) };
            prop_assert_eq!(made.to_string().parse(), Ok(made));
        }
    }
}
