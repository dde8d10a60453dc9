//! `divert doctor`: what stands between this machine and its next call. Each check yields facts
//! and, where something is wrong, what to paste. It changes nothing in Asterisk.
//!
//! What can not be seen from here is said to be unchecked, with the command that shows it.

mod asterisk;
mod files;
mod host;
mod modules;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

pub use self::modules::NEEDS;
use super::Failure;
use super::terminal::{Style, Terminal, plain, say, say_json};
use crate::config::{ConfigError, Loaded};

#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Asterisk's files, where this machine has them
    #[arg(long, value_name = "DIR", default_value = "/etc/asterisk")]
    asterisk_etc: PathBuf,
}

/// What one check found.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub state: State,
    pub fact: String,
    /// What to do, ready to be pasted where it is a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Calls will fail.
    Bad,
    Good,
    /// Can not be seen from here.
    Unchecked,
    Warning,
}

impl Finding {
    fn good(check: &'static str, fact: impl Into<String>) -> Self {
        Self { check, state: State::Good, fact: fact.into(), fix: None }
    }

    fn bad(check: &'static str, fact: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, state: State::Bad, fact: fact.into(), fix: Some(fix.into()) }
    }

    fn warning(check: &'static str, fact: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, state: State::Warning, fact: fact.into(), fix: Some(fix.into()) }
    }

    fn unchecked(check: &'static str, fact: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, state: State::Unchecked, fact: fact.into(), fix: Some(fix.into()) }
    }
}

/// # Errors
/// [`Failure::Quiet`] when a check failed.
pub async fn run(args: &DoctorArgs, loaded: Result<&Loaded, &ConfigError>) -> anyhow::Result<()> {
    let findings = match loaded {
        Ok(loaded) => examine(args, loaded).await,
        Err(error) => vec![Finding::bad(
            "settings",
            error.to_string().replace('\n', "\n    "),
            "divert config check",
        )],
    };
    let bad = findings.iter().filter(|finding| finding.state == State::Bad).count();
    if args.json {
        say_json(&serde_json::json!({ "ok": bad == 0, "findings": findings }))?;
    } else {
        say(&report(&findings, Terminal::of_stdout()))?;
    }
    if bad == 0 { Ok(()) } else { Err(Failure::Quiet(1).into()) }
}

async fn examine(args: &DoctorArgs, loaded: &Loaded) -> Vec<Finding> {
    let mut findings = host::settings(loaded);
    let (database, configuration) = host::database(&loaded.config).await;
    findings.extend(database);
    let read = configuration.as_ref();
    findings.extend(read.map(|read| host::master(&loaded.config, read)));
    findings.push(host::open_files(&host::limits()));
    let serving = host::is_serving(&loaded.config).await;
    if serving {
        findings.extend(host::rows(&loaded.config).await);
    }
    let seen = asterisk::Seen {
        config: &loaded.config,
        configuration: configuration.as_ref(),
        etc: &args.asterisk_etc,
        serving,
    };
    findings.extend(seen.examine().await);
    findings
}

fn report(findings: &[Finding], terminal: Terminal) -> String {
    let mut text = String::new();
    for finding in findings {
        let (sign, style) = match finding.state {
            State::Bad => ("✘", Style::Alarm),
            State::Good => ("✔", Style::Good),
            State::Unchecked => ("?", Style::Dim),
            State::Warning => ("!", Style::Warn),
        };
        let sign = terminal.paint(style, sign);
        let check = terminal.paint(Style::Bold, &format!("{:<10}", finding.check));
        let fact: Vec<String> = finding.fact.lines().map(plain).collect();
        let _ = writeln!(text, "{sign} {check}  {}", fact.join("\n"));
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "    {} {}", terminal.paint(Style::Dim, "→"), plain(fix));
        }
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (bad, warnings) = (count(State::Bad), count(State::Warning));
    let _ = write!(text, "\n{bad} wrong, {warnings} to look at, {} good", count(State::Good));
    let _ = writeln!(text, ", {} not checked", count(State::Unchecked));
    text
}
