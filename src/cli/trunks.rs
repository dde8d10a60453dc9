//! `divert trunks …`: how calls leave the masters of the running server. They are written with
//! `divert apply`.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::client::Client;
use super::find::{ListArgs, list, say_list};
use super::status::{self, TrunkStatus};
use super::terminal::{Column, Style, Terminal, plain, table};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub enum TrunksCommand {
    /// All trunks, and whether calls can go over them now
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
    #[serde(default)]
    status: Option<TrunkStatus>,
}

/// # Errors
/// See [`Client`].
pub async fn run(command: &TrunksCommand, config: &Config) -> anyhow::Result<()> {
    let TrunksCommand::List(args) = command;
    let client = Client::new(&args.server, config)?;
    let mut trunks = list(&client, "/v1/trunks", &[]).await?;
    if !trunks.is_empty() {
        // A key may be allowed to read the one and not the other.
        let known = status::trunks(&client).await.unwrap_or_else(|error| {
            eprintln!("warning: how the trunks stand is not known: {error}");
            Vec::new()
        });
        for trunk in &mut trunks {
            trunk["status"] = json!(known.iter().find(|one| one["id"] == trunk["id"]));
        }
    }
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
        let max = trunk.max_live.map_or_else(String::new, |max| max.to_string());
        // Another node's, or made a moment ago.
        let unknown = || (Style::Dim, "-".to_owned());
        vec![
            (Style::Name, plain(&trunk.name)),
            trunk.status.as_ref().map_or_else(unknown, TrunkStatus::shown),
            (
                Style::Plain,
                trunk.status.as_ref().map_or_else(String::new, |it| it.live.to_string()),
            ),
            (Style::Plain, max),
            (Style::Plain, plain(&reach)),
            (Style::Plain, if trunk.carries_toll_free { "yes" } else { "" }.to_owned()),
            (Style::Plain, plain(trunk.rate_deck.as_deref().unwrap_or_default())),
            (Style::Dim, plain(&trunk.id)),
        ]
    };
    let rows: Vec<_> = trunks.iter().map(row).collect();
    let columns = [
        Column::Name("NAME"),
        Column::Whole("STATE"),
        Column::Whole("LIVE"),
        Column::Whole("MAX"),
        Column::Name("REACHES"),
        Column::Whole("TOLL-FREE"),
        Column::Name("DECK"),
        Column::Id("ID"),
    ];
    table(terminal, &columns, &rows)
}
