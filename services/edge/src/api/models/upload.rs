//! A model's file on its way in: alone, or in a form with what its uploader says of it. Only what is said is held in memory.

use std::io;

use arborgate_bus::{ObjectInfo, Objects};
use arborgate_contracts::ErrorCode;
use arborgate_contracts::Fault;
use arborgate_contracts::provenance::Provenance;
use arborgate_contracts::signature::GivenSignature;
use futures_util::TryStreamExt;
use http::{StatusCode, header};
use multer::{Field, Multipart};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::multipart::Upload as File;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, Multipart as Form};
use serde::de::DeserializeOwned;

use crate::front::problem::Problem;
use crate::upload::{self, Upload};

/// Bytes of the part that says what the model is like.
const SIGNATURE: usize = 1 << 20;
/// Bytes of the part that vouches for it.
const PROVENANCE: usize = 16 << 10;
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
}

impl Artifact {
    /// Into the object store.
    pub(super) async fn store(self, objects: &Objects, name: &str) -> Result<ObjectInfo, Problem> {
        let Part { mut form, file, most } = match self.source {
            Source::Body(upload) => return upload.store(objects, name).await,
            Source::Part(part) => *part,
        };
        let pieces = Box::pin(file.map_err(io_error));
        let stored = upload::store(pieces, most, objects, name).await?;
        match form.next_field().await {
            Ok(None) => Ok(stored),
            outcome => {
                if let Err(error) = objects.delete(name).await {
                    tracing::warn!(%error, "an upload that was refused could not be deleted");
                }
                match outcome {
                    Err(error) => Err(broken(error, most)),
                    Ok(_) => {
                        Err(fault("file", "must be the last part of the form, with signature and provenance before"))
                    }
                }
            }
        }
    }

    async fn of_form(request: &Request, body: &mut RequestBody) -> Result<Self, Problem> {
        let sent = request.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let boundary = multer::parse_boundary(sent)
            .map_err(|_| Problem::new(ErrorCode::BadRequest, "the form's Content-Type has no boundary"))?;
        let upload = Upload::of(request, body)?;
        let most = upload.most();
        let mut form = Multipart::new(upload.pieces(), boundary);
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
                        source: Source::Part(Box::new(Part { form, file: part, most })),
                    });
                }
                "signature" | "provenance" => return Err(fault("", "has a part twice; each stands there once")),
                _ => return Err(fault("", "has a part that is none of signature, provenance and file")),
            }
        }
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
    serde_path_to_error::deserialize(toml).map_err(|error| {
        let path = pointer("signature", error.path());
        fault(path, wrong(error.inner()))
    })
}

fn json<T: DeserializeOwned>(text: &str, part: &str) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut json);
    let read = read.map_err(|error| fault(pointer(part, error.path()), error.inner().to_string()))?;
    json.end().map_err(|error| fault(part, error.to_string()))?;
    Ok(read)
}

fn pointer(part: &str, path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(part.to_owned(), |mut pointer, segment| {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
        pointer
    })
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
    upload::refusal(&io_error(error), most)
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
        let sent = request.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let essence = sent.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(OCTETS) {
            let source = Source::Body(Upload::of(request, body)?);
            return Ok(Self { signature: GivenSignature::default(), provenance: None, source });
        }
        if essence.eq_ignore_ascii_case(FORM) {
            return Ok(Box::pin(Self::of_form(request, body)).await?);
        }
        let detail = format!("this operation reads {OCTETS} and {FORM}; say which in 'Content-Type'");
        Err(Problem::new(ErrorCode::BadRequest, detail).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            let problem = signature(text).unwrap_err();
            let fault = &problem.faults[0];
            assert_eq!(fault.pointer, pointer, "{text}");
            assert!(fault.detail.contains(detail), "{}", fault.detail);
        }
    }
}
