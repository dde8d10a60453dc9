//! Numbers in documents: who owns them, and many at once.

use super::*;

#[test]
fn a_did_has_one_owner_on_each_master() {
    let text = |master: &str| {
        format!(
            r#"
servers: [{{name: m1, role: master}}, {{name: m2, role: master}}]
trunks: [{{name: t, endpoint: t}}]
forwarding_flows:
  - {{name: a, master: m1, dids: [X-1], destinations: [{{trunk: t, number: "1"}}]}}
  - {{name: b, master: {master}, dids: [x-1, X-1], destinations: [{{trunk: t, number: "1"}}]}}
"#
        )
    };
    assert_eq!(
        faults(&text("m1")),
        "f.yaml:6: forwarding_flows[1].dids[1]: X-1 belongs to forwarding flow a \
         (forwarding_flows[0].dids[0]) already; leave it out here, or take it out of a first\n"
    );
    let nothing = Configuration::default();
    let reading = read_into(&text("m2"), &nothing, Unnamed::Keep).unwrap();
    assert_eq!(reading.configuration.numbers.len(), 3);
    assert_eq!(
        rendered(&reading.warnings),
        "f.yaml:6: forwarding_flows[1].dids[0]: x-1 and X-1 differ in upper and lower case only; \
         check which one the carrier sends; VICIdial cannot tell them apart\n"
    );
}

#[test]
fn a_did_that_asterisk_never_matches_is_warned_of() {
    let text = r#"
servers: [{name: m, role: master}]
trunks: [{name: t, endpoint: t}]
forwarding_flows:
  - {name: a, master: m, dids: ["-", "--1"], destinations: [{trunk: t, number: "1"}]}
"#;
    let reading = read_into(text, &Configuration::default(), Unnamed::Keep).unwrap();
    assert_eq!(
        rendered(&reading.warnings),
        "f.yaml:5: forwarding_flows[0].dids[0]: Asterisk ignores dashes when it matches, and \
         answers a lone one with 484; let the carrier send another name; divert will never see this \
         call\n"
    );
}

#[test]
fn numbers_may_name_their_owner() {
    let text = FULL.replace(
        "server: master}",
        "server: master}\n  - {did: N-1, forwarding_flow: solar-east}\n  - {did: N-2, \
         forwarding_flow: solar-east, server: slave-a}\n  - {did: N-3}\n  - {did: N-4, server: \
         slave-a}",
    );
    assert_eq!(
        faults(&text),
        "f.yaml:11: numbers[2].server: the forwarding flow that owns it has another master; leave \
         server out: it is the flow's master\n\
         f.yaml:12: numbers[3].server: server is missing; type the name of the server where it \
         arrives\n\
         f.yaml:13: numbers[4].server: slave-a is the server of number N-4 but its role is slave, \
         not master; type the name of a master there, or change the role\n"
    );
    let good: String = text
        .lines()
        .filter(|line| !line.contains("N-2") && !line.contains("N-3"))
        .fold(String::new(), |text, line| {
            text + &line.replace("N-4, server: slave-a", "N-4, server: master") + "\n"
        });
    let whole = read(&good);
    assert!(flow(&whole, "solar-east").dids.iter().any(|did| did.as_str() == "N-1"));
    assert_eq!(check::check(&whole), []);
}

#[test]
fn a_range_of_numbers_is_as_good_as_each_of_them() {
    let text = r#"
servers: [{name: m, role: master}]
trunks: [{name: t, endpoint: t}]
numbers:
  - {from: "+12025550198", to: "+12025550201", server: m, tags: [spare, east]}
  - {from: A-1, to: A-2, forwarding_flow: f}
forwarding_flows:
  - {name: f, master: m, tags: [solar], destinations: [{trunk: t, number: "1"}]}
"#;
    let whole = read(text);
    let dids: Vec<&str> = whole.numbers.iter().map(|number| number.did.as_str()).collect();
    let wanted = ["+12025550198", "+12025550199", "+12025550200", "+12025550201", "A-1", "A-2"];
    assert_eq!(dids, wanted);
    let tags: Vec<&str> = whole.numbers[0].tags.iter().map(Tag::as_str).collect();
    assert_eq!(tags, ["east", "spare"]);
    assert_eq!(flow(&whole, "f").dids.len(), 2);
    let again = read_into(text, &whole, Unnamed::Prune).unwrap().configuration;
    assert_eq!(plan(&whole, &again), [""; 0]);
    assert_eq!(again, whole);

    let bad = r#"
servers: [{name: m, role: master}]
numbers:
  - {from: "199", server: m}
  - {from: "199", to: "100", server: m}
  - {from: "100", to: "101", did: "100", server: m}
  - {from: "100", to: "199", server: x, tags: [Big]}
"#;
    insta::assert_snapshot!(faults(bad), @r#"
    f.yaml:4: numbers[0].to: to is missing; type to: beside from:, or did: for one number
    f.yaml:5: numbers[1].to: 100 comes before 199; type the lower number under from:, the higher one under to:
    f.yaml:6: numbers[2].did: a range of numbers has no did; keep from: and to:, or did: for one number
    f.yaml:7: numbers[3].server: there is no server "x"; did you mean m?
    f.yaml:7: numbers[3].tags[0]: "Big" is not a tag; type 1 to 30 small letters, digits and -
    "#);
}

#[test]
fn a_few_lines_cannot_fill_the_memory_with_numbers() {
    // None of them is read past its first number, whose server is not there.
    let ranges: Vec<String> = (10..21)
        .map(|area| format!("  - {{from: \"{area}00000\", to: \"{area}99999\", server: x}}\n"))
        .collect();
    let told = faults(&format!("numbers:\n{}", ranges.concat()));
    let last = told.lines().last().unwrap();
    assert!(last.contains("numbers[10].to: the ranges up to here are more than 1000000"), "{last}");
    assert_eq!(told.matches("more than").count(), 1);
}

#[test]
fn numbers_keep_what_is_said_of_them_when_their_flow_gets_another_master() {
    let text = r#"
servers: [{name: m, role: master}, {name: other, role: master}]
trunks: [{name: t, endpoint: t}]
numbers:
  - {did: "100", forwarding_flow: f, tags: [spare]}
forwarding_flows:
  - {name: f, master: m, destinations: [{trunk: t, number: "1"}]}
"#;
    let whole = read(text);
    let of_flow = kind("forwarding_flows");
    let id = whole.forwarding_flows[0].id;
    let mut value = of_flow.write(&whole, id.into(), &whole).unwrap();
    value["master"] = "other".into();
    let (reading, _) =
        put(of_flow, &value, Some(id.into()), &whole, &mut mint_from(1 << 64)).unwrap();
    let (before, after) = (&whole.numbers[0], &reading.configuration.numbers[0]);
    assert_ne!(before.server, after.server);
    assert_eq!((&before.id, &before.tags), (&after.id, &after.tags));
    assert_eq!(reading.configuration.numbers.len(), 1);
}
