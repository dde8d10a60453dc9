//! `divert plan` and `divert apply`: a configuration document against what stands in the database,
//! first as words, then as rows. A running server notices the new version by itself. `divert export`
//! writes what stands there as such a document.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::{fs, iter};

use clap::Args;
use serde_json::json;

use super::input::agreed;
use super::terminal::{Style, Terminal, plain, say, say_json};
use super::{Failure, database};
use crate::clock;
use crate::config::Config;
use crate::model::change::diff;
use crate::model::configuration::Configuration;
use crate::model::document::{Unnamed, read_document, write_document};
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::plan::{Action, PlanLine, describe, taken_away};
use crate::model::problem::{Problem, render};
use crate::model::text::decode;
use crate::routing::check::advise;
use crate::store::{Db, StoreError};
use crate::yaml;

#[derive(Args, Debug)]
pub struct PlanArgs {
    #[command(flatten)]
    source: Source,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub struct ApplyArgs {
    #[command(flatten)]
    source: Source,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Source {
    /// The document in YAML or JSON; - reads standard input
    pub file: String,
    /// Remove what the document does not name
    #[arg(long)]
    pub prune: bool,
}

/// A document that was read, and what it would change.
pub(super) struct Proposal {
    version: i64,
    pub old: Configuration,
    pub new: Configuration,
    lines: Vec<PlanLine>,
    pub warnings: Vec<Problem>,
}

/// # Errors
/// [`Failure::Input`] for a document with faults; see [`database::failure`].
pub async fn plan(args: &PlanArgs, config: &Config) -> anyhow::Result<()> {
    let db = database::open(config).await?;
    let proposal = propose(&args.source, &db).await?;
    if args.json {
        let body = json!({ "version": proposal.version, "changes": proposal.lines,
            "warnings": proposal.warnings });
        return say_json(&body);
    }
    warn(&proposal.warnings, &args.source.file);
    say(&proposal.show(Terminal::of_stdout()))
}

/// # Errors
/// As [`plan`]; [`Failure::Failed`] when somebody else changed the configuration meanwhile.
pub async fn apply(args: &ApplyArgs, config: &Config) -> anyhow::Result<()> {
    let db = database::open(config).await?;
    let proposal = propose(&args.source, &db).await?;
    warn(&proposal.warnings, &args.source.file);
    say(&proposal.show(Terminal::of_stdout()))?;
    if proposal.lines.is_empty() {
        return Ok(());
    }
    agreed("Apply?", args.yes)?;
    let changes = diff(&proposal.old, &proposal.new);
    let (version, author) = (proposal.version, database::author());
    let written = db.change(DEFAULT_ACCOUNT, version, &changes, &author, clock::now()).await;
    match written {
        Ok(version) => say(&format!("applied: this is configuration {version}\n")),
        Err(error @ StoreError::Stale { .. }) => {
            let text = format!("{error}; nothing was written, run divert apply again");
            Err(Failure::Failed(text).into())
        }
        Err(error) => Err(database::failure(&error).into()),
    }
}

/// # Errors
/// See [`database::failure`]; standard output is closed.
pub async fn export(args: &ExportArgs, config: &Config) -> anyhow::Result<()> {
    let db = database::open(config).await?;
    let current = db.configuration(DEFAULT_ACCOUNT).await;
    let (current, _) = current.map_err(|error| database::failure(&error))?;
    let document = write_document(&current);
    if args.json { say_json(&document) } else { say(&yaml::write(&document)) }
}

pub(super) async fn propose(source: &Source, db: &Db) -> anyhow::Result<Proposal> {
    let text = read(&source.file)?;
    let current = db.configuration(DEFAULT_ACCOUNT).await;
    let (old, version) = current.map_err(|error| database::failure(&error))?;
    let document = yaml::read(&text).map_err(|problem| faults(&[problem], &source.file))?;
    let unnamed = if source.prune { Unnamed::Prune } else { Unnamed::Keep };
    let reading = read_document(&document.value, &old, unnamed, &mut clock::mint);
    let with_lines = |mut problems: Vec<Problem>| {
        problems.extend(document.problems.iter().cloned());
        document.locate(&mut problems);
        problems
    };
    match reading {
        Ok(reading) if document.problems.is_empty() => {
            let mut warnings = reading.warnings;
            warnings.extend(advise(&reading.configuration, &reading.places));
            warnings.extend(taken_away(&old, &reading.configuration, &reading.places));
            document.locate(&mut warnings);
            let lines = describe(&old, &reading.configuration);
            Ok(Proposal { version, old, new: reading.configuration, lines, warnings })
        }
        Ok(_) => Err(faults(&with_lines(Vec::new()), &source.file).into()),
        Err(problems) => Err(faults(&with_lines(problems), &source.file).into()),
    }
}

pub(super) fn read(file: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if file == "-" {
        io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(file)
    };
    let bytes = read.map_err(|error| Failure::Input(format!("{file}: {error}")))?;
    decode(bytes).map_err(|fault| Failure::Input(format!("{file}: {fault}")))
}

pub(super) fn faults(problems: &[Problem], file: &str) -> Failure {
    let summary = match problems.len() {
        1 => "1 problem; nothing was changed".to_owned(),
        more => format!("{more} problems; nothing was changed"),
    };
    let shown = problems.iter().take(MOST_FAULTS);
    let lines = shown.map(|problem| format!("error: {}", plain(&render(problem, file))));
    let more = problems.len().saturating_sub(MOST_FAULTS);
    let more = (more > 0).then(|| format!("… and {more} more"));
    let lines: Vec<String> = lines.chain(more).chain(iter::once(summary)).collect();
    Failure::Input(lines.join("\n"))
}

pub(super) fn warn(warnings: &[Problem], file: &str) {
    for line in warning_lines(warnings, file) {
        eprintln!("warning: {line}");
    }
}

/// Each warning once; of a kind that comes again and again the first, and how many more there are.
fn warning_lines(warnings: &[Problem], file: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let warnings: Vec<&Problem> = warnings.iter().filter(|warning| seen.insert(*warning)).collect();
    let mut told = BTreeSet::new();
    let mut lines = Vec::new();
    for warning in &warnings {
        let alike = warnings.iter().filter(|other| other.code == warning.code).count();
        let line = plain(&render(warning, file));
        if alike <= MOST_ALIKE {
            lines.push(line);
        } else if told.insert(warning.code) {
            lines.push(format!("{line} (and {} more like this)", alike - 1));
        }
    }
    lines
}

/// So many faults are told: whoever mends them sees the others then.
const MOST_FAULTS: usize = 50;
/// So many warnings of a kind are told one by one.
const MOST_ALIKE: usize = 5;

/// One line of a plan.
pub(super) fn shown(action: Action, text: &str, terminal: Terminal) -> String {
    let style = match action {
        Action::Add => Style::Good,
        Action::Change => Style::Warn,
        Action::Remove => Style::Bad,
    };
    format!("{} {}\n", terminal.paint(style, &action.to_string()), plain(text))
}

impl Proposal {
    fn show(&self, terminal: Terminal) -> String {
        if self.lines.is_empty() {
            return format!("nothing to change: configuration {} is like that\n", self.version);
        }
        let line = |line: &PlanLine| shown(line.action, &line.text, terminal);
        let count = |action| self.lines.iter().filter(|line| line.action == action).count();
        let lines: String = self.lines.iter().map(line).collect();
        format!(
            "{lines}\n{} to add, {} to change, {} to remove\n",
            count(Action::Add),
            count(Action::Change),
            count(Action::Remove)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_told_once_and_a_kind_that_comes_again_is_counted() {
        let warning =
            |at: usize, code: &'static str| Problem::new(format!("/a/{at}"), code, "m", "h");
        let one = warning(0, "odd");
        assert_eq!(warning_lines(&[one.clone(), one], "f"), ["f: a[0]: m; h"]);
        let many: Vec<Problem> = (0..40).map(|at| warning(at, "unknown_id")).collect();
        let twice = [many.clone(), many, vec![warning(7, "odd")]].concat();
        assert_eq!(
            warning_lines(&twice, "f"),
            ["f: a[0]: m; h (and 39 more like this)", "f: a[7]: m; h"]
        );
    }

    #[test]
    fn only_so_many_faults_are_told_and_the_others_counted() {
        let fault = |at: usize| Problem::new(format!("/a/{at}"), "x", "m", "h");
        let told = |count: usize| {
            let faults_of: Vec<Problem> = (0..count).map(fault).collect();
            faults(&faults_of, "f").to_string()
        };
        assert_eq!(told(50).lines().count(), 51);
        let text = told(250_000);
        assert_eq!(text.lines().count(), 52);
        assert!(
            text.ends_with("… and 249950 more\n250000 problems; nothing was changed"),
            "{text}"
        );
    }
}
