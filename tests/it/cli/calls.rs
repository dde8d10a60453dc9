//! Commands that ask the running server: here a small one that answers as divert's API would.

use std::sync::{Arc, Mutex};

use assert_cmd::Command;
use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use divert::model::time::Timestamp;
use divert::model::timeline::Step;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

use super::{divert, stdout};

/// Answers as divert's API would.
struct Server {
    dir: TempDir,
    _runtime: Runtime,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<(Method, String, String)>>,
    looks: Mutex<usize>,
    result: Mutex<&'static str>,
}

impl Server {
    fn start(result: &'static str) -> Self {
        let dir = TempDir::new().unwrap();
        let seen = Arc::new(Seen { result: Mutex::new(result), ..Seen::default() });
        let runtime = Runtime::new().unwrap();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&seen));
        let path = dir.path().join("s");
        let listener = runtime.block_on(async { UnixListener::bind(path).unwrap() });
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { dir, _runtime: runtime, seen }
    }

    fn divert(&self) -> Command {
        let mut command = divert(self.dir.path());
        command.env("DIVERT_API_SOCKET", self.dir.path().join("s"));
        command
    }

    fn requests(&self) -> Vec<String> {
        let seen = self.seen.requests.lock().unwrap();
        seen.iter().map(|(method, path, body)| format!("{method} {path} {body}")).collect()
    }
}

pub(super) const CALL: &str = "call_01jd3nnnyejx8kz0q4tt3b7m9r";
const CREDIT: &str = "crd_01jd3nnnyejx8kz0q4tt3b7m9r";
const FLOW: &str = "flw_01jd3nnnyejx8kz0q4tt3b7m9r";
const DEST: &str = "dst_01jd3nnnyejx8kz0q4tt3b7m9r";

