//! The event stream: one websocket to Asterisk, kept alive and brought back for ever.
//!
//! The task does nothing but read, decode and enqueue: Asterisk cuts a reader that is slow (after
//! 100 ms with a full buffer, unless ari.conf says otherwise) and drops every event until it is
//! back. So nothing is answered here, and nothing waits for a database or a request.
//!
//! What the consumer owes: after each [`SocketEvent::Connected`] set the event filter, read a
//! [snapshot](super::resync::snapshot), and only then handle the events queued since.
//!
//! A connection that answers pings may still be of no use. When Asterisk comes out of a stall, it
//! carries out every upgrade it was sent meanwhile, also the abandoned ones; one of these then
//! replaces us, or takes our application with it when it ends (seen on 22.10.1). Hence three rules:
//! no upgrade is sent before Asterisk has answered a plain request; being replaced by what may be
//! an attempt of our own is no fencing; and the way from our application to us is tried out all the
//! time with an event of our own. And whoever else has our application keeps it while it lives
//! ([`super::claim`]).
//!
//! Follows RFC 6455; Asterisk itself never pings, so a dead peer is noticed only from here.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use metrics::{counter, gauge, histogram};
use reqwest::Method;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tokio_util::sync::CancellationToken;

use super::claim::{Claim, SIGN};
use super::http::{Answer, Http, Request as HttpRequest, Timeouts};
use super::wire::{self, Event};
use super::{AriError, Settings, encode, install_tls};
use crate::clock;
use crate::model::time::Timestamp;

/// How many events may wait for the consumer. Past it the connection is dropped and read anew,
/// which costs less than an event that nobody knows is missing.
pub const CAPACITY: usize = 4096;

/// What the consumer gets, in the order it happened.
#[derive(Debug)]
pub enum SocketEvent {
    /// Events still reach us, though nothing may have happened.
    Alive,
    /// Events flow from here on; whatever happened before is unknown.
    Connected,
    /// The connection is lost, or a new one failed. Comes once for each change of the reason; the
    /// next attempt follows by itself.
    Disconnected { reason: Reason },
    /// With the time it was read.
    Event(Event, Timestamp),
    /// Another process took our application over: we are fenced and must stop acting. The last
    /// event there is.
    Replaced,
    /// Another process, which lives, has our application: there is no connection. The last event
    /// there is.
    Taken { by: String },
}

/// Why there is no connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reason {
    /// 404: there is a web server, but no ARI.
    AriDisabled,
    /// The other side closed it in good order.
    Closed { code: Option<u16>, text: String },
    /// The connection stands, but our application's events do not come through it.
    Deaf,
    /// The consumer was too slow for [`CAPACITY`].
    Overflow,
    /// Replaced, most likely by an earlier attempt of our own that came through late.
    Overtaken,
    /// The upgrade was answered with another status.
    Refused { status: u16 },
    /// Neither an event nor an answer to our pings.
    Silent,
    /// 401.
    Unauthorized,
    /// Not reachable, or broken on the way.
    Unreachable { detail: String },
}

impl Reason {
    /// A label with a bounded number of values.
    const fn label(&self) -> &'static str {
        match self {
            Self::AriDisabled => "ari_disabled",
            Self::Closed { .. } => "closed",
            Self::Deaf => "deaf",
            Self::Overflow => "overflow",
            Self::Overtaken => "overtaken",
            Self::Refused { .. } => "refused",
            Self::Silent => "silent",
            Self::Unauthorized => "unauthorized",
            Self::Unreachable { .. } => "unreachable",
        }
    }

    /// Whether somebody has to change a configuration before it can work.
    #[must_use]
    pub const fn needs_somebody(&self) -> bool {
        matches!(self, Self::AriDisabled | Self::Unauthorized)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AriDisabled => f.write_str(
                "there is no ARI at that URL: set enabled=yes in ari.conf and http.conf, and check \
                 the path",
            ),
            Self::Closed { code: Some(code), text } => {
                write!(f, "Asterisk closed the event connection ({code} {text})")
            }
            Self::Closed { .. } => f.write_str("Asterisk closed the event connection"),
            Self::Deaf => f.write_str("Asterisk no longer sends us our events; registering anew"),
            Self::Overtaken => {
                f.write_str("an earlier attempt of ours took the application over; starting over")
            }
            Self::Overflow => {
                f.write_str("events came faster than they were handled; starting over")
            }
            Self::Refused { status } => {
                write!(f, "Asterisk refused the event connection with status {status}")
            }
            Self::Silent => f.write_str("Asterisk has gone silent"),
            Self::Unauthorized => {
                f.write_str("Asterisk refused user and password: compare them with ari.conf")
            }
            Self::Unreachable { detail } => write!(f, "Asterisk cannot be reached: {detail}"),
        }
    }
}

