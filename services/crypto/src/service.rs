//! What each operation does. Requests read the ring's snapshot; only a rotation and a token that no key opens ask the
//! keeper.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arborgate_actor::{Address, AskError};
use arborgate_bus::Meta;
use arborgate_contracts::crypto::{Decrypt, Decrypted, Encrypt, Encrypted, ExportedKey, KeyVersion};
use arborgate_contracts::{Deadline, ErrorCode, ServiceError};
use tokio::sync::Semaphore;
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::Error;
use crate::fernet::{InvalidToken, Token, token_len};
use crate::keeper::Message;
use crate::keyring::{Keyring, chain};
use crate::metrics::Metrics;

/// Texts longer than this are worked on by a thread that may block.
const INLINE: usize = 64 << 10;
/// An attempt's own time, a little less than `Operation::ATTEMPT`, so that the answer still gets back.
const ANSWER_WITHIN: Duration = Duration::from_millis(900);

pub(crate) struct Crypto {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) keeper: Address<Message>,
    /// Bytes.
    pub(crate) max_plaintext: usize,
    /// Long texts worked on at once.
    pub(crate) blocking: Arc<Semaphore>,
    pub(crate) metrics: Metrics,
}

impl Crypto {
    pub(crate) async fn encrypt(&self, request: Encrypt, meta: Meta) -> Result<Encrypted, ServiceError> {
        let measure = self.metrics.measure("encrypt");
        measure.end(self.encrypt_text(Zeroizing::new(request.plaintext), meta.deadline).await)
    }

    async fn encrypt_text(&self, plaintext: Zeroizing<String>, deadline: Deadline) -> Result<Encrypted, ServiceError> {
        let (size, limit) = (plaintext.len(), self.max_plaintext);
        if size > limit {
            return Err(too_large(format!("the plaintext has {size} bytes; at most {limit} are encrypted")));
        }
        let ring = self.keyring.load();
        let encrypt = move || match ring.newest() {
            Some(key) => {
                key.encrypt(plaintext.as_bytes()).map(|ciphertext| Encrypted { ciphertext }).map_err(|error| {
                    tracing::error!(%error, "a text can not be encrypted");
                    ServiceError::internal()
                })
            }
            None => Err(ServiceError::new(ErrorCode::Unavailable, "there is no encryption key")),
        };
        self.work(size, deadline, encrypt).await?
    }

    pub(crate) async fn decrypt(&self, request: Decrypt, meta: Meta) -> Result<Decrypted, ServiceError> {
        let measure = self.metrics.measure("decrypt");
        measure.end(self.decrypt_text(request.ciphertext, meta.deadline).await)
    }

    async fn decrypt_text(&self, ciphertext: String, deadline: Deadline) -> Result<Decrypted, ServiceError> {
        let (size, limit) = (ciphertext.len(), token_len(self.max_plaintext));
        if size > limit {
            return Err(too_large(format!("the ciphertext has {size} characters; at most {limit} are decrypted")));
        }
        let ring = self.keyring.load();
        let begun = Arc::clone(&ring);
        let first = move || {
            let token = Token::decode(&ciphertext).map_err(|_| None)?;
            begun.decrypt(&token).map_err(|InvalidToken| Some(token))
        };
        let token = match self.work(size, deadline, first).await? {
            Ok(plaintext) => return into_text(plaintext),
            Err(None) => return Err(failed()),
            Err(Some(token)) => token,
        };
        self.catch_up(deadline).await?;
        let now = self.keyring.load();
        if Arc::ptr_eq(&ring, &now) {
            return Err(failed());
        }
        self.work(size, deadline, move || now.decrypt(&token))
            .await?
            .map_err(|InvalidToken| failed())
            .and_then(into_text)
    }

    /// Knows every key that another replica has made before now.
    async fn catch_up(&self, deadline: Deadline) -> Result<(), ServiceError> {
        let deadline = deadline.within(ANSWER_WITHIN);
        let asked = Instant::now();
        match self.keeper.ask(deadline.instant(), |answer| Message::CatchUp { asked, answer }).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(AskError::Timeout) => {
                let detail = "the newest encryption keys can not be read at the moment; try again shortly";
                Err(ServiceError::new(ErrorCode::Unavailable, detail))
            }
            Err(error) => Err(unanswered(error)),
        }
    }

    pub(crate) async fn rotate(&self, meta: Meta) -> Result<KeyVersion, ServiceError> {
        let measure = self.metrics.measure("rotate-key");
        let deadline = meta.deadline;
        let rotated = self.keeper.ask(deadline.instant(), |answer| Message::Rotate { deadline, answer }).await;
        measure.end(match rotated {
            Ok(Ok(version)) => Ok(version),
            Ok(Err(error)) => Err(not_rotated(&error)),
            Err(error) => Err(unanswered(error)),
        })
    }

    pub(crate) fn export(&self) -> Result<Vec<ExportedKey>, ServiceError> {
        let measure = self.metrics.measure("export-keys");
        let keys = self.keyring.load().export();
        tracing::warn!(keys = keys.len(), "the encryption keys were exported");
        measure.end(Ok(keys))
    }

    /// Does short work here, and long work on a thread that may block, where only so many are at once.
    async fn work<T: Send + 'static>(
        &self,
        size: usize,
        deadline: Deadline,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        if size <= INLINE {
            return Ok(work());
        }
        let turn = tokio::time::timeout_at(deadline.instant().into(), Arc::clone(&self.blocking).acquire_owned());
        let Ok(Ok(permit)) = turn.await else {
            return Err(ServiceError::new(
                ErrorCode::DeadlineExceeded,
                "the crypto service is busy; try again shortly",
            ));
        };
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|error| {
            tracing::error!(panicked = error.is_panic(), "work on a long text was not done");
            ServiceError::internal()
        })
    }
}

fn into_text(mut plaintext: Zeroizing<Vec<u8>>) -> Result<Decrypted, ServiceError> {
    match String::from_utf8(std::mem::take(&mut *plaintext)) {
        Ok(plaintext) => Ok(Decrypted { plaintext }),
        Err(error) => {
            error.into_bytes().zeroize();
            Err(failed())
        }
    }
}

/// The same in every case, so that nobody learns from it what was wrong.
fn failed() -> ServiceError {
    ServiceError::new(ErrorCode::DecryptionFailed, "Decryption failed")
}

fn too_large(detail: String) -> ServiceError {
    ServiceError::new(ErrorCode::TooLarge, detail)
}

fn not_rotated(error: &Error) -> ServiceError {
    if let Error::Full(count) = error {
        let detail = format!("the keyring holds {count} keys, the most that are tried on one token; none was added");
        return ServiceError::new(ErrorCode::Conflict, detail);
    }
    tracing::error!(error = chain(error), "the encryption key was not rotated");
    match error {
        Error::Store(_) => ServiceError::new(ErrorCode::Unavailable, "the keyring can not be changed at the moment"),
        _ => ServiceError::internal(),
    }
}

fn unanswered(error: AskError) -> ServiceError {
    match error {
        AskError::Full => ServiceError::new(ErrorCode::Overloaded, "the crypto service is busy; try again shortly"),
        AskError::Timeout => ServiceError::new(
            ErrorCode::DeadlineExceeded,
            "no answer in time; a new encryption key may have been made or not",
        ),
        AskError::Gone => ServiceError::new(ErrorCode::Unavailable, "the crypto service is ending"),
    }
}
