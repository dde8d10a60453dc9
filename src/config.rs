//! The program's own settings: from flags, environment, a TOML file and defaults, in this order.
//!
//! [`SETTINGS`] is the one list of keys: the file, the environment variables, `divert config show`
//! and `divert config sample` are all read off it, so they can not disagree. Unknown keys are
//! errors that name the key which was probably meant. What calls are forwarded where is not here:
//! that is configuration of an account and lives in the database.

mod check;
mod read;
mod secret;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;

use serde::Serialize;
use strum::{Display, EnumString};
use url::Url;

use self::check::Checker;
use self::read::{not_utf_8, read_file, read_variables, unreadable};
use self::secret::{MASK, without_password};
use crate::model::text::decode;

pub use self::secret::{DatabaseUrl, Secret};

/// Where a file is looked for when neither `--config` nor `DIVERT_CONFIG` names one.
pub const SEARCH: [&str; 2] = ["divert.toml", "/etc/divert/divert.toml"];

/// All settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub database: DatabaseUrl,
    /// The directory for rows that wait while the database is away; `None`: see [`SETTINGS`].
    pub spool: Option<PathBuf>,
    pub node: NodeConfig,
    pub ari: AriConfig,
    pub api: ApiConfig,
    pub test_calls: TestCallConfig,
    pub log: LogConfig,
}

#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// This node's name: part of ids, metrics and logs. 1 to 20 of `a-z 0-9 -`.
    pub name: String,
    /// The name of the server of the configuration which this node's Asterisk is.
    pub master: String,
    pub slots: SlotsMode,
}

/// Where live-call limits are counted.
#[derive(Clone, Copy, Debug, Display, EnumString, Eq, PartialEq)]
#[strum(serialize_all = "snake_case")]
pub enum SlotsMode {
    /// Shared on Postgres, in memory on `SQLite`.
    Auto,
    /// By this node alone, and only written down in the database.
    Memory,
    /// In the database, by all nodes together.
    Shared,
}

#[derive(Clone, Debug)]
pub struct AriConfig {
    /// The base of Asterisk's REST interface, without a slash at the end.
    pub url: Url,
    pub user: String,
    pub password: Secret,
    /// The Stasis application.
    pub app: String,
}

#[derive(Clone, Debug)]
pub struct ApiConfig {
    pub listen: SocketAddr,
    /// `None`: no socket.
    pub socket: Option<PathBuf>,
    /// Allows plain HTTP on an address that others can reach.
    pub insecure_http: bool,
}

#[derive(Clone, Debug)]
pub struct TestCallConfig {
    /// The dialplan context a test call enters.
    pub context: String,
}

#[derive(Clone, Debug)]
pub struct LogConfig {
    pub format: LogFormat,
    /// In the syntax of `tracing`: `info`, `warn,divert::ari=debug`.
    pub filter: String,
}

#[derive(Clone, Copy, Debug, Display, EnumString, Eq, PartialEq)]
#[strum(serialize_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    Json,
    Text,
}

/// One key: everything that is known about it.
#[derive(Debug)]
pub struct Setting {
    /// `section.name`, or a name alone.
    pub key: &'static str,
    pub default: &'static str,
    pub kind: Kind,
    /// For the sample and the documentation.
    pub about: &'static str,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Flag,
    Secret,
    Text,
    Url,
}

macro_rules! settings {
    ($($key:literal $kind:ident $default:literal $about:literal;)*) => {
        /// Every setting, in the order of the sample file.
        pub const SETTINGS: &[Setting] = &[
            $(Setting { key: $key, default: $default, kind: Kind::$kind, about: $about },)*
        ];
    };
}

