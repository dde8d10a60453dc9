//! `divert replay-day`: the calls of a period as the log has them, as the present configuration
//! would route them, and as a draft would.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use clap::Args;
use serde_json::json;

use super::find::pick;
use super::input::{When, when};
use super::plan::{Source, propose, warn};
use super::terminal::{Column, Style, Terminal, plain, say, say_json, table};
use super::{Failure, database};
use crate::config::Config;
use crate::harness::day::{self, Figures, LoggedCall, Period, Share};
use crate::model::billing::Micros;
use crate::model::configuration::Configuration;
use crate::model::id::{DestinationId, ForwardingFlowId, ServerId};
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::time::Zone;
use crate::model::timeline::duration;
use crate::routing::snapshot::Snapshot;
use crate::store::{By, CallUnderWay, Db, ReportQuery};

#[derive(Args, Debug)]
pub struct ReplayDayArgs {
    /// Calls that began at or after this time, of this machine's zone: yesterday, 8h
    /// (ago), 2026-11-26, "2026-11-26 09:30", or with an offset from UTC
    #[arg(long, visible_alias = "since", value_name = "TIME", value_parser = when)]
    from: When,
    /// Calls that began before this time
    #[arg(long, value_name = "TIME", value_parser = when, default_value = "now")]
    to: When,
    /// A configuration document, read over the present configuration
    #[arg(long = "with", value_name = "FILE")]
    draft: String,
    /// Leave out what the document does not name
    #[arg(long)]
    prune: bool,
    /// Name or id of the one forwarding flow to show; the others still take part in the limits
    #[arg(long)]
    flow: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The same calls three times.
struct Comparison {
    logged: Figures,
    present: Figures,
    draft: Figures,
    /// Calls that have not ended, of which nothing can be said.
    left_out: usize,
}

const RULES: [&str; 9] = [
    "A call that anybody answered is answered wherever it goes, after the same ringing",
    "and for the same conversation. An attempt that failed fails the same way on its own",
    "destination. A call nobody answered rings elsewhere in vain, until the ring time is",
    "over or the caller hangs up as they did. Nothing is remembered from before but live",
    "calls: wheels, ties and caps begin anew in PRESENT and DRAFT alike. A call that only",
    "a fallback number answered counts as not taken, in LOGGED too, without its talk and",
    "cost. Balances are not replayed: in PRESENT and DRAFT no prepaid account runs out.",
    "Whether Asterisk could reach a trunk's endpoint is not in the log: there every endpoint",
    "counts as online, and only calls that fail on a trunk keep others off it.",
];

/// # Errors
/// [`Failure::Input`] for a draft with faults, an unknown flow or an empty period; see
/// [`database::failure`].
pub async fn run(args: &ReplayDayArgs, config: &Config) -> anyhow::Result<()> {
    let (from, to) = (args.from.here(), args.to.here());
    if from >= to {
        return Err(Failure::Input("--to is not after --from".to_owned()).into());
    }
    let db = database::open(config).await?;
    let source = Source { file: args.draft.clone(), prune: args.prune };
    let proposal = propose(&source, &db).await?;
    warn(&proposal.warnings, &source.file);
    let flow = args.flow.as_deref().map(|wanted| find(wanted, &proposal.old, &proposal.new));
    let period = Period { from, to, flow: flow.transpose()? };
    let comparison = compare(&db, period, proposal.old, proposal.new).await;
    let comparison = comparison.map_err(|error| database::failure(&error))?;
    if args.json {
        return say_json(
            &json!({ "from": from.rfc3339(), "to": to.rfc3339(), "rules": RULES.join(" "),
            "left_out": comparison.left_out, "logged": comparison.logged,
            "present": comparison.present, "draft": comparison.draft }),
        );
    }
    say(&comparison.show(period, Terminal::of_stdout()))
}

/// As the draft calls it, or the present configuration.
fn find(
    wanted: &str,
    old: &Configuration,
    new: &Configuration,
) -> Result<ForwardingFlowId, Failure> {
    let of = |configuration: &Configuration| {
        let flows = &configuration.forwarding_flows;
        let ids: Vec<String> = flows.iter().map(|flow| flow.id.to_string()).collect();
        let named = ids.iter().zip(flows).map(|(id, flow)| (id.as_str(), flow.name.as_str()));
        pick(wanted, named, "forwarding flow").map(|nth| flows[nth].id)
    };
    of(new).or_else(|error| of(old).map_err(|_| error))
}

async fn compare(
    db: &Db,
    period: Period,
    old: Configuration,
    new: Configuration,
) -> Result<Comparison, crate::store::StoreError> {
    let Period { from, to, flow } = period;
    let calls = db.calls_under_way(DEFAULT_ACCOUNT, from, to).await?;
    let all = calls.len();
    let mut calls = with_masters(calls, &old);
    calls.retain(|logged| logged.call.ended_at.is_some());
    let mut logged = day::logged(&calls, period);
    logged.refusals = db.refusals(DEFAULT_ACCOUNT, from, to, flow).await?;
    let by = By::Destination;
    let query = ReportQuery { by, from, to, zone: Zone::UTC, flow, tests: false };
    for row in db.report(DEFAULT_ACCOUNT, &query).await? {
        // What fallback numbers cost is in none of the three.
        let Some(destination) = row.destination else {
            continue;
        };
        for cost in row.costs {
            logged.charge(Some(destination), cost.amount, &cost.currency.to_string());
        }
    }
    let run = |configuration: Configuration| {
        let snapshot = Snapshot::build(&[(DEFAULT_ACCOUNT, configuration)], None);
        day::replay(&snapshot, &calls, period)
    };
    let (present, draft) = (run(old), run(new));
    Ok(Comparison { logged, present, draft, left_out: all - calls.len() })
}

/// Two masters may have the same DID. A call arrived on that of its flow; if nobody owned its DID, or
/// the flow is gone, where the other calls of its node did: a node serves one master.
fn with_masters(calls: Vec<CallUnderWay>, present: &Configuration) -> Vec<LoggedCall> {
    let flows = present.forwarding_flows.iter();
    let of_flow: BTreeMap<ForwardingFlowId, ServerId> =
        flows.map(|flow| (flow.id, flow.master)).collect();
    let by_flow = |one: &CallUnderWay| of_flow.get(&one.call.flow.as_ref()?.0).copied();
    let of_node: BTreeMap<String, ServerId> =
        calls.iter().filter_map(|one| Some((one.node.clone(), by_flow(one)?))).collect();
    let logged = |one: CallUnderWay| {
        let master = by_flow(&one).or_else(|| of_node.get(&one.node).copied());
        LoggedCall { call: one.call, master, legs: one.legs }
    };
    calls.into_iter().map(logged).collect()
}

impl Comparison {
    fn show(&self, period: Period, terminal: Terminal) -> String {
        let mut text = format!(
            "{} calls from {} to {}\n\n{}\n\n",
            self.logged.calls,
            period.from,
            period.to,
            terminal.paint(Style::Dim, &RULES.join("\n")),
        );
        if self.left_out > 0 {
            let _ = write!(text, "{} calls that have not ended are left out.\n\n", self.left_out);
        }
        let count = |value: i64| value.to_string();
        let all = [&self.logged, &self.present, &self.draft];
        let whole = |name: &str, of: fn(&Figures) -> u64| {
            (name.to_owned(), all.map(|figures| signed(of(figures))))
        };
        let results = vec![
            whole("answered", |figures| figures.answered),
            whole("abandoned", |figures| figures.abandoned),
            whole("not taken", |figures| figures.not_taken),
        ];
        text += &section(terminal, "RESULT", &results, count);
        let reasons: BTreeSet<&String> =
            all.iter().flat_map(|figures| figures.refusals.keys()).collect();
        let of =
            |figures: &Figures, reason| signed(figures.refusals.get(reason).copied().unwrap_or(0));
        let refusals: Vec<_> = reasons
            .into_iter()
            .map(|reason| (reason.replace('_', " "), all.map(|figures| of(figures, reason))))
            .collect();
        text += &section(terminal, "REFUSED", &refusals, count);
        text += &section(terminal, "CALLS", &self.shares(|share| signed(share.calls)), count);
        text += &section(terminal, "ANSWERED", &self.shares(|share| signed(share.answered)), count);
        text += &section(terminal, "HIGHEST LIVE", &self.shares(|s| s.highest_live.into()), count);
        let mut talk = self.shares(|share| share.talk_ms);
        talk.push(("all".to_owned(), all.map(|figures| figures.talk_ms)));
        text += &section(terminal, "TALK", &talk, |ms| {
            let sign = if ms < 0 { "-" } else { "" };
            format!("{sign}{}", duration(ms.saturating_abs()))
        });
        let currencies: BTreeSet<&String> =
            all.iter().flat_map(|figures| figures.cost.keys()).collect();
        for currency in currencies {
            let of = |cost: &BTreeMap<String, Micros>| cost.get(currency).map_or(0, |cost| cost.0);
            let mut cost = self.shares(|share| of(&share.cost));
            cost.push(("all".to_owned(), all.map(|figures| of(&figures.cost))));
            let head = format!("COST {currency}");
            text += &section(terminal, &head, &cost, |amount| Micros(amount).to_string());
        }
        text.truncate(text.trim_end().len());
        text + "\n"
    }

