//! A model's file on its way in: alone, or in a form with what its uploader says of it. Only what is said is held in memory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use arborgate_bus::{ObjectInfo, Objects};
use arborgate_contracts::provenance::Provenance;
use arborgate_contracts::signature::GivenSignature;
use arborgate_contracts::{ErrorCode, Fault};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use http::header;
use multer::{Field, Multipart};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::multipart::Upload as File;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, Multipart as Form};
use serde::de::DeserializeOwned;

use crate::front::problem::Problem;
use crate::front::{body, pointer};
use crate::upload::{self, Upload};

/// Bytes of the part that says what the model is like.
const SIGNATURE: usize = 1 << 20;
/// Bytes of the part that vouches for it.
const PROVENANCE: usize = 16 << 10;
/// Bytes of a form before its file, with the heads of its parts and what is read ahead, and after it.
const BESIDE: u64 = (SIGNATURE + PROVENANCE + (1 << 20)) as u64;
const AFTER: u64 = 64 << 10;
const OCTETS: &str = "application/octet-stream";
const FORM: &str = "multipart/form-data";

/// A model's file with what is said of it, as the document shows it.
#[derive(Debug, Form)]
#[allow(dead_code, reason = "the document shows it; it is read part by part")]
struct ArtifactForm {
    /// What the model is like, in TOML or JSON: `description`, `labels`, `features` (a list in the file's order, or a
    /// table by the file's names, of `name`, `type`, `unit`, `description`, `min`, `max`, `missing`, `categories`),
    /// `classes`.
    signature: Option<String>,
    /// Who vouches for the file: what `arborgate models sign` wrote.
    provenance: Option<String>,
    /// The model's file; the last part.
    file: File,
}

/// A model's file that is not read yet.
pub(super) struct Artifact {
    /// What is said of the model.
    pub signature: GivenSignature,
    /// Who vouches for the file.
    pub provenance: Option<Provenance>,
    source: Source,
}

enum Source {
    Body(Upload),
    Part(Box<Part>),
}

/// The part of a form that is the file.
struct Part {
    form: Multipart<'static>,
    file: Field<'static>,
    most: u64,
    allowance: Allowance,
}

impl Artifact {
    /// Into the object store.
    pub(super) async fn store(self, objects: &Objects, name: &str) -> Result<ObjectInfo, Problem> {
        let Part { mut form, file, most, allowance } = match self.source {
            Source::Body(upload) => return upload.store(objects, name).await,
            Source::Part(part) => *part,
        };
        allowance.set(u64::MAX);
        let pieces = Box::pin(file.map_err(io_error));
        let stored = upload::store(pieces, most, objects, name).await?;
        allowance.set(AFTER);
        match form.next_field().await {
            Ok(None) => Ok(stored),
            outcome => {
                if let Err(error) = objects.delete(name).await {
                    tracing::warn!(%error, "an upload that was refused could not be deleted");
                }
                Err(outcome.err().map_or_else(
                    || fault("file", "must be the last part of the form, with signature and provenance before"),
                    |error| broken(error, most),
                ))
            }
        }
    }

    async fn of_form(request: &Request, body: &mut RequestBody) -> Result<Self, Problem> {
        let sent = request.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let boundary = multer::parse_boundary(sent)
            .map_err(|_| Problem::new(ErrorCode::BadRequest, "the form's Content-Type has no boundary"))?;
        let upload = Upload::of(request, body)?;
        let most = upload.most();
        let allowance = Allowance::new(BESIDE);
        let mut form = Multipart::new(allowance.hold(upload.pieces()), boundary);
        let (mut signature, mut provenance) = (None, None);
        loop {
            let part = form.next_field().await.map_err(|error| broken(error, most))?;
            let Some(part) = part else { return Err(fault("file", "is missing: the form has no such part")) };
            match part.name().unwrap_or_default() {
                "signature" if signature.is_none() => {
                    signature = Some(self::signature(&text(part, "signature", SIGNATURE, most).await?)?);
                }
                "provenance" if provenance.is_none() => {
                    let text = text(part, "provenance", PROVENANCE, most).await?;
                    provenance = Some(json::<Provenance>(&text, "provenance")?);
                }
                "file" => {
                    let signature = signature.unwrap_or_default();
                    return Ok(Self {
                        signature,
                        provenance,
                        source: Source::Part(Box::new(Part { form, file: part, most, allowance })),
                    });
                }
                "signature" | "provenance" => return Err(fault("", "has a part twice; each stands there once")),
                _ => return Err(fault("", "has a part that is none of signature, provenance and file")),
            }
        }
    }
}

