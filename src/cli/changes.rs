//! `divert changes …`: who changed what of the configuration, and the way back, asked of the running
//! server.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs};
use super::fields::inner;
use super::find::{self, say_list};
use super::input::{agreed, count};
use super::manual::command_of;
use super::objects::TABLES;
use super::plan::shown;
use super::terminal::{Column, Style, Terminal, plain, say, say_json, table};
use super::view::Moment;
use crate::config::Config;
use crate::model::objects::KINDS;
use crate::model::plan::{self, Action};

const PATH: &str = "/v1/changes";

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ChangesArgs {
    #[command(subcommand)]
    command: Option<ChangesCommand>,
    #[command(flatten)]
    list: ListChangesArgs,
}

#[derive(Debug, Subcommand)]
enum ChangesCommand {
    /// The last changes, newest first
    #[command(after_help = "Example:\n  divert changes list --kind trunks --by ann")]
    List(ListChangesArgs),
    /// All that one change did, as a plan tells it
    #[command(after_help = "Example:\n  divert changes show 42")]
    Show(ShowArgs),
    /// Make everything as it was before one change
    ///
    /// That is a change of its own, which can be undone too. What was changed again since is not
    /// undone.
    #[command(after_help = "Example:\n  divert changes undo 42")]
    Undo(UndoArgs),
}

