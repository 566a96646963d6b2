//! How often: policies by operation, role, principal and address. Low limits are the limiter's decision for each
//! request; for high ones permits are borrowed in advance, so that a prediction costs no round trip.

mod fast;
mod policy;
mod strict;

use std::net::IpAddr;
use std::sync::Arc;

use arborgate_bus::{CallError, Client, Meta};
use arborgate_contracts::limiter::Limit;
use arborgate_contracts::{ErrorCode, ServiceError};
use aws_lc_rs::digest;
use http::{HeaderMap, HeaderName, HeaderValue};

pub use policy::{By, Class, Mode, Policy};

use crate::front::problem::Problem;
use crate::identity::Caller;
use crate::operations::{OPERATIONS, Operation};

/// What the limiter, or a loan of it, said of a request.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    allowed: bool,
    remaining: u32,
    reset_ms: u32,
}

struct Prepared {
    policy: Policy,
    limit: Limit,
    /// `RateLimit-Policy`: the same on every answer.
    header: HeaderValue,
}

/// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers) of what was decided.
#[derive(Debug, Default)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    /// Adds them to an answer.
    pub fn write(self, headers: &mut HeaderMap) {
        for (name, value) in self.0 {
            headers.append(name, value);
        }
    }
}

/// A refusal and what it says of the limit.
pub struct Refused {
    /// For the caller.
    pub problem: Problem,
    /// For the caller as well.
    pub headers: Headers,
}

/// Decides by policies.
pub struct Limits {
    policies: Vec<Arc<Prepared>>,
    /// For each operation of the table the policies that count it.
    by_operation: Vec<(&'static str, Vec<usize>)>,
    strict: strict::Strict,
    fast: fast::Fast,
}

impl Limits {
    /// Policies that were validated with the configuration.
    pub fn new(policies: &[Policy], limiter: Client, remember: usize) -> Self {
        let policies: Vec<Arc<Prepared>> = policies
            .iter()
            .map(|policy| {
                let limit = policy.limit();
                let text = format!("\"{}\";q={};w={}", policy.name, limit.permits, limit.window_ms.div_ceil(1000));
                // A policy's name is of legal characters by its configuration.
                let header = HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("\"policy\""));
                Arc::new(Prepared { policy: policy.clone(), limit, header })
            })
            .collect();
        let counting = |id: &str| {
            let counts = |(_, prepared): &(usize, &Arc<Prepared>)| prepared.policy.counts(id);
            policies.iter().enumerate().filter(counts).map(|(index, _)| index).collect()
        };
        let by_operation = OPERATIONS.iter().map(|o| (o.id, counting(o.id))).collect();
        Self {
            policies,
            by_operation,
            strict: strict::Strict::new(limiter.clone()),
            fast: fast::Fast::new(limiter, remember),
        }
    }

    /// Whether a request may go on now. In a throttling policy it waits here.
    pub async fn check(
        &self,
        operation: &Operation,
        caller: Option<&Caller>,
        address: IpAddr,
        meta: Meta,
    ) -> Result<Headers, Box<Refused>> {
        let mut headers = Headers::default();
        let counting = self.by_operation.iter().find(|(name, _)| std::ptr::eq(*name, operation.id));
        for index in counting.map(|(_, policies)| policies.as_slice()).unwrap_or_default() {
            let Some(prepared) = self.policies.get(*index) else { continue };
            if !prepared.policy.counts_roles(caller.map_or(&[], |c| c.roles.as_slice())) {
                continue;
            }
            let who: Arc<str> = match (prepared.policy.by, caller) {
                (By::Principal, Some(caller)) => Arc::clone(&caller.grant),
                (By::Principal | By::Address, _) => network(address).into(),
            };
            let outcome = match prepared.policy.class() {
                Class::Fast => self.fast.take(*index, prepared, &who, meta).await,
                Class::Strict => Box::pin(self.strict.decide(prepared, &who, meta)).await,
            };
            let verdict = outcome.map_err(|problem| Box::new(Refused { problem, headers: Headers::default() }))?;
            describe(&mut headers, prepared, verdict);
            if !verdict.allowed {
                return Err(Box::new(Refused { problem: too_often(prepared, verdict), headers }));
            }
        }
        Ok(headers)
    }
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

fn describe(headers: &mut Headers, prepared: &Prepared, verdict: Verdict) {
    headers.0.push((RATE_LIMIT_POLICY, prepared.header.clone()));
    let seconds = verdict.reset_ms.div_ceil(1000);
    let text = format!("\"{}\";r={};t={seconds}", prepared.policy.name, verdict.remaining);
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.0.push((RATE_LIMIT, value));
    }
}

fn too_often(prepared: &Prepared, verdict: Verdict) -> Problem {
    let Limit { permits, window_ms } = prepared.limit;
    let seconds = f64::from(window_ms) / 1000.0;
    let again = verdict.reset_ms.div_ceil(1000);
    let detail = format!(
        "too many requests: policy '{}' allows {permits} in {seconds} s; try again in {again} s",
        prepared.policy.name
    );
    Problem { retry_after_ms: Some(verdict.reset_ms.into()), ..Problem::new(ErrorCode::RateLimited, detail) }
}

/// What a caller reads when the limiter gave no verdict. What it finds wrong in a question is ours, not the caller's.
fn undecided(error: CallError) -> Problem {
    match error {
        CallError::Service(refused) if matches!(refused.code, ErrorCode::Invalid | ErrorCode::BadRequest) => {
            tracing::error!(error = &refused as &dyn std::error::Error, faults = ?refused.faults, "the limiter refused a question");
            ServiceError::internal().into()
        }
        error => error.into(),
    }
}

/// Whom an address counts as: IPv4 whole, IPv6 by its /64, an IPv4 address in IPv6 (::ffff:0:0/96) as the former.
pub fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// What the limiter keeps in place of names: no text of a client stands in a bucket.
fn key(policy: &Policy, who: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [policy.name.as_str(), policy.by.as_str(), who] {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    hex::encode(context.finish().as_ref().get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_count_by_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }
}
