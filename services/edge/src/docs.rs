//! The documentation page: Swagger UI's files from a package, reading `/openapi.json`, with no inline script under a
//! strict content security policy; and the document itself.

use std::io::Read;
use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use poem::{IntoResponse, Request, Response};

use crate::front::coding::Coding;
use crate::front::other_method;

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

/// The page and its files are one binary's.
const CACHED: HeaderValue = HeaderValue::from_static("private, max-age=3600");

/// What the page is made of.
pub struct Docs {
    bundle: Packed,
    style: Packed,
    icon: Packed,
}

/// A file as it was packed; unpacked once, when somebody asks who takes no gzip.
struct Packed {
    gzip: &'static [u8],
    plain: OnceLock<Bytes>,
}

enum Content<'d> {
    Plain(Bytes),
    Packed(&'d Packed),
}

impl Docs {
    /// As the binary has them.
    pub fn new() -> Self {
        let packed = |gzip| Packed { gzip, plain: OnceLock::new() };
        Self { bundle: packed(BUNDLE), style: packed(STYLE), icon: packed(ICON) }
    }

    /// Answers for the page's paths; `None` for others.
    pub fn answer(&self, request: &Request) -> Option<Response> {
        let get = matches!(*request.method(), Method::GET | Method::HEAD);
        let text = |text: &'static str| Content::Plain(Bytes::from_static(text.as_bytes()));
        let (kind, content) = match request.uri().path() {
            "/docs" => ("text/html; charset=utf-8", text(PAGE)),
            "/docs/start.js" => ("text/javascript; charset=utf-8", text(START)),
            "/docs/swagger-ui-bundle.js" => ("text/javascript; charset=utf-8", Content::Packed(&self.bundle)),
            "/docs/swagger-ui.css" => ("text/css; charset=utf-8", Content::Packed(&self.style)),
            "/docs/favicon-32x32.png" => ("image/png", Content::Packed(&self.icon)),
            "/" => return get.then(to_page),
            _ => return None,
        };
        if !get {
            return Some(other_method("GET, HEAD".to_owned()).into_response());
        }
        let (body, gzip) = match content {
            Content::Plain(body) => (body, false),
            Content::Packed(packed) if Coding::takes_gzip(request.headers()) => (Bytes::from_static(packed.gzip), true),
            Content::Packed(packed) => (packed.plain()?, false),
        };
        let mut response = Response::builder().content_type(kind).body(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, CSP);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.insert(header::CACHE_CONTROL, CACHED);
        Some(response)
    }
}

impl Packed {
    fn plain(&self) -> Option<Bytes> {
        if let Some(plain) = self.plain.get() {
            return Some(plain.clone());
        }
        let mut content = Vec::new();
        flate2::read::GzDecoder::new(self.gzip).read_to_end(&mut content).ok()?;
        Some(self.plain.get_or_init(|| content.into()).clone())
    }
}

fn to_page() -> Response {
    Response::builder().status(StatusCode::TEMPORARY_REDIRECT).header(header::LOCATION, "/docs").finish()
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;

    fn get(docs: &Docs, path: &'static str, coding: &str) -> Response {
        let request = Request::builder().uri(Uri::from_static(path)).header("accept-encoding", coding).finish();
        docs.answer(&request).unwrap()
    }

    #[tokio::test]
    async fn a_file_is_the_same_packed_or_not_and_as_long_kept() {
        let docs = Docs::new();
        for path in ["/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"] {
            let (packed, plain) = (get(&docs, path, "br, gzip"), get(&docs, path, "gzip;q=0"));
            for answer in [&packed, &plain] {
                assert_eq!(answer.headers().get(header::CACHE_CONTROL), Some(&CACHED), "{path}");
            }
            assert!(plain.header(header::CONTENT_ENCODING).is_none());
            let is_packed = packed.header(header::CONTENT_ENCODING).is_some();
            let (packed, plain) = (packed.into_body().into_vec().await, plain.into_body().into_vec().await);
            let (packed, plain) = (packed.unwrap(), plain.unwrap());
            assert_eq!(packed == plain, !is_packed, "{path}");
        }
    }

    #[test]
    fn nothing_is_unpacked_twice() {
        let docs = Docs::new();
        let (first, second) = (docs.style.plain().unwrap(), docs.style.plain().unwrap());
        assert!(std::ptr::eq(first.as_ptr(), second.as_ptr()));
    }
}
