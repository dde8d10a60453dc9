//! Whether another program has our application.
//!
//! Asterisk gives an application to whoever connects last, and tells nobody before. It lists those as
//! well that nobody is connected to any more. What tells is a channel: put into an application that
//! nobody listens to, it is gone at once; else it stays (seen on 22.10.1: gone within 2 ms).
//!
//! Connected may also be a dead one, over a connection that broke without a word. So each divert says
//! in a variable of Asterisk who it is and when it lived, and one that does not any more loses the
//! application to the next.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::http::{Answer, Http, Request, Timeouts};
use super::role::Role;
use super::{AriError, Settings};
use crate::clock;

/// How often a divert says that it lives.
pub(super) const SIGN: Duration = Duration::from_secs(2);
/// As old as this, the dialplan takes a sign of life for a death.
const DEAD_SEC: i64 = 8;
/// How long a channel may take to be gone from an application that nobody listens to.
const VANISHING: Duration = Duration::from_millis(500);
/// How long Asterisk may take to see that a connection has ended; a busy one took 5 s, so a holder
/// that gives no new sign of life meanwhile gets this much beyond the time after which it is dead.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

/// Who has the application.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Holder {
    Nobody,
    /// An earlier connection of this process.
    Us,
    /// Still connected, and without a sign of life for long.
    Dead(String),
    /// Who, and of which second its last sign of life is, if it gives any.
    Other(String, Option<i64>),
}

/// This process's claim to its application.
#[derive(Debug)]
pub struct Claim {
    app: String,
    /// Who we are, for people: node, machine, process.
    us: String,
    http: Http,
    takes_over: bool,
}

impl Claim {
    /// `us` is 1 to 100 printable characters; another process never has the same. `takes_over`: whoever
    /// has the application when this process connects for the first time is pushed out.
    ///
    /// # Errors
    /// For settings that can never work.
    pub fn new(settings: &Settings, us: String, takes_over: bool) -> Result<Self, AriError> {
        let http = Http::new(settings, Timeouts::default())?;
        Ok(Self { app: settings.app.clone(), us, http, takes_over })
    }

    /// Waits for a moment until the application is free, or was held by nobody alive.
    ///
    /// Where Asterisk does not answer, nobody is found there.
    ///
    /// # Errors
    /// Who has it.
    pub async fn settle(&self) -> Result<(), String> {
        let begun = Instant::now();
        let longest = PATIENCE + Duration::from_secs(DEAD_SEC.unsigned_abs());
        let mut signed = None;
        loop {
            match self.holder().await {
                // Whether it can be reached at all is found out by who connects.
                Err(_) | Ok(Holder::Nobody | Holder::Us) => return Ok(()),
                Ok(Holder::Dead(who)) => {
                    warn!("{who} shows no sign of life: its application is taken over");
                    return Ok(());
                }
                Ok(Holder::Other(..)) if self.takes_over => return Ok(()),
                Ok(Holder::Other(who, at)) => {
                    let lives = at.is_none_or(|at| *signed.get_or_insert(at) != at);
                    if begun.elapsed() >= if lives { PATIENCE } else { longest } {
                        return Err(who);
                    }
                    sleep(10 * PAUSE).await;
                }
            }
        }
    }

    /// We have it: from now on, who connects is told so.
    pub(super) fn settled(&mut self) {
        self.takes_over = false;
    }

    /// Says that we live.
    pub(super) async fn sign(&self) {
        let value = format!("{} {}", self.us, clock::wall().0 / 1_000);
        let request = Request::new("sign", Method::POST, &["asterisk", "variable"])
            .query("variable", &variable(&self.app))
            .query("value", &value);
        // The next one follows soon.
        let _ = self.http.send(request).await;
    }

    async fn holder(&self) -> Result<Holder, AriError> {
        let request = Request::new("application", Method::GET, &["applications", &self.app]);
        if !is_there(self.http.send(request).await?)? || !self.is_listened_to().await? {
            return Ok(Holder::Nobody);
        }
        let signed = self.signed().await?;
        Ok(holder(&signed, &self.us, clock::wall().0 / 1_000))
    }

