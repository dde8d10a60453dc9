//! Checks of this machine: settings, database, limits.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use tokio::net::UnixStream;

use super::Finding;
use crate::cli::client::{Client, ServerArgs};
use crate::config::{Config, Loaded};
use crate::model::configuration::Configuration;
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::objects::server::ServerRole;
use crate::store::Db;

const MIN_FREE: u64 = 1 << 30;
const MIN_FILES: u64 = 4_096;

pub(super) fn settings(loaded: &Loaded) -> Vec<Finding> {
    let mut findings = vec![match &loaded.file {
        Some(path) => Finding::good("settings", path.display().to_string()),
        None => Finding::good("settings", "no file: environment and defaults"),
    }];
    if let Some(path) = &loaded.file {
        findings.extend(secrets_of(loaded, path).and_then(|secrets| exposed(path, &secrets)));
    }
    let shown = loaded.shown();
    let mut files = shown.iter().filter(|one| one.key == "ari.password_file");
    if let Some(file) = files.next().filter(|file| !file.value.is_empty()) {
        findings.extend(exposed(Path::new(&file.value), "the password of ARI"));
    }
    if loaded.config.ari.password.expose().is_empty() {
        let fix = "set ari.password or ari.password_file to the password of ari.conf";
        findings.push(Finding::bad("settings", "ari.password is empty", fix));
    }
    findings
}

/// The secrets that the settings' own file holds, for people to read.
fn secrets_of(loaded: &Loaded, path: &Path) -> Option<String> {
    let start = format!("{}:", path.display());
    let shown = loaded.shown();
    let secrets = shown.iter().filter(|one| one.is_secret && one.source.starts_with(&start));
    let keys: Vec<&str> = secrets.map(|one| one.key).collect();
    (!keys.is_empty()).then(|| keys.join(" and "))
}

/// A file with secrets that everybody may read. The unit's user is everybody too, but gets the settings
/// from systemd, which reads them as root.
fn exposed(path: &Path, secrets: &str) -> Option<Finding> {
    let may = |path: &Path, bits: u32| {
        fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & bits != 0)
    };
    let path = fs::canonicalize(path).ok()?;
    let is_reachable = path.ancestors().skip(1).all(|folder| may(folder, 0o001));
    (is_reachable && may(&path, 0o004)).then(|| {
        let path = path.display();
        let fact = format!("{path} holds {secrets}, and everybody may read it");
        let fix = format!(
            "chmod o= {path} (the unit of 'divert print systemd' hands /etc/divert/divert.toml to its \
             user; one of your own: chgrp that user's group too)"
        );
        Finding::warning("settings", fact, fix)
    })
}

/// Calls arrive at this node's master; another name than the configuration has gets none.
pub(super) fn master(config: &Config, configuration: &Configuration) -> Finding {
    let name = &config.node.master;
    let masters = configuration.servers.iter().filter(|server| server.role == ServerRole::Master);
    let masters: Vec<&str> = masters.map(|server| server.name.as_str()).collect();
    let of = masters.first().map_or_else(
        || "add a server with role: master to the document, and divert apply it".to_owned(),
        |first| {
            let others = if masters.len() > 1 {
                format!(" (of {})", masters.join(", "))
            } else {
                String::new()
            };
            format!("master = {first:?} in [node] of divert.toml{others}; systemctl restart divert")
        },
    );
    let Some(server) = configuration.servers.iter().find(|server| server.name == *name) else {
        if configuration.servers.is_empty() {
            let fix = "divert apply FILE; divert help documents has a whole one";
            return Finding::warning("master", "there is no configuration yet", fix);
        }
        let fact = format!("node.master is {name:?}, but no server of the configuration is");
        return Finding::bad("master", fact, of);
    };
    if server.role != ServerRole::Master {
        let fact = format!("node.master is {name:?}, which is a slave: no calls arrive there");
        return Finding::bad("master", fact, of);
    }
    let flows = configuration.forwarding_flows.iter().filter(|flow| flow.master == server.id);
    match flows.count() {
        0 => {
            let fact = format!("no forwarding flow has the master {name:?}: no call is taken");
            Finding::warning("master", fact, "divert flows list; divert apply FILE")
        }
        count => Finding::good("master", format!("{name}: forwarding flows {count}")),
    }
}

