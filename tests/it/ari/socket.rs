use std::future::Future;
use std::time::{Duration, Instant};

use divert::ari::AriError;
use divert::ari::socket::{Reason, SocketEvent, Timing, run_timed};
use divert::ari::wire::Event;
use futures_util::{SinkExt, StreamExt};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use tokio_util::sync::CancellationToken;

use super::{AUTHORIZATION, settings};

const TIMING: Timing = Timing {
    connect: Duration::from_secs(5),
    check: Duration::from_hours(1),
    ping: Duration::from_millis(100),
    dead: Duration::from_millis(600),
    first_pause: Duration::from_millis(10),
    max_pause: Duration::from_millis(80),
};

/// More than anything here needs, and less than a hanging test run.
const PATIENCE: Duration = Duration::from_secs(10);

type Peer = WebSocketStream<TcpStream>;

/// A fake Asterisk, and a socket of ours connected or connecting to it.
struct Rig {
    listener: TcpListener,
    events: Receiver<SocketEvent>,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), AriError>>,
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

impl Rig {
    async fn start(capacity: usize) -> Self {
        Self::timed(capacity, TIMING).await
    }

    async fn timed(capacity: usize, timing: Timing) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = settings(listener.local_addr().unwrap().port());
        let (sender, events) = mpsc::channel(capacity);
        let cancel = CancellationToken::new();
        let task = tokio::spawn(run_timed(settings, timing, sender, cancel.clone()));
        Self { listener, events, cancel, task }
    }

    async fn accept_tcp(&self) -> TcpStream {
        soon("a connection", self.listener.accept()).await.unwrap().0
    }

    /// The next connection, with the request line that came on it.
    async fn request(&self) -> (TcpStream, String) {
        let stream = self.accept_tcp().await;
        let mut head = vec![0; 4096];
        let line = async {
            loop {
                let len = stream.peek(&mut head).await.unwrap();
                let text = String::from_utf8_lossy(&head[..len]);
                if len == 0 || text.contains("\r\n\r\n") {
                    return text.lines().next().unwrap_or_default().to_owned();
                }
                tokio::task::yield_now().await;
            }
        };
        let line = soon("a request", line).await;
        (stream, line)
    }

    /// Answers the plain request that comes before each upgrade.
    async fn answer_probe(&self) {
        let (stream, line) = self.request().await;
        assert_eq!(line, "GET /ari/asterisk/info?only=status HTTP/1.1");
        answer(stream, "200 OK").await;
    }

    /// The next of the requests that try out whether events arrive.
    async fn check(&self) -> TcpStream {
        let (stream, line) = self.request().await;
        assert_eq!(line, "POST /ari/events/user/divert-check?application=divert-a HTTP/1.1");
        stream
    }

    #[expect(clippy::result_large_err, reason = "the shape of the handshake's callback")]
    async fn accept(&self) -> Peer {
        let check = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            assert_eq!(request.uri(), "/ari/events?app=divert-a&subscribeAll=false");
            assert_eq!(request.headers()["authorization"], AUTHORIZATION);
            Ok(response)
        };
        self.answer_probe().await;
        soon("an upgrade", accept_hdr_async(self.accept_tcp().await, check)).await.unwrap()
    }

    async fn next(&mut self) -> SocketEvent {
        loop {
            match soon("an event", self.events.recv()).await.expect("the stream is over") {
                SocketEvent::Alive => {}
                event => return event,
            }
        }
    }

    async fn connected(&mut self) -> Peer {
        let peer = self.accept().await;
        assert!(matches!(self.next().await, SocketEvent::Connected));
        peer
    }

    async fn reason(&mut self) -> Reason {
        match self.next().await {
            SocketEvent::Disconnected { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    /// The channel id of the next event, or the type of an event without one.
    async fn id(&mut self) -> String {
        match self.next().await {
            SocketEvent::Event(Event::StasisEnd(end), _) => end.channel.id,
            SocketEvent::Event(Event::Unknown { event_type, .. }, _) => event_type,
            SocketEvent::Event(event, _) => event.label().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    async fn no_more_connections(&self) {
        let more = timeout(TIMING.max_pause * 5, self.listener.accept()).await;
        assert!(more.is_err(), "it came back");
    }
}

fn end(id: impl std::fmt::Display) -> Message {
    Message::text(format!(r#"{{"type":"StasisEnd","channel":{{"id":"{id}"}}}}"#))
}

fn replaced(app: &str) -> Message {
    Message::text(format!(r#"{{"type":"ApplicationReplaced","application":"{app}"}}"#))
}

async fn answer(mut stream: TcpStream, status: &str) {
    let _ = stream.read(&mut [0; 4096]).await.unwrap();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
}

/// Answers pings and ignores the rest, until the other side is gone.
async fn serve(mut peer: Peer) {
    while let Some(Ok(_)) = peer.next().await {}
}

#[tokio::test]
async fn events_come_in_their_order() {
    let mut rig = Rig::start(1000).await;
    let mut peer = rig.connected().await;
    for no in 0..500 {
        peer.send(end(no)).await.unwrap();
    }
    for no in 0..500 {
        assert_eq!(rig.id().await, no.to_string());
    }
}

#[tokio::test]
async fn a_cut_connection_comes_back() {
    let mut rig = Rig::start(100).await;
    for no in 0..20 {
        let mut peer = rig.connected().await;
        peer.send(end(no)).await.unwrap();
        assert_eq!(rig.id().await, no.to_string());
        // Without a closing handshake.
        drop(peer);
        let reason = rig.reason().await;
        assert!(matches!(reason, Reason::Unreachable { .. }), "{reason:?}");
    }
    drop(rig.connected().await);
}

#[tokio::test]
async fn a_connection_closed_in_good_order_comes_back_too() {
    let mut rig = Rig::start(100).await;
    let mut peer = rig.connected().await;
    let frame = CloseFrame { code: 1001.into(), reason: "going away".into() };
    peer.close(Some(frame)).await.unwrap();
    let text = "going away".to_owned();
    assert_eq!(rig.reason().await, Reason::Closed { code: Some(1001), text });
    drop(rig.connected().await);
}

#[tokio::test]
async fn it_neither_hammers_nor_gives_up() {
    let mut rig = Rig::start(1000).await;
    let begun = Instant::now();
    for _ in 0..20 {
        // Pauses that went on doubling would be longer than this waits.
        let mut peer = rig.connected().await;
        peer.close(None).await.unwrap();
        rig.reason().await;
    }
    // 17 of the pauses are drawn from 0 to 80 ms: 680 ms on average, and never all near 0.
    assert!(begun.elapsed() > Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_peer_that_went_silent_is_left() {
    let mut rig = Rig::start(100).await;
    // Open, but nobody reads or writes: no pong will come.
    let silent = rig.connected().await;
    assert_eq!(rig.reason().await, Reason::Silent);
    drop(rig.connected().await);
    // It was asked only as often as there is time for until it counts as dead. A ping is six bytes.
    let mut sent = Vec::new();
    soon("what it was sent", silent.into_inner().read_to_end(&mut sent)).await.unwrap();
    let pings = sent.len() as u128 / 6;
    let most = TIMING.dead.as_millis() / TIMING.ping.as_millis() + 1;
    assert!((1..=most).contains(&pings), "{pings}");
}

#[tokio::test]
async fn a_peer_that_only_answers_pings_is_kept() {
    let mut rig = Rig::start(100).await;
    let peer = rig.connected().await;
    let serving = tokio::spawn(serve(peer));
    let news = timeout(TIMING.dead * 3, rig.events.recv()).await;
    assert!(news.is_err(), "{news:?}");
    serving.abort();
}

#[test]
fn ten_seconds_are_the_most_a_dead_peer_goes_unnoticed() {
    let timing = Timing::default();
    assert!(timing.dead <= Duration::from_secs(10) && timing.ping * 2 <= timing.dead);
    assert_eq!(timing.first_pause, Duration::from_millis(100));
    assert_eq!(timing.max_pause, Duration::from_secs(5));
}

#[tokio::test]
async fn who_is_replaced_stops() {
    let mut rig = Rig::start(100).await;
    let mut peer = rig.connected().await;
    peer.send(replaced("divert-b")).await.unwrap();
    peer.send(replaced("divert-a")).await.unwrap();
    peer.send(end("never")).await.unwrap();
    assert_eq!(rig.id().await, "ApplicationReplaced", "somebody else was");
    assert!(matches!(rig.next().await, SocketEvent::Replaced));
    assert!(matches!(soon("a close", peer.next()).await, Some(Ok(Message::Close(_)))));
    drop(peer);
    assert!(soon("the end", rig.events.recv()).await.is_none());
    rig.no_more_connections().await;
    soon("the end", rig.task).await.unwrap().unwrap();
}

#[test]
fn what_nobody_understands_is_counted_and_survived() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(strange_frames()));
    let text = recorder.handle().render();
    for line in [
        r#"divert_ari_events_total{type="undecodable"} 4"#,
        r#"divert_ari_events_total{type="unknown"} 2"#,
        r#"divert_ari_events_total{type="StasisEnd"} 3"#,
        "divert_ari_connected 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

async fn strange_frames() {
    let mut rig = Rig::start(100).await;
    let mut peer = rig.connected().await;
    let huge = format!(r#"{{"type":"Huge","text":"{}"}}"#, "x".repeat(1 << 20));
    let frames = [
        end("first"),
        Message::text("not JSON"),
        Message::text(r#"{"type":"#),
        Message::text(r#"{"type":"StasisStart","channel":7}"#),
        Message::binary(vec![0xff, 0x00]),
        Message::text(r#"{"type":"MoonRise"}"#),
        Message::text(huge),
        // The same one twice is two events: what it means is not decided here.
        end("last"),
        end("last"),
    ];
    for frame in frames {
        peer.send(frame).await.unwrap();
    }
    for id in ["first", "MoonRise", "Huge", "last", "last"] {
        assert_eq!(rig.id().await, id);
    }
    rig.cancel.cancel();
    soon("the end", rig.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_slow_consumer_is_told_that_events_are_missing() {
    let mut rig = Rig::start(4).await;
    let mut peer = rig.accept().await;
    // Nobody reads: one place is taken by Connected, three by events.
    for no in 0..50 {
        if peer.send(end(no)).await.is_err() {
            break;
        }
    }
    soon("the cut", serve(peer)).await;
    assert!(matches!(rig.next().await, SocketEvent::Connected));
    for no in 0..3 {
        assert_eq!(rig.id().await, no.to_string());
    }
    assert_eq!(rig.reason().await, Reason::Overflow);
    let mut peer = rig.connected().await;
    peer.send(end("after")).await.unwrap();
    assert_eq!(rig.id().await, "after");
}

#[tokio::test]
async fn a_refused_upgrade_says_what_to_mend_and_is_tried_again() {
    let mut rig = Rig::start(100).await;
    let table = [
        ("401 Unauthorized", Reason::Unauthorized, "ari.conf"),
        ("404 Not Found", Reason::AriDisabled, "enabled=yes"),
        ("503 Busy", Reason::Refused { status: 503 }, "503"),
    ];
    for (status, reason, hint) in table {
        // The same answer twice is told once.
        for _ in 0..2 {
            answer(rig.accept_tcp().await, status).await;
        }
        assert_eq!(rig.reason().await, reason);
        assert!(reason.to_string().contains(hint), "{reason}");
    }
    rig.answer_probe().await;
    answer(rig.accept_tcp().await, "403 Forbidden").await;
    assert_eq!(rig.reason().await, Reason::Refused { status: 403 });
    drop(rig.connected().await);
}

#[tokio::test]
async fn a_stalled_asterisk_is_not_sent_upgrades_it_would_carry_out_later() {
    let timing = Timing { connect: Duration::from_millis(200), ..TIMING };
    let mut rig = Rig::timed(100, timing).await;
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let (stream, line) = rig.request().await;
        assert!(line.starts_with("GET /ari/asterisk/info"), "{line}");
        stalled.push(stream);
    }
    assert!(matches!(rig.reason().await, Reason::Unreachable { .. }));
    drop(rig.connected().await);
}

#[tokio::test]
async fn an_attempt_of_our_own_does_not_fence_us() {
    let timing =
        Timing { connect: Duration::from_millis(500), dead: Duration::from_mins(1), ..TIMING };
    let mut rig = Rig::timed(100, timing).await;
    rig.answer_probe().await;
    // The upgrade is taken, but no answer comes until it is given up.
    let ghost = rig.accept_tcp().await;
    assert!(matches!(rig.reason().await, Reason::Unreachable { .. }));

    let mut peer = rig.connected().await;
    peer.send(replaced("divert-a")).await.unwrap();
    assert_eq!(rig.reason().await, Reason::Overtaken);
    drop((peer, ghost));

    // There was one attempt given up, so the second time it is somebody else.
    let mut peer = rig.connected().await;
    peer.send(replaced("divert-a")).await.unwrap();
    assert!(matches!(rig.next().await, SocketEvent::Replaced));
    soon("the end", rig.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_without_events_is_noticed() {
    let timing =
        Timing { check: Duration::from_millis(50), dead: Duration::from_mins(1), ..TIMING };
    let mut rig = Rig::timed(100, timing).await;

    // Asterisk has forgotten our application.
    let serving = tokio::spawn(serve(rig.connected().await));
    answer(rig.check().await, "404 Not Found").await;
    assert_eq!(rig.reason().await, Reason::Deaf);
    soon("the end", serving).await.unwrap();

    // It knows the application, but not us.
    let serving = tokio::spawn(serve(rig.connected().await));
    answer(rig.check().await, "204 No Content").await;
    assert_eq!(rig.reason().await, Reason::Deaf);
    soon("the end", serving).await.unwrap();

    // All is well, even where Asterisk cannot be asked.
    let mut peer = rig.connected().await;
    for no in 0..5 {
        let check = rig.check().await;
        if no == 2 {
            answer(check, "500 Internal Server Error").await;
            continue;
        }
        peer.send(Message::text(r#"{"type":"ChannelUserevent","eventname":"divert-check"}"#))
            .await
            .unwrap();
        answer(check, "204 No Content").await;
    }
    peer.send(end("x")).await.unwrap();
    assert_eq!(rig.id().await, "x", "the check is nobody's business");
    drop(peer);
}

#[tokio::test]
async fn a_cancelled_stream_says_good_bye() {
    let mut rig = Rig::start(100).await;
    let mut peer = rig.connected().await;
    rig.cancel.cancel();
    assert!(matches!(soon("a close", peer.next()).await, Some(Ok(Message::Close(_)))));
    drop(peer);
    soon("the end", &mut rig.task).await.unwrap().unwrap();
    rig.no_more_connections().await;
}

#[tokio::test]
async fn it_can_be_cancelled_while_there_is_nobody() {
    let mut rig = Rig::start(1).await;
    drop(rig.accept_tcp().await);
    drop(rig.accept_tcp().await);
    rig.cancel.cancel();
    soon("the end", &mut rig.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn it_ends_when_nobody_listens() {
    let mut rig = Rig::start(100).await;
    let mut peer = rig.connected().await;
    rig.events.close();
    peer.send(end("x")).await.unwrap();
    soon("the end", rig.task).await.unwrap().unwrap();
}
