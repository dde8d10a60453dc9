//! Checks of Asterisk: over ARI, and in its files where this machine has them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::{StatusCode, Url};
use serde_json::Value;

use super::Finding;
use crate::clock;
use crate::config::Config;
use crate::model::configuration::Configuration;
use crate::model::trunk::{Reach, Trunk};

const TIMEOUT: Duration = Duration::from_secs(3);
/// Older ones have open advisories.
const MIN_VERSION: [u32; 3] = [22, 10, 1];
const MAX_SKEW_MS: i64 = 2_000;
/// The dialplan takes its own way when the heartbeat is older, in seconds.
const MAX_BEAT_SEC: i64 = 8;
const MIN_SESSIONS: u32 = 200;
/// That of the shipped asterisk.conf.
const SAMPLE_ENTITY: &str = "02:d1:00:00:00:01";

const MODULES: [&str; 13] = [
    "app_stack.so",
    "app_stasis.so",
    "chan_pjsip.so",
    "func_global.so",
    "func_timeout.so",
    "res_ari.so",
    "res_ari_applications.so",
    "res_ari_asterisk.so",
    "res_ari_bridges.so",
    "res_ari_channels.so",
    "res_ari_endpoints.so",
    "res_ari_events.so",
    "res_stasis.so",
];

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
    Status(StatusCode),
    /// An answer that is no JSON.
    Strange,
}

