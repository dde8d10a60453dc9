//! Listening on TCP and on the unix socket.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use divert::api::{Room, bind, serve};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::World;

const REQUEST: &[u8] = b"GET /v1/servers HTTP/1.1\r\nhost: divert\r\nconnection: close\r\n\r\n";

struct Served {
    address: SocketAddr,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

const ROOM: Room = Room::new(10, 10);

async fn start(world: &World, socket: &Path) -> Served {
    start_with(world, socket, ROOM).await
}

async fn start_with(world: &World, socket: &Path, room: Room) -> Served {
    let any = "127.0.0.1:0".parse().unwrap();
    let listeners = bind(any, Some(socket.to_owned())).await.unwrap();
    let address = listeners.address().unwrap();
    let cancel = CancellationToken::new();
    let task = tokio::spawn(serve(listeners, room, world.api.clone(), cancel.clone()));
    Served { address, cancel, task }
}

async fn connect(socket: &Path) -> UnixStream {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => return stream,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

async fn ask(mut stream: impl AsyncReadExt + AsyncWrite + Unpin) -> String {
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn socket() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("divert.sock");
    (dir, path)
}

#[tokio::test]
async fn the_socket_is_private_and_needs_no_key_while_tcp_needs_one() {
    let world = World::new().await;
    let (dir, path) = socket();
    let served = start(&world, &path).await;
    let answer = ask(connect(&path).await).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing else is left lying about: {names:?}");

    let answer = ask(TcpStream::connect(served.address).await.unwrap()).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");

    served.cancel.cancel();
    served.task.await.unwrap();
    assert!(!path.exists());
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_a_live_one_and_a_file_are_not() {
    let world = World::new().await;
    let (_dir, path) = socket();
    drop(StdUnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a socket file that nobody answers on");
    let served = start(&world, &path).await;
    let answer = ask(connect(&path).await).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let any = "127.0.0.1:0".parse().unwrap();
    let second = bind(any, Some(path.clone())).await.unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::AddrInUse);
    let taken = bind(served.address, None).await.unwrap_err().to_string();
    let address = served.address;
    assert_eq!(taken, format!("{address} is taken by another program (api.listen)"));
    let answer = ask(connect(&path).await).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "the first still serves: {answer}");
    served.cancel.cancel();
    served.task.await.unwrap();

    std::fs::write(&path, "precious").unwrap();
    let third = bind(any, Some(path.clone())).await.unwrap_err();
    assert_eq!(third.kind(), std::io::ErrorKind::AlreadyExists);
    assert!(third.to_string().contains("exists and is no socket (api.socket)"), "{third}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_request_in_flight_is_answered_after_the_cancellation() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let (_dir, path) = socket();
    let served = start(&world, &path).await;
    let held = world.node.hold().await;
    let mut stream = connect(&path).await;
    let request = format!(
        "POST /v1/forwarding-flows/{flow}/test-calls HTTP/1.1\r\nhost: divert\r\n\
         connection: close\r\ncontent-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    world.node.asked().await;
    served.cancel.cancel();
    tokio::task::yield_now().await;
    drop(held);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    served.task.await.unwrap();
}

#[tokio::test]
async fn a_change_is_finished_although_its_client_goes_away() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let (_dir, path) = socket();
    let served = start(&world, &path).await;
    let held = world.node.hold().await;
    let mut stream = connect(&path).await;
    let request = format!(
        "POST /v1/forwarding-flows/{flow}/test-calls HTTP/1.1\r\nhost: divert\r\n\
         content-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    world.node.asked().await;
    drop(stream);
    // The server notices and drops its side of the request; the call is placed all the same.
    let answer = ask(connect(&path).await).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(held);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while world.node.finished.load(Ordering::SeqCst) == 0 {
        assert!(tokio::time::Instant::now() < deadline, "the call was never placed");
        tokio::task::yield_now().await;
    }
    served.cancel.cancel();
    served.task.await.unwrap();
}

/// Reads until the server closes the connection, for 30 s at most.
async fn closed(mut stream: impl AsyncReadExt + Unpin) -> String {
    let mut answer = Vec::new();
    // A reset is an end too.
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the connection is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_connection_that_asks_for_nothing_or_never_ends_its_question_is_closed() {
    let world = World::new().await;
    let (_dir, path) = socket();
    let room = Room { head: Duration::from_millis(300), ..ROOM };
    let served = start_with(&world, &path, room).await;
    let connect_tcp = || TcpStream::connect(served.address);

    let idle = connect_tcp().await.unwrap();
    let mut dripping = connect_tcp().await.unwrap();
    let mut kept_open = connect_tcp().await.unwrap();
    kept_open.write_all(b"GET /healthz HTTP/1.1\r\nhost: divert\r\n\r\n").await.unwrap();
    let idle_local = connect(&path).await;

    dripping.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let (reading, mut writing) = dripping.into_split();
    let drip = async {
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        while writing.write_all(b"x").await.is_ok() {
            beat.tick().await;
        }
    };
    let ends = async {
        assert_eq!(closed(idle).await, "");
        assert_eq!(closed(idle_local).await, "");
        assert!(!closed(reading).await.contains("200 OK"));
        let answered = closed(kept_open).await;
        assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    };
    tokio::join!(drip, ends);
    served.cancel.cancel();
    served.task.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_given_up() {
    let world = World::new().await;
    let (_dir, path) = socket();
    let room = Room { tcp: 1, unread: Duration::from_millis(300), ..ROOM };
    let served = start_with(&world, &path, room).await;
    let mut deaf = TcpStream::connect(served.address).await.unwrap();
    let asks = b"GET /openapi.json HTTP/1.1\r\nhost: divert\r\n\r\n".repeat(1_000);
    // It asks on until the answers fill all buffers on their way, and is stuck until it is left.
    let stuck = tokio::spawn(async move { while deaf.write_all(&asks).await.is_ok() {} });
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = ask(TcpStream::connect(served.address).await.unwrap()).await;
        if answer.starts_with("HTTP/1.1 401") {
            break;
        }
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(tokio::time::Instant::now() < deadline, "its place is never free again");
        tokio::task::yield_now().await;
    }
    stuck.await.unwrap();
    served.cancel.cancel();
    served.task.await.unwrap();
}

#[tokio::test]
async fn beyond_its_room_tcp_turns_clients_away_and_the_owner_is_served_all_the_same() {
    let world = World::new().await;
    let (_dir, path) = socket();
    let served = start_with(&world, &path, Room { tcp: 2, ..ROOM }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: divert\r\n\r\n").await.unwrap();
        let mut begun = [0; 12];
        stream.read_exact(&mut begun).await.unwrap();
        assert_eq!(&begun, b"HTTP/1.1 200");
        held.push(stream);
    }
    let answer = ask(TcpStream::connect(served.address).await.unwrap()).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    for part in ["application/problem+json", "too_many_connections", "retry-after: 5"] {
        assert!(answer.contains(part), "{part} is missing: {answer}");
    }
    let mut crowd = Vec::new();
    for _ in 0..50 {
        crowd.push(TcpStream::connect(served.address).await.unwrap());
    }
    for stream in crowd {
        let end = closed(stream).await;
        assert!(end.is_empty() || end.starts_with("HTTP/1.1 503"), "{end}");
    }
    let answer = ask(connect(&path).await).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    held.pop();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !ask(TcpStream::connect(served.address).await.unwrap()).await.starts_with("HTTP/1.1 401")
    {
        assert!(tokio::time::Instant::now() < deadline, "a place that is left is free again");
        tokio::task::yield_now().await;
    }
    served.cancel.cancel();
    drop(held);
    served.task.await.unwrap();
}
