//! The divert under test: the real binary, with a database and a socket of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use divert::engine::journal::JournalEntry;
use divert::model::id::CallId;
use divert::model::number::Did;
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::model::time::Timestamp;
use divert::store::{CallDetail, CallFilter, Db, JournalLine};
use serde_json::Value;
use tempfile::TempDir;

use crate::ari::{PASSWORD, client_builder};
use crate::lab::eventually;
use crate::ports::Ports;

#[derive(Debug)]
pub struct Divert {
    folder: TempDir,
    http: reqwest::Client,
    child: Option<Child>,
}

impl Divert {
    /// Writes the settings; `ari_port` is that of Asterisk, or of something in between.
    pub fn new(ports: &Ports, ari_port: u16) -> Self {
        Self::with("divert", ports.api(), ari_port)
    }

    /// The same with an application and a port of its own for its API.
    pub fn with(app: &str, api_port: u16, ari_port: u16) -> Self {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let settings = format!(
            "database = \"sqlite:{}\"\n\
             [node]\nname = \"a\"\nmaster = \"master\"\n\
             [ari]\nurl = \"http://127.0.0.1:{ari_port}/ari\"\nuser = \"divert\"\n\
             password = \"{PASSWORD}\"\napp = \"{app}\"\n\
             [api]\nlisten = \"127.0.0.1:{api_port}\"\nsocket = \"{}\"\n\
             [log]\nformat = \"text\"\nfilter = \"info,divert=debug,divert::api=warn\"\n",
            at("divert.sqlite"),
            at("divert.sock"),
        );
        fs::write(folder.path().join("divert.toml"), settings).unwrap();
        let http = client_builder().unix_socket(folder.path().join("divert.sock")).build().unwrap();
        Self { folder, http, child: None }
    }

