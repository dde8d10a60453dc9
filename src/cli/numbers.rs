//! `divert numbers …`: the DIDs of the running server, one by one, a range or a table of them.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Failure;
use super::client::{Client, ServerArgs};
use super::find::{find_flow, list, say_list};
use super::plan;
use super::terminal::{Column, Style, Terminal, plain, say, say_json, table};
use crate::config::Config;

const PATH: &str = "/v1/numbers";
const IMPORT: &str = "/v1/numbers/import";

const IMPORT_HELP: &str = "Add numbers of a CSV file, all of them or none\n\nIts first line names the \
    columns: did, or from and to for ranges; then any of server, forwarding_flow and tags. Tags are \
    separated by blanks. Numbers that are there already get the owner that is said here, unless they \
    belong to another flow; where no tags are said, they keep theirs.";

#[derive(Debug, Subcommand)]
pub enum NumbersCommand {
    /// Give new numbers to a forwarding flow, or to a master and nobody
    ///
    /// All of them are added, or none. Of a range or of several, those that are there already get the
    /// owner that is said here, unless they belong to another flow; without --tag, they keep their tags.
    #[command(
        after_help = "Examples:\n  divert numbers add +12025550177 --flow \"Solar East\"\n  \
        divert numbers add --from +12025550100 --to +12025550199 --master pbx"
    )]
    Add(AddArgs),
    /// Add numbers of a CSV file, all of them or none
    #[command(
        long_about = IMPORT_HELP,
        after_help = "Example:\n  divert numbers import numbers.csv"
    )]
    Import(ImportArgs),
    /// Numbers with their owners, newest first
    #[command(after_help = "Example:\n  divert numbers list --flow \"Solar East\"")]
    List(ListNumbersArgs),
    /// Give a number to another forwarding flow; its next call follows
    #[command(after_help = "Example:\n  divert numbers move +12025550177 --flow \"Solar West\"")]
    Move(MoveArgs),
    /// Remove a number, also from the flow that owns it
    #[command(after_help = "Example:\n  divert numbers remove +12025550177")]
    Remove(RemoveArgs),
}

