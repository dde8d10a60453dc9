//! Configuration documents from their text to the plan: what is refused and how, what is changed
//! and what is not.

mod changes;
pub mod distribution;
mod kinds;
mod numbers;
pub mod random;
mod undo;

use std::collections::{BTreeMap, BTreeSet};

use divert::model::change::{Change, Changes, Subject, diff};
use divert::model::configuration::Configuration;
use divert::model::document::{
    Reading, Row, Unnamed, put, put_destination, read_document, read_rows, write_document,
};
use divert::model::number::Did;
use divert::model::object::Record as _;
use divert::model::objects::destination::{DestinationState, Landing};
use divert::model::objects::forwarding_flow::{Fallback, ForwardingFlow};
use divert::model::objects::number::Number;
use divert::model::objects::{KINDS, Kind};
use divert::model::opening_hours::Hours;
use divert::model::plan::describe;
use divert::model::problem::{Problem, render};
use divert::model::removal::{remove, remove_destination, remove_number};
use divert::model::tags::Tag;
use divert::routing::check;
use divert::yaml;
use serde_json::{Value, json};

const EXAMPLE: &str = include_str!("../../asterisk/divert.example.yaml");

/// Ids in the order of minting, from 1.
fn minter() -> impl FnMut() -> u128 {
    let mut last = 0;
    move || {
        last += 1;
        last
    }
}

/// Ids that no other call of this function gives.
fn mint_from(start: u128) -> impl FnMut() -> u128 {
    let mut last = start;
    move || {
        last += 1;
        last
    }
}

fn read_into(
    text: &str,
    current: &Configuration,
    unnamed: Unnamed,
) -> Result<Reading, Vec<Problem>> {
    let start = 1_000 * u128::try_from(text.len()).unwrap();
    yaml::read_configuration(text, current, unnamed, &mut mint_from(start))
}

fn read(text: &str) -> Configuration {
    read_into(text, &Configuration::default(), Unnamed::Keep)
        .unwrap_or_else(|problems| panic!("{}", rendered(&problems)))
        .configuration
}

fn rendered(problems: &[Problem]) -> String {
    problems.iter().map(|problem| render(problem, "f.yaml") + "\n").collect()
}

/// The problems of a text read into nothing.
fn faults(text: &str) -> String {
    match read_into(text, &Configuration::default(), Unnamed::Keep) {
        Ok(_) => String::new(),
        Err(problems) => rendered(&problems),
    }
}

fn plan(old: &Configuration, new: &Configuration) -> Vec<String> {
    describe(old, new).iter().map(ToString::to_string).collect()
}

fn flow<'a>(of: &'a Configuration, name: &str) -> &'a ForwardingFlow {
    of.forwarding_flows.iter().find(|flow| flow.name == name).unwrap()
}

fn kind(section: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.section == section).unwrap()
}

/// Rows by what they are of.
fn rows(of: &Configuration) -> BTreeMap<Subject, Value> {
    let nothing = Configuration::default();
    let changes = diff(&nothing, of).changes;
    changes.into_iter().map(|change| (change.subject, change.after.unwrap())).collect()
}

