//! Lists of the configuration, asked of the real API over an empty database.

use std::path::Path;

use assert_cmd::Command;
use divert::clock;
use divert::model::change::{Author, diff};
use divert::model::configuration::Configuration;
use divert::model::document::{Unnamed, put, read_document};
use divert::model::id::ForwardingFlowId;
use divert::model::objects::Kind;
use divert::model::objects::account::DEFAULT_ACCOUNT;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

use super::{GOOD, divert, stderr, stdout};
use crate::api::World;

pub(super) struct Api {
    world: World,
    pub dir: TempDir,
    runtime: Runtime,
}

impl Api {
    pub fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let runtime = Runtime::new().unwrap();
        let world = runtime.block_on(World::new());
        let listener = runtime.block_on(async { UnixListener::bind(dir.path().join("s")) });
        let (listener, router) = (listener.unwrap(), world.local.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { world, dir, runtime }
    }

    pub fn divert(&self) -> Command {
        let dir: &Path = self.dir.path();
        let mut command = divert(dir);
        command.env("DIVERT_API_SOCKET", dir.join("s"));
        command
    }

    /// What the document says, and 204 flows more with a destination `desk` each.
    pub fn fill(&self) {
        let document = divert::yaml::read(GOOD).unwrap().value;
        let empty = Configuration::default();
        let reading = read_document(&document, &empty, Unnamed::Keep, &mut clock::mint);
        let mut whole = reading.unwrap().configuration;
        for no in 0..204 {
            let flow = json!({ "name": format!("flow {no}"), "master": "pbx",
                "destinations": [{ "name": "desk", "server": "slave-a", "did": "1001" }] });
            let flows = Kind::by_prefix(ForwardingFlowId::PREFIX).unwrap();
            let put = put(flows, &flow, None, &whole, &mut clock::mint);
            whole = put.unwrap().0.configuration;
        }
        let author = Author { key: None, name: "ann".to_owned() };
        let changes = diff(&empty, &whole);
        let written = self.world.db.change(DEFAULT_ACCOUNT, 0, &changes, &author, clock::now());
        self.runtime.block_on(written).unwrap();
    }
}

#[test]
fn a_list_goes_on_behind_its_first_page() {
    let api = Api::start();
    api.fill();
    let text = stdout(api.divert().args(["flows", "list", "--json"]));
    let listed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(listed["data"].as_array().unwrap().len(), 205);
    assert_eq!(listed["has_more"], false);
    let text = stdout(api.divert().args(["flows", "list", "--wide"]));
    // The oldest comes last.
    assert!(text.contains("flow 203  flw_") && text.contains("sales  flw_"), "{text}");
    // What lists show of an id is enough to name it.
    let text = stdout(api.divert().args(["flows", "list"]));
    let line = text.lines().find(|line| line.starts_with("flow 203 ")).unwrap();
    let short = line.split_whitespace().last().unwrap();
    assert!(short.len() < 26, "{line}");
    let text = stdout(api.divert().args(["destinations", "list", short]));
    assert!(text.contains("desk"), "{text}");
    let text = stdout(api.divert().args(["destinations", "list", "sales"]));
    assert!(text.contains("slave-a-sales"), "{text}");

    // Only within a flow does a name say which one is meant.
    let many = ["cdrs", "list", "--destination", "desk"];
    let text = stderr(api.divert().args(many));
    assert!(text.contains("\"flow 1\"") && text.contains("add --flow"), "{text}");
    api.divert().args(many).assert().code(2);
    api.divert().args(many).args(["--flow", "flow 3"]).assert().success();
    api.divert().args(["calls", "list", "--destination", "slave-a-sales"]).assert().success();
    let nobody = stderr(api.divert().args(["calls", "list", "--destination", "nobody"]));
    assert!(nobody.contains("no flow has a destination \"nobody\""), "{nobody}");
}

