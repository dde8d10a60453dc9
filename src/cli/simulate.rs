//! `divert simulate`: one call through the flows of a configuration document, on the simulator.
//!
//! The engine and its decisions are those of the server; Asterisk, its phones and the time are not.
//! A phone behaves by the number that is dialled, as in `asterisk/phones`, whichever trunk leads to
//! it, or as `--outcome` says. Nothing is connected, nothing is written, and no settings are read.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;

use super::Failure;
use super::calls::story;
use super::input::count;
use super::ladder;
use super::plan::{faults, read, warn};
use super::terminal::{Style, Terminal, say};
use super::view::{Call, Entry, Flow, Leg, Moment, Money};
use crate::clock;
use crate::engine::sim::{Phones, Sim};
use crate::model::billing::Micros;
use crate::model::call::{CallRecord, LegRecord};
use crate::model::cause::Outcome;
use crate::model::configuration::Configuration;
use crate::model::document::Unnamed;
use crate::model::id::CallId;
use crate::model::number::{Caller, DialNumber, Did};
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::objects::destination::Landing;
use crate::model::objects::forwarding_flow::Fallback;
use crate::model::timeline::TimelineEntry;
use crate::routing::check::advise;
use crate::routing::snapshot::Snapshot;
use crate::yaml;

#[derive(Args, Debug)]
pub struct SimulateArgs {
    /// The document in YAML or JSON; - reads standard input
    file: String,
    /// The number that is called; the first one of the document unless given
    #[arg(long)]
    did: Option<Did>,
    /// The number that calls
    #[arg(long, value_name = "NUMBER", default_value = "+12025550142")]
    caller: String,
    /// Seconds until the caller hangs up after the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = count::<1, 3600>)]
    talk: u32,
    /// What becomes of a number that is dialled, as 12025550100=busy; may be given again
    #[arg(long = "outcome", value_name = "NUMBER=OUTCOME", value_parser = outcome)]
    outcomes: Vec<(DialNumber, Outcome)>,
}

/// So many numbers are named where one was meant.
const MOST_NAMED: usize = 8;

/// The table of the numbering plan, for the help.
pub const PLAN: &str = "\
What becomes of a number that is dialled is what --outcome says:
  answered, bad_number, busy, codec_mismatch, declined, no_answer, trunk_failed,
  trunk_rejected or unreachable
Otherwise numbers of four digits behave by the first two, and all others answer:
  10xx  rings 0.5 s, answers       16xx  480, nobody is there
  11xx  486, busy                  17xx  404, no such number
  12xx  rings and never answers    18xx  503, the trunk fails
  13xx  603, declined              19xx  answers, hangs up after 2 s
  14xx  busy after 3 s             20xx  answers at once
  15xx  answers after 2 s          21xx  500   22xx  403
A trunk named dead never replies.

Examples:
  divert simulate flows.yaml --did 8005550199
  divert simulate flows.yaml --outcome 12025550100=busy --outcome 1002=no_answer";

fn outcome(typed: &str) -> Result<(DialNumber, Outcome), String> {
    let words = || Phones::CHOICES.map(|outcome| outcome.to_string()).join(", ");
    let hint =
        || format!("type NUMBER=OUTCOME, as 12025550100=busy; an outcome is one of {}", words());
    let (number, outcome) = typed.split_once('=').ok_or_else(hint)?;
    let outcome = outcome.parse().ok().filter(|outcome| Phones::CHOICES.contains(outcome));
    let number = number.parse().map_err(|_| hint())?;
    Ok((number, outcome.ok_or_else(hint)?))
}

/// # Errors
/// [`Failure::Input`] for a document with faults or without a number, and for an outcome of a number
/// that it never dials; [`Failure::Quiet`] when nobody answered.
pub fn run(args: &SimulateArgs) -> anyhow::Result<()> {
    let configuration = configuration(&args.file)?;
    let mut dids = configuration.forwarding_flows.iter().flat_map(|flow| &flow.dids);
    let did = args.did.as_ref().or_else(|| dids.next()).cloned().ok_or_else(|| {
        Failure::Input(format!("{}: no forwarding flow has a number to call", args.file))
    })?;

    let chosen = chosen(&args.outcomes, &configuration)?;
    let mut sim = Sim::new(clock::now(), snapshot(configuration, &did));
    sim.phones = Phones { chosen, others: Some(Outcome::Answered) };
    let call = play(&mut sim, &did, Caller::clean(&args.caller, ""), i64::from(args.talk) * 1_000);
    let call = seen(&sim, call).ok_or_else(|| Failure::Failed("the call left no record".into()))?;

    let terminal = Terminal::of_stdout();
    let note = "Simulated: no Asterisk, no SIP and no sound; the times are those of a model.";
    say(&format!("{}\n\n", terminal.paint(Style::Warn, note)))?;
    say(&format!("{}\n{}", story(&call, terminal), ladder::draw(&call, terminal)))?;
    say(&format!("{}\n", terminal.paint(Style::Warn, "simulated")))?;
    if call.result.as_deref() == Some("answered") { Ok(()) } else { Err(Failure::Quiet(1).into()) }
}

fn configuration(file: &str) -> Result<Configuration, Failure> {
    let empty = Configuration::default();
    let reading = yaml::read_configuration(&read(file)?, &empty, Unnamed::Keep, &mut clock::mint);
    let reading = reading.map_err(|problems| faults(&problems, file))?;
    warn(&reading.warnings, file);
    warn(&advise(&reading.configuration, &reading.places), file);
    Ok(reading.configuration)
}

