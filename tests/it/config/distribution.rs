//! What distribution is made of, in documents: throttles, schedules, stickiness, toll-free numbers,
//! the account and its rate decks.

use divert::model::billing::Micros;
use divert::model::document::put_account;
use divert::model::objects::forwarding_flow::ForwardingFlowState;
use divert::model::objects::rate_deck::RateDeck;
use divert::model::stickiness::{RepeatAction, RepeatCount, StickyOn, StickyWindow};
use divert::model::throttle::{CapCount, CapPeriod, RatePeriod, VolumeCap};

use super::*;

/// Every key there is.
pub const EVERYTHING: &str = r#"
account:
  time_zone: America/Chicago
  max_live: 500
  toll_free_termination: true
  prepaid: true
  currency: EUR
  rate_deck: retail
rate_decks:
  - name: retail
    rates:
      - {prefix: "", per_minute: "0.05"}
      - {prefix: "1800", per_minute: "0.0120", increment: 6/6}
    bills_ring_time: true
    rounding: nearest
    decimals: 6
servers:
  - {name: master, role: master}
  - {name: slave-a, role: slave, trunk: to-slave-a, max_live: 30}
trunks:
  - {name: to-slave-a, address: "127.0.0.1:5070"}
  - {name: carrier, endpoint: carrier, max_live: 100, carries_toll_free: true, rate_deck: retail}
numbers:
  - {did: "+12025550199", server: master}
forwarding_flows:
  - name: solar-east
    master: master
    dids: ["+12025550100", TF-123]
    state: paused
    spread: round_robin
    ringback: early_media
    ring_timeout_sec: 25
    ring_budget_sec: 60
    max_attempts: 3
    max_call_sec: 3600
    fallback: {trunk: carrier, number: "18005550199"}
    time_zone: Europe/Berlin
    schedule: {hours: {sat-mon: ["13:00-15:00", "10:00-12:00"]}, holidays: ["2026-12-25"]}
    rate: {calls: 5, per: minute, burst: 10}
    spacing_sec: 2
    caps: [{per: day, count: answers, max: 500}, {per: total, max: 9000}]
    stickiness: {rolling_sec: 86400, sliding: false, on: offered}
    repeat_caller: {calls: 3, within_sec: 3600, count: answered, then: {destination: slave-a}}
    caller_numbers: {country: "44", national_prefix: "0", international_prefix: "00"}
    redial_gap_sec: 0
    destinations:
      - {server: slave-a, did: "1001", priority: -1, weight: 70, max_live: 10}
      - {trunk: carrier, number: "8005550199", ring_timeout_sec: 20, state: paused}
      - toll_free: "+1 800-555-0177"
        time_zone: Asia/Tokyo
        schedule:
          hours: {daily: "22:00-02:00"}
          holidays: [{date: "2026-12-24", hours: ["09:00-12:00"]}, "2026-12-26"]
        rate: {calls: 1, per: second}
        spacing_sec: 86400
        caps: [{per: month, count: billable_minutes, max: 1}]
"#;

fn deck(of: &Configuration) -> &RateDeck {
    &of.rate_decks[0]
}

/// What is said about one flow, or about one of its destinations, with these lines more.
fn said(flow_keys: &str, destination_keys: &str) -> String {
    let text = format!(
        "account: {{toll_free_termination: true}}\nservers: [{{name: m, role: master}}]\n\
         trunks: [{{name: t, endpoint: t, carries_toll_free: true}}]\n\
         forwarding_flows:\n- name: f\n  master: m\n{flow_keys}  destinations:\n  \
         - name: d\n    trunk: t\n    number: \"1\"\n{destination_keys}",
    );
    match read_into(&text, &Configuration::default(), Unnamed::Keep) {
        Ok(_) => String::new(),
        Err(problems) => {
            let line = |problem: Problem| {
                let pointer = problem.pointer.replace("/forwarding_flows/0", "");
                format!("{pointer}: {}; {}\n", problem.message, problem.hint)
            };
            problems.into_iter().map(line).collect()
        }
    }
}

