//! The documentation page: Swagger UI's files from a package, reading `/openapi.json`, with no inline script under a
//! strict content security policy; and the document itself.

use std::io::Read;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use poem::{Request, Response};

const BUNDLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz"));
const STYLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"));
const ICON: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/favicon-32x32.png.gz"));
const PAGE: &str = include_str!("docs/index.html");
const START: &str = include_str!("docs/start.js");

/// Swagger UI sets `style` attributes, which only `unsafe-inline` for styles allows; scripts come from here alone.
const CSP: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// What the page is made of.
pub struct Docs {
    document: Bytes,
}

impl Docs {
    /// With the document.
    pub fn new(document: String) -> Self {
        Self { document: document.into() }
    }

    /// Answers for the page's paths; `None` for others.
    pub fn answer(&self, request: &Request) -> Option<Response> {
        let get = matches!(*request.method(), Method::GET | Method::HEAD);
        let (kind, body, packed) = match request.uri().path() {
            "/docs" => ("text/html; charset=utf-8", Bytes::from_static(PAGE.as_bytes()), false),
            "/docs/start.js" => ("text/javascript; charset=utf-8", Bytes::from_static(START.as_bytes()), false),
            "/docs/swagger-ui-bundle.js" => ("text/javascript; charset=utf-8", Bytes::from_static(BUNDLE), true),
            "/docs/swagger-ui.css" => ("text/css; charset=utf-8", Bytes::from_static(STYLE), true),
            "/docs/favicon-32x32.png" => ("image/png", Bytes::from_static(ICON), true),
            "/openapi.json" => ("application/json", self.document.clone(), false),
            "/" => return get.then(to_page),
            _ => return None,
        };
        if !get {
            let allow = Response::builder().status(StatusCode::METHOD_NOT_ALLOWED);
            return Some(allow.header(header::ALLOW, "GET, HEAD").finish());
        }
        let (body, encoding) =
            if packed && !accepts_gzip(request) { (unpack(&body)?, None) } else { (body, packed.then_some("gzip")) };
        let mut response = Response::builder().content_type(kind).body(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, CSP);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600"));
        }
        Some(response)
    }
}

fn to_page() -> Response {
    Response::builder().status(StatusCode::TEMPORARY_REDIRECT).header(header::LOCATION, "/docs").finish()
}

fn accepts_gzip(request: &Request) -> bool {
    let accepted = request.header(header::ACCEPT_ENCODING).unwrap_or_default();
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        (name.eq_ignore_ascii_case("gzip") || name == "*") && !parts.any(|p| p == "q=0")
    })
}

fn unpack(packed: &[u8]) -> Option<Bytes> {
    let mut content = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut content).ok()?;
    Some(content.into())
}
