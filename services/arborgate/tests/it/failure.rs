//! A cluster under load that loses processes, by kill -9 and by standing still, and its NATS: what may be repeated is
//! answered, and right.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arborgate_testkit::system::{ADMIN_PASSWORD, Credential, GENEROUS, Kind, Options, System, eventually};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{private, run, setosa, unique};

const CLIENTS: usize = 16;
/// Answers between one event and the next.
const STEP: usize = 300;

/// A question and its right answer; without one any that succeeds is.
#[derive(Clone)]
struct Question {
    method: Method,
    url: String,
    body: Value,
    right: Option<Value>,
}

impl Question {
    fn predict(system: &System, edge: usize, row: Value) -> Self {
        Self { method: Method::POST, url: format!("{}/predict", system.edge(edge)), body: row, right: None }
    }

    fn encrypt(system: &System, edge: usize) -> Self {
        let body = json!({"plaintext": "kept"});
        Self { method: Method::POST, url: format!("{}/encrypt", system.edge(edge)), body, right: None }
    }

    fn request(&self, client: &Client, who: &Credential) -> RequestBuilder {
        who.apply(client.request(self.method.clone(), &self.url)).json(&self.body)
    }

    /// With the answer that is right now and has to be ever after.
    async fn settled(mut self, system: &System, who: &Credential) -> Self {
        let answer = system.send(self.request(system.client(), who)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.right = Some(answer.json());
        self
    }
}

/// What clients were answered.
#[derive(Default)]
struct Told {
    stop: AtomicBool,
    answered: AtomicUsize,
    right: AtomicUsize,
    statuses: Mutex<BTreeMap<u16, usize>>,
    /// The first that was not 200 with the right answer.
    wrong: Mutex<Option<String>>,
}

impl Told {
    fn note(&self, status: u16, right: bool, text: impl FnOnce() -> String) {
        *self.statuses.lock().unwrap().entry(status).or_default() += 1;
        if right {
            self.right.fetch_add(1, Ordering::Relaxed);
        } else {
            self.wrong.lock().unwrap().get_or_insert_with(text);
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Clients that ask one question after another until they are told to stop.
struct Load {
    told: Arc<Told>,
    clients: JoinSet<()>,
}

impl Load {
    fn start(system: &System, questions: &[Question], who: &[Credential]) -> Self {
        let told = Arc::<Told>::default();
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let (told, questions, client) = (Arc::clone(&told), questions.to_vec(), system.client().clone());
            let who = who[number % who.len()].clone();
            clients.spawn(async move {
                let mut turn = number;
                while !told.stop.load(Ordering::Relaxed) {
                    let question = &questions[turn % questions.len()];
                    turn += 1;
                    let request = question.request(&client, &who).timeout(Duration::from_secs(30));
                    let began = Instant::now();
                    let (status, body) = match request.send().await {
                        Ok(answer) => (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default()),
                        Err(error) => (0, json!(format!("{error:?}"))),
                    };
                    let right = status == 200 && question.right.as_ref().is_none_or(|right| *right == body);
                    told.note(status, right, || {
                        format!("{} after {:?}: {status} {body}", question.url, began.elapsed())
                    });
                }
            });
        }
        Self { told, clients }
    }

    /// Waits for as many answers more.
    async fn proceed(&self, more: usize) {
        let goal = self.told.answered.load(Ordering::Relaxed) + more;
        let proceeds = async || Ok(self.told.answered.load(Ordering::Relaxed) >= goal);
        eventually("the clients are answered", proceeds).await.unwrap();
    }

    async fn stop(mut self) -> Arc<Told> {
        self.told.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        self.told
    }
}

/// Holds every request to have had 200 with the right answer.
#[track_caller]
fn nothing_lost(told: &Told, least: usize) {
    let wrong = told.wrong.lock().unwrap();
    let (answered, right) = (told.answered.load(Ordering::Relaxed), told.right.load(Ordering::Relaxed));
    assert!(wrong.is_none(), "{:?}: {:?}", told.statuses.lock().unwrap(), wrong);
    assert!(answered == right && right >= least, "{right} of {answered}");
}

/// As [`GENEROUS`], but every sign-in is the limiter's to decide.
fn strict() -> String {
    let strict = GENEROUS.replacen("permits = 1000000", "permits = 1000\nclass = \"strict\"", 1);
    assert_ne!(strict, GENEROUS);
    strict
}

async fn cluster(replicas: usize, edges: usize) -> (System, Credential) {
    let options = Options { config: strict(), replicas, edges, ..Options::default() };
    let system = private(Kind::Nats, options).await;
    system.settle().await.unwrap();
    let admin = system.admin().await.unwrap();
    (system, admin)
}

/// Rows of each class and beside them, at each edge, with their answers.
async fn predictions(system: &System, who: &Credential) -> Vec<Question> {
    let mut questions = Vec::new();
    for edge in 0..system.edges() {
        for step in 0..10 {
            let x = f64::from(step);
            let row = json!({"sepal_length": 4.6 + 0.3 * x, "sepal_width": 2.5 + 0.1 * x, "petal_length": 1.0 + 0.55 * x, "petal_width": 0.1 + 0.24 * x});
            questions.push(Question::predict(system, edge, row).settled(system, who).await);
        }
    }
    let labels: std::collections::BTreeSet<_> =
        questions.iter().map(|q| q.right.as_ref().unwrap()["label"].to_string()).collect();
    assert_eq!(labels.len(), 3, "the rows are of every class");
    questions
}

#[test]
fn no_prediction_is_lost_with_a_worker() {
    run(async {
        let (mut system, admin) = cluster(2, 2).await;
        let questions = predictions(&system, &admin).await;
        let load = Load::start(&system, &questions, &[admin]);
        load.proceed(STEP).await;
        system.process("inference", 0).unwrap().kill().unwrap();
        load.proceed(STEP).await;
        system.start_more("inference").await.unwrap();
        load.proceed(STEP).await;
        system.process("inference", 1).unwrap().pause().unwrap();
        load.proceed(2 * STEP).await;
        system.process("inference", 1).unwrap().resume().unwrap();
        load.proceed(STEP).await;
        let told = load.stop().await;
        nothing_lost(&told, 6 * STEP);
    });
}

#[test]
fn safe_operations_outlive_a_replica_of_each_other_role() {
    run(async {
        let (mut system, admin) = cluster(2, 1).await;
        let (key, _) = system.new_key(&unique("failure"), "admin").await.unwrap();
        let mut questions = predictions(&system, &admin).await;
        questions.push(Question::encrypt(&system, 0));
        let url = format!("{}/v1/users", system.edge(0));
        questions.push(Question { method: Method::GET, url, body: Value::Null, right: None });
        for role in ["limiter", "auth", "crypto"] {
            let load = Load::start(&system, &questions, &[admin.clone(), key.clone()]);
            load.proceed(STEP).await;
            system.process(role, 0).unwrap().kill().unwrap();
            load.proceed(STEP).await;
            // What the edge does not remember it has to ask about.
            system.token("admin", ADMIN_PASSWORD).await.unwrap();
            let told = load.stop().await;
            nothing_lost(&told, 2 * STEP);
        }
    });
}

#[test]
fn after_a_restart_of_nats_all_is_as_before() {
    run(async {
        let (mut system, admin) = cluster(1, 1).await;
        let mut questions = predictions(&system, &admin).await;
        questions.push(Question::encrypt(&system, 0));
        let load = Load::start(&system, &questions, std::slice::from_ref(&admin));
        load.proceed(STEP).await;
        system.nats().unwrap().stop().await.unwrap();
        // What can not be done is said, not waited out: well within the ten seconds of a request.
        let asked = Instant::now();
        let lost = questions[0].request(system.client(), &admin).send().await.unwrap();
        let took = asked.elapsed();
        assert!(lost.status() == 503 && took < Duration::from_secs(5), "{} after {took:?}", lost.status());
        load.proceed(CLIENTS).await;
        system.nats().unwrap().restart().await.unwrap();
        let ready = async || {
            let mut all = true;
            for question in &questions {
                let answer = system.send(question.request(system.client(), &admin)).await?;
                all &= answer.status == 200;
            }
            Ok(all)
        };
        eventually("everything is answered again", ready).await.unwrap();
        // Each try counts against the limit of sign-ins, so it is asked when the rest answers.
        let signs_in = async || Ok(system.sign_in(0, "admin", ADMIN_PASSWORD).await?.status == 200);
        eventually("a sign-in is answered again", signs_in).await.unwrap();
        let told = load.stop().await;
        let statuses = told.statuses.lock().unwrap().clone();
        let at_worst = statuses.keys().all(|status| matches!(status, 200 | 503 | 504));
        assert!(at_worst, "{statuses:?} {:?}", told.wrong.lock().unwrap());

        let load = Load::start(&system, &questions, std::slice::from_ref(&admin));
        load.proceed(STEP).await;
        let told = load.stop().await;
        nothing_lost(&told, STEP);
        for role in ["edge", "auth", "limiter", "crypto", "inference"] {
            assert!(system.process(role, 0).unwrap().ended().unwrap().is_none(), "{role}");
        }
    });
}

#[test]
fn a_revoked_key_is_refused_also_by_an_edge_that_stood_still() {
    const LEASE: Duration = Duration::from_secs(2);
    run(async {
        let env = vec![("ARBORGATE__AUTH__LEASE_VALIDITY".to_owned(), format!("{}s", LEASE.as_secs()))];
        let mut system = private(Kind::Nats, Options { env, replicas: 1, edges: 2, ..Options::default() }).await;
        system.settle().await.unwrap();
        let (key, id) = system.new_key(&unique("revoked"), "predictor").await.unwrap();
        for edge in 0..2 {
            let answer = system.post_json_at(edge, "/predict", &setosa(), &key).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let admin = system.admin().await.unwrap();
        system.process("edge", 1).unwrap().pause().unwrap();
        let deleted = system.delete(&format!("/v1/api-keys/{id}"), &admin).await.unwrap();
        let revoked = Instant::now();
        assert!(deleted.status < 300, "{}", deleted.text());
        // Asked while it stands still, answered when it goes on.
        let asked: Vec<_> = (0..CLIENTS)
            .map(|_| tokio::spawn(key.apply(system.request(1, Method::POST, "/predict")).json(&setosa()).send()))
            .collect();
        // Not waiting for luck: the bound that is stated.
        tokio::time::sleep_until((revoked + LEASE).into()).await;
        let running = system.post_json_at(0, "/predict", &setosa(), &key).await.unwrap();
        assert_eq!(running.status, 403, "{}", running.text());
        system.process("edge", 1).unwrap().resume().unwrap();
        for answer in asked {
            let status = answer.await.unwrap().unwrap().status();
            assert!(matches!(status.as_u16(), 403 | 503), "{status}");
        }
        let resumed = system.post_json_at(1, "/predict", &setosa(), &key).await.unwrap();
        assert_eq!(resumed.status, 403, "{}", resumed.text());
    });
}
