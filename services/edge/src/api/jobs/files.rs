//! Files of rows: what they are by their content types, and one on its way in.

use arborgate_contracts::jobs::FileKind;
use http::HeaderMap;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::front::admitted::Anybody;
use crate::front::body;
use crate::front::problem::Problem;
use crate::jobs::Range;
use crate::upload::Upload;

/// What files are, by their content types; `application/x-parquet` and `application/x-npy` are as usual as any.
pub(super) const TYPES: [(FileKind, &str); 4] = [
    (FileKind::Csv, "text/csv"),
    (FileKind::Parquet, "application/vnd.apache.parquet"),
    (FileKind::Arrow, "application/vnd.apache.arrow.stream"),
    (FileKind::Npy, "application/x-npy"),
];

pub(super) fn kind_of(headers: &HeaderMap) -> Result<FileKind, Problem> {
    let sent = body::media_type(headers);
    let found = TYPES.into_iter().find(|(_, name)| sent.eq_ignore_ascii_case(name));
    found.map(|(kind, _)| kind).ok_or_else(|| {
        let [csv, parquet, arrow, npy] = TYPES.map(|(_, name)| name);
        let all = format!("{csv}, {parquet}, {arrow} and {npy}");
        body::unsupported(format!("this operation reads {all}; say which in 'Content-Type'"))
    })
}

pub(super) fn binary() -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary")))
}

pub(super) fn files(kinds: &[FileKind]) -> Vec<MetaMediaType> {
    let known = TYPES.into_iter().filter(|(kind, _)| kinds.contains(kind));
    known.map(|(_, content_type)| MetaMediaType { content_type, schema: binary() }).collect()
}

/// A file of rows on its way in.
pub(super) struct Rows {
    pub(super) upload: Upload,
    pub(super) kind: FileKind,
}

impl<'a> ApiExtractor<'a> for Rows {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let description = Some(
            "A file of rows, which may be packed: gzip, deflate or zstd. Of CSV, Parquet and Arrow each feature is a column by its name.",
        );
        let content = files(&[FileKind::Csv, FileKind::Parquet, FileKind::Arrow, FileKind::Npy]);
        Some(MetaRequest { description, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let kind = kind_of(request.headers())?;
        let most = Anybody::of(request)?.sizes.job;
        Ok(Self { upload: Upload::up_to(most, request, body)?, kind })
    }
}

/// The headers of a request that say which part of something is wanted.
pub(super) struct Asked {
    pub(super) range: Option<Range>,
    pub(super) if_range: Option<String>,
    pub(super) last_event: Option<String>,
}

impl<'a> ApiExtractor<'a> for Asked {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::PoemExtractor];
    type ParamType = ();
    type ParamRawType = ();

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let text = |name: &str| request.header(name).map(str::to_owned);
        let range = text("range").and_then(|text| Range::read(&text));
        Ok(Self { range, if_range: text("if-range"), last_event: text("last-event-id") })
    }
}
