//! Everything that can be wrong with a request before its content matters, and the probes.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::http::{Method, StatusCode};
use divert::api::{Readiness, RowCounts, Scope, TestCallRefused};
use divert::model::id::ServerId;
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::store::Db;
use serde_json::{Value, json};

use super::{Ask, OTHER_ACCOUNT, World};

#[tokio::test]
async fn a_body_that_cannot_be_read_is_a_clear_problem() {
    let world = World::new().await;
    let post = || Ask::post("/v1/servers");
    let json = "application/json";
    let answer = world.local(post().raw("{\"name\": }").header("content-type", json)).await;
    answer.assert_problem(400, "not_json");
    assert!(answer.json["detail"].as_str().unwrap().contains("line 1 column 10"));
    world.local(post().header("content-type", json)).await.assert_problem(400, "not_json");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        let answer = world.local(post().raw("{}").header("content-type", kind)).await;
        answer.assert_problem(415, "content_type");
        assert!(answer.json["detail"].as_str().unwrap().contains(kind));
    }
    world.local(post().raw("{}")).await.assert_problem(415, "content_type");
    let answer = world.local(post().json(&json!([1]))).await;
    answer.assert_problem(422, "invalid");

    let kind = "Application/JSON; charset=utf-8";
    let body = json!({ "name": "a", "role": "master" }).to_string();
    let answer = world.local(post().raw(body).header("content-type", kind)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_key_that_stands_twice_is_refused_at_any_depth_whatever_is_asked() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let send = async |method, path: &str, body: &str| {
        let ask = Ask::new(method, path).raw(body).header("content-type", "application/json");
        world.local(ask).await
    };
    let answer = send(
        Method::POST,
        "/v1/forwarding-flows",
        r#"{"name":"a","master":"pbx","name":"b","destinations":[
            {"server":"slave-a","did":"1","weight":0,"weight":9},
            {"server":"slave-a","did":"2","rate":{"per":"day","calls":1,"calls":{"x":1,"x":2}}}]}"#,
    )
    .await;
    answer.assert_problem(422, "invalid");
    let wanted = [
        ("/name", "duplicate_key"),
        ("/destinations/0/weight", "duplicate_key"),
        ("/destinations/1/rate/calls", "duplicate_key"),
        ("/destinations/1/rate/calls/x", "duplicate_key"),
    ];
    assert_eq!(answer.faults(), wanted);
    let twice = r#"{"a~/b":1,"a~/b":1}"#;
    for (method, path) in [
        (Method::PATCH, format!("/v1/forwarding-flows/{flow}")),
        (Method::POST, format!("/v1/forwarding-flows/{flow}/test-calls")),
        (Method::PUT, "/v1/account".to_owned()),
        (Method::POST, "/v1/account/credits".to_owned()),
        (Method::POST, "/v1/keys".to_owned()),
        (Method::POST, "/v1/explain".to_owned()),
    ] {
        let answer = send(method, &path, twice).await;
        assert_eq!(answer.faults(), [("/a~0~1b", "duplicate_key")], "{path}: {}", answer.text);
    }
    assert_eq!(world.changes(), 4, "only what the flow needed was written");
}

#[tokio::test]
async fn a_body_has_a_largest_size() {
    let world = World::new().await;
    let body = |len: usize| format!("{{\"name\":\"{}\"}}", "a".repeat(len - 11));
    for once in [false, true] {
        let ask = |len| {
            let ask = Ask::post("/v1/servers").raw(body(len));
            let ask = ask.header("content-type", "application/json");
            if once { ask.header("idempotency-key", format!("k{len}")) } else { ask }
        };
        world.local(ask(256 * 1024)).await.assert_problem(422, "invalid");
        world.local(ask(256 * 1024 + 1)).await.assert_problem(413, "body_too_large");
    }
}

