//! `divert config …`: the program's own settings and where each value comes from.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Failure;
use super::input::for_a_shell;
use super::terminal::{Column, Style, Terminal, say, say_json, table};
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
    #[command(after_help = "Example:\n  divert config sample /etc/divert/divert.toml")]
    Sample(SampleArgs),
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub struct SampleArgs {
    /// Write it there, for you alone to read; never over a file that is there
    file: Option<PathBuf>,
}

/// # Errors
/// Standard output is closed, or the file can not be made.
pub fn write_sample(args: &SampleArgs) -> anyhow::Result<()> {
    let Some(path) = &args.file else { return say(&sample()) };
    // It is where a password will be written.
    let made = File::options().write(true).create_new(true).mode(0o600).open(path);
    let written = made.and_then(|mut file| file.write_all(sample().as_bytes()));
    written.map_err(|error| {
        let folder = path.parent().unwrap_or(path).display().to_string();
        let path = path.display();
        let hint = match error.kind() {
            io::ErrorKind::AlreadyExists => {
                "; it stays as it is. To see the sample: divert config sample".to_owned()
            }
            io::ErrorKind::NotFound => {
                format!("; make its folder: mkdir -p -m 700 {}", for_a_shell(&folder))
            }
            _ => String::new(),
        };
        Failure::Failed(format!("{path} can not be made: {error}{hint}")).into()
    })
}

/// # Errors
/// Standard output is closed.
pub fn run(command: &ConfigCommand, loaded: &Loaded) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check => say(&match &loaded.file {
            Some(path) => format!("{} is good\n", path.display()),
            None => "no file; environment, flags and defaults are good\n".to_owned(),
        }),
        ConfigCommand::Sample(args) => write_sample(args),
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
            say(&table(
                terminal,
                &[Column::Whole("KEY"), Column::Name("VALUE"), Column::Words("SOURCE")],
                &rows,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_to_make_is_one_word_for_a_shell() {
        let dir = tempfile::tempdir().unwrap();
        for (folder, shown) in
            [("ab", "/ab"), ("a b", "/a b'"), ("a'b", r"/a'\''b'"), ("$a", "/$a'")]
        {
            let file = Some(dir.path().join(folder).join("divert.toml"));
            let error = write_sample(&SampleArgs { file }).unwrap_err().to_string();
            assert!(error.contains("mkdir -p -m 700 ") && error.ends_with(shown), "{error}");
        }
    }
}
