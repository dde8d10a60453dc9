//! The command line as its users meet it: the program itself, run with arguments, environment and
//! files, against a small server on a unix socket where it needs one.

use std::fs;
use std::path::Path;
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

/// The program in an empty directory, with an environment that holds nothing of ours.
fn divert(dir: &Path) -> Command {
    let mut command = Command::cargo_bin("divert").unwrap();
    command.current_dir(dir).env_clear().env("TZ", "UTC");
    command
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

fn stderr(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stderr).unwrap()
}

// ---- settings

#[test]
fn an_unknown_key_names_its_line_and_the_key_that_was_meant() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("divert.toml"), "[ari]\nusr = \"x\"\n").unwrap();
    let mut command = divert(dir.path());
    command.args(["config", "check"]).assert().code(2);
    insta::assert_snapshot!(stderr(&mut command), @r#"
    error: unknown key `ari.usr`
     --> divert.toml:2:1
      |
    2 | usr = "x"
      | ^^^
      = help: did you mean `ari.user`?
    "#);
}

#[test]
fn settings_come_from_flag_environment_and_file_in_this_order() {
    let dir = TempDir::new().unwrap();
    let text = "[node]\nname = \"f\"\n[log]\nfilter = \"warn\"\n[ari]\npassword = \"hunter2\"\n";
    fs::write(dir.path().join("divert.toml"), text).unwrap();
    let mut command = divert(dir.path());
    command
        .args(["config", "show", "--json", "--log", "debug"])
        .env("DIVERT_LOG_FILTER", "trace")
        .env("DIVERT_NODE_NAME", "e")
        .env("DIVERT_DATABASE", "postgres://u:hunter2@h/n");
    let text = stdout(&mut command);
    assert!(!text.contains("hunter2"), "{text}");
    let shown: Value = serde_json::from_str(&text).unwrap();
    let setting = |key: &str| {
        let all = shown["settings"].as_array().unwrap();
        let found = all.iter().find(|s| s["key"] == key).unwrap();
        (found["value"].as_str().unwrap(), found["source"].as_str().unwrap())
    };
    assert_eq!(setting("log.filter"), ("debug", "--log"));
    assert_eq!(setting("node.name"), ("e", "DIVERT_NODE_NAME"));
    assert_eq!(setting("ari.password"), ("********", "divert.toml:6"));
    assert_eq!(setting("database"), ("postgres://u:********@h/n", "DIVERT_DATABASE"));
    assert_eq!(setting("ari.user"), ("divert", "default"));
}

#[test]
fn a_mistyped_variable_is_refused_and_a_foreign_one_is_not() {
    let dir = TempDir::new().unwrap();
    let check = |name: &str| {
        let mut command = divert(dir.path());
        command.args(["config", "check"]).env(name, "x");
        (command.output().unwrap().status.code(), stderr(&mut command))
    };
    let (code, text) = check("DIVERT_ARI_URI");
    assert_eq!(code, Some(2));
    assert!(text.contains("did you mean DIVERT_ARI_URL?"), "{text}");
    assert_eq!(check("DIVERT_SEED").0, Some(0));
    assert_eq!(check("DIVERT_TEST_POSTGRES").0, Some(0));
}

#[test]
fn the_sample_is_a_good_file() {
    let dir = TempDir::new().unwrap();
    let sample = stdout(divert(dir.path()).args(["config", "sample"]));
    fs::write(dir.path().join("divert.toml"), &sample).unwrap();
    divert(dir.path()).args(["config", "check"]).assert().success().stdout("divert.toml is good\n");
}

// ---- help, completions, files

#[test]
fn every_help_fits_80_columns_and_has_an_example() {
    fn walk(dir: &Path, path: &[String]) {
        let text = stdout(divert(dir).args(path).arg("--help"));
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{path:?}: {line}");
        }
        let example =
            ["Example:\n", "Examples:\n", "Start with:\n"].iter().any(|e| text.contains(e));
        assert!(example, "{path:?} has no example:\n{text}");
        let commands = text.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        for line in commands.lines().take_while(|line| !line.is_empty()) {
            let name = line.strip_prefix("  ").and_then(|l| l.split(' ').next()).unwrap_or("");
            if !name.is_empty() && name != "help" {
                walk(dir, &[path, &[name.to_owned()]].concat());
            }
        }
    }
    walk(TempDir::new().unwrap().path(), &[]);
}

#[test]
fn completions_are_written_for_three_shells() {
    let dir = TempDir::new().unwrap();
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef divert"), ("fish", "complete -c divert")]
    {
        let text = stdout(divert(dir.path()).args(["completions", shell]));
        assert!(text.contains(word) && text.contains("test-call"), "{shell}");
    }
}

