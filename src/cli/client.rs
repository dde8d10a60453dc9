//! Talks to the running server through its HTTP API: over the unix socket, where the owner needs
//! no key, or over a URL with one.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::terminal::{plain, write};
use super::{Failure, database};
use crate::api::USER_HEADER;
use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(10);
/// A change may bring a hundred thousand numbers.
const UPLOAD: Duration = Duration::from_mins(2);
const DOWNLOAD: Duration = Duration::from_hours(24);

/// How to reach the server.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// The server's address instead of its local socket
    #[arg(
        long,
        value_name = "URL",
        env = "DIVERT_SERVER",
        hide_env_values = true,
        help_heading = "Server"
    )]
    pub server: Option<String>,
    /// The API key for it; safer in the environment
    #[arg(
        long,
        value_name = "KEY",
        env = "DIVERT_KEY",
        hide_env_values = true,
        help_heading = "Server"
    )]
    pub key: Option<String>,
}

pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<String>,
    /// For messages: where it tried to connect.
    place: String,
    socket: Option<PathBuf>,
}

/// What goes with a request.
#[derive(Clone, Copy)]
enum Body<'a> {
    Json(&'a Value),
    None,
    /// With its content type.
    Text(&'a str, &'static str),
}

/// An error of the API (RFC 9457).
#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    instance: String,
    #[serde(default)]
    errors: Vec<Fault>,
}

/// One wrong place in what was sent.
#[derive(Debug, Deserialize)]
struct Fault {
    #[serde(default)]
    pointer: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    hint: String,
    /// Of what was sent as lines.
    #[serde(default)]
    line: Option<u64>,
}

/// The answer to a change, as far as it warns.
#[derive(Default, Deserialize)]
struct Warned {
    #[serde(default)]
    warnings: Vec<Fault>,
}

impl Fault {
    fn tell(&self) -> String {
        let mut text = plain(&self.message);
        if !self.pointer.is_empty() {
            text = format!("{}: {text}", plain(&self.pointer));
        }
        if let Some(line) = self.line {
            text = format!("line {line}: {text}");
        }
        if !self.hint.is_empty() {
            text = format!("{text}\n    = help: {}", plain(&self.hint));
        }
        text
    }
}

impl Client {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// The URL is none, or there is neither a URL nor a socket.
    pub fn new(args: &ServerArgs, config: &Config) -> anyhow::Result<Self> {
        let builder = reqwest::Client::builder().timeout(TIMEOUT).no_proxy();
        if let Some(server) = &args.server {
            let url = Url::parse(server).ok().filter(Url::has_host);
            let base = url.ok_or_else(|| {
                Failure::Input("--server: type http://HOST:PORT or https://HOST".to_owned())
            })?;
            if !base.username().is_empty() || base.password().is_some() {
                let text = "--server: leave user and password out; an API key comes in DIVERT_KEY";
                return Err(Failure::Input(text.to_owned()).into());
            }
            let place = server.trim_end_matches('/').to_owned();
            let http = builder.build()?;
            return Ok(Self { http, base, key: args.key.clone(), place, socket: None });
        }
        let socket = config.api.socket.clone().ok_or_else(|| {
            Failure::Input("api.socket is switched off: use --server URL and --key".to_owned())
        })?;
        Ok(Self {
            http: builder.default_headers(whose()).unix_socket(socket.clone()).build()?,
            base: Url::parse("http://divert").context("the socket's base")?,
            key: args.key.clone(),
            place: socket.display().to_string(),
            socket: Some(socket),
        })
    }

