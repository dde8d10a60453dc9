//! What each setting may be.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;
use url::Url;

use super::read::{framed, owner_hint};
use super::secret::Secret;
use super::{ApiConfig, AriConfig, Config, LogConfig, NodeConfig, Source, TestCallConfig, Value};
use crate::model::text::{decode, unseen_fault};

/// Turns texts into typed values and remembers what is wrong with them.
pub(super) struct Checker<'a> {
    pub values: &'a BTreeMap<&'static str, Value>,
    /// The file's.
    pub text: &'a str,
    pub faults: Vec<String>,
}

impl Checker<'_> {
    pub fn config(&mut self) -> Option<Config> {
        let database = self.parse("database", |text| text.parse().map_err(str::to_owned));
        let spool = self.parse("spool", |text| {
            Ok(if text.is_empty() { None } else { Some(PathBuf::from(text)) })
        });
        let node = self.parse("node.name", |text| {
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            check((1..=20).contains(&text.len()) && text.chars().all(allowed), text)
                .ok_or_else(|| "a node's name is 1 to 20 of a-z, 0-9 and -".to_owned())
        });
        let master = self.parse("node.master", |text| match unseen_fault(text) {
            Some((message, hint)) => Err(format!("{message}; {hint}")),
            None => check((1..=60).contains(&text.chars().count()), text)
                .ok_or_else(|| "a server's name has 1 to 60 characters".to_owned()),
        });
        let slots = self.parse("node.slots", |text| {
            text.parse().map_err(|_| "it is auto, memory or shared".to_owned())
        });
        let url = self.parse("ari.url", |text| {
            let url = Url::parse(text.trim_end_matches('/')).ok();
            let url = url
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
                .filter(|url| url.query().is_none() && url.fragment().is_none())
                .ok_or_else(|| "it must look like http://127.0.0.1:8088/ari".to_owned())?;
            if !url.username().is_empty() || url.password().is_some() {
                return Err("user and password stand in it: set ari.user and ari.password, or \
                            ari.password_file, and leave them out here"
                    .to_owned());
            }
            Ok(url)
        });
        let user = self.parse("ari.user", |text| {
            check(!text.is_empty(), text).ok_or_else(|| "type the user of ari.conf".to_owned())
        });
        let password = self.password();
        let word = |text: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            check((1..=60).contains(&text.len()) && text.chars().all(allowed), text)
                .ok_or_else(|| "use letters, digits, _ and - only".to_owned())
        };
        let app = self.parse("ari.app", word);
        let context = self.parse("test_calls.context", word);
        let socket = self.parse("api.socket", |text| {
            Ok(if text.is_empty() { None } else { Some(PathBuf::from(text)) })
        });
        let insecure_http = self.parse("api.insecure_http", |text| {
            text.parse().map_err(|_| "must be true or false".to_owned())
        });
        let listen = self.parse("api.listen", |text| {
            let listen: SocketAddr =
                text.parse().map_err(|_| "it must look like 127.0.0.1:8390".to_owned())?;
            if listen.ip().is_loopback() || insecure_http != Some(false) {
                Ok(listen)
            } else {
                Err("the API would be plain HTTP for everybody: keep it on 127.0.0.1 behind a \
                     TLS proxy, or set api.insecure_http = true"
                    .to_owned())
            }
        });
        let format = self.parse("log.format", |text| {
            text.parse().map_err(|_| "it is auto, text or json".to_owned())
        });
        let filter = self.parse("log.filter", |text| {
            EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
        });
        Some(Config {
            database: database?,
            spool: spool?,
            node: NodeConfig { name: node?, master: master?, slots: slots? },
            ari: AriConfig { url: url?, user: user?, password: password?, app: app? },
            api: ApiConfig { listen: listen?, socket: socket?, insecure_http: insecure_http? },
            test_calls: TestCallConfig { context: context? },
            log: LogConfig { format: format?, filter: filter? },
        })
    }

    /// The password itself or the file that holds it, whichever source ranks higher.
    fn password(&mut self) -> Option<Secret> {
        let plain = self.values.get("ari.password")?;
        let path = self.values.get("ari.password_file")?;
        let rank = |source: &Source| match source {
            Source::Default => 0,
            Source::File { .. } => 1,
            Source::Variable(_) => 2,
            Source::Flag(_) => 3,
        };
        let both = !plain.text.is_empty() && !path.text.is_empty();
        if both && rank(&plain.source) == rank(&path.source) {
            let message = "there is an ari.password too: keep one of the two";
            self.fault("ari.password_file", message);
            return None;
        }
        if path.text.is_empty() || (both && plain.source > path.source) {
            return Some(Secret::new(plain.text.clone()));
        }
        self.parse("ari.password_file", |path| {
            let read = fs::read(path)
                .map_err(|error| format!("cannot read {path}: {error}{}", owner_hint(&error)))?;
            let text = decode(read).map_err(|fault| format!("{path}: {fault}"))?;
            Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
        })
    }

    fn parse<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(&self.values.get(key)?.text) {
            Ok(value) => Some(value),
            Err(message) => {
                self.fault(key, &message);
                None
            }
        }
    }

    fn fault(&mut self, key: &str, message: &str) {
        let Some(value) = self.values.get(key) else { return };
        let message = format!("`{key}`: {message}");
        self.faults.push(match (&value.source, &value.span) {
            (Source::File { path, .. }, Some(span)) => {
                framed(path, self.text, span, &message, None)
            }
            (source, _) => format!("error: {message}\n  --> {source}"),
        });
    }
}

fn check(good: bool, text: &str) -> Option<String> {
    good.then(|| text.to_owned())
}
