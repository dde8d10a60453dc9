//! `divert calls …`: what happened to calls and what happens now.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::client::{Client, ServerArgs};
use super::find::{Page, Part};
use super::input::{moment_as_typed, word};
use super::ladder;
use super::terminal::{Style, Terminal, plain, say, say_json, table};
use super::view::{Call, Entry, Leg, offset};
use crate::config::Config;
use crate::model::cause::CallResult;
use crate::model::id::CallId;
use crate::model::timeline::duration;

/// How often `tail` looks.
const TAIL: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub enum CallsCommand {
    /// Calls, newest first
    #[command(
        after_help = "Examples:\n  divert calls list --live\n  divert calls list --flow \"Solar East\" \
        --result no_answer --from 2026-11-21T00:00:00Z\n  divert calls list --session call_…"
    )]
    List(ListArgs),
    /// Write calls as CSV to standard output
    #[command(
        after_help = "Example:\n  divert calls export --from 2026-11-01T00:00:00Z > november.csv"
    )]
    Export(ExportArgs),
    /// One call: its timeline and legs, or its ladder
    #[command(after_help = "Example:\n  divert calls show call_… --ladder")]
    Show(ShowArgs),
    /// Follow calls as they come and go, like `tail -f`
    #[command(after_help = "Example:\n  divert calls tail")]
    Tail(TailArgs),
    /// End a call
    #[command(after_help = "Example:\n  divert calls end call_…")]
    End(EndArgs),
}

#[derive(Args, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    filter: Filter,
    /// One row for calls of a caller that followed each other
    #[arg(long, conflicts_with = "session")]
    collapse: bool,
    /// How many
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
    /// Where the last page ended
    #[arg(long)]
    cursor: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct ExportArgs {
    #[command(flatten)]
    filter: Filter,
    /// For a spreadsheet: no phone number is taken for a sum
    #[arg(long)]
    excel: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
struct Filter {
    #[command(flatten)]
    part: Part,
    /// The calls of one session: the id of its first
    #[arg(long, value_name = "ID")]
    session: Option<CallId>,
    /// The number that was called
    #[arg(long)]
    did: Option<String>,
    /// The number that called
    #[arg(long)]
    caller: Option<String>,
    /// What became of it
    #[arg(long, value_parser = word::<CallResult>())]
    result: Option<CallResult>,
    /// Test calls: include, exclude or only
    #[arg(long, value_name = "HOW")]
    test: Option<String>,
    /// Live calls only
    #[arg(long)]
    live: bool,
    /// Not before this moment (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = moment_as_typed)]
    from: Option<String>,
    /// Before this moment
    #[arg(long, value_name = "TIME", value_parser = moment_as_typed)]
    to: Option<String>,
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    id: CallId,
    /// Draw who sent what to whom
    #[arg(long, conflicts_with = "json")]
    ladder: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct TailArgs {
    #[command(flatten)]
    filter: Filter,
    /// One JSON object per change
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct EndArgs {
    id: CallId,
    #[command(flatten)]
    server: ServerArgs,
}

impl Filter {
    async fn query(&self, client: &Client) -> anyhow::Result<Vec<(&'static str, String)>> {
        let texts = [
            ("did", &self.did),
            ("caller", &self.caller),
            ("test", &self.test),
            ("from", &self.from),
            ("to", &self.to),
        ];
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key, text.clone()?)));
        let result = self.result.map(|result| ("result", result.to_string()));
        let live = self.live.then(|| ("live", "true".to_owned()));
        let session = self.session.map(|session| ("session", session.to_string()));
        let mut query = self.part.query(client).await?;
        query.extend(texts.chain(result).chain(live).chain(session));
        Ok(query)
    }
}

/// # Errors
/// See [`Client`].
pub async fn run(command: &CallsCommand, config: &Config) -> anyhow::Result<()> {
    match command {
        CallsCommand::End(args) => {
            let client = Client::new(&args.server, config)?;
            let _: Value = client.post(&format!("/v1/calls/{}/end", args.id), &json!({})).await?;
            say(&format!("{} is being ended\n", args.id))
        }
        CallsCommand::Export(args) => {
            let client = Client::new(&args.server, config)?;
            let mut query = args.filter.query(&client).await?;
            query.extend(args.excel.then(|| ("excel", "1".to_owned())));
            client.download("/v1/calls.csv", &query).await
        }
        CallsCommand::List(args) => list(args, &Client::new(&args.server, config)?).await,
        CallsCommand::Show(args) => show(args, &Client::new(&args.server, config)?).await,
        CallsCommand::Tail(args) => tail(args, &Client::new(&args.server, config)?).await,
    }
}

async fn list(args: &ListArgs, client: &Client) -> anyhow::Result<()> {
    let mut query = args.filter.query(client).await?;
    query.push(("limit", args.limit.to_string()));
    query.extend(args.cursor.clone().map(|cursor| ("cursor", cursor)));
    let path = if args.collapse { "/v1/sessions" } else { "/v1/calls" };
    let answer: Value = client.get(path, &query).await?;
    if args.json {
        return say_json(&answer);
    }
    let page = Page::<Call>::deserialize(&answer)?;
    say(&listing(&page.data, Terminal::of_stdout()))?;
    page.next().map_or(Ok(()), |cursor| say(&format!("more: --cursor {cursor}\n")))
}

async fn show(args: &ShowArgs, client: &Client) -> anyhow::Result<()> {
    let answer: Value = client.get(&format!("/v1/calls/{}", args.id), &[]).await?;
    if args.json {
        return say_json(&answer);
    }
    let call = Call::deserialize(&answer)?;
    let terminal = Terminal::of_stdout();
    say(&if args.ladder { ladder::draw(&call, terminal) } else { story(&call, terminal) })
}

