//! The command line as its users meet it: the program itself, run with arguments, environment and
//! files, against a small server on a unix socket where it needs one.

mod calls;
mod crowd;
mod database;
mod doctor;
mod lists;
mod nodes;
mod objects;
mod plan;
mod replay_day;
mod serve;
#[cfg(feature = "sim")]
mod simulate;

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

const GOOD: &str = "\
servers:
  - name: pbx
    role: master
  - name: slave-a
    role: slave
    trunk: to-slave-a
trunks:
  - name: to-slave-a
    address: 10.0.0.2
forwarding_flows:
  - name: sales
    master: pbx
    dids: [\"8005550199\"]
    destinations:
      - { name: slave-a-sales, server: slave-a, did: \"1001\" }
";

/// The program on a database of its own.
fn with_database(dir: &Path) -> Command {
    let mut command = divert(dir);
    command.env("DIVERT_DATABASE", format!("sqlite:{}", dir.join("d.sqlite").display()));
    command
}

/// The program in an empty directory, with an environment that holds nothing of ours.
fn divert(dir: &Path) -> Command {
    let mut command = Command::cargo_bin("divert").unwrap();
    command.current_dir(dir).env_clear().env("TZ", "UTC");
    command
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

fn stderr(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stderr).unwrap()
}

// ---- settings

#[test]
fn an_unknown_key_names_its_line_and_the_key_that_was_meant() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("divert.toml"), "[ari]\nusr = \"x\"\n").unwrap();
    let mut command = divert(dir.path());
    command.args(["config", "check"]).assert().code(2);
    insta::assert_snapshot!(stderr(&mut command), @r"
    error: unknown key `ari.usr`
     --> divert.toml:2:1
      |
    2 | usr = ********
      | ^^^
      = help: did you mean `ari.user`?
    ");
}

#[test]
fn settings_come_from_flag_environment_and_file_in_this_order() {
    let dir = TempDir::new().unwrap();
    let text = "[node]\nname = \"f\"\n[log]\nfilter = \"warn\"\n[ari]\npassword = \"hunter2\"\n";
    fs::write(dir.path().join("divert.toml"), text).unwrap();
    let mut command = divert(dir.path());
    command
        .args(["config", "show", "--json", "--log", "debug"])
        .env("DIVERT_LOG_FILTER", "trace")
        .env("DIVERT_NODE_NAME", "e")
        .env("DIVERT_DATABASE", "postgres://u:hunter2@h/n");
    let text = stdout(&mut command);
    assert!(!text.contains("hunter2"), "{text}");
    let shown: Value = serde_json::from_str(&text).unwrap();
    let setting = |key: &str| {
        let all = shown["settings"].as_array().unwrap();
        let found = all.iter().find(|s| s["key"] == key).unwrap();
        (found["value"].as_str().unwrap(), found["source"].as_str().unwrap())
    };
    assert_eq!(setting("log.filter"), ("debug", "--log"));
    assert_eq!(setting("node.name"), ("e", "DIVERT_NODE_NAME"));
    assert_eq!(setting("ari.password"), ("********", "divert.toml:6"));
    assert_eq!(setting("database"), ("postgres://u:********@h/n", "DIVERT_DATABASE"));
    assert_eq!(setting("ari.user"), ("divert", "default"));
}

#[test]
fn no_error_and_no_listing_shows_a_password() {
    let dir = TempDir::new().unwrap();
    let ari = "http://divert:hunter2@127.0.0.1:8088/ari";
    let nowhere = "postgres://u:hunter2@127.0.0.1:1/n?sslmode=disable&password=hunter3";
    let server = "http://u:hunter2@127.0.0.1:1";
    for (variable, value, args, told) in [
        ("DIVERT_ARI_URL", ari, &["config", "check"][..], "ari.password_file"),
        ("DIVERT_ARI_URL", ari, &["config", "show"], "ari.password_file"),
        ("DIVERT_DATABASE", nowhere, &["config", "show"], "u:********@127.0.0.1"),
        ("DIVERT_DATABASE", nowhere, &["export"], "u:********@127.0.0.1"),
        ("DIVERT_DATABASE", nowhere, &["doctor"], "u:********@127.0.0.1"),
        ("DIVERT_DATABASE", "postgres://u:hunter2@h:x/n", &["export"], "u:********@h"),
        ("DIVERT_SERVER", server, &["flows", "list"], "DIVERT_KEY"),
        ("DIVERT_SERVER", server, &["flows", "list", "--help"], "DIVERT_SERVER"),
    ] {
        let mut command = divert(dir.path());
        let output = command.args(args).env(variable, value).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(told), "{variable} {args:?}: {text}");
        assert!(!text.contains("hunter"), "{variable} {args:?}: {text}");
    }
}