    /// One figure of every destination, in order of name.
    fn shares(&self, of: impl Fn(&Share) -> i64) -> Vec<(String, [i64; 3])> {
        let all = [&self.logged, &self.present, &self.draft];
        let mut names: BTreeMap<DestinationId, (String, String)> = BTreeMap::new();
        // A destination that was renamed has the name of the draft.
        for (id, share) in all.iter().flat_map(|figures| &figures.destinations) {
            names.insert(*id, (share.flow.clone(), share.name.clone()));
        }
        let mut named: Vec<_> = names.into_iter().map(|(id, name)| (name, id)).collect();
        named.sort();
        let value = |figures: &Figures, id| figures.destinations.get(&id).map_or(0, &of);
        named
            .into_iter()
            .map(|((flow, name), id)| {
                (format!("{flow} / {name}"), all.map(|figures| value(figures, id)))
            })
            .collect()
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// One figure: what it was, would be now, and would be with the draft, and what the draft changes.
fn section(
    terminal: Terminal,
    head: &str,
    rows: &[(String, [i64; 3])],
    write: impl Fn(i64) -> String,
) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let row = |(name, [logged, present, draft]): &(String, [i64; 3])| {
        let change = draft - present;
        let (style, sign) = match change {
            0 => (Style::Dim, ""),
            ..0 => (Style::Warn, ""),
            1.. => (Style::Good, "+"),
        };
        vec![
            (Style::Name, plain(name)),
            (Style::Dim, write(*logged)),
            (Style::Plain, write(*present)),
            (Style::Plain, write(*draft)),
            (style, if change == 0 { "=".to_owned() } else { format!("{sign}{}", write(change)) }),
        ]
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    let columns = [
        Column::Name(head),
        Column::Whole("LOGGED"),
        Column::Whole("PRESENT"),
        Column::Whole("DRAFT"),
        Column::Whole("±"),
    ];
    table(terminal, &columns, &rows) + "\n"
}