async fn answer(State(seen): State<Arc<Seen>>, method: Method, uri: Uri, body: String) -> Response {
    let path = uri.path_and_query().unwrap().to_string();
    seen.requests.lock().unwrap().push((method.clone(), path, body));
    let ok = |value: Value| axum::Json(value).into_response();
    match (method, uri.path()) {
        (Method::GET, "/v1/forwarding-flows") => ok(json!({ "data": [{
            "id": FLOW, "name": "Solar East", "dids": ["8005550199"],
            "destinations": [{ "id": DEST, "name": "slave-a", "state": "active",
                "priority": 1, "weight": 70, "max_live": 10 }],
        }], "has_more": false, "next_cursor": null })),
        (Method::POST, path) if path.ends_with("/test-calls") => {
            (StatusCode::CREATED, axum::Json(json!({ "id": CALL, "tags": ["test"] })))
                .into_response()
        }
        (Method::POST, "/v1/account/credits") => ok(json!({
            "id": CREDIT, "amount": "-2.50", "currency": "USD", "note": "", "balance": "97.50",
        })),
        (Method::GET, "/v1/account/balance") => {
            ok(json!({ "amount": "97.50", "currency": "USD", "prepaid": true }))
        }
        (Method::GET, "/v1/cdrs") => ok(json!({ "data": [{
            "id": format!("{CALL}-2"), "endpoint": "PJSIP/18005550199@carrier",
            "started_at": "2026-11-21T14:03:07.120Z", "answered_at": "2026-11-21T14:03:09.120Z",
            "ended_at": "2026-11-21T14:04:10.120Z",
            "cost": { "amount": "0.0138", "currency": "USD", "billed_sec": 66,
                "rate": { "prefix": "1800", "per_minute": "0.0125", "increment": "30/6" } },
        }], "has_more": false, "next_cursor": null })),
        (Method::GET, path) if path == format!("/v1/forwarding-flows/{FLOW}") => {
            ok(json!({ "id": FLOW, "name": "Solar East",
                "destinations": [{ "id": DEST, "name": "slave-a" }] }))
        }
        // Twice too fast, then in two pages.
        (Method::GET, "/v1/trunks") => {
            let asked = seen.requests.lock().unwrap().len();
            if asked < 3 {
                return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")]).into_response();
            }
            let trunk = json!({ "id": "trk_1", "name": format!("trunk {asked}") });
            ok(json!({ "data": [trunk], "has_more": asked == 3, "next_cursor": "abc" }))
        }
        (Method::GET, "/v1/rate-decks") => ok(json!({ "data": [{
            "id": "rtd_01jd3nnnyejx8kz0q4tt3b7m9r", "name": "retail", "rounding": "up",
            "bills_ring_time": false, "decimals": 4, "rates": [
                { "prefix": "1800", "per_minute": "0.00", "increment": "60/60" },
                { "prefix": "", "per_minute": "0.0125", "increment": "30/6" },
            ],
        }], "has_more": false, "next_cursor": null })),
        (Method::GET | Method::PATCH, "/v1/account") => ok(json!({
            "time_zone": "America/Chicago", "max_live": 500, "prepaid": false,
            "toll_free_termination": true, "currency": "USD",
        })),
        (Method::POST, path) if path.starts_with("/v1/forwarding-flows/") => {
            let action = path.rsplit('/').next().unwrap();
            ok(json!({ "id": DEST, "name": "slave-a", "state": format!("now {action}") }))
        }
        (Method::GET, "/v1/calls") => {
            ok(json!({ "data": [call(9, "answered")], "has_more": true, "next_cursor": "abc" }))
        }
        (Method::GET, "/v1/calls.csv" | "/v1/cdrs.csv" | "/v1/reports/calls.csv") => {
            "id,name\r\n1,Ann\r\n".into_response()
        }
        (Method::GET, "/v1/sessions") => {
            let mut session = call(9, "answered");
            session["attempts"] = json!(3);
            session["tags"] = json!(["repeat"]);
            ok(
                json!({ "data": [session, call(9, "busy")], "has_more": false, "next_cursor": null }),
            )
        }
        (Method::GET, "/v1/reports/calls") if uri.query().unwrap().contains("destination") => {
            ok(json!({ "by": "destination", "zone": "UTC", "rows": [
                { "id": DEST, "name": "desk", "forwarding_flow": { "id": FLOW, "name": "East" },
                    "calls": 2, "sessions": 2, "answered": 1, "answered_per_mille": 500,
                    "talk_minutes": "1.00", "costs": [] },
                { "id": null, "forwarding_flow": { "id": FLOW, "name": "East" }, "calls": 1,
                    "sessions": 1, "answered": 0, "answered_per_mille": 0,
                    "talk_minutes": "0.00", "costs": [] },
            ] }))
        }
        (Method::GET, "/v1/reports/calls") => ok(json!({
            "by": "day", "zone": "America/Chicago", "rows": [
                { "period": { "local": "2026-11-20" }, "calls": 0, "sessions": 0, "answered": 0,
                    "answered_per_mille": null, "talk_minutes": "0.00", "costs": [] },
                { "period": { "local": "2026-11-21" }, "calls": 120, "sessions": 104,
                    "answered": 96, "answered_per_mille": 800, "talk_minutes": "288.50",
                    "results": { "answered": 96, "closed": 20, "rate_limited": 4 },
                    "costs": [{ "amount": "3.54", "currency": "USD" }] },
            ],
        })),
        (Method::GET, path) if path.ends_with(CALL) => {
            // One more step at each look; not known at the first.
            let mut looks = seen.looks.lock().unwrap();
            *looks += 1;
            let result = *seen.result.lock().unwrap();
            match *looks {
                1 => problem(StatusCode::NOT_FOUND, "no such call"),
                looks => ok(call(looks - 1, result)),
            }
        }
        _ => problem(StatusCode::NOT_FOUND, "nothing here"),
    }
}

fn problem(status: StatusCode, title: &str) -> Response {
    (status, axum::Json(json!({ "title": title, "status": status.as_u16() }))).into_response()
}

