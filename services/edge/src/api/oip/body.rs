//! Bodies of the Open Inference Protocol's operations.

use std::marker::PhantomData;

use arborgate_contracts::ErrorCode;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use poem::{IntoResponse, Response};
use poem_openapi::registry::{
    MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions};

use super::schemas::{IndexRequest, InferAnswer, InferRequest, LoadRequest};
use crate::front::admitted::Anybody;
use crate::front::body;
use crate::front::coding::{self, Coding};
use crate::front::problem::Problem;

const JSON: &str = "application/json";
const BINARY: &str = "application/octet-stream";
const LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Whether the body's type is one that the protocol's clients send; most send none.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    if !headers.contains_key(header::CONTENT_TYPE) {
        return Ok(());
    }
    let essence = body::media_type(headers);
    if essence.eq_ignore_ascii_case(JSON) && headers.get(LENGTH).is_some_and(|length| length == "0") {
        let detail = "Inference-Header-Content-Length: 0 says that the body is raw, and its Content-Type that it is JSON; \
                      send a raw body as application/octet-stream";
        return Err(Problem::new(ErrorCode::BadRequest, detail));
    }
    if [JSON, BINARY].iter().any(|known| essence.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(body::unsupported(format!(
        "this operation reads {JSON} and {BINARY}; send one of them as 'Content-Type', or none"
    )))
}

fn binary(description: &'static str) -> MetaMediaType {
    let schema = MetaSchema { description: Some(description), ..MetaSchema::new_with_format("string", "binary") };
    MetaMediaType { content_type: BINARY, schema: MetaSchemaRef::Inline(Box::new(schema)) }
}

/// A request's body, unpacked.
pub(super) struct InferBody {
    pub(super) bytes: Bytes,
    /// In which the answer may be packed.
    pub(super) coding: Option<Coding>,
}

impl<'a> ApiExtractor<'a> for InferBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        InferRequest::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let description = Some(
            "May be packed: gzip, deflate or zstd; `Inference-Header-Content-Length` is that of the JSON unpacked.",
        );
        let content = vec![
            MetaMediaType { content_type: JSON, schema: InferRequest::schema_ref() },
            binary("The JSON, then the buffers of the inputs that say binary_data_size, in their order."),
        ];
        Some(MetaRequest { description, content, required: true })
    }

    async fn from_request(
        request: &'a poem::Request,
        body: &mut poem::RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let headers = request.headers();
        check_type(headers)?;
        let coding = Coding::wanted(headers);
        let limits = Anybody::of(request)?.sizes;
        let bytes = body::read(body, headers, limits.of(true)).await?;
        Ok(Self { bytes, coding })
    }
}

/// An answer in JSON, or JSON and buffers.
pub(super) struct Inferred {
    body: Bytes,
    json: Option<usize>,
    coding: Option<HeaderValue>,
    times: (u32, u32),
}

impl Inferred {
    /// Packs what is worth it. `json` are the bytes before buffers.
    pub(super) async fn new(body: Bytes, json: Option<usize>, coding: Option<Coding>, times: (u32, u32)) -> Self {
        let (body, coding) = match coding.filter(|_| body.len() >= coding::WORTH) {
            None => (body, None),
            // Boxed: the future of what is not packed stays small.
            Some(coding) => Box::pin(coding::packed(body, coding)).await,
        };
        Self { body, json, coding, times }
    }
}

impl IntoResponse for Inferred {
    fn into_response(self) -> Response {
        let mut response = Response::builder().body(self.body);
        let headers = response.headers_mut();
        let kind = if self.json.is_some() { BINARY } else { JSON };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(len) = self.json {
            headers.insert(LENGTH, HeaderValue::from(len));
        }
        if let Some(coding) = self.coding {
            headers.insert(header::CONTENT_ENCODING, coding);
            headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        crate::front::timing(&mut response, self.times.0, self.times.1);
        response
    }
}

impl ApiResponse for Inferred {
    fn meta() -> MetaResponses {
        let response = MetaResponse {
            description: "Done. In binary if the request asks for it; `Inference-Header-Content-Length` then is the JSON's length.",
            status: Some(200),
            status_range: None,
            content: vec![
                MetaMediaType { content_type: JSON, schema: InferAnswer::schema_ref() },
                binary("The JSON, then the buffers of the outputs that say binary_data_size, in their order."),
            ],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        InferAnswer::register(registry);
    }
}

/// A body that may be left out, of JSON.
struct Optional<T> {
    bytes: Bytes,
    _shown: PhantomData<fn() -> T>,
}

impl<T: Type> Optional<T> {
    fn meta() -> MetaRequest {
        let content = vec![MetaMediaType { content_type: JSON, schema: T::schema_ref() }];
        MetaRequest { description: None, content, required: false }
    }

    async fn read(request: &poem::Request, body: &mut poem::RequestBody) -> poem::Result<Self> {
        check_type(request.headers())?;
        let limits = Anybody::of(request)?.sizes;
        let bytes = body::read(body, request.headers(), limits.of(false)).await?;
        Ok(Self { bytes, _shown: PhantomData })
    }

    fn parse(&self) -> Result<body::Fields, Problem> {
        let nothing = self.bytes.iter().all(u8::is_ascii_whitespace);
        body::Fields::parse(if nothing { b"{}" } else { &self.bytes })
    }
}

/// A request to load or unload a model, with parameters that mean nothing here: those that would change the model are refused.
pub(super) struct LoadBody;

impl<'a> ApiExtractor<'a> for LoadBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        LoadRequest::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(Optional::<LoadRequest>::meta())
    }

    async fn from_request(
        request: &'a poem::Request,
        body: &mut poem::RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let mut fields = Optional::<LoadRequest>::read(request, body).await?.parse()?;
        let parameters = fields.optional("parameters", |value| match value {
            serde_json::Value::Object(parameters) => Ok(parameters),
            _ => Err("must be an object".to_owned()),
        });
        fields.finish()?;
        let changes = |name: &&String| *name == "config" || name.starts_with("file:");
        match parameters.iter().flat_map(|parameters| parameters.keys()).find(changes) {
            Some(_) => Err(crate::protocol::no_override("/parameters").into()),
            None => Ok(Self),
        }
    }
}

/// Which versions are wanted.
pub(super) struct IndexBody {
    /// Those that are ready; else all.
    pub(super) ready: bool,
}

impl<'a> ApiExtractor<'a> for IndexBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        IndexRequest::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(Optional::<IndexRequest>::meta())
    }

    async fn from_request(
        request: &'a poem::Request,
        body: &mut poem::RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let mut fields = Optional::<IndexRequest>::read(request, body).await?.parse()?;
        let ready = fields.optional("ready", |value| value.as_bool().ok_or_else(|| "must be true or false".to_owned()));
        fields.finish()?;
        Ok(Self { ready: ready.unwrap_or(false) })
    }
}
