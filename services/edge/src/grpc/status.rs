//! Refusals as gRPC has them. The one place that maps an `ErrorCode` to a status.

use arborgate_contracts::ErrorCode;
use http::StatusCode;
use tonic::{Code, Status};

use crate::front::problem::Problem;

/// The map of codes.
fn code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::BadRequest | ErrorCode::Invalid | ErrorCode::DecryptionFailed => Code::InvalidArgument,
        ErrorCode::Unauthenticated => Code::Unauthenticated,
        ErrorCode::Forbidden => Code::PermissionDenied,
        ErrorCode::NotFound => Code::NotFound,
        ErrorCode::Conflict => Code::FailedPrecondition,
        ErrorCode::TooLarge | ErrorCode::RateLimited => Code::ResourceExhausted,
        ErrorCode::Overloaded | ErrorCode::Unavailable => Code::Unavailable,
        ErrorCode::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorCode::Internal => Code::Internal,
    }
}

/// A status, with every fault in its message.
pub(super) fn of(problem: &Problem) -> Status {
    let code = match problem.status {
        Some(StatusCode::NOT_IMPLEMENTED) => Code::Unimplemented,
        Some(StatusCode::REQUEST_TIMEOUT) => Code::DeadlineExceeded,
        _ => code(problem.code),
    };
    Status::new(code, problem.whole())
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        of(&problem)
    }
}
