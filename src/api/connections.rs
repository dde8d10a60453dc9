//! Connections to the API: how many there may be, and how long each may keep us waiting.
//!
//! Every connection costs a descriptor and some memory, whoever opened it and whether or not he ever
//! asks for anything. The number is bounded for each way in, so that the one cannot take up the
//! other, nor both together what the rest of divert needs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use metrics::{counter, gauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::error::{ApiError, render};
use super::request_id::RequestId;

/// What connections to the API may take up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Room {
    /// Most connections over TCP at once.
    pub tcp: usize,
    /// Most over the unix socket, besides those.
    pub unix: usize,
    /// How long the head of a request may take, from when one may be sent: a connection that asks
    /// for nothing is closed after the same time.
    pub head: Duration,
    /// How long a peer over TCP may take nothing of an answer that waits for it.
    pub unread: Duration,
}

impl Room {
    /// With the usual patience.
    #[must_use]
    pub const fn new(tcp: usize, unix: usize) -> Self {
        Self { tcp, unix, head: HEAD, unread: UNREAD }
    }
}

/// How many descriptors are needed for a moment to say that there is no room.
pub const TURNED_AWAY: usize = 4;

const HEAD: Duration = Duration::from_secs(30);
const UNREAD: Duration = Duration::from_mins(1);
/// How long somebody who is turned away has to ask and to hear so.
const FAREWELL: Duration = Duration::from_secs(2);
/// How much of a request's head is read before it must be complete, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// How often the log may say that there is no room.
const TELL: Duration = Duration::from_mins(1);

/// One way in.
pub(super) struct Door {
    /// For metrics and the log: `tcp` or `unix`.
    name: &'static str,
    router: Router,
    head: Duration,
    most: usize,
    room: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
    told: Mutex<Option<Instant>>,
}

impl Door {
    pub fn new(name: &'static str, router: Router, most: usize, head: Duration) -> Self {
        Self {
            name,
            router,
            head,
            most,
            room: Arc::new(Semaphore::new(most)),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY)),
            told: Mutex::default(),
        }
    }

    /// Serves whoever comes until the cancellation, and then those who are in.
    pub async fn attend<L: Listener>(&self, mut listener: L, cancel: &CancellationToken) {
        let open = GracefulShutdown::new();
        loop {
            let (stream, _) = tokio::select! {
                accepted = listener.accept() => accepted,
                () = cancel.cancelled() => break,
            };
            let stream = TokioIo::new(stream);
            if let Ok(place) = Arc::clone(&self.room).try_acquire_owned() {
                let mut http = http(self.head);
                http.max_buf_size(MAX_HEAD);
                let service = TowerToHyperService::new(self.router.clone());
                let talk = open.watch(http.serve_connection(stream, service));
                let place = self.occupied(place);
                tokio::spawn(async move {
                    // How a connection ends is its peer's business.
                    let _ = talk.await;
                    drop(place);
                });
            } else {
                self.tell_full();
                // So many hear why; whoever comes faster finds the connection closed.
                let Ok(moment) = Arc::clone(&self.turned_away).try_acquire_owned() else {
                    continue;
                };
                let service = TowerToHyperService::new(Router::new().fallback(no_room));
                let talk = http(FAREWELL).keep_alive(false).serve_connection(stream, service);
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(FAREWELL, talk).await;
                    drop(moment);
                });
            }
        }
        drop(listener);
        open.shutdown().await;
    }

    fn occupied(&self, place: OwnedSemaphorePermit) -> Occupied {
        let gauge = gauge!("divert_http_connections", "listener" => self.name);
        gauge.increment(1.0);
        Occupied { gauge, _place: place }
    }

    fn tell_full(&self) {
        counter!("divert_http_connections_refused_total", "listener" => self.name).increment(1);
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| now.duration_since(told) >= TELL) {
            *told = Some(now);
            tracing::warn!(
                listener = self.name,
                most = self.most,
                "the API has all the connections it may have: others are turned away"
            );
        }
    }
}

/// A connection that counts.
struct Occupied {
    gauge: metrics::Gauge,
    _place: OwnedSemaphorePermit,
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
    }
}

fn http(head: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head);
    http
}

async fn no_room(headers: HeaderMap) -> Response {
    let detail = "divert has all the API connections it may have.";
    let refusal = ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too_many_connections",
        "Too many connections",
        detail,
    )
    .hint("try again in a few seconds, over one connection for all requests")
    .header(header::RETRY_AFTER, HeaderValue::from_static("5"));
    render(refusal.into_response(), &RequestId::of(&headers))
}
