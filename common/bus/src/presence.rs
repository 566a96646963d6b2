//! How instances of a service make themselves known, and how their callers know them. It decides nothing: an instance
//! that is taken to be gone is only asked last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arborgate_contracts::presence::{Announcement, Aside, EVERY, GONE_AFTER, Held, Holding};
use arborgate_contracts::{InstanceId, Service, Subject};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::error::BusError;
use crate::store::to_json;
use crate::transport::{Bus, Subscription};

/// Announcements buffered at most: more than a cluster has instances.
const CAPACITY: usize = 1024;

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An instance announcing itself until it leaves or is dropped.
pub struct Presence {
    bus: Bus,
    subject: Subject,
    instance: InstanceId,
    holds: watch::Sender<Holding>,
    _task: AbortOnDrop,
}

impl Presence {
    /// Announces `instance` of `service`. Call it when its subscriptions are live.
    pub async fn start(bus: &Bus, service: Service, instance: InstanceId) -> Result<Self, BusError> {
        let subject = Subject::presence(service);
        let roll_call = bus.subscribe(&Subject::roll_call(service), CAPACITY).await?;
        let (holds, seen) = watch::channel(Holding::default());
        let announcer =
            Announcer { bus: bus.clone(), subject: subject.clone(), instance: instance.clone(), holds: seen };
        announcer.announce(true).await?;
        let task = AbortOnDrop(tokio::spawn(announcer.run(roll_call)).abort_handle());
        Ok(Self { bus: bus.clone(), subject, instance, holds, _task: task })
    }

    /// Announces what the instance holds from now on.
    pub fn hold(&self, holds: Holding) {
        self.holds.send_if_modified(|current| {
            let changed = *current != holds;
            *current = holds;
            changed
        });
    }

    /// Says that the instance takes no new requests. Call it before draining.
    pub async fn leave(self) -> Result<(), BusError> {
        let holds = self.holds.subscribe();
        Announcer { bus: self.bus.clone(), subject: self.subject.clone(), instance: self.instance.clone(), holds }
            .announce(false)
            .await
    }
}

struct Announcer {
    bus: Bus,
    subject: Subject,
    instance: InstanceId,
    holds: watch::Receiver<Holding>,
}

impl Announcer {
    async fn announce(&self, serving: bool) -> Result<(), BusError> {
        let Holding { holds, aside } = if serving { self.holds.borrow().clone() } else { Holding::default() };
        let announcement = Announcement { instance: self.instance.clone(), serving, holds, aside };
        let payload = to_json(&announcement).map_err(|e| BusError::transport("announcing")(Box::new(e)))?;
        self.bus.publish(&self.subject, payload).await
    }

    async fn run(mut self, mut roll_call: Subscription) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                call = roll_call.next() => if call.is_none() { return },
                changed = self.holds.changed() => if changed.is_err() { return },
            }
            if let Err(error) = self.announce(true).await {
                tracing::warn!(instance = %self.instance, %error, "could not announce this instance");
            }
        }
    }
}

/// An instance as its callers know it, with the subject on which it alone hears an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who.
    pub instance: InstanceId,
    /// What it holds.
    pub holds: Arc<[Held]>,
    /// What it was told to hold, and does not answer for.
    pub aside: Arc<[Aside]>,
}

#[derive(Debug)]
struct Known {
    peer: Peer,
    heard: Instant,
    /// Gave no answer in time since it was last heard.
    suspect: bool,
}

/// The instances of a service that are here now.
#[derive(Clone)]
pub struct Directory {
    service: Service,
    peers: watch::Sender<Arc<[Peer]>>,
    known: Arc<parking_lot::Mutex<BTreeMap<InstanceId, Known>>>,
    _task: Arc<AbortOnDrop>,
}

impl Directory {
    /// Listens for the instances of `service` and asks those that are there to speak up.
    pub async fn start(bus: &Bus, service: Service) -> Result<Self, BusError> {
        let announcements = bus.subscribe(&Subject::presence(service), CAPACITY).await?;
        let known = Arc::new(parking_lot::Mutex::new(BTreeMap::new()));
        let (peers, _) = watch::channel(Arc::from(Vec::new()));
        let listener = listen(announcements, Arc::clone(&known), peers.clone());
        let task = Arc::new(AbortOnDrop(tokio::spawn(listener).abort_handle()));
        bus.publish(&Subject::roll_call(service), bytes::Bytes::new()).await?;
        Ok(Self { service, peers, known, _task: task })
    }

    /// Whose instances these are.
    pub fn service(&self) -> Service {
        self.service
    }

    /// Who is here, by id. Cheap: a reader takes a snapshot.
    pub fn peers(&self) -> Arc<[Peer]> {
        Arc::clone(&self.peers.borrow())
    }

    /// Sees who comes, goes and holds something else.
    pub fn changes(&self) -> watch::Receiver<Arc<[Peer]>> {
        self.peers.subscribe()
    }

    /// Takes an instance that gave no answer out of the snapshot until it is heard again.
    pub fn suspect(&self, instance: &InstanceId) {
        let mut known = self.known.lock();
        if let Some(entry) = known.get_mut(instance) {
            entry.suspect = true;
            publish(&known, &self.peers);
        }
    }
}

fn publish(known: &BTreeMap<InstanceId, Known>, peers: &watch::Sender<Arc<[Peer]>>) {
    let now: Arc<[Peer]> = known.values().filter(|k| !k.suspect).map(|k| k.peer.clone()).collect();
    peers.send_if_modified(|current| {
        let changed = *current != now;
        *current = now;
        changed
    });
}

async fn listen(
    mut announcements: Subscription,
    known: Arc<parking_lot::Mutex<BTreeMap<InstanceId, Known>>>,
    peers: watch::Sender<Arc<[Peer]>>,
) {
    let mut sweep = tokio::time::interval(EVERY);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let heard = tokio::select! {
            _ = sweep.tick() => None,
            payload = announcements.next() => match payload {
                None => return,
                Some(payload) => match serde_json::from_slice::<Announcement>(&payload) {
                    Ok(announcement) => Some(announcement),
                    Err(error) => {
                        tracing::warn!(%error, "ignored an announcement that can not be read");
                        continue;
                    }
                },
            },
        };
        let mut known = known.lock();
        match heard {
            None => known.retain(|_, k| k.heard.elapsed() < GONE_AFTER),
            Some(a) if !a.serving => drop(known.remove(&a.instance)),
            Some(a) => {
                let peer = Peer { instance: a.instance.clone(), holds: a.holds.into(), aside: a.aside.into() };
                known.insert(a.instance, Known { peer, heard: Instant::now(), suspect: false });
            }
        }
        publish(&known, &peers);
    }
}