    /// # Errors
    /// As [`Client::send`].
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> anyhow::Result<T> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(Method::GET, url, Body::None).await
    }

    /// # Errors
    /// As [`Client::send`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> anyhow::Result<T> {
        self.send(Method::POST, self.url(path), Body::Json(body)).await
    }

    /// The same with nothing in it, where the answer takes its time.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn post_slow<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.import(path, "{}", "application/json").await
    }

    /// The same with very much of it, which takes its time.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn import<T: DeserializeOwned>(
        &self,
        path: &str,
        text: &str,
        content_type: &'static str,
    ) -> anyhow::Result<T> {
        self.send(Method::POST, self.url(path), Body::Text(text, content_type)).await
    }

    /// # Errors
    /// As [`Client::send`].
    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: &Value) -> anyhow::Result<T> {
        self.send(Method::PATCH, self.url(path), Body::Json(body)).await
    }

    /// # Errors
    /// As [`Client::send`].
    pub async fn delete(&self, path: &str) -> anyhow::Result<()> {
        let _: Value = self.send(Method::DELETE, self.url(path), Body::None).await?;
        Ok(())
    }

    /// Writes the answer to standard output as it comes, however long that takes.
    ///
    /// # Errors
    /// As [`Client::send`]; also when the answer is cut off, or standard output is closed.
    pub async fn download(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<()> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.get(url).timeout(DOWNLOAD);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let mut response = request.send().await.map_err(|error| self.not_connected(&error))?;
        let status = response.status();
        if !status.is_success() {
            let bytes = response.bytes().await.map_err(|error| self.not_connected(&error))?;
            return Err(refused(status, &bytes).into());
        }
        loop {
            let chunk = response.chunk().await;
            match chunk.map_err(|error| Failure::Failed(cut_off(&error)))? {
                Some(chunk) => write(&chunk)?,
                None => return Ok(()),
            }
        }
    }

    /// `path` is made of fixed words and parsed ids: nothing in it needs escaping.
    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        url
    }

    /// Writes warnings of the answer to a change to standard error.
    ///
    /// # Errors
    /// [`Failure::NotConnected`] when nobody answers, [`Failure::Unavailable`] when what the server
    /// needs is away, [`Failure::Input`] when it refuses what was asked, [`Failure::Failed`] when it
    /// fails itself.
    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Body<'_>,
    ) -> anyhow::Result<T> {
        let response = loop {
            let mut request = self.http.request(method.clone(), url.clone());
            if let Some(key) = &self.key {
                request = request.bearer_auth(key);
            }
            request = match body {
                Body::None => request,
                Body::Json(body) => request.json(body),
                Body::Text(text, content_type) => {
                    let request = request.header(CONTENT_TYPE, content_type).timeout(UPLOAD);
                    request.body(text.to_owned())
                }
            };
            let response = request.send().await.map_err(|error| self.not_connected(&error))?;
            // A long list asks faster than a key may.
            match patience(&response).filter(|_| method == Method::GET) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => break response,
            }
        };
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| self.not_connected(&error))?;
        if status.is_success() {
            let bytes = if bytes.is_empty() { b"null".as_slice() } else { &bytes };
            let strange = || format!("{} answered something else than divert", self.place);
            if !matches!(body, Body::None) {
                let Warned { warnings } = serde_json::from_slice(bytes).unwrap_or_default();
                for warning in &warnings {
                    eprintln!("warning: {}", warning.tell());
                }
            }
            return serde_json::from_slice(bytes).with_context(strange);
        }
        Err(refused(status, &bytes).into())
    }

    fn not_connected(&self, error: &reqwest::Error) -> Failure {
        if error.is_timeout() && !error.is_connect() {
            return Failure::NotConnected(format!(
                "divert at {} did not answer in time\n  = help: it may still do what was asked; \
                 look before you ask again",
                self.place
            ));
        }
        let why = innermost(error);
        let help = match &self.socket {
            Some(path) if !path.exists() => "is divert running? systemctl status divert
  \
                = help: on another machine: --server https://HOST and DIVERT_KEY"
                .to_owned(),
            Some(path) if why.contains("ermission denied") => {
                format!("only the owner of the socket may use it; ls -l {}", path.display())
            }
            Some(_) => "is divert running? systemctl status divert".to_owned(),
            None => "is divert running there, and may this machine reach it?".to_owned(),
        };
        Failure::NotConnected(format!(
            "cannot reach divert at {}: {why}\n  = help: {help}",
            self.place
        ))
    }
}

/// How long to wait before asking again, if that is what the server wants.
fn patience(response: &reqwest::Response) -> Option<Duration> {
    let wait = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    let wait = Duration::from_secs(wait);
    (response.status() == StatusCode::TOO_MANY_REQUESTS && wait <= TIMEOUT).then_some(wait)
}

fn cut_off(error: &reqwest::Error) -> String {
    format!("the answer was cut off, what was written is not all: {}", innermost(error))
}

pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn refused(status: StatusCode, body: &[u8]) -> Failure {
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let title = if problem.title.is_empty() {
        status.canonical_reason().unwrap_or("refused").to_owned()
    } else {
        plain(&problem.title)
    };
    let mut text = format!("{title} ({})", status.as_u16());
    // What it says of the faults as a whole is only what each of them says again.
    let is_said = problem.errors.iter().any(|fault| problem.detail.contains(&fault.message));
    if !problem.detail.is_empty() && !is_said {
        text = format!("{text}: {}", plain(&problem.detail));
    }
    for fault in &problem.errors {
        text = format!("{text}\n  {}", fault.tell());
    }
    if !problem.instance.is_empty() && status.is_server_error() {
        text = format!("{text}\n  request {}", plain(&problem.instance));
    }
    match status {
        StatusCode::UNAUTHORIZED => Failure::Input(format!(
            "{text}\n  = help: divert keys create --name NAME --scope SCOPE"
        )),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => Failure::Unavailable(text),
        StatusCode::CONFLICT if problem.code == "asterisk_unreachable" => {
            Failure::Unavailable(format!("{text}\n  = help: divert doctor"))
        }
        StatusCode::CONFLICT if problem.code.starts_with("asterisk_") => {
            Failure::Failed(format!("{text}\n  = help: divert doctor"))
        }
        StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => Failure::Failed(text),
        status if status.is_client_error() => Failure::Input(text),
        _ => Failure::Failed(text),
    }
}

/// For whom the local socket is asked: changes are told by their author. A name that no header can hold
/// is not told.
fn whose() -> HeaderMap {
    let author = HeaderValue::from_str(&database::author().name);
    author.map(|name| (USER_HEADER, name)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_api_is_told_with_place_and_help() {
        let body = br#"{"title":"Invalid","status":422,"detail":"1 fault","instance":"req_1",
            "errors":[{"pointer":"/did","code":"unknown","message":"no such DID","hint":"one of 800"}]}"#;
        let failure = refused(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(
            failure.to_string(),
            "Invalid (422): 1 fault\n  /did: no such DID\n    = help: one of 800"
        );
        assert_eq!(failure.code(), 2);
        let twice = br#"{"title":"Invalid query","detail":"?limit: it is no number",
            "errors":[{"pointer":"?limit","code":"x","message":"it is no number","hint":"50"}]}"#;
        assert_eq!(
            refused(StatusCode::BAD_REQUEST, twice).to_string(),
            "Invalid query (400)\n  ?limit: it is no number\n    = help: 50"
        );
        assert_eq!(refused(StatusCode::INTERNAL_SERVER_ERROR, b"oops").code(), 1);
        assert_eq!(refused(StatusCode::SERVICE_UNAVAILABLE, b"").code(), 3);
        let away = br#"{"code":"asterisk_unreachable","title":"Test call refused"}"#;
        assert_eq!(refused(StatusCode::CONFLICT, away).code(), 3);
        assert_eq!(refused(StatusCode::CONFLICT, b"{}").code(), 1);
    }
}