settings! {
    "database" Url "sqlite:/var/lib/divert/divert.sqlite" "sqlite:PATH, or postgres://USER:PASSWORD@HOST/NAME";
    "spool" Text "" "a directory for rows that wait while the database is away; \"\" = beside the SQLite file, or /var/lib/divert";
    "node.name" Text "a" "this node's name: part of ids, metrics and logs";
    "node.master" Text "master" "which server of the configuration this node's Asterisk is";
    "node.slots" Text "auto" "where live-call limits are counted: memory (by this node alone) or shared (in the database, by all nodes together); auto = shared on Postgres";
    "ari.url" Url "http://127.0.0.1:8088/ari" "Asterisk's REST interface";
    "ari.user" Text "divert" "the section of ari.conf";
    "ari.password" Secret "" "the password there";
    "ari.password_file" Text "" "or a file that holds it";
    "ari.app" Text "divert" "the Stasis application: DIVERT_APP in extensions.conf";
    "api.listen" Text "127.0.0.1:8390" "the HTTP API";
    "api.socket" Text "/run/divert/divert.sock" "the same without a key, for the owner of the socket; \"\" = none";
    "api.insecure_http" Flag "false" "allow plain HTTP on an address others can reach";
    "test_calls.context" Text "from-carrier" "the dialplan context a test call enters";
    "log.format" Text "auto" "auto (text on a terminal, JSON otherwise), text or json";
    "log.filter" Text "info" "error, warn, info, debug or trace; per module: info,divert::ari=debug";
}

impl Setting {
    /// `DIVERT_ARI_URL` for `ari.url`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("DIVERT_{}", self.key.replace('.', "_").to_uppercase())
    }

    fn masked(&self, value: &str) -> String {
        match self.kind {
            Kind::Secret if !value.is_empty() => MASK.to_owned(),
            Kind::Url => without_password(value),
            _ => value.to_owned(),
        }
    }
}

/// Where a value comes from; a later variant wins over an earlier one.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Source {
    Default,
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// What a person typed, still unread.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Key, flag, value.
    pub flags: Vec<(&'static str, &'static str, String)>,
    /// The environment; names without the prefix `DIVERT_` are ignored.
    pub variables: Vec<(String, String)>,
}

/// All settings with their sources.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    values: BTreeMap<&'static str, Value>,
}

#[derive(Clone, Debug)]
struct Value {
    text: String,
    source: Source,
    /// The place in the file, for errors.
    span: Option<Range<usize>>,
}

/// One effective setting, fit for showing.
#[derive(Debug, Serialize)]
pub struct Shown {
    pub key: &'static str,
    pub value: String,
    pub source: String,
    /// A password, or a URL with one.
    #[serde(skip)]
    pub is_secret: bool,
}

/// Everything that is wrong, each with its place.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", .0.join("\n\n"))]
pub struct ConfigError(Vec<String>);

/// Reads all sources and checks the result.
///
/// # Errors
/// Every fault found, for people to read; trying again does not help.
pub fn load(given: &Given) -> Result<Loaded, ConfigError> {
    let mut faults = Vec::new();
    let mut values: BTreeMap<&'static str, Value> = SETTINGS
        .iter()
        .map(|s| (s.key, Value { text: s.default.to_owned(), source: Source::Default, span: None }))
        .collect();

    let file = find_file(given);
    let mut text = String::new();
    if let Some(path) = &file {
        match fs::read(path) {
            Ok(read) => text = decode(read).map_err(|fault| not_utf_8(path, &fault))?,
            Err(error) => return Err(ConfigError(vec![unreadable(path, &error)])),
        }
        read_file(path, &text, &mut values, &mut faults);
    }
    read_variables(&given.variables, &mut values, &mut faults);
    for (key, flag, value) in &given.flags {
        let value = Value { text: value.clone(), source: Source::Flag(flag), span: None };
        values.insert(key, value);
    }

    let mut checker = Checker { values: &values, text: &text, faults };
    let config = checker.config();
    match config {
        Some(config) if checker.faults.is_empty() => Ok(Loaded { config, file, values }),
        _ => Err(ConfigError(checker.faults)),
    }
}

impl Loaded {
    /// Effective values with their sources, secrets masked.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        let show = |setting: &Setting| {
            let value = self.values.get(setting.key)?;
            let shown = setting.masked(&value.text);
            Some(Shown {
                key: setting.key,
                is_secret: shown != value.text,
                value: shown,
                source: value.source.to_string(),
            })
        };
        SETTINGS.iter().filter_map(show).collect()
    }
}

