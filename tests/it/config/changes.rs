//! From one configuration to another: what changes, in which order, and what is refused.

use super::*;

#[test]
fn a_document_applied_twice_changes_nothing() {
    let nothing = Configuration::default();
    for text in [EXAMPLE, FULL, distribution::EVERYTHING] {
        let whole = read(text);
        let changes = diff(&nothing, &whole);
        assert!(!changes.is_empty());
        assert_eq!(apply(&nothing, &changes), whole);
        for unnamed in [Unnamed::Keep, Unnamed::Prune] {
            let again = read_into(text, &whole, unnamed).unwrap().configuration;
            assert_eq!(again, whole);
            assert_eq!(diff(&whole, &again), Changes::default());
            assert_eq!(plan(&whole, &again), [""; 0]);
        }
    }
}

#[test]
fn a_change_keeps_ids_and_says_what_it_does() {
    let old = read(FULL);
    let text = FULL
        .replace("weight: 70, max_live: 10", "weight: 50")
        .replace("\"+12025550100\", TF-123", "\"+12025550100\", TF-9")
        .replace("max_live: 30", "max_live: 20")
        .replace("ring_timeout_sec: 25", "ring_timeout_sec: 5")
        .replace("number: \"8005550199\"", "number: \"8005550177\"");
    let new = read_into(&text, &old, Unnamed::Keep).unwrap().configuration;
    assert_eq!(
        plan(&old, &new),
        [
            "~ server slave-a: max_live 30 → 20",
            "~ forwarding flow solar-east: ring_timeout_sec 25 → 5, DID TF-9 added, DID TF-123 \
             removed",
            "- destination 8005550199 of solar-east",
            "~ destination slave-a of solar-east: max_live 10 → none, weight 70 → 50",
            "+ destination 8005550177 of solar-east",
        ]
    );
    let (before, after) = (flow(&old, "solar-east"), flow(&new, "solar-east"));
    assert_eq!(before.id, after.id);
    assert_eq!(before.destinations[0].id, after.destinations[0].id);
    assert_ne!(before.destinations[1].id, after.destinations[1].id);
    assert_eq!(apply(&old, &diff(&old, &new)), new);
    // The dropped DID is gone; the kept one has kept its row.
    let row = |of: &Configuration, did: &str| -> Option<Number> {
        of.numbers.iter().find(|number| number.did.as_str() == did).cloned()
    };
    assert_eq!(row(&new, "TF-123"), None);
    assert_eq!(row(&new, "+12025550100"), row(&old, "+12025550100"));
    // Unless the numbers name it.
    let kept = text.replace("numbers:\n", "numbers:\n  - {did: TF-123, server: master}\n");
    let new = read_into(&kept, &old, Unnamed::Keep).unwrap().configuration;
    let wanted = Number { forwarding_flow: None, ..row(&old, "TF-123").unwrap() };
    assert_eq!(row(&new, "TF-123"), Some(wanted));
    assert_eq!(apply(&old, &diff(&old, &new)), new);
}

#[test]
fn a_did_that_changes_its_owner_is_told() {
    let text = r#"
servers: [{name: m, role: master}]
trunks: [{name: t, endpoint: t}]
forwarding_flows:
  - {name: a, master: m, dids: [X-1, X-2], destinations: [{trunk: t, number: "1"}]}
  - {name: b, master: m, dids: [X-3], destinations: [{trunk: t, number: "1"}]}
"#;
    let old = read(text);
    let moved = text.replace("X-1, X-2", "X-1").replace("X-3", "X-3, X-2");
    let Reading { configuration: new, warnings, .. } =
        read_into(&moved, &old, Unnamed::Keep).unwrap();
    assert_eq!(
        plan(&old, &new),
        ["~ forwarding flow a: DID X-2 removed", "~ forwarding flow b: DID X-2 added"]
    );
    let warned: Vec<_> = warnings.iter().map(|one| (one.code, &*one.pointer)).collect();
    assert_eq!(warned, [("moved", "/forwarding_flows/1/dids/1")]);
    // One row changes hands: no moment without an owner.
    let changes = diff(&old, &new);
    let [change] = &changes.changes[..] else { panic!("{changes:?}") };
    assert_eq!(change.name, "X-2");
    assert!(change.before.is_some() && change.after.is_some(), "{change:?}");
    assert_eq!(apply(&old, &changes), new);
}

