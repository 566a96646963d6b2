//! The committed OpenAPI document, which every answer is held against.

use std::sync::LazyLock;

use reqwest::Method;
use serde_json::Value;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../../openapi/openapi.json")).unwrap_or_default());

/// Whether an operation may answer so. What is no operation of the document is not its business.
pub(super) fn shows(method: &Method, path: &str, status: u16) -> bool {
    let name = if *method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
    let path = path.trim_end_matches('/');
    let paths = DOCUMENT.get("paths").and_then(Value::as_object);
    let mut known = paths.into_iter().flatten().filter(|(template, _)| matches(template, path));
    let operation = known.find_map(|(_, methods)| methods.get(&name));
    operation.is_none_or(|operation| operation.pointer(&format!("/responses/{status}")).is_some())
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
        assert!(shows(&Method::GET, "/livez/", 200) && !shows(&Method::GET, "/livez", 401));
        assert!(shows(&Method::HEAD, "/readyz", 503) && !shows(&Method::HEAD, "/livez", 413));
        assert!(
            shows(&Method::POST, "/v1/models/x/predict", 404) && !shows(&Method::POST, "/v1/models/x/predict", 409)
        );
        assert!(shows(&Method::PATCH, "/livez", 405) && shows(&Method::GET, "/nothing", 404));
    }
}