/// Opens it, which brings its schema up to date as the server itself would.
pub(super) async fn database(config: &Config) -> (Vec<Finding>, Option<Configuration>) {
    let url = &config.database;
    let mut findings = Vec::new();
    if let Some(path) = url.sqlite_path().filter(|path| *path != Path::new(":memory:")) {
        let folder = path.parent().filter(|parent| *parent != Path::new(""));
        let folder = folder.unwrap_or(Path::new("."));
        findings.extend(free_space(folder));
        if folder.is_dir() && !path.exists() {
            let fact = format!("{} does not exist yet", path.display());
            let fix = "divert serve makes it at its first start, divert apply FILE fills it";
            findings.insert(0, Finding::warning("database", fact, fix));
            return (findings, None);
        }
    }
    let opened = async {
        let db = Db::open(url.expose()).await?;
        db.configuration(DEFAULT_ACCOUNT).await
    };
    match opened.await {
        Ok((configuration, version)) => {
            let fact = format!(
                "{url}: configuration {version}, forwarding flows {}, numbers {}",
                configuration.forwarding_flows.len(),
                configuration.numbers.len()
            );
            findings.insert(0, Finding::good("database", fact));
            (findings, Some(configuration))
        }
        Err(error) => {
            let fix = match url.sqlite_path().and_then(Path::parent) {
                Some(folder) if !folder.is_dir() => format!("install -d {}", folder.display()),
                Some(folder) => {
                    format!("ls -l {}; divert must run as their owner", folder.display())
                }
                None => "is Postgres running, and may this user log in? psql 'URL'".to_owned(),
            };
            findings.insert(0, Finding::bad("database", format!("{url}: {error}"), fix));
            (findings, None)
        }
    }
}

fn free_space(folder: &Path) -> Option<Finding> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let fact = format!("{} MiB free in {}", free >> 20, folder.display());
    Some(if free >= MIN_FREE {
        Finding::good("disk", fact)
    } else {
        Finding::warning("disk", fact, format!("df -h {}", folder.display()))
    })
}

pub(super) fn limits() -> String {
    fs::read_to_string("/proc/self/limits").unwrap_or_default()
}

/// From `/proc/PID/limits` (proc(5)): the soft limit, which a shell and the service may have
/// different.
pub(super) fn open_files(limits: &str) -> Finding {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    let fix = "the unit sets it: divert print systemd; in a shell: ulimit -n 65536";
    match soft.map(|soft| (soft, soft.parse::<u64>())) {
        Some((soft, Ok(files))) if files < MIN_FILES => {
            Finding::warning("files", format!("{soft} open files in this shell"), fix)
        }
        Some((soft, _)) => Finding::good("files", format!("{soft} open files")),
        None => Finding::unchecked("files", "/proc/self/limits can not be read", "ulimit -n"),
    }
}

/// Whether a divert answers on this machine's socket.
pub(super) async fn is_serving(config: &Config) -> bool {
    match &config.api.socket {
        Some(path) => UnixStream::connect(path).await.is_ok(),
        None => tokio::net::TcpStream::connect(config.api.listen).await.is_ok(),
    }
}

/// What the running server tells of rows on their way to the database.
pub(super) async fn rows(config: &Config) -> Option<Finding> {
    let here = ServerArgs { server: None, key: None };
    let status: Value = Client::new(&here, config).ok()?.get("/v1/status", &[]).await.ok()?;
    Some(rows_of(&status["store"]))
}

fn rows_of(store: &Value) -> Finding {
    let count = |name: &str| store["rows"][name].as_u64().unwrap_or_default();
    let (waiting, spooled, lost) = (count("waiting"), count("spooled"), count("lost"));
    if let Some(why) = store["reason"].as_str() {
        let fact = format!("{why}; {spooled} of {waiting} rows are kept on disk");
        let fix = "they are written as soon as the database takes them: see to it, or df -h";
        return Finding::bad("rows", fact, fix);
    }
    if lost > 0 {
        let fact = format!("{lost} rows were lost since divert was started");
        let fix = "journalctl -u divert | grep -E 'refused|too many rows'";
        return Finding::warning("rows", fact, fix);
    }
    Finding::good("rows", format!("{waiting} wait to be written, none was lost"))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_that_wait_or_are_lost_are_told() {
        let store = |reason: Value, lost: u64| {
            json!({ "ok": reason.is_null(), "reason": reason,
                "rows": { "waiting": 12, "spooled": 10, "lost": lost } })
        };
        assert_eq!(rows_of(&store(Value::Null, 0)).state, State::Good);
        assert_eq!(rows_of(&store(Value::Null, 3)).state, State::Warning);
        let away = rows_of(&store("disk is full".into(), 3));
        assert_eq!(away.state, State::Bad);
        assert_eq!(away.fact, "disk is full; 10 of 12 rows are kept on disk");
    }

    #[test]
    fn too_few_open_files_are_told() {
        let limits =
            |soft| format!("Limit  Soft  Hard\nMax open files   {soft}   1048576  files\n");
        assert_eq!(open_files(&limits("1024")).state, State::Warning);
        assert_eq!(open_files(&limits("4096")).state, State::Good);
        assert_eq!(open_files(&limits("unlimited")).state, State::Good);
        assert_eq!(open_files("").state, State::Unchecked);
    }
}
