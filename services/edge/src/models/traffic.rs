//! Which version of a model answers a request that names none: the current one, or one with a share of the traffic, chosen
//! by chance or by what the caller brings. It knows the model's rollout and no request but its [`Who`].

use std::sync::Arc;

use arborgate_contracts::Version;
use arborgate_contracts::rollout::{Rollout, Sticky, WHOLE};
use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::catalog::Served;
use super::shadow::Shadowing;

/// What of a request decides by which version it is answered.
#[derive(Debug, Clone, Copy)]
pub struct Who<'r> {
    /// The user or the API key.
    pub principal: &'r str,
    /// See [`StickyHeaders::of`].
    pub headers: &'r [(HeaderName, HeaderValue)],
}

/// How a model's requests are divided.
#[derive(Default, Clone)]
pub struct Traffic {
    /// The one that was promoted; without it the first of these that workers hold, or held once.
    current: Vec<Arc<Served>>,
    /// Each with the sum of its own share and those before, of [`WHOLE`].
    shares: Vec<(u32, Arc<Served>)>,
    sticky: Option<Sticky>,
    /// Sets models apart: who is among the first of one is not of another.
    salt: Box<str>,
    /// What is asked as well.
    pub shadow: Option<Arc<Shadowing>>,
}

impl Traffic {
    /// Of versions, the one added last first, without those that no worker is to hold.
    pub fn new(rollout: Option<&Rollout>, mut newest: Vec<Arc<Served>>, shadow: Option<Arc<Shadowing>>) -> Self {
        let Some(rollout) = rollout else { return Self { current: newest, shadow, ..Self::default() } };
        let find = |version: &Version| newest.iter().find(|served| served.manifest.version == *version).cloned();
        let mut upto = 0;
        let shares = rollout.split.iter().flat_map(|split| &split.shares).filter_map(|share| {
            // Also of a version that is gone: the others' shares stay what they are.
            let begin = upto;
            upto += share.basis_points;
            find(&share.version).map(|served| (begin, upto, served))
        });
        let shares: Vec<_> = shares.collect();
        let promoted = rollout.current.as_ref().and_then(find);
        if let Some(promoted) = promoted {
            newest = vec![promoted];
        }
        let current = newest.first().cloned();
        let mut filled = Vec::with_capacity(shares.len());
        for (begin, upto, served) in shares {
            let last = filled.last().map_or(0, |(upto, _)| *upto);
            if let Some(current) = current.as_ref().filter(|_| begin > last) {
                filled.push((begin, Arc::clone(current)));
            }
            filled.push((upto, served));
        }
        let sticky = rollout.split.as_ref().and_then(|split| split.sticky.clone());
        Self { current: newest, shares: filled, sticky, salt: rollout.model.as_str().into(), shadow }
    }

    /// What is to answer all that no share takes.
    pub fn newest(&self) -> Option<&Arc<Served>> {
        self.current.first()
    }

    /// What answers all that no share takes.
    pub fn current(&self) -> Option<&Arc<Served>> {
        match self.current.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|served| served.was_held()).or_else(|| several.first()),
        }
    }

    /// What answers a request.
    pub fn choose(&self, who: Who<'_>) -> Option<&Arc<Served>> {
        if self.shares.is_empty() {
            return self.current();
        }
        let point = self.point(who);
        let share = self.shares.iter().find(|(upto, _)| point < *upto);
        share.map_or_else(|| self.current(), |(_, served)| Some(served))
    }

    /// Where a request stands among all, below [`WHOLE`].
    fn point(&self, who: Who<'_>) -> u32 {
        let key = match &self.sticky {
            None => None,
            Some(Sticky::Principal) => Some(who.principal.as_bytes()),
            Some(Sticky::Header(name)) => {
                who.headers.iter().find(|(of, _)| of.as_str() == name).map(|(_, value)| value.as_bytes())
            }
        };
        match key {
            Some(key) => place(&self.salt, key),
            None => rand::random_range(0..WHOLE),
        }
    }

    /// The header that callers stay by.
    pub fn sticky_header(&self) -> Option<&str> {
        match &self.sticky {
            Some(Sticky::Header(name)) => Some(name),
            _ => None,
        }
    }
}

/// The same at every edge and in every release: who had a version with 10 per cent has it with 20 as well.
fn place(salt: &str, key: &[u8]) -> u32 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(salt.as_bytes());
    context.update(&[0]);
    context.update(key);
    let number = context.finish().as_ref().iter().take(8).fold(0, |number: u64, byte| (number << 8) | u64::from(*byte));
    // Less than WHOLE.
    u32::try_from(number % u64::from(WHOLE)).unwrap_or_default()
}

/// The headers that some model's callers stay by: all that is kept of a request's headers for [`Traffic::choose`].
#[derive(Debug, Clone, Default)]
pub struct StickyHeaders(Arc<ArcSwap<Vec<HeaderName>>>);

impl StickyHeaders {
    pub(super) fn set(&self, names: Vec<HeaderName>) {
        self.0.store(Arc::new(names));
    }

    /// Those that a request has.
    pub fn of(&self, headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        let names = self.0.load();
        names.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_even_and_stay() {
        // Pinned: another release must not move callers between versions.
        assert_eq!([place("iris", b"user:ann"), place("iris", b"user:bob")], [7868, 8008]);
        let mut below = 0;
        for caller in 0..10_000 {
            below += u32::from(place("iris", format!("user:{caller}").as_bytes()) < 1_000);
        }
        assert!((900..1_100).contains(&below), "{below}");
    }

    #[test]
    fn only_wanted_headers_are_kept() {
        let sticky = StickyHeaders::default();
        let mut headers = HeaderMap::new();
        headers.insert("x-user", HeaderValue::from_static("ann"));
        headers.insert("x-other", HeaderValue::from_static("1"));
        assert!(sticky.of(&headers).is_empty());
        sticky.set(vec![HeaderName::from_static("x-user"), HeaderName::from_static("x-absent")]);
        let kept = sticky.of(&headers);
        assert_eq!(kept, [(HeaderName::from_static("x-user"), HeaderValue::from_static("ann"))]);
    }
}
