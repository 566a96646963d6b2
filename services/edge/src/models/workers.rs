//! Which workers hold a version, and how many messages each has under way: the least busy is asked next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arborgate_bus::{Directory, Peer};
use arborgate_contracts::inference::PREDICT;
use arborgate_contracts::presence::Held;
use arborgate_contracts::{InstanceId, ModelName, Service, Subject, Version};

#[derive(Debug)]
struct Worker {
    instance: InstanceId,
    subject: Subject,
    in_flight: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Known {
    /// The snapshot that `workers` was made of.
    peers: Option<Arc<[Peer]>>,
    workers: Vec<Worker>,
}

/// The workers of one version.
pub struct Workers {
    directory: Directory,
    model: ModelName,
    version: Version,
    /// A worker that still holds other bytes under the same name is not asked.
    digest: String,
    group: Subject,
    known: parking_lot::Mutex<Known>,
}

/// A message to a worker; dropped when it is over.
pub struct Chosen {
    /// Where to send it.
    pub subject: Subject,
    /// Who: none when the queue group decides.
    pub instance: Option<InstanceId>,
    in_flight: Option<Arc<AtomicUsize>>,
}

impl Drop for Chosen {
    fn drop(&mut self) {
        if let Some(in_flight) = &self.in_flight {
            in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Workers {
    /// Of a version, as `directory` knows them.
    pub fn new(directory: Directory, model: ModelName, version: Version, digest: String) -> Self {
        let group = Subject::predict(&model, &version);
        Self { directory, model, version, digest, group, known: parking_lot::Mutex::default() }
    }

    fn with<T>(&self, read: impl FnOnce(&[Worker]) -> T) -> T {
        let peers = self.directory.peers();
        let mut known = self.known.lock();
        if !known.peers.as_ref().is_some_and(|p| Arc::ptr_eq(p, &peers)) {
            let old = std::mem::take(&mut known.workers);
            let wanted = |h: &Held| h.digest == self.digest && h.model == self.model && h.version == self.version;
            let holds = |peer: &Peer| peer.holds.iter().any(wanted);
            known.workers = peers
                .iter()
                .filter(|peer| holds(peer))
                .map(|peer| Worker {
                    instance: peer.instance.clone(),
                    subject: Subject::direct(Service::Inference, PREDICT, &peer.instance),
                    in_flight: old
                        .iter()
                        .find(|w| w.instance == peer.instance)
                        .map_or_else(Arc::default, |w| Arc::clone(&w.in_flight)),
                })
                .collect();
            known.peers = Some(peers);
        }
        read(&known.workers)
    }

    /// How many hold the version.
    pub fn count(&self) -> usize {
        self.with(<[Worker]>::len)
    }

    /// Why workers that were told to hold the version do not answer for it; each reason once.
    pub fn aside(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        for aside in self.directory.peers().iter().flat_map(|peer| peer.aside.iter()) {
            let Held { model, version, digest } = &aside.version;
            let same = *digest == self.digest && *model == self.model && *version == self.version;
            if same && !reasons.contains(&aside.reason) {
                reasons.push(aside.reason.clone());
            }
        }
        reasons
    }

    /// The least busy worker that is not in `tried`; else the queue group.
    pub fn choose(&self, tried: &[InstanceId]) -> Chosen {
        self.with(|workers| {
            let free = workers.iter().filter(|w| !tried.contains(&w.instance));
            match free.min_by_key(|w| w.in_flight.load(Ordering::Relaxed)) {
                Some(worker) => {
                    worker.in_flight.fetch_add(1, Ordering::Relaxed);
                    Chosen {
                        subject: worker.subject.clone(),
                        instance: Some(worker.instance.clone()),
                        in_flight: Some(Arc::clone(&worker.in_flight)),
                    }
                }
                None => Chosen { subject: self.group.clone(), instance: None, in_flight: None },
            }
        })
    }

    /// Says that a worker gave no answer.
    pub fn suspect(&self, instance: &InstanceId) {
        self.directory.suspect(instance);
    }
}
