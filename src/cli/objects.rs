//! `divert KIND list | show | create | set | remove` for every kind of object, asked of the running
//! server. What a kind is called and which fields it has comes from its description.

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::changes;
use super::client::{Client, ServerArgs};
use super::fields::{self, Assignment, Extra};
use super::find::{self, Flow, ListArgs};
use super::input::agreed;
use super::manual::{self, Page, command_of};
use super::opening;
use super::plan::shown;
use super::status::{self, TrunkStatus};
use super::terminal::{Column, Style, Terminal, plain, say, say_json, table};
use crate::config::Config;
use crate::model::id::{ForwardingFlowId, ObjectId, RateDeckId, ScheduleId, TrunkId};
use crate::model::objects::{KINDS, Kind};
use crate::model::plan;

/// What is done with the objects of one kind. One command a kind.
#[derive(Debug)]
pub struct ObjectsCommand {
    kind: &'static Kind,
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All of them
    List(ListArgs),
    #[command(flatten)]
    Edit(Edit),
}

/// What is done with one object; for kinds with a list of their own too.
#[derive(Debug, Subcommand)]
pub enum Edit {
    /// Every field of one
    Show(ShowArgs),
    /// Make a new one
    Create(CreateArgs),
    /// Change fields of one; an empty value takes the default
    Set(SetArgs),
    /// Remove one that nothing refers to
    Remove(RemoveArgs),
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Its name or id
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

const FIELDS_HELP: &str = "As max_live=30, tags=east,gold or rate.calls=5";

#[derive(Args, Debug)]
pub struct CreateArgs {
    #[arg(required = true, value_name = "FIELD=VALUE", help = FIELDS_HELP)]
    fields: Vec<Assignment>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct SetArgs {
    /// Its name or id
    name: String,
    #[arg(required = true, value_name = "FIELD=VALUE", help = FIELDS_HELP)]
    fields: Vec<Assignment>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// Its name or id
    name: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Where the API has them.
fn path_of(kind: &Kind) -> String {
    format!("/v1/{}", kind.path_segment())
}

/// Flows have a command of their own, which takes in [`Edit`].
fn kinds() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(|kind| kind.prefix != ForwardingFlowId::PREFIX)
}

/// The kind that flows are.
#[must_use]
pub fn flow_kind() -> &'static Kind {
    Kind::by_prefix(ForwardingFlowId::PREFIX).expect("flows are a kind")
}

/// A command of a kind with an example made of the kind's own.
fn with_example(page: &Page, command: Command) -> Command {
    match page.example_of(command.get_name()) {
        Some(example) => command.after_help(format!("Example:\n  {example}")),
        None => command,
    }
}

/// The same for flows, whose command stands elsewhere.
#[must_use]
pub fn with_flow_example(command: Command) -> Command {
    with_example(&Page::of(flow_kind()), command)
}

impl Subcommand for ObjectsCommand {
    fn augment_subcommands(command: Command) -> Command {
        kinds().fold(command, |command, kind| {
            let word = command_of(kind);
            let of_kind = Action::augment_subcommands(Command::new(word))
                .about(manual::first_sentence(&kind.doc()))
                .after_help(format!("Example:\n  divert {word} list\nFields: divert help {word}"))
                .subcommand_required(true)
                .arg_required_else_help(true);
            let page = Page::of(kind);
            command.subcommand(of_kind.mut_subcommands(move |command| with_example(&page, command)))
        })
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        kinds().any(|kind| command_of(kind) == name)
    }
}

impl FromArgMatches for ObjectsCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let found = matches.subcommand().and_then(|(name, matches)| {
            Some((kinds().find(|kind| command_of(kind) == name)?, matches))
        });
        let (kind, matches) =
            found.ok_or_else(|| clap::Error::new(clap::error::ErrorKind::MissingSubcommand))?;
        Ok(Self { kind, action: Action::from_arg_matches(matches)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// # Errors
/// See [`Client`]; [`Failure::Input`](super::Failure::Input) for a name nobody has, and for what cannot be read.
pub async fn run(command: &ObjectsCommand, config: &Config) -> anyhow::Result<()> {
    match &command.action {
        Action::List(args) => list(command.kind, args, config).await,
        Action::Edit(edit) => run_edit(command.kind, edit, config).await,
    }
}

/// # Errors
/// See [`run`].
pub async fn run_edit(kind: &'static Kind, edit: &Edit, config: &Config) -> anyhow::Result<()> {
    let path = path_of(kind);
    match edit {
        Edit::Show(args) => {
            let client = Client::new(&args.server, config)?;
            let object = named(&client, kind, &args.name).await?;
            if args.json {
                return say_json(&object);
            }
            say(&show(&client, kind, &object).await?)
        }
        Edit::Create(args) => {
            let client = Client::new(&args.server, config)?;
            let body = fields::document(&args.fields, &(kind.fields)())?;
            let made: Value = client.post(&path, &Value::Object(body)).await?;
            if args.json {
                return say_json(&made);
            }
            let what = format!("{} {}  {}", kind.word, text(&made, "name"), text(&made, "id"));
            say(&shown(plan::Action::Add, &what, Terminal::of_stdout()))
        }
        Edit::Set(args) => {
            let client = Client::new(&args.server, config)?;
            let patch = fields::document(&args.fields, &(kind.fields)())?;
            let before = named(&client, kind, &args.name).await?;
            let path = format!("{path}/{}", text(&before, "id"));
            let after: Value = client.patch(&path, &Value::Object(patch)).await?;
            if args.json {
                return say_json(&after);
            }
            let what = format!("{} {}", kind.word, text(&before, "name"));
            say(&changed(&what, &before, &after, Terminal::of_stdout()))
        }
        Edit::Remove(args) => {
            let client = Client::new(&args.server, config)?;
            let object = named(&client, kind, &args.name).await?;
            let what = format!("{} {}", kind.word, text(&object, "name"));
            agreed(&format!("Remove {what}?"), args.yes)?;
            client.delete(&format!("{path}/{}", text(&object, "id"))).await?;
            say(&shown(plan::Action::Remove, &what, Terminal::of_stdout()))
        }
    }
}

fn text(object: &Value, key: &str) -> String {
    plain(object[key].as_str().unwrap_or_default())
}

/// The object with this id or name.
async fn named(client: &Client, kind: &Kind, wanted: &str) -> anyhow::Result<Value> {
    let is_id = wanted.parse::<ObjectId>().is_ok_and(|id| id.prefix() == kind.prefix);
    find::find_named(client, &path_of(kind), wanted, kind.word, is_id).await
}

/// The lines of a plan for what a change did.
#[must_use]
pub fn changed(what: &str, before: &Value, after: &Value, terminal: Terminal) -> String {
    let (before, after) = (without_warnings(before), without_warnings(after));
    if before == after {
        return format!("nothing to change: {what} is like that\n");
    }
    let lines = changes::lines(what, Some(&before), Some(&after));
    lines.iter().map(|(action, line)| shown(*action, line, terminal)).collect()
}

/// They are no part of the object.
fn without_warnings(answer: &Value) -> Value {
    let mut answer = answer.clone();
    if let Some(object) = answer.as_object_mut() {
        object.remove("warnings");
    }
    answer
}

async fn list(kind: &'static Kind, args: &ListArgs, config: &Config) -> anyhow::Result<()> {
    let client = Client::new(&args.server, config)?;
    let mut objects = find::list(&client, &path_of(kind), &[]).await?;
    let mut extras = Vec::new();
    if kind.prefix == TrunkId::PREFIX && !objects.is_empty() {
        // A key may be allowed to read the one and not the other.
        let known = status::trunks(&client).await.unwrap_or_else(|error| {
            eprintln!("warning: how the trunks stand is not known: {error}");
            Vec::new()
        });
        let of = |trunk: &Value| known.iter().find(|one| one["id"] == trunk["id"]);
        extras = of_trunks(&objects.iter().map(of).collect::<Vec<_>>());
        if args.json {
            for trunk in &mut objects {
                trunk["status"] = json!(known.iter().find(|one| one["id"] == trunk["id"]));
            }
        }
    }
    if kind.prefix == ScheduleId::PREFIX && !objects.is_empty() && !args.json {
        let zone = opening::account_zone(&client).await?;
        let cell = |schedule: &Value| opening::now(schedule, &zone).unwrap_or_default();
        let cells = objects.iter().map(|one| (Style::Plain, cell(one))).collect();
        extras.push(Extra { head: "NOW", cells });
    }
    find::say_list::<Value>(objects, args.json, |objects| {
        if objects.is_empty() {
            return none_yet(kind);
        }
        fields::list(&(kind.fields)(), objects, &extras, Terminal::of_stdout())
    })
}

/// How to make the first one.
#[must_use]
pub fn none_yet(kind: &'static Kind) -> String {
    let example = Page::of(kind).example_of("create").unwrap_or_default();
    format!("No {}s yet. Make one:\n  {example}\n", kind.word)
}

/// State and live calls, where they are known: not those of another node, or made a moment ago.
fn of_trunks(known: &[Option<&Value>]) -> Vec<Extra> {
    let known: Vec<Option<TrunkStatus>> =
        known.iter().map(|one| TrunkStatus::deserialize((*one)?).ok()).collect();
    let state = |one: &Option<TrunkStatus>| {
        one.as_ref().map_or_else(|| (Style::Dim, "-".to_owned()), TrunkStatus::shown)
    };
    let live = |one: &Option<TrunkStatus>| {
        (Style::Plain, one.as_ref().map_or_else(String::new, |it| it.live.to_string()))
    };
    vec![
        Extra { head: "STATE", cells: known.iter().map(state).collect() },
        Extra { head: "LIVE", cells: known.iter().map(live).collect() },
    ]
}

/// Lists of a kind that are shown as tables below its fields, and whose items have lines of their own
/// among changes.
pub const TABLES: [&str; 2] = ["destinations", "rates"];

async fn show(client: &Client, kind: &Kind, object: &Value) -> anyhow::Result<String> {
    let terminal = Terminal::of_stdout();
    let notes = opening::notes(client, object).await?;
    let mut text = fields::show(&(kind.fields)(), object, &notes, &TABLES, terminal);
    if kind.prefix == RateDeckId::PREFIX {
        text.push('\n');
        text.push_str(&rates(&object["rates"], terminal));
    }
    if kind.prefix == ForwardingFlowId::PREFIX {
        text.push('\n');
        let flow = Flow::deserialize(object)?;
        text.push_str(&find::destinations(&flow.destinations, terminal));
    }
    Ok(text)
}

fn rates(rates: &Value, terminal: Terminal) -> String {
    let row = |rate: &Value| {
        let prefix = Some(text(rate, "prefix")).filter(|prefix| !prefix.is_empty());
        vec![
            (Style::Name, prefix.unwrap_or_else(|| "any".to_owned())),
            (Style::Plain, text(rate, "per_minute")),
            (Style::Plain, text(rate, "increment")),
        ]
    };
    let rows: Vec<_> = rates.as_array().into_iter().flatten().map(row).collect();
    let columns = ["PREFIX", "PER MINUTE", "INCREMENT"].map(Column::Whole);
    table(terminal, &columns, &rows)
}