#[test]
fn every_setting_of_distribution_arrives() {
    let whole = read(EVERYTHING);
    let account = &whole.account;
    assert_eq!(account.time_zone.name(), "America/Chicago");
    assert_eq!((account.max_live, account.currency.to_string()), (Some(500), "EUR".to_owned()));
    assert!(account.toll_free_termination && account.prepaid);
    let retail = deck(&whole);
    assert_eq!(account.rate_deck, Some(retail.id));
    let rates: Vec<_> = retail
        .rates
        .iter()
        .map(|rate| (rate.prefix.as_str(), rate.per_minute, rate.increment.to_string()))
        .collect();
    let wanted = [("", Micros(50_000), "60/60".into()), ("1800", Micros(12_000), "6/6".into())];
    assert_eq!(rates, wanted);
    assert!(retail.bills_ring_time);
    assert_eq!((retail.rounding.to_string().as_str(), retail.decimals), ("nearest", 6));
    let carrier = whole.trunks.iter().find(|trunk| trunk.name == "carrier").unwrap();
    assert!(carrier.carries_toll_free);
    assert_eq!(carrier.rate_deck, Some(retail.id));

    let flow = flow(&whole, "solar-east");
    assert_eq!(flow.time_zone, Some("Europe/Berlin".parse().unwrap()));
    let weekly =
        flow.schedule.as_ref().and_then(Hours::own).unwrap().weekly.each_ref().map(|spans| {
            let spans: Vec<String> = spans.iter().map(ToString::to_string).collect();
            spans.join(" ")
        });
    let open = "10:00-12:00 13:00-15:00";
    assert_eq!(weekly, [open, "", "", "", "", open, open]);
    let rate = flow.throttle.rate.unwrap();
    assert_eq!((rate.calls, rate.per, rate.burst), (5, RatePeriod::Minute, 10));
    assert_eq!(flow.throttle.spacing_sec, Some(2));
    let caps = [
        VolumeCap { per: CapPeriod::Day, count: CapCount::Answers, max: 500 },
        VolumeCap { per: CapPeriod::Total, count: CapCount::Attempts, max: 9_000 },
    ];
    assert_eq!(flow.throttle.caps, caps);
    let sticky = flow.stickiness;
    assert_eq!(sticky.window, StickyWindow::Rolling { sec: 86_400, sliding: false });
    assert_eq!((sticky.on, sticky.rebind, sticky.beats_priority), (StickyOn::Offered, true, false));
    let rule = flow.repeat_caller.unwrap();
    assert_eq!((rule.calls, rule.within_sec, rule.count), (3, 3_600, RepeatCount::Answered));
    assert_eq!(rule.then, RepeatAction::Destination(flow.destinations[0].id));
    let plan = &flow.caller_numbers;
    let digits = [&plan.country, &plan.national_prefix, &plan.international_prefix];
    assert_eq!(digits.map(|digits| digits.as_ref().unwrap().as_str()), ["44", "0", "00"]);
    assert_eq!(flow.redial_gap_sec, 0);
    assert_eq!(flow.state, ForwardingFlowState::Paused);

    let toll_free = &flow.destinations[2];
    assert_eq!(toll_free.name, "8005550177");
    assert_eq!(toll_free.landing, Landing::TollFree { number: "8005550177".parse().unwrap() });
    assert_eq!(toll_free.time_zone, Some("Asia/Tokyo".parse().unwrap()));
    let holidays = &toll_free.schedule.as_ref().and_then(Hours::own).unwrap().holidays;
    let hours: Vec<_> = holidays.values().map(Vec::len).collect();
    assert_eq!(hours, [1, 0]);
    let rate = toll_free.throttle.rate.unwrap();
    assert_eq!((rate.calls, rate.per, rate.burst), (1, RatePeriod::Second, 1));
    assert_eq!(toll_free.throttle.caps[0].count, CapCount::BillableMinutes);
}

#[test]
fn what_is_written_is_what_people_would_type() {
    let whole = read(EVERYTHING);
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&write_document(&whole))
            .unwrap()
            .lines()
            .filter(|line| !line.contains("\"id\""))
            .collect::<Vec<_>>()
            .join("\n")
    );
    let sticky = |typed: &str| {
        let whole =
            read(&EVERYTHING.replace("{rolling_sec: 86400, sliding: false, on: offered}", typed));
        flow(&whole, "solar-east").write_whole(&whole)["stickiness"].clone()
    };
    assert_eq!(sticky("{window: same_day, rebind: true}"), "same_day");
    assert_eq!(sticky("never"), "never");
    assert_eq!(sticky("{window: never, on: offered}")["window"], "never");
}