/// The first `steps` steps of a call that one destination refuses, one lets ring, and, if that is
/// the result, a third one answers.
fn call(steps: usize, result: &str) -> Value {
    let start = 1_795_269_787_120_i64;
    let at = |ms: i64| Timestamp(start + ms).rfc3339();
    let candidate = |name: &str, priority, verdict: Value| {
        json!({ "destination": DEST, "name": name, "priority": priority, "weight": 70,
            "verdict": verdict })
    };
    let routed = |leg: u16, name: &str| {
        json!({ "step": "routed", "leg": leg, "name": name, "endpoint": "PJSIP/1001@trunk",
            "candidates": [
                candidate(name, leg, json!({ "verdict": "chosen" })),
                candidate("slave-x", 1, json!({ "verdict": "full", "scope": "destination",
                    "live": 10, "max": 10 })),
            ] })
    };
    let simple =
        |step: &str, name: &str, leg: u16| json!({ "step": step, "leg": leg, "name": name });
    let missed = |leg: u16, name: &str, outcome: &str, cause: u16, code: Option<u16>, rang: i64| {
        json!({ "step": "not_answered", "leg": leg, "name": name, "outcome": outcome,
            "cause": cause, "sip_code": code, "rang_ms": rang })
    };
    let mut all = vec![
        (
            0,
            json!({ "step": "received", "did": "8005550199", "is_test": true,
            "caller": { "number": "+12025550100", "name": "Ann" }, "flow": "Solar East" }),
        ),
        (4, routed(1, "slave-a")),
        (210, simple("ringing", "slave-a", 1)),
        (1_480, missed(1, "slave-a", "busy", 17, Some(486), 1_270)),
        (1_490, routed(2, "slave-b")),
        (1_700, simple("ringing", "slave-b", 2)),
        (13_490, missed(2, "slave-b", "no_answer", 19, None, 11_790)),
    ];
    let answered = result == "answered";
    if answered {
        all.extend([
            (13_500, routed(3, "toll-free")),
            (13_900, simple("ringing", "toll-free", 3)),
            (15_020, simple("answered", "toll-free", 3)),
            (
                222_100,
                json!({ "step": "ended", "by": "caller", "result": "answered",
                "talk_ms": 206_200, "cause": 16 }),
            ),
        ]);
    } else {
        all.extend([
            (13_491, json!({ "step": "unroutable", "reason": "all_tried", "candidates": [] })),
            (
                13_500,
                json!({ "step": "ended", "by": "divert", "result": result, "talk_ms": 0,
                "cause": 19 }),
            ),
        ]);
    }
    let over = steps >= all.len();
    let entry = |(seq, (ms, step)): (usize, &(i64, Value))| {
        let read: Step = serde_json::from_value(step.clone()).unwrap();
        json!({ "seq": seq, "at": at(*ms), "offset_ms": ms, "title": read.title(),
            "sentence": read.sentence(), "step": step })
    };
    let timeline: Vec<Value> = all.iter().take(steps).enumerate().map(entry).collect();
    let leg = |no: u16, name: &str, outcome: &str, from: i64, to: i64, code: Option<u16>| {
        json!({ "no": no, "destination": DEST, "name": name, "endpoint": "PJSIP/1001@trunk",
            "started_at": at(from), "ringing_at": at(from + 200), "ended_at": at(to),
            "answered_at": null, "outcome": outcome, "cause": 17, "sip_code": code })
    };
    let mut legs = vec![
        leg(1, "slave-a", "busy", 4, 1_480, Some(486)),
        leg(2, "slave-b", "no_answer", 1_490, 13_490, None),
    ];
    if answered {
        let mut third = leg(3, "toll-free", "answered", 13_500, 222_100, None);
        third["answered_at"] = at(15_020).into();
        legs.push(third);
    }
    json!({ "id": CALL, "did": "8005550199", "tags": ["test"], "started_at": at(0),
        "caller": { "number": "+12025550100", "name": "Ann" },
        "forwarding_flow": { "id": FLOW, "name": "Solar East" },
        "status": if over { "ended" } else { "ringing" },
        "ended_at": over.then(|| at(222_100)),
        "result": over.then_some(result),
        "talk_sec": if over && answered { 206.2 } else { 0.0 },
        "ended_by": over.then_some(if answered { "caller" } else { "divert" }),
        "cause": over.then_some(if answered { 16 } else { 19 }),
        "legs": legs, "timeline": timeline })
}

