//! Passwords: what a new one must be, and Argon2id on a bounded number of blocking threads. It knows no user.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arborgate_contracts::auth::Password;
use arborgate_contracts::{Deadline, ErrorCode, Fault, ServiceError};
use argon2::password_hash::phc::{Output, ParamsString, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::config::{Config, PasswordConfig};
use crate::error::Error;
use crate::metrics::{Metrics, Of};
use crate::random;

/// A password on its way to be hashed, wiped when dropped.
pub(crate) type Plain = Zeroizing<String>;

/// Takes a password out of a request.
pub(crate) fn plain(password: Password) -> Plain {
    Zeroizing::new(password.0)
}

/// Refuses a new password that is too short or too long, counted in characters (Unicode scalar values), not in bytes.
pub(crate) fn check_new(password: &str, rules: &PasswordConfig) -> Result<(), Error> {
    let length = password.chars().count();
    if (rules.min_length..=rules.max_length).contains(&length) {
        return Ok(());
    }
    let rule = format!("a password must have {} to {} characters", rules.min_length, rules.max_length);
    let fault = Fault { pointer: "/password".into(), detail: format!("{rule}; this one has {length}") };
    Err(ServiceError::new(ErrorCode::Invalid, rule).with_faults(vec![fault]).into())
}

/// What a password is checked against.
pub(crate) enum Against {
    /// A user's PHC string.
    Hash(String),
    /// Nothing: the same work for nobody.
    Nobody,
}

/// Hashes passwords, a bounded number at a time. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hasher(Arc<Inner>);

struct Inner {
    params: Params,
    /// A hash with the current parameters that no password has.
    nobody: PasswordHash,
    /// No stored password is longer, in bytes.
    longest: usize,
    threads: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
    metrics: Metrics,
}

/// A place in the queue, given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn failed<E>(_: E) -> Error {
    Error::Cryptography("Argon2")
}

impl Hasher {
    pub(crate) fn new(config: &Config, metrics: Metrics) -> Result<Self, Error> {
        let params = config.argon2.params().map_err(failed)?;
        Ok(Self(Arc::new(Inner {
            nobody: nobody(&params)?,
            params,
            longest: config.password.max_length.saturating_mul(char::MAX.len_utf8()),
            threads: Arc::new(Semaphore::new(config.hashing.threads())),
            waiting: AtomicUsize::new(0),
            queue: config.hashing.queue,
            metrics,
        })))
    }

    /// The PHC string of a new password.
    pub(crate) async fn hash(&self, password: Plain, deadline: Deadline) -> Result<String, Error> {
        let inner = Arc::clone(&self.0);
        self.run(Of::new, deadline, move || {
            let hash = argon2(&inner.params).hash_password(password.as_bytes()).map_err(failed)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether a password is the one of a hash, with the same work for nobody's.
    pub(crate) async fn verify(&self, password: Plain, against: Against, deadline: Deadline) -> Result<bool, Error> {
        let inner = Arc::clone(&self.0);
        // What can not be right is not read, but costs the same.
        let too_long = password.len() > inner.longest;
        let of = if matches!(against, Against::Hash(_)) { Of::known } else { Of::unknown };
        self.run(of, deadline, move || {
            let parsed = match &against {
                Against::Hash(hash) => Some(PasswordHash::new(hash).map_err(failed)?),
                Against::Nobody => None,
            };
            let expected = parsed.as_ref().unwrap_or(&inner.nobody);
            let bytes = if too_long { &[] } else { password.as_bytes() };
            let outcome = argon2(&inner.params).verify_password(bytes, expected);
            match outcome {
                Ok(()) => Ok(parsed.is_some() && !too_long),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(failed(error)),
            }
        })
        .await
    }

    /// Whether a PHC string was made with other settings than the current ones.
    pub(crate) fn is_outdated(&self, hash: &str) -> bool {
        let Ok(hash) = PasswordHash::new(hash) else { return true };
        let Ok(params) = Params::try_from(&hash) else { return true };
        let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        cost(&params) != cost(&self.0.params)
            || hash.algorithm != ARGON2ID_IDENT
            || hash.version != Some(Version::V0x13.into())
    }

    /// Runs `work` on a blocking thread when one is free. The work goes on when this future is dropped, and holds its
    /// thread until it ends.
    async fn run<T: Send + 'static>(
        &self,
        of: Of,
        deadline: Deadline,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = &self.0;
        let permit = match Arc::clone(&inner.threads).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _place = self.wait()?;
                let threads = Arc::clone(&inner.threads).acquire_owned();
                tokio::time::timeout_at(deadline.instant().into(), threads)
                    .await
                    .map_err(|_| late())?
                    .map_err(failed)?
            }
        };
        if deadline.has_passed() {
            return Err(late());
        }
        let metrics = inner.metrics.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let began = Instant::now();
            let outcome = work();
            metrics.hashed(of);
            metrics.hash_seconds.observe(began.elapsed().as_secs_f64());
            outcome
        });
        task.await.map_err(failed)?
    }

    fn wait(&self) -> Result<Place<'_>, Error> {
        let inner = &self.0;
        if inner.waiting.fetch_add(1, Ordering::AcqRel) >= inner.queue {
            inner.waiting.fetch_sub(1, Ordering::AcqRel);
            inner.metrics.full.inc();
            return Err(Error::refused(ErrorCode::Overloaded, "too many sign-ins at this moment; try again shortly"));
        }
        Ok(Place(&inner.waiting))
    }
}