#[test]
fn numbers_are_added_moved_and_removed_one_by_one() {
    let api = Api::start();
    assert!(stdout(api.divert().args(["numbers", "list"])).starts_with("No numbers."));
    api.fill();
    let said = |args: &[&str]| stdout(api.divert().arg("numbers").args(args));
    let wrong = |args: &[&str], code: i32| {
        let mut command = api.divert();
        command.arg("numbers").args(args).assert().code(code);
        stderr(&mut command)
    };
    let added = said(&["add", "+12025550177", "--flow", "flow 7"]);
    assert_eq!(added, "+12025550177 on pbx belongs to flow 7\n");
    assert_eq!(said(&["add", "-", "--master", "pbx"]), "- on pbx belongs to nobody\n");
    let text = wrong(&["add", "8005550199", "--flow", "flow 7"], 1);
    assert!(text.contains("8005550199 belongs to forwarding flow sales"), "{text}");
    assert!(wrong(&["add", "ABC"], 2).contains("--flow"));
    let moved = said(&["move", "8005550199", "--flow", "flow 7"]);
    assert_eq!(moved, "8005550199 on pbx belongs to flow 7\n");

    let listed = said(&["list", "--flow", "flow 7"]);
    let dids: Vec<&str> =
        listed.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(dids, ["+12025550177", "8005550199"], "{listed}");
    let json: Value = serde_json::from_str(&said(&["list", "--did", "-", "--json"])).unwrap();
    assert_eq!(json["data"][0]["server"], "pbx");

    let gone = said(&["remove", "+12025550177"]);
    assert_eq!(gone, "+12025550177 is removed; it belonged to flow 7\n");
    assert!(wrong(&["remove", "+12025550177"], 2).contains("there is no number"));

    // What the server warns of is told where people look.
    let mut command = api.divert();
    command.args(["numbers", "add", "ABC", "--flow", "sales"]).assert().success();
    let text = stderr(api.divert().args(["numbers", "add", "abc", "--flow", "sales"]));
    assert!(text.starts_with("warning: ") && text.contains("differ in upper and lower"), "{text}");
}

#[test]
fn servers_trunks_and_credits_are_listed() {
    let api = Api::start();
    for (list, hint) in [
        (["servers", "list"], "No servers yet"),
        (["trunks", "list"], "No trunks yet"),
        (["balance", "list"], "Nothing was put in yet"),
    ] {
        let text = stdout(api.divert().args(list));
        assert!(text.starts_with(hint), "{text}");
    }
    api.fill();
    api.divert().args(["balance", "add", "12.50", "--note", "invoice 4711"]).assert().success();
    api.divert().args(["balance", "add", "-2"]).assert().success();
    let rows = |list: [&str; 2]| -> Vec<Vec<String>> {
        let text = stdout(api.divert().args(list));
        let words = |line: &str| {
            // Ids are dealt anew each time.
            let is_id = |word: &str| word.len() >= 10 && word.starts_with("01");
            line.split_whitespace().filter(|word| !is_id(word)).map(str::to_owned).collect()
        };
        text.lines().map(words).collect()
    };
    assert_eq!(
        rows(["servers", "list"])[1..],
        [vec!["slave-a", "slave", "to-slave-a"], vec!["pbx", "master", "-"]]
    );
    assert_eq!(
        rows(["trunks", "list"])[1..],
        [["to-slave-a", "unknown", "0", "10.0.0.2:5060", "no"]]
    );
    let credits = rows(["balance", "list"]);
    assert_eq!(credits[1][2..], ["-2.00", "USD"]);
    assert_eq!(credits[2][2..], ["12.50", "USD", "invoice", "4711"]);
    let text = stdout(api.divert().args(["trunks", "list", "--json"]));
    let listed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(listed["data"][0]["name"], "to-slave-a");
    assert_eq!(listed["data"][0]["status"]["state"], "unknown");
}

#[test]
fn status_is_one_screen_and_says_where_nothing_runs() {
    let api = Api::start();
    api.fill();
    let text = stdout(api.divert().arg("status"));
    assert!(text.contains("divert ") && text.contains(" · node a · up since "), "{text}");
    assert!(text.contains("Asterisk 22.10.1 · connected"), "{text}");
    assert!(text.contains("to-slave-a  unknown  0"), "{text}");
    assert!(text.contains("warning  ×2  a trunk is offline"), "{text}");
    assert!(text.lines().count() <= 24, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let dir = TempDir::new().unwrap();
    let mut nowhere = divert(dir.path());
    nowhere.env("DIVERT_API_SOCKET", dir.path().join("s")).arg("status").assert().code(3);
    let text = stderr(&mut nowhere);
    assert!(text.starts_with("error: divert is not running"), "{text}");
}

#[test]
fn a_list_without_what_was_asked_for_says_that_nothing_fits() {
    let api = Api::start();
    api.fill();
    for (args, said) in [
        (&["calls", "list", "--caller", "1"][..], "No call fits.\n"),
        (&["calls", "list", "--collapse", "--live"], "No call fits.\n"),
        (&["cdrs", "list", "--since", "1h"], "No bill fits.\n"),
        (&["numbers", "list", "--did", "1"], "No number fits.\n"),
    ] {
        assert_eq!(stdout(api.divert().args(args)), said);
    }
    assert!(stdout(api.divert().args(["calls", "list"])).starts_with("No calls. Place one"));
    let unknown = stderr(api.divert().args(["calls", "show", "01m7y97xc1"]));
    assert!(unknown.contains("no id begins with \"01m7y97xc1\""), "{unknown}");
}
