//! Objects made, shown, changed and removed by commands, with the real API behind; and that what `divert
//! help` says to type does what it says.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use super::lists::Api;
use super::{GOOD, divert, stderr, stdout, with_database};

/// In order: what others refer to comes before them.
const KINDS: [&str; 9] = [
    "rate-decks",
    "trunks",
    "servers",
    "schedules",
    "sounds",
    "flows",
    "destinations",
    "numbers",
    "account",
];

/// The indented lines below that line.
fn below(page: &str, head: &str) -> String {
    let (_, rest) = page.split_once(&format!("\n{head}\n")).unwrap();
    let lines = rest.lines().take_while(|line| line.starts_with("  "));
    lines.flat_map(|line| [&line[2..], "\n"]).collect()
}

/// The blocks of a page in that language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = page.split(&fence).skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

impl Api {
    /// In a shell that stops at the first command that fails.
    fn shell(&self, script: &str) {
        let folder = Path::new(env!("CARGO_BIN_EXE_divert")).parent().unwrap();
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script])
            .current_dir(self.dir.path())
            .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
            .env("DIVERT_API_SOCKET", self.dir.path().join("s"))
            .assert()
            .success();
    }

    fn said(&self, args: &[&str]) -> String {
        let mut command = self.divert();
        let output = command.args(args).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{args:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, args: &[&str], code: i32) -> String {
        let mut command = self.divert();
        command.args(args).assert().code(code);
        stderr(&mut command)
    }
}

#[test]
fn what_help_says_to_type_for_each_kind_is_good() {
    let api = Api::start();
    api.shell("divert servers create name=pbx role=master");
    for kind in KINDS {
        let page = api.said(&["help", kind]);
        api.shell(&below(&page, "As a command:"));
    }
    let deck: Value =
        serde_json::from_str(&api.said(&["rate-decks", "show", "retail", "--json"])).unwrap();
    assert_eq!(deck["rates"].as_array().unwrap().len(), 2);
    let text = api.said(&["destinations", "list", "sales"]);
    assert_eq!(text.lines().count(), 3, "{text}");
    // Every kind has a page, and a way to begin.
    let objects = api.said(&["help"]);
    for kind in KINDS {
        assert!(objects.contains(&format!("  {kind} ")), "{kind}: {objects}");
    }
}

#[test]
fn the_examples_of_pages_can_be_typed() {
    let api = Api::start();
    let page = stdout(divert(api.dir.path()).args(["help", "documents"]));
    let document = &blocks(&page, "yaml")[0];
    fs::write(api.dir.path().join("flows.yaml"), document).unwrap();
    with_database(api.dir.path()).args(["plan", "flows.yaml"]).assert().success();
    api.shell("divert servers create name=pbx role=master");
    api.shell("divert trunks create name=to-slave-a address=10.0.0.2");
    api.shell("divert servers create name=slave-a role=slave trunk=to-slave-a");
    for block in blocks(&page, "sh") {
        api.shell(&block);
    }
}

#[test]
fn an_object_is_made_shown_changed_and_removed() {
    let api = Api::start();
    let made = api.said(&["trunks", "create", "name=to-slave-a", "address=10.0.0.2"]);
    assert!(made.starts_with("+ trunk to-slave-a  trk_"), "{made}");
    let set = api.said(&["trunks", "set", "to-slave-a", "max_live=30", "carries_toll_free=true"]);
    let told = "~ trunk to-slave-a: carries_toll_free false → true, max_live none → 30\n";
    assert_eq!(set, told);
    let same = api.said(&["trunks", "set", "TO-SLAVE-A", "max_live=30"]);
    assert_eq!(same, "nothing to change: trunk to-slave-a is like that\n");
    let shown = api.said(&["trunks", "show", "to-slave-a"]);
    let fields: Vec<&str> = shown.lines().skip(2).collect();
    assert_eq!(
        fields,
        [
            "name               to-slave-a",
            "address            10.0.0.2:5060",
            "endpoint           -",
            "max_live           30",
            "carries_toll_free  true",
            "rate_deck          -",
        ]
    );
    api.said(&["trunks", "set", "to-slave-a", "max_live=", "carries_toll_free=null"]);
    let shown = api.said(&["trunks", "show", "to-slave-a"]);
    assert!(shown.contains("max_live           -\n"), "{shown}");
    assert!(shown.contains("carries_toll_free  false (default)\n"), "{shown}");

    // All faults come together, each with its place and what to type.
    let text = api.refused(&["trunks", "set", "to-slave-a", "max_live=0", "rate_dek=x"], 2);
    assert!(text.contains("/rate_dek: ") && text.contains("did you mean rate_deck?"), "{text}");
    assert!(text.contains("/max_live: 0 would let no call through"), "{text}");
    api.said(&["servers", "create", "name=slave-a", "role=slave", "trunk=to-slave-a"]);
    let text = api.refused(&["trunks", "remove", "to-slave-a", "--yes"], 1);
    assert!(text.contains("still used by server slave-a"), "{text}");
    let text = api.refused(&["servers", "remove", "slave-a"], 2);
    assert!(text.contains("add --yes"), "{text}");
    assert_eq!(api.said(&["servers", "remove", "slave-a", "--yes"]), "- server slave-a\n");
    assert_eq!(api.said(&["trunks", "remove", "to-slave-a", "-y"]), "- trunk to-slave-a\n");
    let text = api.refused(&["trunks", "show", "to-slave-a"], 2);
    assert!(text.contains("no trunk \"to-slave-a\""), "{text}");
}

