//! Checks of Asterisk over ARI.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use tokio::net::TcpStream;

use super::files::Expected;
use super::{Finding, modules};
use crate::ari::variable::Global;
use crate::ari::version::Version;
use crate::clock;
use crate::config::Config;
use crate::model::configuration::Configuration;
use crate::model::objects::trunk::{Reach, Trunk};

const TIMEOUT: Duration = Duration::from_secs(3);
const MAX_SKEW_MS: i64 = 2_000;
/// The dialplan takes its own way when the heartbeat is older, in seconds.
const MAX_BEAT_SEC: i64 = 8;
/// That of the shipped asterisk.conf.
const SAMPLE_ENTITY: &str = "02:d1:00:00:00:01";

/// A channel that nobody has: to hang it up changes nothing, and tells whether we might.
const NO_CHANNEL: &str = "divert-doctor";

/// What the checks look at.
pub(super) struct Seen<'a> {
    pub config: &'a Config,
    /// `None`: the database could not be read.
    pub configuration: Option<&'a Configuration>,
    /// Asterisk's files.
    pub etc: &'a Path,
    /// A divert runs on this machine.
    pub serving: bool,
}

/// Why a question to ARI has no answer.
#[derive(Debug)]
enum NoAnswer {
    /// No connection.
    Connect(String),
    /// Connected, and no answer in time.
    Silent,
    Status {
        status: StatusCode,
        /// A web page, so not from ARI but from the web server in front of it.
        is_page: bool,
        text: String,
    },
    /// An answer that is no JSON.
    Strange,
}

impl NoAnswer {
    fn is(&self, wanted: StatusCode) -> bool {
        matches!(self, Self::Status { status, .. } if *status == wanted)
    }
}

