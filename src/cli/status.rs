//! `divert status`: how it all stands, on one screen.

use std::fmt::Write as _;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::Failure;
use super::client::{Client, ServerArgs};
use super::terminal::{Column, Style, Terminal, plain, say, say_json, shorten, table};
use super::view::Moment;
use crate::config::Config;

/// So many of a kind have room on the screen.
const MOST_TRUNKS: usize = 6;
const MOST_FLOWS: usize = 4;
const MOST_PROBLEMS: usize = 4;

#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    node: Node,
    asterisk: Asterisk,
    store: Store,
    nodes: Vec<OtherNode>,
    live_calls: u64,
    flows: Vec<Flow>,
    trunks: Vec<TrunkStatus>,
    problems: Vec<Problem>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    name: String,
    version: String,
    up_since: Moment,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asterisk {
    connected: bool,
    reason: Option<String>,
    version: Option<String>,
    up_since: Option<Moment>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Store {
    ok: bool,
    reason: Option<String>,
    rows: Rows,
}

/// Rows on their way to the store.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Rows {
    waiting: u64,
    spooled: u64,
    lost: u64,
}

#[derive(Debug, Deserialize)]
struct OtherNode {
    name: String,
    #[serde(default)]
    legs: u64,
}

#[derive(Debug, Deserialize)]
struct Flow {
    name: String,
    #[serde(default)]
    live: u64,
}

/// How a trunk stands, as the API tells it.
#[derive(Clone, Debug, Deserialize)]
pub struct TrunkStatus {
    #[serde(default)]
    pub name: String,
    pub state: String,
    #[serde(default)]
    pub until: Option<Moment>,
    #[serde(default)]
    pub live: u64,
}

#[derive(Debug, Deserialize)]
struct Problem {
    at: Moment,
    #[serde(default)]
    level: String,
    text: String,
    #[serde(default)]
    times: u64,
}

impl TrunkStatus {
    /// `up`, `failing until 14:03:07`.
    #[must_use]
    pub fn shown(&self) -> (Style, String) {
        let style = match self.state.as_str() {
            "up" => Style::Good,
            "failing" | "offline" => Style::Bad,
            _ => Style::Warn,
        };
        let state = plain(&self.state);
        let until = self.until.map(|until| format!(" until {}", until.show("%H:%M:%S")));
        (style, state + &until.unwrap_or_default())
    }
}

/// # Errors
/// See [`Client`]: [`Failure::NotConnected`] where divert does not run.
pub async fn run(args: &StatusArgs, config: &Config) -> anyhow::Result<()> {
    let client = Client::new(&args.server, config)?;
    let answer: anyhow::Result<Value> = client.get("/v1/status", &[]).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Err(not_running(error)),
    };
    if args.json {
        return say_json(&answer);
    }
    say(&Status::deserialize(&answer)?.show(Terminal::of_stdout()))
}

/// That divert does not run is an answer to this question, and said as one.
fn not_running(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(Failure::NotConnected(why)) => {
            Failure::NotConnected(format!("divert is not running, or not reached: {why}")).into()
        }
        _ => error,
    }
}

