//! `divert trunks …`: how calls leave the masters of the running server. They are written with
//! `divert apply`.

use clap::Subcommand;
use serde::Deserialize;

use super::client::Client;
use super::find::{ListArgs, list, say_list};
use super::terminal::{Style, Terminal, plain, table};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub enum TrunksCommand {
    /// All trunks
    #[command(after_help = "Example:\n  divert trunks list")]
    List(ListArgs),
}

#[derive(Debug, Deserialize)]
struct Trunk {
    id: String,
    name: String,
    #[serde(default)]
    address: Option<String>,
    #[serde(default)]
    endpoint: Option<String>,
    #[serde(default)]
    max_live: Option<u32>,
    #[serde(default)]
    carries_toll_free: bool,
    #[serde(default)]
    rate_deck: Option<String>,
}

/// # Errors
/// See [`Client`].
pub async fn run(command: &TrunksCommand, config: &Config) -> anyhow::Result<()> {
    let TrunksCommand::List(args) = command;
    let trunks = list(&Client::new(&args.server, config)?, "/v1/trunks", &[]).await?;
    say_list(trunks, args.json, |trunks| listing(trunks, Terminal::of_stdout()))
}

fn listing(trunks: &[Trunk], terminal: Terminal) -> String {
    if trunks.is_empty() {
        return "No trunks yet: calls leave over a trunk. Write one and run\n  \
                divert apply FILE\n"
            .to_owned();
    }
    let row = |trunk: &Trunk| {
        let reach = match (&trunk.address, &trunk.endpoint) {
            (Some(address), _) => address.clone(),
            (None, Some(endpoint)) => format!("PJSIP/{endpoint}"),
            (None, None) => "-".to_owned(),
        };
        let max = trunk.max_live.map_or_else(|| "-".to_owned(), |max| max.to_string());
        vec![
            (Style::Plain, trunk.id.clone()),
            (Style::Plain, plain(&reach)),
            (Style::Plain, max),
            (Style::Plain, if trunk.carries_toll_free { "yes" } else { "-" }.to_owned()),
            (Style::Plain, plain(trunk.rate_deck.as_deref().unwrap_or("-"))),
            (Style::Name, plain(&trunk.name)),
        ]
    };
    let rows: Vec<_> = trunks.iter().map(row).collect();
    table(terminal, &["ID", "REACHES", "MAX LIVE", "TOLL-FREE", "RATE DECK", "NAME"], &rows)
}
