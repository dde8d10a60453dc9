//! Databases that an earlier divert made and filled: nothing of them is lost.

use divert::model::configuration::Number;
use divert::model::destination::{Destination, DestinationState, Landing};
use divert::model::forwarding_flow::{Fallback, ForwardingFlow};
use divert::model::id::{CallId, DestinationId, ForwardingFlowId, ServerId, TrunkId};
use divert::model::server::ServerRole;
use divert::store::{Db, Version};
use rstest::rstest;
use sqlx::migrate::{Migrate, Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqlSafeStr, SqliteConnection};

use super::ACCOUNT;
use super::configuration::{number, put, put_flow};
use super::engine::{Engine, Place, TestStore};

/// Migrations 1 to 4, as they were released.
fn first_four() -> Migrator {
    let all = [
        (1, "configuration", include_str!("../../../migrations/0001_configuration.sql")),
        (2, "calls", include_str!("../../../migrations/0002_calls.sql")),
        (3, "access", include_str!("../../../migrations/0003_access.sql")),
        (4, "nodes", include_str!("../../../migrations/0004_nodes.sql")),
    ];
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(all.map(migration).into())
}

const ROWS: &str = "
    INSERT INTO trunk (id, account_id, name, address, max_live)
        VALUES ('trk_00000000000000000000000001', 'acc_00000000000000000000000001', 't', 'h:5060', 7);
    INSERT INTO server (id, account_id, name, role, trunk_id)
        VALUES ('srv_00000000000000000000000001', 'acc_00000000000000000000000001', 'm', 'master', NULL),
            ('srv_00000000000000000000000002', 'acc_00000000000000000000000001', 's', 'slave',
                'trk_00000000000000000000000001');
    INSERT INTO forwarding_flow (id, account_id, name, master_id, spread, ringback, ring_timeout_sec,
            ring_budget_sec, max_attempts, max_call_sec, fallback, fallback_trunk_id, fallback_number)
        VALUES ('flw_00000000000000000000000001', 'acc_00000000000000000000000001', 'f',
            'srv_00000000000000000000000001', 'weighted', 'ring', 30, 120, 6, 14400, 'number',
            'trk_00000000000000000000000001', '*77');
    INSERT INTO destination (id, account_id, forwarding_flow_id, place, name, server_id, trunk_id,
            number, priority, weight, max_live, ring_timeout_sec, state)
        VALUES ('dst_00000000000000000000000002', 'acc_00000000000000000000000001',
            'flw_00000000000000000000000001', 0, 'two', NULL, 'trk_00000000000000000000000001',
            '+1', -5, 70, 10, 20, 'paused'),
        ('dst_00000000000000000000000001', 'acc_00000000000000000000000001',
            'flw_00000000000000000000000001', 1, 'one', 'srv_00000000000000000000000002', NULL,
            '1001', 1, 0, NULL, NULL, 'active');
    INSERT INTO number (id, account_id, did, server_id, forwarding_flow_id)
        VALUES ('num_00000000000000000000000001', 'acc_00000000000000000000000001', '100',
            'srv_00000000000000000000000001', 'flw_00000000000000000000000001');
    UPDATE account SET version = 9;
    INSERT INTO call (id, account_id, node, did, caller_number, caller_name, is_test, status,
            started_at, talk_ms, channel, bridge)
        VALUES ('call_00000000000000000000000007', 'acc_00000000000000000000000001', 'n', '100', '1',
            '', FALSE, 'routing', 5, 0, 'c', 'b');
    INSERT INTO leg (call_id, no, account_id, name, endpoint, started_at)
        VALUES ('call_00000000000000000000000007', 1, 'acc_00000000000000000000000001', 'x', 'y', 5);
";

