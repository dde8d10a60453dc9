//! The command line. Most commands ask the running server through its HTTP API, also from another
//! machine: all about calls, bills and reports, and those that read or change one object, number or
//! setting of the account.
//!
//! These open the database themselves, whether a server runs or not: `plan`, `apply` and `export`,
//! which take or give the whole configuration; `backup`, `doctor`, `keys`, `nodes`, `replay` and
//! `replay-day`; and `serve`. `completions`, `config`, `help`, `print` and `simulate` need neither.
//!
//! Exit codes: 0 good, 1 a check failed or the work could not be done, 2 bad usage or input,
//! 3 not connected. Results go to standard output, everything else to standard error.

mod account;
mod backup;
mod billing;
mod calls;
mod changes;
mod client;
mod database;
mod destinations;
pub mod doctor;
mod explain;
mod fields;
mod find;
mod flags;
mod flows;
mod input;
mod keys;
mod ladder;
mod manual;
mod nodes;
mod numbers;
mod objects;
mod opening;
mod plan;
mod print;
mod replay;
mod replay_day;
mod reports;
mod serve;
mod settings;
#[cfg(feature = "sim")]
mod simulate;
mod status;
mod terminal;
mod test_call;
mod view;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{self, Given};

/// Call routing and call forwarding for Asterisk.
#[derive(Debug, Parser)]
#[command(name = "divert", version, max_term_width = 80, arg_required_else_help = true)]
#[command(disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 good, 1 failed, 2 bad usage or input, 3 not connected.\n\
    Start with:\n  divert help asterisk\n  divert config sample divert.toml\n  divert doctor\n  \
    divert serve")]
#[command(after_long_help = manual::topics())]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const CONFIG_HELP: &str = "The settings, unless $DIVERT_CONFIG names them [default: ./divert.toml, \
    /etc/divert/divert.toml]";