#[derive(Args, Debug)]
pub struct ListChangesArgs {
    /// Only those of this kind: trunks, flows, numbers …
    #[arg(long)]
    kind: Option<String>,
    /// Only those of the object with this id
    #[arg(long, value_name = "ID")]
    object: Option<String>,
    /// Only those that this key or user made
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// How many lines
    #[arg(long, default_value = "50", value_parser = count::<1, 200>)]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Its number in the list: the version of the configuration that it led to
    #[arg(value_name = "N", value_parser = count::<1, { u32::MAX }>)]
    version: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct UndoArgs {
    /// Its number in the list: the version of the configuration that it led to
    #[arg(value_name = "N", value_parser = count::<1, { u32::MAX }>)]
    version: u32,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// One object within one version.
#[derive(Debug, Deserialize)]
struct Changed {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
    /// Only where one version was asked for.
    #[serde(default)]
    before: Option<Value>,
    #[serde(default)]
    after: Option<Value>,
}

/// The same in a list.
#[derive(Debug, Deserialize)]
struct Listed {
    version: i64,
    at: Moment,
    by: Author,
    #[serde(default)]
    action: String,
    #[serde(flatten)]
    changed: Changed,
}

/// All of one version.
#[derive(Debug, Deserialize)]
struct OneVersion {
    version: i64,
    at: Moment,
    by: Author,
    changes: Vec<Changed>,
}

/// What taking back a version did.
#[derive(Debug, Deserialize)]
struct Undone {
    version: i64,
    changes: Vec<PlanLine>,
}

#[derive(Debug, Deserialize)]
struct PlanLine {
    action: String,
    text: String,
}

#[derive(Debug, Deserialize)]
struct Author {
    name: String,
}

impl Changed {
    /// `trunk carrier`; the account is the only one of its kind.
    fn what(&self) -> String {
        let word = plain(&self.kind).replace('_', " ");
        if word == "account" { word } else { format!("{word} {}", plain(&self.name)) }
    }

    /// As a plan tells it, with the parts that have lines of their own.
    fn lines(&self) -> Vec<(Action, String)> {
        lines(&self.what(), self.before.as_ref(), self.after.as_ref())
    }
}

fn action_of(word: &str) -> Action {
    match word {
        "add" => Action::Add,
        "remove" => Action::Remove,
        _ => Action::Change,
    }
}

/// `~ trunk carrier: max_live 30 → 20`, `+ trunk office: address 10.0.0.2:5060`.
pub(super) fn lines(
    what: &str,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Vec<(Action, String)> {
    let nothing = json!({});
    let told = match (before, after) {
        (Some(before), Some(after)) => {
            let mut told = plan::fields(before, after);
            told.extend(dids(before, after));
            told.join(", ")
        }
        (one, other) => fields_of(one.or(other).unwrap_or(&nothing)),
    };
    let action = match (before, after) {
        (None, _) => Action::Add,
        (_, None) => Action::Remove,
        _ => Action::Change,
    };
    let parts = parts(what, before.unwrap_or(&nothing), after.unwrap_or(&nothing));
    let is_told = !told.is_empty() || action != Action::Change || parts.is_empty();
    let own = match told.as_str() {
        "" => what.to_owned(),
        told => format!("{what}: {told}"),
    };
    is_told.then_some((action, own)).into_iter().chain(parts).collect()
}

/// `DID +1202 added`, in the words of a plan. The rows of a flow have none.
fn dids(before: &Value, after: &Value) -> Vec<String> {
    let of = |flow: &Value| -> BTreeSet<String> {
        let dids = flow["dids"].as_array().into_iter().flatten();
        dids.filter_map(Value::as_str).map(plain).collect()
    };
    let (was, is) = (of(before), of(after));
    let added = is.difference(&was).map(|did| format!("DID {did} added"));
    let gone = was.difference(&is).map(|did| format!("DID {did} removed"));
    added.chain(gone).collect()
}

/// What is set, but for what the line says already and for parts.
fn fields_of(object: &Value) -> String {
    let fields = object.as_object().into_iter().flatten();
    let told = fields.filter(|(key, value)| {
        !matches!(key.as_str(), "id" | "name" | "dids")
            && !value.is_null()
            && !TABLES.contains(&key.as_str())
    });
    told.map(|(key, value)| format!("{key} {}", inner(value))).collect::<Vec<_>>().join(", ")
}

/// Destinations of a flow, rates of a deck: each by what tells it from the others.
fn parts(what: &str, before: &Value, after: &Value) -> Vec<(Action, String)> {
    let mut found = Vec::new();
    for key in TABLES {
        let of = |object: &Value| object[key].as_array().cloned().unwrap_or_default();
        let (was, is) = (of(before), of(after));
        let word = key.strip_suffix('s').unwrap_or(key);
        let name = |item: &Value| {
            let name = item["name"].as_str().or(item["prefix"].as_str());
            match name {
                Some("") => format!("{word} for all others of {what}"),
                Some(name) => format!("{word} {} of {what}", plain(name)),
                None => format!("{word} {} of {what}", inner(item)),
            }
        };
        let same = |one: &Value, other: &Value| match one.get("id").or(one.get("prefix")) {
            Some(id) => Some(id) == other.get("id").or(other.get("prefix")),
            None => one == other,
        };
        for gone in was.iter().filter(|one| !is.iter().any(|other| same(one, other))) {
            found.extend(lines(&name(gone), Some(gone), None));
        }
        for one in &is {
            match was.iter().find(|other| same(one, other)) {
                Some(other) if other == one => {}
                before => found.extend(lines(&name(one), before, Some(one))),
            }
        }
    }
    found
}

/// # Errors
/// See [`Client`]; [`Failure::Failed`](super::Failure::Failed) for what cannot be undone, with the
/// reasons.
pub async fn run(args: &ChangesArgs, config: &Config) -> anyhow::Result<()> {
    let terminal = Terminal::of_stdout();
    match &args.command {
        None => list(&args.list, config).await,
        Some(ChangesCommand::List(args)) => list(args, config).await,
        Some(ChangesCommand::Show(args)) => {
            let client = Client::new(&args.server, config)?;
            let answer: Value = client.get(&format!("{PATH}/{}", args.version), &[]).await?;
            if args.json {
                return say_json(&answer);
            }
            say(&OneVersion::deserialize(answer)?.show(terminal))
        }
        Some(ChangesCommand::Undo(args)) => {
            let client = Client::new(&args.server, config)?;
            let path = format!("{PATH}/{}", args.version);
            if !args.yes {
                let version: OneVersion = client.get(&path, &[]).await?;
                say(&version.show(terminal))?;
                agreed("Undo all of this?", false)?;
            }
            let answer: Value = client.post_slow(&format!("{path}/undo")).await?;
            if args.json {
                return say_json(&answer);
            }
            let Undone { version, changes } = Undone::deserialize(answer)?;
            if changes.is_empty() {
                return say("nothing to undo: all is as it was before\n");
            }
            let line = |line: &PlanLine| shown(action_of(&line.action), &line.text, terminal);
            let lines: String = changes.iter().map(line).collect();
            say(&format!("{lines}\nundone: this is configuration {version}\n"))
        }
    }
}

async fn list(args: &ListChangesArgs, config: &Config) -> anyhow::Result<()> {
    let client = Client::new(&args.server, config)?;
    let filters = [
        ("kind", args.kind.as_deref().map(kind_of)),
        ("object", args.object.clone()),
        ("by", args.by.clone()),
        ("limit", Some(args.limit.to_string())),
    ];
    let mut query: Vec<_> =
        filters.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let is_filtered = query.len() > 1;
    let mut page: find::Page<Value> = client.get(PATH, &query).await?;
    if args.json {
        return say_list::<Value>(page.data, true, |_| String::new());
    }
    let limit = args.limit as usize;
    let mut lines: Vec<Line> = Vec::new();
    loop {
        let listed = page.data.drain(..).map(Listed::deserialize);
        fold(&mut lines, listed.collect::<Result<_, _>>()?);
        // The last line may be of more numbers than this page had room for.
        let is_open = lines.last().is_some_and(|line| line.first.changed.kind == NUMBER);
        let cursor = page.next().filter(|_| lines.len() < limit || lines.len() == limit && is_open);
        let Some(cursor) = cursor else { break };
        query.retain(|(key, _)| !matches!(*key, "cursor" | "limit"));
        query.extend([("limit", find::MOST_PER_PAGE.to_owned()), ("cursor", cursor)]);
        page = client.get(PATH, &query).await?;
    }
    lines.truncate(limit);
    say(&listing(&lines, is_filtered, Terminal::of_stdout()))
}

/// What the API calls a number.
const NUMBER: &str = "number";

/// A line of the list: one object, or all numbers of one change to which the same was done.
struct Line {
    first: Listed,
    /// What the last of them is called, and how many there are.
    last: String,
    count: usize,
}

impl Line {
    fn takes(&self, next: &Listed) -> bool {
        let numbers = self.first.changed.kind == NUMBER && next.changed.kind == NUMBER;
        numbers && self.first.version == next.version && self.first.action == next.action
    }

    fn what(&self) -> String {
        match self.count {
            1 => self.first.changed.what(),
            // Those of one change are listed from the last to the first.
            many => {
                let (first, last) = (plain(&self.last), plain(&self.first.changed.name));
                format!("{many} numbers: {first} … {last}")
            }
        }
    }
}

/// One import may bring a hundred thousand numbers, which are no hundred thousand lines.
fn fold(lines: &mut Vec<Line>, listed: Vec<Listed>) {
    for one in listed {
        match lines.last_mut().filter(|line| line.takes(&one)) {
            Some(line) => {
                line.last = one.changed.name;
                line.count += 1;
            }
            None => lines.push(Line { last: one.changed.name.clone(), first: one, count: 1 }),
        }
    }
}

/// The word of the API for a kind, which may be typed as its command: `rate-decks`.
fn kind_of(typed: &str) -> String {
    let meant = KINDS.iter().find(|kind| {
        let word = command_of(kind);
        word == typed || word.strip_suffix('s') == Some(typed)
    });
    let word = meant.map_or(typed, |kind| kind.word).replace([' ', '-'], "_");
    match word.as_str() {
        "numbers" => "number".to_owned(),
        _ => word,
    }
}

fn listing(all: &[Line], is_filtered: bool, terminal: Terminal) -> String {
    if all.is_empty() {
        return if is_filtered { "No change fits.\n" } else { "Nothing was changed yet.\n" }
            .to_owned();
    }
    let row = |line: &Line| {
        let one = &line.first;
        let action = action_of(&one.action);
        let style = match action {
            Action::Add => Style::Good,
            Action::Change => Style::Warn,
            Action::Remove => Style::Bad,
        };
        vec![
            (Style::Plain, one.version.to_string()),
            (Style::Dim, one.at.show("%F %H:%M:%S")),
            (Style::Plain, plain(&one.by.name)),
            (style, action.to_string()),
            (Style::Name, line.what()),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    let columns = [
        Column::Whole("N"),
        Column::Whole("AT"),
        Column::Name("BY"),
        Column::Whole(""),
        Column::Name("WHAT"),
    ];
    table(terminal, &columns, &rows)
}

impl OneVersion {
    /// Who and when, then what.
    fn show(&self, terminal: Terminal) -> String {
        let at = self.at.show("%F %H:%M:%S %Z");
        let head = format!("change {} · {at} · by {}", self.version, plain(&self.by.name));
        let lines = self.changes.iter().flat_map(Changed::lines);
        let lines = lines.map(|(action, line)| shown(action, &line, terminal));
        terminal.paint(Style::Bold, &head) + "\n" + &lines.collect::<String>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_as_a_plan_tells_it() {
        let change = |kind: &str, before: Value, after: Value| {
            let change = json!({ "kind": kind, "name": "a", "before": before, "after": after });
            Changed::deserialize(change).unwrap()
        };
        let told = |one: Changed| -> Vec<String> {
            one.lines().iter().map(|(action, text)| format!("{action} {text}")).collect()
        };
        let trunk = |max: u32| json!({ "id": "trk_1", "name": "a", "max_live": max });
        assert_eq!(told(change("trunk", trunk(30), trunk(20))), ["~ trunk a: max_live 30 → 20"]);
        assert_eq!(told(change("trunk", Value::Null, trunk(30))), ["+ trunk a: max_live 30"]);
        assert_eq!(told(change("trunk", trunk(30), Value::Null)), ["- trunk a: max_live 30"]);
        let account = json!({ "max_live": 5 });
        assert_eq!(told(change("account", json!({}), account)), ["~ account: max_live none → 5"]);
        let flow = |destinations: Value| json!({ "name": "a", "destinations": destinations });
        let (one, two) =
            (json!({ "id": "dst_1", "name": "x", "weight": 1 }), json!({ "id": "dst_2" }));
        let mut heavier = one.clone();
        heavier["weight"] = json!(2);
        assert_eq!(
            told(change("forwarding_flow", flow(json!([one, two])), flow(json!([heavier])))),
            [
                "- destination {id: dst_2} of forwarding flow a",
                "~ destination x of forwarding flow a: weight 1 → 2",
            ]
        );
        // Once, though they are a list of mappings too.
        let capped = |max: u32| json!({ "name": "a", "caps": [{ "max": max, "per": "day" }] });
        assert_eq!(
            told(change("forwarding_flow", capped(1), capped(2))),
            ["~ forwarding flow a: caps [{max 1, per day}] → [{max 2, per day}]"]
        );
    }
}
