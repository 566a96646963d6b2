//! Answers that are more than JSON: where a job is, its events, its result.

use arborgate_contracts::jobs::FileKind;
use http::{HeaderValue, StatusCode, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;

use super::files::{TYPES, files};
use super::view::JobView;
use crate::api::payload::Rendered;
use crate::jobs::{Download, Left, Seen, Stream};

/// 202, and where the job is.
pub(super) struct Accepted(pub(in crate::api) Seen);

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let location = HeaderValue::try_from(format!("/v1/jobs/{}", self.0.job.id));
        let mut response = Rendered::<JobView>::new(JobView::line(&self.0).into_bytes()).into_response();
        response.set_status(StatusCode::ACCEPTED);
        if let Ok(location) = location {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

pub(super) fn json(status: u16, description: &'static str) -> MetaResponse {
    MetaResponse {
        description,
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType { content_type: "application/json", schema: JobView::schema_ref() }],
        headers: Vec::new(),
    }
}

pub(super) fn header_shown(name: &'static str, description: &'static str) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
    }
}

impl ApiResponse for Accepted {
    fn meta() -> MetaResponses {
        let location = header_shown("Location", "Where the job is.");
        MetaResponses {
            responses: vec![MetaResponse {
                headers: vec![location],
                ..json(202, "The job is made, and waits for a worker.")
            }],
        }
    }

    fn register(registry: &mut Registry) {
        JobView::register(registry);
    }
}

/// 200 with the job where it was cancelled, 204 where it was removed.
pub(super) struct Ended(pub(in crate::api) Left);

impl IntoResponse for Ended {
    fn into_response(self) -> Response {
        match self.0 {
            Left::Cancelled(seen) => Rendered::<JobView>::new(JobView::line(&seen).into_bytes()).into_response(),
            Left::Removed => Response::builder().status(StatusCode::NO_CONTENT).finish(),
        }
    }
}

impl ApiResponse for Ended {
    fn meta() -> MetaResponses {
        let removed = MetaResponse {
            description: "It was over, and is removed.",
            status: Some(204),
            status_range: None,
            content: Vec::new(),
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![json(200, "It was not over, and is cancelled."), removed] }
    }

    fn register(registry: &mut Registry) {
        JobView::register(registry);
    }
}

/// Server-sent events.
pub(super) struct Events(pub(in crate::api) Stream);

pub(super) const EVENTS: &str = "text/event-stream";

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        // What stands between shall not gather them.
        let response = Response::builder().content_type(EVENTS).header("X-Accel-Buffering", "no");
        response.body(Body::from_bytes_stream(self.0.bytes()))
    }
}

impl ApiResponse for Events {
    fn meta() -> MetaResponses {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema {
            description: Some("Events `progress` and, last, `end`; the data of each is the job."),
            ..MetaSchema::new("string")
        }));
        let response = MetaResponse {
            description: "Events until the job is over. `Last-Event-ID` says what was seen before.",
            status: Some(200),
            status_range: None,
            content: vec![MetaMediaType { content_type: EVENTS, schema }],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        JobView::register(registry);
    }
}

impl IntoResponse for Download {
    fn into_response(self) -> Response {
        let content_type = TYPES.into_iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, name)| name);
        let (from, to) = self.part.unwrap_or((0, self.size));
        let mut response = Response::builder()
            .content_type(content_type)
            .header(header::CONTENT_LENGTH, to - from)
            .header(header::ACCEPT_RANGES, "bytes")
            .header(header::ETAG, format!("\"{}\"", self.digest))
            .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", self.name));
        if self.part.is_some() {
            let range = format!("bytes {from}-{}/{}", to.saturating_sub(1), self.size);
            response = response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, range);
        }
        response.body(self.body)
    }
}

impl ApiResponse for Download {
    fn meta() -> MetaResponses {
        let content = || files(&[FileKind::Csv, FileKind::Parquet, FileKind::Npy]);
        let response = |status, description| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: content(),
            headers: Vec::new(),
        };
        let responses = vec![response(200, "The result."), response(206, "The part of it that `Range` asked for.")];
        MetaResponses { responses }
    }

    fn register(_registry: &mut Registry) {}
}
