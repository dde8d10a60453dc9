//! Any two configurations, and any damage to a document.

use divert::model::destination::Destination;
use divert::model::id::{DestinationId, ForwardingFlowId, NumberId, ServerId, TrunkId};
use divert::model::server::{Server, ServerRole};
use divert::model::trunk::{Reach, Trunk};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use super::*;

/// Ids from 1, some left out, with names dealt anew each time, so that names move about.
fn objects() -> impl Strategy<Value = Vec<(u128, String)>> {
    let names = Just(vec!["a", "b", "c", "d"]).prop_shuffle();
    (subsequence(vec![1, 2, 3, 4], 1..=4), names).prop_map(|(ids, names)| {
        ids.into_iter().zip(names.into_iter().map(str::to_owned)).collect()
    })
}

prop_compose! {
    fn configuration()(
        trunks in objects(),
        servers in objects(),
        flows in objects(),
        picks in prop::collection::vec(any::<Index>(), 40),
        numbers in prop::collection::vec(0..6_usize, 8),
    ) -> Configuration {
        let mut picks = picks.into_iter().cycle();
        let mut pick = |from: usize| picks.next().map_or(0, |index| index.index(from));
        let trunks: Vec<Trunk> = trunks
            .into_iter()
            .map(|(id, name)| Trunk {
                id: TrunkId::new(id),
                name,
                reach: divert::model::trunk::Reach::Endpoint("e".parse().unwrap()),
                max_live: None,
                ..Trunk::new(TrunkId::new(0), "", Reach::Endpoint("x".parse().unwrap()))
            })
            .collect();
        let masters = 1 + pick(servers.len());
        let servers: Vec<Server> = servers
            .into_iter()
            .enumerate()
            .map(|(at, (id, name))| Server {
                id: ServerId::new(id),
                name,
                role: if at < masters { ServerRole::Master } else { ServerRole::Slave },
                trunk: (at >= masters).then(|| trunks[pick(trunks.len())].id),
                max_live: (pick(2) == 0).then_some(7),
            })
            .collect();
        let mut whole = Configuration { servers, trunks, ..Configuration::default() };
        for (id, name) in flows {
            let landing = |pick: &mut dyn FnMut(usize) -> usize| {
                let slaves = &whole.servers[masters..];
                if slaves.is_empty() || pick(2) == 0 {
                    let trunk = whole.trunks[pick(whole.trunks.len())].id;
                    Landing::Trunk { trunk, number: "1".parse().unwrap() }
                } else {
                    let server = slaves[pick(slaves.len())].id;
                    Landing::Slave { server, did: "2".parse().unwrap() }
                }
            };
            let first = pick(3);
            let destinations = (first..=first + pick(3))
                .map(|at| Destination {
                    id: DestinationId::new(100 * id + u128::try_from(at % 3).unwrap()),
                    name: format!("d{}", at % 3),
                    landing: landing(&mut pick),
                    priority: 1,
                    weight: u32::try_from(pick(3)).unwrap(),
                    max_live: None,
                    ring_timeout_sec: None,
                    state: DestinationState::Active,
                    ..Destination::new(DestinationId::new(0), "", Landing::Trunk { trunk: TrunkId::new(0), number: "0".parse().unwrap() })
                })
                .collect();
            whole.forwarding_flows.push(ForwardingFlow {
                id: ForwardingFlowId::new(id),
                name,
                master: whole.servers[pick(masters)].id,
                dids: vec![],
                destinations,
                spread: divert::model::forwarding_flow::Spread::Weighted,
                ringback: divert::model::forwarding_flow::Ringback::Ring,
                ring_timeout_sec: 30,
                ring_budget_sec: 120,
                max_attempts: 6,
                max_call_sec: 14_400,
                fallback: match pick(3) {
                    0 => Fallback::Dialplan,
                    1 => Fallback::HangUp(None),
                    _ => Fallback::Number {
                        trunk: whole.trunks[pick(whole.trunks.len())].id,
                        number: "3".parse().unwrap(),
                    },
                },
                ..ForwardingFlow::new(ForwardingFlowId::new(0), "", ServerId::new(0))
            });
        }
        // Each DID goes to a flow or to nobody; its row has the same id in every configuration.
        for (did, owner) in numbers.into_iter().enumerate() {
            let name = format!("N-{did}");
            let server = match whole.forwarding_flows.get_mut(owner) {
                Some(flow) => {
                    flow.dids.push(name.parse().unwrap());
                    flow.master
                }
                None if owner == 4 => whole.servers[pick(masters)].id,
                None => continue,
            };
            let at = whole.servers.iter().position(|one| one.id == server).unwrap();
            let server_no: String = whole.servers[at].id.to_string();
            let salt: u128 = server_no.bytes().map(u128::from).sum();
            whole.numbers.push(Number {
                id: NumberId::new(1_000 * salt + u128::try_from(did).unwrap()),
                did: name.parse().unwrap(),
                server,
                forwarding_flow: whole.forwarding_flows.get(owner).map(|flow| flow.id),
            });
        }
        whole.sort();
        whole
    }
}

