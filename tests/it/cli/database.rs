//! Commands that work on the database, on SQLite.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use divert::store::Db;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::calls::CALL;
use super::{GOOD, divert, stderr, stdout, with_database};
use crate::config::distribution::EVERYTHING;

#[test]
fn a_document_is_planned_applied_and_then_nothing_is_left_to_do() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("flows.yaml");
    fs::write(&file, GOOD).unwrap();
    let plan = stdout(with_database(dir.path()).args(["plan", "flows.yaml"]));
    assert!(plan.contains("+ forwarding flow sales (1 DID, 1 destination)\n"), "{plan}");
    with_database(dir.path()).args(["apply", "flows.yaml"]).assert().code(2);
    with_database(dir.path()).args(["apply", "flows.yaml", "--yes"]).assert().success();
    let again = stdout(with_database(dir.path()).args(["plan", "flows.yaml"]));
    assert!(again.starts_with("nothing to change"), "{again}");

    fs::write(&file, GOOD.replace("1001", "1002")).unwrap();
    let changed = stdout(with_database(dir.path()).args(["plan", "flows.yaml", "--json"]));
    let changed: Value = serde_json::from_str(&changed).unwrap();
    assert_eq!(changed["changes"][0]["action"], "change", "{changed}");
}

#[test]
fn what_is_exported_is_a_document_that_changes_nothing() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("flows.yaml"), EVERYTHING).unwrap();
    with_database(dir.path()).args(["apply", "flows.yaml", "--yes"]).assert().success();
    for as_json in [false, true] {
        let mut command = with_database(dir.path());
        let exported = stdout(command.arg("export").args(as_json.then_some("--json")));
        assert_eq!(exported.starts_with('{'), as_json, "{exported}");
        fs::write(dir.path().join("again.yaml"), &exported).unwrap();
        for more in [None, Some("--prune")] {
            let run = with_database(dir.path()).args(["plan", "again.yaml"]).args(more).output();
            let run = run.unwrap();
            let told = String::from_utf8_lossy(&run.stdout).into_owned();
            assert!(told.starts_with("nothing to change"), "{told}");
            assert_eq!(String::from_utf8_lossy(&run.stderr), "");
        }
        let mut piped = with_database(dir.path());
        let again = piped.args(["plan", "-"]).write_stdin(exported);
        assert!(stdout(again).starts_with("nothing to change"));
    }
}

#[test]
fn a_document_with_faults_is_refused_with_their_lines() {
    let dir = TempDir::new().unwrap();
    let text =
        GOOD.replace("server: slave-a,", "server: slave-x,").replace("role: master", "rol: x");
    fs::write(dir.path().join("flows.yaml"), text).unwrap();
    for command in ["plan", "apply"] {
        let run = with_database(dir.path()).args([command, "flows.yaml"]).assert().code(2);
        let text = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        assert!(text.contains("flows.yaml:3: "), "{text}");
        assert!(text.contains("flows.yaml:15: "), "{text}");
        assert!(text.contains("nothing was changed"), "{text}");
    }
    with_database(dir.path()).args(["plan", "missing.yaml"]).assert().code(2);
}

#[test]
fn a_key_is_made_listed_and_revoked() {
    let dir = TempDir::new().unwrap();
    let create = ["keys", "create", "--name", "me", "--scope", "calls:read", "--scope", "admin"];
    let key = stdout(with_database(dir.path()).args(create));
    assert!(key.starts_with("dvk_") && key.lines().count() == 1, "{key}");
    let list = || stdout(with_database(dir.path()).args(["keys", "list", "--json"]));
    let keys: Value = serde_json::from_str(&list()).unwrap();
    assert_eq!(keys[0]["scopes"], json!(["calls:read", "admin"]));
    assert!(!list().contains(key.trim().rsplit('_').next().unwrap()), "the secret is not kept");
    let id = keys[0]["id"].as_str().unwrap();
    with_database(dir.path()).args(["keys", "revoke", id]).assert().success();
    with_database(dir.path()).args(["keys", "revoke", id]).assert().code(2);
    let keys: Value = serde_json::from_str(&list()).unwrap();
    assert!(keys[0]["revoked_at"].is_string(), "{keys}");
    let wrong = ["keys", "create", "--name", "me", "--scope", "all"];
    with_database(dir.path()).args(wrong).assert().code(2);
}

