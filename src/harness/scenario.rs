//! Scenarios: one promise in one file, named as a sentence, to be kept by the simulator and by a
//! real Asterisk alike.
//!
//! ```yaml
//! scenario: A busy destination is skipped and the next one answers
//! flow:                    # as in a configuration; name, master and DIDs are filled in
//!   destinations:
//!     - { trunk: phones, number: "1101", priority: 1 }
//!     - { trunk: phones, number: "1001", priority: 2 }
//! caller: { number: "+12025550199", name: Ann, hangs_up: { after: answered, ms: 1000 } }
//! expect:
//!   result: answered
//!   ended_by: caller
//!   legs: [busy, answered]
//!   steps: [Received, Routed, Busy, Routed, Ringing, Answered, Ended]
//! ```
//! A promise about several calls has a list in the place of `caller` and `expect`; each call begins
//! when the one before it is over:
//!
//! ```yaml
//! calls:
//!   - { caller: { number: "+12025550199" }, expect: { result: busy, legs: [busy] } }
//!   - { caller: { number: "+12025550199" }, expect: { result: busy, legs: [busy], to: [first] } }
//! ```
//! Every scenario plays on the same [`stage`]: the server `master`, the trunk `phones`, whose phones
//! behave by their number (`asterisk/phones/extensions.conf` says how), and the trunk `dead`, where
//! nobody ever replies. How a scenario is played is not decided here.

use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::engine::journal::JournalEntry;
use crate::model::call::{CallRecord, LegRecord};
use crate::model::cause::{CallResult, EndedBy, HangupCause, Outcome};
use crate::model::configuration::Configuration;
use crate::model::document::{self, Unnamed};
use crate::model::number::{Caller, Did};
use crate::model::problem::{Problem, render, token};
use crate::model::timeline::TimelineEntry;
use crate::yaml;

/// The number that is called where a scenario names none.
pub const DID: &str = "+12025550100";

/// One promise.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The promise as a sentence.
    pub name: String,
    /// `None`: any number will do.
    pub did: Option<Did>,
    /// One after the other; at least one.
    pub calls: Vec<Act>,
    /// What the file says of the flow.
    flow: Map<String, Value>,
}

/// One call of a scenario.
#[derive(Clone, Debug)]
pub struct Act {
    pub caller: Caller,
    /// `None`: the caller stays until hung up on.
    pub hangs_up: Option<HangUp>,
    pub expect: Expectation,
}

/// When the caller hangs up.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct HangUp {
    pub after: Moment,
    /// So much later, in milliseconds.
    #[serde(default)]
    pub ms: u32,
}

/// A moment that the caller can tell from the outside.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    Answered,
    /// It rings, or would if the flow let it.
    Ringing,
    Start,
}

/// What must come of the call. What is `None` is not looked at.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    pub result: CallResult,
    pub ended_by: Option<EndedBy>,
    /// The outcome of every leg, in order of dialling.
    pub legs: Vec<Outcome>,
    /// The destination of every leg, in order of dialling.
    pub to: Option<Vec<String>>,
    /// The titles of the timeline.
    pub steps: Option<Vec<String>>,
    /// What divert hung the caller up with.
    pub caller_cause: Option<u16>,
    /// The dialplan got the call back.
    #[serde(default)]
    pub passed_on: bool,
}

/// What became of one call.
#[derive(Clone, Debug)]
pub struct Played {
    pub call: CallRecord,
    /// In order of dialling.
    pub legs: Vec<LegRecord>,
    pub timeline: Vec<TimelineEntry>,
    pub journal: Vec<JournalEntry>,
    /// What the caller was hung up with; `None` if it went by itself or to the dialplan.
    pub caller_cause: Option<HangupCause>,
    pub passed_on: bool,
}

