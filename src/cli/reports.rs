//! `divert reports …`: what happened in figures.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;
use strum::VariantArray;

use super::client::{Client, ServerArgs};
use super::find::Part;
use super::input::{When, when, word};
use super::terminal::{Column, Style, Terminal, plain, say, say_json, table, wrap};
use super::view::Flow;
use crate::config::Config;
use crate::model::cause::CallResult;
use crate::model::time::Zone;
use crate::store::By;

#[derive(Debug, Subcommand)]
pub enum ReportsCommand {
    /// Calls, answers, conversations and costs; test calls are never among them
    #[command(after_help = "Examples:\n  divert reports calls --by day --zone America/Chicago\n  \
        divert reports calls --by destination --from 2026-11-01 --csv")]
    Calls(CallsArgs),
}

#[derive(Args, Debug)]
pub struct CallsArgs {
    /// What the rows are: day, hour, flow or destination
    #[arg(long, default_value_t = By::Day, value_parser = word::<By>())]
    by: By,
    /// Not before this time; the last 30 days unless given. As 7d (ago), yesterday,
    /// 2026-11-26 or "2026-11-26 09:30" in --zone, or in this machine's without it
    #[arg(long, visible_alias = "since", value_name = "TIME", value_parser = when)]
    from: Option<When>,
    /// Before this time; now unless given
    #[arg(long, value_name = "TIME", value_parser = when)]
    to: Option<When>,
    /// Whose days and hours; the account's unless given
    #[arg(long, value_name = "NAME")]
    zone: Option<Zone>,
    #[command(flatten)]
    part: Part,
    /// Report on test calls instead
    #[arg(long)]
    tests: bool,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Deserialize)]
struct Report {
    #[serde(default)]
    zone: String,
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    forwarding_flow: Option<Flow>,
    #[serde(default)]
    period: Option<Period>,
    calls: i64,
    sessions: i64,
    answered: i64,
    #[serde(default)]
    answered_per_mille: Option<i64>,
    #[serde(default)]
    results: BTreeMap<String, i64>,
    #[serde(default)]
    talk_minutes: String,
    #[serde(default)]
    costs: Vec<Cost>,
}

#[derive(Debug, Deserialize)]
struct Period {
    local: String,
}

#[derive(Debug, Deserialize)]
struct Cost {
    amount: String,
    currency: String,
}

/// # Errors
/// See [`Client`].
pub async fn run(command: &ReportsCommand, config: &Config) -> anyhow::Result<()> {
    let ReportsCommand::Calls(args) = command;
    let client = Client::new(&args.server, config)?;
    let zone = args.zone.as_ref();
    let rules = zone.map_or_else(TimeZone::system, |zone| zone.rules().clone());
    let times = [("from", &args.from), ("to", &args.to)];
    let mut query = vec![("by", args.by.to_string())];
    query.extend(
        times
            .into_iter()
            .filter_map(|(key, time)| Some((key, time.as_ref()?.within(&rules).rfc3339()))),
    );
    query.extend(zone.map(|zone| ("zone", zone.to_string())));
    query.extend(args.part.query(&client).await?);
    query.extend(args.tests.then(|| ("test", "only".to_owned())));
    if args.csv {
        return client.download("/v1/reports/calls.csv", &query).await;
    }
    let answer: Value = client.get("/v1/reports/calls", &query).await?;
    if args.json {
        return say_json(&answer);
    }
    say(&show(&Report::deserialize(&answer)?, args.by, Terminal::of_stdout()))
}

fn show(report: &Report, by: By, terminal: Terminal) -> String {
    if report.rows.is_empty() {
        return "No calls in this time.\n".to_owned();
    }
    let row = |row: &Row| {
        let name = match (&row.period, &row.name, by) {
            (Some(period), ..) => plain(&period.local),
            (None, Some(name), _) => plain(name),
            (None, None, By::Destination) => "fallback".to_owned(),
            (None, None, _) => "no flow".to_owned(),
        };
        let rate = row.answered_per_mille;
        let rate = rate.map_or_else(String::new, |of| format!("{}.{} %", of / 10, of % 10));
        let cost = |cost: &Cost| format!("{} {}", plain(&cost.amount), plain(&cost.currency));
        let flow = row.forwarding_flow.as_ref().map_or("-", |flow| &flow.name);
        let flow = (by == By::Destination).then(|| (Style::Plain, plain(flow)));
        let figures = [
            (Style::Plain, row.calls.to_string()),
            (Style::Plain, row.sessions.to_string()),
            (Style::Plain, row.answered.to_string()),
            (Style::Plain, rate),
            (Style::Plain, plain(&row.talk_minutes)),
            (Style::Plain, row.costs.iter().map(cost).collect::<Vec<_>>().join(", ")),
        ];
        std::iter::once((Style::Name, name)).chain(flow).chain(figures).collect()
    };
    let rows: Vec<_> = report.rows.iter().map(row).collect();
    let first = match by {
        By::Day => format!("DAY {}", plain(&report.zone)),
        By::Destination => "DESTINATION".to_owned(),
        By::Flow => "FLOW".to_owned(),
        By::Hour => format!("HOUR {}", plain(&report.zone)),
    };
    let mut columns = vec![Column::Name(&first)];
    columns.extend((by == By::Destination).then_some(Column::Name("FLOW")));
    let figures = ["CALLS", "SESSIONS", "ANSWERED", "RATE", "MINUTES"];
    columns.extend(figures.map(Column::Whole));
    columns.push(Column::Words("COST"));
    let table = table(terminal, &columns, &rows);
    // A call that was sent to several destinations would be counted for each.
    if by == By::Destination { table } else { table + &results(&report.rows, terminal) }
}

/// What all calls of the report came to, the best first.
fn results(rows: &[Row], terminal: Terminal) -> String {
    let times = |result: &CallResult| {
        let word = result.to_string();
        let times: i64 = rows.iter().filter_map(|row| row.results.get(&word)).sum();
        (times > 0).then(|| format!("{} {times}", word.replace('_', " ")))
    };
    let said: Vec<String> =
        <CallResult as VariantArray>::VARIANTS.iter().filter_map(times).collect();
    if said.is_empty() {
        return String::new();
    }
    format!("\n{}", wrap(&said, ", ", terminal.width))
}
