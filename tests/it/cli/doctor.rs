//! `divert doctor` against a small Asterisk.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::response::IntoResponse as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{GOOD, divert, with_database};

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

/// What is wrong with an Asterisk.
#[derive(Clone, Copy, Debug, Default)]
struct Fault {
    /// To every question.
    refused: Option<Refusal>,
    is_read_only: bool,
    /// Where the dialplan hands calls to.
    app: Option<&'static str>,
}

/// A status with the body that comes with it: of ARI, or a web page.
type Refusal = (StatusCode, &'static str, &'static str);

fn asterisk(fault: Fault) -> (Runtime, String) {
    let runtime = Runtime::new().unwrap();
    let reply = move |method: Method, uri: Uri| async move {
        if let Some((status, content_type, text)) = fault.refused {
            return (status, [("content-type", content_type)], text).into_response();
        }
        if method != Method::GET && fault.is_read_only {
            return (StatusCode::FORBIDDEN, r#"{"message":"Write access denied"}"#).into_response();
        }
        let answer = match uri.path() {
            "/ari/asterisk/info" => json!({ "system": { "version": "22.10.1",
                "entity_id": "02:d1:00:00:13:c4" } }),
            "/ari/asterisk/ping" => {
                json!({ "timestamp": divert::clock::now().rfc3339().replace('Z', "+0000") })
            }
            "/ari/asterisk/variable" if uri.query() == Some("variable=DIVERT_APP") => {
                json!({ "value": fault.app.unwrap_or("divert") })
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
    let answering = |status, content_type, text| {
        asterisk(Fault { refused: Some((status, content_type, text)), ..Fault::default() })
    };
    let (json, html) = ("application/json", "text/html");
    let acl = "Access denied by ACL";
    for (status, content_type, text, wanted) in [
        (StatusCode::UNAUTHORIZED, json, "", "ari show user divert"),
        (StatusCode::NOT_FOUND, html, "", "module load res_ari.so"),
        (StatusCode::FORBIDDEN, json, acl, "permit=127.0.0.1/32 in [divert] of ari.conf"),
        (StatusCode::FORBIDDEN, html, acl, "permit=127.0.0.1/32 in the section with"),
    ] {
        let (_keep, url) = answering(status, content_type, text);
        let found = fix(&url);
        assert!(found.contains(wanted), "{status} {content_type}: {found}");
    }
}

#[test]
fn doctor_finds_what_keeps_calls_away_from_an_asterisk_that_answers() {
    let dir = TempDir::new().unwrap();
    with_database(dir.path()).args(["apply", "-", "--yes"]).write_stdin(GOOD).assert().success();
    let find = |fault: Fault, check: &str| {
        let (_keep, url) = asterisk(fault);
        let (_, _, report) = doctor(dir.path(), &url);
        let mut findings = report["findings"].as_array().unwrap().iter();
        let found = findings.find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("{check}: {report}")).clone()
    };
    let good = |check| assert_eq!(find(Fault::default(), check)["state"], "good", "{check}");
    good("user");
    good("door");
    let read_only = find(Fault { is_read_only: true, ..Fault::default() }, "user");
    assert_eq!(read_only["state"], "bad");
    assert!(read_only["fix"].as_str().unwrap().starts_with("read_only=no in [divert] of ari.conf"));
    for (app, fact) in [("", "does not say"), ("other", "hands calls to \"other\"")] {
        let door = find(Fault { app: Some(app), ..Fault::default() }, "door");
        assert_eq!(door["state"], "bad");
        assert!(door["fact"].as_str().unwrap().contains(fact), "{door}");
        assert!(door["fix"].as_str().unwrap().starts_with("DIVERT_APP=divert in [globals]"));
    }
}

#[test]
fn doctor_tells_a_master_that_is_no_server_or_a_slave() {
    let dir = TempDir::new().unwrap();
    let master = |name: &str| {
        let mut command = with_database(dir.path());
        command.env("DIVERT_NODE_MASTER", name).env("DIVERT_ARI_URL", "http://127.0.0.1:9/ari");
        let output = command.args(["doctor", "--json"]).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut findings = report["findings"].as_array().unwrap().iter();
        findings.find(|finding| finding["check"] == "master").cloned().unwrap_or_default()
    };
    let apply = |text: &'static str| {
        let mut command = with_database(dir.path());
        command.args(["apply", "-", "--yes"]).write_stdin(text).assert().success();
    };
    apply("account: { time_zone: Europe/Rome }\n");
    assert_eq!(master("master")["fact"], "there is no configuration yet");
    apply(GOOD);
    assert_eq!(master("pbx")["state"], "good");
    let unknown = master("main");
    assert_eq!(unknown["state"], "bad");
    assert!(unknown["fact"].as_str().unwrap().contains("no server of the configuration is"));
    assert!(unknown["fix"].as_str().unwrap().contains("master = \"pbx\" in [node]"));
    let slave = master("slave-a");
    assert_eq!(slave["state"], "bad", "{slave}");
    assert!(slave["fact"].as_str().unwrap().contains("is a slave"), "{slave}");
}

#[test]
fn doctor_minds_only_secrets_that_everybody_may_read() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("divert.toml");
    let warned = |text: &str, mode: u32| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let mut command = divert(dir.path());
        command.env("DIVERT_ARI_URL", "http://127.0.0.1:9/ari");
        let output = command.args(["doctor", "--json"]).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap().iter();
        let warned = findings.filter(|one| one["check"] == "settings" && one["state"] == "warning");
        warned.map(|one| one["fact"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let folder = |mode| fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
    folder(0o700);
    assert_eq!(warned("[ari]\npassword = \"x\"\n", 0o644), Vec::<String>::new());
    folder(0o755);
    assert_eq!(warned("[ari]\npassword = \"\"\n", 0o644), Vec::<String>::new());
    assert_eq!(warned("[ari]\npassword = \"x\"\n", 0o600), Vec::<String>::new());
    assert_eq!(warned("[ari]\npassword = \"x\"\n", 0o640), Vec::<String>::new());
    assert!(warned("[ari]\npassword = \"x\"\n", 0o644)[0].contains("holds ari.password"));
    let url = "database = \"postgres://u:x@127.0.0.1:9/n\"\n";
    assert!(warned(url, 0o644)[0].contains("holds database"));
    let secret = dir.path().join("secret");
    fs::write(&secret, "x").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    let by_file = format!("[ari]\npassword_file = {secret:?}\n");
    assert!(warned(&by_file, 0o644)[0].contains("secret holds the password of ARI"));
}

#[test]
fn a_sample_is_never_written_over_a_file() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("divert.toml");
    let help = divert(dir.path()).args(["config", "check", "--config", "divert.toml"]).assert();
    let help = String::from_utf8_lossy(&help.code(2).get_output().stderr).into_owned();
    assert!(help.contains("divert config sample divert.toml"), "{help}");
    divert(dir.path()).args(["config", "sample", "divert.toml"]).assert().success();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    divert(dir.path()).args(["config", "check"]).assert().success();
    fs::write(&file, "[ari]\nuser = \"mine\"\n").unwrap();
    let again = divert(dir.path()).args(["config", "sample", "divert.toml"]).assert().code(1);
    let told = String::from_utf8_lossy(&again.get_output().stderr).into_owned();
    assert!(told.contains("stays as it is"), "{told}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "[ari]\nuser = \"mine\"\n");
}

#[test]
fn doctor_goes_through_asterisk_and_the_trunks() {
    let dir = TempDir::new().unwrap();
    let text = GOOD.replace("address: 10.0.0.2", "endpoint: carrier");
    fs::write(dir.path().join("flows.yaml"), text).unwrap();
    with_database(dir.path()).args(["apply", "flows.yaml", "--yes"]).assert().success();
    let (_keep, url) = asterisk(Fault::default());
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
        "dialplan good",
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
