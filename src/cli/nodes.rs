//! `divert nodes …`: the nodes of one database. A node that died holds its slots of live-call limits
//! until its calls are certainly over; who knows that they are can say so earlier.

use clap::{Args, Subcommand};
use serde_json::json;

use super::terminal::{Column, Style, Terminal, plain, say, say_json, table};
use super::view::Moment;
use super::{Failure, database};
use crate::clock;
use crate::config::Config;
use crate::model::time::Timestamp;
use crate::store::nodes::{NodeUse, SERVING_MS};

#[derive(Debug, Subcommand)]
pub enum NodesCommand {
    /// Give back what a node holds of live-call limits, and forget the node
    #[command(after_help = "Only for a node that is gone with its Asterisk: slots of calls that \
        live are counted no longer.\n\nExample:\n  divert nodes forget b --yes")]
    Forget(ForgetArgs),
    /// All nodes, and how many live legs they hold slots for
    #[command(after_help = "Example:\n  divert nodes list")]
    List(ListArgs),
}

#[derive(Args, Debug)]
pub struct ForgetArgs {
    /// Its node.name
    name: String,
    /// None of its calls lives any more
    #[arg(long)]
    yes: bool,
}

#[derive(Args, Debug)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// # Errors
/// See [`database::failure`]; [`Failure::Input`] for a node that nobody knows.
pub async fn run(command: &NodesCommand, config: &Config) -> anyhow::Result<()> {
    let db = database::open(config).await?;
    let failure = |error| database::failure(&error);
    match command {
        NodesCommand::Forget(args) => {
            let name = &args.name;
            let nodes = db.nodes().await.map_err(failure)?;
            let Some(node) = nodes.iter().find(|node| node.name == *name) else {
                let text = format!("no node {name:?} is known: see 'divert nodes list'");
                return Err(Failure::Input(text).into());
            };
            if node.is_serving(clock::wall()) {
                let text = format!(
                    "the node {name:?} is serving: stop it first. If it has just died, try again \
                     in {} s",
                    SERVING_MS / 1_000
                );
                return Err(Failure::Input(text).into());
            }
            if !args.yes && node.legs > 0 {
                let text = format!(
                    "the node {name:?} holds slots for {} live legs. If they live, limits would be \
                     exceeded. If the node is gone with its Asterisk, say so:\n  divert nodes \
                     forget {name} --yes",
                    node.legs
                );
                return Err(Failure::Input(text).into());
            }
            db.forget_node(name).await.map_err(failure)?;
            say(&format!("{} is forgotten; slots of {} legs are free\n", plain(name), node.legs))
        }
        NodesCommand::List(args) => {
            list(&db.nodes().await.map_err(failure)?, &config.node.name, args.json)
        }
    }
}

fn list(nodes: &[NodeUse], here: &str, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let one = |node: &NodeUse| {
            json!({ "name": node.name, "legs": node.legs,
                "until": node.until.map(Timestamp::rfc3339) })
        };
        return say_json(&nodes.iter().map(one).collect::<Vec<_>>());
    }
    if nodes.is_empty() {
        return say("No node has run on this database yet. Start one:\n  divert serve\n");
    }
    let row = |node: &NodeUse| {
        let until = node.until.map(|at| format!("until {} at most", Moment(at.0).show("%F %R")));
        let name = if node.name == here { format!("{here} (here)") } else { node.name.clone() };
        vec![
            (Style::Name, plain(&name)),
            (Style::Plain, node.legs.to_string()),
            (Style::Dim, until.unwrap_or_default()),
        ]
    };
    let rows: Vec<_> = nodes.iter().map(row).collect();
    say(&table(
        Terminal::of_stdout(),
        &[Column::Name("NODE"), Column::Whole("LIVE LEGS"), Column::Words("HELD")],
        &rows,
    ))
}