#[test]
fn a_test_call_shows_its_steps_as_they_happen_and_succeeds_when_answered() {
    let server = Server::start("answered");
    let mut command = server.divert();
    let run = command.args(["test-call", "solar east", "--caller", "+1202"]).assert().success();
    insta::assert_snapshot!("test_call", String::from_utf8_lossy(&run.get_output().stdout));
    let requests = server.requests();
    let posted = format!(
        "POST /v1/forwarding-flows/{FLOW}/test-calls {{\"caller\":{{\"name\":\"\",\"number\":\"+1202\"}}}}"
    );
    assert!(requests.contains(&posted), "{requests:?}");
}

#[test]
fn a_test_call_that_nobody_answers_fails() {
    let server = Server::start("no_answer");
    let run = server.divert().args(["test-call", "Solar East"]).assert().code(1);
    let text = String::from_utf8_lossy(&run.get_output().stdout).into_owned();
    assert!(text.contains("✘ no answer, talk 0 ms. Never billed, not in reports."), "{text}");
}

#[test]
fn without_a_server_the_exit_code_is_3_and_a_wrong_name_is_2() {
    let dir = TempDir::new().unwrap();
    let run = divert(dir.path()).args(["test-call", "x"]).env("DIVERT_API_SOCKET", "none").assert();
    let output = run.code(3).get_output().clone();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("is divert running?"), "{text}");
    let server = Server::start("answered");
    server.divert().args(["test-call", "Lunar"]).assert().code(2);
    server.divert().args(["calls", "show", "flw_1"]).assert().code(2);
}

#[test]
fn calls_are_listed_with_their_filters() {
    let server = Server::start("answered");
    let run =
        server.divert().args(["calls", "list", "--live", "--test", "only"]).assert().success();
    insta::assert_snapshot!("calls", String::from_utf8_lossy(&run.get_output().stdout));
    let wanted = "GET /v1/calls?test=only&live=true&limit=50 ".to_owned();
    assert_eq!(server.requests(), [wanted]);
}

#[test]
fn redials_are_listed_as_one() {
    let server = Server::start("answered");
    let run = server.divert().args(["calls", "list", "--collapse"]).assert().success();
    let text = String::from_utf8_lossy(&run.get_output().stdout).into_owned();
    assert!(text.contains("repeat ×3") && text.matches('×').count() == 1, "{text}");
    assert_eq!(server.requests(), ["GET /v1/sessions?limit=50 "]);
}

#[test]
fn calls_are_exported_as_they_come() {
    let server = Server::start("answered");
    let from = "2026-11-01";
    let args = ["calls", "export", "--from", from, "--test", "exclude", "--excel"];
    server.divert().args(args).assert().success().stdout("id,name\r\n1,Ann\r\n");
    // In the zone of the machine, which is UTC here.
    let wanted = "GET /v1/calls.csv?test=exclude&from=2026-11-01T00%3A00%3A00.000Z&excel=1 ";
    assert_eq!(server.requests(), [wanted]);
}