#[test]
fn objects_are_renamed_by_id_and_may_swap_names() {
    let old = read(FULL);
    let mut written = write_document(&old);
    for trunk in written["trunks"].as_array_mut().unwrap() {
        let name = if trunk["name"] == "carrier" { "to-slave-a" } else { "carrier" };
        trunk["name"] = json!(name);
    }
    written["servers"][1]["name"] = json!("slave-z");
    written["servers"][1]["trunk"] = json!("carrier");
    written["forwarding_flows"][0]["name"] = json!("solar-west");
    written["forwarding_flows"][0]["destinations"][0]["server"] = json!("slave-z");
    written["forwarding_flows"][0]["destinations"][1]["trunk"] = json!("to-slave-a");
    written["forwarding_flows"][0]["fallback"]["trunk"] = json!("to-slave-a");
    let new = read_document(&written, &old, Unnamed::Prune, &mut minter()).unwrap().configuration;
    let mut lines = plan(&old, &new);
    lines.sort();
    assert_eq!(
        lines,
        [
            "~ forwarding flow solar-east: name solar-east → solar-west",
            "~ server slave-a: name slave-a → slave-z",
            "~ trunk carrier: name carrier → to-slave-a",
            "~ trunk to-slave-a: name to-slave-a → carrier",
        ]
    );
    assert_eq!(apply(&old, &diff(&old, &new)), new);
    assert_eq!(new.forwarding_flows[0].id, old.forwarding_flows[0].id);
}

#[test]
fn pruning_removes_what_is_not_named_and_nothing_else() {
    let old = read(FULL);
    let text = r#"
servers: [{name: master, role: master}]
trunks: [{name: new, endpoint: new}]
forwarding_flows:
  - {name: other, master: master, dids: [TF-123], destinations: [{trunk: new, number: "1"}]}
"#;
    let new = read_into(text, &old, Unnamed::Prune).unwrap().configuration;
    assert_eq!(
        plan(&old, &new),
        [
            "- server slave-a",
            "- trunk carrier",
            "- trunk to-slave-a",
            "+ trunk new",
            "- number +12025550199 on master",
            "- forwarding flow solar-east",
            "+ forwarding flow other (1 DID, 1 destination)",
        ]
    );
    let changes = diff(&old, &new);
    assert_eq!(apply(&old, &changes), new);
    assert_eq!(apply(&new, &diff(&new, &old)), old, "and back again");
    // Without pruning the DID has an owner that stays.
    let problems = read_into(text, &old, Unnamed::Keep).unwrap_err();
    assert_eq!(
        rendered(&problems),
        "f.yaml:5: forwarding_flows[0].dids[0]: TF-123 belongs to forwarding flow solar-east \
         already; leave it out here, or take it out of solar-east first\n"
    );
    // A reference to what pruning takes away dangles.
    let problems = read_into(&text.replace("name: new,", "name: newer,"), &old, Unnamed::Prune);
    assert_eq!(
        rendered(&problems.unwrap_err()),
        "f.yaml:5: forwarding_flows[0].destinations[0].trunk: there is no trunk \"new\" in this \
         document; there is newer; or add it\n"
    );
    // An empty file is no order to delete everything.
    for empty in ["", "# nothing\n", "---\n"] {
        let refused = read_into(empty, &old, Unnamed::Prune).unwrap_err();
        assert_eq!(refused[0].message, "the document is empty", "{empty:?}");
    }
}

