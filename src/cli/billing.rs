//! `divert cdrs …` and `divert balance …`: what calls cost, and what there is to pay it with.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs};
use super::find::{ListArgs, Page, Part, id_of, list, say_list};
use super::input::{When, count, when};
use super::terminal::{Column, Style, Terminal, plain, say, say_json, table};
use super::view::Moment;
use crate::config::Config;
use crate::model::billing::Micros;
use crate::model::id::TrunkId;
use crate::model::timeline::duration;

#[derive(Debug, Subcommand)]
pub enum CdrsCommand {
    /// Bills, those of the newest calls first
    #[command(after_help = "Example:\n  divert cdrs list --flow \"Solar East\" --since today")]
    List(ListCdrsArgs),
    /// Write bills as CSV to standard output
    #[command(after_help = "Example:\n  divert cdrs export --from 2026-11-01 > november.csv")]
    Export(ExportArgs),
}

#[derive(Args, Debug)]
struct Filter {
    #[command(flatten)]
    part: Part,
    /// Name or id of a trunk
    #[arg(long)]
    trunk: Option<String>,
    /// Not before this time, of this machine's zone: 1h (ago), today, yesterday,
    /// 2026-11-26, "2026-11-26 09:30", or with an offset from UTC
    #[arg(long, visible_alias = "since", value_name = "TIME", value_parser = when)]
    from: Option<When>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = when)]
    to: Option<When>,
}

#[derive(Args, Debug)]
pub struct ExportArgs {
    #[command(flatten)]
    filter: Filter,
    /// For a spreadsheet: no number is taken for a sum
    #[arg(long)]
    excel: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct ListCdrsArgs {
    #[command(flatten)]
    filter: Filter,
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

#[derive(Debug, Subcommand)]
pub enum BalanceCommand {
    /// Put money into the account; below zero takes it out again
    #[command(after_help = "Example:\n  divert balance add 250.00 --note \"invoice 4711\"")]
    Add(AddArgs),
    /// All that was put in, newest first
    #[command(after_help = "Example:\n  divert balance list")]
    List(ListArgs),
    /// What the account has left
    #[command(after_help = "Example:\n  divert balance show")]
    Show(ListArgs),
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
struct Credit {
    id: String,
    amount: String,
    currency: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    at: Moment,
}

#[derive(Debug, Deserialize)]
struct Balance {
    amount: String,
    currency: String,
    #[serde(default)]
    prepaid: bool,
}

impl Filter {
    fn is_empty(&self) -> bool {
        let Self { part, trunk, from, to } = self;
        part.is_empty() && trunk.is_none() && from.is_none() && to.is_none()
    }

    async fn query(&self, client: &Client) -> anyhow::Result<Vec<(&'static str, String)>> {
        let mut query = self.part.query(client).await?;
        if let Some(trunk) = &self.trunk {
            query.push(("trunk", id_of::<TrunkId>(client, "/v1/trunks", trunk, "trunk").await?));
        }
        let times = [("from", &self.from), ("to", &self.to)];
        query.extend(
            times
                .into_iter()
                .filter_map(|(key, time)| Some((key, time.as_ref()?.here().rfc3339()))),
        );
        Ok(query)
    }
}

/// # Errors
/// See [`Client`]; [`Failure::Input`](super::Failure::Input) for a name nobody has.
pub async fn cdrs(command: &CdrsCommand, config: &Config) -> anyhow::Result<()> {
    match command {
        CdrsCommand::Export(args) => {
            let client = Client::new(&args.server, config)?;
            let mut query = args.filter.query(&client).await?;
            query.extend(args.excel.then(|| ("excel", "1".to_owned())));
            client.download("/v1/cdrs.csv", &query).await
        }
        CdrsCommand::List(args) => list_cdrs(args, &Client::new(&args.server, config)?).await,
    }
}

async fn list_cdrs(args: &ListCdrsArgs, client: &Client) -> anyhow::Result<()> {
    let mut query = args.filter.query(client).await?;
    query.push(("limit", args.limit.to_string()));
    query.extend(args.cursor.clone().map(|cursor| ("cursor", cursor)));
    let answer: Value = client.get("/v1/cdrs", &query).await?;
    if args.json {
        return say_json(&answer);
    }
    let page = Page::<Bill>::deserialize(&answer)?;
    if page.data.is_empty() && !args.filter.is_empty() {
        return say("No bill fits.\n");
    }
    say(&listing(&page.data, Terminal::of_stdout()))?;
    page.next().map_or(Ok(()), |cursor| say(&format!("more: --cursor {cursor}\n")))
}

fn listing(bills: &[Bill], terminal: Terminal) -> String {
    if bills.is_empty() {
        return "Nothing was billed.\n".to_owned();
    }
    let row = |bill: &Bill| {
        let Rate { prefix, per_minute, increment } = &bill.cost.rate;
        vec![
            (Style::Plain, bill.started_at.show("%m-%d %H:%M")),
            (Style::Name, plain(&bill.endpoint)),
            (Style::Plain, duration((bill.ended_at.0 - bill.answered_at.0).max(0))),
            (Style::Plain, format!("{} s", bill.cost.billed_sec)),
            (Style::Plain, plain(&format!("{per_minute} {increment} ({prefix}…)"))),
            (Style::Bold, plain(&format!("{} {}", bill.cost.amount, bill.cost.currency))),
            // The call's: what can be asked for.
            (Style::Dim, plain(bill.id.split('-').next().unwrap_or_default())),
        ]
    };
    let columns = [
        Column::Whole("STARTED"),
        Column::Name("ENDPOINT"),
        Column::Whole("TALK"),
        Column::Whole("BILLED"),
        Column::Name("RATE"),
        Column::Whole("COST"),
        Column::Id("CALL"),
    ];
    table(terminal, &columns, &bills.iter().map(row).collect::<Vec<_>>())
}

fn credits(credits: &[Credit], terminal: Terminal) -> String {
    if credits.is_empty() {
        return "Nothing was put in yet:\n  divert balance add AMOUNT\n".to_owned();
    }
    let row = |credit: &Credit| {
        vec![
            (Style::Plain, credit.at.show("%F %R")),
            (Style::Bold, plain(&format!("{} {}", credit.amount, credit.currency))),
            (Style::Plain, plain(&credit.note)),
            (Style::Dim, plain(&credit.id)),
        ]
    };
    let columns =
        [Column::Whole("AT"), Column::Whole("AMOUNT"), Column::Name("NOTE"), Column::Id("ID")];
    table(terminal, &columns, &credits.iter().map(row).collect::<Vec<_>>())
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
        BalanceCommand::List(args) => {
            let client = Client::new(&args.server, config)?;
            let all = list(&client, "/v1/account/credits", &[]).await?;
            say_list(all, args.json, |all| credits(all, Terminal::of_stdout()))
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
