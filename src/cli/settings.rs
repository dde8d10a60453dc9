//! `divert config …`: the program's own settings and where each value comes from.

use clap::{Args, Subcommand};
use serde_json::json;

use super::terminal::{Style, Terminal, say, say_json, table};
use crate::config::{Loaded, sample};

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every setting with its source; secrets are masked
    #[command(after_help = "Example:\n  DIVERT_LOG_FILTER=debug divert config show")]
    Show(ShowArgs),
    /// Read everything and say whether it is good
    #[command(after_help = "Example:\n  divert config check --config ./divert.toml")]
    Check,
    /// A file with every setting at its default
    #[command(after_help = "Example:\n  divert config sample > /etc/divert/divert.toml")]
    Sample,
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// # Errors
/// Standard output is closed.
pub fn run(command: &ConfigCommand, loaded: &Loaded) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check => say(&match &loaded.file {
            Some(path) => format!("{} is good\n", path.display()),
            None => "no file; environment, flags and defaults are good\n".to_owned(),
        }),
        ConfigCommand::Sample => say(&sample()),
        ConfigCommand::Show(args) if args.json => {
            say_json(&json!({ "file": loaded.file, "settings": loaded.shown() }))
        }
        ConfigCommand::Show(_) => {
            let terminal = Terminal::of_stdout();
            let row = |shown: crate::config::Shown| {
                let style = if shown.source == "default" { Style::Dim } else { Style::Plain };
                let value = if shown.value.is_empty() { "\"\"".to_owned() } else { shown.value };
                vec![(Style::Name, shown.key.to_owned()), (style, value), (style, shown.source)]
            };
            let rows: Vec<_> = loaded.shown().into_iter().map(row).collect();
            say(&table(terminal, &["KEY", "VALUE", "SOURCE"], &rows))
        }
    }
}