#[test]
fn a_document_in_another_encoding_is_to_be_saved_as_utf_8() {
    let dir = TempDir::new().unwrap();
    let utf_16: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, told) in [
        (
            [&[0xff, 0xfe], utf_16.as_slice()].concat(),
            "f.yaml: it is written in UTF-16: save it as UTF-8\n",
        ),
        (b"servers:\n  - name: Z\xfcrich\n".to_vec(), "f.yaml: line 2 has a letter"),
    ] {
        fs::write(dir.path().join("f.yaml"), &bytes).unwrap();
        let mut plan = with_database(dir.path());
        plan.args(["plan", "f.yaml"]).assert().code(2);
        let text = stderr(&mut plan);
        assert!(text.contains(told), "{text}");
        let mut piped = with_database(dir.path());
        let text = stderr(piped.args(["plan", "-"]).write_stdin(bytes));
        assert!(text.contains("as UTF-8"), "{text}");
    }
}

#[test]
fn a_mistyped_variable_is_refused_and_a_foreign_one_is_not() {
    let dir = TempDir::new().unwrap();
    let check = |name: &str| {
        let mut command = divert(dir.path());
        command.args(["config", "check"]).env(name, "x");
        (command.output().unwrap().status.code(), stderr(&mut command))
    };
    let (code, text) = check("DIVERT_ARI_URI");
    assert_eq!(code, Some(2));
    assert!(text.contains("did you mean DIVERT_ARI_URL?"), "{text}");
    assert_eq!(check("DIVERT_SEED").0, Some(0));
    assert_eq!(check("DIVERT_TEST_POSTGRES").0, Some(0));
}

#[test]
fn the_sample_is_a_good_file() {
    let dir = TempDir::new().unwrap();
    let sample = stdout(divert(dir.path()).args(["config", "sample"]));
    fs::write(dir.path().join("divert.toml"), &sample).unwrap();
    divert(dir.path()).args(["config", "check"]).assert().success().stdout("divert.toml is good\n");
}

#[test]
fn what_was_copied_to_the_end_of_a_sample_belongs_where_its_section_stands() {
    let dir = TempDir::new().unwrap();
    let sample = stdout(divert(dir.path()).args(["config", "sample"]));
    let told = |text: &str| {
        fs::write(dir.path().join("divert.toml"), text).unwrap();
        let mut command = divert(dir.path());
        command.args(["config", "check"]).assert().code(2);
        stderr(&mut command)
    };
    let no = |line: &str| sample.lines().position(|one| one == line).unwrap() + 1;
    let text = told(&format!("{sample}[ari]\npassword = \"x\"\n"));
    let help = format!("help: [ari] stands in line {} already: put there what", no("[ari]"));
    assert!(text.contains(&help), "{text}");
    let text = told(&sample.replace("password = \"\"", "password = \"\"\npassword = \"x\""));
    let first = no("password = \"\"");
    let help = format!("help: password stands in line {first} already: keep one of the two");
    assert!(text.contains(&help), "{text}");
    let text = told("ari.user = \"x\"\n[ari]\n");
    assert!(text.contains("help: [ari] stands already"), "{text}");
}

/// The commands of the page's step, without those of the system.
#[test]
fn the_page_writes_the_password_into_whatever_file_is_there() {
    let page = include_str!("../../../asterisk/README.md");
    let (_, step) = page.split_once("**5. Run it.**").unwrap();
    let (_, block) = step.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("divert config check\n").unwrap();
    for before in [None, Some("[ari]\npassword=\"old\"\n"), Some("sample")] {
        let dir = TempDir::new().unwrap();
        let home = dir.path().join("divert");
        let file = home.join("divert.toml");
        let script = block.replace("/etc/divert", home.to_str().unwrap());
        if let Some(before) = before {
            let sample = || stdout(divert(dir.path()).args(["config", "sample"]));
            let text = if before == "sample" { sample() } else { before.to_owned() };
            fs::create_dir(&home).unwrap();
            fs::write(&file, text).unwrap();
        }
        let folder = Path::new(env!("CARGO_BIN_EXE_divert")).parent().unwrap();
        let shell = |variable: &str| {
            Command::new("bash")
                .args(["-euo", "pipefail", "-c", &script])
                .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
                .env(variable, "secret1")
                .assert()
        };
        shell("PASSWORD").success();
        shell("PASSWORD").success();
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.matches("\npassword = \"secret1\"\n").count(), 1, "{before:?}: {text}");
        let mut check = divert(dir.path());
        check.args(["config", "check", "--config"]).arg(&file).assert().success();
        // In a shell that does not have it any more.
        shell("OTHER").failure();
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
}