/// The status of all trunks, each a [`TrunkStatus`].
///
/// # Errors
/// See [`Client`].
pub async fn trunks(client: &Client) -> anyhow::Result<Vec<Value>> {
    let mut answer: Value = client.get("/v1/status", &[]).await?;
    Ok(answer["trunks"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

impl Status {
    fn show(&self, terminal: Terminal) -> String {
        let mut text = self.heads(terminal);
        text.push('\n');
        text.push_str(&self.trunks(terminal));
        text.push_str(&self.flows(terminal));
        text.push_str(&self.problems(terminal));
        text
    }

    fn heads(&self, terminal: Terminal) -> String {
        let since = |at: Moment| at.show("%m-%d %H:%M:%S");
        let Node { name, version, up_since } = &self.node;
        let is = |ok: bool, good: &str, bad: &str| {
            let (style, word) = if ok { (Style::Good, good) } else { (Style::Bad, bad) };
            terminal.paint(style, word)
        };
        let mut text = format!(
            "divert {} · node {} · up since {}\n",
            plain(version),
            terminal.paint(Style::Name, &plain(name)),
            since(*up_since)
        );
        let Asterisk { connected, reason, version, up_since } = &self.asterisk;
        let version = version.as_deref().map(|version| format!(" {}", plain(version)));
        let up = up_since.map(|at| format!(" · up since {}", since(at)));
        let state = is(*connected, "connected", "not connected");
        let _ = writeln!(
            text,
            "Asterisk{} · {state}{}",
            version.unwrap_or_default(),
            up.filter(|_| *connected).unwrap_or_default()
        );
        why(reason.as_deref(), terminal, &mut text);
        let Store { ok, reason, rows: Rows { waiting, spooled, lost } } = &self.store;
        let lost_style = if *lost > 0 { Style::Alarm } else { Style::Plain };
        let _ = writeln!(
            text,
            "store {} · rows: {waiting} waiting ({spooled} of them on disk), {}",
            is(*ok, "ok", "not ok"),
            terminal.paint(lost_style, &format!("{lost} lost"))
        );
        why(reason.as_deref(), terminal, &mut text);
        let others: Vec<String> = self
            .nodes
            .iter()
            .filter(|node| node.name != *name)
            .map(|node| format!("{} ({} live legs)", plain(&node.name), node.legs))
            .collect();
        if !others.is_empty() {
            text.push_str(&shorten(&format!("other nodes: {}", others.join(", ")), terminal.width));
            text.push('\n');
        }
        let calls = if self.live_calls == 1 { "call" } else { "calls" };
        let _ = writeln!(text, "{} live {calls}", self.live_calls);
        text
    }

    /// Those that need a look come first, then the busiest.
    fn trunks(&self, terminal: Terminal) -> String {
        if self.trunks.is_empty() {
            return "No trunks yet.\n".to_owned();
        }
        let mut trunks: Vec<&TrunkStatus> = self.trunks.iter().collect();
        let rank = |trunk: &TrunkStatus| match trunk.shown().0 {
            Style::Bad => 0,
            Style::Good => 2,
            _ => 1,
        };
        trunks.sort_by_key(|trunk| (rank(trunk), std::cmp::Reverse(trunk.live)));
        let row = |trunk: &&TrunkStatus| {
            let live = (Style::Plain, trunk.live.to_string());
            vec![(Style::Name, plain(&trunk.name)), trunk.shown(), live]
        };
        let rows: Vec<_> = trunks.iter().take(MOST_TRUNKS).map(row).collect();
        let columns = [Column::Name("TRUNK"), Column::Whole("STATE"), Column::Whole("LIVE")];
        table(terminal, &columns, &rows) + &more(trunks.len(), MOST_TRUNKS, "divert trunks list")
    }

    fn flows(&self, terminal: Terminal) -> String {
        if self.flows.is_empty() {
            return String::new();
        }
        let row = |flow: &Flow| {
            vec![(Style::Name, plain(&flow.name)), (Style::Plain, flow.live.to_string())]
        };
        let rows: Vec<_> = self.flows.iter().take(MOST_FLOWS).map(row).collect();
        let columns = [Column::Name("FLOW"), Column::Whole("LIVE")];
        let more = more(self.flows.len(), MOST_FLOWS, "divert calls list --live");
        format!("\n{}{more}", table(terminal, &columns, &rows))
    }

    fn problems(&self, terminal: Terminal) -> String {
        if self.problems.is_empty() {
            return "\nNo problems since the start.\n".to_owned();
        }
        let row = |problem: &Problem| {
            let style = if problem.level == "error" { Style::Bad } else { Style::Warn };
            let times =
                if problem.times > 1 { format!("×{}", problem.times) } else { String::new() };
            // At most two lines of a usual terminal.
            let room = terminal.width.saturating_sub(32).saturating_mul(2);
            vec![
                (Style::Plain, problem.at.show("%m-%d %H:%M:%S")),
                (style, plain(&problem.level)),
                (Style::Plain, times),
                (Style::Plain, shorten(&plain(&problem.text), room)),
            ]
        };
        let rows: Vec<_> = self.problems.iter().take(MOST_PROBLEMS).map(row).collect();
        let columns = [
            Column::Whole("LAST PROBLEMS"),
            Column::Whole("LEVEL"),
            Column::Whole(""),
            Column::Words("WHAT"),
        ];
        let more = more(self.problems.len(), MOST_PROBLEMS, "divert status --json");
        format!("\n{}{more}", table(terminal, &columns, &rows))
    }
}

fn why(reason: Option<&str>, terminal: Terminal, text: &mut String) {
    if let Some(reason) = reason {
        let reason = shorten(&plain(reason), terminal.width.saturating_sub(2));
        let _ = writeln!(text, "  {reason}");
    }
}

/// What has no room, and where it is told.
fn more(all: usize, shown: usize, command: &str) -> String {
    match all.saturating_sub(shown) {
        0 => String::new(),
        more => format!("… and {more} more: {command}\n"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PIPE: Terminal = Terminal { colour: false, width: 80 };

    #[test]
    fn it_fits_one_screen_and_what_needs_a_look_comes_first() {
        let trunk = |name: &str, state: &str, live: u64| {
            let until = (state == "failing").then_some("2026-11-21T14:03:07Z");
            json!({ "id": "trk_1", "name": name, "state": state, "until": until, "live": live })
        };
        let long = "x".repeat(60);
        let mut trunks = vec![trunk("busy", "up", 40), trunk("watched", "unknown", 0)];
        trunks.extend((0..9).map(|_| trunk(&long, "up", 1)));
        trunks.extend([trunk("dead", "offline", 0), trunk("bad", "failing", 0)]);
        let flow = |no: usize| json!({ "id": "flw_1", "name": format!("{long}{no}"), "live": 5 });
        let problem = |no: usize| {
            json!({ "at": "2026-11-21T14:03:07Z", "level": "warning", "times": no,
                "text": "many words ".repeat(40) })
        };
        let status = Status::deserialize(json!({
            "node": { "name": "a", "version": "0.1.0", "up_since": "2026-11-21T14:00:00Z" },
            "asterisk": { "connected": false, "reason": "no connection: ".repeat(20) },
            "store": { "ok": false, "reason": "it is away", "rows": { "waiting": 7, "lost": 2 } },
            "nodes": [{ "name": "a", "legs": 1 }, { "name": "b", "legs": 12 }],
            "live_calls": 41,
            "trunks": trunks,
            "flows": (0..9).map(flow).collect::<Vec<_>>(),
            "problems": (1..9).map(problem).collect::<Vec<_>>(),
        }));
        let text = status.unwrap().show(PIPE);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("rows: 7 waiting (0 of them on disk), 2 lost\n"), "{text}");
        assert!(text.contains("other nodes: b (12 live legs)"), "{text}");
        let listed: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.starts_with("TRUNK"))
            .skip(1)
            .map(|line| line.split_whitespace().next().unwrap_or_default())
            .collect();
        assert_eq!(listed[..4], ["dead", "bad", "watched", "busy"], "{text}");
        assert_eq!(listed[6], "…", "{text}");
        assert!(text.contains("failing until "), "{text}");
        assert!(text.lines().count() <= 36, "{text}");
    }
}