fn late() -> Error {
    Error::refused(ErrorCode::DeadlineExceeded, "the deadline passed before the password was checked")
}

fn argon2(params: &Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
}

/// Random salt and output: to check against it costs what a user's hash costs, and making it costs nothing.
fn nobody(params: &Params) -> Result<PasswordHash, Error> {
    let (salt, output) = (random::bytes::<16>()?, random::bytes::<32>()?);
    Ok(PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).map_err(failed)?,
        salt: Some(Salt::new(salt.as_slice()).map_err(failed)?),
        hash: Some(Output::new(output.as_slice()).map_err(failed)?),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arborgate_runtime::config::ByteSize;

    use super::*;
    use crate::config::{Argon2Config, HashingConfig};

    fn config(kib: u64) -> Config {
        Config {
            argon2: Argon2Config { memory: ByteSize(kib << 10), passes: 1, lanes: 1 },
            hashing: HashingConfig { concurrency: Some(1), queue: 1 },
            ..Config::default()
        }
    }

    fn hasher(kib: u64) -> (Hasher, Metrics) {
        let metrics = Metrics::new();
        (Hasher::new(&config(kib), metrics.clone()).unwrap(), metrics)
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(30))
    }

    fn text(password: &str) -> Plain {
        Zeroizing::new(password.to_owned())
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let rules = PasswordConfig::default();
        for good in ["é".repeat(12), "🔑".repeat(128), "twelve chars".to_owned()] {
            check_new(&good, &rules).unwrap();
        }
        for bad in ["é".repeat(11), "🔑".repeat(129), "eleven char".to_owned(), String::new()] {
            let Err(Error::Refused(error)) = check_new(&bad, &rules) else { panic!("accepted") };
            assert_eq!((error.code, error.faults[0].pointer.as_str()), (ErrorCode::Invalid, "/password"));
            assert!(error.faults[0].detail.contains("12 to 128 characters"));
        }
    }

    #[tokio::test]
    async fn only_the_password_is_verified() {
        let (hasher, metrics) = hasher(64);
        let hash = hasher.hash(text("correct horse battery"), soon()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert_ne!(hash, hasher.hash(text("correct horse battery"), soon()).await.unwrap(), "salts differ");
        let verify =
            async |password: &str| hasher.verify(text(password), Against::Hash(hash.clone()), soon()).await.unwrap();
        assert!(verify("correct horse battery").await);
        for wrong in ["", "correct horse batterY", "correct horse battery ", &"x".repeat(1 << 20)] {
            assert!(!verify(wrong).await);
        }
        assert_eq!((metrics.hashes(Of::new), metrics.hashes(Of::known), metrics.hashes(Of::unknown)), (2, 5, 0));
    }

    #[tokio::test]
    async fn nobody_costs_the_same_work_with_the_current_parameters() {
        let (hasher, metrics) = hasher(128);
        assert!(!hasher.verify(text("anything at all"), Against::Nobody, soon()).await.unwrap());
        assert_eq!(metrics.hashes(Of::unknown), 1);
        let nobody = hasher.0.nobody.to_string();
        let somebody = hasher.hash(text("a real password"), soon()).await.unwrap();
        let settings = |phc: &str| phc.split('$').map(str::to_owned).take(4).collect::<Vec<_>>();
        assert_eq!(settings(&nobody), settings(&somebody));
        let lengths = |phc: &str| phc.split('$').map(str::len).collect::<Vec<_>>();
        assert_eq!(lengths(&nobody), lengths(&somebody));
    }

    #[tokio::test]
    async fn a_hash_of_other_settings_is_outdated_and_still_verified() {
        let (old, _) = hasher(64);
        let (new, _) = hasher(128);
        let hash = old.hash(text("correct horse battery"), soon()).await.unwrap();
        assert!(!old.is_outdated(&hash));
        assert!(new.is_outdated(&hash));
        assert!(new.is_outdated(&hash.replace("argon2id", "argon2i")) && new.is_outdated("?"));
        assert!(new.verify(text("correct horse battery"), Against::Hash(hash), soon()).await.unwrap());
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_dropped_waiter_leaves_it() {
        let (hasher, metrics) = hasher(64);
        let busy = Arc::clone(&hasher.0.threads).acquire_owned().await.unwrap();
        let waiter = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.hash(text("a"), soon()).await }
        });
        while hasher.0.waiting.load(Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        let Err(Error::Refused(full)) = hasher.hash(text("b"), soon()).await else { panic!("not refused") };
        assert_eq!((full.code, metrics.full.get()), (ErrorCode::Overloaded, 1));
        waiter.abort();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert_eq!(hasher.0.waiting.load(Ordering::Acquire), 0);
        let brief = Deadline::after(Duration::from_millis(1));
        let Err(Error::Refused(late)) = hasher.hash(text("c"), brief).await else { panic!("not refused") };
        assert_eq!(late.code, ErrorCode::DeadlineExceeded);
        drop(busy);
        hasher.hash(text("d"), soon()).await.unwrap();
    }
}