impl Seen<'_> {
    pub async fn examine(&self) -> Vec<Finding> {
        let Ok(http) = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build() else {
            return vec![Finding::unchecked("ari", "no HTTP client can be made", "divert doctor")];
        };
        let mut findings = vec![self.exposure()];
        findings.retain(|finding| finding.fix.is_some());
        let mut started_sec = None;
        match self.ask(&http, &["asterisk", "info"], &[]).await {
            Ok(info) => {
                let system = &info["system"];
                let version = system["version"].as_str().unwrap_or_default();
                let started = info["status"]["startup_time"].as_str().and_then(read_time);
                started_sec = started.map(|ms| ms / 1_000);
                findings.push(Finding::good("ari", format!("Asterisk {version} answers")));
                findings.extend(judge_version(version));
                findings.extend(judge_entity(system["entity_id"].as_str(), &own_macs()));
                findings.push(self.clock(&http).await);
                findings.push(self.user(&http).await);
                findings.push(self.modules(&http).await);
                findings.push(self.application(&http).await);
                findings.push(self.door(&http).await);
                findings.push(self.heartbeat(&http).await);
                for trunk in self.trunks() {
                    findings.push(self.trunk(&http, trunk).await);
                }
            }
            Err(reason) => findings.push(self.judge_reach(&reason).await),
        }
        let files = Expected {
            etc: self.is_local().then_some(self.etc),
            test_context: &self.config.test_calls.context,
            makes_trunks: self.trunks().any(|trunk| matches!(trunk.reach, Reach::Address(_))),
            started_sec,
        };
        findings.extend(files.judge());
        findings
    }

    fn trunks(&self) -> impl Iterator<Item = &Trunk> {
        self.configuration.into_iter().flat_map(|configuration| &configuration.trunks)
    }

    async fn ask(
        &self,
        http: &reqwest::Client,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, NoAnswer> {
        let answer = self.send(http, Method::GET, path, query).await?;
        answer.json().await.map_err(|_| NoAnswer::Strange)
    }

    async fn send(
        &self,
        http: &reqwest::Client,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<reqwest::Response, NoAnswer> {
        let ari = &self.config.ari;
        let mut url: Url = ari.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = http.request(method, url).basic_auth(&ari.user, Some(ari.password.expose()));
        let response = request.send().await.map_err(|error| {
            if error.is_timeout() && !error.is_connect() {
                NoAnswer::Silent
            } else {
                NoAnswer::Connect(super::super::client::innermost(&error))
            }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let content_type = response.headers().get(reqwest::header::CONTENT_TYPE);
        let is_page = content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
        let text = response.text().await.unwrap_or_default();
        Err(NoAnswer::Status { status, is_page, text })
    }

    async fn judge_reach(&self, reason: &NoAnswer) -> Finding {
        let ari = &self.config.ari;
        let user = &ari.user;
        let (fact, fix) = match reason {
            NoAnswer::Connect(why) => (
                format!("{}: {why}", ari.url),
                "enabled=yes in [general] of http.conf (divert print http.conf); asterisk -rx \
                 'module reload http'; asterisk -rx 'http show status'"
                    .to_owned(),
            ),
            NoAnswer::Silent => (
                format!("{} takes connections and does not answer", ari.url),
                "asterisk -rx 'core show uptime'; raise sessionlimit in http.conf".to_owned(),
            ),
            NoAnswer::Status { status: StatusCode::FORBIDDEN, is_page, text }
                if text.contains("ACL") =>
            {
                let own = match self.own_address().await {
                    Some(address) if address.is_ipv4() => format!("{address}/32"),
                    Some(address) => format!("{address}/128"),
                    None => "our address".to_owned(),
                };
                if *is_page {
                    let fact = format!("an ACL of http.conf keeps {own} away from ARI");
                    let fix = format!(
                        "permit={own} in the section with type=restriction in http.conf (or in \
                         acl.conf, if it names an acl); asterisk -rx 'module reload http'"
                    );
                    (fact, fix)
                } else {
                    let fact = format!("the ACL of the ARI user {user:?} excludes {own}");
                    let fix = format!(
                        "permit={own} in [{user}] of ari.conf, below deny (or in acl.conf, if it \
                         names an acl); asterisk -rx 'module reload res_ari.so'"
                    );
                    (fact, fix)
                }
            }
            NoAnswer::Status {
                status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, ..
            } => (
                format!("Asterisk refuses the user {user:?} or its password"),
                format!(
                    "user and password must be those of ari.conf: divert print ari.conf; asterisk \
                     -rx 'module reload res_ari.so'; asterisk -rx 'ari show user {user}'"
                ),
            ),
            NoAnswer::Status { status: StatusCode::NOT_FOUND, .. } => (
                format!("there is a web server at {}, but no ARI", ari.url),
                "enabled=yes in ari.conf, and no line that this Asterisk does not know (before 22.9: \
                 permit, deny, acl; see divert print ari.conf --asterisk 16); asterisk -rx 'module \
                 load res_ari.so'; asterisk -rx 'module reload res_ari.so'; does ari.url end in /ari?"
                    .to_owned(),
            ),
            NoAnswer::Status { status, .. } => {
                (format!("{} answers {status}", ari.url), "asterisk -rvvv".to_owned())
            }
            NoAnswer::Strange => (
                format!("what answers at {} is not Asterisk", ari.url),
                "set ari.url to http://HOST:8088/ari".to_owned(),
            ),
        };
        Finding::bad("ari", fact, fix)
    }

    /// Our address as Asterisk sees it.
    async fn own_address(&self) -> Option<IpAddr> {
        let url = &self.config.ari.url;
        let host = url.host_str()?.trim_matches(['[', ']']);
        let connect = TcpStream::connect((host, url.port_or_known_default()?));
        let stream = tokio::time::timeout(TIMEOUT, connect).await.ok()?.ok()?;
        stream.local_addr().ok().map(|address| address.ip())
    }

    fn exposure(&self) -> Finding {
        let url = &self.config.ari.url;
        if url.scheme() == "http" && !self.is_local() {
            let fix = "the password travels in clear: use https, or a tunnel to its loopback";
            return Finding::warning("ari", format!("{url} is another machine"), fix);
        }
        Finding::good("ari", url.to_string())
    }

    fn is_local(&self) -> bool {
        let host = self.config.ari.url.host_str().unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    async fn clock(&self, http: &reqwest::Client) -> Finding {
        let before = clock::now();
        let answer = self.ask(http, &["asterisk", "ping"], &[]).await;
        let theirs = answer.as_ref().ok().and_then(|ping| read_time(ping["timestamp"].as_str()?));
        match theirs {
            Some(theirs) => judge_clock(before.0, clock::now().0, theirs),
            None => Finding::unchecked("clock", "Asterisk does not tell its time", "date"),
        }
    }

    /// Whether the user may do more than look.
    async fn user(&self, http: &reqwest::Client) -> Finding {
        let user = &self.config.ari.user;
        let path = ["channels", NO_CHANNEL];
        match self.send(http, Method::DELETE, &path, &[]).await {
            Err(error) if error.is(StatusCode::NOT_FOUND) => {
                Finding::good("user", format!("{user} may control calls"))
            }
            Err(error) if error.is(StatusCode::FORBIDDEN) => Finding::bad(
                "user",
                format!("the ARI user {user:?} may only look (read_only): no call can be taken"),
                format!(
                    "read_only=no in [{user}] of ari.conf; asterisk -rx 'module reload res_ari.so'"
                ),
            ),
            _ => Finding::unchecked(
                "user",
                "no answer",
                format!("asterisk -rx 'ari show user {user}'"),
            ),
        }
    }

    async fn modules(&self, http: &reqwest::Client) -> Finding {
        match self.ask(http, &["asterisk", "modules"], &[]).await {
            Ok(Value::Array(loaded)) => modules::judge(&loaded),
            _ => Finding::unchecked("modules", "no answer", "asterisk -rx 'module show'"),
        }
    }

    async fn application(&self, http: &reqwest::Client) -> Finding {
        let app = &self.config.ari.app;
        match self.ask(http, &["applications", app], &[]).await {
            Ok(_) if self.serving => Finding::good("app", format!("{app} is connected")),
            Ok(_) => Finding::warning(
                "app",
                format!("{app} is known there: somebody else is connected, or was until lately"),
                "if it is another divert: give each a name of its own, as ari.app and in its dialplan",
            ),
            Err(error) if error.is(StatusCode::NOT_FOUND) && self.serving => Finding::bad(
                "app",
                format!("divert runs, but is not connected as {app}: calls take the fallback"),
                "journalctl -u divert -n 50",
            ),
            Err(error) if error.is(StatusCode::NOT_FOUND) => {
                Finding::good("app", format!("{app} is free"))
            }
            Err(_) => Finding::unchecked("app", "no answer", "asterisk -rx 'ari show apps'"),
        }
    }

    /// The application that the dialplan hands calls to.
    async fn door(&self, http: &reqwest::Client) -> Finding {
        let app = &self.config.ari.app;
        let fix = format!(
            "DIVERT_APP={app} in [globals] of extensions.conf; asterisk -rx 'dialplan reload'"
        );
        match self.global(http, "DIVERT_APP").await {
            Ok(value) if value == *app => {
                Finding::good("door", format!("the dialplan hands calls to {app}"))
            }
            Ok(value) if value.is_empty() => Finding::bad(
                "door",
                "the dialplan does not say which application is divert: no call can reach it",
                fix,
            ),
            Ok(value) => Finding::bad(
                "door",
                format!("the dialplan hands calls to {value:?}, and divert is {app:?}"),
                fix,
            ),
            Err(_) => {
                let show = "asterisk -rx 'dialplan show globals' | grep DIVERT_APP";
                Finding::unchecked("door", "no answer", show)
            }
        }
    }

    async fn heartbeat(&self, http: &reqwest::Client) -> Finding {
        let name = Global::Beat.name(&self.config.ari.app);
        let Ok(value) = self.global(http, &name).await else {
            let show = "asterisk -rx 'dialplan show globals' | grep DIVERT_BEAT";
            return Finding::unchecked("heartbeat", "no answer", show);
        };
        judge_beat(&value, clock::now().0 / 1_000, self.serving)
    }

    /// A global variable of the dialplan; empty when there is none.
    async fn global(&self, http: &reqwest::Client, name: &str) -> Result<String, NoAnswer> {
        match self.ask(http, &["asterisk", "variable"], &[("variable", name)]).await {
            Ok(answer) => Ok(answer["value"].as_str().unwrap_or_default().to_owned()),
            Err(error) if error.is(StatusCode::NOT_FOUND) => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    async fn trunk(&self, http: &reqwest::Client, trunk: &Trunk) -> Finding {
        let endpoint = trunk.endpoint();
        let show = format!("asterisk -rx 'pjsip show endpoint {endpoint}'");
        match self.ask(http, &["endpoints", "PJSIP", &endpoint], &[]).await {
            Ok(answer) if answer["state"] == "offline" => {
                let fact = format!("{}: {endpoint} does not answer to OPTIONS", trunk.name);
                Finding::warning("trunk", fact, show)
            }
            Ok(_) => Finding::good("trunk", format!("{}: {endpoint}", trunk.name)),
            Err(error) if error.is(StatusCode::NOT_FOUND) => {
                let fact = format!("{}: Asterisk has no endpoint {endpoint}", trunk.name);
                match trunk.reach {
                    Reach::Address(_) if !self.serving => {
                        Finding::warning("trunk", fact, "divert serve makes it")
                    }
                    Reach::Address(_) => Finding::bad(
                        "trunk",
                        fact,
                        "divert makes it within seconds where it can; if not, /etc/asterisk/sorcery.conf \
                         needs what 'divert print sorcery.conf' shows, and Asterisk a restart",
                    ),
                    Reach::Endpoint(_) => Finding::bad(
                        "trunk",
                        fact,
                        "add it to pjsip.conf (divert print pjsip.conf), then asterisk -rx 'module \
                         reload res_pjsip.so'",
                    ),
                }
            }
            Err(_) => Finding::unchecked("trunk", format!("{}: no answer", trunk.name), show),
        }
    }
}

fn judge_version(text: &str) -> Vec<Finding> {
    let Ok(version) = text.parse::<Version>() else {
        let fact = format!("Asterisk calls itself {text:?}");
        return vec![Finding::unchecked("version", fact, "asterisk -rx 'core show version'")];
    };
    let mut findings = vec![if version >= Version::SAFE {
        Finding::good("version", format!("{text} has no advisory known to this divert"))
    } else {
        Finding::warning(
            "version",
            format!("Asterisk {text} is older than {} and has open advisories", Version::SAFE),
            "upgrade Asterisk: docs.asterisk.org/Security-Advisories",
        )
    }];
    let missed = version.missed().map(|what| {
        let fix = format!("Asterisk {} can", Version::SAFE);
        Finding::warning("version", format!("on Asterisk {version}, {what}"), fix)
    });
    findings.extend(missed);
    findings
}

/// Asterisk takes the id from a network card where asterisk.conf names none; containers and images
/// then share one.
fn judge_entity(entity: Option<&str>, macs: &[String]) -> Option<Finding> {
    let entity = entity?;
    let fix = "entityid=02:… in asterisk.conf, another for each Asterisk; then restart it";
    if entity == SAMPLE_ENTITY {
        let fact = format!("entity id {entity} is that of the sample file");
        return Some(Finding::warning("entity", fact, fix));
    }
    if macs.iter().any(|mac| mac.eq_ignore_ascii_case(entity)) {
        let fact =
            format!("entity id {entity} is a network card's: machines of one image share it");
        return Some(Finding::warning("entity", fact, fix));
    }
    Some(Finding::good("entity", entity))
}

fn own_macs() -> Vec<String> {
    let Ok(cards) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    cards
        .flatten()
        .filter_map(|card| fs::read_to_string(card.path().join("address")).ok())
        .map(|mac| mac.trim().to_owned())
        .collect()
}

/// Asterisk writes `2026-11-21T14:03:07.120+0000`.
fn read_time(text: &str) -> Option<i64> {
    let format = "%Y-%m-%dT%H:%M:%S%.f%z";
    let time = jiff::Zoned::strptime(format, text).ok().map(|zoned| zoned.timestamp());
    time.or_else(|| text.parse().ok()).map(jiff::Timestamp::as_millisecond)
}

/// The answer was written between `before` and `after`, in milliseconds.
fn judge_clock(before: i64, after: i64, theirs: i64) -> Finding {
    let skew = if theirs < before { theirs - before } else { (theirs - after).max(0) };
    if skew.abs() < MAX_SKEW_MS {
        return Finding::good("clock", format!("Asterisk's differs by {} ms", skew.abs()));
    }
    let way = if skew < 0 { "behind" } else { "ahead" };
    let fact = format!("Asterisk's clock is {} s {way}", skew.abs() / 1_000);
    Finding::bad("clock", fact, "timedatectl set-ntp true, on both machines")
}

fn judge_beat(value: &str, now_sec: i64, serving: bool) -> Finding {
    let fix = "systemctl start divert";
    match (value.parse::<i64>(), serving) {
        (Ok(beat), _) if (now_sec - beat).abs() <= MAX_BEAT_SEC => {
            Finding::good("heartbeat", format!("{} s old", (now_sec - beat).max(0)))
        }
        (Ok(beat), serving) => {
            let fact = format!("{} s old: calls take the fallback", now_sec - beat);
            let fix = if serving { "journalctl -u divert -n 50" } else { fix };
            Finding::bad("heartbeat", fact, fix)
        }
        (Err(_), true) => Finding::bad(
            "heartbeat",
            "divert runs, but its sign of life was never set here",
            "does ari.url lead to this Asterisk? journalctl -u divert -n 50",
        ),
        (Err(_), false) => {
            Finding::warning("heartbeat", "never set: divert has not served this Asterisk yet", fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn an_older_asterisk_is_told_what_it_lacks() {
        assert_eq!(judge_version("22.10.1").len(), 1);
        assert_eq!(judge_version("22.10.1")[0].state, State::Good);
        let facts: Vec<String> = judge_version("16.28.0~dfsg-0+deb11u4")
            .into_iter()
            .map(|finding| finding.fact)
            .collect();
        assert!(facts[0].contains("open advisories"), "{facts:?}");
        assert!(facts[1].starts_with("on Asterisk 16.28.0, refusals"), "{facts:?}");
        assert!(facts[2].contains("SIP codes"), "{facts:?}");
        assert_eq!(judge_version("unknown")[0].state, State::Unchecked);
    }

    #[test]
    fn only_a_real_skew_counts() {
        assert_eq!(read_time("2026-11-21T14:03:07.120+0000"), Some(1_795_269_787_120));
        assert_eq!(judge_clock(1_000, 4_000, 2_500).state, State::Good, "a slow answer is none");
        assert_eq!(judge_clock(10_000, 10_010, 7_000).state, State::Bad);
        assert_eq!(judge_clock(10_000, 10_010, 12_500).state, State::Bad);
    }

    #[test]
    fn an_old_heartbeat_means_that_calls_take_the_fallback() {
        assert_eq!(judge_beat("100", 105, true).state, State::Good);
        assert_eq!(judge_beat("100", 120, true).state, State::Bad);
        assert_eq!(judge_beat("", 120, true).state, State::Bad);
        assert_eq!(judge_beat("", 120, false).state, State::Warning);
    }
}