/// Listed behind the options of a command itself.
#[derive(Args, Debug)]
struct Global {
    #[arg(long, global = true, display_order = 900, value_name = "FILE", help = CONFIG_HELP)]
    config: Option<PathBuf>,
    /// sqlite:PATH, or the URL of a Postgres database
    #[arg(long, global = true, display_order = 901, value_name = "URL")]
    database: Option<String>,
    /// What is logged: error, warn, info, debug or trace, also per module
    #[arg(long, global = true, display_order = 902, value_name = "FILTER")]
    log: Option<String>,
    /// Tables as wide as they like, with whole ids
    #[arg(long, global = true, display_order = 903)]
    wide: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    #[command(after_help = "Example:\n  divert serve --config /etc/divert/divert.toml")]
    Serve(serve::ServeArgs),
    /// What a configuration document would change
    #[command(after_help = "Example:\n  divert plan flows.yaml")]
    Plan(plan::PlanArgs),
    /// Write a configuration document into the database
    #[command(after_help = "Example:\n  divert apply flows.yaml --yes")]
    Apply(plan::ApplyArgs),
    /// Print the configuration as a document for plan and apply
    #[command(after_help = "Example:\n  divert export > flows.yaml")]
    Export(plan::ExportArgs),
    /// Copy the database into a file, while divert serves
    #[command(after_help = "Example:\n  divert backup /var/backups/divert.sqlite")]
    Backup(backup::BackupArgs),
    /// Place a test call and watch it; exit code 0 only if it was answered
    #[command(after_help = "Example:\n  divert test-call \"Solar East\" --caller +12025550100")]
    TestCall(test_call::TestCallArgs),
    /// Where a call would go now, and why
    #[command(after_help = "Example:\n  divert explain +12025550100 --caller +12025550142")]
    Explain(explain::ExplainArgs),
    /// What happened to calls
    #[command(subcommand, after_help = "Example:\n  divert calls list --live")]
    Calls(calls::CallsCommand),
    /// What was billed
    #[command(subcommand, after_help = "Example:\n  divert cdrs list")]
    Cdrs(billing::CdrsCommand),
    /// What there is to pay calls with
    #[command(subcommand, after_help = "Example:\n  divert balance show")]
    Balance(billing::BalanceCommand),
    /// DIDs of one master, spread over destinations
    #[command(
        subcommand,
        mut_subcommands(objects::with_flow_example),
        after_help = "Example:\n  divert flows list\nFields: divert help flows"
    )]
    Flows(flows::FlowsCommand),
    /// Where calls of a flow may go, and their switches
    #[command(
        subcommand,
        visible_alias = "dest",
        after_help = "Example:\n  divert destinations pause \"Solar East\" slave-a"
    )]
    Destinations(destinations::DestinationsCommand),
    /// What holds for the whole account
    #[command(subcommand, after_help = "Example:\n  divert account show")]
    Account(account::AccountCommand),
    /// DIDs and who owns them
    #[command(subcommand, after_help = "Example:\n  divert numbers list --flow \"Solar East\"")]
    Numbers(numbers::NumbersCommand),
    #[command(flatten)]
    Objects(objects::ObjectsCommand),
    /// Who changed what of the configuration, and the way back
    #[command(after_help = "Examples:\n  divert changes\n  divert changes show 42\n  \
        divert changes undo 42")]
    Changes(changes::ChangesArgs),
    /// How it all stands: node, trunks, live calls, what went wrong lately
    #[command(after_help = "Example:\n  divert status")]
    Status(status::StatusArgs),
    /// Check everything a call needs, with what to do where it is missing
    #[command(after_help = "Example:\n  divert doctor --json")]
    Doctor(doctor::DoctorArgs),
    /// Run a call's journal again and tell where divert would act differently
    #[command(after_help = "Example:\n  divert replay 01m7y97xc1")]
    Replay(replay::ReplayArgs),
    /// Run the calls of a period through a configuration document and compare
    ///
    /// The calls come from the log and go through the decisions of the server, once with the
    /// present configuration and once with the document read over it. Nothing is dialled and
    /// nothing is written.
    #[command(
        after_help = "Example:\n  divert replay-day --from yesterday --to today --with draft.yaml"
    )]
    ReplayDay(replay_day::ReplayDayArgs),
    /// Calls, conversations and costs in figures
    #[command(subcommand, after_help = "Example:\n  divert reports calls --by day")]
    Reports(reports::ReportsCommand),
    /// Run a call through a configuration document on the built-in simulator
    #[cfg(feature = "sim")]
    #[command(after_help = simulate::PLAN)]
    Simulate(simulate::SimulateArgs),
    /// Keys of the HTTP API
    #[command(subcommand, after_help = "Example:\n  divert keys list")]
    Keys(keys::KeysCommand),
    /// Nodes that share the database, and what they hold of live-call limits
    #[command(subcommand, after_help = "Example:\n  divert nodes list")]
    Nodes(nodes::NodesCommand),
    /// The program's own settings
    #[command(subcommand, after_help = "Example:\n  divert config show")]
    Config(settings::ConfigCommand),
    /// Files for Asterisk and systemd
    #[command(after_help = "Example:\n  divert print dialplan > /etc/asterisk/divert.conf")]
    Print(print::PrintArgs),
    /// What objects are made of, and pages for operators
    #[command(after_help = "Examples:\n  divert help trunks\n  divert help billing\n  \
        divert help calls list")]
    Help(manual::HelpArgs),
    /// Completions for a shell
    #[command(after_help = "Example:\n  divert completions bash > \
        /usr/share/bash-completion/completions/divert")]
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// Why a command did not do what was asked; the variant is the exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It could not be done; trying again may help.
    #[error("{0}")]
    Failed(String),
    /// What was typed is wrong.
    #[error("{0}")]
    Input(String),
    /// The server or the database does not answer; trying again may help.
    #[error("{0}")]
    NotConnected(String),
    /// All is said already.
    #[error("")]
    Quiet(u8),
    /// The server answers, but what it needs for this does not; trying again may help.
    #[error("{0}")]
    Unavailable(String),
}

