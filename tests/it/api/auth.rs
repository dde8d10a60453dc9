//! Keys, scopes and accounts.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use divert::api::{Scope, document};
use divert::clock;
use divert::model::id::ForwardingFlowId;
use divert::model::objects::KINDS;
use divert::model::objects::account::DEFAULT_ACCOUNT;
use serde_json::{Value, json};

use super::billing::bill;
use super::calls::record_call;
use super::{Answer, Ask, OTHER_ACCOUNT, World};

#[tokio::test]
async fn without_a_valid_key_nothing_under_v1_answers_and_the_hint_says_what_to_do() {
    let world = World::new().await;
    let key = world.key(&[Scope::Admin]).await;
    let tampered =
        format!("{}{}", &key[..key.len() - 1], if key.ends_with('0') { '1' } else { '0' });
    let (other_id, _) = world.key_of(DEFAULT_ACCOUNT, &[], None).await;
    let mixed = format!("{}{}", &other_id[..31], &key[31..]);
    for (header, code) in [
        (None, "key_missing"),
        (Some("Bearer nonsense".to_owned()), "key_malformed"),
        (Some(format!("Digest {key}")), "key_malformed"),
        (Some(format!("Bearer {tampered}")), "key_unknown"),
        (Some(format!("Bearer {mixed}")), "key_unknown"),
        (Some(format!("Bearer dvk_{}", "0".repeat(26 + 1 + 52))), "key_malformed"),
    ] {
        let ask = Ask::get("/v1/servers");
        let ask = match &header {
            Some(header) => ask.header("authorization", header.as_str()),
            None => ask,
        };
        let answer = world.keyed(ask).await;
        answer.assert_problem(401, code);
        assert!(answer.json["hint"].as_str().unwrap().contains("divert keys create"));
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    let answer = world.keyed(Ask::get("/v1/servers").bearer(&key)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_works_as_user_name_of_basic_too() {
    let world = World::new().await;
    let key = world.key(&[]).await;
    let basic = format!("Basic {}", STANDARD.encode(format!("{key}:")));
    let answer = world.keyed(Ask::get("/v1/servers").header("authorization", basic)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn an_expired_key_and_a_revoked_one_stop_working() {
    let world = World::new().await;
    let past = clock::now().plus_ms(-1);
    let (expired, _) = world.key_of(DEFAULT_ACCOUNT, &[Scope::Admin], Some(past)).await;
    let answer = world.keyed(Ask::get("/v1/servers").bearer(&expired)).await;
    answer.assert_problem(401, "key_expired");

    let later = clock::now().plus_ms(60_000);
    let (key, id) = world.key_of(DEFAULT_ACCOUNT, &[Scope::Admin], Some(later)).await;
    let ask = Ask::get("/v1/servers").bearer(&key);
    assert_eq!(world.keyed(ask.clone()).await.status, StatusCode::OK);
    let revoked = world.local(Ask::delete(format!("/v1/keys/{id}"))).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    world.keyed(ask).await.assert_problem(401, "key_revoked");
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let server = json!({ "name": "new", "role": "master" });
    let asks = [
        ("calls:read", Scope::CallsRead, Ask::get("/v1/calls")),
        ("flows:write", Scope::FlowsWrite, Ask::post("/v1/servers").json(&server)),
        (
            "calls:test",
            Scope::CallsTest,
            Ask::post(format!("/v1/forwarding-flows/{flow}/test-calls")),
        ),
        ("admin", Scope::Admin, Ask::get("/v1/keys")),
    ];
    let all = [Scope::CallsRead, Scope::CallsTest, Scope::FlowsWrite];
    for (name, scope, ask) in asks {
        let others: Vec<Scope> = all.into_iter().filter(|other| *other != scope).collect();
        let answer = world.keyed(ask.clone().bearer(&world.key(&others).await)).await;
        answer.assert_problem(403, "missing_scope");
        assert!(answer.json["detail"].as_str().unwrap().contains(name), "{}", answer.text);
        let answer = world.keyed(ask.bearer(&world.key(&[scope]).await)).await;
        assert!(answer.status.is_success(), "{}", answer.text);
    }
    // Reading the configuration needs a key only.
    let answer = world.keyed(Ask::get("/v1/servers").bearer(&world.key(&[]).await)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn the_local_socket_needs_no_key_and_the_probes_need_none_anywhere() {
    let world = World::new().await;
    assert_eq!(world.local(Ask::get("/v1/keys")).await.status, StatusCode::OK);
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(world.keyed(Ask::get(path)).await.status, StatusCode::OK, "{path}");
    }
}

/// One account has everything there is, another asks for it by every operation there is.
struct Victim {
    world: World,
    ids: BTreeMap<&'static str, String>,
    /// What the victim alone has, and every answer about its things has some of.
    marks: Vec<String>,
}

impl Victim {
    async fn new() -> Self {
        let world = World::new().await;
        let flow = world.flow().await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let deck = json!({ "name": "retail", "rates": [{ "prefix": "", "per_minute": "0.01" }] });
        let deck = world.local(Ask::post("/v1/rate-decks").json(&deck)).await.id();
        let zone = json!({ "time_zone": "Pacific/Chatham" });
        assert!(world.local(Ask::patch("/v1/account").json(&zone)).await.status.is_success());
        let credit = json!({ "amount": "4711.25" });
        let credit = world.local(Ask::post("/v1/account/credits").json(&credit)).await.id();
        let flow_id: ForwardingFlowId = flow["id"].as_str().unwrap().parse().unwrap();
        let call = record_call(&world, |call| call.flow = Some((flow_id, "sales".into()))).await;
        world.node.live.lock().unwrap().insert((DEFAULT_ACCOUNT, call));
        bill(&world, call, 1, |_| {}).await;
        let left = text(&world.local(Ask::get("/v1/account/balance")).await.json["amount"]);
        let first =
            async |path: &str| text(&world.local(Ask::get(path)).await.json["data"][0]["id"]);
        let (_, key) = world.key_of(DEFAULT_ACCOUNT, &[], None).await;
        let mut ids = BTreeMap::from([
            ("calls", call.to_string()),
            ("credits", credit),
            ("destinations", text(&flow["destinations"][0]["id"])),
            ("forwarding-flows", flow_id.to_string()),
            ("keys", key.to_string()),
            ("numbers", first("/v1/numbers").await),
            ("rate-decks", deck),
            ("servers", first("/v1/servers").await),
            ("trunks", first("/v1/trunks").await),
        ]);
        for kind in KINDS {
            let section: &str = kind.section.replace('_', "-").leak();
            if !ids.contains_key(section) {
                let ask = Ask::post(format!("/v1/{section}")).json(&(kind.example)());
                ids.insert(section, world.local(ask).await.id());
            }
        }
        let more = ["Pacific/Chatham".to_owned(), left];
        let marks = ids.values().cloned().chain(more).collect();
        Self { world, ids, marks }
    }

    fn is_told(&self, text: &str) -> bool {
        self.marks.iter().any(|mark| text.contains(mark.as_str()))
    }

    /// Asks as an account that may do anything, but with its own. Each time with another key, to
    /// stay below the rate limit.
    async fn intrude(&self, ask: Ask) -> Answer {
        let (key, _) = self.world.key_of(OTHER_ACCOUNT, &[Scope::Admin], None).await;
        self.world.keyed(ask.bearer(&key)).await
    }

    fn id(&self, kind: &str) -> &str {
        self.ids.get(kind).unwrap_or_else(|| panic!("no id known for {kind}: add one"))
    }

    /// A body by which this operation would have to do with something of the victim; `None` for
    /// those that have nothing to do with any object.
    fn reaching(&self, operation: &str) -> Option<Value> {
        let [deck, flow, server, trunk] =
            ["rate-decks", "forwarding-flows", "servers", "trunks"].map(|kind| self.id(kind));
        Some(match operation {
            "patch /v1/account" | "put /v1/account" => json!({ "rate_deck": deck }),
            "post /v1/explain" => json!({ "did": "+12025550100" }),
            "post /v1/forwarding-flows" => json!({ "name": "x", "master": server,
                "destinations": [{ "trunk": trunk, "number": "1001" }] }),
            "post /v1/numbers" => json!({ "did": "100", "forwarding_flow": flow }),
            "post /v1/numbers/import" => {
                json!({ "numbers": [{ "did": "100", "forwarding_flow": flow }] })
            }
            "post /v1/servers" => json!({ "name": "x", "role": "slave", "trunk": trunk }),
            "post /v1/trunks" => json!({ "name": "x", "address": "10.0.0.9", "rate_deck": deck }),
            "post /v1/account/credits"
            | "post /v1/keys"
            | "post /v1/rate-decks"
            | "post /v1/schedules"
            | "post /v1/sounds" => return None,
            other => panic!("nothing known of {other}: add it"),
        })
    }
}

/// These tell of the program, not of an account.
const OF_NO_ACCOUNT: [&str; 7] =
    ["/docs", "/docs/{file}", "/healthz", "/metrics", "/openapi.json", "/readyz", "/v1/nodes"];

#[tokio::test]
async fn nothing_of_one_account_exists_for_another() {
    let victim = Victim::new().await;
    let world = &victim.world;
    let before = world.db.configuration(DEFAULT_ACCOUNT).await.unwrap();
    let changes = world.changes();
    for (path, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            let ask = |path: &str| Ask::new(method.to_uppercase().parse().unwrap(), path);
            if path.starts_with("/v1/nodes") {
                let ask = ask(&path.replace("{name}", "a"));
                victim.intrude(ask).await.assert_problem(403, "not_operator");
            } else if OF_NO_ACCOUNT.contains(&path.as_str()) {
                let answer = world.local(ask(&path.replace("{file}", "start.js"))).await;
                assert!(!victim.is_told(&answer.text), "{place}");
            } else if path.contains('{') {
                let kind = path.split('/').nth(2).unwrap();
                let id = if path.contains("{id}") { victim.id(kind) } else { "" };
                let filled = path.replace("{id}", id);
                let filled = filled.replace("{destination_id}", victim.id("destinations"));
                let filled = filled.replace("{version}", "1");
                assert!(!filled.contains('{'), "{filled}");
                let content = operation["requestBody"]["content"].as_object();
                let example = content.and_then(|content| content.values().next());
                let ask = match example.map(|content| &content["example"]) {
                    Some(example) if *example != Value::Null => ask(&filled).json(example),
                    _ => ask(&filled),
                };
                victim.intrude(ask).await.assert_problem(404, "not_found");
            } else if method == "get" {
                // A report is of a time, and has ids by flow only.
                let of_time = "?by=flow&from=2026-11-21T00:00:00Z&to=2026-11-22T00:00:00Z";
                let query = if path.contains("reports") { of_time } else { "" };
                let path = format!("{path}{query}");
                let own = world.local(ask(&path)).await;
                assert!(
                    victim.is_told(&own.text),
                    "{place} tells nothing to be hidden: {}",
                    own.text
                );
                let answer = victim.intrude(ask(&path)).await;
                assert_eq!(answer.status, StatusCode::OK, "{place}: {}", answer.text);
                assert!(!victim.is_told(&answer.text), "{place}: {}", answer.text);
            } else if let Some(body) = victim.reaching(&place) {
                let answer = victim.intrude(ask(path).json(&body)).await;
                if path == "/v1/explain" {
                    assert_eq!(answer.json["forwarding_flow"], Value::Null, "{}", answer.text);
                } else {
                    answer.assert_problem(422, "invalid");
                    let faults = answer.faults();
                    assert!(
                        faults.iter().any(|(_, code)| *code == "dangling"),
                        "{place}: {faults:?}"
                    );
                }
            }
        }
    }
    assert_eq!(world.db.configuration(DEFAULT_ACCOUNT).await.unwrap(), before);
    assert_eq!(world.changes(), changes);
    assert!(world.node.placed.lock().unwrap().is_empty());
    assert!(world.node.ended.lock().unwrap().is_empty());
}