#[test]
fn printed_files_are_those_of_the_repository() {
    let dir = TempDir::new().unwrap();
    for (name, file) in
        [("dialplan", "divert.conf"), ("ari.conf", "ari.conf"), ("http.conf", "http.conf")]
    {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("asterisk/etc").join(file);
        let wanted = fs::read_to_string(file).unwrap();
        divert(dir.path()).args(["print", name]).assert().success().stdout(wanted);
    }
    let unit = stdout(divert(dir.path()).args(["print", "systemd"]));
    assert!(unit.contains("ExecStart=/usr/bin/divert serve\n"), "{unit}");
}

// ---- a server on a socket

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

const CALL: &str = "call_01jd3nnnyejx8kz0q4tt3b7m9r";
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
        (Method::PATCH, _) | (Method::POST, _) => ok(json!({})),
        (Method::GET, "/v1/calls") => {
            ok(json!({ "data": [call(9, "answered")], "has_more": true, "next_cursor": "abc" }))
        }
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
fn a_destination_is_paused_by_name() {
    let server = Server::start("answered");
    server.divert().args(["dest", "pause", "Solar East", "slave-a"]).assert().success();
    let wanted =
        format!("PATCH /v1/forwarding-flows/{FLOW}/destinations/{DEST} {{\"state\":\"paused\"}}");
    assert_eq!(server.requests().last(), Some(&wanted));
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

// ---- the database

const GOOD: &str = "\
servers:
  - name: pbx
    role: master
  - name: slave-a
    role: slave
    trunk: to-slave-a
trunks:
  - name: to-slave-a
    address: 10.0.0.2
forwarding_flows:
  - name: sales
    master: pbx
    dids: [\"8005550199\"]
    destinations:
      - { name: slave-a-sales, server: slave-a, did: \"1001\" }
";

/// The program on a database of its own.
fn with_database(dir: &Path) -> Command {
    let mut command = divert(dir);
    command.env("DIVERT_DATABASE", format!("sqlite:{}", dir.join("d.sqlite").display()));
    command
}

#[test]
fn a_document_is_planned_applied_and_then_nothing_is_left_to_do() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("flows.yaml");
    fs::write(&file, GOOD).unwrap();
    let plan = stdout(with_database(dir.path()).args(["plan", "flows.yaml"]));
    assert!(plan.contains("+ forwarding flow sales (1 DID, 1 destination)\n"), "{plan}");
    with_database(dir.path()).args(["apply", "flows.yaml"]).assert().code(2);
    with_database(dir.path()).args(["apply", "flows.yaml", "--yes"]).assert().success();
    let again = stdout(with_database(dir.path()).args(["plan", "flows.yaml"]));
    assert!(again.starts_with("nothing to change"), "{again}");

    fs::write(&file, GOOD.replace("1001", "1002")).unwrap();
    let changed = stdout(with_database(dir.path()).args(["plan", "flows.yaml", "--json"]));
    let changed: Value = serde_json::from_str(&changed).unwrap();
    assert_eq!(changed["changes"][0]["action"], "change", "{changed}");
}

#[test]
fn a_document_with_faults_is_refused_with_their_lines() {
    let dir = TempDir::new().unwrap();
    let text =
        GOOD.replace("server: slave-a,", "server: slave-x,").replace("role: master", "rol: x");
    fs::write(dir.path().join("flows.yaml"), text).unwrap();
    for command in ["plan", "apply"] {
        let run = with_database(dir.path()).args([command, "flows.yaml"]).assert().code(2);
        let text = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        assert!(text.contains("flows.yaml:3: "), "{text}");
        assert!(text.contains("flows.yaml:15: "), "{text}");
        assert!(text.contains("nothing was changed"), "{text}");
    }
    with_database(dir.path()).args(["plan", "missing.yaml"]).assert().code(2);
}

#[test]
fn a_key_is_made_listed_and_revoked() {
    let dir = TempDir::new().unwrap();
    let create = ["keys", "create", "--name", "me", "--scope", "calls:read", "--scope", "admin"];
    let key = stdout(with_database(dir.path()).args(create));
    assert!(key.starts_with("dvk_") && key.lines().count() == 1, "{key}");
    let list = || stdout(with_database(dir.path()).args(["keys", "list", "--json"]));
    let keys: Value = serde_json::from_str(&list()).unwrap();
    assert_eq!(keys[0]["scopes"], json!(["calls:read", "admin"]));
    assert!(!list().contains(key.trim().rsplit('_').next().unwrap()), "the secret is not kept");
    let id = keys[0]["id"].as_str().unwrap();
    with_database(dir.path()).args(["keys", "revoke", id]).assert().success();
    with_database(dir.path()).args(["keys", "revoke", id]).assert().code(2);
    let keys: Value = serde_json::from_str(&list()).unwrap();
    assert!(keys[0]["revoked_at"].is_string(), "{keys}");
    let wrong = ["keys", "create", "--name", "me", "--scope", "all"];
    with_database(dir.path()).args(wrong).assert().code(2);
}

#[test]
fn a_call_without_a_journal_can_not_be_replayed() {
    let dir = TempDir::new().unwrap();
    with_database(dir.path()).args(["replay", CALL]).assert().code(2);
    let mut other = divert(dir.path());
    other.env("DIVERT_DATABASE", "sqlite:/nowhere/at/all.sqlite");
    other.args(["replay", CALL]).assert().code(2);
}

// ---- doctor

/// Findings by check: `["ari bad", …]`.
fn doctor(dir: &Path, ari: &str) -> (Option<i32>, Vec<String>, Value) {
    let mut command = with_database(dir);
    command.env("DIVERT_ARI_URL", ari).env("DIVERT_ARI_PASSWORD", "x");
    command.env("DIVERT_API_SOCKET", "none").args(["doctor", "--json"]);
    command.args(["--asterisk-etc", concat!(env!("CARGO_MANIFEST_DIR"), "/asterisk/etc")]);
    let output = command.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let word = |finding: &Value| {
        format!("{} {}", finding["check"].as_str().unwrap(), finding["state"].as_str().unwrap())
    };
    (output.status.code(), findings.iter().map(word).collect(), report)
}

/// An Asterisk in which nothing is wrong but what `refused` says.
fn asterisk(refused: Option<StatusCode>) -> (Runtime, String) {
    let runtime = Runtime::new().unwrap();
    let reply = move |uri: Uri| async move {
        if let Some(status) = refused {
            return status.into_response();
        }
        let answer = match uri.path() {
            "/ari/asterisk/info" => json!({ "system": { "version": "22.10.1",
                "entity_id": "02:d1:00:00:13:c4" } }),
            "/ari/asterisk/ping" => {
                json!({ "timestamp": divert::clock::now().rfc3339().replace('Z', "+0000") })
            }
            "/ari/asterisk/variable" => json!({ "value": "" }),
            "/ari/asterisk/modules" => json!([{ "name": "res_ari.so", "status": "Running" }]),
            "/ari/endpoints/PJSIP/carrier" => json!({ "state": "offline" }),
            _ => return StatusCode::NOT_FOUND.into_response(),
        };
        axum::Json(answer).into_response()
    };
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}/ari", listener.local_addr().unwrap());
    let app = Router::new().fallback(reply);
    runtime.spawn(async move { axum::serve(listener, app).await });
    (runtime, url)
}

#[test]
fn doctor_tells_refused_wrong_password_and_no_ari_apart() {
    let dir = TempDir::new().unwrap();
    let fix = |ari: &str| {
        let (code, words, report) = doctor(dir.path(), ari);
        assert_eq!(code, Some(1));
        assert!(words.contains(&"ari bad".to_owned()), "{words:?}");
        let findings = report["findings"].as_array().unwrap().clone();
        let ari = findings.into_iter().find(|finding| finding["check"] == "ari").unwrap();
        ari["fix"].as_str().unwrap().to_owned()
    };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(fix(&format!("http://{closed}/ari")).contains("http.conf"));
    let (_keep, url) = asterisk(Some(StatusCode::UNAUTHORIZED));
    assert!(fix(&url).contains("ari show user divert"));
    let (_keep, url) = asterisk(Some(StatusCode::NOT_FOUND));
    assert!(fix(&url).contains("module load res_ari.so"));
}

#[test]
fn doctor_goes_through_asterisk_and_the_trunks() {
    let dir = TempDir::new().unwrap();
    let text = GOOD.replace("address: 10.0.0.2", "endpoint: carrier");
    fs::write(dir.path().join("flows.yaml"), text).unwrap();
    with_database(dir.path()).args(["apply", "flows.yaml", "--yes"]).assert().success();
    let (_keep, url) = asterisk(None);
    let (code, words, report) = doctor(dir.path(), &url);
    assert_eq!(code, Some(1), "a module is missing");
    for word in [
        "settings good",
        "database good",
        "ari good",
        "version good",
        "entity good",
        "clock good",
        "modules bad",
        "app good",
        "heartbeat warning",
        "trunk warning",
        "sessions good",
        "variables good",
        "dialplan unchecked",
    ] {
        assert!(words.contains(&word.to_owned()), "{word}: {report}");
    }
}

#[test]
fn doctor_says_when_the_settings_can_not_be_read() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("divert.toml"), "[ari\n").unwrap();
    let run = divert(dir.path()).arg("doctor").assert().code(1);
    let text = String::from_utf8_lossy(&run.get_output().stdout).into_owned();
    assert!(text.starts_with("✘ settings") && text.contains("divert.toml:1"), "{text}");
}