/// Applies the changes as a database does that has foreign keys and unique names, and reads what there
/// is then.
fn apply(to: &Configuration, changes: &Changes) -> Configuration {
    let mut now = rows(to);
    for change in &changes.changes {
        let Change { subject, before, after, .. } = change;
        if *subject != Subject::Account {
            assert_eq!(now.get(subject), before.as_ref(), "{change:?}");
        }
        match after {
            Some(after) => now.insert(*subject, after.clone()),
            None => now.remove(subject),
        };
    }
    let objects = now.iter().filter_map(|(subject, body)| match subject {
        Subject::Object(id) => {
            let name = body["name"].as_str().unwrap().to_owned();
            Some(Row { id: *id, name, body: body.clone() })
        }
        _ => None,
    });
    let objects: Vec<Row> = objects.collect();
    let names: BTreeSet<_> = objects.iter().map(|row| (row.id.prefix(), &row.name)).collect();
    assert_eq!(names.len(), objects.len(), "a name is taken twice after {changes:#?}");
    let (mut read, warnings) = read_rows(now.get(&Subject::Account), &objects).unwrap();
    assert_eq!(warnings, []);
    for (subject, body) in &now {
        if let Subject::Number(id) = subject {
            let text = |key: &str| body[key].as_str();
            let tags = body["tags"].as_array().into_iter().flatten();
            read.numbers.push(Number {
                id: *id,
                did: text("did").unwrap().parse().unwrap(),
                forwarding_flow: text("forwarding_flow").map(|id| id.parse().unwrap()),
                server: text("server").unwrap().parse().unwrap(),
                tags: tags.map(|tag| tag.as_str().unwrap().parse().unwrap()).collect(),
            });
        }
    }
    // The DIDs of a flow are its numbers.
    for flow in &mut read.forwarding_flows {
        let own = |number: &&Number| number.forwarding_flow == Some(flow.id);
        flow.dids = read.numbers.iter().filter(own).map(|number| number.did.clone()).collect();
    }
    read.sort();
    let after = diff(to, &read);
    let told: BTreeSet<_> = changes.changes.iter().map(|change| change.subject).collect();
    let found: BTreeSet<_> = after.changes.iter().map(|change| change.subject).collect();
    assert_eq!(told, found, "what changes is told once");
    read
}

const FULL: &str = r#"
servers:
  - {name: master, role: master}
  - {name: slave-a, role: slave, trunk: to-slave-a, max_live: 30}
trunks:
  - {name: to-slave-a, address: "127.0.0.1:5070"}
  - {name: carrier, endpoint: carrier, max_live: 100}
numbers:
  - {did: "+12025550199", server: master}
forwarding_flows:
  - name: solar-east
    master: master
    dids: ["+12025550100", TF-123]
    spread: round_robin
    ringback: early_media
    ring_timeout_sec: 25
    ring_budget_sec: 60
    max_attempts: 3
    max_call_sec: 3600
    fallback: {trunk: carrier, number: "18005550199"}
    destinations:
      - {server: slave-a, did: "1001", priority: -1, weight: 70, max_live: 10}
      - {trunk: carrier, number: "8005550199", ring_timeout_sec: 20, state: paused}
"#;

#[test]
fn the_example_is_read_and_planned() {
    let nothing = Configuration::default();
    let Reading { configuration, warnings, places } =
        read_into(EXAMPLE, &nothing, Unnamed::Keep).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(check::advise(&configuration, &places), []);
    assert_eq!(check::check(&configuration), []);
    let lines = [
        "+ server master",
        "+ server phones",
        "+ trunk to-phones",
        "+ forwarding flow solar-east (2 DIDs, 2 destinations)",
    ];
    assert_eq!(plan(&nothing, &configuration), lines);

    let flow = flow(&configuration, "solar-east");
    let dids: Vec<&str> = flow.dids.iter().map(Did::as_str).collect();
    assert_eq!(dids, ["+12025550100", "TF-123"]);
    assert_eq!(flow.destinations[0].name, "desk-a");
    assert_eq!(flow.destinations[1].priority, 2);
    assert_eq!(flow.ring_budget_sec, ForwardingFlow::RING_BUDGET_SEC);
    assert_eq!(configuration.numbers.len(), 2);
    assert!(configuration.numbers.iter().all(|number| number.forwarding_flow == Some(flow.id)));
}

#[test]
fn every_setting_of_a_document_arrives() {
    let whole = read(FULL);
    let flow = flow(&whole, "solar-east");
    let carrier = whole.trunks.iter().find(|trunk| trunk.name == "carrier").unwrap();
    assert_eq!(carrier.endpoint(), "carrier");
    assert_eq!(carrier.max_live, Some(100));
    let slave = whole.servers.iter().find(|server| server.name == "slave-a").unwrap();
    assert_eq!(slave.max_live, Some(30));
    assert_eq!((flow.ring_timeout_sec, flow.ring_budget_sec), (25, 60));
    assert_eq!((flow.max_attempts, flow.max_call_sec), (3, 3_600));
    assert_eq!(flow.spread.to_string(), "round_robin");
    assert_eq!(flow.ringback.to_string(), "early_media");
    let number = "18005550199".parse().unwrap();
    assert_eq!(flow.fallback, Fallback::Number { trunk: carrier.id, number });
    let [first, second] = &flow.destinations[..] else { panic!("two destinations") };
    assert_eq!((first.name.as_str(), first.priority, first.weight), ("slave-a", -1, 70));
    assert_eq!(first.landing, Landing::Slave { server: slave.id, did: "1001".parse().unwrap() });
    assert_eq!((second.name.as_str(), second.ring_timeout_sec), ("8005550199", Some(20)));
    assert_eq!(second.state, DestinationState::Paused);
    let unowned: Vec<_> =
        whole.numbers.iter().filter(|one| one.forwarding_flow.is_none()).collect();
    assert_eq!(unowned.len(), 1);
    assert_eq!(unowned[0].did.as_str(), "+12025550199");
}

