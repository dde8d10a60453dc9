//! An operator pauses, drains, disables and resumes a destination while people talk.

use std::time::{Duration, Instant};

use divert::model::number::Caller;
use divert::model::timeline::{Step, Verdict};
use serde_json::json;

use crate::lab::{Lab, with_divert};
use crate::phones::Line;
use crate::stage;

/// How soon a switch holds after the API has confirmed it.
const PROMPT: Duration = Duration::from_secs(1);

/// Places a call that somebody answers; what was found of the first destination.
async fn verdict(lab: &Lab, caller: &Caller) -> (Verdict, Line) {
    let known = lab.divert.calls().await.len();
    let line = lab.phones.call(&stage::own_did(), caller).await;
    line.until_up(Duration::from_secs(5)).await;
    let call = lab.divert.newest(known + 1).await;
    let db = lab.divert.db().await;
    let account = divert::model::objects::account::DEFAULT_ACCOUNT;
    let found = crate::lab::eventually("the attempt to be noted", PROMPT, async || {
        let detail = db.call(account, call).await.unwrap()?;
        detail.timeline.iter().find_map(|entry| match &entry.step {
            Step::Routed { candidates, .. } => candidates.first().map(|one| one.verdict),
            _ => None,
        })
    })
    .await;
    (found, line)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_holds_for_the_next_call_and_drops_nobody() {
    let mut flow = stage::flow("steered", stage::own_did().as_str(), &["1001", "1002"]);
    flow["destinations"][0]["name"] = json!("first");
    with_divert(&stage::document(&[flow]), async |lab| {
        let first = lab.divert.destination("first").await;
        let (found, talker) = verdict(lab, &stage::ann()).await;
        assert_eq!(found, Verdict::Chosen);
        let switches = [
            ("pause", Verdict::Paused),
            ("resume", Verdict::Chosen),
            ("drain", Verdict::Drained),
            ("disable", Verdict::Disabled),
            ("resume", Verdict::Chosen),
        ];
        for (switch, wanted) in switches {
            lab.divert.post(&format!("{first}/{switch}"), &json!(null)).await;
            let answered = Instant::now();
            loop {
                let placed = answered.elapsed();
                let (found, line) = verdict(lab, &stage::ann()).await;
                line.hang_up().await;
                if found == wanted {
                    break;
                }
                assert!(placed < PROMPT, "{switch}: a call {placed:?} later found {found:?}");
            }
            assert!(talker.seen().gone.is_none(), "{switch} dropped somebody who talked");
        }
        talker.hang_up().await;
    })
    .await;
}

/// A destination that is drained takes no new callers, but those who belong to it still get there.
#[tokio::test(flavor = "multi_thread")]
async fn who_belongs_to_a_drained_destination_still_gets_there() {
    let mut flow = stage::flow("sticky", stage::own_did().as_str(), &["1001", "1002"]);
    flow["destinations"][0]["name"] = json!("first");
    flow["stickiness"] = json!({ "rolling_sec": 3600 });
    with_divert(&stage::document(&[flow]), async |lab| {
        let first = lab.divert.destination("first").await;
        let (found, line) = verdict(lab, &stage::ann()).await;
        assert_eq!(found, Verdict::Chosen);
        line.hang_up().await;
        lab.divert.post(&format!("{first}/drain"), &json!(null)).await;
        let bob = Caller::clean("+12025550198", "Bob");
        let drained = Instant::now();
        loop {
            let (found, line) = verdict(lab, &bob).await;
            line.hang_up().await;
            if found == Verdict::Drained {
                break;
            }
            assert!(drained.elapsed() < PROMPT, "{found:?}");
        }
        let (found, line) = verdict(lab, &stage::ann()).await;
        assert_eq!(found, Verdict::ChosenSticky);
        line.hang_up().await;
    })
    .await;
}
