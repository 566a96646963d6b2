//! The committed OpenAPI document, which every answer is held against.

use std::sync::LazyLock;

use reqwest::Method;
use serde_json::Value;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../../openapi/openapi.json")).unwrap_or_default());

/// Whether an operation may answer so. What is no operation of the document is not its business.
pub(super) fn shows(method: &Method, path: &str, status: u16, media_type: &str) -> bool {
    let name = if *method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
    let path = path.trim_end_matches('/');
    let paths = DOCUMENT.get("paths").and_then(Value::as_object);
    let mut known = paths.into_iter().flatten().filter(|(template, _)| matches(template, path));
    let operation = known.find_map(|(_, methods)| methods.get(&name));
    let Some(operation) = operation else { return true };
    let Some(response) = operation.pointer(&format!("/responses/{status}")) else { return false };
    // Without parameters, as `charset`; an answer without a body has none.
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let content = response.get("content").and_then(Value::as_object);
    content.map_or(media_type.is_empty(), |content| content.contains_key(media_type))
}

fn matches(template: &str, path: &str) -> bool {
    let (wanted, given): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    // A parameter may be followed by a text: `{model}:predict`.
    let held = |wanted: &str, given: &str| {
        let after = wanted.strip_prefix('{').and_then(|name| name.split_once('}'));
        after.is_some_and(|(_, after)| given.strip_suffix(after).is_some_and(|value| !value.is_empty()))
    };
    let fits = |(wanted, given): (&&str, &&str)| wanted == given || held(wanted, given);
    wanted.len() == given.len() && wanted.iter().zip(&given).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_held_against_its_operation() {
        let problem = "application/problem+json";
        assert!(shows(&Method::GET, "/livez/", 200, "application/json; charset=utf-8"));
        assert!(!shows(&Method::GET, "/livez", 401, problem) && !shows(&Method::HEAD, "/livez", 413, problem));
        assert!(shows(&Method::HEAD, "/readyz", 503, problem) && !shows(&Method::HEAD, "/readyz", 503, "text/html"));
        let predict = "/v1/models/x/predict";
        assert!(shows(&Method::POST, predict, 404, problem) && !shows(&Method::POST, predict, 409, problem));
        for path in ["/v2/models/x/infer", "/v1/models/x:predict"] {
            assert!(shows(&Method::POST, path, 404, "application/json") && !shows(&Method::POST, path, 404, problem));
        }
        assert!(shows(&Method::DELETE, "/v1/users/x", 204, "") && !shows(&Method::DELETE, "/v1/users/x", 204, problem));
        assert!(shows(&Method::PATCH, "/livez", 405, problem) && shows(&Method::GET, "/nothing", 404, problem));
    }
}
