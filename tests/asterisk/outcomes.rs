//! What the far end does and what divert makes of it: `engine/outcome.rs` against the real thing.

use std::time::Duration;

use divert::model::cause::Outcome;

use crate::lab::with_divert;
use crate::stage;

/// The cause a phone hangs up with, the SIP response its Asterisk makes of that, the cause ours
/// makes of that, and the outcome.
const TABLE: &[(u16, u16, u16, Outcome)] = &[
    (1, 404, 1, Outcome::BadNumber),
    (3, 404, 1, Outcome::BadNumber),
    (16, 603, 21, Outcome::Declined),
    (17, 486, 17, Outcome::Busy),
    (18, 408, 18, Outcome::Unreachable),
    (19, 480, 19, Outcome::Unreachable),
    (21, 403, 21, Outcome::TrunkRejected),
    (22, 410, 22, Outcome::Unreachable),
    (27, 502, 27, Outcome::TrunkFailed),
    (28, 484, 28, Outcome::BadNumber),
    (34, 503, 34, Outcome::TrunkFailed),
    (38, 500, 38, Outcome::TrunkFailed),
    (41, 603, 21, Outcome::Declined),
    (42, 503, 34, Outcome::TrunkFailed),
    (58, 488, 58, Outcome::CodecMismatch),
    (127, 500, 38, Outcome::TrunkFailed),
];

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_as_the_table_says() {
    let did = |cause: u16| stage::did(&format!("cause-{cause}"));
    let flow = |row: &(u16, u16, u16, Outcome)| {
        stage::flow(&format!("flow {}", row.0), did(row.0).as_str(), &[&format!("9{:03}", row.0)])
    };
    with_divert(&stage::document(&TABLE.iter().map(flow).collect::<Vec<_>>()), async |lab| {
        let mut wrong = Vec::new();
        for &(sent, sip, cause, outcome) in TABLE {
            let line = lab.phones.call(&did(sent), &stage::ann()).await;
            line.until_gone(Duration::from_secs(10)).await;
            let call = lab.divert.call_on(&did(sent)).await;
            let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
            let leg = &detail.legs[0];
            let told = (leg.sip_code, leg.cause.map(|cause| cause.0), leg.outcome);
            if told != (Some(sip), Some(cause), Some(outcome)) {
                wrong.push(format!("cause {sent}: wanted {sip} {cause} {outcome}, was {told:?}"));
            }
            // A busy one in between: a trunk that only fails would be spared.
            let line = lab.phones.call(&did(17), &stage::ann()).await;
            line.until_gone(Duration::from_secs(10)).await;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    })
    .await;
}
