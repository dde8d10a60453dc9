//! The HTTP API over a real database and a fake node; one file per concern, as in `src/api`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use divert::api::{
    Access, Api, ExplainQuestion, Node, NodeStatus, Readiness, RowCounts, Scope, Telemetry,
    TestCallRefused, TestCallRequest, new_key, router,
};
use divert::clock;
use divert::model::id::{AccountId, CallId, ForwardingFlowId, KeyId};
use divert::model::notice::{Notice, NoticeLevel};
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::model::time::Timestamp;
use divert::routing::decide::State;
use divert::routing::explain::{ExplainedCall, FlowLive, SupposedCall, explain_call, live};
use divert::routing::snapshot::Snapshot;
use divert::store::Db;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use tower::ServiceExt;

mod account;
mod auth;
mod billing;
mod calls;
mod changes;
mod configuration;
mod contract;
mod destinations;
mod docs;
mod errors;
mod explain;
mod idempotency;
mod keys;
mod limits;
mod log;
mod nodes;
mod number_import;
mod openapi;
mod rate_decks;
mod serve;
mod status;
mod test_calls;
mod visible;

/// More than any test places at once.
const GATE: usize = 100;
const OTHER_ACCOUNT: AccountId = AccountId::new(2);

/// A node that remembers what it was asked.
struct FakeNode {
    placed: Mutex<Vec<(AccountId, ForwardingFlowId, TestCallRequest)>>,
    refuse: Mutex<Option<TestCallRefused>>,
    live: Mutex<BTreeSet<(AccountId, CallId)>>,
    ended: Mutex<Vec<CallId>>,
    changes: AtomicUsize,
    /// Test calls that were placed or refused, not merely asked for.
    finished: AtomicUsize,
    readiness: Mutex<Readiness>,
    db: OnceLock<Db>,
    /// Permits for placing test calls, so that a test can hold one half-way.
    gate: Semaphore,
}

impl Default for FakeNode {
    fn default() -> Self {
        Self {
            placed: Mutex::default(),
            refuse: Mutex::default(),
            live: Mutex::default(),
            ended: Mutex::default(),
            changes: AtomicUsize::default(),
            finished: AtomicUsize::default(),
            readiness: Mutex::new(Readiness {
                asterisk: Ok(()),
                store: Ok(()),
                trunks: Ok(()),
                rows: RowCounts::default(),
            }),
            db: OnceLock::new(),
            gate: Semaphore::new(GATE),
        }
    }
}

impl FakeNode {
    /// What a node would route by that was just started.
    async fn routing(&self, account: AccountId) -> Option<(Snapshot, State)> {
        let db = self.db.get()?;
        let (configuration, _) = db.configuration(account).await.ok()?;
        Some((Snapshot::build(&[(account, configuration)], Some("pbx")), State::default()))
    }

    /// Lets no test call be placed until the permit is dropped.
    async fn hold(&self) -> SemaphorePermit<'_> {
        self.gate.acquire_many(u32::try_from(GATE).unwrap()).await.unwrap()
    }

    /// Waits until a test call was asked for.
    async fn asked(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.placed.lock().unwrap().is_empty() {
            assert!(Instant::now() < deadline, "no test call was asked for");
            tokio::task::yield_now().await;
        }
    }
}

impl Node for FakeNode {
    fn place_test_call(
        &self,
        account: AccountId,
        flow: ForwardingFlowId,
        request: TestCallRequest,
    ) -> BoxFuture<'_, Result<CallId, TestCallRefused>> {
        Box::pin(async move {
            self.placed.lock().unwrap().push((account, flow, request));
            let _permit = self.gate.acquire().await.unwrap();
            self.finished.fetch_add(1, Ordering::SeqCst);
            let refuse = self.refuse.lock().unwrap().clone();
            match refuse {
                Some(refused) if refused.code == "panic" => panic!("{}", refused.message),
                Some(refused) => Err(refused),
                None => Ok(CallId::new(clock::mint())),
            }
        })
    }

    fn end_call(&self, account: AccountId, call: CallId) -> BoxFuture<'_, bool> {
        let live = self.live.lock().unwrap().remove(&(account, call));
        if live {
            self.ended.lock().unwrap().push(call);
        }
        Box::pin(std::future::ready(live))
    }

    fn explain(
        &self,
        account: AccountId,
        question: ExplainQuestion,
    ) -> BoxFuture<'_, Option<ExplainedCall>> {
        Box::pin(async move {
            let (snapshot, state) = self.routing(account).await?;
            let ExplainQuestion { did, caller, at } = &question;
            explain_call(&snapshot, &state, account, &SupposedCall { did, caller, at: *at })
        })
    }

    fn live(&self, account: AccountId, flow: ForwardingFlowId) -> BoxFuture<'_, Option<FlowLive>> {
        Box::pin(async move {
            let (snapshot, state) = self.routing(account).await?;
            live(&snapshot, &state, flow, clock::now())
        })
    }

    fn status(&self, account: AccountId) -> BoxFuture<'_, Option<NodeStatus>> {
        Box::pin(async move {
            // A node serves all accounts, and has all their trunks.
            let (snapshot, mut state) = self.routing(DEFAULT_ACCOUNT).await?;
            state.follow(&snapshot);
            let mut flows: Vec<_> =
                snapshot.flows().map(|plan| (plan.flow.id, plan.flow.name.clone(), 2)).collect();
            flows.retain(|_| account == DEFAULT_ACCOUNT);
            Some(NodeStatus {
                name: "a".to_owned(),
                up_since: Timestamp(0),
                version: Some("22.10.1".to_owned()),
                startup_time: Some("2026-11-21T01:00:00.000+0000".to_owned()),
                live_calls: flows.len() * 2,
                flows,
                trunks: divert::routing::standing::trunks(&snapshot, &state, clock::now()),
            })
        })
    }

    fn configuration_changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    fn readiness(&self) -> Readiness {
        self.readiness.lock().unwrap().clone()
    }
}