#[test]
fn a_report_is_a_table_or_a_file() {
    let server = Server::start("answered");
    let args = ["reports", "calls", "--by", "day", "--zone", "America/Chicago"];
    let run = server.divert().args(args).assert().success();
    insta::assert_snapshot!(String::from_utf8_lossy(&run.get_output().stdout), @"
    DAY America/Chicago  CALLS  SESSIONS  ANSWERED  RATE    MINUTES  COST
    2026-11-20           0      0         0                 0.00
    2026-11-21           120    104       96        80.0 %  288.50   3.54 USD

    answered 96, rate limited 4, closed 20
    ");
    let args = ["reports", "calls", "--by", "flow", "--tests", "--csv"];
    server.divert().args(args).assert().success().stdout("id,name\r\n1,Ann\r\n");
    assert_eq!(
        server.requests(),
        [
            "GET /v1/reports/calls?by=day&zone=America%2FChicago ",
            "GET /v1/reports/calls.csv?by=flow&test=only ",
        ]
    );
    server.divert().args(["reports", "calls", "--by", "week"]).assert().code(2);
    let args = ["reports", "calls", "--by", "destination"];
    insta::assert_snapshot!(stdout(server.divert().args(args)), @"
    DESTINATION  FLOW  CALLS  SESSIONS  ANSWERED  RATE    MINUTES
    desk         East  2      2         1         50.0 %  1.00
    fallback     East  1      1         0         0.0 %   0.00
    ");
}

/// The API knows ids only; names are looked up, and only names.
#[test]
fn the_log_is_narrowed_by_names() {
    let server = Server::start("answered");
    let session = ["calls", "list", "--session", CALL];
    server.divert().args(session).assert().success();
    server.divert().args(session).arg("--collapse").assert().code(2);
    let part = ["--flow", "solar east", "--destination", "slave-a"];
    for command in [&["calls", "list"][..], &["cdrs", "export"], &["reports", "calls", "--csv"]] {
        server.divert().args(command).args(part).assert().success();
    }
    let gone = "dst_00000000000000000000000009";
    server.divert().args(["cdrs", "list", "--destination", gone]).assert().success();
    let list = "GET /v1/forwarding-flows?limit=200 ".to_owned();
    let one = format!("GET /v1/forwarding-flows/{FLOW} ");
    let part = format!("flow={FLOW}&destination={DEST}");
    assert_eq!(
        server.requests(),
        [
            format!("GET /v1/calls?session={CALL}&limit=50 "),
            list.clone(),
            one.clone(),
            format!("GET /v1/calls?{part}&limit=50 "),
            list.clone(),
            one.clone(),
            format!("GET /v1/cdrs.csv?{part} "),
            list,
            one,
            format!("GET /v1/reports/calls.csv?by=day&{part} "),
            format!("GET /v1/cdrs?destination={gone}&limit=50 "),
        ]
    );
    server.divert().args(["calls", "list", "--flow", "Lunar"]).assert().code(2);
    server.divert().args(["calls", "list", "--destination", "slave-b"]).assert().code(2);
}

#[test]
fn a_destination_is_switched_by_name_or_id() {
    let server = Server::start("answered");
    for action in ["pause", "drain", "disable", "resume"] {
        for (command, flow, destination) in
            [("destinations", "solar east", DEST), ("dest", FLOW, "slave-a")]
        {
            let run = server.divert().args([command, action, flow, destination]).assert();
            run.success().stdout(format!("slave-a of Solar East is now {action}\n"));
            let wanted =
                format!("POST /v1/forwarding-flows/{FLOW}/destinations/{DEST}/{action} {{}}");
            assert_eq!(server.requests().last(), Some(&wanted));
        }
    }
    server.divert().args(["destinations", "pause", "Solar East", "slave-b"]).assert().code(2);
}

#[test]
fn the_destinations_of_a_flow_are_listed() {
    let server = Server::start("answered");
    let text = stdout(server.divert().args(["destinations", "list", "Solar East"]));
    insta::assert_snapshot!("destinations", text);
    let text = stdout(server.divert().args(["destinations", "list", FLOW, "--json"]));
    let read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read, json!([{ "id": DEST, "name": "slave-a" }]));
}

#[test]
fn the_account_is_shown_and_set() {
    let server = Server::start("answered");
    let text = stdout(server.divert().args(["account", "show"]));
    insta::assert_snapshot!("account", text);
    let set = ["account", "set", "max_live=", "toll_free_termination=true", "rate_deck=retail"];
    let more = ["prepaid=false", "currency=EUR", "time_zone=UTC", "--json"];
    let text = stdout(server.divert().args(set).args(more));
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["max_live"], 500);
    let request = server.requests().pop().unwrap();
    let body: Value =
        serde_json::from_str(request.strip_prefix("PATCH /v1/account ").unwrap()).unwrap();
    let wanted = json!({ "max_live": null, "toll_free_termination": true, "rate_deck": "retail",
        "prepaid": false, "currency": "EUR", "time_zone": "UTC" });
    assert_eq!(body, wanted);

    for wrong in [&[][..], &["--max-live"], &["currency"], &["prepaid={"], &["a=1", "a=2"]] {
        server.divert().args(["account", "set"]).args(wrong).assert().code(2);
    }
}

