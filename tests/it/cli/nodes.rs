//! `divert nodes …`, on SQLite.

use divert::clock;
use divert::model::id::{CallId, DestinationId, LegId};
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::model::slot::{Holding, Limit, Scope};
use divert::store::{Db, Record};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{stdout, with_database};

#[test]
fn a_dead_nodes_slots_are_given_back_by_who_knows_that_it_is_dead() {
    let dir = TempDir::new().unwrap();
    let nodes = || stdout(with_database(dir.path()).args(["nodes", "list", "--json"]));
    assert_eq!(nodes().trim(), "[]");
    with_database(dir.path()).args(["nodes", "forget", "b", "--yes"]).assert().code(2);

    let url = format!("sqlite:{}", dir.path().join("d.sqlite").display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let expires_at = clock::wall().plus_ms(60_000);
    runtime.block_on(async {
        let db = Db::open(&url).await.unwrap();
        let held = Holding {
            account: DEFAULT_ACCOUNT,
            leg: LegId { call: CallId::new(1), no: 1 },
            limits: vec![Limit { scope: Scope::Destination(DestinationId::new(1)), max: None }],
            taken_at: clock::wall(),
            expires_at,
        };
        db.settle_slots("b", &[&held], &[]).await.unwrap();
    });
    let listed: Value = serde_json::from_str(&nodes()).unwrap();
    assert_eq!(listed, json!([{ "name": "b", "legs": 1, "until": expires_at.rfc3339() }]));
    let refused = with_database(dir.path()).args(["nodes", "forget", "b"]).assert().code(2);
    let text = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(text.contains("1 live legs") && text.contains("forget b --yes"), "{text}");
    with_database(dir.path()).args(["nodes", "forget", "b", "--yes"]).assert().success();
    assert_eq!(nodes().trim(), "[]");
}

#[test]
fn a_node_that_serves_is_not_forgotten() {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite:{}", dir.path().join("d.sqlite").display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let db = runtime.block_on(Db::open(&url)).unwrap();
    let alive = |seconds_ago: i64| {
        let at = clock::wall().plus_ms(-1_000 * seconds_ago);
        runtime.block_on(db.record("a", &[Record::Alive { at }])).unwrap();
    };
    alive(2);
    for more in [None, Some("--yes")] {
        let run = with_database(dir.path()).args(["nodes", "forget", "a"]).args(more).assert();
        let text = String::from_utf8_lossy(&run.code(2).get_output().stderr).into_owned();
        assert!(text.contains("is serving: stop it first"), "{text}");
    }
    alive(31);
    with_database(dir.path()).args(["nodes", "forget", "a"]).assert().success();
}
