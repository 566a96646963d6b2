//! How the bus and the state fail.

use arborgate_contracts::ServiceError;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a request got no reply of the kind it asked for.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Nobody serves the subject.
    #[error("nobody serves {subject}")]
    NoResponders {
        /// Which.
        subject: String,
    },
    /// The deadline passed without a reply; nobody knows whether the work was done.
    #[error("no reply from {subject} in time")]
    Timeout {
        /// Which.
        subject: String,
    },
    /// The responder's queue is full; the work was not done.
    #[error("the queue of {subject} is full")]
    Full {
        /// Which.
        subject: String,
    },
    /// The payload is over the bus's limit; nothing was sent.
    #[error("a message of {size} bytes is over the bus's limit of {limit}")]
    TooLarge {
        /// Of the payload.
        size: usize,
        /// [`crate::Bus::max_payload`].
        limit: usize,
    },
    /// The service answered with an error.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The bus is not connected, or it broke while asking.
    #[error("the bus failed")]
    Bus(#[from] BusError),
}

/// Why the bus itself failed.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// It is shutting down.
    #[error("the bus is closed")]
    Closed,
    /// What it runs on failed.
    #[error("{what} failed")]
    Transport {
        /// What was being done.
        what: &'static str,
        /// Why.
        #[source]
        source: Source,
    },
    /// The configuration can not work.
    #[error("{0}")]
    Config(String),
}

impl BusError {
    pub(crate) fn transport(what: &'static str) -> impl FnOnce(Source) -> Self {
        move |source| Self::Transport { what, source }
    }
}

/// Why the state did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The revision is not the current one, or the key is there already. Read again and decide again.
    #[error("{key} was changed by another")]
    Conflict {
        /// Which.
        key: String,
    },
    /// The bucket was never made: `arborgate init` makes it.
    #[error("bucket {bucket} is not there; run `arborgate init` once")]
    NoBucket {
        /// Which.
        bucket: String,
    },
    /// The value is over the bucket's limit.
    #[error("a value of {size} bytes is over the limit of {limit} in bucket {bucket}")]
    TooLarge {
        /// Of the value.
        size: usize,
        /// Of the bucket.
        limit: usize,
        /// Which.
        bucket: String,
    },
    /// Too many changes wait already; this one was not made.
    #[error("the queue of changes is full")]
    Full,
    /// The work queue holds as many messages as it may; this one was not added.
    #[error("the queue {queue} is full")]
    QueueFull {
        /// Which.
        queue: String,
    },
    /// No object can have this name.
    #[error(
        "{name:?} can not name an object: 1 to 255 of A-Z, a-z, 0-9, '.', '_', '-' and '/', no part empty, '.' or '..'"
    )]
    BadName {
        /// Which.
        name: String,
    },
    /// No such object.
    #[error("object {name} is not there")]
    NoObject {
        /// Which.
        name: String,
    },
    /// What was read is not what was written.
    #[error("object {name} is damaged: its SHA-256 is not the one it was stored with")]
    Damaged {
        /// Which.
        name: String,
    },
    /// What is written was cut off or went over the limit by its sender.
    #[error("reading what is to be stored failed")]
    Input(#[source] std::io::Error),
    /// Two writers, too little room, no connection: what it runs on failed.
    #[error("{what} failed")]
    Backend {
        /// What was being done.
        what: &'static str,
        /// Why.
        #[source]
        source: Source,
    },
}

impl StoreError {
    /// Whether it failed because the bus was closed, for good.
    pub fn is_closed(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if matches!(error.downcast_ref(), Some(BusError::Closed)) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    pub(crate) fn backend<E: Into<Source>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Backend { what, source: source.into() }
    }
}
