//! The one table of the API's operations: path, who may, under which name limits know it. A test holds it against the
//! OpenAPI document and walks it with every role.

use arborgate_contracts::permission::Permission;
use http::Method;

/// Who may use an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whose roles hold the permission.
    Needs(Permission),
}

/// An operation of the API.
#[derive(Debug)]
pub struct Operation {
    /// `operationId` in the document, and its name in limits, metrics and spans.
    pub id: &'static str,
    /// As HTTP has it.
    pub method: Method,
    /// Segments; one in braces matches any segment.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
    /// Statuses with which it refuses by itself, beside those of its kind: see `api::documented`.
    pub refuses: &'static [u16],
}

use Access::{Needs, Public};
use Permission::{
    AdminApiKeys, AdminBackup, AdminCrypto, AdminUsers, CryptoDecrypt, CryptoEncrypt, ModelsPredict, ModelsRead,
    ModelsWrite,
};

const fn operation(id: &'static str, method: Method, path: &'static str, access: Access) -> Operation {
    Operation { id, method, path, access, refuses: &[] }
}

impl Operation {
    const fn refusing(mut self, statuses: &'static [u16]) -> Self {
        self.refuses = statuses;
        self
    }
}

const VERSION: &str = "/v1/models/{model}/versions/{version}";
const V2_VERSION: &str = "/v2/models/{model}/versions/{version}";
/// A path whose parameter is a part of a segment, and the one by which its handler is known.
const INSTANCES: (&str, &str) = ("/v1/models/{model}:predict", "/v1/models/{model}/instances");