pub struct World {
    pub db: Db,
    node: Arc<FakeNode>,
    keyed: Router,
    pub local: Router,
    api: Api,
    _dir: TempDir,
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("api.sqlite").display());
        let db = Db::open(&url).await.unwrap();
        let Db::Sqlite(pool) = &db else { panic!("asked for SQLite") };
        sqlx::query("INSERT INTO account (id, name) VALUES ($1, 'other')")
            .bind(OTHER_ACCOUNT.to_string())
            .execute(pool)
            .await
            .unwrap();
        let node = Arc::new(FakeNode { db: OnceLock::from(db.clone()), ..FakeNode::default() });
        let notice = Notice {
            level: NoticeLevel::Warning,
            text: "a trunk is offline".to_owned(),
            first_at: Timestamp(0),
            at: Timestamp(1),
            times: 2,
        };
        let telemetry = Telemetry {
            metrics: Arc::new(|| "divert_up 1\n".to_owned()),
            notices: Arc::new(move || vec![notice.clone()]),
        };
        let api = Api::new(db.clone(), node.clone(), telemetry);
        let (keyed, local) =
            (router(api.clone(), Access::Keys), router(api.clone(), Access::Local));
        Self { db, node, keyed, local, api, _dir: dir }
    }

    async fn key(&self, scopes: &[Scope]) -> String {
        self.key_of(DEFAULT_ACCOUNT, scopes, None).await.0
    }

    async fn key_of(
        &self,
        account: AccountId,
        scopes: &[Scope],
        expires_at: Option<Timestamp>,
    ) -> (String, KeyId) {
        let id = KeyId::new(clock::mint());
        let (plain, kept) = new_key(id, "test", scopes, clock::now(), expires_at);
        self.db.add_key(account, &kept).await.unwrap();
        (plain, id)
    }

    /// As the operator on the unix socket.
    async fn local(&self, ask: Ask) -> Answer {
        ask.send(&self.local).await
    }

    /// As a program over TCP, with whatever key the request has.
    async fn keyed(&self, ask: Ask) -> Answer {
        ask.send(&self.keyed).await
    }

    /// Makes the trunk, servers and flow that most tests need; the flow's representation.
    async fn flow(&self) -> Value {
        for (path, document) in [
            ("/v1/trunks", json!({ "name": "to-slave-a", "address": "10.0.0.2" })),
            ("/v1/servers", json!({ "name": "pbx", "role": "master" })),
            ("/v1/servers", json!({ "name": "slave-a", "role": "slave", "trunk": "to-slave-a" })),
        ] {
            let made = self.local(Ask::post(path).json(&document)).await;
            assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        }
        let flow = json!({
            "name": "sales",
            "master": "pbx",
            "dids": ["+12025550100"],
            "destinations": [{ "name": "first", "server": "slave-a", "did": "1001" }],
        });
        let made = self.local(Ask::post("/v1/forwarding-flows").json(&flow)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        made.json
    }

    fn changes(&self) -> usize {
        self.node.changes.load(Ordering::SeqCst)
    }
}

/// A request being put together.
#[derive(Clone)]
struct Ask {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    fn patch(path: impl Into<String>) -> Self {
        Self::new(Method::PATCH, path)
    }

    fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn bearer(self, key: &str) -> Self {
        self.header("authorization", format!("Bearer {key}"))
    }

    fn json(self, body: &Value) -> Self {
        self.raw(body.to_string()).header("content-type", "application/json")
    }

    fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    async fn send(self, router: &Router) -> Answer {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(self.body)).unwrap();
        let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Answer { status: parts.status, headers: parts.headers, text, json }
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
    json: Value,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn id(&self) -> String {
        assert!(self.status.is_success(), "{}", self.text);
        self.json["id"].as_str().unwrap().to_owned()
    }

    /// Checks that this is a complete problem of RFC 9457 with this status and code.
    #[track_caller]
    fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        assert_eq!(self.json["status"], status);
        assert_eq!(self.json["code"], code, "{}", self.text);
        assert_eq!(self.json["instance"], self.header("x-request-id"));
        for member in ["type", "title", "detail"] {
            assert!(self.json[member].as_str().is_some_and(|text| !text.is_empty()), "{member}");
        }
        assert!(self.json["errors"].is_array());
    }

    /// Pointer and code of each fault.
    fn faults(&self) -> Vec<(&str, &str)> {
        let errors = self.json["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap()))
            .collect()
    }
}
