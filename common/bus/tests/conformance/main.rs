//! What every kind of bus does, said once: each case takes a [`fixture::Fixture`] and runs on each kind that its
//! `conformance!` names. What only one kind does is tested elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

/// Makes a test of each case on each kind: `fixture::KIND()` starts a bus of that kind.
macro_rules! conformance {
    (on [$($kind:ident)+] $cases:tt) => { $( conformance!(@ $kind $cases); )+ };
    (@ $kind:ident { $($case:ident)+ }) => {
        mod $kind {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case($crate::fixture::$kind().await).await;
                }
            )+
        }
    };
}

#[path = "../shared/mod.rs"]
mod shared;

mod capacity;
mod closing;
mod deadline;
mod expiry;
mod fixture;
mod key_value;
mod nats_fixture;
mod objects;
mod publish;
mod queue;
mod request;
mod watch;