    /// What the last divert to have the application said; empty when none ever had.
    async fn signed(&self) -> Result<String, AriError> {
        #[derive(Deserialize)]
        struct Variable {
            value: String,
        }
        let request = Request::new("signed", Method::GET, &["asterisk", "variable"])
            .query("variable", &variable(&self.app));
        match self.http.send(request).await?.json() {
            Ok(Variable { value }) => Ok(value),
            Err(AriError::NotFound { .. }) => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    /// Whether a channel stays in the application.
    async fn is_listened_to(&self) -> Result<bool, AriError> {
        let id = format!("probe-{:x}", clock::mint());
        let request = Request::new("probe", Method::POST, &["channels", "create"])
            .query("endpoint", "Local/probe@divert-probe/n")
            .query("app", &self.app)
            .query("appArgs", &Role::Probe.to_string())
            .query("channelId", &id);
        self.http.send(request).await?.done()?;
        let until = Instant::now() + VANISHING;
        while Instant::now() < until {
            let request = Request::new("probed", Method::GET, &["channels", &id]);
            if !is_there(self.http.send(request).await?)? {
                return Ok(false);
            }
            sleep(PAUSE).await;
        }
        let request = Request::new("unprobe", Method::DELETE, &["channels", &id]);
        self.http.send(request).await?.done_or(StatusCode::NOT_FOUND)?;
        Ok(true)
    }
}

fn is_there(answer: Answer) -> Result<bool, AriError> {
    match answer.done() {
        Ok(()) => Ok(true),
        Err(AriError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The name is spelled in hexadecimal, so that nothing in it means anything to a dialplan.
fn variable(app: &str) -> String {
    let digits = app.bytes().map(|byte| format!("{byte:02X}"));
    format!("DIVERT_APP_{}", digits.collect::<String>())
}

fn holder(signed: &str, us: &str, now_sec: i64) -> Holder {
    let parts = signed.rsplit_once(' ');
    let Some((who, at)) = parts.and_then(|(who, at)| Some((who, at.parse::<i64>().ok()?))) else {
        return Holder::Other("a program that is no divert".to_owned(), None);
    };
    if who == us {
        Holder::Us
    } else if now_sec.saturating_sub(at) > DEAD_SEC {
        Holder::Dead(who.to_owned())
    } else {
        Holder::Other(who.to_owned(), Some(at))
    }
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{any, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    #[test]
    fn who_signed_lately_has_it_and_who_did_not_is_dead() {
        let of = |signed: &str| holder(signed, "node a, process 1", 1_000);
        let other = "node a, process 2".to_owned();
        assert_eq!(of("node a, process 1 10"), Holder::Us);
        assert_eq!(of("node a, process 2 992"), Holder::Other(other.clone(), Some(992)));
        assert_eq!(of("node a, process 2 991"), Holder::Dead(other.clone()));
        assert_eq!(
            of("node a, process 2 1005"),
            Holder::Other(other, Some(1_005)),
            "its clock is ahead"
        );
        for nobody in ["", "x", "node a, process 2 then"] {
            assert_eq!(of(nobody), Holder::Other("a program that is no divert".to_owned(), None));
        }
    }

    /// The claim to an application that is listened to by whoever signs so.
    async fn claim(sign: impl Fn() -> i64 + Send + Sync + 'static) -> (MockServer, Claim) {
        let server = MockServer::start().await;
        let signed = move |_: &wiremock::Request| {
            let value = format!("node a, process 2 {}", sign());
            ResponseTemplate::new(200).set_body_json(serde_json::json!({ "value": value }))
        };
        let variable = Mock::given(path("/ari/asterisk/variable")).respond_with(signed);
        variable.mount(&server).await;
        let done = ResponseTemplate::new(200).set_body_string("{}");
        Mock::given(any()).respond_with(done).mount(&server).await;
        let settings = Settings {
            url: format!("{}/ari", server.uri()).parse().unwrap(),
            user: "divert".into(),
            password: "s3cret".into(),
            app: "divert".into(),
        };
        let claim = Claim::new(&settings, "node a, process 1".into(), false).unwrap();
        (server, claim)
    }

    #[tokio::test]
    async fn one_that_was_just_killed_is_waited_for_and_one_that_lives_is_not() {
        let now = || clock::wall().0 / 1_000;
        let killed_at = now() - (DEAD_SEC - 4);
        let (_server, of_the_dead) = claim(move || killed_at).await;
        let (_server, of_the_living) = claim(now).await;
        let begun = Instant::now();
        let both = tokio::join!(of_the_dead.settle(), async {
            let settled = of_the_living.settle().await;
            (settled, begun.elapsed())
        });
        let (of_the_dead, (of_the_living, took)) = both;
        assert_eq!(of_the_dead, Ok(()), "Asterisk was slow to see that it is gone");
        assert!(begun.elapsed() > PATIENCE);
        assert_eq!(of_the_living, Err("node a, process 2".to_owned()));
        assert!(took < PATIENCE + Duration::from_secs(1), "{took:?}");
    }

    #[test]
    fn no_name_of_an_application_means_anything_in_that_of_the_variable() {
        assert_eq!(variable("divert-a"), "DIVERT_APP_6469766572742D61");
        assert_eq!(variable("x(${y})"), "DIVERT_APP_7828247B797D29");
    }
}