#[test]
fn a_schedule_says_when_it_opens_or_closes_next() {
    let api = Api::start();
    let always = "hours={daily: \"00:00-24:00\"}";
    api.said(&["schedules", "create", "name=always", always]);
    let shown = api.said(&["schedules", "show", "always"]);
    assert!(shown.contains("now       open, always\n"), "{shown}");
    let over = "hours={mon: \"00:00-00:01\"}";
    api.said(&["schedules", "create", "name=office", over, "holidays=[\"2026-12-25\"]"]);
    let listed = api.said(&["schedules", "list"]);
    assert!(listed.lines().any(|line| line.starts_with("always  open, always")), "{listed}");
    assert!(listed.lines().all(|line| line.chars().count() <= 80), "{listed}");
    api.said(&["servers", "create", "name=pbx", "role=master"]);
    api.said(&["trunks", "create", "name=out", "endpoint=out"]);
    let desk = "destinations=[{trunk: out, number: \"1\", schedule: always}]";
    api.said(&["flows", "create", "name=sales", "master=pbx", "schedule=always", desk]);
    let shown = api.said(&["flows", "show", "sales"]);
    assert!(shown.contains("schedule          always · open, always\n"), "{shown}");
    let shown = api.said(&["destinations", "show", "sales", "1"]);
    assert!(shown.contains("schedule          always · open, always\n"), "{shown}");
}

#[test]
fn destinations_are_made_changed_and_removed_within_their_flow() {
    let api = Api::start();
    api.fill();
    let made = api.said(&["destinations", "create", "sales", "trunk=to-slave-a", "number=+1202"]);
    assert!(made.starts_with("+ destination +1202 of sales  dst_"), "{made}");
    let set = api.said(&[
        "destinations",
        "set",
        "sales",
        "+1202",
        "weight=7",
        "rate.calls=5",
        "rate.per=second",
    ]);
    assert!(set.contains("weight 1 → 7") && set.contains("rate none → {"), "{set}");
    let gone = api.said(&["destinations", "remove", "sales", "+1202", "--yes"]);
    assert_eq!(gone, "- destination +1202 of sales\n");
}

#[test]
fn changes_are_listed_shown_and_undone() {
    let api = Api::start();
    assert_eq!(api.said(&["changes"]), "Nothing was changed yet.\n");
    api.fill();
    api.said(&["trunks", "set", "to-slave-a", "max_live=30"]);
    let listed = api.said(&["changes", "list", "--kind", "trunks"]);
    let rows: Vec<Vec<&str>> = listed.lines().map(|it| it.split_whitespace().collect()).collect();
    assert_eq!(rows[1][0], "2");
    assert_eq!(rows[1][4..], ["~", "trunk", "to-slave-a"]);
    assert_eq!(rows[2][3..], ["ann", "+", "trunk", "to-slave-a"]);
    let first = api.said(&["changes", "--by", "ann", "--kind", "rate-deck"]);
    assert_eq!(first, "No change fits.\n");
    let shown = api.said(&["changes", "show", "2"]);
    let (head, lines) = shown.split_once('\n').unwrap();
    assert!(head.starts_with("change 2 · ") && head.contains(" · by "), "{head}");
    assert_eq!(lines, "~ trunk to-slave-a: max_live none → 30\n");

    let unasked = api.refused(&["changes", "undo", "2"], 2);
    assert!(unasked.contains("add --yes"), "{unasked}");
    let undone = api.said(&["changes", "undo", "2", "--yes"]);
    let told = "~ trunk to-slave-a: max_live 30 → none\n\nundone: this is configuration 3\n";
    assert_eq!(undone, told);
    // Later changes stand in the way.
    api.said(&["trunks", "set", "to-slave-a", "max_live=40"]);
    let refused = api.refused(&["changes", "undo", "3", "--yes"], 1);
    assert!(refused.contains("to-slave-a"), "{refused}");
    assert!(api.refused(&["changes", "show", "99"], 2).contains("404"));
}

