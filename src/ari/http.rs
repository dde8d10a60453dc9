//! One request and its answer: connection pool, retries, metrics. Which commands there are and what
//! their answers mean is [`client`](super::client)'s business.

use std::fmt;
use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::{AriError, Settings, encode, install_tls};
use crate::model::text::visible;

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub connect: Duration,
    /// One try, from the first byte sent to the last byte of the answer. Asterisk holds some
    /// commands back for as long as a playback runs on the channel.
    pub request: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(1), request: Duration::from_secs(5) }
    }
}

/// Whether a request may be sent again when no answer came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Repeat {
    /// Doing it twice is the same as doing it once.
    Always,
    /// The caller has a rhythm of its own.
    Never,
    /// Only if the first one certainly never reached Asterisk.
    Unsent,
}

#[derive(Debug)]
pub(super) struct Request {
    op: &'static str,
    method: Method,
    path: String,
    query: String,
    body: Option<Value>,
    repeat: Repeat,
    fault: Option<&'static str>,
}

impl Request {
    /// A request for the resource under these path segments, each of which is escaped.
    pub(super) fn new(op: &'static str, method: Method, segments: &[&str]) -> Self {
        let mut fault = None;
        let mut path = String::new();
        for segment in segments {
            // An empty or dotted segment would make it another resource.
            if matches!(*segment, "" | "." | "..") {
                fault = Some("a name in the path is empty or made of dots");
            }
            path.push('/');
            path.push_str(&encode(segment));
        }
        Self { op, method, path, query: String::new(), body: None, repeat: Repeat::Always, fault }
    }

    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(name);
        self.query.push('=');
        self.query.push_str(&encode(value));
        self
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Must not be done twice.
    pub(super) fn once(mut self) -> Self {
        self.repeat = Repeat::Unsent;
        self
    }

    /// Is sent once and that is all: for what is asked again and again anyway.
    pub(super) fn never_again(mut self) -> Self {
        self.repeat = Repeat::Never;
        self
    }

    /// Refuses to be sent if there is a fault.
    pub(super) fn refuse_if(mut self, fault: Option<&'static str>) -> Self {
        self.fault = self.fault.or(fault);
        self
    }
}

/// What Asterisk answered.
#[derive(Debug)]
pub(super) struct Answer {
    op: &'static str,
    status: StatusCode,
    body: Vec<u8>,
    is_html: bool,
    /// An earlier try may have been carried out, although its answer never came.
    is_echo: bool,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// Any 2xx.
    pub(super) fn done(self) -> Result<(), AriError> {
        self.success().map(|_| ())
    }

    /// Any 2xx, or this status, which says that it has been done before.
    pub(super) fn done_or(self, status: StatusCode) -> Result<(), AriError> {
        // A 404 in HTML comes from Asterisk's web server: ARI itself is missing.
        if self.status == status && !self.is_html { Ok(()) } else { self.done() }
    }

    /// Like [`Answer::done_or`], but only if a try of ours may indeed have done it.
    pub(super) fn done_or_echo_of(self, statuses: &[StatusCode]) -> Result<(), AriError> {
        if self.is_echo && statuses.contains(&self.status) { Ok(()) } else { self.done() }
    }

    pub(super) fn json<T: DeserializeOwned>(self) -> Result<T, AriError> {
        let op = self.op;
        let body = self.success()?;
        serde_json::from_slice(&body).map_err(|source| AriError::Decode { op, source })
    }

    fn success(self) -> Result<Vec<u8>, AriError> {
        let (op, status) = (self.op, self.status.as_u16());
        match self.status {
            ok if ok.is_success() => Ok(self.body),
            StatusCode::UNAUTHORIZED => Err(AriError::Unauthorized { op }),
            StatusCode::NOT_FOUND if !self.is_html => {
                Err(AriError::NotFound { op, message: self.message() })
            }
            _ => Err(AriError::Refused { op, status, message: self.message() }),
        }
    }

    /// Asterisk's own words, from either of the two shapes it has for them.
    fn message(&self) -> String {
        #[derive(Deserialize)]
        struct Words {
            #[serde(alias = "error")]
            message: String,
        }
        const MAX: usize = 200;

        if self.is_html {
            return "the answer is a web page; is ARI enabled in ari.conf and http.conf?".into();
        }
        let words = serde_json::from_slice::<Words>(&self.body).map(|words| words.message);
        let words = words.unwrap_or_else(|_| String::from_utf8_lossy(&self.body).into_owned());
        visible(&words).chars().take(MAX).collect()
    }
}

