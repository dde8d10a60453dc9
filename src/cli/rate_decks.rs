//! `divert rate-decks …`: what calls cost, asked of the running server. Decks are written with
//! `divert apply`.

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::client::{Client, ServerArgs};
use super::find::{ListArgs, find, list, say_list};
use super::terminal::{Column, Style, Terminal, plain, say, say_json, table};
use crate::config::Config;
use crate::model::id::RateDeckId;

const PATH: &str = "/v1/rate-decks";

#[derive(Debug, Subcommand)]
pub enum RateDecksCommand {
    /// All rate decks
    #[command(after_help = "Example:\n  divert rate-decks list")]
    List(ListArgs),
    /// The rates of one
    #[command(after_help = "Example:\n  divert rate-decks show retail")]
    Show(ShowArgs),
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Name or id of the rate deck
    deck: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Deserialize)]
struct Deck {
    id: String,
    name: String,
    #[serde(default)]
    rates: Vec<Rate>,
    #[serde(default)]
    rounding: String,
    #[serde(default)]
    bills_ring_time: bool,
}

#[derive(Debug, Deserialize)]
struct Rate {
    #[serde(default)]
    prefix: String,
    per_minute: String,
    increment: String,
}

/// # Errors
/// See [`Client`]; [`Failure::Input`](super::Failure::Input) for a name nobody has.
pub async fn run(command: &RateDecksCommand, config: &Config) -> anyhow::Result<()> {
    let (RateDecksCommand::List(ListArgs { json, server })
    | RateDecksCommand::Show(ShowArgs { json, server, .. })) = command;
    let client = Client::new(server, config)?;
    let terminal = Terminal::of_stdout();
    match command {
        RateDecksCommand::List(_) => {
            let decks = list(&client, PATH, &[]).await?;
            say_list(decks, *json, |decks| listing(decks, terminal))
        }
        RateDecksCommand::Show(args) => {
            let deck = find::<RateDeckId>(&client, PATH, &args.deck, "rate deck").await?;
            if *json {
                return say_json(&deck);
            }
            say(&rates(&Deck::deserialize(deck)?, terminal))
        }
    }
}

fn listing(decks: &[Deck], terminal: Terminal) -> String {
    if decks.is_empty() {
        return "No rate decks yet: a deck says what calls cost. Write one and run\n  \
                divert apply FILE\n"
            .to_owned();
    }
    let row = |deck: &Deck| {
        let from = if deck.bills_ring_time { "ring" } else { "answer" };
        vec![
            (Style::Name, plain(&deck.name)),
            (Style::Plain, deck.rates.len().to_string()),
            (Style::Plain, plain(&deck.rounding)),
            (Style::Plain, from.to_owned()),
            (Style::Dim, plain(&deck.id)),
        ]
    };
    let rows: Vec<_> = decks.iter().map(row).collect();
    let columns = [
        Column::Name("NAME"),
        Column::Whole("RATES"),
        Column::Whole("ROUNDING"),
        Column::Whole("BILLED FROM"),
        Column::Id("ID"),
    ];
    table(terminal, &columns, &rows)
}

fn rates(deck: &Deck, terminal: Terminal) -> String {
    let row = |rate: &Rate| {
        let prefix = if rate.prefix.is_empty() { "any" } else { &rate.prefix };
        vec![
            (Style::Name, plain(prefix)),
            (Style::Plain, plain(&rate.per_minute)),
            (Style::Plain, plain(&rate.increment)),
        ]
    };
    let rows: Vec<_> = deck.rates.iter().map(row).collect();
    let columns = ["PREFIX", "PER MINUTE", "INCREMENT"].map(Column::Whole);
    table(terminal, &columns, &rows)
}
