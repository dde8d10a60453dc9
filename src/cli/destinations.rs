//! `divert destinations …`: the switches of the destinations of the running server.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::client::{Client, ServerArgs};
use super::find::{Destination, Flow, find, find_flow, pick};
use super::flows::destinations;
use super::terminal::{Terminal, plain, say, say_json};
use crate::config::Config;
use crate::model::id::ForwardingFlowId;

#[derive(Debug, Subcommand)]
pub enum DestinationsCommand {
    /// The destinations of a flow and their state
    #[command(after_help = "Example:\n  divert destinations list \"Solar East\"")]
    List(ListArgs),
    /// No new calls; returning callers and the place in rotation stay
    #[command(after_help = "Example:\n  divert destinations pause \"Solar East\" slave-a")]
    Pause(SwitchArgs),
    /// No new callers; those who belong to it still get there
    #[command(after_help = "Example:\n  divert destinations drain \"Solar East\" slave-a")]
    Drain(SwitchArgs),
    /// Out of rotation
    #[command(after_help = "Example:\n  divert destinations disable \"Solar East\" slave-a")]
    Disable(SwitchArgs),
    /// New calls again, with the weight it had before
    #[command(after_help = "Example:\n  divert destinations resume \"Solar East\" slave-a")]
    Resume(SwitchArgs),
}

#[derive(Args, Debug)]
pub struct ListArgs {
    /// Name or id of the forwarding flow
    flow: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct SwitchArgs {
    /// Name or id of the forwarding flow
    flow: String,
    /// Name or id of the destination
    destination: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// # Errors
/// See [`Client`]; [`Failure::Input`](super::Failure::Input) for a name nobody has.
pub async fn run(command: &DestinationsCommand, config: &Config) -> anyhow::Result<()> {
    let (args, action) = match command {
        DestinationsCommand::List(args) => return list(args, config).await,
        DestinationsCommand::Pause(args) => (args, "pause"),
        DestinationsCommand::Drain(args) => (args, "drain"),
        DestinationsCommand::Disable(args) => (args, "disable"),
        DestinationsCommand::Resume(args) => (args, "resume"),
    };
    let client = Client::new(&args.server, config)?;
    let flow = find_flow(&client, &args.flow).await?;
    let named = flow.destinations.iter().map(|it| (it.id.as_str(), it.name.as_str()));
    let nth = pick(&args.destination, named, "destination")?;
    let id = &flow.destinations[nth].id;
    let path = format!("/v1/forwarding-flows/{}/destinations/{id}/{action}", flow.id);
    let now: Destination = client.post(&path, &json!({})).await?;
    say(&format!("{} of {} is {}\n", plain(&now.name), plain(&flow.name), plain(&now.state)))
}

async fn list(args: &ListArgs, config: &Config) -> anyhow::Result<()> {
    let client = Client::new(&args.server, config)?;
    let path = "/v1/forwarding-flows";
    let flow = find::<ForwardingFlowId>(&client, path, &args.flow, "forwarding flow").await?;
    if args.json {
        return say_json(&flow["destinations"]);
    }
    say(&destinations(&Flow::deserialize(flow)?.destinations, Terminal::of_stdout()))
}