/// A pool of connections to one Asterisk.
pub(super) struct Http {
    base: String,
    client: reqwest::Client,
    /// Asterisk counts connections, and beyond its `sessionlimit` closes them without a word.
    in_flight: Semaphore,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Http {
    pub(super) fn new(settings: &Settings, timeouts: Timeouts) -> Result<Self, AriError> {
        install_tls();
        let mut authorization = HeaderValue::try_from(settings.authorization())
            .map_err(|_| AriError::Settings { detail: "user and password cannot be sent" })?;
        authorization.set_sensitive(true);
        let client = reqwest::Client::builder()
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.request)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .redirect(Policy::none())
            // Asterisk is a neighbour: a proxy of the environment must not get the password.
            .no_proxy()
            .http1_only()
            .build()
            .map_err(|_| AriError::Settings { detail: "the system's TLS cannot be used" })?;
        Ok(Self { base: settings.base()?, client, in_flight: Semaphore::new(MAX_IN_FLIGHT) })
    }

    /// Sends it, and again if that is safe and no answer came; at most [`TRIES`] times.
    pub(super) async fn send(&self, request: Request) -> Result<Answer, AriError> {
        let op = request.op;
        if let Some(detail) = request.fault {
            return Err(AriError::Argument { op, detail });
        }
        let mut is_echo = false;
        let mut tries_left = TRIES;
        let mut pause = FIRST_PAUSE;
        loop {
            tries_left -= 1;
            let error = match self.once(&request).await {
                Ok(answer) => return Ok(Answer { is_echo, ..answer }),
                Err(error) => error,
            };
            let unsent = error.is_connect();
            is_echo |= !unsent;
            let may_repeat = match request.repeat {
                Repeat::Always => true,
                Repeat::Never => false,
                Repeat::Unsent => unsent,
            };
            if tries_left == 0 || !may_repeat {
                let detail = describe(&error);
                return Err(AriError::Transport { op, sent: is_echo, detail });
            }
            sleep(pause.mul_f64(rand::random())).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    async fn once(&self, request: &Request) -> reqwest::Result<Answer> {
        let op = request.op;
        // Never closed, so an error cannot be; and without a permit it would still be right.
        let _permit = self.in_flight.acquire().await.ok();
        counter!("divert_ari_requests_total", "op" => op).increment(1);
        let in_flight = gauge!("divert_ari_requests_in_flight");
        in_flight.increment(1.0);
        let begun = Instant::now();
        let result = self.exchange(request).await;
        let code = match &result {
            Ok(answer) => answer.status.as_u16().to_string(),
            Err(error) if error.is_timeout() => "timeout".to_owned(),
            Err(_) => "transport".to_owned(),
        };
        histogram!("divert_ari_request_seconds", "op" => op, "code" => code)
            .record(begun.elapsed());
        in_flight.decrement(1.0);
        result
    }

    async fn exchange(&self, request: &Request) -> reqwest::Result<Answer> {
        let url = format!("{}{}{}", self.base, request.path, request.query);
        let mut builder = self.client.request(request.method.clone(), url);
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let response = builder.send().await?;
        let content_type = response.headers().get(CONTENT_TYPE);
        Ok(Answer {
            op: request.op,
            status: response.status(),
            is_html: content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html")),
            is_echo: false,
            body: response.bytes().await?.into(),
        })
    }
}

/// The chain of causes in one line, without the URL, which may hold somebody's number.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "no connection in time" } else { "timed out" }.into();
    }
    let mut source: &dyn std::error::Error = error;
    while let Some(deeper) = source.source() {
        source = deeper;
    }
    if std::ptr::addr_eq(source, error) { "the request failed".into() } else { source.to_string() }
}

/// Asterisk closes an idle connection after 15 s; ours must be gone before.
const POOL_IDLE: Duration = Duration::from_secs(8);
pub(super) const MAX_IN_FLIGHT: usize = 32;
/// None is closed after a rush: each new one costs Asterisk a thread.
const MAX_IDLE: usize = MAX_IN_FLIGHT;
const TRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_millis(200);