#[test]
fn every_problem_of_a_bad_document_is_listed_at_once() {
    let text = r#"
servers:
  - name: master
    role: boss
  - name: slave-a
    role: slave
    max_live: 0
  - name: slave-a
    role: slave
    trunk: to-slaev
  - role: master
trunks:
  - name: to-slave
    address: 10.0.0.1:99999
    endpoint: carrier
  - name: other
  - name: carrier
    endpoint: car/rier
    adress: 10.0.0.1
numbers:
  - did: "1 2"
    server: master
flows: []
forwarding_flows:
  - name: east
    master: slave-a
    dids: ["+12025550100", 1.5, TF&1, TF-1, TF-1]
    spread: wieghted
    ring_timeout_sec: 4
    max_attempts: "6"
    fallback: voicemail
    destinations:
      - server: slave-a
        did: "1001"
        wieght: 70
        priority: high
      - server: slave-a
        did: "1002"
        weight: 1001
        state: on
      - trunk: to-slave
        did: "1003"
      - server: master
      - weight: 1.5
  - name: west
    master: slave-a
    dids: [TF-1]
    destinations: []
    fallback: {hang_up: 200}
    ring_timeout_sec: 30
    ring_timeout_sec: 31
"#;
    insta::assert_snapshot!(faults(text), @r##"
    f.yaml:4: servers[0].role: "boss" is not a choice here; type master or slave
    f.yaml:5: servers[1].trunk: server slave-a is a slave without a trunk; type the trunk over which the master reaches it
    f.yaml:7: servers[1].max_live: 0 would let no call through; pause the destinations instead, or leave max_live out for no limit
    f.yaml:8: servers[2].name: another server named slave-a is servers[1]; give each its own name
    f.yaml:10: servers[2].trunk: there is no trunk "to-slaev"; did you mean to-slave?
    f.yaml:11: servers[3].name: name is missing; type a name of 1 to 60 characters
    f.yaml:14: trunks[0].address: "10.0.0.1:99999" is not an address; the port must be a number from 1 to 65535
    f.yaml:15: trunks[0].endpoint: address and endpoint exclude each other; keep address if divert shall make the endpoint, endpoint if pjsip.conf has it
    f.yaml:16: trunks[1].address: address is missing; type the peer's address, or endpoint: and a section of your pjsip.conf
    f.yaml:18: trunks[2].endpoint: "car/rier" is not the name of an endpoint; type the endpoint's name in pjsip.conf: letters, digits, _ - and .
    f.yaml:19: trunks[2].adress: "adress" is not a key here; did you mean address?
    f.yaml:21: numbers[0].did: "1 2" is not a DID; ' ' cannot be part of it; use letters, digits and _ - . * # + only
    f.yaml:23: flows: "flows" is not a key here; did you mean forwarding_flows?
    f.yaml:26: forwarding_flows[0].master: slave-a is the master of forwarding flow east but its role is slave, not master; type the name of a master there, or change the role
    f.yaml:27: forwarding_flows[0].dids[1]: it is read as the number 1.5, which may not be what was typed; put it in quotes
    f.yaml:27: forwarding_flows[0].dids[2]: "TF&1" is not a DID; '&' cannot be part of it; use letters, digits and _ - . * # + only
    f.yaml:27: forwarding_flows[0].dids[4]: TF-1 is listed twice in this flow; leave one of them out
    f.yaml:28: forwarding_flows[0].spread: "wieghted" is not a choice here; did you mean weighted?
    f.yaml:29: forwarding_flows[0].ring_timeout_sec: 4 is out of range; type a number from 5 to 120
    f.yaml:30: forwarding_flows[0].max_attempts: "6" is text, not a number; type 6 without quotes
    f.yaml:31: forwarding_flows[0].fallback: "voicemail" is not a fallback; type dialplan, hang_up, {hang_up: 17} or {trunk: carrier, number: "…"}
    f.yaml:35: forwarding_flows[0].destinations[0].wieght: "wieght" is not a key here; did you mean weight?
    f.yaml:36: forwarding_flows[0].destinations[0].priority: "high" is text, not a number; type a number from -100 to 100
    f.yaml:37: forwarding_flows[0].destinations[1].name: destinations[0] of forwarding flow east is named slave-a too; give each destination of a flow its own name
    f.yaml:39: forwarding_flows[0].destinations[1].weight: 1001 is out of range; type a number from 0 to 1000
    f.yaml:40: forwarding_flows[0].destinations[1].state: "on" is not a choice here; type active or disabled or draining or paused
    f.yaml:42: forwarding_flows[0].destinations[2].did: a destination on a trunk has a number; type number: instead
    f.yaml:43: forwarding_flows[0].destinations[3].did: did is missing; type the DID on the slave where the call lands
    f.yaml:44: forwarding_flows[0].destinations[4].trunk: trunk is missing; type server: and did:, trunk: and number:, or toll_free:
    f.yaml:44: forwarding_flows[0].destinations[4].weight: 1.5 is not a whole number; type a number from 0 to 1000
    f.yaml:46: forwarding_flows[1].master: slave-a is the master of forwarding flow west but its role is slave, not master; type the name of a master there, or change the role
    f.yaml:47: forwarding_flows[1].dids[0]: TF-1 belongs to forwarding flow east (forwarding_flows[0].dids[3]) already; leave it out here, or take it out of east first
    f.yaml:48: forwarding_flows[1].destinations: forwarding flow west has no destination; list at least one server with a did, one trunk with a number, or one toll_free number
    f.yaml:49: forwarding_flows[1].fallback.hang_up: 200 is out of range; type a number from 1 to 127
    f.yaml:51: forwarding_flows[1].ring_timeout_sec: ring_timeout_sec stands here a second time; the first is on line 50; keep one of them
    "##);
}

#[test]
fn numbers_are_taken_as_typed_or_refused() {
    let with = |dids: &str| {
        format!(
            "servers: [{{name: m, role: master}}]\ntrunks: [{{name: t, endpoint: t}}]\n\
             forwarding_flows:\n  - name: no\n    master: m\n    dids: [{dids}]\n    \
             destinations: [{{trunk: t, number: 0800123}}]\n"
        )
    };
    let typed = [
        "12025550100",
        "0800",
        "+12025550100",
        "1e5",
        "0x1F",
        "1_000",
        "no",
        "on",
        "007",
        "123456789012345678901234567890",
    ];
    let whole = read(&with(&typed.join(", ")));
    let kept: BTreeSet<&str> = flow(&whole, "no").dids.iter().map(Did::as_str).collect();
    assert_eq!(kept, BTreeSet::from(typed));
    assert_eq!(flow(&whole, "no").destinations[0].name, "0800123");

    assert_eq!(
        faults(&with("1.5, true, null")),
        "f.yaml:6: forwarding_flows[0].dids[0]: it is read as the number 1.5, which may not be \
         what was typed; put it in quotes\n\
         f.yaml:6: forwarding_flows[0].dids[1]: true is a yes-or-no value, not text; put it in \
         quotes if you mean the word: \"true\"\n\
         f.yaml:6: forwarding_flows[0].dids[2]: nothing stands here; type a text\n"
    );
    // The same in JSON, where 1e5 has become 100000 before anybody could look.
    let body = json!({"name": "a", "role": "master", "max_live": 1e5});
    let refused =
        put(kind("servers"), &body, None, &Configuration::default(), &mut minter()).unwrap_err();
    assert_eq!(refused[0].message, "100000.0 is not a whole number");
}

#[test]
fn what_is_written_reads_back_as_itself() {
    for text in [EXAMPLE, FULL, distribution::EVERYTHING] {
        let whole = read(text);
        let written = write_document(&whole);
        for unnamed in [Unnamed::Keep, Unnamed::Prune] {
            let reading = read_document(&written, &whole, unnamed, &mut minter()).unwrap();
            assert_eq!((reading.configuration, reading.warnings), (whole.clone(), vec![]));
        }
        // As text too: JSON is YAML.
        let text = serde_json::to_string_pretty(&written).unwrap();
        assert_eq!(yaml::read(&text).unwrap().value, written);
        assert_eq!(yaml::read(&yaml::write(&written)).unwrap().value, written);
        // Elsewhere the ids are unknown: said, but no fault.
        let nothing = Configuration::default();
        let elsewhere = read_document(&written, &nothing, Unnamed::Keep, &mut minter()).unwrap();
        assert!(elsewhere.warnings.iter().all(|warning| warning.code == "unknown_id"));
        assert!(!elsewhere.warnings.is_empty());
        let names = |of: &Configuration| plan(&nothing, of);
        assert_eq!(names(&elsewhere.configuration), names(&whole));
    }
}

#[test]
fn a_flow_that_takes_no_new_callers_is_advised_against() {
    let advised = |destinations: &str| {
        let text = format!(
            "servers: [{{name: m, role: master}}]\ntrunks: [{{name: t, endpoint: t}}]\n\
             forwarding_flows:\n  - {{name: a, master: m, destinations: [{destinations}]}}\n"
        );
        advised(&text)
    };
    for (destinations, is_told) in [
        ("{trunk: t, number: \"1\", weight: 0}", true),
        ("{trunk: t, number: \"1\", weight: 0}, {trunk: t, number: \"2\", state: paused}", true),
        ("{trunk: t, number: \"1\", state: draining}", true),
        ("{trunk: t, number: \"1\", weight: 0}, {trunk: t, number: \"2\"}", false),
    ] {
        let told = advised(destinations);
        assert_eq!(
            told.contains("nobody takes new callers in forwarding flow a"),
            is_told,
            "{told}"
        );
    }
}

/// What is advised about a document that is applied to nothing.
fn advised(text: &str) -> String {
    let nothing = Configuration::default();
    let Reading { configuration, places, .. } = read_into(text, &nothing, Unnamed::Keep).unwrap();
    rendered(&check::advise(&configuration, &places))
}

#[test]
fn a_deck_with_one_price_and_the_prefix_of_country_1_are_meant_so() {
    let text = r#"
rate_decks: [{name: all, rates: [{prefix: "", per_minute: "0.50", increment: "60/60"}]}]
servers: [{name: m, role: master}]
trunks: [{name: t, endpoint: t, rate_deck: all}]
forwarding_flows:
  - name: a
    master: m
    caller_numbers: {country: "1", national_prefix: "1"}
    destinations: [{trunk: t, number: "0044163296"}]
"#;
    assert_eq!(advised(text), "");
}

#[test]
fn what_means_something_else_than_people_think_is_advised_against() {
    let text = r#"
account: {time_zone: EST}
rate_decks:
  - name: "12025550100"
    rates:
      - {prefix: "", per_minute: "0.50", increment: "60/60"}
      - {prefix: "44", per_minute: "0.01", increment: "60/60"}
servers:
  - {name: "12025550101", role: master}
trunks:
  - {name: any, address: 0.0.0.0}
  - {name: all, address: "10.0.0.255:5080"}
  - {name: group, address: 224.0.1.75}
  - {name: ourselves, address: localhost, rate_deck: "12025550100"}
  - {name: another port, address: "127.0.0.1:5080"}
forwarding_flows:
  - name: a
    master: "12025550101"
    dids: ["12025550100", "+12025550100"]
    time_zone: Etc/GMT+5
    schedule: {hours: {daily: "00:00-23:59"}}
    caller_numbers: {country: "44"}
    destinations:
      - {trunk: ourselves, number: "00441632960000", time_zone: EST5EDT}
      - {trunk: ourselves, number: "+441632960000", name: "+441632960001"}
      - {trunk: ourselves, number: "12025550177"}
  - name: b
    master: "12025550101"
    caller_numbers: {country: "44", national_prefix: "0", international_prefix: "00"}
    schedule: {hours: {mon: ["09:00-12:59", "13:00-17:00"]}, holidays: [{date: "2026-12-24", hours: "09:00-23:59"}]}
    destinations:
      - {trunk: ourselves, number: "01632960000"}
    fallback: {trunk: ourselves, number: "01144163296"}
  - name: c
    master: "12025550101"
    caller_numbers: {country: "39", national_prefix: "0"}
    destinations: [{trunk: any, number: "1"}]
  - name: d
    master: "12025550101"
    caller_numbers: {national_prefix: "0"}
    destinations: [{trunk: any, number: "1"}]
  - name: e
    master: "12025550101"
    caller_numbers: {country: "0044"}
    destinations: [{trunk: any, number: "1"}]
  - name: f
    master: "12025550101"
    caller_numbers: {country: "1"}
    destinations: [{trunk: any, number: "1"}]
"#;
    insta::assert_snapshot!(advised(text));
    assert_eq!(advised(EXAMPLE), "");
}

#[test]
fn bad_routing_is_advised_against() {
    let text = FULL
        .replace("max_live: 10}", "state: disabled}")
        .replace("ring_timeout_sec: 25", "ring_timeout_sec: 90")
        .replace("\"8005550199\"", "TF-123");
    let nothing = Configuration::default();
    let Reading { configuration, places, .. } = read_into(&text, &nothing, Unnamed::Keep).unwrap();
    let advice = check::advise(&configuration, &places);
    let codes: BTreeMap<_, _> = advice.iter().map(|one| (one.code, &*one.pointer)).collect();
    let wanted = [
        ("may_loop", "/forwarding_flows/0/destinations/1/number"),
        ("no_active_destination", "/forwarding_flows/0/destinations"),
        ("no_effect", "/forwarding_flows/0/ring_timeout_sec"),
    ];
    assert_eq!(codes, BTreeMap::from(wanted));
}

#[test]
fn flows_and_destinations_may_name_a_schedule() {
    let text = r#"
servers: [{name: m, role: master}]
trunks: [{name: t, endpoint: t}]
schedules:
  - {name: office, hours: {mon-fri: "09:00-17:00"}, holidays: ["2026-12-25"]}
sounds:
  - {name: welcome, text: "Welcome."}
  - {name: hold, file: custom/hold, language: pt-BR}
forwarding_flows:
  - name: f
    master: m
    schedule: office
    destinations: [{trunk: t, number: "1", schedule: office}]
"#;
    let whole = read(text);
    let east = flow(&whole, "f");
    let office = whole.schedules[0].id;
    let named = [&east.schedule, &east.destinations[0].schedule];
    assert!(named.iter().all(|hours| hours.as_ref().and_then(Hours::schedule) == Some(office)));
    let used = remove(&whole, kind("schedules"), office.into()).unwrap_err();
    let used: Vec<_> = used.into_iter().map(|problem| problem.message).collect();
    let wanted = [
        "schedule office is still used by forwarding flow f",
        "schedule office is still used by destination 1 of forwarding flow f",
    ];
    assert_eq!(used, wanted);
    assert_eq!(
        plan(&Configuration::default(), &whole)[2..5],
        ["+ schedule office", "+ sound hold", "+ sound welcome",]
    );
    let bad = text
        .replace("schedule: office\n", "schedule: offices\n")
        .replace("mon-fri", "mo-fr")
        .replace("text: \"Welcome.\"", "language: English")
        .replace("custom/hold", "../hold.wav");
    insta::assert_snapshot!(faults(&bad), @r#"
    f.yaml:5: schedules[0].hours.mo-fr: "mo-fr" is not a day, nor a range of days; type mon, tue, wed, thu, fri, sat, sun, a range as mon-fri, or daily
    f.yaml:7: sounds[0].language: "English" is not a language; type a language as en, de or pt-BR
    f.yaml:7: sounds[0].text: text is missing; type the words to be spoken, or file: and its name
    f.yaml:8: sounds[1].file: "../hold.wav" is not a sound file; type the file's name in the sounds of Asterisk without its ending, as custom/welcome: letters, digits, _ and - only
    f.yaml:12: forwarding_flows[0].schedule: there is no schedule "offices"; did you mean office?
    "#);
}
