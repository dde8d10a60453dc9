//! `divert cdrs …` and `divert balance …`: what calls cost, and what there is to pay it with.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs};
use super::input::moment_as_typed;
use super::terminal::{Style, Terminal, plain, say, say_json, table};
use super::view::Moment;
use crate::config::Config;
use crate::model::billing::Micros;
use crate::model::timeline::duration;

#[derive(Debug, Subcommand)]
pub enum CdrsCommand {
    /// Bills, those of the newest calls first
    #[command(after_help = "Example:\n  divert cdrs list --flow flw_… --from 2026-11-21T00:00:00Z")]
    List(ListArgs),
}

#[derive(Args, Debug)]
pub struct ListArgs {
    /// Id of a forwarding flow
    #[arg(long, value_name = "ID")]
    flow: Option<String>,
    /// Id of a destination
    #[arg(long, value_name = "ID")]
    destination: Option<String>,
    /// Id of a trunk
    #[arg(long, value_name = "ID")]
    trunk: Option<String>,
    /// Not before this moment (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = moment_as_typed)]
    from: Option<String>,
    /// Before this moment
    #[arg(long, value_name = "TIME", value_parser = moment_as_typed)]
    to: Option<String>,
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

#[derive(Debug, Subcommand)]
pub enum BalanceCommand {
    /// Put money into the account; below zero takes it out again
    #[command(after_help = "Example:\n  divert balance add 250.00 --note \"invoice 4711\"")]
    Add(AddArgs),
    /// What the account has left
    #[command(after_help = "Example:\n  divert balance show")]
    Show(ShowArgs),
}

#[derive(Args, Debug)]
pub struct AddArgs {
    /// In the account's currency
    #[arg(allow_negative_numbers = true)]
    amount: Micros,
    /// What it is for
    #[arg(long)]
    note: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Deserialize)]
struct Page {
    data: Vec<Bill>,
    #[serde(default)]
    next_cursor: Option<String>,
    #[serde(default)]
    has_more: bool,
}

/// A bill as the API tells it, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Bill {
    id: String,
    #[serde(default)]
    endpoint: String,
    #[serde(default)]
    started_at: Moment,
    #[serde(default)]
    answered_at: Moment,
    #[serde(default)]
    ended_at: Moment,
    cost: Cost,
}

#[derive(Debug, Deserialize)]
struct Cost {
    amount: String,
    currency: String,
    #[serde(default)]
    billed_sec: i64,
    #[serde(default)]
    rate: Rate,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rate {
    prefix: String,
    per_minute: String,
    increment: String,
}

#[derive(Debug, Deserialize)]
struct Balance {
    amount: String,
    currency: String,
    #[serde(default)]
    prepaid: bool,
}

/// # Errors
/// See [`Client`].
pub async fn cdrs(command: &CdrsCommand, config: &Config) -> anyhow::Result<()> {
    let CdrsCommand::List(args) = command;
    let texts = [
        ("flow", &args.flow),
        ("destination", &args.destination),
        ("trunk", &args.trunk),
        ("from", &args.from),
        ("to", &args.to),
        ("cursor", &args.cursor),
    ];
    let mut query: Vec<(&str, String)> =
        texts.into_iter().filter_map(|(key, text)| Some((key, text.clone()?))).collect();
    query.push(("limit", args.limit.to_string()));
    let answer: Value = Client::new(&args.server, config)?.get("/v1/cdrs", &query).await?;
    if args.json {
        return say_json(&answer);
    }
    let page = Page::deserialize(&answer)?;
    say(&listing(&page.data, Terminal::of_stdout()))?;
    match page.next_cursor {
        Some(cursor) if page.has_more => say(&format!("more: --cursor {cursor}\n")),
        _ => Ok(()),
    }
}

fn listing(bills: &[Bill], terminal: Terminal) -> String {
    if bills.is_empty() {
        return "Nothing was billed.\n".to_owned();
    }
    let row = |bill: &Bill| {
        let Rate { prefix, per_minute, increment } = &bill.cost.rate;
        vec![
            (Style::Plain, bill.started_at.show("%m-%d %H:%M:%S")),
            (Style::Name, plain(&bill.endpoint)),
            (Style::Plain, duration((bill.ended_at.0 - bill.answered_at.0).max(0))),
            (Style::Plain, format!("{} s", bill.cost.billed_sec)),
            (Style::Plain, plain(&format!("{per_minute} {increment} ({prefix}…)"))),
            (Style::Bold, plain(&format!("{} {}", bill.cost.amount, bill.cost.currency))),
            (Style::Dim, plain(&bill.id)),
        ]
    };
    let heads = ["STARTED", "ENDPOINT", "TALK", "BILLED", "RATE", "COST", "ID"];
    table(terminal, &heads, &bills.iter().map(row).collect::<Vec<_>>())
}

/// # Errors
/// See [`Client`].
pub async fn balance(command: &BalanceCommand, config: &Config) -> anyhow::Result<()> {
    match command {
        BalanceCommand::Add(args) => {
            let mut body = json!({ "amount": args.amount });
            if let Some(note) = &args.note {
                body["note"] = note.as_str().into();
            }
            let client = Client::new(&args.server, config)?;
            let made: Value = client.post("/v1/account/credits", &body).await?;
            if args.json {
                return say_json(&made);
            }
            let text = |name: &str| plain(made[name].as_str().unwrap_or("?"));
            say(&format!("{}: {} {}\n", text("id"), text("amount"), text("currency")))?;
            say(&format!("The balance is {} {}.\n", text("balance"), text("currency")))
        }
        BalanceCommand::Show(args) => {
            let client = Client::new(&args.server, config)?;
            let answer: Value = client.get("/v1/account/balance", &[]).await?;
            if args.json {
                return say_json(&answer);
            }
            let Balance { amount, currency, prepaid } = Balance::deserialize(&answer)?;
            let how = if prepaid { "prepaid" } else { "postpaid" };
            say(&format!("{} {}, {how}\n", plain(&amount), plain(&currency)))
        }
    }
}