impl Failure {
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Input(_) => 2,
            Self::NotConnected(_) | Self::Unavailable(_) => 3,
            Self::Quiet(code) => *code,
        }
    }
}

/// All commands, with everything there is to say about their flags.
fn command() -> clap::Command {
    flags::described(Cli::command())
}

/// Runs the program with these arguments, the first of which is its own name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = command().try_get_matches_from(args);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not mistakes: clap gives them 0. A closed pipe is fine.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    if cli.global.wide {
        terminal::be_wide();
    }
    // These need no settings, and are wanted most where there are none yet.
    match &cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command(), "divert", &mut script);
            return terminal::say(&String::from_utf8(script)?);
        }
        Command::Config(settings::ConfigCommand::Sample(args)) => {
            return settings::write_sample(args);
        }
        Command::Help(args) => return manual::run(args),
        Command::Print(args) => return print::run(args),
        #[cfg(feature = "sim")]
        Command::Simulate(args) => return simulate::run(args),
        _ => {}
    }
    let loaded = config::load(&cli.global.given());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Command::Doctor(args) = &cli.command {
        return runtime.block_on(doctor::run(args, loaded.as_ref()));
    }
    let loaded = loaded.map_err(|error| Failure::Input(error.to_string()))?;
    runtime.block_on(async {
        let config = &loaded.config;
        match &cli.command {
            Command::Account(command) => account::run(command, config).await,
            Command::Apply(args) => plan::apply(args, config).await,
            Command::Backup(args) => backup::run(args, config).await,
            Command::Balance(command) => billing::balance(command, config).await,
            Command::Cdrs(command) => billing::cdrs(command, config).await,
            Command::Calls(command) => calls::run(command, config).await,
            Command::Changes(args) => changes::run(args, config).await,
            Command::Config(command) => settings::run(command, &loaded),
            Command::Destinations(command) => destinations::run(command, config).await,
            Command::Explain(args) => explain::explain(args, config).await,
            Command::Export(args) => plan::export(args, config).await,
            Command::Flows(command) => flows::flows(command, config).await,
            Command::Keys(command) => keys::run(command, config).await,
            Command::Nodes(command) => nodes::run(command, config).await,
            Command::Numbers(command) => numbers::run(command, config).await,
            Command::Objects(command) => objects::run(command, config).await,
            Command::Plan(args) => plan::plan(args, config).await,
            Command::Replay(args) => replay::run(args, config).await,
            Command::ReplayDay(args) => replay_day::run(args, config).await,
            Command::Reports(command) => reports::run(command, config).await,
            Command::Serve(args) => serve::run(args, config.clone()).await,
            Command::Status(args) => status::run(args, config).await,
            Command::TestCall(args) => test_call::run(args, config).await,
            Command::Completions { .. }
            | Command::Doctor(_)
            | Command::Help(_)
            | Command::Print(_) => Ok(()),
            #[cfg(feature = "sim")]
            Command::Simulate(_) => Ok(()),
        }
    })
}

impl Global {
    fn given(&self) -> Given {
        let flags =
            [("database", "--database", &self.database), ("log.filter", "--log", &self.log)];
        let flags = flags.into_iter().filter_map(|(key, flag, v)| Some((key, flag, v.clone()?)));
        Given {
            file: self.config.clone(),
            flags: flags.collect(),
            variables: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        }
    }
}

fn report(error: &anyhow::Error) -> ExitCode {
    let pipe = error.downcast_ref::<io::Error>();
    if pipe.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let failure = error.downcast_ref::<Failure>();
    let text = failure.map_or_else(|| format!("{error:#}"), ToString::to_string);
    if text.starts_with("error: ") {
        eprintln!("{text}");
    } else if !text.is_empty() {
        eprintln!("error: {text}");
    }
    ExitCode::from(failure.map_or(1, Failure::code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }
}