/// Runs until it is interrupted.
async fn tail(args: &TailArgs, client: &Client) -> anyhow::Result<()> {
    let terminal = Terminal::of_stdout();
    let mut query = args.filter.query(client).await?;
    query.push(("limit", "50".to_owned()));
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut tick = tokio::time::interval(TAIL);
    let mut interrupted = signal(SignalKind::interrupt()).context("SIGINT")?;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = interrupted.recv() => return Ok(()),
        }
        let mut page: Page<Value> = client.get("/v1/calls", &query).await?;
        page.data.reverse();
        let mut now = BTreeMap::new();
        for value in page.data {
            let call = Call::deserialize(&value)?;
            let verdict = call.verdict().to_owned();
            if seen.get(&call.id) != Some(&verdict) {
                say(&if args.json { format!("{value}\n") } else { tail_line(&call, terminal) })?;
            }
            now.insert(call.id, verdict);
        }
        // What has left the page can not come back as news.
        seen = now;
    }
}

fn tail_line(call: &Call, terminal: Terminal) -> String {
    let verdict = call.verdict().replace('_', " ");
    let talk =
        if call.talk_ms() > 0 { format!(" {}", duration(call.talk_ms())) } else { String::new() };
    format!(
        "{}  {}  {} → {}  {}{}{talk}  {}\n",
        call.started_at.show("%H:%M:%S"),
        terminal.paint(call.style(), &format!("{verdict:<13}")),
        plain(&call.caller.to_string()),
        plain(&call.did),
        call.flow_name(),
        if call.is_test() { " · test" } else { "" },
        terminal.paint(Style::Dim, &plain(&call.id)),
    )
}

fn listing(calls: &[Call], terminal: Terminal) -> String {
    if calls.is_empty() {
        return "No calls. Place one:\n  divert test-call FLOW\n".to_owned();
    }
    let row = |call: &Call| {
        let talk = if call.talk_ms() > 0 { duration(call.talk_ms()) } else { String::new() };
        let mut tags: Vec<String> = call.tags.iter().map(|tag| plain(tag)).collect();
        if call.attempts > 1 {
            tags.push(format!("×{}", call.attempts));
        }
        vec![
            (Style::Plain, call.started_at.show("%m-%d %H:%M:%S")),
            (Style::Plain, plain(&call.caller.number)),
            (Style::Plain, plain(&call.did)),
            (Style::Plain, call.flow_name()),
            (call.style(), call.verdict().replace('_', " ")),
            (Style::Plain, talk),
            (Style::Warn, tags.join(" ")),
            (Style::Dim, plain(&call.id)),
        ]
    };
    let heads = ["STARTED", "CALLER", "DID", "FLOW", "RESULT", "TALK", "TAG", "ID"];
    table(terminal, &heads, &calls.iter().map(row).collect::<Vec<_>>())
}

/// The timeline and the legs of one call.
#[must_use]
pub fn story(call: &Call, terminal: Terminal) -> String {
    let mut text = format!(
        "{}  {}{}\n{} → {} · flow {} · {}\n\n",
        terminal.paint(Style::Bold, &plain(&call.id)),
        terminal.paint(call.style(), &call.verdict().replace('_', " ")),
        terminal.paint(Style::Warn, if call.is_test() { "  test" } else { "" }),
        plain(&call.caller.to_string()),
        plain(&call.did),
        call.flow_name(),
        call.started_at.show("%F %H:%M:%S %Z"),
    );
    for entry in &call.timeline {
        text.push_str(&step_line(entry, terminal));
    }
    if call.legs.is_empty() {
        return text;
    }
    let row = |leg: &Leg| {
        let rang = match (leg.ringing_at, leg.answered_at.or(leg.ended_at)) {
            (Some(from), Some(to)) => duration((to.0 - from.0).max(0)),
            _ => "-".to_owned(),
        };
        let outcome = leg.outcome.as_deref().unwrap_or("live").replace('_', " ");
        let style = if outcome == "answered" { Style::Good } else { Style::Warn };
        let number = |code: Option<u16>| code.map_or_else(|| "-".to_owned(), |c| c.to_string());
        vec![
            (Style::Plain, leg.no.to_string()),
            (Style::Name, plain(&leg.name)),
            (style, outcome),
            (Style::Plain, rang),
            (Style::Plain, number(leg.cause)),
            (Style::Plain, number(leg.sip_code)),
            (Style::Dim, plain(&leg.endpoint)),
        ]
    };
    let heads = ["LEG", "DESTINATION", "OUTCOME", "RANG", "CAUSE", "SIP", "ENDPOINT"];
    let rows: Vec<_> = call.legs.iter().map(row).collect();
    let text = text + "\n" + &table(terminal, &heads, &rows);
    match &call.cost {
        Some(cost) => text + &format!("\nThe call cost {cost}.\n"),
        None => text,
    }
}

/// One line of a timeline: when, what, and why.
#[must_use]
pub fn step_line(entry: &Entry, terminal: Terminal) -> String {
    let when = if entry.seq == 0 {
        entry.at.show("%H:%M:%S%.3f")
    } else {
        format!("{:>12}", offset(entry.offset_ms))
    };
    let title = plain(&entry.title);
    let style = match title.as_str() {
        "Answered" => Style::Good,
        "Adopted" | "Ended" | "Fallback" | "Received" => Style::Bold,
        "Ringing" | "Routed" => Style::Name,
        "Abandoned" | "Cancelled" | "Lost race" => Style::Warn,
        _ => Style::Bad,
    };
    format!(
        "{}  {}  {}\n",
        terminal.paint(Style::Dim, &when),
        terminal.paint(style, &format!("{title:<12}")),
        plain(&entry.sentence),
    )
}
