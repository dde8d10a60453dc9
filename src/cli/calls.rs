//! `divert calls …`: what happened to calls and what happens now.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::client::{Client, ServerArgs};
use super::find::{CallArg, Page, Part, call_id};
use super::input::{When, count, when, word};
use super::ladder;
use super::terminal::{
    Column, Style, Terminal, plain, say, say_json, short_ids, shorten, table, wrap,
};
use super::view::{Call, Entry, Leg, offset};
use crate::config::Config;
use crate::model::cause::CallResult;
use crate::model::timeline::duration;

/// The widest result.
const VERDICT: usize = 14;
/// The widest title of a step, and where its sentence stands: behind the time and the title.
const TITLE: usize = 12;
const STEP_INDENT: usize = 12 + 2 + TITLE + 2;
/// How often `tail` looks.
const TAIL: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub enum CallsCommand {
    /// Calls, newest first
    #[command(
        after_help = "Examples:\n  divert calls list --live\n  divert calls list --flow \"Solar East\" \
        --result no_answer --since 1h\n  divert calls list --from 2026-11-21 --to \"2026-11-21 12:00\"\n  \
        divert calls list --session 01m7y97xc1"
    )]
    List(ListArgs),
    /// Write calls as CSV to standard output
    #[command(
        after_help = "Example:\n  divert calls export --from 2026-11-01 --to 2026-12-01 > november.csv"
    )]
    Export(ExportArgs),
    /// One call: its timeline and legs, or its ladder
    #[command(after_help = "Example:\n  divert calls show 01m7y97xc1 --ladder")]
    Show(ShowArgs),
    /// Follow calls as they come and go, like `tail -f`
    #[command(after_help = "Example:\n  divert calls tail")]
    Tail(TailArgs),
    /// End a call
    #[command(after_help = "Example:\n  divert calls end 01m7y97xc1")]
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
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = count::<1, 200>)]
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

/// Their help is that of the filters of the API: see `flags`.
#[derive(Args, Debug)]
struct Filter {
    #[command(flatten)]
    part: Part,
    #[arg(long, value_name = "ID")]
    session: Option<CallArg>,
    #[arg(long)]
    did: Option<String>,
    #[arg(long)]
    caller: Option<String>,
    #[arg(long, value_parser = word::<CallResult>())]
    result: Option<CallResult>,
    #[arg(long, value_name = "HOW", value_parser = ["include", "exclude", "only"])]
    test: Option<String>,
    /// Live calls only
    #[arg(long)]
    live: bool,
    #[arg(long, visible_alias = "since", value_name = "TIME", value_parser = when)]
    from: Option<When>,
    #[arg(long, value_name = "TIME", value_parser = when)]
    to: Option<When>,
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The call, or as much of its id as tells it from others
    id: CallArg,
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
    /// The call, or as much of its id as tells it from others
    id: CallArg,
    #[command(flatten)]
    server: ServerArgs,
}

impl Filter {
    async fn query(&self, client: &Client) -> anyhow::Result<Vec<(&'static str, String)>> {
        let texts = [("did", &self.did), ("caller", &self.caller), ("test", &self.test)];
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key, text.clone()?)));
        let times = [("from", &self.from), ("to", &self.to)];
        let times = times
            .into_iter()
            .filter_map(|(key, time)| Some((key, time.as_ref()?.here().rfc3339())));
        let result = self.result.map(|result| ("result", result.to_string()));
        let live = self.live.then(|| ("live", "true".to_owned()));
        let mut query = self.part.query(client).await?;
        query.extend(texts.chain(times).chain(result).chain(live));
        if let Some(session) = &self.session {
            query.push(("session", call_id(client, session).await?.to_string()));
        }
        Ok(query)
    }
}

