//! `divert destinations …`: the destinations of a flow of the running server, and their switches.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs};
use super::fields::{self, Assignment};
use super::find::{Flow, destinations, find, pick};
use super::input::agreed;
use super::objects::changed;
use super::opening;
use super::plan::shown;
use super::terminal::{Terminal, plain, say, say_json};
use crate::config::Config;
use crate::model::id::ForwardingFlowId;
use crate::model::object::Record as _;
use crate::model::objects::destination::Destination;
use crate::model::plan::Action;

const FLOWS: &str = "/v1/forwarding-flows";

#[derive(Debug, Subcommand)]
pub enum DestinationsCommand {
    /// The destinations of a flow and their state
    #[command(after_help = "Example:\n  divert destinations list \"Solar East\"")]
    List(ListArgs),
    /// Every field of one
    #[command(after_help = "Example:\n  divert destinations show \"Solar East\" slave-a")]
    Show(ShowArgs),
    /// Make a new one
    #[command(after_help = "Example:\n  divert destinations create \"Solar East\" server=slave-a \
        did=1001\nFields: divert help destinations")]
    Create(CreateArgs),
    /// Change fields of one; an empty value takes the default
    #[command(after_help = "Example:\n  divert destinations set \"Solar East\" slave-a \
        weight=50\nFields: divert help destinations")]
    Set(SetArgs),
    /// Remove one; its live calls go on
    #[command(after_help = "Example:\n  divert destinations remove \"Solar East\" slave-a")]
    Remove(RemoveArgs),
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

/// Which destination is meant.
#[derive(Args, Debug)]
struct DestinationArgs {
    /// Name or id of the forwarding flow
    flow: String,
    /// Name or id of the destination
    destination: String,
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    #[command(flatten)]
    which: DestinationArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Name or id of the forwarding flow
    flow: String,
    /// As weight=50 or rate.calls=5
    #[arg(required = true, value_name = "FIELD=VALUE")]
    fields: Vec<Assignment>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct SetArgs {
    #[command(flatten)]
    which: DestinationArgs,
    /// As weight=50 or rate.calls=5
    #[arg(required = true, value_name = "FIELD=VALUE")]
    fields: Vec<Assignment>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct RemoveArgs {
    #[command(flatten)]
    which: DestinationArgs,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct SwitchArgs {
    #[command(flatten)]
    which: DestinationArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// One destination, and the flow it is in.
struct Found {
    flow: Value,
    destination: Value,
}

impl DestinationArgs {
    async fn find(&self, client: &Client) -> anyhow::Result<Found> {
        let flow = flow(client, &self.flow).await?;
        let all = flow["destinations"].as_array().cloned().unwrap_or_default();
        let named: Vec<_> = all.iter().map(|one| (text(one, "id"), text(one, "name"))).collect();
        let named = named.iter().map(|(id, name)| (id.as_str(), name.as_str()));
        let nth = pick(&self.destination, named, "destination")?;
        Ok(Found { destination: all[nth].clone(), flow })
    }
}

impl Found {
    fn path(&self) -> String {
        format!("{}/{}", path_in(&self.flow), text(&self.destination, "id"))
    }

    /// `destination slave-a of sales`, as a plan says it.
    fn words(&self) -> String {
        words(&self.destination, &self.flow)
    }
}

fn words(destination: &Value, flow: &Value) -> String {
    format!("destination {} of {}", text(destination, "name"), text(flow, "name"))
}

fn text(object: &Value, key: &str) -> String {
    plain(object[key].as_str().unwrap_or_default())
}

async fn flow(client: &Client, wanted: &str) -> anyhow::Result<Value> {
    find::<ForwardingFlowId>(client, FLOWS, wanted, "forwarding flow").await
}

fn path_in(flow: &Value) -> String {
    format!("{FLOWS}/{}/destinations", text(flow, "id"))
}

/// # Errors
/// See [`Client`]; [`Failure::Input`](super::Failure::Input) for a name nobody has.
pub async fn run(command: &DestinationsCommand, config: &Config) -> anyhow::Result<()> {
    let terminal = Terminal::of_stdout();
    let (args, action) = match command {
        DestinationsCommand::List(args) => return list(args, config).await,
        DestinationsCommand::Show(args) => {
            let client = Client::new(&args.server, config)?;
            let Found { flow, destination } = args.which.find(&client).await?;
            if args.json {
                return say_json(&destination);
            }
            // Its days are those of its flow, unless it says otherwise.
            let mut zoned = destination.clone();
            if zoned["time_zone"].is_null() {
                zoned["time_zone"] = flow["time_zone"].clone();
            }
            let notes = opening::notes(&client, &zoned).await?;
            return say(&fields::show(&Destination::fields(), &destination, &notes, &[], terminal));
        }
        DestinationsCommand::Create(args) => {
            let client = Client::new(&args.server, config)?;
            let body = fields::document(&args.fields, &Destination::fields())?;
            let flow = flow(&client, &args.flow).await?;
            let made: Value = client.post(&path_in(&flow), &Value::Object(body)).await?;
            if args.json {
                return say_json(&made);
            }
            let what = format!("{}  {}", words(&made, &flow), text(&made, "id"));
            return say(&shown(Action::Add, &what, terminal));
        }
        DestinationsCommand::Set(args) => {
            let client = Client::new(&args.server, config)?;
            let patch = fields::document(&args.fields, &Destination::fields())?;
            let found = args.which.find(&client).await?;
            let after: Value = client.patch(&found.path(), &Value::Object(patch)).await?;
            if args.json {
                return say_json(&after);
            }
            let told = changed(&found.words(), &found.destination, &after, terminal);
            return say(&told);
        }
        DestinationsCommand::Remove(args) => {
            let client = Client::new(&args.server, config)?;
            let found = args.which.find(&client).await?;
            agreed(&format!("Remove {}?", found.words()), args.yes)?;
            client.delete(&found.path()).await?;
            return say(&shown(Action::Remove, &found.words(), terminal));
        }
        DestinationsCommand::Pause(args) => (args, "pause"),
        DestinationsCommand::Drain(args) => (args, "drain"),
        DestinationsCommand::Disable(args) => (args, "disable"),
        DestinationsCommand::Resume(args) => (args, "resume"),
    };
    let client = Client::new(&args.server, config)?;
    let found = args.which.find(&client).await?;
    let path = format!("{}/{action}", found.path());
    let now: Value = client.post(&path, &json!({})).await?;
    let flow = text(&found.flow, "name");
    say(&format!("{} of {flow} is {}\n", text(&now, "name"), text(&now, "state")))
}

async fn list(args: &ListArgs, config: &Config) -> anyhow::Result<()> {
    let client = Client::new(&args.server, config)?;
    let flow = flow(&client, &args.flow).await?;
    if args.json {
        return say_json(&flow["destinations"]);
    }
    say(&destinations(&Flow::deserialize(flow)?.destinations, Terminal::of_stdout()))
}