/// Every operation; the most frequent first.
pub static OPERATIONS: [Operation; 57] = [
    operation("predict", Method::POST, "/predict", Needs(ModelsPredict)).refusing(&[404]),
    operation("predict_model", Method::POST, "/v1/models/{model}/predict", Needs(ModelsPredict)).refusing(&[404]),
    operation("predict_rows", Method::POST, "/v1/models/{model}/predict/rows", Needs(ModelsPredict)).refusing(&[404]),
    operation("predict_version", Method::POST, "/v1/models/{model}/versions/{version}/predict", Needs(ModelsPredict))
        .refusing(&[404]),
    operation("explain_model", Method::POST, "/v1/models/{model}/explain", Needs(ModelsPredict)).refusing(&[404]),
    operation("explain_version", Method::POST, "/v1/models/{model}/versions/{version}/explain", Needs(ModelsPredict))
        .refusing(&[404]),
    operation("infer_model", Method::POST, "/v2/models/{model}/infer", Needs(ModelsPredict)).refusing(&[404]),
    operation("infer_version", Method::POST, "/v2/models/{model}/versions/{version}/infer", Needs(ModelsPredict))
        .refusing(&[404]),
    operation("predict_instances", Method::POST, INSTANCES.0, Needs(ModelsPredict)).refusing(&[404]),
    operation("token", Method::POST, "/token", Public).refusing(&[401, 403]),
    operation("encrypt", Method::POST, "/encrypt", Needs(CryptoEncrypt)),
    operation("decrypt", Method::POST, "/decrypt", Needs(CryptoDecrypt)),
    operation("list_models", Method::GET, "/v1/models", Needs(ModelsRead)),
    operation("get_model", Method::GET, "/v1/models/{model}", Needs(ModelsRead)).refusing(&[404]),
    operation("put_model_version", Method::PUT, VERSION, Needs(ModelsWrite)).refusing(&[409]),
    operation("delete_model_version", Method::DELETE, VERSION, Needs(ModelsWrite)).refusing(&[404, 409]),
    operation("promote_version", Method::POST, "/v1/models/{model}/versions/{version}/promote", Needs(ModelsWrite))
        .refusing(&[404, 409]),
    operation("load_version", Method::POST, "/v1/models/{model}/versions/{version}/load", Needs(ModelsWrite))
        .refusing(&[404, 409]),
    operation("unload_version", Method::POST, "/v1/models/{model}/versions/{version}/unload", Needs(ModelsWrite))
        .refusing(&[404, 409]),
    operation("roll_back_model", Method::POST, "/v1/models/{model}/rollback", Needs(ModelsWrite)).refusing(&[404, 409]),
    operation("split_model", Method::PUT, "/v1/models/{model}/split", Needs(ModelsWrite)).refusing(&[404, 409]),
    operation("end_split", Method::DELETE, "/v1/models/{model}/split", Needs(ModelsWrite)).refusing(&[404, 409]),
    operation("shadow_model", Method::PUT, "/v1/models/{model}/shadow", Needs(ModelsWrite)).refusing(&[404, 409]),
    operation("end_shadow", Method::DELETE, "/v1/models/{model}/shadow", Needs(ModelsWrite)).refusing(&[404, 409]),
    operation("server_metadata", Method::GET, "/v2", Public),
    operation("server_live", Method::GET, "/v2/health/live", Public),
    operation("server_ready", Method::GET, "/v2/health/ready", Public),
    operation("list_model_names", Method::GET, "/v2/models", Needs(ModelsRead)),
    // Before those of a model, which may have this name: then it is asked by its version.
    operation("all_statistics", Method::GET, "/v2/models/stats", Needs(ModelsRead)),
    operation("model_metadata", Method::GET, "/v2/models/{model}", Needs(ModelsRead)).refusing(&[404]),
    operation("model_ready", Method::GET, "/v2/models/{model}/ready", Needs(ModelsRead)).refusing(&[404]),
    operation("model_statistics", Method::GET, "/v2/models/{model}/stats", Needs(ModelsRead)).refusing(&[404]),
    operation("version_metadata", Method::GET, V2_VERSION, Needs(ModelsRead)).refusing(&[404]),
    operation("version_ready", Method::GET, "/v2/models/{model}/versions/{version}/ready", Needs(ModelsRead))
        .refusing(&[404]),
    operation("version_statistics", Method::GET, "/v2/models/{model}/versions/{version}/stats", Needs(ModelsRead))
        .refusing(&[404]),
    operation("repository_index", Method::POST, "/v2/repository/index", Needs(ModelsRead)),
    operation("load_model", Method::POST, "/v2/repository/models/{model}/load", Needs(ModelsWrite))
        .refusing(&[404, 409]),
    operation("unload_model", Method::POST, "/v2/repository/models/{model}/unload", Needs(ModelsWrite))
        .refusing(&[404, 409]),
    operation("create_job", Method::POST, "/v1/models/{model}/jobs", Needs(ModelsPredict)).refusing(&[404]),
    operation("create_version_job", Method::POST, "/v1/models/{model}/versions/{version}/jobs", Needs(ModelsPredict))
        .refusing(&[404]),
    operation("list_jobs", Method::GET, "/v1/jobs", Needs(ModelsPredict)),
    operation("get_job", Method::GET, "/v1/jobs/{id}", Needs(ModelsPredict)).refusing(&[404]),
    operation("watch_job", Method::GET, "/v1/jobs/{id}/events", Needs(ModelsPredict)).refusing(&[404]),
    operation("get_job_result", Method::GET, "/v1/jobs/{id}/result", Needs(ModelsPredict)).refusing(&[404, 409, 416]),
    operation("delete_job", Method::DELETE, "/v1/jobs/{id}", Needs(ModelsPredict)).refusing(&[404]),
    operation("list_api_keys", Method::GET, "/v1/api-keys", Needs(AdminApiKeys)).refusing(&[413]),
    operation("create_api_key", Method::POST, "/v1/api-keys", Needs(AdminApiKeys)),
    operation("delete_api_key", Method::DELETE, "/v1/api-keys/{id}", Needs(AdminApiKeys)).refusing(&[404]),
    operation("list_users", Method::GET, "/v1/users", Needs(AdminUsers)).refusing(&[413]),
    operation("create_user", Method::POST, "/v1/users", Needs(AdminUsers)).refusing(&[409]),
    operation("delete_user", Method::DELETE, "/v1/users/{name}", Needs(AdminUsers)).refusing(&[404, 409]),
    operation("rotate_encryption_key", Method::POST, "/v1/encryption-keys", Needs(AdminCrypto)).refusing(&[409]),
    operation("export_encryption_keys", Method::POST, "/v1/encryption-keys/export", Needs(AdminCrypto)),
    operation("backup", Method::GET, "/v1/backup", Needs(AdminBackup)),
    operation("restore", Method::PUT, "/v1/backup", Needs(AdminBackup)).refusing(&[409]),
    operation("livez", Method::GET, "/livez", Public),
    operation("readyz", Method::GET, "/readyz", Public),
];