/// What a form may yet have beside its file, in bytes: its parser keeps that in memory until it has found an end.
#[derive(Clone)]
struct Allowance(Arc<AtomicU64>);

/// Bytes that the parser gets before it looks at them: it would take all that is there.
const AT_ONCE: usize = 64 << 10;

impl Allowance {
    fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Pieces, of which no more come than are allowed (`QuotaExceeded`), and a pause after every [`AT_ONCE`] bytes.
    fn hold<S>(&self, pieces: S) -> impl Stream<Item = io::Result<Bytes>> + Send + use<S>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let (allowed, mut pieces, mut given) = (Arc::clone(&self.0), Box::pin(pieces), 0);
        stream::poll_fn(move |context| {
            if given >= AT_ONCE {
                given = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Poll::Ready(piece) = pieces.as_mut().poll_next(context) else {
                given = 0;
                return Poll::Pending;
            };
            let piece = piece.map(|piece| {
                let piece = piece?;
                let left = allowed.load(Ordering::Relaxed);
                let after = left.checked_sub(piece.len() as u64).ok_or(io::ErrorKind::QuotaExceeded)?;
                if left < u64::MAX {
                    allowed.store(after, Ordering::Relaxed);
                }
                given += piece.len();
                Ok(piece)
            });
            Poll::Ready(piece)
        })
    }
}

/// A part that is small.
async fn text(mut part: Field<'static>, name: &str, most: usize, upload: u64) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(piece) = part.chunk().await.map_err(|error| broken(error, upload))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > most {
            let detail = format!("the part '{name}' is over the limit of {most} bytes");
            return Err(Problem::new(ErrorCode::TooLarge, detail));
        }
    }
    String::from_utf8(bytes).map_err(|_| fault(name, "is not UTF-8"))
}

/// In JSON when it begins like an object, else in TOML.
fn signature(text: &str) -> Result<GivenSignature, Problem> {
    if text.trim_start().starts_with('{') {
        return json(text, "signature");
    }
    let wrong = |error: &toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        format!("line {line}: {}", error.message())
    };
    let toml = toml::Deserializer::parse(text).map_err(|error| fault("signature", wrong(&error)))?;
    serde_path_to_error::deserialize(toml)
        .map_err(|error| fault(format!("signature{}", pointer::below(error.path())), wrong(error.inner())))
}

fn json<T: DeserializeOwned>(text: &str, part: &str) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut json);
    let read =
        read.map_err(|error| fault(format!("{part}{}", pointer::below(error.path())), error.inner().to_string()))?;
    json.end().map_err(|error| fault(part, error.to_string()))?;
    Ok(read)
}

fn fault(pointer: impl Into<String>, detail: impl Into<String>) -> Problem {
    Problem::invalid(vec![Fault { pointer: pointer.into(), detail: detail.into() }])
}

