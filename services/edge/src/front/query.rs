//! Query parameters: one that an operation does not know is refused by name, for a misspelt one would be ignored.

use arborgate_contracts::Fault;

use super::problem::Problem;
use crate::operations::Operation;

/// Faults that are told of one query.
const TOLD: usize = 32;

/// The parameters of each operation.
pub struct Queries(Vec<(&'static str, Vec<String>)>);

impl Queries {
    /// By `operationId`; an operation that is left out has none.
    pub fn new(parameters: Vec<(&'static str, Vec<String>)>) -> Self {
        Self(parameters)
    }

    /// Whether the operation knows all of a query.
    pub fn check(&self, operation: &Operation, query: Option<&str>) -> Result<(), Problem> {
        let Some(query) = query else { return Ok(()) };
        let known = self.0.iter().find(|(id, _)| *id == operation.id).map_or(&[][..], |(_, names)| names.as_slice());
        let names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
        let mut unknown = names.filter(|name| !known.iter().any(|known| known == name));
        let faults: Vec<Fault> = unknown.by_ref().take(TOLD).map(|name| fault(&name, known)).collect();
        if faults.is_empty() { Ok(()) } else { Err(Problem::invalid_and_more(faults, unknown.count())) }
    }
}

fn fault(name: &str, known: &[String]) -> Fault {
    let pointer = name.get(..name.floor_char_boundary(128)).unwrap_or_default().to_owned();
    let detail = match known {
        [] => "is not a parameter of this operation, which has none in its query".to_owned(),
        known => format!("is not a parameter of this operation; its parameters are {}", known.join(", ")),
    };
    Fault { pointer, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::OPERATIONS;

    #[test]
    fn what_an_operation_does_not_know_is_refused_by_name() {
        let queries = Queries::new(vec![("predict", vec!["a".to_owned(), "b c".to_owned()])]);
        let pointers = |id: &str, query| {
            let operation = OPERATIONS.iter().find(|o| o.id == id).unwrap();
            let problem = queries.check(operation, query).err();
            problem.map(|p| p.faults.into_iter().map(|f| f.pointer).collect::<Vec<_>>()).unwrap_or_default()
        };
        for good in [None, Some(""), Some("a=1&b+c=2"), Some("b%20c")] {
            assert!(pointers("predict", good).is_empty(), "{good:?}");
        }
        assert_eq!(pointers("predict", Some("a=1&aa=2&b=3")), ["aa", "b"]);
        assert_eq!(pointers("livez", Some("a")), ["a"]);
        assert_eq!(pointers("livez", Some(&"x&".repeat(100))).len(), TOLD + 1);
    }
}