/// The intervals of one connection's life.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// For one answer to a plain request, and again for the connection with its upgrade.
    pub connect: Duration,
    /// Between two tries whether our application's events still reach us; one that was accepted
    /// may take as long again.
    pub check: Duration,
    /// Between two of our pings.
    pub ping: Duration,
    /// Without any frame for so long, the connection counts as dead.
    pub dead: Duration,
    /// The first pause before a new attempt; doubled each time.
    pub first_pause: Duration,
    /// The longest pause. A connection that lasted so long starts over with the first.
    pub max_pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            check: Duration::from_secs(5),
            ping: Duration::from_secs(5),
            dead: Duration::from_secs(10),
            first_pause: Duration::from_millis(100),
            max_pause: Duration::from_secs(5),
        }
    }
}

/// Runs the event stream until it is cancelled, replaced, or nobody listens any more.
///
/// A cancelled stream is closed in good order, so that Asterisk's dialplan falls back at once.
///
/// # Errors
/// Only for settings that can never work; everything else is told by [`SocketEvent::Disconnected`].
pub async fn run(
    settings: Settings,
    claim: Claim,
    sender: mpsc::Sender<SocketEvent>,
    cancel: CancellationToken,
) -> Result<(), AriError> {
    run_for(settings, Some(claim), Timing::default(), sender, cancel).await
}

/// [`run`] with other intervals, and without asking who has the application.
///
/// # Errors
/// As for [`run`].
pub async fn run_timed(
    settings: Settings,
    timing: Timing,
    sender: mpsc::Sender<SocketEvent>,
    cancel: CancellationToken,
) -> Result<(), AriError> {
    run_for(settings, None, timing, sender, cancel).await
}

async fn run_for(
    settings: Settings,
    claim: Option<Claim>,
    timing: Timing,
    sender: mpsc::Sender<SocketEvent>,
    cancel: CancellationToken,
) -> Result<(), AriError> {
    install_tls();
    let request = upgrade(&settings)?;
    let timeouts = Timeouts { connect: timing.connect, request: timing.connect };
    let http = Http::new(&settings, timeouts)?;
    let app = settings.app;
    let mut life = Life { app, claim, http, timing, sender, cancel, ghosts: 0, told: None };
    life.live(&request).await;
    gauge!("divert_ari_connected").set(0);
    Ok(())
}

fn upgrade(settings: &Settings) -> Result<Request, AriError> {
    let base = settings.base()?;
    // base() has made sure of the scheme: http becomes ws, https becomes wss.
    let base = base.strip_prefix("http").unwrap_or(&base);
    let url = format!("ws{base}/events?app={}&subscribeAll=false", encode(&settings.app));
    let mut request = url
        .into_client_request()
        .map_err(|_| AriError::Settings { detail: "the URL cannot be used for a websocket" })?;
    let mut authorization = HeaderValue::try_from(settings.authorization())
        .map_err(|_| AriError::Settings { detail: "user and password cannot be sent" })?;
    authorization.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, authorization);
    Ok(request)
}

/// Why a connection, or the whole stream, is over.
enum End {
    /// A new one has to be made.
    Lost(Reason),
    /// Nothing more to do.
    Over,
}