impl Seen<'_> {
    pub async fn examine(&self) -> Vec<Finding> {
        let Ok(http) = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build() else {
            return vec![Finding::unchecked("ari", "no HTTP client can be made", "divert doctor")];
        };
        let mut findings = vec![self.exposure()];
        findings.retain(|finding| finding.fix.is_some());
        match self.ask(&http, &["asterisk", "info"], &[]).await {
            Ok(info) => {
                let system = &info["system"];
                let version = system["version"].as_str().unwrap_or_default();
                findings.push(Finding::good("ari", format!("Asterisk {version} answers")));
                findings.push(judge_version(version));
                findings.extend(judge_entity(system["entity_id"].as_str(), &own_macs()));
                findings.push(self.clock(&http).await);
                findings.push(judge_modules(&self.ask(&http, &["asterisk", "modules"], &[]).await));
                findings.push(self.application(&http).await);
                findings.push(self.heartbeat(&http).await);
                for trunk in self.configuration.map(|c| c.trunks.as_slice()).unwrap_or_default() {
                    findings.push(self.trunk(&http, trunk).await);
                }
            }
            Err(reason) => findings.push(self.judge_reach(&reason)),
        }
        findings.extend(self.files());
        findings
    }

    async fn ask(
        &self,
        http: &reqwest::Client,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, NoAnswer> {
        let ari = &self.config.ari;
        let mut url: Url = ari.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = http.get(url).basic_auth(&ari.user, Some(ari.password.expose()));
        let response = request.send().await.map_err(|error| {
            if error.is_timeout() && !error.is_connect() {
                NoAnswer::Silent
            } else {
                NoAnswer::Connect(super::super::client::innermost(&error))
            }
        })?;
        if !response.status().is_success() {
            return Err(NoAnswer::Status(response.status()));
        }
        response.json().await.map_err(|_| NoAnswer::Strange)
    }

    fn judge_reach(&self, reason: &NoAnswer) -> Finding {
        let ari = &self.config.ari;
        let (fact, fix) = match reason {
            NoAnswer::Connect(why) => (
                format!("{}: {why}", ari.url),
                "divert print http.conf | diff - /etc/asterisk/http.conf; asterisk -rx 'module \
                 reload http'; asterisk -rx 'http show status'"
                    .to_owned(),
            ),
            NoAnswer::Silent => (
                format!("{} takes connections and does not answer", ari.url),
                "asterisk -rx 'core show uptime'; raise sessionlimit in http.conf".to_owned(),
            ),
            NoAnswer::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => (
                format!("Asterisk refuses the user {:?} or its password", ari.user),
                format!(
                    "user and password must be those of ari.conf: divert print ari.conf; asterisk \
                     -rx 'module reload res_ari.so'; asterisk -rx 'ari show user {}'",
                    ari.user
                ),
            ),
            NoAnswer::Status(StatusCode::NOT_FOUND) => (
                format!("there is a web server at {}, but no ARI", ari.url),
                "enabled=yes in ari.conf, then asterisk -rx 'module load res_ari.so'; does ari.url \
                 end in /ari?"
                    .to_owned(),
            ),
            NoAnswer::Status(status) => {
                (format!("{} answers {status}", ari.url), "asterisk -rvvv".to_owned())
            }
            NoAnswer::Strange => (
                format!("what answers at {} is not Asterisk", ari.url),
                "set ari.url to http://HOST:8088/ari".to_owned(),
            ),
        };
        Finding::bad("ari", fact, fix)
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

    async fn application(&self, http: &reqwest::Client) -> Finding {
        let app = &self.config.ari.app;
        match self.ask(http, &["applications", app], &[]).await {
            Ok(_) if self.serving => Finding::good("app", format!("{app} is connected")),
            Ok(_) => Finding::warning(
                "app",
                format!("somebody else is connected as {app}; divert would push it out"),
                "choose another name: ari.app, and DIVERT_APP in extensions.conf",
            ),
            Err(NoAnswer::Status(StatusCode::NOT_FOUND)) if self.serving => Finding::bad(
                "app",
                format!("divert runs, but is not connected as {app}: calls take the fallback"),
                "journalctl -u divert -n 50",
            ),
            Err(NoAnswer::Status(StatusCode::NOT_FOUND)) => {
                Finding::good("app", format!("{app} is free"))
            }
            Err(_) => Finding::unchecked("app", "no answer", "asterisk -rx 'ari show apps'"),
        }
    }

    async fn heartbeat(&self, http: &reqwest::Client) -> Finding {
        let query = [("variable", "DIVERT_BEAT")];
        let answer = self.ask(http, &["asterisk", "variable"], &query).await;
        let value = match &answer {
            Ok(answer) => answer["value"].as_str().unwrap_or_default(),
            Err(NoAnswer::Status(StatusCode::NOT_FOUND)) => "",
            Err(_) => {
                let show = "asterisk -rx 'dialplan show globals' | grep DIVERT_BEAT";
                return Finding::unchecked("heartbeat", "no answer", show);
            }
        };
        judge_beat(value, clock::now().0 / 1_000, self.serving)
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
            Err(NoAnswer::Status(StatusCode::NOT_FOUND)) => {
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

    /// What ARI does not tell, from Asterisk's files.
    fn files(&self) -> Vec<Finding> {
        let local = self.is_local();
        let read = |name: &str| {
            let text = local.then(|| fs::read_to_string(self.etc.join(name)));
            text.and_then(Result::ok)
        };
        let path = |name: &str| self.etc.join(name).display().to_string();
        let unread = |check, what: &str, name: &str| {
            let fact = format!("{what}: {} can not be read from here", path(name));
            Finding::unchecked(check, fact, format!("grep {what} {}", path(name)))
        };
        let dialplan = "the entry contexts can not be seen over ARI";
        vec![
            read("http.conf").map_or_else(
                || unread("sessions", "sessionlimit", "http.conf"),
                |text| judge_sessions(&text),
            ),
            read("ari.conf").map_or_else(
                || unread("variables", "channelvars", "ari.conf"),
                |text| judge_channelvars(&text),
            ),
            Finding::unchecked("dialplan", dialplan, "asterisk -rx 'dialplan show divert-ari'"),
        ]
    }
}

fn judge_version(text: &str) -> Finding {
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok());
    let version: Vec<u32> = numbers.take(3).collect();
    if version.as_slice() >= MIN_VERSION.as_slice() {
        return Finding::good("version", format!("{text} has no advisory known to this divert"));
    }
    let fact = format!("Asterisk {text} is older than 22.10.1 and has open advisories");
    Finding::warning("version", fact, "upgrade Asterisk: docs.asterisk.org/Security-Advisories")
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

fn judge_modules(answer: &Result<Value, NoAnswer>) -> Finding {
    let Ok(Some(loaded)) = answer.as_ref().map(Value::as_array) else {
        return Finding::unchecked("modules", "no answer", "asterisk -rx 'module show'");
    };
    let running = |name: &&&str| {
        loaded.iter().any(|module| module["name"] == ***name && module["status"] == "Running")
    };
    let missing: Vec<&str> = MODULES.iter().filter(|name| !running(name)).copied().collect();
    match missing.first() {
        None => Finding::good("modules", format!("all {} that divert needs", MODULES.len())),
        Some(first) => Finding::bad(
            "modules",
            format!("not running: {}", missing.join(" ")),
            format!("load={first} in modules.conf; asterisk -rx 'module load {first}'"),
        ),
    }
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
            "divert runs, but DIVERT_BEAT was never set here",
            "does ari.url lead to this Asterisk? journalctl -u divert -n 50",
        ),
        (Err(_), false) => {
            Finding::warning("heartbeat", "never set: divert has not served this Asterisk yet", fix)
        }
    }
}

fn judge_sessions(http_conf: &str) -> Finding {
    let limit = value_of(http_conf, "sessionlimit").unwrap_or("100");
    match limit.parse::<u32>() {
        Ok(limit) if limit >= MIN_SESSIONS => {
            Finding::good("sessions", format!("sessionlimit {limit}"))
        }
        _ => Finding::warning(
            "sessions",
            format!("sessionlimit {limit}: idle connections can lock divert out"),
            "sessionlimit=1000 in [general] of http.conf; asterisk -rx 'module reload http'",
        ),
    }
}

/// A function in `channelvars` is run for every event, and some block the channel for ever.
fn judge_channelvars(ari_conf: &str) -> Finding {
    let names = value_of(ari_conf, "channelvars").unwrap_or_default();
    let names: Vec<&str> = names.split(',').map(str::trim).filter(|n| !n.is_empty()).collect();
    let functions: Vec<&str> = names.iter().filter(|name| name.contains('(')).copied().collect();
    let fix = "channelvars=DIVERT_CALL,DIVERT_LEG in [general] of ari.conf";
    if !functions.is_empty() {
        let fact = format!("channelvars runs functions: {}", functions.join(" "));
        return Finding::bad("variables", fact, fix);
    }
    if ["DIVERT_CALL", "DIVERT_LEG"].iter().all(|wanted| names.contains(wanted)) {
        return Finding::good("variables", names.join(" "));
    }
    let fact = "channelvars lacks DIVERT_CALL or DIVERT_LEG: events do not tell their call";
    Finding::warning("variables", fact, fix)
}

/// The value of a key in the `[general]` of one of Asterisk's files.
fn value_of<'a>(conf: &'a str, key: &str) -> Option<&'a str> {
    let lines = conf.lines().map(|line| line.split(';').next().unwrap_or_default().trim());
    let general = lines.skip_while(|line| !line.starts_with("[general]")).skip(1);
    general
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .find(|(found, _)| found.trim() == key)
        .map(|(_, value)| value.trim_start_matches('>').trim())
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (text, state) in [
            ("22.10.1", State::Good),
            ("22.9.0", State::Warning),
            ("20.19.0", State::Warning),
            ("22.10.1~dfsg+~cs6.15", State::Good),
            ("23.0.0-rc1", State::Good),
            ("certified-20.7-cert2", State::Warning),
        ] {
            assert_eq!(judge_version(text).state, state, "{text}");
        }
    }

    #[test]
    fn the_shipped_files_are_good() {
        assert_eq!(
            judge_sessions(include_str!("../../../asterisk/etc/http.conf")),
            Finding::good("sessions", "sessionlimit 1000")
        );
        assert_eq!(
            judge_channelvars(include_str!("../../../asterisk/etc/ari.conf")),
            Finding::good("variables", "DIVERT_CALL DIVERT_LEG")
        );
    }

    #[test]
    fn a_function_in_channelvars_is_an_error() {
        let text = "[general]\nchannelvars = DIVERT_CALL,CHANNEL(state) ; x\n[divert]\n";
        assert_eq!(judge_channelvars(text).state, State::Bad);
        assert_eq!(judge_channelvars("[general]\n").state, State::Warning);
        assert_eq!(judge_sessions("[other]\nsessionlimit=900\n").state, State::Warning);
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

    #[test]
    fn a_missing_module_is_named() {
        let mut loaded: Vec<Value> = MODULES
            .iter()
            .map(|name| serde_json::json!({ "name": name, "status": "Running" }))
            .collect();
        assert_eq!(judge_modules(&Ok(loaded.clone().into())).state, State::Good);
        loaded[1]["status"] = "Not Running".into();
        assert_eq!(judge_modules(&Ok(loaded.into())).fact, "not running: app_stasis.so");
    }
}