async fn old_database(engine: Engine) -> Place {
    async fn make<C: Migrate + Send>(connection: &mut C) {
        first_four().run_direct(None, connection, false).await.unwrap();
    }
    let place = engine.place().await;
    match engine {
        Engine::Sqlite => {
            let url = format!("{}?mode=rwc", place.url);
            let mut connection = SqliteConnection::connect(&url).await.unwrap();
            make(&mut connection).await;
            connection.execute(AssertSqlSafe(ROWS)).await.unwrap();
            connection.close().await.unwrap();
        }
        Engine::Postgres => {
            let mut connection = PgConnection::connect(&place.url).await.unwrap();
            connection.execute(r#"CREATE COLLATION "BINARY" FROM "C""#).await.unwrap();
            make(&mut connection).await;
            connection.execute(AssertSqlSafe(ROWS)).await.unwrap();
            connection.close().await.unwrap();
        }
    }
    place
}

#[rstest]
#[tokio::test]
async fn a_filled_database_of_the_first_release_keeps_all_it_has(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let place = old_database(engine).await;
    let store = TestStore { db: Db::open(&place.url).await.unwrap(), place };
    let versions = store.db.versions().await.unwrap();
    assert_eq!(versions[&ACCOUNT], Version { configuration: 9, numbers: 9 });
    let (mut found, _) = store.db.configuration(ACCOUNT).await.unwrap();

    let (trunk, slave) = (TrunkId::new(1), ServerId::new(2));
    let over_trunk = Landing::Trunk { trunk, number: "+1".parse().unwrap() };
    let on_slave = Landing::Slave { server: slave, did: "1001".parse().unwrap() };
    let two = Destination {
        priority: -5,
        weight: 70,
        max_live: Some(10),
        ring_timeout_sec: Some(20),
        state: DestinationState::Paused,
        ..Destination::new(DestinationId::new(2), "two", over_trunk)
    };
    let one = Destination { weight: 0, ..Destination::new(DestinationId::new(1), "one", on_slave) };
    let flow = ForwardingFlow {
        dids: vec!["100".parse().unwrap()],
        destinations: vec![two, one],
        fallback: Fallback::Number { trunk, number: "*77".parse().unwrap() },
        ..ForwardingFlow::new(ForwardingFlowId::new(1), "f", ServerId::new(1))
    };
    assert_eq!(found.forwarding_flows, std::slice::from_ref(&flow));
    assert_eq!(found.account, divert::model::account::AccountSettings::default());
    assert_eq!(found.rate_decks, []);
    let roles: Vec<ServerRole> = found.servers.iter().map(|server| server.role).collect();
    assert_eq!(roles, [ServerRole::Master, ServerRole::Slave]);
    assert_eq!((found.trunks[0].max_live, found.trunks[0].carries_toll_free), (Some(7), false));
    let numbers: Vec<Number> = vec![number(1, "100", 1, Some(1))];
    assert_eq!(found.numbers, numbers);

    let call = CallId::new(7);
    let kept = store.db.call(ACCOUNT, call).await.unwrap().unwrap();
    assert_eq!((kept.call.session, kept.call.caller_key, kept.call.is_repeat), (call, None, false));
    assert_eq!(kept.legs[0].trunk, None);

    // It can be changed, and its references still hold: a flow that is used, a trunk that is gone.
    let mut changed = found.forwarding_flows.remove(0);
    changed.destinations[0].state = DestinationState::Draining;
    changed.destinations[1].landing = Landing::TollFree { number: "8005550199".parse().unwrap() };
    put(&store.db, ACCOUNT, &[put_flow(changed.clone())]).await.unwrap();
    assert_eq!(store.db.configuration(ACCOUNT).await.unwrap().0.forwarding_flows, [changed]);
    for wrong in [
        "UPDATE destination SET forwarding_flow_id = 'flw_00000000000000000000000077'",
        "UPDATE destination SET account_id = 'acc_00000000000000000000000077'",
        "UPDATE destination SET name = 'same'",
        "DELETE FROM trunk",
    ] {
        assert!(store.try_execute(wrong).await.is_err(), "{wrong}");
    }
    assert!(store.try_execute("SELECT * FROM destination_before").await.is_err());
}