#[derive(Debug, Error)]
pub enum ScenarioError {
    #[error("cannot read {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// One line each, with file and line.
    #[error("{}", .0.join("\n"))]
    Faults(Vec<String>),
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    scenario: String,
    flow: Map<String, Value>,
    did: Option<Did>,
    caller: Option<CallerScript>,
    expect: Option<Expectation>,
    calls: Option<Vec<ActScript>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActScript {
    #[serde(default)]
    caller: CallerScript,
    expect: Expectation,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CallerScript {
    number: String,
    name: String,
    hangs_up: Option<HangUp>,
}

impl Default for CallerScript {
    fn default() -> Self {
        Self { number: "+12025550199".to_owned(), name: String::new(), hangs_up: None }
    }
}

impl Scenario {
    /// Reads the text of one file.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line where one is known.
    pub fn read(text: &str) -> Result<Self, Vec<Problem>> {
        let yaml = yaml::read(text).map_err(|problem| vec![problem])?;
        let mut problems = yaml.problems.clone();
        let read = parse(&yaml.value)
            .and_then(|scenario| scenario.configuration().map(|_| scenario).map_err(in_flow));
        match read {
            Ok(scenario) if problems.is_empty() => Ok(scenario),
            read => {
                problems.extend(read.err().into_iter().flatten());
                yaml.locate(&mut problems);
                Err(problems)
            }
        }
    }

    /// The name of its file, without `.yaml`.
    #[must_use]
    pub fn slug(&self) -> String {
        let kept = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' };
        let words: String = self.name.chars().filter(|c| *c != '\'').map(kept).collect();
        words.split_whitespace().collect::<Vec<_>>().join("-")
    }

    /// Its forwarding flow as part of a configuration document, under that name and for that number.
    #[must_use]
    pub fn flow(&self, name: &str, did: &Did) -> Value {
        let mut flow = self.flow.clone();
        flow.insert("name".to_owned(), json!(name));
        flow.insert("master".to_owned(), json!("master"));
        flow.insert("dids".to_owned(), json!([did]));
        Value::Object(flow)
    }

    /// The number it calls when it has the whole installation for itself.
    ///
    /// # Panics
    /// Never: the default is a number.
    #[must_use]
    pub fn own_did(&self) -> Did {
        self.did.clone().unwrap_or_else(|| DID.parse().expect("the default is a number"))
    }

    /// The configuration it plays in when it has the whole installation for itself.
    ///
    /// # Errors
    /// What is wrong with the flow; the pointers are those of the document of [`stage`].
    pub fn configuration(&self) -> Result<Configuration, Vec<Problem>> {
        let document = stage(&[self.flow("scenario", &self.own_did())]);
        let mut minted = 0;
        let mut mint = || {
            minted += 1;
            minted
        };
        document::read_document(&document, &Configuration::default(), Unnamed::Prune, &mut mint)
            .map(|reading| reading.configuration)
    }
}

/// The configuration document every scenario plays in, with these forwarding flows.
#[must_use]
pub fn stage(flows: &[Value]) -> Value {
    json!({
        "servers": [{ "name": "master", "role": "master" }],
        "trunks": [
            { "name": "dead", "endpoint": "dead" },
            { "name": "phones", "endpoint": "phones" },
        ],
        "forwarding_flows": flows,
    })
}

/// All scenarios of a folder, by file name. Each file must be named as its promise.
///
/// # Errors
/// The folder cannot be read, or the faults of all its files together.
pub fn read_folder(folder: &Path) -> Result<Vec<Scenario>, ScenarioError> {
    let file = |path: &Path, source| ScenarioError::File { path: path.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(|source| file(folder, source))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| file(folder, source))?;
    paths.sort();
    let (mut scenarios, mut faults) = (Vec::new(), Vec::new());
    for path in paths.iter().filter(|path| path.extension().is_some_and(|kind| kind == "yaml")) {
        let shown = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|source| file(path, source))?;
        match Scenario::read(&text) {
            Ok(scenario) if path.file_stem().is_some_and(|stem| *stem == *scenario.slug()) => {
                scenarios.push(scenario);
            }
            Ok(scenario) => faults.push(format!("{shown}: name it {}.yaml", scenario.slug())),
            Err(problems) => faults.extend(problems.iter().map(|one| render(one, &shown))),
        }
    }
    if faults.is_empty() { Ok(scenarios) } else { Err(ScenarioError::Faults(faults)) }
}

/// Where what was played is not what was promised, in plain words; empty when the promise is kept.
#[must_use]
pub fn check(scenario: &Scenario, played: &[Played]) -> Vec<String> {
    let mut broken = Vec::new();
    for (at, (act, played)) in scenario.calls.iter().zip(played).enumerate() {
        let which =
            if scenario.calls.len() > 1 { format!("call {}: ", at + 1) } else { String::new() };
        broken.extend(check_call(&act.expect, played).iter().map(|text| format!("{which}{text}")));
    }
    if played.len() != scenario.calls.len() {
        broken.push(format!("{} of {} calls were played", played.len(), scenario.calls.len()));
    }
    broken
}

fn check_call(expect: &Expectation, played: &Played) -> Vec<String> {
    let call = &played.call;
    let outcomes = played.legs.iter().map(|leg| word(leg.outcome));
    let titles = played.timeline.iter().map(|entry| entry.step.title().to_owned());
    let passed_on = |it_was: bool| if it_was { "passed on" } else { "kept" }.to_owned();
    let promises = [
        ("result", Some(expect.result.to_string()), word(call.result)),
        ("ended_by", expect.ended_by.map(|by| by.to_string()), word(call.ended_by)),
        ("legs", Some(list(expect.legs.iter().map(ToString::to_string))), list(outcomes)),
        ("to", expect.to.clone().map(|names| list(names.into_iter())), {
            list(played.legs.iter().map(|leg| leg.name.clone()))
        }),
        ("steps", expect.steps.clone().map(|steps| list(steps.into_iter())), list(titles)),
        ("caller_cause", expect.caller_cause.map(|cause| cause.to_string()), {
            word(played.caller_cause)
        }),
        ("passed_on", Some(passed_on(expect.passed_on)), passed_on(played.passed_on)),
    ];
    promises
        .into_iter()
        .filter_map(|(what, promised, was)| {
            let promised = promised.filter(|promised| *promised != was)?;
            Some(format!("{what}: promised {promised}; was {was}"))
        })
        .collect()
}

fn word(value: Option<impl Display>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
}

fn list(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn parse(value: &Value) -> Result<Scenario, Vec<Problem>> {
    let script: Script = serde_path_to_error::deserialize(value).map_err(|error| {
        let pointer = pointer(error.path());
        let message = error.inner().to_string();
        vec![Problem::new(pointer, "invalid", message, "see the head of harness/scenario.rs")]
    })?;
    let filled_in = ["dids", "master", "name"];
    let given = filled_in.iter().filter(|key| script.flow.contains_key(**key));
    let problems: Vec<_> = given
        .map(|key| {
            let message = format!("{key} is filled in for every scenario");
            Problem::new(format!("/flow/{key}"), "not_allowed", message, "leave it out")
        })
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let calls = match (script.calls, script.expect) {
        (None, Some(expect)) => {
            vec![ActScript { caller: script.caller.unwrap_or_default(), expect }]
        }
        (Some(calls), None) if script.caller.is_none() && !calls.is_empty() => calls,
        _ => {
            let message = "there is no call, or two ways to say which";
            let hint =
                "type caller: and expect: for one call, or calls: with one of each in a list";
            return Err(vec![Problem::new("/calls", "invalid", message, hint)]);
        }
    };
    Ok(Scenario {
        name: script.scenario,
        did: script.did,
        calls: calls.into_iter().map(Act::from).collect(),
        flow: script.flow,
    })
}

impl From<ActScript> for Act {
    fn from(ActScript { caller, expect }: ActScript) -> Self {
        let CallerScript { number, name, hangs_up } = caller;
        Self { caller: Caller::clean(&number, &name), hangs_up, expect }
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;

    let mut pointer = String::new();
    for segment in path {
        let _ = match segment {
            Segment::Map { key } => write!(pointer, "/{}", token(key)),
            Segment::Seq { index } => write!(pointer, "/{index}"),
            Segment::Enum { .. } | Segment::Unknown => Ok(()),
        };
    }
    pointer
}

/// Problems of the flow, at the place where the scenario has it.
fn in_flow(mut problems: Vec<Problem>) -> Vec<Problem> {
    for problem in &mut problems {
        if let Some(rest) = problem.pointer.strip_prefix("/forwarding_flows/0") {
            problem.pointer = format!("/flow{rest}");
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
scenario: A caller's promise, kept
flow:
  destinations:
    - { trunk: phones, number: \"1001\" }
caller:
  hangs_up: { after: ringing, ms: 5 }
expect:
  result: abandoned
  legs: [abandoned]
";

    fn told(text: &str) -> Vec<String> {
        let problems = Scenario::read(text).unwrap_err();
        problems.iter().map(|problem| render(problem, "x.yaml")).collect()
    }

    #[test]
    fn a_file_is_read_with_its_defaults() {
        let scenario = Scenario::read(TEXT).unwrap();
        assert_eq!(scenario.slug(), "a-callers-promise-kept");
        let only = &scenario.calls[0];
        assert_eq!(only.hangs_up, Some(HangUp { after: Moment::Ringing, ms: 5 }));
        assert_eq!(only.caller, Caller::clean("+12025550199", ""));
        assert_eq!(scenario.own_did().as_str(), DID);
        let configuration = scenario.configuration().unwrap();
        assert_eq!(configuration.forwarding_flows[0].dids, [scenario.own_did()]);
        let stays = TEXT.replace("  hangs_up: { after: ringing, ms: 5 }", "  name: Ann");
        assert_eq!(Scenario::read(&stays).unwrap().calls[0].hangs_up, None);
    }

    #[test]
    fn several_calls_are_a_list_in_the_place_of_one() {
        let (head, _) = TEXT.split_once("caller:").unwrap();
        let act = "- { expect: { result: busy, legs: [busy], to: [first] } }\n";
        let scenario = Scenario::read(&format!("{head}calls:\n  {act}  {act}")).unwrap();
        assert_eq!(scenario.calls.len(), 2);
        assert_eq!(scenario.calls[1].expect.to, Some(vec!["first".to_owned()]));
        for none_or_both in
            [format!("{head}calls: []\n"), format!("{TEXT}calls:\n  {act}"), head.to_owned()]
        {
            let told = told(&none_or_both);
            assert!(told.len() == 1 && told[0].contains("no call, or two ways"), "{told:?}");
        }
    }

    #[test]
    fn unknown_keys_are_told_with_their_line_wherever_they_stand() {
        for (from, to, line) in [
            ("scenario:", "colour: red\nscenario:", "x.yaml:1: colour: unknown field"),
            ("  destinations", "  colour: red\n  destinations", "x.yaml:3: flow.colour: "),
            ("number:", "colour: red, number:", "x.yaml:4: flow.destinations[0].colour: "),
            ("  hangs_up", "  colour: red\n  hangs_up", "x.yaml:6: caller.colour: "),
            ("  result", "  colour: red\n  result", "x.yaml:8: expect.colour: "),
            ("[abandoned]", "[abandonned]", "x.yaml:9: expect.legs[0]: unknown variant"),
            ("\"1001\"", "\"10 01\"", "x.yaml:4: flow.destinations[0].number: "),
            ("  destinations", "  name: x\n  destinations", "x.yaml:3: flow.name: "),
        ] {
            let told = told(&TEXT.replacen(from, to, 1));
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(line), "{}", told[0]);
        }
    }
}
