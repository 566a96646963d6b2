//! Large bodies, streamed: bounded in bytes, packed and unpacked, and in the time between two pieces; never whole in memory.

use std::io::{self, Read};
use std::pin::Pin;
use std::time::Duration;

use arborgate_bus::{ObjectInfo, Objects, StoreError};
use arborgate_contracts::ErrorCode;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use poem::{Body, Request, RequestBody};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::front::admitted::Anybody;
use crate::front::body::{too_large, too_slow};
use crate::front::coding::{self, Coding};
use crate::front::problem::Problem;

/// Bytes that are unpacked at once.
const PIECE: usize = 256 << 10;

/// A body on its way in.
pub(crate) struct Upload {
    body: Body,
    coding: Option<Coding>,
    most: u64,
    patience: Duration,
}

impl Upload {
    /// The body of a request.
    pub(crate) fn of(request: &Request, body: &mut RequestBody) -> Result<Self, Problem> {
        Self::up_to(Anybody::of(request)?.sizes.upload, request, body)
    }

    /// The body of a request, of so many bytes at most, also when it is unpacked.
    pub(crate) fn up_to(most: u64, request: &Request, body: &mut RequestBody) -> Result<Self, Problem> {
        let sizes = Anybody::of(request)?.sizes;
        let declared = request.header("content-length").and_then(|text| text.parse::<u64>().ok());
        if declared.is_some_and(|bytes| bytes > most) {
            return Err(too_large(usize::try_from(most).unwrap_or(usize::MAX)));
        }
        let body = body.take().map_err(|_| Problem::from(arborgate_contracts::ServiceError::internal()))?;
        Ok(Self { body, coding: Coding::of(request.headers())?, most, patience: sizes.timeout })
    }

    /// Its pieces, unpacked. Ends with an error when it is too large (`FileTooLarge`), too slow (`TimedOut`) or cut off.
    pub(crate) fn pieces(self) -> Pieces {
        let Self { body, coding, most, patience } = self;
        let pieces = Box::pin(body.into_bytes_stream());
        let pieces = futures_util::stream::try_unfold((pieces, 0u64), move |(mut pieces, mut seen)| async move {
            let next = tokio::time::timeout(patience, pieces.next()).await;
            let Some(piece) = next.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.transpose()? else {
                return Ok(None);
            };
            seen += piece.len() as u64;
            if seen > most {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge));
            }
            Ok(Some((piece, (pieces, seen))))
        });
        match coding {
            None => Box::pin(pieces),
            Some(coding) => unpack(Box::pin(pieces), coding, most),
        }
    }

    /// Bytes, at most.
    pub(crate) fn most(&self) -> u64 {
        self.most
    }

    /// Into the object store.
    pub(crate) async fn store(self, objects: &Objects, name: &str) -> Result<ObjectInfo, Problem> {
        let most = self.most;
        store(self.pieces(), most, objects, name).await
    }
}

/// Unpacks pieces, of at most so many bytes, on a thread of its own, which ends with them or when nobody takes what it gives.
fn unpack(pieces: Pieces, coding: Coding, most: u64) -> Pieces {
    let source = SyncIoBridge::new(StreamReader::new(pieces));
    let (sender, receiver) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        let unpacked = coding::decode(source, coding, |reader| {
            let mut left = most;
            loop {
                let mut piece = Vec::new();
                (&mut *reader).take(PIECE as u64).read_to_end(&mut piece)?;
                let Some(rest) = left.checked_sub(piece.len() as u64) else {
                    return Err(io::ErrorKind::FileTooLarge.into());
                };
                left = rest;
                if piece.is_empty() || sender.blocking_send(Ok(piece.into())).is_err() {
                    return Ok(());
                }
            }
        });
        // Who takes no more has ended already.
        unpacked.or_else(|error| sender.blocking_send(Err(error)))
    });
    Box::pin(ReceiverStream::new(receiver))
}

/// What a body brings.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Pieces of a body of `most` bytes into the object store.
pub(crate) async fn store(pieces: Pieces, most: u64, objects: &Objects, name: &str) -> Result<ObjectInfo, Problem> {
    objects.put(name, pieces).await.map_err(|error| match error {
        StoreError::Input(error) => refusal(&error, most),
        error => {
            tracing::error!(error = &error as &dyn std::error::Error, "an upload could not be stored");
            Problem::new(ErrorCode::Unavailable, "the upload could not be stored; try again shortly")
        }
    })
}

/// Why a body's pieces ended.
pub(crate) fn refusal(error: &io::Error, most: u64) -> Problem {
    match error.kind() {
        io::ErrorKind::FileTooLarge => too_large(usize::try_from(most).unwrap_or(usize::MAX)),
        io::ErrorKind::TimedOut => too_slow(),
        // As `coding::decode` tells it.
        io::ErrorKind::InvalidData => Problem::new(ErrorCode::BadRequest, error.to_string()),
        _ => Problem::new(ErrorCode::BadRequest, "the body was cut off"),
    }
}
