//! Request ids: the caller's own when it is a legal one, else a new one.

use arborgate_contracts::RequestId;
use http::HeaderMap;

/// The header, in requests and answers.
pub const HEADER: &str = "x-request-id";

/// A new id.
pub fn fresh() -> RequestId {
    RequestId::of_number(rand::random())
}

/// The id of a request.
pub fn of(headers: &HeaderMap) -> RequestId {
    let sent = headers.get(HEADER).and_then(|value| value.to_str().ok());
    sent.and_then(|text| text.parse().ok()).unwrap_or_else(fresh)
}
