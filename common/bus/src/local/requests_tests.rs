use std::sync::atomic::AtomicBool;

use super::*;

/// Waits for ever; says when it was dropped, and how often it began.
#[derive(Default)]
struct Stuck {
    began: AtomicUsize,
    dropped: Arc<AtomicBool>,
}

struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Handler for Stuck {
    async fn handle(&self, _: Incoming) -> Result<Bytes, ServiceError> {
        let _flag = Flag(Arc::clone(&self.dropped));
        self.began.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
}

struct Named(&'static str);

#[async_trait]
impl Handler for Named {
    async fn handle(&self, _: Incoming) -> Result<Bytes, ServiceError> {
        Ok(Bytes::from_static(self.0.as_bytes()))
    }
}

fn requests() -> Arc<Requests> {
    Arc::new(Requests::new(1024, Counter::default()))
}

fn subject() -> Subject {
    Subject::test(&["local"])
}

fn soon() -> Meta {
    Meta::within(Duration::from_secs(20))
}

/// No timer and no task: it is answered by being polled, outside of any runtime.
#[test]
fn what_is_answered_at_once_needs_no_runtime() {
    let requests = requests();
    let _serving = requests.serve(&subject(), 1, Arc::new(Named("here"))).unwrap();
    for _ in 0..3 {
        let reply = requests.request(&subject(), Bytes::new(), soon()).now_or_never();
        assert_eq!(reply.unwrap().unwrap(), "here");
    }
}

#[tokio::test]
async fn work_whose_caller_has_gone_is_dropped() {
    let requests = requests();
    let stuck = Arc::new(Stuck::default());
    let _serving = requests.serve(&subject(), 1, Arc::clone(&stuck) as Arc<dyn Handler>).unwrap();
    for round in 1..=3 {
        stuck.dropped.store(false, Ordering::SeqCst);
        assert!(requests.request(&subject(), Bytes::new(), soon()).now_or_never().is_none());
        assert_eq!(stuck.began.load(Ordering::SeqCst), round);
        assert!(stuck.dropped.load(Ordering::SeqCst));
    }
    assert_eq!(requests.full.get(), 0);
}

#[tokio::test]
async fn a_full_member_is_passed_over() {
    let requests = requests();
    let _a = requests.serve(&subject(), 1, Arc::new(Stuck::default())).unwrap();
    let _b = requests.serve(&subject(), 1, Arc::new(Named("b"))).unwrap();
    let subject = subject();
    let mut two = [(); 2].map(|()| Box::pin(requests.request(&subject, Bytes::new(), soon())));
    let answered = two.iter_mut().filter_map(|asked| asked.now_or_never()).count();
    assert_eq!(answered, 1, "each has its turn, and one of them never answers");
    for _ in 0..6 {
        let reply = requests.request(&subject, Bytes::new(), soon()).now_or_never().unwrap();
        assert_eq!(reply.unwrap(), "b");
    }
}

#[tokio::test]
async fn members_take_turns() {
    let requests = requests();
    let servings: Vec<_> = ["a", "b", "c"].map(|n| requests.serve(&subject(), 8, Arc::new(Named(n))).unwrap()).into();
    let mut replies = Vec::new();
    for _ in 0..30 {
        replies.push(requests.request(&subject(), Bytes::new(), soon()).await.unwrap());
    }
    for name in ["a", "b", "c"] {
        assert_eq!(replies.iter().filter(|reply| **reply == name).count(), 10);
    }
    drop(servings);
    let table = requests.table.read();
    assert!(table.routes.is_empty() && table.members.is_empty());
}

#[tokio::test]
async fn one_that_drains_is_closed_with_the_bus() {
    let requests = requests();
    let stuck = Arc::new(Stuck::default());
    let serving = requests.serve(&subject(), 8, Arc::clone(&stuck) as Arc<dyn Handler>).unwrap();
    let subject = subject();
    let asking = requests.request(&subject, Bytes::new(), soon());
    let draining = serving.drain(Duration::from_secs(20));
    let closing = async {
        tokio::task::yield_now().await;
        requests.close();
    };
    let (outcome, (), ()) = tokio::join!(asking, draining, closing);
    assert!(matches!(outcome, Err(RequestError::Bus(BusError::Closed))), "{outcome:?}");
    assert!(stuck.dropped.load(Ordering::SeqCst));
}
