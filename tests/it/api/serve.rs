//! Listening on TCP and on the unix socket.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use divert::api::{bind, serve};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::World;

const REQUEST: &[u8] = b"GET /v1/servers HTTP/1.1\r\nhost: divert\r\nconnection: close\r\n\r\n";

struct Served {
    address: SocketAddr,
    cancel: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

async fn start(world: &World, socket: &Path) -> Served {
    let any = "127.0.0.1:0".parse().unwrap();
    let listeners = bind(any, Some(socket.to_owned())).await.unwrap();
    let address = listeners.address().unwrap();
    let cancel = CancellationToken::new();
    let task = tokio::spawn(serve(listeners, world.api.clone(), cancel.clone()));
    Served { address, cancel, task }
}

async fn connect(socket: &Path) -> UnixStream {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
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
    served.task.await.unwrap().unwrap();
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
    served.task.await.unwrap().unwrap();

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
    served.task.await.unwrap().unwrap();
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
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while world.node.finished.load(Ordering::SeqCst) == 0 {
        assert!(tokio::time::Instant::now() < deadline, "the call was never placed");
        tokio::task::yield_now().await;
    }
    served.cancel.cancel();
    served.task.await.unwrap().unwrap();
}