/// The bad input that the issue lists, in one document.
#[test]
fn bad_distribution_is_refused_with_everything_at_once() {
    let text = r#"
servers: [{name: m, role: master}]
trunks: [{name: t, endpoint: t}]
forwarding_flows:
  - name: east
    master: m
    dids: ["+12025550100"]
    time_zone: Mars/Base
    destinations:
      - {toll_free: "800555019", priority: first}
      - {trunk: t, number: "1", weight: 1001, max_live: 0}
      - {toll_free: "2025550100"}
      - {toll_free: "8005550188", trunk: t, number: "2", did: "3", server: m}
  - name: west
    master: m
    dids: ["+12025550100"]
    time_zone: Chicago
    destinations:
      - {toll_free: "8005550199"}
"#;
    insta::assert_snapshot!(faults(text), @r#"
    f.yaml:8: forwarding_flows[0].time_zone: "Mars/Base" is not a time zone; type a name of the IANA database, as Europe/Berlin
    f.yaml:10: forwarding_flows[0].destinations[0].priority: "first" is text, not a number; type a number from -100 to 100
    f.yaml:10: forwarding_flows[0].destinations[0].toll_free: "800555019" is not a toll-free number; a toll-free number has 10 digits, with or without +1 before them
    f.yaml:11: forwarding_flows[0].destinations[1].max_live: 0 would let no call through; pause the destinations instead, or leave max_live out for no limit
    f.yaml:11: forwarding_flows[0].destinations[1].weight: 1001 is out of range; type a number from 0 to 1000
    f.yaml:12: forwarding_flows[0].destinations[2].toll_free: "2025550100" is not a toll-free number; it begins with 800, 833, 844, 855, 866, 877 or 888; for any other number type trunk: and number:
    f.yaml:13: forwarding_flows[0].destinations[3].did: a toll-free number is on no server; keep toll_free alone, or leave it out
    f.yaml:13: forwarding_flows[0].destinations[3].number: a toll-free destination has one number; keep toll_free alone, or leave it out
    f.yaml:13: forwarding_flows[0].destinations[3].server: a toll-free number is on no server; keep toll_free alone, or leave it out
    f.yaml:13: forwarding_flows[0].destinations[3].toll_free: destination 8005550188 of forwarding flow east: toll-free termination is not enabled on this account; contact support; who runs divert enables it by account: {toll_free_termination: true}
    f.yaml:13: forwarding_flows[0].destinations[3].trunk: divert chooses the trunk of a toll-free number; leave trunk out, or type number: instead of toll_free:
    f.yaml:16: forwarding_flows[1].dids[0]: +12025550100 belongs to forwarding flow east (forwarding_flows[0].dids[0]) already; leave it out here, or take it out of east first
    f.yaml:17: forwarding_flows[1].time_zone: "Chicago" is not a time zone; did you mean America/Chicago?
    f.yaml:19: forwarding_flows[1].destinations[0].toll_free: destination 8005550199 of forwarding flow west: toll-free termination is not enabled on this account; contact support; who runs divert enables it by account: {toll_free_termination: true}
    "#);
}

#[test]
fn a_bad_throttle_says_what_to_type() {
    let keys = "    rate: {per: day, burst: 0}\n    spacing_sec: 0\n    caps:\n    \
                - {per: day, max: 0}\n    - {per: day, max: 5}\n    - {per: week, max: 1}\n    \
                - {per: hour, count: answer, max: 1}\n    - {count: attempts}\n    - 5\n";
    insta::assert_snapshot!(said("", keys), @r#"
    /destinations/0/rate/burst: 0 is out of range; type a number from 1 to 10000
    /destinations/0/rate/calls: calls is missing; type how many calls may begin, as {calls: 5, per: second}
    /destinations/0/rate/per: "day" is not a choice here; type hour or minute or second
    /destinations/0/spacing_sec: 0 is out of range; type a number from 1 to 86400
    /destinations/0/caps/0/max: 0 would let no call through; pause the destinations instead, or leave the cap out for no limit
    /destinations/0/caps/1: attempts per day have a cap already; keep one of them
    /destinations/0/caps/2/per: "week" is not a choice here; type day or hour or month or total
    /destinations/0/caps/3/count: "answer" is not a choice here; did you mean answers?
    /destinations/0/caps/4/max: max is missing; type the most there may be in that time
    /destinations/0/caps/4/per: per is missing; type hour, day, month or total
    /destinations/0/caps/5: a number stands here, where a mapping is wanted; give it keys: count, max, per
    "#);
    insta::assert_snapshot!(said("  rate: {calls: 60}\n", ""), @"/rate/per: per is missing; type second, minute or hour");
    insta::assert_snapshot!(said("  rate: 5\n  caps: 9\n  redial_gap_sec: 901\n", ""), @"
    /rate: a number stands here, where a mapping is wanted; give it keys: burst, calls, per
    /caps: a number stands here, where a list is wanted; type one item a line, each after a dash: - …
    /redial_gap_sec: 901 is out of range; type a number from 0 to 900
    ");
}

#[test]
fn a_bad_schedule_says_what_to_type() {
    let keys = r#"    schedule:
      hours:
        mon-fri: "09:00-17:00"
        wed: "10:00-11:00"
        Sat - Sun: "10:00-11:00"
        weekdays: "10:00-11:00"
        sat: ["25:00-26:00", "10:00-12:00", "11:00-13:00"]
        sun: ["10:00-10:00", "22:00-02:00", "23:00-24:00", 9]
      holidays:
        - "2026-02-30"
        - "20261225"
        - {date: "2026-12-25", hours: "9-5"}
        - "2026-12-25"
        - {hours: "09:00-12:00"}
      zone: UTC
"#;
    insta::assert_snapshot!(said("", keys), @r#"
    /destinations/0/schedule/hours/wed: wed stands under mon-fri as well; give each day its hours once, several of them as a list
    /destinations/0/schedule/hours/Sat - Sun: "Sat - Sun" is not a day, nor a range of days; did you mean sat-sun?
    /destinations/0/schedule/hours/weekdays: "weekdays" is not a day, nor a range of days; type mon, tue, wed, thu, fri, sat, sun, a range as mon-fri, or daily
    /destinations/0/schedule/hours/sat/0: "25:00-26:00" is not a time from one hour to another; type hours as "09:00-17:00", to 24:00 at the latest
    /destinations/0/schedule/hours/sat/2: 11:00-13:00 and 10:00-12:00 overlap; join them, or let one end where the other begins
    /destinations/0/schedule/hours/sun/0: "10:00-10:00" is not a time from one hour to another; hours that end when they begin are none; a whole day is "00:00-24:00"
    /destinations/0/schedule/hours/sun/2: 23:00-24:00 and 22:00-02:00 overlap; join them, or let one end where the other begins
    /destinations/0/schedule/hours/sun/3: "9" is not a time from one hour to another; type hours as "09:00-17:00", to 24:00 at the latest
    /destinations/0/schedule/holidays/0: "2026-02-30" is not a date of the calendar; type a day that exists in quotes, as "2026-12-25"
    /destinations/0/schedule/holidays/1: "20261225" is not a date of the calendar; type a day that exists in quotes, as "2026-12-25"
    /destinations/0/schedule/holidays/2/hours: "9-5" is not a time from one hour to another; type hours as "09:00-17:00", to 24:00 at the latest
    /destinations/0/schedule/holidays/3: 2026-12-25 is listed twice; leave one of them out
    /destinations/0/schedule/holidays/4/date: date is missing; type a day that exists in quotes, as "2026-12-25"
    /destinations/0/schedule/zone: "zone" is not a key here; the keys here are holidays, hours
    "#);
    let flow = |typed: &str| said(&format!("  schedule: {typed}\n"), "");
    insta::assert_snapshot!(flow("{hours: {}}"), @"/schedule/hours: no day has hours, so that it is never open; give a day hours; what shall take no call for a while is paused instead");
    insta::assert_snapshot!(flow("{hours: {mon: []}, holidays: [\"2026-12-25\"]}"), @"/schedule/hours: no day has hours, so that it is never open; give a day hours; what shall take no call for a while is paused instead");
    insta::assert_snapshot!(flow("{holidays: [\"2026-12-25\"]}"), @r#"/schedule/hours: hours is missing; type hours: {mon-fri: "09:00-17:00"}, or {daily: "00:00-24:00"} if it is open on all days but the holidays"#);
    insta::assert_snapshot!(flow("\"09:00-17:00\""), @"/schedule: text stands here, where a mapping is wanted; give it keys: holidays, hours");
    insta::assert_snapshot!(flow("{hours: \"09:00-17:00\"}"), @r#"/schedule/hours: text stands here, where a mapping is wanted; type the hours of each day, as {mon-fri: "09:00-17:00"}"#);
    // Open on two days of the calendar only.
    assert_eq!(flow("{hours: {}, holidays: [{date: \"2026-12-24\", hours: \"09:00-10:00\"}]}"), "");
}

#[test]
fn bad_stickiness_says_what_to_type() {
    let flow = |typed: &str| said(&format!("  stickiness: {typed}\n"), "");
    insta::assert_snapshot!(flow("sameday"), @r#"/stickiness: "sameday" is not a choice here; did you mean same_day?"#);
    insta::assert_snapshot!(flow("rolling"), @r#"/stickiness: "rolling" is not a choice here; type never, same_day, or {rolling_sec: 86400}"#);
    insta::assert_snapshot!(flow("86400"), @"/stickiness: 86400 does not say how long a caller stays; type never, same_day, or {rolling_sec: 86400}");
    insta::assert_snapshot!(flow("{on: answered}"), @"/stickiness/window: window is missing; type never, same_day, or {rolling_sec: 86400}");
    let both = "{window: day, rolling_sec: 59, sliding: \"no\", on: ring, rebind: 1, sticky: 1}";
    insta::assert_snapshot!(flow(both), @r#"
    /stickiness/on: "ring" is not a choice here; type answered or offered
    /stickiness/rebind: a number stands here, where true or false is wanted; type true or false
    /stickiness/rolling_sec: 59 is out of range; type a number from 60 to 31536000
    /stickiness/sliding: text stands here, where true or false is wanted; type false, without quotes
    /stickiness/sticky: "sticky" is not a key here; the keys here are beats_priority, on, rebind, rolling_sec, sliding, window
    /stickiness/window: window and rolling_sec exclude each other; keep window: same_day for the calendar's day, rolling_sec for a length of time
    "#);
    insta::assert_snapshot!(flow("{window: same_day, sliding: true}"), @"/stickiness/sliding: only a rolling window can slide; leave it out, or type rolling_sec: and a number of seconds");
}

#[test]
fn a_bad_rule_for_repeated_callers_says_what_to_type() {
    let flow = |typed: &str| said(&format!("  repeat_caller: {typed}\n"), "");
    insta::assert_snapshot!(flow("{calls: 0, count: all}"), @r#"
    /repeat_caller/calls: 0 is out of range; type a number from 1 to 100
    /repeat_caller/count: "all" is not a choice here; type answered or any
    /repeat_caller/then: then is missing; type different, reject, tag, or {destination: one of this flow's}
    /repeat_caller/within_sec: within_sec is missing; type how far back calls count, in seconds, as 3600
    "#);
    insta::assert_snapshot!(flow("{calls: 3, within_sec: 3600, then: skip_screening}"), @"/repeat_caller/then: no destination screens its callers yet, so that nothing can be skipped; type different, reject, tag, or {destination: one of this flow's}");
    insta::assert_snapshot!(flow("{calls: 3, within_sec: 3600, then: d}"), @r#"/repeat_caller/then: "d" is not a choice here; type {destination: "d"}"#);
    insta::assert_snapshot!(flow("{calls: 3, within_sec: 3600, then: diferent}"), @r#"/repeat_caller/then: "diferent" is not a choice here; did you mean different?"#);
    insta::assert_snapshot!(flow("{calls: 3, within_sec: 3600, then: {destination: e}}"), @r#"/repeat_caller/then/destination: there is no destination of this flow "e"; did you mean d?"#);
    insta::assert_snapshot!(flow("{calls: 3, within_sec: 3600, then: {flow: d}}"), @r#"
    /repeat_caller/then/destination: destination is missing; type the name of one of this flow's destinations
    /repeat_caller/then/flow: "flow" is not a key here; the keys here are destination
    "#);
    assert_eq!(flow("{calls: 3, within_sec: 3600, then: {destination: d}}"), "");
    insta::assert_snapshot!(said("  caller_numbers: {country: \"+44\", area: \"20\"}\n", ""), @r#"
    /caller_numbers/area: "area" is not a key here; the keys here are country, international_prefix, national_prefix
    /caller_numbers/country: "+44" is not a country code without +; type 1 to 6 digits in quotes
    "#);
}

#[test]
fn a_bad_account_or_rate_deck_says_what_to_type() {
    let text = r#"
account:
  time_zone: Europe/Berln
  max_live: 0
  toll_free_termination: "yes"
  prepaid: 1
  currency: usd
  rate_deck: retial
rate_decks:
  - name: retail
    rates:
      - {prefix: "1800", per_minute: 0.012, increment: 6}
      - {prefix: "+1800", per_minute: "-0.01"}
      - {prefix: 18a, per_minute: "0.0000001", increment: 0/6}
      - {prefix: "44", per_minute: "1000.01"}
      - {}
    bills_ring_time: on
    rounding: half
    decimals: 7
  - {name: empty, rates: []}
  - {name: none, rates: "0.01"}
  - {name: retail}
  - {name: rtd_00000000000000000000000001, rates: [{prefix: "", per_minute: 1}]}
trunks:
  - {name: t, endpoint: t, carries_toll_free: maybe, rate_deck: wholesale}
"#;
    insta::assert_snapshot!(faults(text), @r#"
    f.yaml:3: account.time_zone: "Europe/Berln" is not a time zone; did you mean Europe/Berlin?
    f.yaml:4: account.max_live: 0 would let no call through; pause the destinations instead, or leave max_live out for no limit
    f.yaml:5: account.toll_free_termination: text stands here, where true or false is wanted; type true, without quotes
    f.yaml:6: account.prepaid: a number stands here, where true or false is wanted; type true or false
    f.yaml:7: account.currency: "usd" is not a currency; type three capital letters, as USD
    f.yaml:8: account.rate_deck: there is no rate deck "retial"; did you mean retail?
    f.yaml:12: rate_decks[0].rates[0].increment: "6" is not a first and a next length; type seconds as "30/6": the first 30, then every 6 begun
    f.yaml:12: rate_decks[0].rates[0].per_minute: it is read as the number 0.012, which may not be what was typed; put it in quotes
    f.yaml:13: rate_decks[0].rates[1].per_minute: -0.01 is out of range; type an amount from "0.00" to "1000.00"
    f.yaml:13: rate_decks[0].rates[1].prefix: the prefix "1800" has a rate already; keep one of them
    f.yaml:14: rate_decks[0].rates[2].increment: "0/6" is not a first and a next length; type seconds as "30/6": the first 30, then every 6 begun
    f.yaml:14: rate_decks[0].rates[2].per_minute: "0.0000001" is not an amount; type an amount as "0.0125", with at most 6 digits behind the point
    f.yaml:14: rate_decks[0].rates[2].prefix: "18a" is not a prefix; type up to 15 digits in quotes, as "1800"; "" matches every number
    f.yaml:15: rate_decks[0].rates[3].per_minute: 1000.01 is out of range; type an amount from "0.00" to "1000.00"
    f.yaml:16: rate_decks[0].rates[4].per_minute: per_minute is missing; type the price of a minute in quotes, as "0.0120"
    f.yaml:16: rate_decks[0].rates[4].prefix: prefix is missing; type how the numbers begin, as "1800"; "" matches every number
    f.yaml:17: rate_decks[0].bills_ring_time: text stands here, where true or false is wanted; type true, without quotes
    f.yaml:18: rate_decks[0].rounding: "half" is not a choice here; type down or nearest or up
    f.yaml:19: rate_decks[0].decimals: 7 is out of range; type a number from 0 to 6
    f.yaml:20: rate_decks[1].rates: a rate deck without rates bills nothing; list at least one, as {prefix: "1", per_minute: "0.0120"}; the prefix "" matches every number
    f.yaml:21: rate_decks[2].rates: text stands here, where a list is wanted; type one item a line, each after a dash: - …
    f.yaml:22: rate_decks[3].name: another rate deck named retail is rate_decks[0]; give each its own name
    f.yaml:22: rate_decks[3].rates: rates is missing; list at least one, as {prefix: "1", per_minute: "0.0120"}; the prefix "" matches every number
    f.yaml:23: rate_decks[4].name: "rtd_00000000000000000000000001" looks like an id; choose a name that people can say
    f.yaml:25: trunks[0].carries_toll_free: text stands here, where true or false is wanted; type true or false
    f.yaml:25: trunks[0].rate_deck: there is no rate deck "wholesale"; there is retail, empty, none, retail, rtd_00000000000000000000000001; or add it
    "#);
}

#[test]
fn toll_free_needs_an_account_that_has_it_and_a_trunk_that_carries_it() {
    let text = |account: &str, carries: bool| {
        format!(
            "{account}servers: [{{name: m, role: master}}]\ntrunks: [{{name: t, endpoint: t, \
             carries_toll_free: {carries}}}]\nforwarding_flows:\n  - {{name: f, master: m, \
             destinations: [{{toll_free: \"8005550199\"}}]}}\n"
        )
    };
    insta::assert_snapshot!(faults(&text("", true)), @"f.yaml:4: forwarding_flows[0].destinations[0].toll_free: destination 8005550199 of forwarding flow f: toll-free termination is not enabled on this account; contact support; who runs divert enables it by account: {toll_free_termination: true}");
    let on = "account: {toll_free_termination: true}\n";
    let nothing = Configuration::default();
    let warned = |carries| read_into(&text(on, carries), &nothing, Unnamed::Keep).unwrap().warnings;
    assert_eq!(warned(true), []);
    insta::assert_snapshot!(rendered(&warned(false)), @"f.yaml:5: forwarding_flows[0].destinations[0].toll_free: no trunk carries calls to toll-free numbers, so that none goes there; type carries_toll_free: true at a trunk whose carrier takes them");
    // Nor can it be switched off behind their back.
    let whole = read(&text(on, true));
    let refused = put_account(&json!({}), &whole, &mut minter()).unwrap_err();
    let told: Vec<_> = refused.iter().map(|one| (one.code, &*one.pointer)).collect();
    assert_eq!(told, [("toll_free_not_enabled", "/toll_free_termination")]);
}

#[test]
fn a_toll_free_number_that_is_ours_may_loop() {
    for ours in ["8005550177", "18005550177", "+18005550177"] {
        let text = EVERYTHING.replace("TF-123", &format!("\"{ours}\""));
        let reading = read_into(&text, &Configuration::default(), Unnamed::Keep).unwrap();
        let advice = check::advise(&reading.configuration, &reading.places);
        let told: Vec<_> = advice.iter().map(|one| (one.code, &*one.pointer)).collect();
        assert_eq!(told, [("may_loop", "/forwarding_flows/0/destinations/2/toll_free")], "{ours}");
    }
}

#[test]
fn numbers_without_a_rate_are_warned_of() {
    let text = r#"
account: {toll_free_termination: true, rate_deck: retail}
rate_decks:
  - {name: retail, rates: [{prefix: "1202", per_minute: "0.01"}]}
  - {name: slaves, rates: [{prefix: "10", per_minute: "0.01"}]}
servers:
  - {name: m, role: master}
  - {name: free, role: slave, trunk: free}
  - {name: paid, role: slave, trunk: paid}
trunks:
  - {name: free, endpoint: free}
  - {name: paid, endpoint: paid, rate_deck: slaves}
  - {name: carrier, endpoint: carrier, carries_toll_free: true}
forwarding_flows:
  - name: f
    master: m
    fallback: {trunk: carrier, number: "44"}
    destinations:
      - {server: free, did: "99"}
      - {server: paid, did: "1001"}
      - {server: paid, did: "99", name: paid-99}
      - {trunk: carrier, number: "+12025550100"}
      - {trunk: carrier, number: "12035550100"}
      - {toll_free: "8005550199"}
"#;
    let nothing = Configuration::default();
    let reading = read_into(text, &nothing, Unnamed::Keep).unwrap();
    insta::assert_snapshot!(rendered(&reading.warnings), @r#"
    f.yaml:17: forwarding_flows[0].fallback.number: rate deck retail has no rate for 44, so that calls there cost nothing; add a rate to it; the prefix "" matches every number
    f.yaml:21: forwarding_flows[0].destinations[2].did: rate deck slaves has no rate for 99, so that calls there cost nothing; add a rate to it; the prefix "" matches every number
    f.yaml:23: forwarding_flows[0].destinations[4].number: rate deck retail has no rate for 12035550100, so that calls there cost nothing; add a rate to it; the prefix "" matches every number
    f.yaml:24: forwarding_flows[0].destinations[5].toll_free: rate deck retail has no rate for 18005550199, so that calls there cost nothing; add a rate to it; the prefix "" matches every number
    "#);
    // A prepaid account is never called for nothing.
    let text = text.replace("rate_deck: retail}", "rate_deck: retail, prepaid: true}");
    let reading = read_into(&text, &nothing, Unnamed::Keep).unwrap();
    assert_eq!(reading.warnings.len(), 4);
    insta::assert_snapshot!(rendered(&reading.warnings[..1]), @r#"f.yaml:17: forwarding_flows[0].fallback.number: rate deck retail has no rate for 44, so that no call goes there: a prepaid account has them refused; add a rate to it; the prefix "" matches every number"#);
}

#[test]
fn a_change_of_what_money_means_is_warned_of() {
    let old = read(
        "account: {prepaid: true, currency: USD}\n\
         rate_decks: [{name: retail, rates: [{prefix: \"\", per_minute: \"0.01\"}]}]\n",
    );
    let warned = |text| read_into(text, &old, Unnamed::Keep).unwrap().warnings;
    for silent in ["account: {prepaid: true}\n", "servers: []\n"] {
        assert_eq!(warned(silent), [], "{silent}");
    }
    insta::assert_snapshot!(rendered(&warned("account:\n  max_live: 5\n  currency: EUR\n")), @"
    f.yaml:1: account.prepaid: prepaid is turned off: calls go on when the balance is used up; type prepaid: true to keep it; what an account: leaves out takes its default
    f.yaml:3: account.currency: the currency changes from USD to EUR, and amounts booked so far keep their figures: 250.00 USD in the balance would read as 250.00 EUR; type currency: USD to keep it, or correct the balance by a credit
    ");
    let mut codes: Vec<_> =
        warned("account: {currency: EUR}\n").iter().map(|one| one.code).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["currency_changed", "prepaid_off"]);
}

#[test]
fn a_plan_tells_what_changes_in_distribution() {
    let old = read(EVERYTHING);
    let text = EVERYTHING
        .replace("currency: EUR", "currency: USD")
        .replace("per_minute: \"0.0120\", increment: 6/6", "per_minute: \"0.0150\", increment: 1/1")
        .replace("prefix: \"\", per", "prefix: \"44\", per")
        .replace("decimals: 6", "decimals: 4")
        .replace("{hours: {sat-mon: ", "{hours: {sat-sun: ")
        .replace("calls: 5", "calls: 6")
        .replace("max: 500}", "max: 400}")
        .replace("{rolling_sec: 86400, sliding: false, on: offered}", "same_day")
        .replace("then: {destination: slave-a}", "then: reject")
        .replace("+1 800-555-0177\"", "8005550177\"\n        name: help");
    let new = read_into(&text, &old, Unnamed::Keep).unwrap().configuration;
    insta::assert_snapshot!(plan(&old, &new).join("\n"), @"
    ~ account: currency EUR → USD
    ~ rate deck retail: decimals 6 → 4
    - rate of deck retail for all other numbers
    ~ rate 1800 of deck retail: 0.012 → 0.015, increment 6/6 → 1/1
    + rate 44 of deck retail: 0.05 at 60/60
    ~ forwarding flow solar-east: caps [{count answers, max 500, per day}, {count attempts, max 9000, per total}] → [{count answers, max 400, per day}, {count attempts, max 9000, per total}], rate.calls 5 → 6, repeat_caller.then {destination slave-a} → reject, schedule.hours.mon [10:00-12:00, 13:00-15:00] → none, stickiness {beats_priority false, on offered, rebind true, rolling_sec 86400, sliding false} → same_day
    - destination 8005550177 of solar-east
    + destination help of solar-east
    ");
    assert_eq!(apply(&old, &diff(&old, &new)), new);
    let added = plan(&Configuration::default(), &old);
    insta::assert_snapshot!(added.join("\n"), @"
    ~ account: currency USD → EUR, max_live none → 500, prepaid false → true, rate_deck none → retail, time_zone UTC → America/Chicago, toll_free_termination false → true
    + rate deck retail (2 rates)
    + server master
    + server slave-a
    + trunk carrier
    + trunk to-slave-a
    + number +12025550199 on master
    + forwarding flow solar-east (2 DIDs, 3 destinations)
    ");
}

#[test]
fn the_account_and_a_rate_deck_are_put_as_the_api_does() {
    let old = read(EVERYTHING);
    let mint = &mut mint_from(1 << 40);
    let mut body = old.account.write_whole(&old);
    assert_eq!(put_account(&body, &old, mint).unwrap().configuration, old);
    body["max_live"] = json!(null);
    body["rate_deck"] = json!(null);
    let next = put_account(&body, &old, mint).unwrap().configuration;
    assert_eq!(plan(&old, &next), ["~ account: max_live 500 → none, rate_deck retail → none"]);
    let refused = put_account(&json!({"currency": "usd", "rate": 1}), &old, mint).unwrap_err();
    let told: BTreeSet<_> = refused.iter().map(|one| (one.code, &*one.pointer)).collect();
    let wanted = [
        ("invalid", "/currency"),
        ("unknown_key", "/rate"),
        ("toll_free_not_enabled", "/toll_free_termination"),
    ];
    assert_eq!(told, BTreeSet::from(wanted));

    let body = json!({"name": "night", "rates": [{"prefix": "", "per_minute": "0.01"}]});
    let (reading, id) = put(kind("rate_decks"), &body, None, &old, mint).unwrap();
    let next = reading.configuration;
    assert_eq!(plan(&old, &next), ["+ rate deck night (1 rate)"]);
    assert_eq!(put(kind("rate_decks"), &body, None, &next, mint).unwrap_err()[0].code, "taken");
    let mut body = kind("rate_decks").write(&next, id, &next).unwrap();
    body["rates"][0]["per_minute"] = json!("0.02");
    let (reading, same) = put(kind("rate_decks"), &body, Some(id), &next, mint).unwrap();
    let more = reading.configuration;
    assert_eq!(same, id);
    assert_eq!(plan(&next, &more), ["~ rate of deck night for all other numbers: 0.01 → 0.02"]);

    // Removed when nobody uses it any more.
    assert_eq!(remove(&more, kind("rate_decks"), id).unwrap(), old);
    let used: Vec<_> = remove(&old, kind("rate_decks"), deck(&old).id.into())
        .unwrap_err()
        .into_iter()
        .map(|one| one.message)
        .collect();
    assert_eq!(
        used,
        [
            "rate deck retail is still used by the account",
            "rate deck retail is still used by trunk carrier"
        ]
    );
    // Nor does pruning take it from an account that stays as it is.
    let text =
        EVERYTHING.replace("carries_toll_free: true, rate_deck: retail", "carries_toll_free: true");
    let from = text.find("account:").unwrap();
    let to = text.find("servers:").unwrap();
    let text = text[..from].to_owned() + &text[to..];
    let kept = read_into(&text, &old, Unnamed::Keep).unwrap().configuration;
    assert_eq!((&kept.account, &kept.rate_decks), (&old.account, &old.rate_decks));
    let refused = read_into(&text, &old, Unnamed::Prune).unwrap_err();
    insta::assert_snapshot!(rendered(&refused), @"f.yaml:2: the account names a rate deck that does not exist; list the rate deck under rate_decks:, or name another one there");
}

#[test]
fn a_destination_for_repeated_callers_is_not_removed() {
    let whole = read(EVERYTHING);
    let east = flow(&whole, "solar-east");
    let refused = remove_destination(&whole, east.id, east.destinations[0].id).unwrap_err();
    insta::assert_snapshot!(rendered(&refused), @"f.yaml: destination slave-a is still used by the rule for repeated callers of forwarding flow solar-east; change or remove the rule for repeated callers of forwarding flow solar-east first");
    assert!(remove_destination(&whole, east.id, east.destinations[1].id).is_ok());
}
