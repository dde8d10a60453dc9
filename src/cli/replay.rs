//! `divert replay`: runs the journal of one call through the engine of this program and tells
//! where it would act differently today.

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::find::{CallArg, only};
use super::terminal::{Style, Terminal, say, say_json};
use super::view::offset;
use super::{Failure, database};
use crate::config::Config;
use crate::engine::Command;
use crate::engine::journal::{JournalEntry, replay};
use crate::model::id::CallId;
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::store::{CallFilter, Db};

#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The call, or as much of its id as tells it from others
    id: CallArg,
    /// Print the journal itself: one JSON object per input
    #[arg(long, conflicts_with = "json")]
    journal: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// # Errors
/// [`Failure::Quiet`] when the engine differs; [`Failure::Input`] for a call without a journal; see
/// [`database::failure`].
pub async fn run(args: &ReplayArgs, config: &Config) -> anyhow::Result<()> {
    let db = database::open(config).await?;
    let id = find(&db, &args.id).await?;
    let lines = db.journal(DEFAULT_ACCOUNT, id).await;
    let lines = lines.map_err(|error| database::failure(&error))?;
    if lines.is_empty() {
        return Err(Failure::Input(format!("there is no journal of {id}")).into());
    }
    if args.journal {
        let text: Vec<String> = lines.iter().map(|line| line.body.to_string()).collect();
        return say(&(text.join("\n") + "\n"));
    }
    let mut journal = Vec::with_capacity(lines.len());
    for line in &lines {
        let entry = JournalEntry::deserialize(&line.body).map_err(|error| {
            Failure::Failed(format!("entry {} is of another divert: {error}", line.seq))
        })?;
        journal.push(entry);
    }
    judge(&journal, args.json)
}

async fn find(db: &Db, typed: &CallArg) -> anyhow::Result<CallId> {
    let typed = match typed {
        CallArg::Whole(id) => return Ok(*id),
        CallArg::Beginning(typed) => typed,
    };
    let filter = CallFilter { ids: CallId::beginning(typed), ..CallFilter::default() };
    let found = db.calls(DEFAULT_ACCOUNT, &filter, None, 4).await;
    let found = found.map_err(|error| database::failure(&error))?;
    let ids: Vec<String> = found.iter().map(|call| call.id.to_string()).collect();
    Ok(only(typed, ids.iter().map(String::as_str))?.parse()?)
}

/// Replays and tells the first difference.
fn judge(journal: &[JournalEntry], as_json: bool) -> anyhow::Result<()> {
    let Err(found) = replay(journal) else {
        let text = format!("✔ {} inputs lead to the recorded commands\n", journal.len());
        return if as_json {
            say_json(&json!({ "same": true, "inputs": journal.len() }))
        } else {
            say(&text)
        };
    };
    let entry = &journal[found.entry];
    if as_json {
        say_json(&json!({ "same": false, "entry": found.entry, "input": entry.input,
            "recorded": found.recorded, "replayed": found.replayed }))?;
    } else {
        let terminal = Terminal::of_stdout();
        let since = journal.first().map_or(0, |first| entry.at.since_ms(first.at));
        let mut text = format!(
            "✘ differs at input {} of {}, {}\n    {}\n",
            found.entry + 1,
            journal.len(),
            offset(since),
            serde_json::to_string(&entry.input)?,
        );
        let sides = [("-", Style::Bad, &found.recorded), ("+", Style::Good, &found.replayed)];
        for (sign, style, commands) in sides {
            for command in commands.iter().map(command_line) {
                text.push_str(&terminal.paint(style, &format!("{sign} {}", command?)));
                text.push('\n');
            }
        }
        say(&(text + "- recorded, + this divert\n"))?;
    }
    Err(Failure::Quiet(1).into())
}

fn command_line(command: &Command) -> serde_json::Result<String> {
    serde_json::to_string(command)
}
