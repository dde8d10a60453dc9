//! `divert doctor` against a small Asterisk.

use std::fs;
use std::path::Path;

use axum::Router;
use axum::http::{StatusCode, Uri};
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