struct Life {
    app: String,
    claim: Option<Claim>,
    http: Http,
    timing: Timing,
    sender: mpsc::Sender<SocketEvent>,
    cancel: CancellationToken,
    /// Upgrades that were sent and given up: Asterisk may still carry them out.
    ghosts: u32,
    /// The reason told last, so that an hour of the same one is told once.
    told: Option<Reason>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Life {
    async fn live(&mut self, request: &Request) {
        // Not `self`, which the futures below borrow. Each wait is cancelled by itself, because a
        // live connection has to be closed in good order and not just dropped.
        let cancel = self.cancel.clone();
        let mut step = self.timing.first_pause;
        loop {
            let begun = Instant::now();
            let end = match cancel.run_until_cancelled(self.connect(request)).await {
                Some(Ok(socket)) => self.listen(socket).await,
                Some(Err(end)) => end,
                None => End::Over,
            };
            gauge!("divert_ari_connected").set(0);
            let End::Lost(reason) = end else { return };
            counter!("divert_ari_disconnects_total", "reason" => reason.label()).increment(1);
            if begun.elapsed() >= self.timing.max_pause {
                step = self.timing.first_pause;
            }
            // Full jitter, so that many nodes do not come back in step. What only a human can mend
            // is asked for slowly from the start.
            let mut pause = step.mul_f64(rand::random());
            if reason.needs_somebody() {
                pause = self.timing.max_pause.mul_f64(rand::random_range(0.5..=1.0));
            }
            step = (step * 2).min(self.timing.max_pause);
            let next = async {
                let is_heard = self.tell(reason).await;
                sleep(pause).await;
                is_heard
            };
            if cancel.run_until_cancelled(next).await != Some(true) {
                return;
            }
        }
    }

    async fn connect(&mut self, request: &Request) -> Result<Socket, End> {
        self.probe().await.map_err(End::Lost)?;
        // An upgrade of ours that was given up may hold it.
        if let Some(claim) = self.claim.as_ref().filter(|_| self.ghosts == 0)
            && let Err(by) = claim.settle().await
        {
            let _ = self.sender.send(SocketEvent::Taken { by }).await;
            return Err(End::Over);
        }
        self.upgrade(request).await.map_err(End::Lost)
    }

    async fn upgrade(&mut self, request: &Request) -> Result<Socket, Reason> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        // Boxed: the upgrade takes 20 kB of state that nobody needs afterwards.
        let connecting = Box::pin(connect_async_with_config(request.clone(), Some(config), true));
        match timeout(self.timing.connect, connecting).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(WsError::Http(response))) => Err(refused(response.status().as_u16())),
            Ok(Err(error)) => Err(broken(&error)),
            Err(_) => {
                self.ghosts += 1;
                Err(Reason::Unreachable { detail: "no upgrade in time".to_owned() })
            }
        }
    }

    /// Whether Asterisk answers at all; a request that it answers too late does no harm.
    async fn probe(&self) -> Result<(), Reason> {
        let request = HttpRequest::new("probe", Method::GET, &["asterisk", "info"])
            .query("only", "status")
            .never_again();
        match self.http.send(request).await.and_then(Answer::done) {
            Ok(()) => Ok(()),
            Err(AriError::Unauthorized { .. }) => Err(Reason::Unauthorized),
            Err(AriError::NotFound { .. }) => Err(Reason::AriDisabled),
            Err(AriError::Refused { status, .. }) => Err(refused(status)),
            Err(AriError::Transport { detail, .. }) => Err(Reason::Unreachable { detail }),
            Err(error) => Err(Reason::Unreachable { detail: error.to_string() }),
        }
    }

    /// Says again and again that we live; never ends.
    async fn sign(&self) {
        match &self.claim {
            None => std::future::pending().await,
            Some(claim) => loop {
                claim.sign().await;
                sleep(SIGN).await;
            },
        }
    }

    /// Sends our application an event again and again; ends when one does not arrive.
    async fn watch(&self, has_arrived: &AtomicBool) {
        loop {
            sleep(self.timing.check).await;
            has_arrived.store(false, Ordering::Relaxed);
            let request = HttpRequest::new("check", Method::POST, &["events", "user", CHECK])
                .query("application", &self.app)
                .never_again();
            match self.http.send(request).await.and_then(Answer::done) {
                Ok(()) => sleep(self.timing.check).await,
                Err(AriError::NotFound { .. }) => return,
                // Says nothing about the events; the pings will tell.
                Err(_) => continue,
            }
            if !has_arrived.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Reads until the connection ends, one way or another.
    async fn listen(&mut self, socket: Socket) -> End {
        let begun = Instant::now();
        if let Some(end) = self.enqueue(SocketEvent::Connected) {
            return end;
        }
        self.told = None;
        if let Some(claim) = &mut self.claim {
            claim.settled();
        }
        let end = self.hear(socket, begun).await;
        if begun.elapsed() >= self.timing.dead {
            self.ghosts = 0;
        } else if matches!(end, End::Lost(Reason::Overtaken)) {
            self.ghosts = self.ghosts.saturating_sub(1);
        }
        end
    }

    async fn hear(&self, mut socket: Socket, begun: Instant) -> End {
        gauge!("divert_ari_connected").set(1);
        let mut sign = pin!(self.sign());
        let has_arrived = AtomicBool::new(false);
        let mut watch = pin!(self.watch(&has_arrived));
        let mut ping = interval_at(Instant::now() + self.timing.ping, self.timing.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let frame = tokio::select! {
                () = self.cancel.cancelled() => {
                    close(&mut socket).await;
                    return End::Over;
                }
                () = tokio::time::sleep_until(heard + self.timing.dead) => {
                    return End::Lost(Reason::Silent);
                }
                _ = ping.tick() => {
                    // A ping that cannot be written means a peer that does not read.
                    let ping = socket.send(Message::Ping(Bytes::new()));
                    match timeout(self.timing.ping, ping).await {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => return End::Lost(broken(&error)),
                        Err(_) => return End::Lost(Reason::Silent),
                    }
                }
                () = &mut watch => return End::Lost(Reason::Deaf),
                () = &mut sign => continue,
                frame = socket.next() => frame,
            };
            heard = Instant::now();
            let event = match frame {
                Some(Ok(Message::Text(text))) => self.read(text.as_bytes()),
                Some(Ok(Message::Binary(bytes))) => self.read(&bytes),
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.as_ref().map(|frame| frame.code.into());
                    let text = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    return End::Lost(Reason::Closed { code, text });
                }
                Some(Ok(Message::Frame(_) | Message::Ping(_) | Message::Pong(_))) => None,
                Some(Err(error)) => return End::Lost(broken(&error)),
                None => return End::Lost(Reason::Closed { code: None, text: String::new() }),
            };
            match event {
                Some(SocketEvent::Event(Event::ChannelUserevent(event), _))
                    if event.eventname == CHECK =>
                {
                    has_arrived.store(true, Ordering::Relaxed);
                    // For the consumer a sign of life: up to here nothing was missed.
                    if let Some(end) = self.enqueue(SocketEvent::Alive) {
                        return end;
                    }
                }
                Some(SocketEvent::Replaced)
                    if self.ghosts > 0 && begun.elapsed() < self.timing.dead =>
                {
                    return End::Lost(Reason::Overtaken);
                }
                Some(SocketEvent::Replaced) => {
                    close(&mut socket).await;
                    let telling = self.sender.send(SocketEvent::Replaced);
                    let _ = self.cancel.run_until_cancelled(telling).await;
                    return End::Over;
                }
                Some(event) => {
                    if let Some(end) = self.enqueue(event) {
                        return end;
                    }
                }
                None => {}
            }
        }
    }

    /// One frame; garbage is counted and survived.
    fn read(&self, frame: &[u8]) -> Option<SocketEvent> {
        let event = match wire::decode(frame) {
            Ok(event) => event,
            Err(error) => {
                counter!("divert_ari_events_total", "type" => "undecodable").increment(1);
                // Not the frame itself: it may hold somebody's number.
                tracing::warn!(error = &error as &dyn std::error::Error, "event not understood");
                return None;
            }
        };
        counter!("divert_ari_events_total", "type" => event.label()).increment(1);
        let now = clock::now();
        if let Some(sent_at) = event.sent_at() {
            let lag = Duration::from_millis(u64::try_from(now.since_ms(sent_at)).unwrap_or(0));
            histogram!("divert_ari_event_lag_seconds").record(lag);
        }
        match &event {
            Event::ApplicationReplaced(replaced) if replaced.application == self.app => {
                Some(SocketEvent::Replaced)
            }
            _ => Some(SocketEvent::Event(event, now)),
        }
    }

    /// Hands an event over without ever waiting for the consumer.
    fn enqueue(&self, event: SocketEvent) -> Option<End> {
        match self.sender.try_send(event) {
            Ok(()) => None,
            Err(TrySendError::Closed(_)) => Some(End::Over),
            Err(TrySendError::Full(_)) => Some(End::Lost(Reason::Overflow)),
        }
    }

    /// Tells the consumer, however long that takes: without a connection nothing is missed
    /// meanwhile. Gives `false` when nobody listens any more.
    async fn tell(&mut self, reason: Reason) -> bool {
        if self.told.as_ref() == Some(&reason) {
            return !self.sender.is_closed();
        }
        self.told = Some(reason.clone());
        self.sender.send(SocketEvent::Disconnected { reason }).await.is_ok()
    }
}

fn refused(status: u16) -> Reason {
    match status {
        401 => Reason::Unauthorized,
        404 => Reason::AriDisabled,
        status => Reason::Refused { status },
    }
}

fn broken(error: &WsError) -> Reason {
    Reason::Unreachable { detail: error.to_string() }
}

/// Says good-bye, but does not wait long for an answer.
async fn close(socket: &mut Socket) {
    let _ = timeout(CLOSE, socket.close(None)).await;
}

/// The name of the event with which we try out whether events reach us.
const CHECK: &str = "divert-check";

/// Asterisk's biggest event is some kilobytes; this is only a bound.
const MAX_MESSAGE: usize = 16 << 20;
const CLOSE: Duration = Duration::from_secs(1);