/// # Errors
/// See [`Client`].
pub async fn run(command: &CallsCommand, config: &Config) -> anyhow::Result<()> {
    match command {
        CallsCommand::End(args) => {
            let client = Client::new(&args.server, config)?;
            let id = call_id(&client, &args.id).await?;
            let _: Value = client.post(&format!("/v1/calls/{id}/end"), &json!({})).await?;
            say(&format!("{id} is being ended\n"))
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
    let is_filtered = !query.is_empty();
    query.push(("limit", args.limit.to_string()));
    query.extend(args.cursor.clone().map(|cursor| ("cursor", cursor)));
    let path = if args.collapse { "/v1/sessions" } else { "/v1/calls" };
    let answer: Value = client.get(path, &query).await?;
    if args.json {
        return say_json(&answer);
    }
    let page = Page::<Call>::deserialize(&answer)?;
    if page.data.is_empty() && is_filtered {
        return say("No call fits.\n");
    }
    say(&listing(&page.data, Terminal::of_stdout()))?;
    page.next().map_or(Ok(()), |cursor| say(&format!("more: --cursor {cursor}\n")))
}

async fn show(args: &ShowArgs, client: &Client) -> anyhow::Result<()> {
    let id = call_id(client, &args.id).await?;
    let answer: Value = client.get(&format!("/v1/calls/{id}"), &[]).await?;
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
    let id = short_ids(terminal, std::iter::once(call.id.as_str())).concat();
    let what = format!(
        "{} → {}  {}{}{talk}",
        plain(&call.caller.to_string()),
        plain(&call.did),
        call.flow_name(),
        if call.is_test() { " · test" } else { "" },
    );
    let room = terminal.width.saturating_sub(8 + 2 + VERDICT + 2 + 2 + id.len());
    format!(
        "{}  {}  {}  {}\n",
        call.started_at.show("%H:%M:%S"),
        terminal.paint(call.style(), &format!("{verdict:<VERDICT$}")),
        shorten(&what, room),
        terminal.paint(Style::Dim, &plain(&id)),
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
            (Style::Plain, call.started_at.show("%m-%d %H:%M")),
            (Style::Plain, plain(&call.caller.number)),
            (Style::Plain, plain(&call.did)),
            (Style::Plain, call.flow_name()),
            (call.style(), call.verdict().replace('_', " ")),
            (Style::Plain, talk),
            (Style::Warn, tags.join(" ")),
            (Style::Dim, plain(&call.id)),
        ]
    };
    let columns = [
        Column::Whole("STARTED"),
        Column::Name("CALLER"),
        Column::Name("DID"),
        Column::Name("FLOW"),
        Column::Whole("RESULT"),
        Column::Whole("TALK"),
        Column::Whole("TAG"),
        Column::Id("ID"),
    ];
    table(terminal, &columns, &calls.iter().map(row).collect::<Vec<_>>())
}

/// The timeline and the legs of one call.
#[must_use]
pub fn story(call: &Call, terminal: Terminal) -> String {
    let parts = [
        format!("{} → {}", plain(&call.caller.to_string()), plain(&call.did)),
        format!("flow {}", call.flow_name()),
        call.started_at.show("%F %H:%M:%S %Z"),
    ];
    let mut text = format!(
        "{}  {}{}\n{}\n",
        terminal.paint(Style::Bold, &plain(&call.id)),
        terminal.paint(call.style(), &call.verdict().replace('_', " ")),
        terminal.paint(Style::Warn, if call.is_test() { "  test" } else { "" }),
        wrap(&parts, " · ", terminal.width),
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
    let columns = [
        Column::Whole("LEG"),
        Column::Name("DESTINATION"),
        Column::Whole("OUTCOME"),
        Column::Whole("RANG"),
        Column::Whole("CAUSE"),
        Column::Whole("SIP"),
        Column::Name("ENDPOINT"),
    ];
    let rows: Vec<_> = call.legs.iter().map(row).collect();
    let text = text + "\n" + &table(terminal, &columns, &rows);
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
    let sentence = plain(&entry.sentence);
    let words: Vec<String> = sentence.split(' ').map(str::to_owned).collect();
    let lines = wrap(&words, " ", terminal.width.saturating_sub(STEP_INDENT));
    format!(
        "{}  {}  {}\n",
        terminal.paint(Style::Dim, &when),
        terminal.paint(style, &format!("{title:<TITLE$}")),
        lines.trim_end().replace('\n', &format!("\n{}", " ".repeat(STEP_INDENT))),
    )
}
