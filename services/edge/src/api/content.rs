//! Bodies of predictions and explanations: rows come, and answers go, as JSON, CSV or a stream of Apache Arrow, packed or not,
//! as the request's headers say.

use std::marker::PhantomData;

use arborgate_contracts::ServiceError;
use arborgate_tables::Frame;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use poem::{IntoResponse, Response};
use poem_openapi::registry::{
    MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions};

use super::payload::Shown;
use crate::front::admitted::Anybody;
use crate::front::body;
use crate::front::coding::{self, Coding, quality};
use crate::front::problem::Problem;
use crate::models::rows::Form;

const FORMS: [Form; 3] = [Form::Json, Form::Csv, Form::Arrow];

/// A form's content type.
fn content_type(form: Form) -> &'static str {
    match form {
        Form::Json => "application/json",
        Form::Csv => "text/csv",
        Form::Arrow => "application/vnd.apache.arrow.stream",
    }
}

/// Of which form a body is; 415 if of none.
fn form_of(headers: &HeaderMap) -> Result<Form, Problem> {
    let sent = body::media_type(headers);
    FORMS.into_iter().find(|form| sent.eq_ignore_ascii_case(content_type(*form))).ok_or_else(|| {
        let [json, csv, arrow] = FORMS.map(content_type);
        body::unsupported(format!("this operation reads {json}, {csv} and {arrow}; say which in 'Content-Type'"))
    })
}

/// The form that `Accept` likes best; of equals the one named first. What it does not name is answered as JSON.
fn wanted(headers: &HeaderMap) -> Form {
    let mut best: Option<(f32, Form)> = None;
    for list in headers.get_all(header::ACCEPT) {
        for entry in list.to_str().unwrap_or_default().split(',') {
            let (name, quality) = quality(entry);
            let named = FORMS.into_iter().find(|form| name.eq_ignore_ascii_case(content_type(*form)));
            let any = ["*/*", "application/*"].contains(&name).then_some(Form::Json);
            let Some(form) = named.or(any).filter(|_| quality > 0.0) else { continue };
            if best.is_none_or(|(than, _)| quality > than) {
                best = Some((quality, form));
            }
        }
    }
    best.map_or(Form::Json, |(_, form)| form)
}

/// A request's body, and what its answer shall be like.
pub(super) struct Content<T> {
    /// The body's.
    pub form: Form,
    /// Unpacked.
    pub bytes: Bytes,
    /// The answer's.
    pub wants: Wants,
    _shown: PhantomData<fn() -> T>,
}

/// What an answer shall be like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wants {
    /// What is written.
    pub form: Form,
    coding: Option<Coding>,
}

fn media<T: Type>() -> Vec<MetaMediaType> {
    let text = |format, description| {
        let schema = match format {
            None => MetaSchema::new("string"),
            Some(format) => MetaSchema::new_with_format("string", format),
        };
        MetaSchemaRef::Inline(Box::new(MetaSchema { description: Some(description), ..schema }))
    };
    vec![
        MetaMediaType { content_type: content_type(Form::Json), schema: T::schema_ref() },
        MetaMediaType {
            content_type: content_type(Form::Csv),
            schema: text(None, "A header of names, then a row a line."),
        },
        MetaMediaType {
            content_type: content_type(Form::Arrow),
            schema: text(Some("binary"), "A stream of Apache Arrow IPC, its batches not compressed within it."),
        },
    ]
}

impl<'a, T: Shown> ApiExtractor<'a> for Content<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let description =
            Some("Of CSV and Arrow each feature is a column by its name. May be packed: gzip, zstd or deflate.");
        Some(MetaRequest { description, content: media::<T>(), required: true })
    }

    async fn from_request(
        request: &'a poem::Request,
        body: &mut poem::RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let headers = request.headers();
        let form = form_of(headers)?;
        let wants = Wants { form: wanted(headers), coding: Coding::wanted(headers) };
        let limits = Anybody::of(request)?.sizes;
        let bytes = body::read(body, headers, limits.of(T::PREDICTION)).await?;
        Ok(Self { form, bytes, wants, _shown: PhantomData })
    }
}

/// An answer in the form that was wanted, of which the document shows the JSON as `T`.
pub(super) struct Answered<T> {
    body: Bytes,
    form: Form,
    coding: Option<HeaderValue>,
    /// Microseconds that it waited and computed.
    times: (u32, u32),
    _shown: PhantomData<fn() -> T>,
}

impl<T> Answered<T> {
    /// Of JSON that was written already.
    pub(super) async fn json(json: Vec<u8>, wants: Wants, times: (u32, u32)) -> Self {
        Self::new(json.into(), Form::Json, wants, times).await
    }

    /// Of a table.
    pub(super) async fn table(frame: &Frame, wants: Wants, times: (u32, u32)) -> Result<Self, Problem> {
        let written = match wants.form {
            Form::Arrow => frame.arrow(),
            Form::Csv | Form::Json => frame.csv(),
        };
        let bytes = written.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "an answer can not be written");
            Problem::from(ServiceError::internal())
        })?;
        Ok(Self::new(bytes.into(), wants.form, wants, times).await)
    }

    async fn new(body: Bytes, form: Form, wants: Wants, times: (u32, u32)) -> Self {
        let (body, coding) = match wants.coding.filter(|_| body.len() >= coding::WORTH) {
            None => (body, None),
            // Boxed: the future of what is not packed stays small.
            Some(coding) => Box::pin(coding::packed(body, coding)).await,
        };
        Self { body, form, coding, times, _shown: PhantomData }
    }
}

/// Headers of an answer.
const HEADERS: usize = 12;

impl<T: Send> IntoResponse for Answered<T> {
    fn into_response(self) -> Response {
        let mut response = Response::builder().body(self.body);
        // With room for all that an answer has: two tables fewer are thrown away.
        *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(self.form)));
        if let Some(coding) = self.coding {
            headers.insert(header::CONTENT_ENCODING, coding);
        }
        if self.form != Form::Json || response.headers().contains_key(header::CONTENT_ENCODING) {
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        }
        crate::front::timing(&mut response, self.times.0, self.times.1);
        response
    }
}

impl<T: Type> ApiResponse for Answered<T> {
    fn meta() -> MetaResponses {
        let description = "Done. `Accept` says in which form, `Accept-Encoding` whether it is packed. In a table the columns \
                           are called as the members in JSON, joined by dots: `probabilities.setosa`.";
        let response = MetaResponse {
            description,
            status: Some(200),
            status_range: None,
            content: media::<T>(),
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (header::ACCEPT, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn an_answer_has_the_form_that_is_liked_best() {
        for (accept, form) in [
            (&[][..], Form::Json),
            (&["*/*"], Form::Json),
            (&["text/html"], Form::Json),
            (&["text/csv"], Form::Csv),
            (&["Text/CSV; charset=utf-8"], Form::Csv),
            (&["application/vnd.apache.arrow.stream, application/json"], Form::Arrow),
            (&["application/json, text/csv"], Form::Json),
            (&["application/json;q=0.5, text/csv;q=0.8"], Form::Csv),
            (&["text/csv;q=0", "application/json"], Form::Json),
            (&["*/*;q=0.1, text/csv;q=0.2"], Form::Csv),
        ] {
            assert_eq!(wanted(&accepting(accept)), form, "{accept:?}");
        }
    }
}
