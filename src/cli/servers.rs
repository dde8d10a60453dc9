//! `divert servers …`: masters and slaves of the running server. They are written with `divert apply`.

use clap::Subcommand;
use serde::Deserialize;

use super::client::Client;
use super::find::{ListArgs, list, say_list};
use super::terminal::{Column, Style, Terminal, plain, table};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub enum ServersCommand {
    /// All servers
    #[command(after_help = "Example:\n  divert servers list")]
    List(ListArgs),
}

#[derive(Debug, Deserialize)]
struct Server {
    id: String,
    name: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    trunk: Option<String>,
    #[serde(default)]
    max_live: Option<u32>,
}

/// # Errors
/// See [`Client`].
pub async fn run(command: &ServersCommand, config: &Config) -> anyhow::Result<()> {
    let ServersCommand::List(args) = command;
    let servers = list(&Client::new(&args.server, config)?, "/v1/servers", &[]).await?;
    say_list(servers, args.json, |servers| listing(servers, Terminal::of_stdout()))
}

fn listing(servers: &[Server], terminal: Terminal) -> String {
    if servers.is_empty() {
        return "No servers yet: calls arrive on a master. Write one and run\n  \
                divert apply FILE\n"
            .to_owned();
    }
    let row = |server: &Server| {
        let max = server.max_live.map_or_else(|| "-".to_owned(), |max| max.to_string());
        vec![
            (Style::Name, plain(&server.name)),
            (Style::Plain, plain(&server.role)),
            (Style::Plain, plain(server.trunk.as_deref().unwrap_or("-"))),
            (Style::Plain, max),
            (Style::Dim, plain(&server.id)),
        ]
    };
    let rows: Vec<_> = servers.iter().map(row).collect();
    let columns = [
        Column::Name("NAME"),
        Column::Whole("ROLE"),
        Column::Name("TRUNK"),
        Column::Whole("MAX LIVE"),
        Column::Id("ID"),
    ];
    table(terminal, &columns, &rows)
}
