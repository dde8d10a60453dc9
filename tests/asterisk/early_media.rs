//! What a destination says before it answers reaches a caller who pays for nothing yet.

use std::time::Duration;

use serde_json::json;

use crate::lab::with_divert;
use crate::media::Sound;
use crate::stage;

#[tokio::test(flavor = "multi_thread")]
async fn early_media_is_heard_by_a_caller_who_is_never_answered() {
    let mut flow = stage::flow("announced", stage::own_did().as_str(), &["1401"]);
    flow["ringback"] = json!("early_media");
    with_divert(&stage::document(&[flow]), async |lab| {
        let line = lab.phones.call_recording(&stage::own_did(), &stage::ann(), "early").await;
        let gone = line.until_gone(Duration::from_secs(15)).await;
        assert_eq!(line.seen().up.map(|_| ()), None, "nobody answered");
        assert_eq!(gone.cause, 17, "{gone:?}");
        let sound = Sound::of_wav(&lab.phones.recording("early").await);
        let heard = sound.seconds_of_tone(440.0);
        assert!(heard >= 2.0, "{heard} of {} s were the announcement", sound.seconds());
        let call = lab.divert.call_on(&stage::own_did()).await;
        let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
        assert_eq!(detail.call.answered_at, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_hear_each_other_once_the_call_is_answered() {
    with_divert(&stage::one(&["1001"]), async |lab| {
        let line = lab.phones.call_recording(&stage::own_did(), &stage::ann(), "talk").await;
        line.until_up(Duration::from_secs(10)).await;
        let phone = lab.phones.talking("1001").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        line.hang_up().await;
        lab.phones.until_gone(&phone, Duration::from_millis(1_500)).await;
        let sound = Sound::of_wav(&lab.phones.recording("talk").await);
        let heard = sound.seconds_of_tone(440.0);
        assert!(heard >= 1.0, "{heard} of {} s were the phone's tone", sound.seconds());
    })
    .await;
}