#[test]
fn one_object_is_put_as_the_api_does() {
    let old = read(FULL);
    let mint = &mut mint_from(1 << 40);
    let east = flow(&old, "solar-east");

    let trunk = json!({"name": "new", "address": "10.0.0.1"});
    let (reading, id) = put(kind("trunks"), &trunk, None, &old, mint).unwrap();
    let next = reading.configuration;
    assert_eq!(plan(&old, &next), ["+ trunk new"]);
    assert_eq!(next.trunk(id.to().unwrap()).unwrap().name, "new");
    let refused = put(kind("trunks"), &trunk, None, &next, mint).unwrap_err();
    assert_eq!((refused[0].code, &*refused[0].pointer), ("taken", "/name"));

    // Written, changed, put again: what merge-patch does.
    let mut body = east.write_whole(&old);
    body["max_attempts"] = json!(2);
    body["dids"] = json!(["+12025550100", "NEW"]);
    let (reading, id) =
        put(kind("forwarding_flows"), &body, Some(east.id.into()), &old, mint).unwrap();
    let next = reading.configuration;
    assert_eq!(id, east.id.into());
    let lines =
        ["~ forwarding flow solar-east: max_attempts 3 → 2, DID NEW added, DID TF-123 removed"];
    assert_eq!(plan(&old, &next), lines);
    assert_eq!(apply(&old, &diff(&old, &next)), next);
    let refused = put(kind("forwarding_flows"), &body, None, &old, mint).unwrap_err();
    assert!(refused.iter().any(|one| one.pointer == "/id"), "{refused:?}");
    assert!(refused.iter().any(|one| one.pointer == "/dids/0" && one.code == "taken"));

    let destination = &east.destinations[0];
    let mut body = destination.write_whole(&old);
    body["weight"] = json!(0);
    let (reading, _) = put_destination(&body, east.id, Some(destination.id), &old, mint).unwrap();
    let next = reading.configuration;
    assert_eq!(plan(&old, &next), ["~ destination slave-a of solar-east: weight 70 → 0"]);
    let body = json!({"trunk": "carrier", "number": "123"});
    let (reading, id) = put_destination(&body, east.id, None, &old, mint).unwrap();
    let next = reading.configuration;
    assert_eq!(plan(&old, &next), ["+ destination 123 of solar-east"]);
    assert_eq!(next.forwarding_flows[0].destinations[2].id, id);
    let body = json!({"trunk": "carrier", "number": "8005550199", "weight": "1"});
    let refused = put_destination(&body, east.id, None, &old, mint).unwrap_err();
    let codes: Vec<_> = refused.iter().map(|one| (one.code, &*one.pointer)).collect();
    assert_eq!(codes, [("wrong_type", "/weight"), ("taken", "/name")]);

    // A change that would break what refers to it.
    let slave = old.servers.iter().find(|server| server.name == "slave-a").unwrap();
    let mut body = slave.write_whole(&old);
    body["role"] = json!("master");
    body.as_object_mut().unwrap().remove("trunk");
    let refused = put(kind("servers"), &body, Some(slave.id.into()), &old, mint).unwrap_err();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].code, &*refused[0].pointer), ("wrong_role", "/role"));
    let body = json!({"name": "m2", "role": "master"});
    let next = put(kind("servers"), &body, None, &old, mint).unwrap().0.configuration;
    assert_eq!(plan(&old, &next), ["+ server m2"]);
    assert_eq!(
        put(kind("servers"), &Value::Null, None, &old, mint).unwrap_err()[0].code,
        "wrong_type"
    );
}

#[test]
fn what_is_used_is_not_removed() {
    let whole = read(FULL);
    let server = |name: &str| whole.servers.iter().find(|one| one.name == name).unwrap().id.into();
    let trunk = |name: &str| whole.trunks.iter().find(|one| one.name == name).unwrap().id.into();
    let said = |result: Result<Configuration, Vec<Problem>>| -> Vec<String> {
        result.unwrap_err().into_iter().map(|problem| problem.message).collect()
    };
    assert_eq!(
        said(remove(&whole, kind("servers"), server("master"))),
        [
            "server master is still used by forwarding flow solar-east",
            "server master is still used by number +12025550199",
        ]
    );
    assert_eq!(
        said(remove(&whole, kind("servers"), server("slave-a"))),
        ["server slave-a is still used by destination slave-a of forwarding flow solar-east"]
    );
    assert_eq!(
        said(remove(&whole, kind("trunks"), trunk("carrier"))),
        [
            "trunk carrier is still used by destination 8005550199 of forwarding flow solar-east",
            "trunk carrier is still used by the fallback of forwarding flow solar-east",
        ]
    );
    let east = flow(&whole, "solar-east");
    let owned = whole.numbers.iter().find(|one| one.forwarding_flow.is_some()).unwrap();
    let without = remove_number(&whole, owned.id).unwrap();
    assert!(!flow(&without, "solar-east").dids.contains(&owned.did), "its owner lets it go too");
    assert_eq!(apply(&whole, &diff(&whole, &without)), without);

    // One after the other it all goes.
    let less = remove_destination(&whole, east.id, east.destinations[1].id).unwrap();
    let last = remove_destination(&less, east.id, east.destinations[0].id).unwrap_err();
    assert_eq!(last[0].code, "no_destination");
    let mut left = remove(&less, kind("forwarding_flows"), east.id.into()).unwrap();
    assert_eq!(
        remove(&left, kind("forwarding_flows"), east.id.into()).unwrap_err()[0].code,
        "not_found"
    );
    let idle: Vec<_> = left.numbers.iter().map(|number| number.id).collect();
    assert_eq!(idle.len(), 1);
    left = remove_number(&left, idle[0]).unwrap();
    left = remove(&left, kind("servers"), server("slave-a")).unwrap();
    left = remove(&left, kind("servers"), server("master")).unwrap();
    left = remove(&left, kind("trunks"), trunk("carrier")).unwrap();
    left = remove(&left, kind("trunks"), trunk("to-slave-a")).unwrap();
    assert_eq!(left, Configuration::default());
    assert_eq!(apply(&whole, &diff(&whole, &left)), left);
}
