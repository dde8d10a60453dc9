//! `divert account …`: what holds for everything of the account, asked of the running server.

use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::Failure;
use super::client::{Client, ServerArgs};
use super::input::count;
use super::terminal::{Column, Style, Terminal, plain, say, say_json, table};
use crate::config::Config;
use crate::model::billing::Currency;

#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// The settings as they are
    #[command(after_help = "Example:\n  divert account show")]
    Show(ShowArgs),
    /// Change some of them
    #[command(
        after_help = "Example:\n  divert account set --time-zone America/Chicago --max-live 500"
    )]
    Set(SetArgs),
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct SetArgs {
    /// For flows and destinations that name none, as America/Chicago
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Most live legs of all flows; none is no limit
    #[arg(long, value_name = "N|none", value_parser = max_live)]
    max_live: Option<Unless<u32>>,
    /// Whether there may be toll-free destinations
    #[arg(long, value_name = "on|off")]
    toll_free: Option<Switch>,
    /// Whether calls that cost are refused once the balance is used up
    #[arg(long, value_name = "on|off")]
    prepaid: Option<Switch>,
    /// Three letters, as USD
    #[arg(long)]
    currency: Option<Currency>,
    /// For trunks that have none of their own: its name, or none
    #[arg(long, value_name = "NAME|none")]
    rate_deck: Option<Unless<String>>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Switch {
    Off,
    On,
}

/// A value, or the word `none`.
#[derive(Clone, Debug)]
struct Unless<T>(Option<T>);

impl<T: FromStr> FromStr for Unless<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|value| Self(Some(value))) }
    }
}

fn max_live(typed: &str) -> Result<Unless<u32>, String> {
    if typed == "none" {
        return Ok(Unless(None));
    }
    count::<1, 100_000>(typed).map(|max| Unless(Some(max))).map_err(|hint| hint + ", or none")
}

impl SetArgs {
    /// A merge patch of what was given.
    fn patch(&self) -> Map<String, Value> {
        let switch = |switch: Switch| json!(switch == Switch::On);
        let all = [
            ("time_zone", self.time_zone.as_ref().map(|zone| json!(zone))),
            ("max_live", self.max_live.as_ref().map(|max| json!(max.0))),
            ("toll_free_termination", self.toll_free.map(switch)),
            ("prepaid", self.prepaid.map(switch)),
            ("currency", self.currency.map(|currency| json!(currency.to_string()))),
            ("rate_deck", self.rate_deck.as_ref().map(|deck| json!(deck.0))),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

/// # Errors
/// See [`Client`]; [`Failure::Input`] when nothing is to be set.
pub async fn run(command: &AccountCommand, config: &Config) -> anyhow::Result<()> {
    let (answer, as_json): (Value, bool) = match command {
        AccountCommand::Show(args) => {
            let client = Client::new(&args.server, config)?;
            (client.get("/v1/account", &[]).await?, args.json)
        }
        AccountCommand::Set(args) => {
            let patch = args.patch();
            if patch.is_empty() {
                let text = "say what to set, as --max-live 500; see divert account set --help";
                return Err(Failure::Input(text.to_owned()).into());
            }
            let client = Client::new(&args.server, config)?;
            (client.patch("/v1/account", &Value::Object(patch)).await?, args.json)
        }
    };
    if as_json { say_json(&answer) } else { say(&settings(&answer, Terminal::of_stdout())) }
}

/// One line for each setting, whatever a newer server may add.
fn settings(account: &Value, terminal: Terminal) -> String {
    let row = |(key, value): (&String, &Value)| {
        let shown = match value {
            Value::Null => "none".to_owned(),
            Value::Bool(true) => "on".to_owned(),
            Value::Bool(false) => "off".to_owned(),
            Value::String(text) => plain(text),
            other => other.to_string(),
        };
        vec![(Style::Plain, plain(key).replace('_', " ")), (Style::Name, shown)]
    };
    let rows: Vec<_> = account.as_object().into_iter().flatten().map(row).collect();
    table(terminal, &[Column::Whole("SETTING"), Column::Words("VALUE")], &rows)
}