/// A file with every key at its default, commented.
#[must_use]
pub fn sample() -> String {
    let mut text = String::from(
        "# divert.toml. Every key is optional; these are the defaults.\n\
         # The environment (DIVERT_ARI_URL for ari.url) wins over this file, flags win over both.\n",
    );
    let mut section = "";
    for setting in SETTINGS {
        let (found, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
        if found != section {
            section = found;
            let _ = write!(text, "\n[{section}]\n");
        }
        let value = match setting.kind {
            Kind::Flag => setting.default.to_owned(),
            Kind::Secret | Kind::Text | Kind::Url => format!("{:?}", setting.default),
        };
        let _ = writeln!(text, "# {}\n{name} = {value}", setting.about);
    }
    text
}

fn find_file(given: &Given) -> Option<PathBuf> {
    let variable = || {
        let found = given.variables.iter().find(|(name, _)| name == "DIVERT_CONFIG");
        found.filter(|(_, path)| !path.is_empty()).map(|(_, path)| PathBuf::from(path))
    };
    let known = || SEARCH.iter().map(PathBuf::from).find(|path| path.exists());
    given.file.clone().or_else(variable).or_else(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_text(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("divert.toml");
        fs::write(&path, text).unwrap();
        let variables = variables.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        load(&Given { file: Some(path), flags: Vec::new(), variables })
    }

    #[test]
    fn the_sample_holds_every_default() {
        let loaded = from_text(&sample(), &[]).unwrap();
        for (setting, shown) in SETTINGS.iter().zip(loaded.shown()) {
            assert_eq!(shown.value, setting.default, "{}", setting.key);
            assert!(shown.source.contains("divert.toml:"), "{shown:?}");
        }
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let text = "[node]\nname = \"file\"\nmaster = \"m\"\n[log]\nfilter = \"warn\"\n";
        let loaded = from_text(text, &[("DIVERT_NODE_NAME", "env")]).unwrap();
        assert_eq!(loaded.config.node.name, "env");
        assert_eq!(loaded.config.node.master, "m");
        let given = Given {
            file: loaded.file.clone(),
            flags: vec![("log.filter", "--log", "debug".into())],
            variables: vec![("DIVERT_LOG_FILTER".into(), "trace".into())],
        };
        assert!(load(&given).is_err(), "the file is gone, and was asked for");
        let config = load(&Given { file: None, ..given }).unwrap().config;
        assert_eq!(config.log.filter, "debug");
    }

    #[test]
    fn a_fault_shows_its_line_and_what_was_meant() {
        let error = from_text("[ari]\nuser = \"x\"\n  pasword = \"y\"\n", &[]).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("error: unknown key `ari.pasword`\n --> "), "{text}");
        assert!(text.ends_with("/divert.toml:3:3\n  |\n3 |   pasword = ********\n  |   ^^^^^^^\n  = help: did you mean `ari.password`?"), "{text}");
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let text = "[nod]\nname = 1\n[node]\nname = 7\n[api]\nlisten = \"0.0.0.0:80\"\n";
        let error = from_text(text, &[("DIVERT_ARI_URI", "x")]).unwrap_err();
        assert_eq!(error.0.len(), 4, "{error}");
        assert!(error.to_string().contains("did you mean DIVERT_ARI_URL?"), "{error}");
        assert!(error.to_string().contains("insecure_http"), "{error}");
    }

    #[test]
    fn variables_of_tests_and_containers_are_left_alone() {
        let foreign = [("DIVERT_TEST_POSTGRES", "x"), ("DIVERT_SEED", "7"), ("DIVERT_APP", "d")];
        assert!(from_text("", &foreign).is_ok());
        assert!(from_text("", &[("DIVERT_TEST_CALLS_CONTEX", "x")]).is_err());
        assert!(from_text("", &[("DIVERT_ARI_SOMETHING_ELSE", "x")]).is_err());
    }

    #[test]
    fn secrets_are_not_printed() {
        let text = "database = \"postgres://u:hunter2@h/n\"\n[ari]\npassword = \"hunter3\"\n";
        let loaded = from_text(text, &[]).unwrap();
        let printed = format!("{:?} {:?}", loaded.config, loaded.shown());
        assert!(!printed.contains("hunter"), "{printed}");
        assert_eq!(loaded.config.ari.password.expose(), "hunter3");
        assert_eq!(loaded.config.database.expose(), "postgres://u:hunter2@h/n");
    }

    #[test]
    fn what_is_wrong_is_told_without_passwords() {
        for (text, told) in [
            ("[ari]\nurl = \"http://divert:hunter2@h:8088/ari\"\n", "ari.password_file"),
            ("[ari]\nurl = \"http://divert@h:8088/ari\"\n", "ari.user"),
            ("[ari]\nurl = \"http://h/ari?api_key=u:hunter2\"\n", "it must look like"),
            ("[ari]\nurl = \"ftp://divert:hunter2@h/ari\"\n", "it must look like"),
            ("database = \"postgers://u:hunter2@h/n\"\n", "a database is"),
            ("database = \"mysql://u:hunter/2@h/n\"\n", "a database is"),
            ("database = \"postgres://u:hunter2@h/n\n", "divert.toml:1"),
            ("[ari]\npassword = hunter2\n", "divert.toml:2"),
            ("[ari]\npassword = \"hunter2\n", "divert.toml:2"),
            ("[ari]\npasword = \"hunter2\"\n", "did you mean `ari.password`?"),
            ("[ari]\npassword = \"hunter2\"\npassword = \"hunter2\"\n", "divert.toml:3"),
            ("[ari]\npassword = [\"hunter2\"]\n", "must be text"),
            ("[ari]\npassword = [\n\"hunter2\",\n]\n", "must be text"),
            ("[ari]\npassword = \"\"\"\nhunter2 hunter\n", "divert.toml:"),
            ("[ari]\npassword: \"hunter2\"\n", "divert.toml:2"),
            ("[ari]\npassword \"hunter2\"\n", "divert.toml:2"),
            ("[ari]\npassword hunter2\n", "divert.toml:2"),
            ("[ari]\nhunter2\n", "divert.toml:2"),
            ("[ari]\nuser = \"a\" password = \"hunter2\"\n", "divert.toml:2"),
            ("[ari] password = \"hunter2\"\n", "divert.toml:1"),
            ("ari = { password = \"hunter2\", user = 5 }\n", "`ari.user` must be text"),
            ("ari = { password = \"hunter2\", url = \"x\" }\n", "it must look like"),
            ("ari.password = \"hunter2\"\nari.user = 5\n", "`ari.user` must be text"),
            ("[ari]\nuser = 5 # hunter2\n", "`ari.user` must be text"),
            ("[ari]\npw = \"hunter2\"\n", "unknown key `ari.pw`"),
            ("database = \"postgers://u:12/hunter2@h/n\"\n", "a database is"),
            ("database = \"u:hunter2@h/n\"\n", "a database is"),
        ] {
            let error = from_text(text, &[]).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
            assert!(!error.contains("hunter"), "{text}: {error}");
        }
        let error = from_text("", &[("DIVERT_ARI_URL", "http://u:hunter2@h/ari")]).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_line_without_a_password_is_shown_with_a_mark_under_what_is_wrong() {
        for (text, frame) in [
            ("[api]\nlisten = \"x\" # at home", "2 | listen = \"x\"\n  |          ^^^"),
            ("[node]\n  name = 7", "2 |   name = 7\n  |          ^"),
            ("[nod]\nname = \"a\"", "1 | [nod]\n  |  ^^^"),
            ("[ari]\nuser = \"a\" app = \"b\"", "2 | user = ********\n  |        ^"),
            ("ari = { user = 5 }", "1 | ari = ********\n  |       ^"),
        ] {
            let error = from_text(text, &[]).unwrap_err().to_string();
            assert!(error.contains(frame), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_in_another_encoding_is_to_be_saved_as_utf_8() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("divert.toml");
        fs::write(&path, b"[node]\nmaster = \"Zo\xeb\"\n").unwrap();
        let given = Given { file: Some(path), ..Given::default() };
        let error = load(&given).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("as UTF-8"), "{error}");
    }

    #[test]
    fn a_password_comes_from_a_file_but_not_from_both() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "from-a-file\n").unwrap();
        let text = format!("[ari]\npassword_file = {:?}\n", file.path().to_str().unwrap());
        let config = from_text(&text, &[]).unwrap().config;
        assert_eq!(config.ari.password.expose(), "from-a-file");
        let config = from_text(&text, &[("DIVERT_ARI_PASSWORD", "env")]).unwrap().config;
        assert_eq!(config.ari.password.expose(), "env");
        assert!(from_text(&format!("{text}password = \"x\"\n"), &[]).is_err());
    }
}