/// A stream's own error comes out of the form again as it went in.
fn io_error(error: multer::Error) -> io::Error {
    match error {
        multer::Error::StreamReadFailed(inner) => match inner.downcast::<io::Error>() {
            Ok(inner) => *inner,
            Err(inner) => io::Error::other(inner),
        },
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

fn broken(error: multer::Error, most: u64) -> Problem {
    use multer::Error::{IncompleteFieldData, IncompleteHeaders, IncompleteStream, StreamReadFailed};
    if !matches!(error, StreamReadFailed(_) | IncompleteFieldData { .. } | IncompleteHeaders | IncompleteStream) {
        return Problem::new(ErrorCode::BadRequest, "the body is not a multipart form of its Content-Type's boundary");
    }
    let error = io_error(error);
    if error.kind() == io::ErrorKind::QuotaExceeded {
        let detail = format!("the form has more than {BESIDE} bytes before its file, or {AFTER} after it");
        return Problem::new(ErrorCode::TooLarge, detail);
    }
    upload::refusal(&error, most)
}

impl<'a> ApiExtractor<'a> for Artifact {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <ArtifactForm as ApiExtractor>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary")));
        let mut content = vec![MetaMediaType { content_type: OCTETS, schema }];
        content.extend(<ArtifactForm as ApiExtractor>::request_meta().into_iter().flat_map(|form| form.content));
        let description = Some("The model's file, alone or in a form with what is said of it.");
        Some(MetaRequest { description, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let essence = body::media_type(request.headers());
        if essence.eq_ignore_ascii_case(OCTETS) {
            let source = Source::Body(Upload::of(request, body)?);
            return Ok(Self { signature: GivenSignature::default(), provenance: None, source });
        }
        if essence.eq_ignore_ascii_case(FORM) {
            return Ok(Box::pin(Self::of_form(request, body)).await?);
        }
        let detail = format!("this operation reads {OCTETS} and {FORM}; say which in 'Content-Type'");
        Err(body::unsupported(detail).into())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::StreamExt;

    use super::*;

    /// How much of a form was read, and whether its file was found.
    async fn read_form(pieces: Vec<Bytes>) -> (usize, Result<usize, ErrorCode>) {
        let (all, left) = (pieces.len(), std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0)));
        let counted = std::sync::Arc::clone(&left);
        let allowance = Allowance::new(BESIDE);
        let body = stream::iter(pieces).map(move |piece| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(piece)
        });
        let mut form = Multipart::new(allowance.hold(body), "b");
        let outcome = async {
            let file = form.next_field().await.map_err(|error| broken(error, 0).code)?.unwrap();
            allowance.set(u64::MAX);
            let mut file = pin!(file);
            let (mut size, mut greatest) = (0, 0);
            while let Some(piece) = file.chunk().await.map_err(|error| broken(error, 0).code)? {
                (size, greatest) = (size + piece.len(), greatest.max(piece.len()));
            }
            assert!(greatest <= 3 * AT_ONCE, "{greatest} bytes were held");
            Ok(size)
        };
        let outcome = outcome.await;
        assert!(left.load(Ordering::Relaxed) <= all);
        (left.load(Ordering::Relaxed), outcome)
    }

    #[tokio::test]
    async fn a_forms_file_is_never_whole_in_memory_and_what_is_beside_it_is_bounded() {
        let piece = |text: &'static str| Bytes::from_static(text.as_bytes());
        let head = piece("--b\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\n");
        let mut good = vec![head];
        good.extend(std::iter::repeat_n(Bytes::from_static(&[7; 16 << 10]), 1000));
        good.push(piece("\r\n--b--\r\n"));
        assert_eq!(read_form(good).await, (1002, Ok(16_384_000)));
        // The head of a part that never ends.
        let mut endless = vec![piece("--b\r\nx: ")];
        endless.extend(std::iter::repeat_n(Bytes::from_static(&[b'a'; 16 << 10]), 1000));
        let (read, outcome) = read_form(endless).await;
        assert_eq!(outcome, Err(ErrorCode::TooLarge));
        assert!(read < 200, "{read}");
        // A form that never begins.
        let (read, outcome) = read_form(vec![Bytes::from_static(&[b'-'; 16 << 10]); 1000]).await;
        assert_eq!((outcome, read < 200), (Err(ErrorCode::TooLarge), true));
    }

    #[test]
    fn a_signature_is_toml_or_json() {
        let toml = "description = \"d\"\n[[features]]\nname = \"a\"\nmin = 0\nmax = 1.5\n[labels]\nteam = \"x\"\n";
        let json = r#" {"description":"d","features":[{"name":"a","min":0,"max":1.5}],"labels":{"team":"x"}}"#;
        assert_eq!(signature(toml).unwrap(), signature(json).unwrap());
        let some = signature("[features.x1]\nunit = \"cm\"\n").unwrap();
        assert!(matches!(some.features, arborgate_contracts::signature::GivenFeatures::Some(_)));
    }

    #[test]
    fn what_is_wrong_with_a_signature_is_told_in_its_place() {
        for (text, pointer, detail) in [
            ("[[features]]\nname = \"a\"\nmin = \"low\"\n", "signature/features/0/min", "line 3"),
            (r#"{"features":[{"nme":"a"}]}"#, "signature/features/0/nme", "unknown field"),
            ("features = 3", "signature/features", "a list of all features"),
            ("[[features", "signature", "line 1"),
            (r#"{"classes":["a"]} x"#, "signature", "trailing"),
            ("[features.a]\nmin = nan\n", "signature/features/a/min", "line 2: must be a finite number"),
            ("[[features]]\nmax = inf\n", "signature/features/0/max", "finite"),
            (r#"{"features":{"a":{},"a":{}}}"#, "signature/features", "twice"),
            ("[features.a]\n[features.a]\n", "signature", "duplicate"),
        ] {
            let problem = signature(text).unwrap_err();
            let fault = &problem.faults[0];
            assert_eq!(fault.pointer, pointer, "{text}");
            assert!(fault.detail.contains(detail), "{}", fault.detail);
        }
    }
}