#[tokio::test]
async fn unknown_paths_methods_and_parameters_are_problems_too() {
    let world = World::new().await;
    for path in ["/", "/v1", "/v1/nothing", "/v2/servers", "/v1/servers/a/b"] {
        world.keyed(Ask::get(path)).await.assert_problem(404, "unknown_path");
    }
    let answer = world.local(Ask::new(Method::DELETE, "/v1/servers")).await;
    answer.assert_problem(405, "method_not_allowed");
    let allow = answer.header("allow");
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    let answer = world.local(Ask::post("/healthz")).await;
    answer.assert_problem(405, "method_not_allowed");

    let server = json!({ "name": "a", "role": "master" });
    for ask in [
        Ask::get("/v1/servers?limitt=5"),
        Ask::post("/v1/servers?dry_run=1").json(&server),
        Ask::get("/healthz?x"),
    ] {
        world.local(ask).await.assert_problem(400, "invalid_query");
    }
    let servers = world.local(Ask::get("/v1/servers")).await;
    assert_eq!(servers.json["data"], json!([]), "nothing was made");
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_the_security_headers() {
    let world = World::new().await;
    for path in ["/healthz", "/v1/servers", "/nothing", "/metrics", "/openapi.json"] {
        let answer = world.keyed(Ask::get(path).header("x-request-id", "mine-1.a_B")).await;
        assert_eq!(answer.header("x-request-id"), "mine-1.a_B");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
        assert_ne!(answer.header("cache-control"), "");
    }
    let long = "a".repeat(129);
    for bad in ["", "a b", "<script>", long.as_str()] {
        let answer = world.keyed(Ask::get("/healthz").header("x-request-id", bad)).await;
        assert!(answer.header("x-request-id").starts_with("req_"), "{bad:?}");
    }
    let ids: Vec<String> = [
        world.keyed(Ask::get("/healthz")).await.header("x-request-id").to_owned(),
        world.keyed(Ask::get("/healthz")).await.header("x-request-id").to_owned(),
    ]
    .into();
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_fault_inside_is_not_shown() {
    let world = World::new().await;
    let key = world.key(&[Scope::Admin]).await;
    let Db::Sqlite(pool) = &world.db else { panic!("asked for SQLite") };
    sqlx::query("ALTER TABLE object RENAME TO vanished").execute(pool).await.unwrap();
    let answer = world.keyed(Ask::get("/v1/servers").bearer(&key)).await;
    answer.assert_problem(500, "internal");
    for secret in ["vanished", "object", "sql", "table", "SELECT"] {
        assert!(!answer.text.contains(secret), "{}", answer.text);
    }
    pool.close().await;
    let answer = world.keyed(Ask::get("/v1/servers").bearer(&key)).await;
    answer.assert_problem(503, "store_unavailable");
    assert_eq!(answer.header("retry-after"), "2");
}

#[tokio::test]
async fn a_panic_is_caught() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let refused = TestCallRefused { code: "panic", message: "on purpose".into() };
    *world.node.refuse.lock().unwrap() = Some(refused);
    let ask = Ask::post(format!("/v1/forwarding-flows/{flow}/test-calls"));
    for ask in [ask.clone(), ask.header("idempotency-key", "p")] {
        let answer = world.local(ask).await;
        answer.assert_problem(500, "internal");
        assert!(!answer.text.contains("on purpose"));
    }
    world.db.configuration(DEFAULT_ACCOUNT).await.unwrap();
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let world = World::new().await;
    let answer = world.keyed(Ask::get("/readyz")).await;
    assert_eq!((answer.status, &answer.json["ready"]), (StatusCode::OK, &json!(true)));
    *world.node.readiness.lock().unwrap() = Readiness {
        asterisk: Err("no connection to Asterisk: 10.1.2.3 refused it".into()),
        store: Ok(()),
        trunks: Err("Asterisk lost the endpoint of trunk \"acme\"".into()),
        rows: RowCounts { waiting: 7, spooled: 5, lost: 1 },
    };
    let answer = world.keyed(Ask::get("/readyz")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        answer.json,
        json!({ "ready": false, "checks": [
            {
                "name": "asterisk", "ok": false,
                "reason": "no connection to Asterisk; the log of divert tells why",
            },
            { "name": "store", "ok": true, "reason": null },
            {
                "name": "trunks", "ok": false,
                "reason": "Asterisk lacks a trunk that divert makes there; the log of divert tells \
                           which",
            },
        ], "rows": { "waiting": 7, "spooled": 5, "lost": 1 } })
    );
    assert_eq!(world.keyed(Ask::get("/healthz")).await.json, json!({ "status": "ok" }));
    let metrics = world.keyed(Ask::get("/metrics")).await;
    assert_eq!(metrics.text, "divert_up 1\n");
    assert!(metrics.header("content-type").starts_with("text/plain"));
}

/// What drivers and Asterisk say holds addresses, names of users and of trunks.
#[tokio::test]
async fn why_divert_is_not_ready_is_told_to_who_runs_it_only() {
    const WHY: &str = "postgres at 10.1.2.3 refused user \"divert_prod\"";
    let world = World::new().await;
    world.flow().await;
    *world.node.readiness.lock().unwrap() = Readiness {
        asterisk: Err(WHY.into()),
        store: Err(WHY.into()),
        trunks: Err(WHY.into()),
        rows: RowCounts::default(),
    };
    let open = ["/readyz", "/healthz", "/metrics", "/openapi.json", "/v1/status", "/v1", "/"];
    for path in open {
        let answer = world.keyed(Ask::get(path)).await;
        assert!(!answer.text.contains("10.1.2.3"), "{path}: {}", answer.text);
    }
    let ready = world.keyed(Ask::get("/readyz")).await.json;
    let plain = "the database is away or takes no rows; the log of divert tells why";
    assert_eq!(ready["checks"][1], json!({ "name": "store", "ok": false, "reason": plain }));

    let status = world.local(Ask::get("/v1/status")).await.json;
    assert_eq!(
        (&status["store"]["reason"], &status["asterisk"]["reason"]),
        (&json!(WHY), &json!(WHY))
    );
    let admin = world.key(&[Scope::Admin]).await;
    let status = world.keyed(Ask::get("/v1/status").bearer(&admin)).await.json;
    assert_eq!(status["store"]["reason"], WHY);
    let reader = world.key(&[Scope::CallsRead]).await;
    let (other, _) = world.key_of(OTHER_ACCOUNT, &[Scope::Admin], None).await;
    for key in [reader, other] {
        let answer = world.keyed(Ask::get("/v1/status").bearer(&key)).await;
        assert_eq!(answer.json["store"]["reason"], plain);
        assert!(!answer.text.contains("10.1.2.3"), "{}", answer.text);
    }
}

/// What was logged, line by line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_request_is_logged_once_with_its_route_and_without_its_key() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::new().await;
    let key = world.key(&[Scope::Admin]).await;
    let path = format!("/v1/servers/{}", ServerId::new(1));
    let ask = Ask::get(path).bearer(&key).header("x-request-id", "r-1");
    world.keyed(ask).await.assert_problem(404, "not_found");

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["fields"]["request.id"] == "r-1")
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    let fields = &lines[0]["fields"];
    assert_eq!(fields["http.method"], "GET");
    assert_eq!(fields["http.route"], "/v1/servers/{id}");
    assert_eq!(fields["http.status"], 404);
    assert!(fields["duration_ms"].is_u64());
    assert!(!text.contains(key.rsplit('_').next().unwrap()));
}
