//! `divert keys …`: the keys of the HTTP API, kept in the database. The first one has to be made
//! here, because the API itself asks for one.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::json;
use strum::VariantArray as _;

use super::find::pick;
use super::input::count;
use super::terminal::{Column, Style, Terminal, plain, say, say_json, table};
use super::view::Moment;
use super::{Failure, database};
use crate::api::{Scope, new_key};
use crate::clock;
use crate::config::Config;
use crate::model::id::KeyId;
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::text::unseen_fault;
use crate::model::time::Timestamp;
use crate::store::ApiKey;

const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key and print it, this once
    #[command(after_help = "Example:\n  divert keys create --name grafana --scope calls:read")]
    Create(CreateArgs),
    /// All keys, without their secrets
    #[command(after_help = "Example:\n  divert keys list")]
    List(ListArgs),
    /// Make a key worthless, at once and for good
    #[command(after_help = "Example:\n  divert keys revoke 01m7y97xc1")]
    Revoke(RevokeArgs),
}

#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Who or what will use it
    #[arg(long)]
    name: String,
    /// May be given again
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = scope())]
    scopes: Vec<Scope>,
    /// Days until it expires; it does not unless given
    #[arg(long, value_name = "DAYS", value_parser = count::<1, 3650>)]
    days: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One of the scopes; a mistake is answered with all of them.
fn scope() -> impl TypedValueParser<Value = Scope> {
    let words = Scope::VARIANTS.iter().map(<&'static str>::from);
    PossibleValuesParser::new(words).try_map(|typed| typed.parse())
}

#[derive(Args, Debug)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub struct RevokeArgs {
    /// The key, or as much of its id as tells it from others
    id: String,
}

/// # Errors
/// See [`database::failure`]; [`Failure::Input`] for a key that does not exist.
pub async fn run(command: &KeysCommand, config: &Config) -> anyhow::Result<()> {
    let db = database::open(config).await?;
    match command {
        KeysCommand::Create(args) => {
            if !(1..=60).contains(&args.name.trim().chars().count()) {
                let text = "--name: 1 to 60 characters that tell who uses the key";
                return Err(Failure::Input(text.to_owned()).into());
            }
            if let Some((message, hint)) = unseen_fault(&args.name) {
                return Err(Failure::Input(format!("--name: {message}; {hint}")).into());
            }
            let now = clock::now();
            let expires = args.days.map(|days| now.plus_ms(i64::from(days) * DAY_MS));
            let id = KeyId::new(clock::mint());
            let (text, key) = new_key(id, args.name.trim(), &args.scopes, now, expires);
            let added = db.add_key(DEFAULT_ACCOUNT, &key).await;
            added.map_err(|error| database::failure(&error))?;
            if args.json {
                return say_json(&json!({ "id": id.to_string(), "key": text }));
            }
            // The key alone on standard output, so that it can be piped into a file.
            eprintln!("{id}, shown this once:");
            say(&format!("{text}\n"))
        }
        KeysCommand::List(args) => {
            let keys = db.keys(DEFAULT_ACCOUNT).await.map_err(|error| database::failure(&error))?;
            list(&keys, args.json)
        }
        KeysCommand::Revoke(args) => {
            let keys = db.keys(DEFAULT_ACCOUNT).await.map_err(|error| database::failure(&error))?;
            let ids: Vec<String> = keys.iter().map(|key| key.id.to_string()).collect();
            let named = ids.iter().zip(&keys).map(|(id, key)| (id.as_str(), key.name.as_str()));
            let id = keys[pick(&args.id, named, "key")?].id;
            let revoked = db.revoke_key(DEFAULT_ACCOUNT, id, clock::now()).await;
            if revoked.map_err(|error| database::failure(&error))? {
                return say(&format!("{id} is revoked\n"));
            }
            let text = format!("{id} was revoked before");
            Err(Failure::Input(text).into())
        }
    }
}

fn list(keys: &[ApiKey], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let at = |at: Option<Timestamp>| at.map(Timestamp::rfc3339);
        let one = |key: &ApiKey| {
            json!({ "id": key.id, "name": key.name, "scopes": key.scopes,
                "created_at": key.created_at.rfc3339(), "expires_at": at(key.expires_at),
                "revoked_at": at(key.revoked_at) })
        };
        return say_json(&keys.iter().map(one).collect::<Vec<_>>());
    }
    if keys.is_empty() {
        return say("No keys yet. Make one:\n  divert keys create --name me --scope admin\n");
    }
    let now = clock::now();
    let row = |key: &ApiKey| {
        let day = |at: Timestamp| Moment(at.0).show("%F");
        let (state, style) = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => (format!("revoked {}", day(at)), Style::Dim),
            (None, Some(at)) if at <= now => (format!("expired {}", day(at)), Style::Dim),
            (None, Some(at)) => (format!("until {}", day(at)), Style::Good),
            (None, None) => ("good".to_owned(), Style::Good),
        };
        vec![
            (Style::Name, plain(&key.name)),
            (Style::Plain, key.scopes.join(" ")),
            (style, state),
            (Style::Dim, key.id.to_string()),
        ]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    let columns =
        [Column::Name("NAME"), Column::Name("SCOPES"), Column::Whole("STATE"), Column::Id("ID")];
    say(&table(Terminal::of_stdout(), &columns, &rows))
}
