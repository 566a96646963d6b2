//! Payloads of our own: poem-openapi's JSON answers bad input with plain text and tells the first fault only.

use std::marker::PhantomData;
use std::sync::Arc;

use arborgate_contracts::ServiceError;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::Serialize;

use super::Shared;
use crate::front::admitted::Anybody;
use crate::front::problem::Problem;

/// What handlers share; absent only where nothing but the document is asked for.
#[derive(Clone)]
pub(super) struct State(pub Option<Arc<Shared>>);

impl State {
    /// It.
    pub(super) fn get(&self) -> Result<&Arc<Shared>, Problem> {
        self.0.as_ref().ok_or_else(|| ServiceError::internal().into())
    }
}

/// A JSON answer that is written already, of the type that the document shows.
pub(super) struct Rendered<T> {
    json: Vec<u8>,
    _shown: PhantomData<fn() -> T>,
}

impl<T> Rendered<T> {
    /// Of JSON.
    pub(super) fn new(json: Vec<u8>) -> Self {
        Self { json, _shown: PhantomData }
    }

    /// Of a value that serializes as `T` shows.
    pub(super) fn of(value: &impl Serialize) -> Result<Self, Problem> {
        serde_json::to_vec(value).map(Self::new).map_err(|error| {
            tracing::error!(%error, "an answer can not be written");
            ServiceError::internal().into()
        })
    }
}

/// Headers of an answer.
const HEADERS: usize = 12;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl<T: Send> IntoResponse for Rendered<T> {
    fn into_response(self) -> Response {
        let mut response = Response::builder().body(Bytes::from(self.json));
        // With room for all that an answer has: two tables fewer are thrown away.
        *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
        response.headers_mut().insert(header::CONTENT_TYPE, JSON);
        response
    }
}

fn answers<T: Type>(status: u16, description: &'static str) -> MetaResponse {
    MetaResponse {
        description,
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType { content_type: "application/json", schema: T::schema_ref() }],
        headers: Vec::new(),
    }
}

impl<T: Type> ApiResponse for Rendered<T> {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![answers::<T>(200, "Done.")] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// An answer with 201 where something was made, 200 where it was there already.
pub(super) struct Made<T> {
    /// What.
    pub rendered: Rendered<T>,
    /// Whether it was made now.
    pub created: bool,
}

impl<T: Send> IntoResponse for Made<T> {
    fn into_response(self) -> Response {
        let mut response = self.rendered.into_response();
        if self.created {
            response.set_status(StatusCode::CREATED);
        }
        response
    }
}

impl<T: Type> ApiResponse for Made<T> {
    fn meta() -> MetaResponses {
        let responses = vec![answers::<T>(200, "It was there already."), answers::<T>(201, "Made.")];
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// 204.
pub(super) struct Gone;

impl IntoResponse for Gone {
    fn into_response(self) -> Response {
        Response::builder().status(StatusCode::NO_CONTENT).finish()
    }
}

impl ApiResponse for Gone {
    fn meta() -> MetaResponses {
        let response = MetaResponse {
            description: "Done.",
            status: Some(204),
            status_range: None,
            content: Vec::new(),
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(_registry: &mut Registry) {}
}

/// A JSON body as bytes: the handler reads it, the document shows `T`.
pub(super) struct RawJson<T> {
    /// The body.
    pub bytes: Bytes,
    _shown: PhantomData<fn() -> T>,
}

/// What sets some bodies apart from others.
pub(super) trait Shown: Type {
    /// Whether it is a prediction's, which may be larger.
    const PREDICTION: bool = false;
    /// Of a prediction: whether a row may stand alone.
    const ALONE: bool = true;
}

impl<T: Shown> poem_openapi::payload::Payload for RawJson<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<'a, T: Shown> poem_openapi::ApiExtractor<'a> for RawJson<T> {
    const TYPES: &'static [poem_openapi::ApiExtractorType] = &[poem_openapi::ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<poem_openapi::registry::MetaRequest> {
        let content = vec![MetaMediaType { content_type: "application/json", schema: T::schema_ref() }];
        Some(poem_openapi::registry::MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a poem::Request,
        body: &mut poem::RequestBody,
        _options: poem_openapi::ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        crate::front::body::check_type(request.headers(), "application/json")?;
        let limits = Anybody::of(request)?.sizes;
        let bytes = crate::front::body::read(body, request.headers(), limits.of(T::PREDICTION)).await?;
        Ok(Self { bytes, _shown: PhantomData })
    }
}
