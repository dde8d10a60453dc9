//! `divert account …`: what holds for everything of the account, asked of the running server.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{Client, ServerArgs};
use super::fields::{self, Assignment};
use super::objects::changed;
use super::terminal::{Terminal, say, say_json};
use crate::config::Config;
use crate::model::object::Record as _;
use crate::model::objects::account::AccountSettings;

const PATH: &str = "/v1/account";

#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// The settings as they are
    #[command(after_help = "Example:\n  divert account show")]
    Show(ShowArgs),
    /// Change some of them; an empty value takes the default
    #[command(after_help = "Example:\n  divert account set time_zone=America/Chicago \
        max_live=500\nFields: divert help account")]
    Set(SetArgs),
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct SetArgs {
    #[arg(
        required = true,
        value_name = "FIELD=VALUE",
        help = "As max_live=500; max_live= for none"
    )]
    fields: Vec<Assignment>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// # Errors
/// See [`Client`]; [`Failure::Input`](super::Failure::Input) for what cannot be read.
pub async fn run(command: &AccountCommand, config: &Config) -> anyhow::Result<()> {
    let terminal = Terminal::of_stdout();
    match command {
        AccountCommand::Show(args) => {
            let client = Client::new(&args.server, config)?;
            let account: Value = client.get(PATH, &[]).await?;
            if args.json {
                return say_json(&account);
            }
            say(&fields::show(&AccountSettings::fields(), &account, &[], &[], terminal))
        }
        AccountCommand::Set(args) => {
            let client = Client::new(&args.server, config)?;
            let patch = fields::document(&args.fields, &AccountSettings::fields())?;
            let before: Value = client.get(PATH, &[]).await?;
            let after: Value = client.patch(PATH, &Value::Object(patch)).await?;
            if args.json {
                say_json(&after)
            } else {
                say(&changed("account", &before, &after, terminal))
            }
        }
    }
}
