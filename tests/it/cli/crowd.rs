//! A crowd of API clients against the real server with few file descriptors.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::{GOOD, with_database};

/// What nothing here needs, and a hanging test run has.
const PATIENCE: Duration = Duration::from_secs(20);

/// Enough of Asterisk for a node without calls: it tells of no channels and takes every setting.
struct FakeAsterisk {
    port: u16,
    /// The event sockets as they are opened.
    sockets: mpsc::UnboundedReceiver<WebSocketStream<TcpStream>>,
    task: JoinHandle<()>,
}

impl FakeAsterisk {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (opened, sockets) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut talks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                talks.spawn(answer(stream, opened.clone()));
            }
        });
        Self { port, sockets, task }
    }

    /// The next event socket.
    async fn socket(&mut self) -> WebSocketStream<TcpStream> {
        let socket = tokio::time::timeout(PATIENCE, self.sockets.recv()).await;
        socket.expect("divert connects to Asterisk").expect("Asterisk is there")
    }
}

async fn answer(
    mut stream: TcpStream,
    opened: mpsc::UnboundedSender<WebSocketStream<TcpStream>>,
) -> std::io::Result<()> {
    let mut head = [0; 4096];
    let text = loop {
        let read = stream.peek(&mut head).await?;
        let text = String::from_utf8_lossy(&head[..read]).into_owned();
        if read == 0 || text.contains("\r\n\r\n") {
            break text;
        }
        tokio::task::yield_now().await;
    };
    if text.starts_with("GET /ari/events?") {
        if let Ok(socket) = accept_async(stream).await {
            let _ = opened.send(socket);
        }
        return Ok(());
    }
    let (status, body) = match text.split([' ', '?']).nth(1).unwrap_or_default() {
        "/ari/asterisk/info" => ("200 OK", r#"{"status":{"startup_time":"then"}}"#),
        "/ari/applications/divert" => ("404 Not Found", r#"{"message":"no such application"}"#),
        "/ari/asterisk/variable" => ("200 OK", r#"{"value":""}"#),
        "/ari/channels" | "/ari/bridges" | "/ari/endpoints/PJSIP" => ("200 OK", "[]"),
        // Which says nothing about whether events arrive.
        "/ari/events/user/divert-check" => ("500 Later", ""),
        _ => ("204 No Content", ""),
    };
    stream.read_exact(&mut head[..text.len()]).await?;
    let length = if status.starts_with("204") {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{length}\r\n{body}");
    stream.write_all(answer.as_bytes()).await
}

struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that may open 128 files, its output in `log`.
fn serve(dir: &Path, asterisk: u16) -> Serving {
    let log = fs::File::create(dir.join("log")).unwrap();
    let divert = env!("CARGO_BIN_EXE_divert");
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -n 128 && exec {divert} serve")])
        .current_dir(dir)
        .env_clear()
        .env("DIVERT_DATABASE", format!("sqlite:{}", dir.join("d.sqlite").display()))
        .env("DIVERT_API_LISTEN", "127.0.0.1:0")
        .env("DIVERT_API_SOCKET", "s")
        .env("DIVERT_ARI_URL", format!("http://127.0.0.1:{asterisk}/ari"))
        .env("DIVERT_ARI_PASSWORD", "x")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Serving(command.spawn().unwrap())
}

/// Where it listens, by its log.
fn address(dir: &Path) -> Option<SocketAddr> {
    let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
    let (_, rest) = log.split_once("\"address\":\"")?;
    rest.split('"').next()?.parse().ok()
}

/// Whether the owner is told over the unix socket that calls can be taken.
fn is_ready(dir: &Path) -> bool {
    let ask = || {
        let mut stream = UnixStream::connect(dir.join("s"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: d\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

async fn eventually(what: &str, dir: &Path, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        let log = || fs::read_to_string(dir.join("log")).unwrap_or_default();
        assert!(start.elapsed() < PATIENCE, "{what}: in vain\n{}", log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Opens a connection again and again, asks half a question, and waits until it is closed.
async fn besiege(address: SocketAddr) {
    loop {
        let Ok(mut stream) = TcpStream::connect(address).await else { continue };
        let _ = stream.write_all(b"GET /v1/calls HTTP/1.1\r\nx: ").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_clients_come_divert_keeps_asterisk_its_database_and_its_owner() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("flows.yaml"), GOOD.replace("pbx", "master")).unwrap();
    with_database(dir.path()).args(["apply", "flows.yaml", "--yes"]).assert().success();
    let mut asterisk = FakeAsterisk::start().await;
    let _serving = serve(dir.path(), asterisk.port);
    let events = asterisk.socket().await;
    eventually("divert is ready", dir.path(), || is_ready(dir.path())).await;

    let address = address(dir.path()).expect("the log says where the API listens");
    let mut crowd = JoinSet::new();
    for _ in 0..300 {
        crowd.spawn(besiege(address));
    }
    let full = || {
        let log = fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        log.contains("all the connections it may have")
    };
    eventually("the crowd fills the room", dir.path(), full).await;
    assert!(is_ready(dir.path()), "the owner is answered and Asterisk is there");

    // Asterisk is restarted meanwhile: divert needs new descriptors to come back to it.
    drop(events);
    let events = asterisk.socket().await;
    eventually("divert is ready again", dir.path(), || is_ready(dir.path())).await;
    // The database is read and written.
    let mut pause = with_database(dir.path());
    pause.env("DIVERT_API_SOCKET", "s").args(["flows", "pause", "sales"]);
    assert_eq!(String::from_utf8(pause.output().unwrap().stdout).unwrap(), "sales is paused\n");
    assert!(!crowd.is_empty());
    crowd.shutdown().await;
    asterisk.task.abort();
    drop(events.into_future());
}
