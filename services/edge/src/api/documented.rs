//! What the document says of an operation beside its handler's types: with which refusals it may answer.

use std::collections::HashMap;

use http::Method;
use poem::endpoint::BoxEndpoint;
use poem_openapi::OpenApi;
use poem_openapi::registry::{
    MetaApi, MetaOperation, MetaOperationParam, MetaParamIn, MetaSchema, MetaSchemaRef, Registry,
};

use super::forms;
use crate::front::problem;
use crate::operations::{self, Access, OPERATIONS, Operation};

/// Any operation: a parameter in the query that it does not know, the guard against floods or a limit, a defect, and a
/// policy that counts it while the limiter is busy, out of reach or silent.
const ANY: [u16; 5] = [422, 429, 500, 503, 504];
/// One that needs a permission.
const GUARDED: [u16; 3] = [400, 401, 403];
/// One that reads a body.
const READING: [u16; 4] = [400, 408, 413, 415];

/// Properties that may be null; poem-openapi has no type for them.
const NULLABLE: [(&str, &str); 6] = [
    ("ApiKey", "expires_at"),
    ("NewApiKey", "expires_in"),
    ("NewShadow", "percent"),
    ("NewShadow", "tolerance"),
    ("NewSplit", "sticky"),
    ("NewUnload", "reason"),
];

/// An API whose operations show their refusals.
pub(super) struct Documented<A>(pub A);

impl<A: OpenApi> OpenApi for Documented<A> {
    fn meta() -> Vec<MetaApi> {
        let mut apis = A::meta();
        for path in apis.iter_mut().flat_map(|api| &mut api.paths) {
            if let Some(told) = operations::told(&path.path) {
                path.path = told.to_owned();
            }
        }
        for operation in operations_of(&mut apis) {
            let known = OPERATIONS.iter().find(|known| operation.operation_id == Some(known.id));
            let statuses = refusals(known, operation.request.is_some());
            let protocol = known.is_some_and(|known| operations::is_inference_protocol(known.path));
            operation.responses.responses.extend(problem::shown(&statuses, protocol));
            operation.params.iter_mut().for_each(describe);
        }
        apis
    }

    fn register(registry: &mut Registry) {
        A::register(registry);
        for (schema, property) in NULLABLE {
            let schema = registry.schemas.get_mut(schema);
            let properties = schema.into_iter().flat_map(|schema| &mut schema.properties);
            for (_, of) in properties.filter(|(name, _)| *name == property) {
                if let MetaSchemaRef::Inline(of) = of {
                    of.nullable = true;
                }
            }
        }
    }

    fn add_routes(self, routes: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        self.0.add_routes(routes);
    }
}

fn operations_of(apis: &mut [MetaApi]) -> impl Iterator<Item = &mut MetaOperation> {
    apis.iter_mut().flat_map(|api| &mut api.paths).flat_map(|path| &mut path.operations)
}

/// What a parameter must be like, where its type does not say it. Handlers say it themselves of what is not so, in our form.
fn describe(parameter: &mut MetaOperationParam) {
    let text = |pattern: &str| MetaSchema {
        pattern: Some(pattern.to_owned()),
        max_length: Some(64),
        ..MetaSchema::new("string")
    };
    let schema = match (parameter.in_type, parameter.name.as_str()) {
        (MetaParamIn::Path, "model") => text("^[a-z0-9][a-z0-9_-]*$"),
        (MetaParamIn::Path, "version") => text("^[A-Za-z0-9](\\.?[A-Za-z0-9_-])*\\.?$"),
        (MetaParamIn::Query, "output") => {
            // A list with commas between.
            parameter.explode = false;
            forms::kinds()
        }
        _ => return,
    };
    parameter.schema = MetaSchemaRef::Inline(Box::new(schema));
}

/// The statuses of its refusals.
pub(super) fn refusals(known: Option<&Operation>, reads: bool) -> Vec<u16> {
    let mut statuses = ANY.to_vec();
    statuses.extend(known.map_or(&[][..], |known| known.refuses));
    if known.is_none_or(|known| known.access != Access::Public) {
        statuses.extend(GUARDED);
    }
    if reads {
        statuses.extend(READING);
    }
    statuses
}

/// The parameters in the query of each operation.
pub(super) fn queries<A: OpenApi>() -> Vec<(&'static str, Vec<String>)> {
    let mut apis = A::meta();
    let in_query = |operation: &MetaOperation| {
        operation.params.iter().filter(|p| p.in_type == MetaParamIn::Query).map(|p| p.name.clone()).collect()
    };
    operations_of(&mut apis).filter_map(|o| Some((o.operation_id?, in_query(o)))).collect()
}