/// Replaces one node of a value, chosen by counting.
fn damage(value: &mut Value, at: &mut usize, with: &Value) {
    if *at == 0 {
        *value = with.clone();
    }
    *at = at.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| damage(item, at, with)),
        Value::Object(object) => object.values_mut().for_each(|item| damage(item, at, with)),
        _ => {}
    }
}

fn junk() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,70}".prop_map(Value::from),
        Just(json!([])),
        Just(json!([[null]])),
        Just(json!({})),
        Just(json!({"name": {"a/b~c": 1}})),
    ]
}

proptest! {
    #[test]
    fn the_changes_lead_from_any_configuration_to_any_other(
        old in configuration(),
        new in configuration(),
    ) {
        prop_assert_eq!(check::check(&old), []);
        let changes = diff(&old, &new);
        prop_assert_eq!(&apply(&old, &changes), &new);
        prop_assert_eq!(describe(&old, &new).is_empty(), changes.is_empty());
        prop_assert_eq!(changes.is_empty(), old == new);
    }

    #[test]
    fn what_is_written_is_read_into_anything(
        old in configuration(),
        new in configuration(),
    ) {
        let written = write_document(&new);
        let same = read_document(&written, &new, Unnamed::Prune, &mut minter()).unwrap();
        prop_assert_eq!(&same.configuration, &new);
        prop_assert_eq!(same.warnings, []);
        // Into another one, only the ids are others; a name that the old one gives to
        // something else must not matter.
        let mint = &mut mint_from(1 << 64);
        let pruned = read_document(&written, &old, Unnamed::Prune, mint).unwrap();
        let read = pruned.configuration;
        prop_assert_eq!(check::check(&read), []);
        prop_assert_eq!(&apply(&old, &diff(&old, &read)), &read);
        let nothing = Configuration::default();
        prop_assert_eq!(describe(&nothing, &read), describe(&nothing, &new));
    }

    #[test]
    fn any_damage_is_told_and_nothing_panics(at in 0..90_usize, with in junk()) {
        let whole = read(FULL);
        let mut written = write_document(&whole);
        damage(&mut written, &mut at.clone(), &with);
        for unnamed in [Unnamed::Keep, Unnamed::Prune] {
            match read_document(&written, &whole, unnamed, &mut mint_from(1 << 64)) {
                Ok(reading) => prop_assert_eq!(check::check(&reading.configuration), []),
                Err(problems) => {
                    prop_assert!(!problems.is_empty());
                    for problem in problems {
                        prop_assert!(!problem.message.is_empty(), "{:?}", problem);
                        prop_assert!(!problem.hint.is_empty(), "{:?}", problem);
                    }
                }
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-a-c:\\[\\]{},&*!|>#'\"%@?~0-9. \\n\\t]{0,60}") {
        if let Ok(document) = yaml::read(&text) {
            let nothing = Configuration::default();
            let _ = read_document(&document.value, &nothing, Unnamed::Keep, &mut minter());
        }
    }
}
