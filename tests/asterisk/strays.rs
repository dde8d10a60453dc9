//! Channels that a dialplan gives to divert without telling it what for.

use std::time::Duration;

use serde_json::Value;

use crate::lab::{Lab, eventually, with_divert};
use crate::sip;
use crate::stage;

/// Extensions that call divert's application so, and what comes behind it there: 486.
const STRAYS: &[(&str, &str)] = &[
    ("silent", "divert"),
    ("half", "divert,did"),
    ("foreign", "divert,queue,support"),
    ("faked", "divert,testcaller,call_1"),
];

fn write_dialplan(lab: &Lab) {
    let lines = STRAYS.iter().map(|(name, arguments)| {
        format!("exten => {name},1,Stasis({arguments})\n same => n,Hangup(17)\n")
    });
    let lines: String = lines.collect();
    lab.in_asterisk(&format!(
        "cat >>/etc/asterisk/extensions.conf <<'END'\n[from-carrier](+)\n{lines}END\n\
         asterisk -rx 'dialplan reload'"
    ));
}

/// The warnings divert has logged that name a channel of the carrier's.
fn warnings(lab: &Lab) -> Vec<String> {
    let log = lab.divert.log_tail();
    let is_one = |line: &&str| line.contains(" WARN ") && line.contains("PJSIP/carrier-");
    log.lines().filter(is_one).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_without_a_number_goes_on_in_the_dialplan_with_one_warning() {
    with_divert(&stage::one(&["1101"]), async |lab| {
        write_dialplan(lab);
        for (at, (name, arguments)) in STRAYS.iter().enumerate() {
            let status = sip::call_from_ann(lab.pbx_sip(), &stage::did(name)).await;
            assert_eq!(status, Some(486), "{name}");
            let warnings = warnings(lab);
            assert_eq!(warnings.len(), at + 1, "{name}: {warnings:?}");
            assert!(warnings[at].contains(&format!("Stasis({arguments})")), "{}", warnings[at]);
            assert!(warnings[at].contains("Gosub(divert-ari,s,1(${EXTEN}))"), "{}", warnings[at]);
        }
        assert!(lab.divert.calls().await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_came_without_a_number_while_nobody_listened_goes_on_after_the_reconnect() {
    with_divert(&stage::one(&["1101"]), async |lab| {
        write_dialplan(lab);
        lab.proxy.swallow();
        let port = lab.pbx_sip();
        let call =
            tokio::spawn(async move { sip::call_from_ann(port, &stage::did("silent")).await });
        eventually("the call to wait for divert", Duration::from_secs(5), async || {
            let channels = lab.pbx.get("/channels").await;
            let waits = |channel: &Value| channel["dialplan"]["app_name"] == "Stasis";
            channels.as_array()?.iter().any(waits).then_some(())
        })
        .await;
        lab.proxy.mend();
        assert_eq!(call.await.unwrap(), Some(486));
        lab.divert.until_ready().await;
        let warnings = warnings(lab);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    })
    .await;
}
