//! `divert flows …`: the forwarding flows of the running server.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::{Client, ServerArgs};
use super::explain;
use super::find::{Flow, ListArgs, destinations, find_flow, list, say_list};
use super::objects::{Edit, flow_kind, none_yet, run_edit};
use super::terminal::{Style, Terminal, plain, say, short_ids, shorten, wrap};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub enum FlowsCommand {
    /// All forwarding flows with their numbers and destinations
    #[command(after_help = "Example:\n  divert flows list")]
    List(ListFlowsArgs),
    #[command(flatten)]
    Edit(Edit),
    /// Who is next in line on a flow, and how each destination stands
    #[command(after_help = "Example:\n  divert flows live \"Solar East\"")]
    Live(explain::LiveArgs),
    /// Calls go to the flow's fallback; test calls go on
    #[command(after_help = "Example:\n  divert flows pause \"Solar East\"")]
    Pause(SwitchArgs),
    /// Calls are taken again
    #[command(after_help = "Example:\n  divert flows resume \"Solar East\"")]
    Resume(SwitchArgs),
}

#[derive(Args, Debug)]
pub struct ListFlowsArgs {
    /// Only those with this tag
    #[arg(long)]
    tag: Option<String>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Args, Debug)]
pub struct SwitchArgs {
    /// Name or id of the forwarding flow
    flow: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// # Errors
/// See [`Client`].
pub async fn flows(command: &FlowsCommand, config: &Config) -> anyhow::Result<()> {
    let args = match command {
        FlowsCommand::List(args) => args,
        FlowsCommand::Edit(edit) => return run_edit(flow_kind(), edit, config).await,
        FlowsCommand::Live(args) => return explain::live(args, config).await,
        FlowsCommand::Pause(args) => return switch(args, "pause", config).await,
        FlowsCommand::Resume(args) => return switch(args, "resume", config).await,
    };
    let ListFlowsArgs { tag, list: ListArgs { json, server } } = args;
    let client = Client::new(server, config)?;
    let filter: Vec<_> = tag.iter().map(|tag| ("tag", tag.clone())).collect();
    let flows = list(&client, "/v1/forwarding-flows", &filter).await?;
    say_list(flows, *json, |flows| listing(flows, tag.is_some(), Terminal::of_stdout()))
}

async fn switch(args: &SwitchArgs, action: &str, config: &Config) -> anyhow::Result<()> {
    let client = Client::new(&args.server, config)?;
    let flow = find_flow(&client, &args.flow).await?;
    let path = format!("/v1/forwarding-flows/{}/{action}", flow.id);
    let now: Flow = client.post(&path, &json!({})).await?;
    say(&format!("{} is {}\n", plain(&now.name), plain(&now.state)))
}

fn listing(flows: &[Flow], is_filtered: bool, terminal: Terminal) -> String {
    if flows.is_empty() && is_filtered {
        return "No flow fits.\n".to_owned();
    }
    if flows.is_empty() {
        return none_yet(flow_kind());
    }
    let mut text = String::new();
    for (flow, id) in flows.iter().zip(short_ids(terminal, flows.iter().map(|flow| &*flow.id))) {
        let room = terminal.width.saturating_sub(id.len() + 12);
        let name = terminal.paint(Style::Bold, &shorten(&plain(&flow.name), room));
        let id = terminal.paint(Style::Dim, &id);
        let state = match flow.state.as_str() {
            "active" | "" => String::new(),
            other => terminal.paint(Style::Warn, &format!("  {}", plain(other))),
        };
        let mut tags = String::new();
        for tag in &flow.tags {
            let _ = write!(tags, "  #{}", plain(tag));
        }
        let _ = writeln!(text, "{name}{state}{}  {id}", terminal.paint(Style::Dim, &tags));
        let dids: Vec<String> = flow.dids.iter().map(|did| plain(did)).collect();
        let dids = if dids.is_empty() {
            "no numbers".to_owned()
        } else {
            wrap(&dids, " ", terminal.width.saturating_sub(2))
        };
        text.extend(dids.lines().map(|line| format!("  {line}\n")));
        text.push_str(&destinations(&flow.destinations, terminal));
    }
    text
}
