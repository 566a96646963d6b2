//! A bus that fails where the service must not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arborgate_bus::BusError;
use arborgate_contracts::Subject;
use arborgate_testkit::faulty::{self, Faults};

use crate::support::*;

/// Serves predictions of a version only after so many tries, which panic or fail.
struct Unserved {
    subject: Subject,
    left: AtomicUsize,
    panics: bool,
}

impl Faults for Unserved {
    fn serve(&self, subject: &Subject) -> Result<(), BusError> {
        let left = self.left.load(Ordering::Relaxed);
        if *subject != self.subject || left == 0 {
            return Ok(());
        }
        self.left.store(left - 1, Ordering::Relaxed);
        assert!(!self.panics, "as asked");
        Err(BusError::Closed)
    }
}

async fn served_after(faults: usize, panics: bool) {
    let subject = Subject::predict(&name("iris"), &version("1"));
    let unserved = Arc::new(Unserved { subject, left: faults.into(), panics });
    let system = System::on(faulty::bus(Arc::clone(&unserved)).unwrap()).await;
    system.add("iris", "1", IRIS).await;
    let worker = system.worker("w1").await;
    worker.holds(|holds| !holds.is_empty()).await;
    assert_eq!(unserved.left.load(Ordering::Relaxed), 0);
    let answer = system.predict("iris", "1", &setosa()).await.unwrap();
    assert_eq!(answer.labels, [0]);
}

#[tokio::test]
async fn a_model_whose_subject_can_not_be_served_is_tried_again() {
    served_after(1, false).await;
}

#[tokio::test]
async fn a_model_whose_actor_panics_is_loaded_anew() {
    served_after(2, true).await;
}

/// More panics than an actor survives: another takes its place.
#[tokio::test]
async fn a_model_whose_actor_is_gone_gets_another() {
    served_after(8, true).await;
}