#[test]
fn rate_decks_are_listed_and_shown() {
    let server = Server::start("answered");
    let list = stdout(server.divert().args(["rate-decks", "list"]));
    insta::assert_snapshot!("rate_decks", list);
    let one = stdout(server.divert().args(["rate-decks", "show", "Retail"]));
    insta::assert_snapshot!("rate_deck", one);
    let text = stdout(server.divert().args(["rate-decks", "show", "retail", "--json"]));
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["decimals"], 4);
    server.divert().args(["rate-decks", "show", "other"]).assert().code(2);
}

#[test]
fn a_list_that_is_held_back_waits_and_goes_on() {
    let server = Server::start("answered");
    let text = stdout(server.divert().args(["trunks", "list"]));
    assert!(text.contains("trunk 3") && text.contains("trunk 4"), "{text}");
    let page = "GET /v1/trunks?limit=200 ".to_owned();
    let next = "GET /v1/trunks?limit=200&cursor=abc ".to_owned();
    let status = "GET /v1/status ".to_owned();
    assert_eq!(server.requests(), [page.clone(), page.clone(), page, next, status]);
}

fn show(result: &'static str, args: &[&str], columns: &str) -> String {
    let server = Server::start(result);
    *server.seen.looks.lock().unwrap() = 90;
    let mut command = server.divert();
    command.args(["calls", "show", CALL]).args(args).env("COLUMNS", columns);
    let text = stdout(&mut command);
    let width = columns.parse().unwrap();
    assert!(!text.contains('\x1b'), "a pipe gets no colour");
    for line in text.lines() {
        assert!(line.chars().count() <= width || args.is_empty(), "{line}");
    }
    text
}

#[test]
fn a_ladder_fits_80_columns() {
    insta::assert_snapshot!("ladder_80", show("answered", &["--ladder"], "80"));
}

#[test]
fn a_ladder_has_remarks_where_there_is_room() {
    insta::assert_snapshot!("ladder_120", show("answered", &["--ladder"], "120"));
}

#[test]
fn a_ladder_of_a_failed_call_marks_what_went_wrong_first() {
    insta::assert_snapshot!("ladder_failed", show("no_answer", &["--ladder"], "100"));
}

#[test]
fn a_call_is_told_step_by_step() {
    insta::assert_snapshot!("call", show("answered", &[], "80"));
}

#[test]
fn bills_are_listed_with_their_filters() {
    let server = Server::start("answered");
    let run = server.divert().args(["cdrs", "list", "--flow", FLOW, "--limit", "9"]).assert();
    let text = String::from_utf8_lossy(&run.success().get_output().stdout).into_owned();
    assert_eq!(server.requests(), [format!("GET /v1/cdrs?flow={FLOW}&limit=9 ")]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("STARTED      ENDPOINT "), "{text}");
    assert!(lines[1].starts_with("11-21 14:03  PJSIP/1800555…  1:01  66 s "), "{text}");
    let end = "  0.0138 USD  01jd3nnnye";
    assert!(lines[1].ends_with(end), "{text}");
}

#[test]
fn the_balance_is_shown_and_added_to() {
    let server = Server::start("answered");
    assert_eq!(stdout(server.divert().args(["balance", "show"])), "97.50 USD, prepaid\n");
    let run = server.divert().args(["balance", "add", "-2.5", "--note", "too much"]).assert();
    let text = String::from_utf8_lossy(&run.success().get_output().stdout).into_owned();
    assert_eq!(text, format!("{CREDIT}: -2.50 USD\nThe balance is 97.50 USD.\n"));
    let wanted = "POST /v1/account/credits {\"amount\":\"-2.50\",\"note\":\"too much\"}";
    assert_eq!(server.requests().last().map(String::as_str), Some(wanted));
    server.divert().args(["balance", "add", "much"]).assert().code(2);
}