#[test]
fn many_numbers_are_added_at_once_or_none() {
    let api = Api::start();
    api.fill();
    let range = ["numbers", "add", "--from", "+12025550120", "--to", "+12025550129"];
    let added = api.said(&[&range[..], &["--master", "pbx", "--tag", "spare"]].concat());
    assert_eq!(added, "10 numbers are added\n");
    let some = ["numbers", "add", "+12025550130", "+12025550131", "--flow", "sales"];
    assert_eq!(api.said(&some), "2 numbers are added\n");
    // Those of one change are one line, however few are asked for.
    for limit in ["2", "50"] {
        let listed = api.said(&["changes", "--limit", limit]);
        let told: Vec<&str> = listed.lines().skip(1).take(2).collect();
        assert!(told[0].ends_with("+  2 numbers: +12025550130 … +12025550131"), "{listed}");
        assert!(told[1].ends_with("+  10 numbers: +12025550120 … +12025550129"), "{listed}");
    }
    assert_eq!(api.said(&["numbers", "list", "--tag", "spare"]).lines().count(), 11);
    let file = api.dir.path().join("n.csv");
    fs::write(&file, "did,forwarding_flow,tags\n+12025550150,sales,a b\n+12025550151,nobody,\n")
        .unwrap();
    let import = ["numbers", "import", "n.csv"];
    let text = api.refused(&import, 2);
    assert!(text.contains("line 3: /forwarding_flow: "), "{text}");
    assert_eq!(api.said(&["numbers", "list", "--tag", "a"]), "No number fits.\n");
    let mut piped = api.divert();
    piped.args(["numbers", "import", "-"]).write_stdin("did,tags,server\n5,a,pbx\n");
    assert_eq!(stdout(&mut piped), "1 number is added\n");
    api.refused(&["numbers", "add", "--from", "1", "--master", "pbx"], 2);
    api.refused(&["numbers", "add", "1", "--from", "1", "--to", "2", "--master", "pbx"], 2);
}

#[test]
fn flows_are_found_by_their_tags() {
    let api = Api::start();
    api.fill();
    api.said(&["flows", "set", "sales", "tags=[east, day]"]);
    let listed = api.said(&["flows", "list", "--tag", "east"]);
    assert!(listed.starts_with("sales  #day  #east  "), "{listed}");
    assert_eq!(api.said(&["flows", "list", "--tag", "west"]), "No flow fits.\n");
}

#[test]
fn a_change_of_a_flow_tells_of_its_numbers_and_destinations() {
    let api = Api::start();
    api.fill();
    let before = api.said(&["numbers", "list", "--flow", "sales"]).lines().count();
    assert_eq!(before, 2);
    let told = api.said(&["flows", "set", "sales", "dids=+12025550170,+12025550171", "tags=east"]);
    let wanted = "~ forwarding flow sales: tags none → [east], DID +12025550170 added, \
                  DID +12025550171 added, DID 8005550199 removed\n";
    assert_eq!(told, wanted);
    api.said(&["flows", "set", "sales", "dids=[]"]);
    let listed = api.said(&["flows", "list"]);
    assert!(listed.lines().any(|line| line == "  no numbers"), "{listed}");
}

#[test]
fn what_a_number_belonged_to_is_named_when_both_are_gone() {
    let api = Api::start();
    api.fill();
    api.said(&["flows", "remove", "sales", "--yes"]);
    let listed = api.said(&["changes", "--limit", "1"]);
    let version = listed.lines().nth(1).unwrap().split_whitespace().next().unwrap();
    let shown = api.said(&["changes", "show", version]);
    let number = shown.lines().find(|line| line.starts_with("- number ")).unwrap();
    assert!(number.contains("forwarding_flow sales"), "{number}");
}

#[test]
fn options_of_a_command_come_before_those_of_every_command() {
    for args in [&["numbers", "add", "--help"][..], &["changes", "-h"], &["numbers", "list", "-h"]]
    {
        let help = stdout(divert(Path::new(".")).args(args));
        let options = help.lines().map(str::trim_start).filter(|line| line.starts_with("--"));
        let options: Vec<&str> = options.map(|line| line.split(' ').next().unwrap()).collect();
        let config = options.iter().position(|option| *option == "--config").unwrap();
        assert_eq!(options[config..config + 4], ["--config", "--database", "--log", "--wide"]);
        assert!(config > 0, "{options:?}");
    }
}

#[test]
fn who_applies_a_document_is_known_by_the_name_of_the_machine() {
    let api = Api::start();
    fs::write(api.dir.path().join("good.yaml"), GOOD).unwrap();
    let mut apply = with_database(api.dir.path());
    apply.args(["apply", "good.yaml", "--yes"]).env("SUDO_USER", "ann").assert().success();
    let database = format!("sqlite:{}", api.dir.path().join("d.sqlite").display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let changed = runtime.block_on(async {
        let db = divert::store::Db::open(&database).await.unwrap();
        db.changed_in(divert::model::objects::account::DEFAULT_ACCOUNT, 1).await.unwrap()
    });
    let author = &changed[0].author;
    assert!(author.key.is_none() && !author.name.is_empty(), "{author:?}");
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    assert_eq!(author.name.contains("ann (sudo)"), is_root, "{author:?}");
}
