//! The real server, without an Asterisk, and the commands that ask it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use divert::store::Db;
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

use super::{GOOD, divert, stderr, stdout, with_database};
use crate::store::engine::Engine;

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

/// The server in `dir`, on this database; what it says goes into the file `log`.
fn serve(dir: &Path, database: &str, settings: &[(&str, &str)]) -> Serving {
    let log = File::options().create(true).append(true).open(dir.join("log")).unwrap();
    let serve = Command::new(env!("CARGO_BIN_EXE_divert"))
        .current_dir(dir)
        .env_clear()
        .envs(SETTINGS)
        .envs(settings.iter().copied())
        .env("DIVERT_DATABASE", database)
        .arg("serve")
        .stderr(log)
        .spawn();
    Serving(serve.unwrap())
}

const SETTINGS: [(&str, &str); 4] = [
    ("DIVERT_API_LISTEN", "127.0.0.1:0"),
    ("DIVERT_API_SOCKET", "s"),
    // Nothing listens there.
    ("DIVERT_ARI_URL", "http://127.0.0.1:1/ari"),
    ("DIVERT_ARI_PASSWORD", "x"),
];

fn sqlite(dir: &Path) -> String {
    format!("sqlite:{}", dir.join("d.sqlite").display())
}

fn log(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}

fn answers(dir: &Path, database: &str) -> bool {
    let mut command = divert(dir);
    command.envs(SETTINGS).env("DIVERT_DATABASE", database).args(["flows", "list"]);
    command.output().unwrap().status.success()
}