#[derive(Args, Debug)]
pub struct AddArgs {
    /// As the carrier delivers them; behind -- if one begins with -
    #[arg(value_name = "DID", required_unless_present = "from")]
    dids: Vec<String>,
    /// The first of a range; it has as many digits as the last
    #[arg(long, value_name = "DID", requires = "to", conflicts_with = "dids")]
    from: Option<String>,
    /// The last of the range
    #[arg(long, value_name = "DID", requires = "from")]
    to: Option<String>,
    /// Name or id of the forwarding flow that shall own them
    #[arg(long, required_unless_present = "master")]
    flow: Option<String>,
    /// Name of the server where they arrive; the flow's master unless given
    #[arg(long)]
    master: Option<String>,
    /// A word by which they are found together; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The CSV file; - reads standard input
    file: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct ListNumbersArgs {
    /// Name or id of the forwarding flow that owns them
    #[arg(long)]
    flow: Option<String>,
    /// This number only
    #[arg(long, allow_hyphen_values = true)]
    did: Option<String>,
    /// Only those with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct MoveArgs {
    #[command(flatten)]
    number: NumberArgs,
    /// Name or id of the forwarding flow that shall own it
    #[arg(long)]
    flow: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct RemoveArgs {
    #[command(flatten)]
    number: NumberArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Which number is meant.
#[derive(Args, Debug)]
struct NumberArgs {
    /// As the carrier delivers it
    #[arg(allow_hyphen_values = true)]
    did: String,
    /// Name of the server where it arrives, if it arrives on several
    #[arg(long)]
    master: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Number {
    id: String,
    did: String,
    #[serde(default)]
    server: String,
    #[serde(default)]
    forwarding_flow: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
}

impl Number {
    fn owner(&self) -> String {
        self.forwarding_flow.as_deref().map_or_else(|| "nobody".to_owned(), plain)
    }
}

/// # Errors
/// See [`Client`]; [`Failure::Input`] for a number or a name nobody has.
pub async fn run(command: &NumbersCommand, config: &Config) -> anyhow::Result<()> {
    let tell = |answer: Value, as_json: bool| {
        if as_json {
            return say_json(&answer);
        }
        let number = Number::deserialize(answer)?;
        let (did, server) = (plain(&number.did), plain(&number.server));
        say(&format!("{did} on {server} belongs to {}\n", number.owner()))
    };
    match command {
        NumbersCommand::Add(args) => {
            let client = Client::new(&args.server, config)?;
            let mut common = json!({});
            if let Some(flow) = &args.flow {
                common["forwarding_flow"] = find_flow(&client, flow).await?.id.into();
            }
            if let Some(master) = &args.master {
                common["server"] = master.as_str().into();
            }
            if !args.tags.is_empty() {
                common["tags"] = json!(args.tags);
            }
            let with = |more: &[(&str, &String)]| {
                let mut whole = common.clone();
                for (key, value) in more {
                    whole[*key] = json!(value);
                }
                whole
            };
            let body = match (args.dids.as_slice(), &args.from, &args.to) {
                (_, Some(from), Some(to)) => with(&[("from", from), ("to", to)]),
                ([did], ..) => {
                    return tell(client.post(PATH, &with(&[("did", did)])).await?, args.json);
                }
                (dids, ..) => {
                    let one = |did: &String| with(&[("did", did)]);
                    json!({ "numbers": dids.iter().map(one).collect::<Vec<_>>() })
                }
            };
            let (text, kind) = (body.to_string(), "application/json");
            let answer = client.import(IMPORT, &text, kind).await?;
            tell_many(&answer, args.json)
        }
        NumbersCommand::Import(args) => {
            let client = Client::new(&args.server, config)?;
            let table = plan::read(&args.file)?;
            let answer = client.import(IMPORT, &table, "text/csv").await?;
            tell_many(&answer, args.json)
        }
        NumbersCommand::List(args) => {
            let client = Client::new(&args.server, config)?;
            let mut filter = Vec::new();
            if let Some(flow) = &args.flow {
                filter.push(("forwarding_flow", find_flow(&client, flow).await?.id));
            }
            filter.extend(args.did.clone().map(|did| ("did", did)));
            filter.extend(args.tag.clone().map(|tag| ("tag", tag)));
            let numbers = list(&client, PATH, &filter).await?;
            let is_filtered = !filter.is_empty();
            say_list(numbers, args.json, |numbers| {
                listing(numbers, is_filtered, Terminal::of_stdout())
            })
        }
        NumbersCommand::Move(args) => {
            let client = Client::new(&args.server, config)?;
            let number = args.number.find(&client).await?;
            let flow = find_flow(&client, &args.flow).await?.id;
            let path = format!("{PATH}/{}", number.id);
            tell(client.patch(&path, &json!({ "forwarding_flow": flow })).await?, args.json)
        }
        NumbersCommand::Remove(args) => {
            let client = Client::new(&args.server, config)?;
            let number = args.number.find(&client).await?;
            client.delete(&format!("{PATH}/{}", number.id)).await?;
            let did = plain(&number.did);
            say(&format!("{did} is removed; it belonged to {}\n", number.owner()))
        }
    }
}

/// How many were added; one that nobody owned may have got an owner.
fn tell_many(answer: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return say_json(answer);
    }
    let count = |key: &str| answer[key].as_u64().unwrap_or_default();
    let are = |count: u64| if count == 1 { "number is" } else { "numbers are" };
    let mut text = format!("{0} {1} added\n", count("added"), are(count("added")));
    if count("changed") > 0 {
        let _ = writeln!(text, "{0} {1} changed", count("changed"), are(count("changed")));
    }
    say(&text)
}

impl NumberArgs {
    async fn find(&self, client: &Client) -> anyhow::Result<Number> {
        let found = list(client, PATH, &[("did", self.did.clone())]).await?;
        let found = found.into_iter().map(Number::deserialize);
        let mut found = found.collect::<Result<Vec<_>, _>>()?;
        found.retain(|number| self.master.as_ref().is_none_or(|master| number.server == *master));
        match found.len() {
            0 => Err(Failure::Input(format!("there is no number {:?}", self.did)).into()),
            1 => Ok(found.swap_remove(0)),
            _ => {
                let masters: Vec<String> = found.iter().map(|it| plain(&it.server)).collect();
                let text = format!("{} arrives on {}", plain(&self.did), masters.join(", "));
                Err(Failure::Input(format!("{text}\n  = help: add --master")).into())
            }
        }
    }
}

fn listing(numbers: &[Number], is_filtered: bool, terminal: Terminal) -> String {
    if numbers.is_empty() && is_filtered {
        return "No number fits.\n".to_owned();
    }
    if numbers.is_empty() {
        return "No numbers. Add one:\n  divert numbers add DID --flow FLOW\n".to_owned();
    }
    let row = |number: &Number| {
        vec![
            (Style::Name, plain(&number.did)),
            (Style::Plain, plain(&number.server)),
            (Style::Plain, number.forwarding_flow.as_deref().map_or_else(|| "-".to_owned(), plain)),
            (Style::Plain, plain(&number.tags.join(" "))),
            (Style::Dim, plain(&number.id)),
        ]
    };
    let rows: Vec<_> = numbers.iter().map(row).collect();
    let columns = [
        Column::Whole("DID"),
        Column::Name("MASTER"),
        Column::Name("FLOW"),
        Column::Name("TAGS"),
        Column::Id("ID"),
    ];
    table(terminal, &columns, &rows)
}
