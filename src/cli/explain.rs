//! `divert explain …` and `divert flows live …`: where a call would go and why, and who is next.

use std::fmt::Write as _;

use clap::Args;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs};
use super::find::find_flow;
use super::input::{When, when};
use super::terminal::{Column, Style, Terminal, plain, say, say_json, shorten, table, wrap};
use crate::config::Config;
use crate::model::time::Zone;
use crate::model::timeline::did_you_mean;

#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The number the call arrives on
    did: String,
    /// Who calls; left out is a withheld number
    #[arg(long, value_name = "NUMBER")]
    caller: Option<String>,
    /// When it comes; left out is now. As +2h (from now), tomorrow, 2026-11-26,
    /// "2026-11-26 09:30", of this machine's zone, or with an offset from UTC
    #[arg(long, value_name = "TIME", value_parser = when)]
    at: Option<When>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub struct LiveArgs {
    /// Name or id of the forwarding flow
    flow: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// # Errors
/// See [`Client`].
pub async fn explain(args: &ExplainArgs, config: &Config) -> anyhow::Result<()> {
    let client = Client::new(&args.server, config)?;
    let mut question = json!({ "did": args.did });
    if let Some(number) = &args.caller {
        question["caller"] = json!({ "number": number });
    }
    if let Some(at) = &args.at {
        question["at"] = json!(at.here().rfc3339());
    }
    let answer: Value = client.post("/v1/explain", &question).await?;
    if args.json {
        return say_json(&answer);
    }
    say(&explanation(&answer, Terminal::of_stdout()))
}

/// # Errors
/// See [`Client`]; [`super::Failure::Input`] for a name nobody has.
pub async fn live(args: &LiveArgs, config: &Config) -> anyhow::Result<()> {
    let client = Client::new(&args.server, config)?;
    let flow = find_flow(&client, &args.flow).await?;
    let path = format!("/v1/forwarding-flows/{}/live", flow.id);
    let answer: Value = client.get(&path, &[]).await?;
    if args.json {
        return say_json(&answer);
    }
    say(&standing(&flow.name, &answer, Terminal::of_stdout()))
}

const VERDICTS: [Column<'_>; 4] = [
    Column::Whole("PRIO"),
    Column::Whole("WEIGHT"),
    Column::Name("NAME"),
    Column::Words("VERDICT"),
];
const STANDING: [Column<'_>; 6] = [
    Column::Whole("PRIO"),
    Column::Whole("WEIGHT"),
    Column::Whole("SHARE"),
    Column::Name("NAME"),
    Column::Words("LIVE"),
    Column::Words("WHY NOT, CAPS"),
];

fn explanation(answer: &Value, terminal: Terminal) -> String {
    let did = text(&answer["did"]);
    let Some(flow) = answer["forwarding_flow"]["name"].as_str() else {
        let alike = answer["did_you_mean"].as_str().and_then(|alike| alike.parse().ok());
        let hint = alike.map(|alike| format!("  {}\n", did_you_mean(&alike)));
        let hint = hint.unwrap_or_default();
        return format!(
            "{}: no forwarding flow owns this number; back to the dialplan\n{hint}",
            plain(&did)
        );
    };
    let zone = zone(answer);
    let head =
        [plain(&did), format!("flow {}", plain(flow)), moment(&answer["at"], &zone, "%F %T %Z")];
    let mut out = wrap(&head, " · ", terminal.width);
    if answer["repeat"].is_object() {
        let calls = &answer["repeat"]["calls"];
        let _ = writeln!(out, "the rule about {calls} or more calls of one caller holds");
    }
    let destination = &answer["destination"];
    if let Some(name) = destination["name"].as_str() {
        let name = shorten(&format!("→ {}", plain(name)), terminal.width);
        let mut parts = vec![name.clone(), plain(&text(&destination["endpoint"]))];
        parts.extend(price(destination));
        let line = wrap(&parts, "  ", terminal.width);
        out.push_str(&line.replacen(&name, &terminal.paint(Style::Good, &name), 1));
    } else {
        let why = format!("→ nobody: {}", reason(answer, "reason", &zone));
        let _ = writeln!(out, "{}", terminal.paint(Style::Warn, &why));
    }
    let candidates = items(&answer["candidates"]);
    let over = candidates.iter().flat_map(|one| items(&one["passed_over"]));
    for trunk in over {
        let (name, why) = (plain(&text(&trunk["trunk"])), plain(&text(&trunk["reason"])));
        let _ = writeln!(out, "  past trunk {name}: {why}");
    }
    let rows: Vec<_> = candidates.iter().map(|one| row(one, &zone)).collect();
    if !rows.is_empty() {
        out.push('\n');
        out.push_str(&table(terminal, &VERDICTS, &rows));
    }
    let mut then: Vec<String> =
        items(&answer["then"]).iter().map(|next| plain(&text(&next["name"]))).collect();
    // That all were tried goes without saying.
    if answer["ends"].as_str().is_some_and(|ends| ends != "all_tried")
        && destination["name"].is_string()
    {
        then.push(format!("nobody more ({})", reason(answer, "ends", &zone)));
    }
    if !answer["fallback"].is_null() {
        then.push(fallback(&answer["fallback"]));
    }
    if !then.is_empty() {
        then[0].insert_str(0, "then: ");
        let _ = write!(out, "\n{}", wrap(&then, ", ", terminal.width));
    }
    out
}

fn zone(answer: &Value) -> TimeZone {
    let zone: Option<Zone> = answer["zone"].as_str().and_then(|name| name.parse().ok());
    zone.map_or_else(TimeZone::system, |zone| zone.rules().clone())
}

/// A moment of the API in the flow's zone.
fn moment(at: &Value, zone: &TimeZone, format: &str) -> String {
    let parsed: Option<jiff::Timestamp> = at.as_str().and_then(|at| at.parse().ok());
    let Some(at) = parsed else {
        return plain(&text(at));
    };
    at.to_zoned(zone.clone()).strftime(format).to_string()
}

/// Why there is nobody: the reason all have, with the hours of what is closed, or how many have which.
fn reason(answer: &Value, key: &str, zone: &TimeZone) -> String {
    let word = text(&answer[key]);
    match word.as_str() {
        "flow_closed" => format!("the flow is {}", hours(&answer["closed"], zone)),
        "mixed" => {
            let counted = answer["ends_with"].as_object().into_iter().flatten();
            let counted: Vec<String> = counted
                .map(|(word, times)| format!("{times} {}", plain(&word.replace('_', " "))))
                .collect();
            if counted.is_empty() {
                "no destination is free".to_owned()
            } else {
                counted.join(", ")
            }
        }
        _ => plain(&word.replace('_', " ")),
    }
}

/// `closed; today 09:00-17:00, opens Mon 2026-11-23 09:00`.
fn hours(closed: &Value, zone: &TimeZone) -> String {
    let today: Vec<String> =
        items(&closed["hours"]).iter().map(|span| plain(&text(span))).collect();
    let today = if today.is_empty() { "no hours".to_owned() } else { today.join(" ") };
    let opens = if closed["opens_at"].is_string() {
        format!("opens {}", moment(&closed["opens_at"], zone, "%a %F %R"))
    } else {
        "does not open within a year".to_owned()
    };
    format!("closed; that day {today}, {opens}")
}

/// Names in a row, those that come again at once told once: `a, b ×2, a`.
fn folded(names: &[String]) -> Vec<String> {
    let runs = names.chunk_by(|one, next| one == next);
    runs.map(
        |run| if run.len() == 1 { run[0].clone() } else { format!("{} ×{}", run[0], run.len()) },
    )
    .collect()
}

fn fallback(value: &Value) -> String {
    let mut said = if let Some(number) = value["number"].as_str() {
        format!("fallback {} over {}", plain(number), plain(&text(&value["trunk"])))
    } else if let Some(cause) = value["hang_up"].as_u64() {
        format!("hang up with cause {cause}")
    } else if value == "hang_up" {
        "hang up".to_owned()
    } else {
        format!("fallback {}", plain(&text(value)))
    };
    if let Some(reason) = value["reason"].as_str() {
        let _ = write!(said, " (not dialled: {})", plain(reason));
    }
    said
}

fn standing(flow: &str, answer: &Value, terminal: Terminal) -> String {
    let mut out = format!("{}\n", terminal.paint(Style::Bold, &plain(flow)));
    let upcoming: Vec<String> =
        items(&answer["upcoming"]).iter().map(|next| plain(&text(&next["name"]))).collect();
    let zone = zone(answer);
    if let Some((next, rest)) = upcoming.split_first() {
        let next = terminal.paint(Style::Good, next);
        let mut then = folded(rest);
        if answer["ends"].is_string() {
            then.push(format!("then nobody: {}", reason(answer, "ends", &zone)));
        }
        let _ = writeln!(out, "next: {next}");
        if let Some(first) = then.first_mut() {
            first.insert_str(0, if rest.is_empty() { "" } else { "then: " });
            out.push_str(&wrap(&then, ", ", terminal.width));
        }
    } else {
        let why = format!("nobody: {}", reason(answer, "reason", &zone));
        let _ = writeln!(out, "{}", terminal.paint(Style::Warn, &why));
    }
    for cap in items(&answer["caps"]) {
        let _ = writeln!(out, "{}", used(cap));
    }
    let row = |one: &Value| {
        let share = one["share_permille"].as_u64().unwrap_or_default();
        let limit = |limit: &Value| {
            let max = limit["max"].as_u64().map_or_else(|| "-".to_owned(), |max| max.to_string());
            format!("{} {}/{max}", text(&limit["scope"]), limit["live"])
        };
        // Its own count always; of all else only what may refuse a call.
        let is_told = |one: &&Value| one["scope"] == "destination" || one["max"].is_u64();
        let limits: Vec<String> = items(&one["limits"]).iter().filter(is_told).map(limit).collect();
        let mut why: Vec<String> = why_not(one, &zone).into_iter().collect();
        why.extend(items(&one["caps"]).iter().map(used));
        vec![
            (Style::Plain, one["priority"].to_string()),
            (Style::Plain, one["weight"].to_string()),
            (Style::Plain, format!("{}.{} %", share / 10, share % 10)),
            (Style::Name, plain(&text(&one["name"]))),
            (Style::Plain, limits.join(", ")),
            (Style::Warn, why.join(", ")),
        ]
    };
    let rows: Vec<_> = items(&answer["destinations"]).iter().map(row).collect();
    out.push('\n');
    out.push_str(&table(terminal, &STANDING, &rows));
    out
}

/// Why a destination is passed over, with its hours where it is closed.
fn why_not(one: &Value, zone: &TimeZone) -> Option<String> {
    if one["verdict"] == "closed" && one["closed"].is_object() {
        return Some(hours(&one["closed"], zone));
    }
    one["reason"].as_str().map(plain)
}

fn row(one: &Value, zone: &TimeZone) -> Vec<(Style, String)> {
    let word = text(&one["verdict"]);
    let style = if word.starts_with("chosen") {
        Style::Good
    } else if one["reason"].is_string() {
        Style::Warn
    } else {
        Style::Dim
    };
    let verdict = why_not(one, zone).unwrap_or_else(|| word.replace('_', " "));
    vec![
        (Style::Plain, one["priority"].to_string()),
        (Style::Plain, one["weight"].to_string()),
        (Style::Name, plain(&text(&one["name"]))),
        (style, verdict),
    ]
}

fn price(destination: &Value) -> Option<String> {
    let rate = &destination["rate"];
    let per_minute = plain(rate["per_minute"].as_str()?);
    let (currency, increment) = (plain(&text(&rate["currency"])), plain(&text(&rate["increment"])));
    Some(format!("{per_minute} {currency} a minute, {increment}"))
}

fn used(cap: &Value) -> String {
    let (per, count) = (text(&cap["per"]), text(&cap["count"]).replace('_', " "));
    format!("{}/{} {count} per {per}", cap["used"], cap["max"])
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::width_of;

    const PIPE: Terminal = Terminal { colour: false, width: 100 };

    #[test]
    fn an_explanation_reads_from_the_choice_to_the_fallback() {
        let candidate = |name: &str, verdict: &str, reason: Value| json!({ "name": name, "priority": 1, "weight": 2, "verdict": verdict, "reason": reason });
        let mut chosen = candidate("b", "chosen", Value::Null);
        chosen["passed_over"] = json!([{ "trunk": "t1", "reason": "offline" }]);
        let answer = json!({
            "did": "+12025550100",
            "at": "2026-11-21T14:03:07.000Z",
            "zone": "America/Chicago",
            "forwarding_flow": { "id": "flw_1", "name": "solar" },
            "repeat": null,
            "destination": {
                "name": "b",
                "endpoint": "PJSIP/1001@b",
                "rate": { "per_minute": "0.012", "currency": "USD", "increment": "6/6" },
            },
            "reason": null,
            "candidates": [
                candidate("a", "full", json!("full 10/10")),
                chosen,
                candidate("c", "lower_priority", Value::Null),
            ],
            "then": [{ "name": "c" }],
            "ends": "mixed",
            "ends_with": { "closed": 1, "full": 2 },
            "fallback": "dialplan",
        });
        let wanted = "\
+12025550100 · flow solar · 2026-11-21 08:03:07 CST
→ b  PJSIP/1001@b  0.012 USD a minute, 6/6
  past trunk t1: offline

PRIO  WEIGHT  NAME  VERDICT
1     2       a     full 10/10
1     2       b     chosen
1     2       c     lower priority

then: c, nobody more (1 closed, 2 full), fallback dialplan
";
        assert_eq!(explanation(&answer, PIPE), wanted);
    }

    #[test]
    fn a_fallback_reads_as_what_happens() {
        for (value, said) in [
            (json!("dialplan"), "fallback dialplan"),
            (json!("hang_up"), "hang up"),
            (json!({ "hang_up": 17 }), "hang up with cause 17"),
            (json!({ "trunk": "t", "number": "1002" }), "fallback 1002 over t"),
            (
                json!({ "trunk": "t", "number": "1002", "reason": "no credit" }),
                "fallback 1002 over t (not dialled: no credit)",
            ),
        ] {
            assert_eq!(fallback(&value), said);
        }
    }

    #[test]
    fn long_names_and_limits_go_on_in_the_next_line() {
        let narrow = Terminal { width: 80, ..PIPE };
        let fits = |text: &str| {
            assert!(text.lines().all(|line| width_of(line) <= 80), "{text}");
        };
        let endpoint = "PJSIP/+12025550143@divert-01m7y97x2ye5zrzv23f5dme1hb";
        let name = "a destination with a name of fifty or so letters";
        let mut answer = json!({
            "did": "+12025550100", "at": "2026-11-21T14:03:07.000Z", "zone": "UTC",
            "forwarding_flow": { "name": "solar" },
            "destination": { "name": name, "endpoint": endpoint },
        });
        let text = explanation(&answer, narrow);
        fits(&text);
        assert!(text.contains(&format!("→ {name}\n{endpoint}\n")), "{text}");
        answer["destination"]["name"] = json!("東".repeat(60));
        fits(&explanation(&answer, narrow));

        let limit = |scope: &str| json!({ "scope": scope, "live": 0, "max": 100_000 });
        let answer = json!({ "upcoming": [], "reason": "all_full", "destinations": [{
            "name": "東".repeat(60), "priority": 1, "weight": 1, "share_permille": 1000,
            "reason": "full 100000/100000, and some more words about it",
            "limits": [limit("destination"), limit("trunk"), limit("account")],
        }]});
        let text = standing("solar", &answer, narrow);
        fits(&text);
        let words: Vec<&str> = text.split_whitespace().collect();
        let limits = ["destination", "trunk", "account"];
        assert!(limits.iter().all(|limit| words.contains(limit)), "{text}");
        assert_eq!(text.matches("0/100000").count() - text.matches("100000/100000").count(), 3);
    }

    #[test]
    fn a_flow_without_a_next_one_says_why() {
        let answer = json!({
            "upcoming": [],
            "reason": "all_full",
            "caps": [{ "per": "day", "count": "answers", "used": 3, "max": 5 }],
            "destinations": [{
                "name": "a", "priority": 1, "weight": 1, "share_permille": 0, "caps": [],
                "reason": "full 2/2",
                "limits": [{ "scope": "destination", "live": 2, "max": 2 }],
            }],
        });
        let wanted = "\
solar
nobody: all full
3/5 answers per day

PRIO  WEIGHT  SHARE  NAME  LIVE             WHY NOT, CAPS
1     1       0.0 %  a     destination 2/2  full 2/2
";
        assert_eq!(standing("solar", &answer, PIPE), wanted);
    }

    #[test]
    fn what_is_foretold_says_why_it_ends() {
        let upcoming = |names: &[&str]| {
            let named = names.iter().map(|name| json!({ "name": name }));
            let ends = "all_full";
            json!({ "upcoming": named.collect::<Vec<_>>(), "ends": ends, "destinations": [] })
        };
        let first = |names: &[&str]| {
            let text = standing("solar", &upcoming(names), PIPE);
            text.lines().skip(1).take(2).collect::<Vec<_>>().join("|")
        };
        assert_eq!(first(&["a", "b", "a"]), "next: a|then: b, a, then nobody: all full");
        assert_eq!(first(&["a", "b", "b", "a"]), "next: a|then: b ×2, a, then nobody: all full");
        assert_eq!(first(&["a"]), "next: a|then nobody: all full");
    }

    #[test]
    fn what_is_closed_says_when_it_opens_in_the_flows_zone() {
        let closed = json!({ "hours": ["09:00-17:00"], "opens_at": "2026-11-23T15:00:00.000Z" });
        let mut answer = json!({
            "did": "+12025550100", "at": "2026-11-21T01:00:00.000Z", "zone": "America/Chicago",
            "forwarding_flow": { "name": "solar" }, "destination": null,
            "reason": "flow_closed", "closed": closed,
        });
        let text = explanation(&answer, PIPE);
        let wanted =
            "→ nobody: the flow is closed; that day 09:00-17:00, opens Mon 2026-11-23 09:00";
        assert_eq!(text.lines().nth(1), Some(wanted));
        answer["candidates"] = json!([{ "name": "a", "priority": 1, "weight": 1, "verdict": "closed",
            "reason": "closed", "closed": { "hours": [], "opens_at": null } }]);
        let text = explanation(&answer, PIPE);
        assert!(text.contains("closed; that day no hours, does not open within a year"), "{text}");
    }

    #[test]
    fn a_number_that_lacks_its_plus_is_asked_after() {
        let answer = json!({ "did": "1", "forwarding_flow": null, "did_you_mean": "+1" });
        let wanted = "1: no forwarding flow owns this number; back to the dialplan\n  \
            did you mean +1? Does your carrier send the +?\n";
        assert_eq!(explanation(&answer, PIPE), wanted);
    }
}