/// The whole answer to a GET over the socket.
fn raw(dir: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(dir.join("s")).unwrap();
    let ask = format!("GET {path} HTTP/1.1\r\nhost: divert\r\nconnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

impl Serving {
    fn until_it_ends(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("it ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

#[test]
fn an_address_that_is_taken_is_named_before_anything_else_happens() {
    let dir = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut second = serve(dir.path(), &sqlite(dir.path()), &[("DIVERT_API_LISTEN", &address)]);
    assert_eq!(second.until_it_ends(), Some(1));
    let told = log(dir.path());
    assert!(told.contains(&format!("error: {address} is taken by another program")), "{told}");
    assert!(!told.contains("panic"), "{told}");
    assert!(!dir.path().join("d.sqlite").exists());

    fs::write(dir.path().join("s"), "precious").unwrap();
    let mut other = serve(dir.path(), &sqlite(dir.path()), &[]);
    assert_eq!(other.until_it_ends(), Some(1));
    let told = log(dir.path());
    assert!(told.contains("s exists and is no socket (api.socket)"), "{told}");
    assert_eq!(fs::read_to_string(dir.path().join("s")).unwrap(), "precious");
}

#[test]
fn a_directory_for_waiting_rows_that_is_not_there_is_named() {
    let dir = TempDir::new().unwrap();
    let mut serving = serve(dir.path(), &sqlite(dir.path()), &[("DIVERT_SPOOL", "absent")]);
    assert_eq!(serving.until_it_ends(), Some(1));
    let told = log(dir.path());
    assert!(told.contains("`spool`: absent/a-") && told.contains("No such file"), "{told}");
}

/// By it the dialplan, and the next process, know that this one stopped and did not die.
#[test]
fn a_server_that_is_told_to_stop_says_goodbye_to_the_dialplan() {
    let (dir, asterisk) = (TempDir::new().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("http://{}/ari", asterisk.local_addr().unwrap());
    let beats = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&beats);
    thread::spawn(move || {
        for stream in asterisk.incoming() {
            let (mut stream, mut head) = (stream.unwrap(), [0; 4096]);
            let len = stream.read(&mut head).unwrap_or_default();
            let head = String::from_utf8_lossy(&head[..len]).into_owned();
            let line = head.lines().next().unwrap_or_default();
            if line.contains("variable=DIVERT_BEAT_divert&value=") {
                noted.lock().unwrap().push(line.to_owned());
            }
            let _ = stream.write_all(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let database = sqlite(dir.path());
    let mut serving = serve(dir.path(), &database, &[("DIVERT_ARI_URL", &url)]);
    eventually("it serves", || answers(dir.path(), &database));
    let id = serving.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(serving.until_it_ends(), Some(0));
    let beats = beats.lock().unwrap();
    let last = beats.last().map(String::as_str).unwrap_or_default();
    assert!(last.starts_with("POST ") && last.contains("&value=0 "), "{beats:?}");
}

#[tokio::test]
async fn a_database_that_is_locked_is_waited_for() {
    let dir = TempDir::new().unwrap();
    let url = sqlite(dir.path());
    let db = Db::open(&url).await.unwrap();
    let Db::Sqlite(pool) = &db else { unreachable!() };
    let lock = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let mut serving = serve(dir.path(), &url, &[]);
    eventually("it says that it waits", || log(dir.path()).contains("waiting for sqlite:"));
    assert_eq!(serving.0.try_wait().unwrap(), None);
    // It was reached, and answered.
    let mut status = divert(dir.path());
    status.envs(SETTINGS).arg("status").assert().code(3);
    let told = stderr(&mut status);
    assert!(told.starts_with("error: Database unavailable (503): waiting for the"), "{told}");
    lock.rollback().await.unwrap();
    eventually("the socket answers", || answers(dir.path(), &url));
}

/// A way to a database that is shut at first: whoever comes is sent away.
struct Gate {
    url: String,
    is_open: Arc<AtomicBool>,
}

impl Gate {
    fn before(database: &str) -> Self {
        let mut url = url::Url::parse(database).unwrap();
        let server = (url.host_str().unwrap().to_owned(), url.port().unwrap());
        let gate = TcpListener::bind("127.0.0.1:0").unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(gate.local_addr().unwrap().port())).unwrap();
        let is_open = Arc::new(AtomicBool::new(false));
        let may_pass = Arc::clone(&is_open);
        thread::spawn(move || {
            for client in gate.incoming() {
                let client = client.unwrap();
                if may_pass.load(Ordering::Relaxed) {
                    let server = TcpStream::connect((&*server.0, server.1)).unwrap();
                    pass_on(client.try_clone().unwrap(), server.try_clone().unwrap());
                    pass_on(server, client);
                }
            }
        });
        Self { url: url.into(), is_open }
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

#[tokio::test]
async fn a_database_that_is_not_there_yet_is_waited_for_also_by_who_asks_it_to_stop() {
    let dir = TempDir::new().unwrap();
    let place = Engine::Postgres.place().await;
    let gate = Gate::before(&place.url);
    let url = gate.url.clone();
    let mut serving = serve(dir.path(), &url, &[]);
    eventually("it says that it waits", || log(dir.path()).contains("waiting for postgres:"));
    let (ready, lives) = (raw(dir.path(), "/readyz"), raw(dir.path(), "/healthz"));
    let flows = raw(dir.path(), "/v1/flows");
    // Without a key nobody is told where the database is, nor what is wrong there.
    let name = url.rsplit('/').next().unwrap();
    for answer in [&ready, &flows] {
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(
            answer.contains("waiting for the database; the log of divert tells why"),
            "{answer}"
        );
        assert!(!answer.contains("postgres") && !answer.contains(name), "{answer}");
    }
    assert!(lives.starts_with("HTTP/1.1 200"), "{lives}");
    let mut asked = divert(dir.path());
    asked.envs(SETTINGS).env("DIVERT_DATABASE", &url).args(["flows", "list"]);
    let told = stderr(&mut asked);
    assert!(told.contains("Database unavailable (503): waiting for the database"), "{told}");

    let mut stopping = serve(dir.path(), &url, &[("DIVERT_API_SOCKET", "")]);
    eventually("the other waits too", || log(dir.path()).matches("waiting for").count() > 3);
    let id = stopping.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(stopping.until_it_ends(), Some(0));

    assert_eq!(serving.0.try_wait().unwrap(), None);
    gate.open();
    eventually("the socket answers", || answers(dir.path(), &url));
}

#[tokio::test]
async fn a_postgres_that_refuses_the_settings_ends_it_at_once() {
    let dir = TempDir::new().unwrap();
    let place = Engine::Postgres.place().await;
    let mut serving = serve(dir.path(), &format!("{}_absent", place.url), &[]);
    assert_eq!(serving.until_it_ends(), Some(1));
    let told = log(dir.path());
    assert!(told.contains("_absent\" does not exist"), "{told}");
    assert!(told.contains("check the user, the password and the database"), "{told}");
}

/// To Postgres a table that is missing is the state of a backup that is being restored.
#[rstest]
#[tokio::test]
async fn a_database_that_goes_away_after_it_was_opened_is_waited_for(
    #[values("call", "node", "slot", "installation")] table: &str,
) {
    let dir = TempDir::new().unwrap();
    let store = Engine::Postgres.store().await;
    let url = &store.place.url;
    store.execute(&format!("ALTER TABLE {table} RENAME TO absent")).await;
    let mut serving = serve(dir.path(), url, &[]);
    eventually("it says that it waits", || log(dir.path()).contains("waiting for postgres:"));
    assert!(
        log(dir.path()).contains(&format!("{table}\\\" does not exist")),
        "{}",
        log(dir.path())
    );
    assert!(raw(dir.path(), "/healthz").starts_with("HTTP/1.1 200"));

    let mut stopping = serve(dir.path(), url, &[("DIVERT_API_SOCKET", "")]);
    eventually("the other waits too", || log(dir.path()).matches("waiting for").count() > 3);
    let id = stopping.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(stopping.until_it_ends(), Some(0));

    assert_eq!(serving.0.try_wait().unwrap(), None);
    store.execute(&format!("ALTER TABLE absent RENAME TO {table}")).await;
    eventually("the socket answers", || answers(dir.path(), url));
}

#[tokio::test]
async fn a_node_that_reaches_no_asterisk_says_that_it_runs_and_is_not_forgotten() {
    let dir = TempDir::new().unwrap();
    let url = sqlite(dir.path());
    let db = Db::open(&url).await.unwrap();
    let mut serving = serve(dir.path(), &url, &[("DIVERT_NODE_NAME", "lonely")]);
    let mut signs = Vec::new();
    let start = Instant::now();
    while signs.len() < 2 {
        assert!(start.elapsed() < Duration::from_secs(20), "no sign of life after {signs:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let nodes = db.nodes().await.unwrap();
        signs.extend(nodes.iter().filter_map(|node| node.alive_at));
        signs.dedup();
    }
    let since_ms = signs[1].since_ms(signs[0]);
    assert!((1_000..15_000).contains(&since_ms), "some times within half a minute: {since_ms} ms");
    assert_eq!(serving.0.try_wait().unwrap(), None);

    let listed = stdout(with_database(dir.path()).args(["nodes", "list"]));
    assert!(listed.contains("lonely"), "{listed}");
    for more in [None, Some("--yes")] {
        let mut forget = with_database(dir.path());
        forget.args(["nodes", "forget", "lonely"]).args(more).assert().code(2);
        let told = stderr(&mut forget);
        assert!(told.contains("is serving: stop it first"), "{told}");
    }
}

#[test]
fn the_server_answers_its_command_line_and_stops_when_asked() {
    let dir = TempDir::new().unwrap();
    let document = GOOD.replace("pbx", "master");
    fs::write(dir.path().join("flows.yaml"), document).unwrap();
    with_database(dir.path()).args(["apply", "flows.yaml", "--yes"]).assert().success();
    let mut serving = serve(dir.path(), &sqlite(dir.path()), &[]);
    let ask = || {
        let mut command = with_database(dir.path());
        command.envs(SETTINGS);
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

    let doctor = stdout(ask().args(["doctor", "--json"]));
    let found: Value = serde_json::from_str(&doctor).unwrap();
    let mut found = found["findings"].as_array().unwrap().iter();
    let rows = found.find(|one| one["check"] == "rows").unwrap();
    assert_eq!(rows["fact"], "0 wait to be written, none was lost", "{doctor}");

    let id = serving.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(serving.until_it_ends(), Some(0));
}