/// What metrics and spans call all that is no operation: the page, its files, the document, 404 and 405.
pub const OTHER: &str = "other";

/// What a request's method and path mean.
#[derive(Debug, Clone, Copy)]
pub enum Match {
    /// An operation of the table.
    Operation(&'static Operation),
    /// The path is known, the method is not.
    OtherMethod,
    /// Nothing of the table.
    Unknown,
}

impl Match {
    /// As metrics and spans call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operation(operation) => operation.id,
            Self::OtherMethod | Self::Unknown => OTHER,
        }
    }
}

/// Finds the operation; `path` has no slash at its end.
pub fn find(method: &Method, path: &str) -> Match {
    let mut known = false;
    for operation in &OPERATIONS {
        if matches(operation.path, path) {
            // HEAD is GET without the body (RFC 9110 section 9.3.2).
            if operation.method == method || (*method == Method::HEAD && operation.method == Method::GET) {
                return Match::Operation(operation);
            }
            known = true;
        }
    }
    if known { Match::OtherMethod } else { Match::Unknown }
}

/// The methods that a path knows, for `Allow`.
pub fn allowed(path: &str) -> String {
    let methods: Vec<&str> = OPERATIONS.iter().filter(|o| matches(o.path, path)).map(|o| o.method.as_str()).collect();
    methods.join(", ")
}

/// As clients know the path of a handler, where that is another.
pub fn told(handler: &str) -> Option<&'static str> {
    (handler == INSTANCES.1).then_some(INSTANCES.0)
}

/// The path by which the handler of a request is known, where that is another.
pub fn handled(operation: &Operation, path: &str) -> Option<String> {
    let model = path.strip_suffix(":predict").filter(|_| operation.path == INSTANCES.0)?;
    Some(format!("{model}/instances"))
}

/// Whether refusals at this path are those of the inference protocols, which have a member of their own.
pub fn is_inference_protocol(path: &str) -> bool {
    path == "/v2" || path.starts_with("/v2/") || (path.starts_with("/v1/models/") && path.ends_with(":predict"))
}

fn matches(template: &str, path: &str) -> bool {
    if !template.contains('{') {
        return template == path;
    }
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(w), Some(g)) if w == g || fits(w, g) => {}
            _ => return false,
        }
    }
}

/// Whether a segment is one of `{name}`, or of `{name}` and what follows it.
fn fits(template: &str, segment: &str) -> bool {
    let Some((_, after)) = template.strip_prefix('{').and_then(|name| name.split_once('}')) else { return false };
    // `iris:predict` is no model.
    let is_call = after.is_empty() && segment.ends_with(":predict");
    !is_call && segment.strip_suffix(after).is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_whole() {
        let id = |method, path| match find(&method, path) {
            Match::Operation(operation) => operation.id,
            Match::OtherMethod => "405",
            Match::Unknown => "404",
        };
        assert_eq!(id(Method::POST, "/predict"), "predict");
        assert_eq!(id(Method::GET, "/predict"), "405");
        assert_eq!(id(Method::POST, "/v1/models/iris/versions/1/predict"), "predict_version");
        assert_eq!(id(Method::HEAD, "/v1/models"), "list_models");
        assert_eq!(id(Method::POST, "/v1/models/iris:predict"), "predict_instances");
        assert_eq!(id(Method::POST, "/v1/models/:predict"), "404");
        assert_eq!(allowed("/v1/models/iris:predict"), "POST");
        assert_eq!(id(Method::GET, "/v2/models/stats"), "all_statistics");
        assert_eq!(id(Method::GET, "/v2/models/iris/stats"), "model_statistics");
        for unknown in ["", "/", "/v1", "/v1/models//predict", "/v1/models/iris/versions", "/predict/x"] {
            assert_eq!(id(Method::POST, unknown), "404", "{unknown}");
        }
        assert_eq!(allowed("/v1/models/iris/versions/1"), "PUT, DELETE");
    }
}
