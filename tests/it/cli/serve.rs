//! The real server, without an Asterisk, and the commands that ask it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;
use tempfile::TempDir;

use super::{GOOD, stderr, stdout, with_database};

struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks again and again, for 20 s at most.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_server_answers_its_command_line_and_stops_when_asked() {
    let dir = TempDir::new().unwrap();
    let document = GOOD.replace("pbx", "master");
    fs::write(dir.path().join("flows.yaml"), document).unwrap();
    with_database(dir.path()).args(["apply", "flows.yaml", "--yes"]).assert().success();
    let settings = [
        ("DIVERT_API_LISTEN", "127.0.0.1:0"),
        ("DIVERT_API_SOCKET", "s"),
        // Nothing listens there.
        ("DIVERT_ARI_URL", "http://127.0.0.1:1/ari"),
        ("DIVERT_ARI_PASSWORD", "x"),
    ];
    let serve = Command::new(env!("CARGO_BIN_EXE_divert"))
        .current_dir(dir.path())
        .env_clear()
        .envs(settings)
        .env("DIVERT_DATABASE", format!("sqlite:{}", dir.path().join("d.sqlite").display()))
        .arg("serve")
        .stderr(Stdio::null())
        .spawn();
    let mut serving = Serving(serve.unwrap());
    let ask = || {
        let mut command = with_database(dir.path());
        command.envs(settings);
        command
    };
    eventually("the socket answers", || {
        ask().args(["flows", "list"]).output().unwrap().status.success()
    });

    ask().args(["dest", "pause", "SALES", "slave-a-sales"]).assert().success();
    let flows: Value =
        serde_json::from_str(&stdout(ask().args(["flows", "list", "--json"]))).unwrap();
    assert_eq!(flows["data"][0]["destinations"][0]["state"], "paused", "{flows}");
    assert!(stdout(ask().args(["flows", "list"])).contains("paused"));
    assert_eq!(stdout(ask().args(["flows", "pause", "Sales"])), "sales is paused\n");
    assert!(stdout(ask().args(["flows", "list"])).contains("sales  paused"));
    assert_eq!(stdout(ask().args(["flows", "resume", "sales"])), "sales is active\n");
    ask().args(["calls", "list", "--test", "only", "--result", "no_answer"]).assert().success();
    ask().args(["calls", "show", super::calls::CALL]).assert().code(2);
    let refused = stderr(ask().args(["test-call", "sales"]));
    assert!(refused.contains("Test call refused"), "{refused}");

    let id = serving.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let mut status = None;
    eventually("it stops", || {
        status = serving.0.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(0));
}
