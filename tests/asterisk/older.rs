//! The same on Asterisk 16, which is still in use: what it can not do is told, and refusals reach the
//! carrier as they do from the newest.

use rstest::rstest;

use crate::lab::{Lab, NEWEST, with_divert_on};
use crate::{sip, stage};

/// The cause a phone hangs up with, and the SIP status that the carrier gets from us, by the newest
/// Asterisk and by 16. The two that differ do so since 16 does not tell the phone's own status.
const REFUSALS: &[(u16, u16, u16)] = &[
    (1, 404, 404),
    (16, 603, 480),
    (17, 486, 486),
    (19, 480, 480),
    (21, 503, 603),
    (28, 404, 404),
    (34, 503, 503),
    (38, 503, 503),
    (58, 488, 488),
];

#[rstest]
#[case::of_today(NEWEST)]
#[case::of_2018("16")]
#[tokio::test(flavor = "multi_thread")]
async fn refusals_reach_the_carrier(#[case] version: &str) {
    let did = |cause: u16| stage::did(&format!("cause-{cause}"));
    let flow = |(cause, ..): &(u16, u16, u16)| {
        stage::flow(&format!("flow {cause}"), did(*cause).as_str(), &[&format!("9{cause:03}")])
    };
    let flows: Vec<_> = REFUSALS.iter().map(flow).collect();
    with_divert_on(version, &stage::document(&flows), async |lab| {
        let mut wrong = Vec::new();
        for &(cause, newest, old) in REFUSALS {
            let wanted = if version == NEWEST { newest } else { old };
            let status = sip::call_from_ann(lab.pbx_sip(), &did(cause)).await;
            if status != Some(wanted) {
                wrong.push(format!("cause {cause}: wanted {wanted}, was {status:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        doctor_tells(lab, version);
    })
    .await;
}

fn doctor_tells(lab: &Lab, version: &str) {
    let text = lab.divert.says(&["doctor", "--asterisk-etc", "/nowhere"]);
    for lost in ["open advisories", "one of 13 reasons", "SIP codes of destinations are not told"] {
        assert_eq!(text.contains(lost), version != NEWEST, "{lost}: {text}");
    }
    assert!(text.contains("\n0 wrong, "), "{text}");
}