/// By the number as it stands in the endpoint. Whoever types a number need not know whether the
/// document has it with a +.
fn chosen(
    outcomes: &[(DialNumber, Outcome)],
    configuration: &Configuration,
) -> Result<BTreeMap<String, Outcome>, Failure> {
    let dialled = dialled(configuration);
    let bare = |number: &DialNumber| number.as_str().trim_start_matches('+').to_owned();
    let mut chosen = BTreeMap::new();
    for (typed, outcome) in outcomes {
        let mut meant = dialled.iter().filter(|number| bare(number) == bare(typed)).peekable();
        if meant.peek().is_none() {
            return Err(never_dialled(typed, &dialled));
        }
        chosen.extend(meant.map(|number| (number.sip_user(), *outcome)));
    }
    Ok(chosen)
}

fn never_dialled(typed: &DialNumber, dialled: &BTreeSet<DialNumber>) -> Failure {
    let mut known: Vec<&str> = dialled.iter().map(DialNumber::as_str).take(MOST_NAMED).collect();
    if dialled.len() > MOST_NAMED {
        known.push("…");
    }
    let known = if known.is_empty() {
        "the document dials none".to_owned()
    } else {
        format!("there is {}", known.join(", "))
    };
    Failure::Input(format!("--outcome {typed}: no destination has this number\n  = help: {known}"))
}

/// Every number that a flow of the document may dial.
fn dialled(configuration: &Configuration) -> BTreeSet<DialNumber> {
    let flows = &configuration.forwarding_flows;
    let destinations = flows.iter().flat_map(|flow| &flow.destinations);
    let landings = destinations.map(|destination| match &destination.landing {
        Landing::Slave { did: number, .. } | Landing::Trunk { number, .. } => number.clone(),
        Landing::TollFree { number } => number.dialled(),
    });
    let fallbacks = flows.iter().filter_map(|flow| match &flow.fallback {
        Fallback::Number { number, .. } => Some(number.clone()),
        Fallback::Dialplan | Fallback::HangUp(_) => None,
    });
    landings.chain(fallbacks).collect()
}

/// What the node of that number's master routes by: two masters may have the same number.
fn snapshot(configuration: Configuration, did: &Did) -> Snapshot {
    let owner = configuration.forwarding_flows.iter().find(|flow| flow.dids.contains(did));
    let master = owner.and_then(|flow| {
        let server = configuration.servers.iter().find(|server| server.id == flow.master)?;
        Some(server.name.clone())
    });
    Snapshot::build(&[(DEFAULT_ACCOUNT, configuration)], master.as_deref())
}

/// Runs one call until nothing of it is left.
fn play(sim: &mut Sim, did: &Did, caller: Caller, talk_ms: i64) -> CallId {
    let (call, channel) = sim.call(did, caller);
    let mut is_there = true;
    while let Some(due) = sim.next_due() {
        let answered = sim.calls.get(&call).and_then(|record| record.answered_at);
        let leaves = answered.map(|at| at.plus_ms(talk_ms)).filter(|at| is_there && *at <= due);
        if let Some(at) = leaves {
            sim.run_until(at);
            sim.hang_up(&channel);
            is_there = false;
        } else {
            sim.run_until(due);
        }
    }
    call
}

/// The call as the commands that show calls know it.
fn seen(sim: &Sim, id: CallId) -> Option<Call> {
    let record = sim.calls.get(&id)?;
    let timeline = sim.timelines.get(&id).into_iter().flatten();
    let bills: Vec<_> = sim.cdrs.iter().filter(|bill| bill.call == id).collect();
    let cost = bills.first().map(|first| Money {
        amount: Micros(bills.iter().map(|bill| bill.charge.amount.0).sum()).to_string(),
        currency: first.charge.currency.to_string(),
    });
    let legs = sim.legs.values().filter(|leg| leg.call == id);
    Some(Call {
        id: id.to_string(),
        did: record.did.to_string(),
        caller: record.caller.clone(),
        forwarding_flow: record.flow.clone().map(|(_, name)| Flow { name }),
        tags: Vec::new(),
        status: record.status.to_string(),
        attempts: 0,
        started_at: Moment(record.started_at.0),
        talk_sec: std::time::Duration::from_millis(record.talk_ms.unsigned_abs()).as_secs_f64(),
        result: record.result.map(|result| result.to_string()),
        ended_by: record.ended_by.map(|by| by.to_string()),
        cause: record.cause.map(|cause| cause.0),
        cost,
        legs: legs.map(seen_leg).collect(),
        timeline: timeline.map(|entry| seen_entry(entry, record)).collect(),
    })
}

fn seen_leg(leg: &LegRecord) -> Leg {
    Leg {
        no: leg.no,
        name: leg.name.clone(),
        endpoint: leg.endpoint.clone(),
        ringing_at: leg.ringing_at.map(|at| Moment(at.0)),
        answered_at: leg.answered_at.map(|at| Moment(at.0)),
        ended_at: leg.ended_at.map(|at| Moment(at.0)),
        outcome: leg.outcome.map(|outcome| outcome.to_string()),
        cause: leg.cause.map(|cause| cause.0),
        sip_code: leg.sip_code,
    }
}

fn seen_entry(entry: &TimelineEntry, call: &CallRecord) -> Entry {
    Entry {
        seq: entry.seq,
        at: Moment(entry.at.0),
        offset_ms: entry.at.since_ms(call.started_at),
        title: entry.step.title().to_owned(),
        sentence: entry.step.sentence(),
        step: serde_json::json!(entry.step),
    }
}