    /// Makes this document the whole configuration.
    pub fn apply(&self, document: &Value) {
        let file = self.path("configuration.yaml");
        fs::write(&file, serde_json::to_vec_pretty(document).unwrap()).unwrap();
        let done = self.command(&["apply", "--yes"]).arg(&file).output().unwrap();
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "divert apply failed:\n{told}");
    }

    /// Starts it and waits until it is connected to Asterisk.
    pub async fn start(&mut self) {
        self.spawn();
        self.until_ready().await;
    }

    pub fn spawn(&mut self) {
        self.spawn_as(&["serve"]);
    }

    pub fn spawn_as(&mut self, arguments: &[&str]) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    pub async fn until_ready(&mut self) {
        eventually("divert to be ready", Duration::from_secs(20), async || {
            let status = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(status.is_none(), "divert ended with {status:?}:\n{}", self.log_tail());
            self.is_ready().await.then_some(())
        })
        .await;
    }

    /// Until it has ended by itself: its exit code.
    pub async fn until_ended(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("divert runs");
        let status = eventually("divert to end", Duration::from_secs(15), async || {
            child.try_wait().unwrap()
        });
        status.await.code()
    }

    /// What `/readyz` says, ready or not.
    pub async fn readiness(&self) -> Value {
        let answer = self.http.get("http://divert/readyz").send().await.unwrap();
        answer.json().await.unwrap()
    }

    pub async fn until_unready(&self, limit: Duration) {
        eventually("divert to notice", limit, async || (!self.is_ready().await).then_some(()))
            .await;
    }

    pub async fn is_ready(&self) -> bool {
        let answer = self.http.get("http://divert/readyz").send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Ends it without a chance to tidy up.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks it to stop, as systemd does, and waits until it has.
    pub async fn stop(&mut self) {
        self.signal("TERM");
        eventually("divert to stop", Duration::from_secs(15), async || {
            self.child.as_mut().and_then(|child| child.try_wait().unwrap())
        })
        .await;
        self.child = None;
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("divert runs").id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    pub async fn get(&self, path: &str) -> Value {
        self.try_get(path).await.unwrap_or_else(|| panic!("no answer to GET {path}"))
    }

    pub async fn try_get(&self, path: &str) -> Option<Value> {
        let answer = self.http.get(format!("http://divert{path}")).send().await.ok()?;
        answer.error_for_status().ok()?.json().await.ok()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.http.post(format!("http://divert{path}")).json(body);
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "POST {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// A request that must be refused: its status and the problem.
    pub async fn refused(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("http://divert{path}")).json(body);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        assert!(!status.is_success(), "POST {path}: {status}");
        (status.as_u16(), answer.json().await.unwrap())
    }

    /// Changes some fields of a resource, as `curl -X PATCH` would.
    pub async fn patch(&self, path: &str, body: &Value) -> Value {
        let request = self.http.patch(format!("http://divert{path}"));
        let request = request.header("content-type", "application/merge-patch+json");
        let answer = request.body(body.to_string()).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "PATCH {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Where the API has the destination with this name, of the only flow there is.
    pub async fn destination(&self, name: &str) -> String {
        let flows = self.get("/v1/forwarding-flows").await;
        let flow = &flows["data"][0];
        let mut destinations = flow["destinations"].as_array().unwrap().iter();
        let found = destinations.find(|one| one["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no destination {name} in {flow}"));
        let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
        format!("/v1/forwarding-flows/{}/destinations/{}", id(flow), id(found))
    }

    /// divert knows that a trunk can or cannot be called.
    pub async fn until_trunk(&self, name: &str, is_up: bool) {
        self.until_metric(&format!("divert_trunk_up{{trunk=\"{name}\"}} {}", u8::from(is_up)))
            .await;
    }

    /// Until this line stands among the metrics.
    pub async fn until_metric(&self, wanted: &str) {
        eventually(wanted, Duration::from_secs(20), async || {
            self.metrics().await.lines().any(|line| line == wanted).then_some(())
        })
        .await;
    }

    pub async fn metrics(&self) -> String {
        match self.http.get("http://divert/metrics").send().await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    pub fn database(&self) -> String {
        format!("sqlite:{}", self.path("divert.sqlite").display())
    }

    pub async fn db(&self) -> Db {
        Db::open(&self.database()).await.unwrap()
    }

    /// The newest call on a number, once there is one.
    pub async fn call_on(&self, did: &Did) -> CallId {
        let db = self.db().await;
        let filter = CallFilter { did: Some(did.clone()), ..CallFilter::default() };
        eventually("the call to be in the log", Duration::from_secs(5), async || {
            // The filter finds numbers that differ by a + as well.
            let calls = db.calls(DEFAULT_ACCOUNT, &filter, None, 1_000).await.unwrap();
            calls.iter().find(|call| call.did == *did).map(|call| call.id)
        })
        .await
    }

    /// The newest call once so many are in the log.
    pub async fn newest(&self, calls: usize) -> CallId {
        eventually("the call to be in the log", Duration::from_secs(5), async || {
            let all = self.calls().await;
            (all.len() == calls).then(|| all[0])
        })
        .await
    }

    /// The newest call, once there is one that began since.
    pub async fn call_since(&self, since: Timestamp) -> CallId {
        let db = self.db().await;
        eventually("the call to be in the log", Duration::from_secs(5), async || {
            let filter = CallFilter::default();
            let newest = db.calls(DEFAULT_ACCOUNT, &filter, None, 1).await.unwrap();
            newest.first().filter(|call| call.started_at >= since).map(|call| call.id)
        })
        .await
    }

    /// Every call in the log, the newest first.
    pub async fn calls(&self) -> Vec<CallId> {
        let db = self.db().await;
        let calls = db.calls(DEFAULT_ACCOUNT, &CallFilter::default(), None, 1_000).await.unwrap();
        calls.iter().map(|call| call.id).collect()
    }

    /// A call once it is over and everything about it is written.
    pub async fn ended(&self, call: CallId, limit: Duration) -> (CallDetail, Vec<JournalEntry>) {
        let db = self.db().await;
        eventually("the call to be over", limit, async || {
            let detail = db.call(DEFAULT_ACCOUNT, call).await.unwrap()?;
            let is_over = detail.call.ended_at.is_some()
                && detail.legs.iter().all(|leg| leg.outcome.is_some());
            is_over.then_some(())
        })
        .await;
        // Rows are written in batches; the last of a call is that of its last leg or its caller.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let detail = db.call(DEFAULT_ACCOUNT, call).await.unwrap().unwrap();
        let lines = db.journal(DEFAULT_ACCOUNT, call).await.unwrap();
        let entry = |line: JournalLine| serde_json::from_value(line.body).unwrap();
        (detail, lines.into_iter().map(entry).collect())
    }

    /// What a command says, good or bad.
    pub fn says(&self, arguments: &[&str]) -> String {
        let done = self.command(arguments).output().unwrap();
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// What `divert replay` says against the journal of a call: empty when it leads to the same again.
    pub fn replay(&self, call: CallId) -> String {
        let done = self.command(&["replay", &call.to_string()]).output().unwrap();
        let told = [done.stdout, done.stderr].concat();
        if done.status.success() {
            return String::new();
        }
        String::from_utf8_lossy(&told).into_owned()
    }

    /// What waits on disk for the database.
    pub fn spool(&self) -> String {
        let mut files =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let file = files.find(|path| path.extension().is_some_and(|end| end == "spool"));
        fs::read_to_string(file.expect("there is a spool")).unwrap()
    }

    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_divert")));
        command.arg("--config").arg(self.path("divert.toml")).args(arguments);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DIVERT_") {
                command.env_remove(name);
            }
        }
        command
    }
}

impl Drop for Divert {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the last lines of divert's log\n{}", self.log_tail());
        }
        // It may be frozen; SIGKILL reaches it all the same.
        self.kill();
    }
}
