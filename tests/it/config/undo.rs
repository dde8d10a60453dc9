//! The way back from a change, and what stands in it.

use divert::model::change::{Author, Changed};
use divert::model::time::Timestamp;
use divert::model::undo::undo;
use proptest::prelude::*;

use super::random::configuration;
use super::*;

/// What the store keeps of a step.
fn changed(old: &Configuration, new: &Configuration) -> Vec<Changed> {
    let kept = |(place, change): (u32, Change)| Changed {
        version: 2,
        place,
        at: Timestamp(0),
        author: Author { key: None, name: "root".to_owned() },
        subject: change.subject,
        name: change.name,
        before: change.before,
        after: change.after,
    };
    (0..).zip(diff(old, new).changes).map(kept).collect()
}

fn refused(current: &Configuration, changed: &[Changed]) -> Vec<String> {
    let problems = undo(current, changed, &mut minter()).unwrap_err();
    problems.into_iter().map(|problem| problem.message).collect()
}

proptest! {
    #[test]
    fn any_change_can_be_undone_at_once(old in configuration(), new in configuration()) {
        let back = undo(&new, &changed(&old, &new), &mut mint_from(1 << 64)).unwrap();
        prop_assert_eq!(&back.configuration, &old);
    }
}

#[test]
fn other_changes_stay_and_the_same_one_comes_back() {
    let old = read(FULL);
    let new = read_into(&FULL.replace("max_live: 30", "max_live: 20"), &old, Unnamed::Keep);
    let new = new.unwrap().configuration;
    let step = changed(&old, &new);
    let mut later = new.clone();
    later.trunks[0].max_live = Some(7);
    let back = undo(&later, &step, &mut minter()).unwrap().configuration;
    assert_eq!(plan(&later, &back), ["~ server slave-a: max_live 20 → 30"]);
    assert_eq!(back.trunks[0].max_live, Some(7));
}

#[test]
fn what_was_changed_again_is_not_undone() {
    let old = read(FULL);
    let new = read_into(&FULL.replace("max_live: 30", "max_live: 20"), &old, Unnamed::Keep);
    let new = new.unwrap().configuration;
    let step = changed(&old, &new);
    let mut later = new.clone();
    later.servers.iter_mut().for_each(|server| server.max_live = server.max_live.map(|_| 5));
    assert_eq!(refused(&later, &step), ["server slave-a was changed again since"]);
    // Nor what was taken out since.
    later.servers.iter_mut().for_each(|server| server.max_live = None);
    assert_eq!(refused(&later, &step), ["server slave-a was changed again since"]);

    let made = changed(&Configuration::default(), &old);
    let carrier: Vec<Changed> = made.into_iter().filter(|one| one.name == "carrier").collect();
    let mut gone = old.clone();
    gone.trunks.retain(|trunk| trunk.name != "carrier");
    assert_eq!(refused(&gone, &carrier), ["trunk carrier is not there any more"]);
    // And what others refer to by now stays.
    let told = refused(&old, &carrier);
    assert!(told.iter().any(|text| text.contains("solar-east")), "{told:?}");
    let still = "trunk carrier is still used by ";
    assert!(told.iter().all(|text| text.starts_with(still)), "{told:?}");
}

#[test]
fn what_was_made_stays_while_something_refers_to_it() {
    let account = "account: { rate_deck: retail }\n";
    let deck = "rate_decks:\n  - { name: retail, rates: [{ prefix: \"\", per_minute: \"1\" }] }\n";
    let old = read(deck);
    let made = changed(&Configuration::default(), &old);
    let used = read_into(account, &old, Unnamed::Keep).unwrap().configuration;
    let problems = undo(&used, &made, &mut minter()).unwrap_err();
    assert_eq!(problems[0].message, "rate deck retail is still used by the account");
    assert_eq!(problems[0].hint, "change the account first");

    // A flow that was given numbers since.
    let old = read(FULL);
    let made = changed(&Configuration::default(), &old);
    let flow: Vec<Changed> = made.into_iter().filter(|one| one.name == "solar-east").collect();
    let mut owner = old.clone();
    let east = owner.forwarding_flows.iter().find(|it| it.name == "solar-east").unwrap().id;
    owner.numbers.retain(|number| number.forwarding_flow == Some(east));
    let first = &owner.numbers[0].did;
    let wanted = format!("forwarding flow solar-east is still used by number {first} and 1 more");
    assert_eq!(refused(&owner, &flow), [wanted]);
}