#[test]
fn a_call_without_a_journal_can_not_be_replayed() {
    let dir = TempDir::new().unwrap();
    with_database(dir.path()).args(["replay", CALL]).assert().code(2);
    let mut other = divert(dir.path());
    other.env("DIVERT_DATABASE", "sqlite:/nowhere/at/all.sqlite");
    other.args(["replay", CALL]).assert().code(2);
}

#[test]
fn a_backup_is_a_whole_database_and_overwrites_nothing() {
    let dir = TempDir::new().unwrap();
    let backup = |to: &str| {
        let mut command = with_database(dir.path());
        command.args(["backup", to]);
        command
    };
    backup("b.sqlite").assert().code(2);
    assert!(!dir.path().join("b.sqlite").exists());
    fs::write(dir.path().join("flows.yaml"), GOOD).unwrap();
    with_database(dir.path()).args(["apply", "flows.yaml", "--yes"]).assert().success();
    // Somebody has the database open, so that what is new stays in its log.
    let url = format!("sqlite:{}", dir.path().join("d.sqlite").display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let db = runtime.block_on(Db::open(&url)).unwrap();
    let change = GOOD.replace("1001", "1002");
    fs::write(dir.path().join("flows.yaml"), change).unwrap();
    with_database(dir.path()).args(["apply", "flows.yaml", "--yes"]).assert().success();
    backup("b.sqlite").assert().success();
    let mode = fs::metadata(dir.path().join("b.sqlite")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let exported = |file: &str| {
        let mut command = divert(dir.path());
        stdout(command.arg("export").env("DIVERT_DATABASE", format!("sqlite:{file}")))
    };
    assert!(exported("b.sqlite").contains("1002"));
    assert_eq!(exported("b.sqlite"), exported("d.sqlite"));
    let refused = stderr(&mut backup("b.sqlite"));
    assert!(refused.contains("b.sqlite exists: name a new file"), "{refused}");
    let mut postgres = divert(dir.path());
    postgres.args(["backup", "x"]).env("DIVERT_DATABASE", "postgres://u@h/n");
    let told = stderr(&mut postgres);
    assert!(told.contains("pg_dump --format=custom --file=x"), "{told}");

    // And a plain copy has it all once the log was brought in, as the server does every minute.
    runtime.block_on(db.checkpoint()).unwrap();
    fs::copy(dir.path().join("d.sqlite"), dir.path().join("copy.sqlite")).unwrap();
    assert_eq!(exported("copy.sqlite"), exported("d.sqlite"));
}

#[test]
fn a_database_of_somebody_else_is_named_with_its_owner_and_what_to_type() {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.path().join("flows.yaml"), GOOD).unwrap();
    with_database(dir.path()).args(["apply", "flows.yaml", "--yes"]).assert().success();
    // Where everybody may run it.
    let program = dir.path().join("divert");
    fs::copy(env!("CARGO_BIN_EXE_divert"), &program).unwrap();
    let file = dir.path().join("d.sqlite");
    let export_as_nobody = || {
        let run = std::process::Command::new(&program)
            .current_dir(dir.path())
            .env_clear()
            .env("DIVERT_DATABASE", format!("sqlite:{}", file.display()))
            .arg("export")
            .uid(65_534)
            .gid(65_534)
            .output()
            .unwrap();
        (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
    };
    // Such as it is made now, and such as everybody can read but not write.
    for mode in [0o600, 0o644] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let (code, told) = export_as_nobody();
        assert_eq!(code, Some(2), "{told}");
        let wanted = format!("{} belongs to root, and nobody may not write it", file.display());
        assert!(told.contains(&wanted), "{told}");
        assert!(told.contains(&format!("chown nobody {}", file.display())), "{told}");
    }
}