// ---- help, completions, files

#[test]
fn every_help_fits_80_columns_and_has_an_example() {
    fn walk(dir: &Path, path: &[String]) {
        let text = stdout(divert(dir).args(path).arg("--help"));
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{path:?}: {line}");
        }
        let example =
            ["Example:\n", "Examples:\n", "Start with:\n"].iter().any(|e| text.contains(e));
        assert!(example, "{path:?} has no example:\n{text}");
        let commands = text.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        for line in commands.lines().take_while(|line| !line.is_empty()) {
            let name = line.strip_prefix("  ").and_then(|l| l.split(' ').next()).unwrap_or("");
            if !name.is_empty() && name != "help" {
                walk(dir, &[path, &[name.to_owned()]].concat());
            }
        }
    }
    walk(TempDir::new().unwrap().path(), &[]);
}

#[test]
fn a_mistyped_option_is_answered_with_what_to_type() {
    let dir = TempDir::new().unwrap();
    let tell = |args: &[&str]| {
        let mut command = divert(dir.path());
        command.args(args).assert().code(2);
        stderr(&mut command)
    };
    let text = tell(&["reports", "calls", "--by", "week"]);
    assert!(text.contains("[possible values: day, destination, flow, hour]"), "{text}");
    let text = tell(&["calls", "list", "--result", "lost"]);
    assert!(text.contains("no_answer"), "{text}");
    for command in
        [&["reports", "calls"][..], &["calls", "list"], &["cdrs", "list"], &["replay-day"]]
    {
        for option in ["--from", "--to"] {
            let text = tell(&[command, &[option, "noon"]].concat());
            assert!(text.contains("type 2026-11-21T14:03:07Z, "), "{command:?}: {text}");
        }
    }
    // In our words, once, and with what to type.
    for (args, hint) in [
        (&["keys", "create", "--name", "a", "--scope", "adm"][..], "calls:read, calls:test"),
        (&["keys", "create", "--name", "a", "--scope", "admin", "--days", "x"], "from 1 to 3650"),
        (&["calls", "list", "--limit", "abc"], "type a whole number from 1 to 200"),
        (&["cdrs", "list", "--limit", "0"], "type a whole number from 1 to 200"),
        (&["calls", "list", "--test", "yes"], "include, exclude, only"),
        (&["calls", "show", "call 1"], "type the id of a call, as call_"),
        (&["explain", "100", "--at", "noon"], "tomorrow"),
        (&["account", "set", "max_live"], "type FIELD=VALUE, as max_live=30"),
        (&["trunks", "set", "a", "=30"], "type FIELD=VALUE, as max_live=30"),
        (&["changes", "show", "last"], "type a whole number from 1 to"),
        (&["balance", "add", "ten"], "0.0125"),
        (&["reports", "calls", "--zone", "Mars/Base"], "Europe/Berlin"),
    ] {
        let text = tell(args);
        assert_eq!(text.matches(hint).count(), 1, "{args:?}: {text}");
        for foreign in ["invalid digit", "Matching variant", "not in 1..=", "parse"] {
            assert!(!text.contains(foreign), "{args:?}: {text}");
        }
    }
}

#[test]
fn completions_are_written_for_three_shells() {
    let dir = TempDir::new().unwrap();
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef divert"), ("fish", "complete -c divert")]
    {
        let text = stdout(divert(dir.path()).args(["completions", shell]));
        assert!(text.contains(word) && text.contains("test-call"), "{shell}");
    }
}

#[test]
fn printed_files_are_those_of_the_repository() {
    let dir = TempDir::new().unwrap();
    for (name, file) in
        [("dialplan", "divert.conf"), ("ari.conf", "ari.conf"), ("http.conf", "http.conf")]
    {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("asterisk/etc").join(file);
        let wanted = fs::read_to_string(file).unwrap();
        divert(dir.path()).args(["print", name]).assert().success().stdout(wanted);
    }
    let unit = stdout(divert(dir.path()).args(["print", "systemd"]));
    assert!(unit.contains("ExecStart=/usr/bin/divert serve\n"), "{unit}");
}
